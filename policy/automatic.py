"""Is this an automatic reply? Such mail is recorded, shown, and neither forwarded nor answered (RFC 3834 2).

Narrow on purpose: what is recorded only, with a 250, must not be a message that somebody meant to send. Mail that a
program *began* (auto-generated, bulk) is judged by the rules like any other.
"""

from __future__ import annotations

from aliasing.message import Message
from policy.subject import normalise

_NEVER_BY_HAND = ("x-autoreply", "x-auto-reply", "x-autoreply-from", "x-autorespond", "x-autoresponse",
                  "x-autoresponder", "x-mail-autoreply")
_DENIALS = ("no", "false", "0", "off")
_REPORTS = ("multipart/report", "message/delivery-status", "message/global-delivery-status",
            "message/disposition-notification", "message/global-disposition-notification")
_MAX_SUBJECT = 500

# As Outlook, Exchange, Gmail, Dovecot, Lotus and the vacation programs begin it, in normalise()'s spelling
_SUBJECTS = (
    "automatic reply", "auto reply", "auto-reply", "autoreply", "auto response", "auto-response", "autoresponse",
    "automatic response", "automated reply", "automated response", "auto:", "out of office", "out-of-office",
    "out of the office", "ooo:", "vacation:", "vacation reply", "vacation message", "away from my mail",
    "respuesta automática", "respuesta automatica", "contestación automática", "autorespuesta", "fuera de la oficina",
    "fuera de oficina", "ausente de la oficina", "resposta automàtica", "erantzun automatikoa", "resposta automática",
    "fora do escritório", "ausência temporária", "automatische antwort", "autom. antwort", "abwesenheitsnotiz",
    "abwesenheitsnachricht", "automatische abwesenheit", "abwesend:", "ausser haus", "réponse automatique",
    "reponse automatique", "absence du bureau", "message d'absence", "absent du bureau", "risposta automatica",
    "fuori ufficio", "fuori sede", "automatisch antwoord", "niet aanwezig", "afwezigheidsbericht", "autosvar",
    "automatiskt svar", "automatisk svar", "frånvaro:", "ikke til stede", "automaattinen vastaus", "poissa:",
    "odpowiedź automatyczna", "automatyczna odpowiedź", "autoodpowiedź", "automatická odpověď", "automatikus válasz",
    "răspuns automat", "αυτόματη απάντηση", "otomatik yanıt", "автоматический ответ", "автоответ",
    "автоматична відповідь", "رد تلقائي", "תשובה אוטומטית", "自動応答", "自動返信", "不在通知", "自动答复", "自动回复",
    "自動回覆", "자동 회신",
)


def is_automatic(message: Message) -> bool:
    """Auto-replies, DSNs (RFC 3464) and read receipts (RFC 8098), by the fields that mark them.

    A null reverse-path is the caller's to see. A subject alone is never enough, nor is X-Auto-Response-Suppress, which
    Outlook sets on mail that people write. Exchange marks its out-of-office replies auto-generated, the old vacation
    programs theirs bulk: these count when the subject says so as well and the message answers another one. Only the
    message's own type makes it a report, since a person may forward one as a part. Linear in the header; never raises.
    """
    if _first_word(message, "content-type") in _REPORTS or is_marked_reply(message):
        return True
    return (_began_by_program(message) and message.field("in-reply-to") is not None
            and has_reply_subject(message.subject))


def is_marked_reply(message: Message) -> bool:
    """Whether a field says that a program answered: RFC 3834 5, or one of those that came before it."""
    return _first_word(message, "auto-submitted") == "auto-replied" or is_vacation(message)


def is_vacation(message: Message) -> bool:
    """Whether it carries what auto-responders set and mail servers never do; RFC 3834's mark is on DSNs as well."""
    if _first_word(message, "precedence") in ("auto_reply", "auto-reply"):
        return True
    if _first_word(message, "x-post-messageclass") == "9":  # "9; Autoresponder"
        return True
    found = (_first_word(message, name) for name in _NEVER_BY_HAND)
    return any(word is not None and word not in _DENIALS for word in found)


def has_reply_subject(subject: str) -> bool:
    """Whether a decoded subject begins as auto-responders begin theirs. People write such subjects too."""
    return normalise(subject[:_MAX_SUBJECT]).startswith(_SUBJECTS)


def _began_by_program(message: Message) -> bool:
    return (_first_word(message, "auto-submitted") in ("auto-generated", "auto-notified")
            or _first_word(message, "precedence") in ("bulk", "junk"))


def _first_word(message: Message, name: str) -> str | None:
    """The field's value up to parameters (RFC 3834 5.2) and comments, lower case; None where there is no such field."""
    field = message.field(name)
    if field is None:
        return None
    return field.text.partition(";")[0].partition("(")[0].strip().lower()
