"""What comes back to a return path: a remote server's DSN, or an auto-reply that should not have come here.

Found by content, never by position. The order of the questions is the point: what a program wrote for programs
(RFC 3464) before what it wrote for people, and an absence note before any number that its text may hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from aliasing.encodings import unescape
from aliasing.message import Message, MessageError, Part
from policy.automatic import has_reply_subject, is_marked_reply, is_vacation
from policy.subject import normalise
from relay.records import Outcome, OutcomeKind

MAX_SCANNED = 256 * 1024
"""Characters of one part that are looked at, and of all text parts together."""
MAX_PHRASED = 64 * 1024
"""Characters in which phrases are looked for: NFKC can make eighteen of one."""
MAX_REMOTE = 1000

_STATUS_TYPES = ("message/delivery-status", "message/global-delivery-status")  # RFC 3464, RFC 6533
_RECEIPT_TYPES = ("message/disposition-notification", "message/global-disposition-notification")  # RFC 8098
_WRAPPED_TYPES = ("message/rfc822", "message/global")
_ACTIONS = {
    "failed": OutcomeKind.FAILED,
    "delayed": OutcomeKind.DEFERRED,
    "delivered": OutcomeKind.DELIVERED,
    "relayed": OutcomeKind.DELIVERED,
    "expanded": OutcomeKind.DELIVERED,
}
"""By weight: where the groups of one report differ, the first of these is believed."""
_CLASSES = {"failed": "54", "delayed": "4", "delivered": "2", "relayed": "2", "expanded": "2"}
"""RFC 3463 2's class digits that go with an action; a final failure after many 4xx keeps its 4."""
_BY_CLASS = {"5": "failed", "4": "delayed", "2": "delivered"}
_GROUP_KEYS = ("final-recipient", "action", "status")

_FIELD_NAME = re.compile(r"[ \t]{0,8}([A-Za-z][A-Za-z0-9-]{0,60})[ \t]{0,8}:")
_WORD = re.compile(r"[a-z]+")
_STATUS = re.compile(r"(?<![0-9.])([245]\.[0-9]{1,3}\.[0-9]{1,3})(?!\.?[0-9])")
_REPLY = re.compile(r"(?<![0-9.])([245])[0-9][0-9](?![0-9.])")
# In prose a bare 5.1.1 is a date or a version: only after a reply code or a word that announces a status
_PAIRED = re.compile(r"(?<![\w.])([45])[0-7][0-9][ \t-]{1,2}\(?#?(\1\.[0-9]{1,3}\.[0-9]{1,3})(?!\.?[0-9])")
_ANNOUNCED = re.compile(
    r"(?:#|\b(?:status|code|error|dsn|fehler|erreur|código)\b(?: ?code)?[ \t:=]{0,3})[ \t]?()"
    r"([45]\.[0-9]{1,3}\.[0-9]{1,3})(?!\.?[0-9])", re.IGNORECASE)
_BARE = re.compile(
    r"(?:^|[:;(#]|<<<|\b(?:said|error|code|reply|response|smtp))[ \t]{0,8}()([45][0-7][0-9])"
    r"(?=[ -][ \t]{0,3}[A-Za-z<\"'(\[])",
    re.IGNORECASE | re.MULTILINE)
_TAG = re.compile(r"<[^<>]*>")

