"""A message must be readable in one way only, and must not hide another inside."""

import re

from aliasing.encodings import has_short_lines
from aliasing.message import Message, Part
from aliasing.readings import holds_uuencode, readings
from policy.case import Case
from policy.left_out import SIGNATURES
from policy.status import Status
from policy.verdict import PASS, Verdict, refuse

MAX_LINE_BYTES = 64 * 1024
"""RFC 5322 2.1.1 allows 998; real mail has longer ones, which are encoded anew on the way out."""
MAX_BOUNDARY = 200
"""RFC 2046 5.1.1 allows 70; its lines cannot be encoded anew."""

CONTAINERS = {
    "message/rfc822": "an attached message",
    "message/global": "an attached message",
    "message/news": "an attached message",
    "message/partial": "a piece of a split message",
    "message/external-body": "a link in place of an attachment",
    "multipart/encrypted": "an encrypted message",
    "application/pgp-encrypted": "an encrypted message",
    "application/pgp-keys": "a PGP key, which names its owner",
    "application/pkcs7-mime": "an encrypted or signed message",
    "application/x-pkcs7-mime": "an encrypted or signed message",
    "application/ms-tnef": "a winmail.dat container",
    "application/vnd.ms-tnef": "a winmail.dat container",
    "multipart/appledouble": "a Macintosh container",
    "application/applefile": "a Macintosh container",
    "application/mac-binhex40": "a Macintosh container",
    "text/calendar": "a calendar invitation, which would be answered past the relay",
    "application/ics": "a calendar invitation, which would be answered past the relay",
    "text/vcard": "a contact card",
    "text/x-vcard": "a contact card",
    "text/directory": "a contact card",
}
"""What the relay cannot look into, or what would lead past it, and so cannot promise anything about."""

_ARMOUR = re.compile(rb"(?:^|\n)-----BEGIN PGP [A-Z ]{6,30}-----")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_SHOWN = ("from", "to", "cc", "subject", "date", "message-id", "in-reply-to", "references", "content-type",
          "content-disposition", "content-id")


def check(case: Case) -> Verdict:
    """Refuse what cannot be parsed, what parses in two ways, and containers that cannot be checked."""
    message = case.message
    if message is None:
        problem = case.problem
        if problem is not None and problem.too_big:
            return refuse(Status.TOO_COMPLEX, str(problem), limit=str(problem))
        return refuse(Status.BROKEN, str(problem), what=str(problem))
    if len(message.all("from")) > 1:
        return _broken("several From fields")
    for _, what in readings(message):
        return _broken(what)
    for part in message.root.walk():
        verdict = _check_part(message, part, remove_signatures=case.settings.signatures == "remove")
        if not verdict.passes:
            return verdict
    return PASS


def _check_part(message: Message, part: Part, *, remove_signatures: bool) -> Verdict:
    for field in part.fields:
        if field.name in _SHOWN and _CONTROL.search(field.text):
            return _broken(f"a control character in {field.name}")
    if any(_CONTROL.search(name) for name in part.file_names):
        return _broken("a control character in a file name")
    if part.content_type in CONTAINERS:
        return refuse(Status.CONTAINER, part.content_type, what=CONTAINERS[part.content_type])
    if part.content_type in ("multipart/signed", *SIGNATURES) and not remove_signatures:
        return refuse(Status.SIGNED, part.content_type)
    if part.parts:
        longest = len(part.parameters.get("boundary", ""))
        return PASS if longest <= MAX_BOUNDARY else _broken(f"a boundary of over {MAX_BOUNDARY} characters")
    body = message.body(part)
    if not has_short_lines(body, MAX_LINE_BYTES) and part.encoding != "base64":
        return _broken(f"a line of over {MAX_LINE_BYTES} characters")
    if part.is_text:
        text = message.decoded(part)
        if holds_uuencode(text):
            return refuse(Status.CONTAINER, "uuencode", what="a file typed out in its text")
        if b"-----BEGIN PGP" in text and _ARMOUR.search(text):
            return refuse(Status.CONTAINER, "PGP armour", what="PGP data, which may name its owner")
    return PASS


def _broken(what: str) -> Verdict:
    return refuse(Status.BROKEN, what, what=what)