_FAILED_SUBJECTS = (
    "undelivered mail", "undeliverable", "undelivered", "mail delivery failed", "mail delivery failure",
    "mail delivery error", "mail delivery system", "delivery status notification", "delivery failure",
    "delivery notification", "delivery has failed", "delivery report", "failure notice", "failure delivery",
    "failed delivery", "returned mail", "returned to sender", "mail system error",
    "message status - undeliverable", "non-delivery", "nondeliverable", "message could not be delivered",
    "message not delivered", "message undeliverable", "no se puede entregar", "no se ha podido entregar",
    "no entregado", "correo no entregado", "mensaje no entregado", "error de entrega",
    "notificación de estado de entrega", "não é possível entregar", "não entregue",
    "notificação de status de entrega", "unzustellbar", "nicht zustellbar", "nicht zugestellt",
    "mail konnte nicht zugestellt werden", "fehler bei der zustellung",
    "benachrichtigung zum übermittlungsstatus", "non remis", "non distribuable", "message non distribué",
    "échec de remise", "échec de la remise", "non recapitabile", "mancato recapito",
    "messaggio non recapitabile", "onbestelbaar", "niet te bezorgen", "kan inte levereras", "olevererbart",
    "kan ikke leveres", "toimitus epäonnistui", "nie można dostarczyć", "niedostarczone", "nedoručitelné",
    "kézbesíthetetlen", "teslim edilemedi", "не доставлено", "недоставленное", "配信不能", "配信できません", "无法投递",
    "無法傳遞", "系统退信", "退信", "배달되지 않음",
)
_DELAYED_SUBJECTS = (
    "warning: message", "warning: could not send", "delayed mail", "delivery delayed", "message delayed",
    "delivery status notification (delay", "entrega retrasada", "entrega demorada", "zustellung verzögert",
    "verzögerte zustellung", "remise différée", "remise retardée", "consegna ritardata", "entrega atrasada",
    "配信の遅延",
)
_FAILED_PHRASES = (
    "this is a permanent error", "permanent fatal error", "permanent failure", "failed permanently",
    "permanently failed", "delivery has failed", "could not be delivered", "couldn't be delivered",
    "wasn't able to deliver", "was not able to deliver", "unable to deliver", "was not delivered",
    "cannot be delivered", "can't be delivered", "user unknown", "unknown user", "no such user",
    "mailbox unavailable", "mailbox not found", "recipient not found", "not listed in domino directory",
    "no se ha podido entregar", "no se pudo entregar", "no pudo ser entregado", "não pôde ser entregue",
    "não foi possível entregar", "nicht zugestellt werden", "unzustellbar", "n'a pas pu être remis",
    "n'a pas pu être distribué", "n'a pas pu être délivré", "non è stato possibile consegnare",
    "non può essere recapitato", "kon niet worden bezorgd", "kunde inte levereras", "kunne ikke leveres",
    "nie mógł zostać dostarczony", "не может быть доставлено", "配信できませんでした", "无法投递", "無法傳遞",
)
_DELAYED_PHRASES = (
    "will continue to try", "will keep trying", "still being retried", "delivery attempts will continue",
    "no action is required", "this is a warning message only", "do not need to resend",
    "not yet been delivered", "delivery has been delayed", "delivery is delayed", "has been delayed",
    "se seguirá intentando", "seguiremos intentando", "weitere zustellversuche", "wird weiterhin versucht",
    "nouvelles tentatives", "ulteriori tentativi", "continuará tentando",
)
# Whose text follows is ours: a status quoted from the returned message says nothing about its delivery
_RETURNED = (
    "--- Below this line is a copy of the message", "------ This is a copy of", "----- Original message",
    "-----Original Message", "----- Message header follows", "----- Unsent message", "----- Returned message",
    "--- Original message", "--- The header of the original", "Original message headers:", "Original message follows",
)
_DAEMONS = ("mailer-daemon", "mailer_daemon", "mailerdaemon", "mail-daemon", "maildaemon")
_POSTMASTERS = ("postmaster", "microsoftexchange")


@dataclass(frozen=True)
class Received:
    """What came back.

    `action` as RFC 3464 2.3.3 has it ("failed", "delayed", "delivered", "relayed", "expanded"), or "auto-reply",
    "receipt" (RFC 8098) or "other". For these three the outcome says that nothing new is known: DEFERRED, no code.
    The outcome's code is an enhanced code (RFC 3463) of the class that goes with the action; its `remote` is at most
    MAX_REMOTE characters of one line and may show addresses.
    """

    action: str
    outcome: Outcome


def understand(message: Message) -> Received:
    """What a message to a return path says about its delivery. Never raises; linear in the size.

    Each return path belongs to one delivery to one recipient, so that the groups of a report are all about it: when
    they differ, a failure is believed first. What only a text says is believed of a mail server alone, by the marks
    that RFC 3834, Exim (X-Failed-Recipients) and qmail (QSBMF) leave, and then only with a reply code or a phrase.
    """
    found = _reported(message)
    if found is not None:
        return found
    if any(part.content_type in _RECEIPT_TYPES for part in message.root.walk()) or (
            message.root.parameters.get("report-type", "").lower() == "disposition-notification"):
        return _nothing_new("receipt", message)
    if is_vacation(message) or has_reply_subject(message.subject):
        return _nothing_new("auto-reply", message)
    found = _reported_inside(message) or _told(message)
    if found is not None:
        return found
    return _nothing_new("auto-reply" if is_marked_reply(message) else "other", message)


# -- written for programs: RFC 3464 ------------------------------------------------------------------------


def _reported(message: Message) -> Received | None:
    """What the delivery-status parts of this message say together."""
    found = [received for part in message.root.walk() if part.content_type in _STATUS_TYPES
             for group in _groups(message.text(part)[:MAX_SCANNED]) if (received := _judge(group))]
    return _weightiest(found)


def _reported_inside(message: Message) -> Received | None:
    """A report that a gateway or a forwarder wrapped whole; one level deep."""
    for part in message.root.walk():
        if part.content_type not in _WRAPPED_TYPES:
            continue
        text = message.text(part)[:MAX_SCANNED].lstrip("\r\n").replace("\r\n", "\n").replace("\n", "\r\n")
        try:
            inner = Message.parse(text.encode("utf-8", "replace"))
        except MessageError:
            continue
        if found := _reported(inner):
            return found
    return None


def _weightiest(found: list[Received]) -> Received | None:
    order = list(_ACTIONS)
    return min(found, key=lambda received: order.index(received.action), default=None)


def _groups(text: str) -> Iterator[dict[str, str]]:
    """The per-recipient groups of RFC 3464 2.3, told apart by what repeats.

    Gateways double the blank lines or lose them; the per-message fields, harmless here, fall into the first group.
    """
    group: dict[str, str] = {}
    for name, value in _fields(text):
        if name in _GROUP_KEYS and name in group:
            yield group
            group = {}
        group.setdefault(name, value)
    yield group


def _fields(text: str) -> Iterator[tuple[str, str]]:
    """Lower-case names and unfolded values; lines that are neither field nor continuation are passed over."""
    name, lines = "", list[str]()
    for line in text.split("\n"):
        match = _FIELD_NAME.match(line)
        if line[:1] in (" ", "\t") and name and not (match and match.group(1).lower() in _GROUP_KEYS):
            lines.append(line)
            continue
        if name:
            yield name, " ".join(" ".join(lines).split())
        name, lines = (match.group(1).lower(), [line[match.end():]]) if match else ("", [])
    if name:
        yield name, " ".join(" ".join(lines).split())


def _judge(group: dict[str, str]) -> Received | None:
    """One group's meaning; the action decides, and where it is missing the status, and then the diagnostic."""
    diagnostic = group.get("diagnostic-code", "")
    codes = _STATUS.findall(group.get("status", "")) + _STATUS.findall(diagnostic[:MAX_REMOTE])
    if "action" in group:
        word = _WORD.search(group["action"].lower())
        action = word.group() if word else ""
    elif codes:
        action = _BY_CLASS[codes[0][0]]
    else:
        reply = _REPLY.search(diagnostic[:MAX_REMOTE]) if "final-recipient" in group else None
        action = _BY_CLASS[reply.group(1)] if reply else ""
    if action not in _ACTIONS:
        return None
    return Received(action, Outcome(_ACTIONS[action], _code(action, codes),
                                    _one_line(diagnostic or group.get("status", ""))))


def _code(action: str, codes: list[str]) -> str:
    """The most exact of the codes whose class goes with the action: Exim and Exchange say 5.0.0, then 5.1.1."""
    for class_ in _CLASSES[action]:
        fitting = [code for code in codes if code[0] == class_]
        if fitting:
            return next((code for code in fitting if not code.endswith(".0.0")), fitting[0])
    return f"{_CLASSES[action][0]}.0.0"


# -- written for people: reports older than RFC 3464 -------------------------------------------------------


def _told(message: Message) -> Received | None:
    """A failure or a delay that only the text tells; None unless a mail server clearly wrote it."""
    subject = normalise(message.subject[:500]).lstrip("*[<!- ")
    text = _prose(message)
    says_delayed = subject.startswith(_DELAYED_SUBJECTS)
    says_failed = not says_delayed and subject.startswith(_FAILED_SUBJECTS)
    if not _is_of_a_mail_server(message, text, of_delivery=says_failed or says_delayed):
        return None
    if found := _reported_as_text(text):
        return found
    flat = normalise(text[:MAX_PHRASED]).replace("’", "'")
    final = _find_code(text, "5") is not None
    certain = message.field("x-failed-recipients") is not None or (says_failed and final)
    if says_delayed or (not certain and _find(flat, _DELAYED_PHRASES) >= 0):
        return _told_as("delayed", "4", text, "")
    at = _find(flat, _FAILED_PHRASES)
    if not final and at < 0:
        return None
    return _told_as("failed", "54", text, flat[at:] if at >= 0 else "")


def _is_of_a_mail_server(message: Message, text: str, *, of_delivery: bool) -> bool:
    """Its own kind of address, or a lesser mark and a subject about delivery."""
    if message.field("x-failed-recipients") or text.lstrip().startswith("Hi. This is the "):
        return True
    writers = [_local_part(message, name) for name in ("from", "sender", "return-path")]
    if writers[0] == "" or any(writer.startswith(_DAEMONS) for writer in writers if writer):
        return True
    submitted = message.field("auto-submitted")
    return of_delivery and ("" in writers or any(writer.startswith(_POSTMASTERS) for writer in writers if writer)
                            or (submitted is not None and submitted.text.lower().startswith("auto-")))


def _local_part(message: Message, name: str) -> str | None:
    """The local part of the (last) address in a field, lower case; "" for <>; None where there is no field."""
    field = message.field(name)
    if field is None:
        return None
    value = field.value.decode("latin-1").lower()
    address = value.rpartition("<")[2].partition(">")[0] if "<" in value else value
    return address.partition("@")[0].strip(' \t"')


def _reported_as_text(text: str) -> Received | None:
    """RFC 3464 groups that a gateway has turned into text/plain."""
    if not {"final-recipient", "action"} <= {name for name, _ in _fields(text)}:
        return None
    return _weightiest([found for group in _groups(text) if "action" in group and (found := _judge(group))])


def _told_as(action: str, classes: str, text: str, phrase: str) -> Received:
    """The outcome with the first code of the first class found, and the paragraph around it."""
    for class_ in classes:
        if found := _find_code(text, class_):
            code, start = found
            start = max(text.rfind("\n", 0, start) + 1, start - 200)
            remote = text[start : start + 4 * MAX_REMOTE].partition("\n\n")[0]
            return Received(action, Outcome(_ACTIONS[action], code, _one_line(remote)))
    return Received(action, Outcome(_ACTIONS[action], f"{_CLASSES[action][0]}.0.0", _one_line(phrase)))


def _find_code(text: str, class_: str) -> tuple[str, int] | None:
    """The first enhanced code of a class and where it stands; a reply code alone (550) gives 5.0.0."""
    for pattern in (_PAIRED, _ANNOUNCED, _BARE):
        for match in pattern.finditer(text):
            code = match.group(2)
            if code[0] == class_:
                return (code if "." in code else f"{class_}.0.0"), match.start()
    return None


def _find(flat: str, phrases: tuple[str, ...]) -> int:
    """Where the first of the phrases stands, -1 for nowhere."""
    return min((at for phrase in phrases if (at := flat.find(phrase)) >= 0), default=-1)


def _prose(message: Message) -> str:
    """The text parts, or the HTML ones without their tags, up to the returned message; LF line ends."""
    out, left = list[str](), MAX_SCANNED
    for part in _text_parts(message):
        text = message.text(part)[:left]
        left -= len(text)
        out.append(unescape(_TAG.sub(" ", text)) if part.content_type == "text/html" else text)
        if left <= 0:
            break
    text = "\n\n".join(out).replace("\r\n", "\n")
    cut = _find(text, _RETURNED)
    return text[:cut] if cut >= 0 else text


def _text_parts(message: Message) -> list[Part]:
    for kind in ("text/plain", "text/html"):
        if found := [part for part in message.root.walk() if part.content_type == kind]:
            return found
    return []


def _nothing_new(action: str, message: Message) -> Received:
    return Received(action, Outcome(OutcomeKind.DEFERRED, "", _one_line(message.subject)))


def _one_line(text: str) -> str:
    """At most MAX_REMOTE printable characters: an operator reads this in a terminal."""
    line = " ".join(text[: 4 * MAX_REMOTE].split())[:MAX_REMOTE]
    return "".join(char if char.isprintable() else " " for char in line)
