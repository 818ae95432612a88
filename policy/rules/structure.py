"""A message must be readable in one way only, and must not hide another inside."""

import re

from aliasing.message import Message, Part
from policy.case import Case
from policy.status import Status
from policy.verdict import PASS, Verdict, refuse

MUST_NOT_DIFFER = ("from", "content-type", "content-transfer-encoding", "content-disposition")
"""RFC 5322 3.6 and RFC 2045 allow one of each. Of these a second one makes two readings; of others clients take the
first, and so do we."""
ENCODINGS = frozenset(("", "7bit", "8bit", "binary", "quoted-printable", "base64"))

CONTAINERS = {
    "message/rfc822": "an attached message",
    "message/global": "an attached message",
    "message/partial": "a piece of a split message",
    "message/external-body": "a link in place of an attachment",
    "multipart/encrypted": "an encrypted message",
    "multipart/signed": "a signed message",
    "application/pkcs7-mime": "an encrypted or signed message",
    "application/x-pkcs7-mime": "an encrypted or signed message",
    "application/ms-tnef": "a winmail.dat container",
    "application/vnd.ms-tnef": "a winmail.dat container",
}
"""What the relay cannot look into, and so cannot promise anything about."""

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def check(case: Case) -> Verdict:
    """Refuse what cannot be parsed, what parses in two ways, and containers that cannot be checked."""
    if case.message is None:
        problem = case.problem
        if problem is not None and problem.too_big:
            return refuse(Status.TOO_COMPLEX, str(problem), limit=str(problem))
        return refuse(Status.BROKEN, str(problem), what=str(problem))
    for part in case.message.root.walk():
        verdict = _check_part(case.message, part)
        if not verdict.passes:
            return verdict
    return PASS


def _check_part(message: Message, part: Part) -> Verdict:
    names = [field.name for field in part.fields]
    for name in MUST_NOT_DIFFER:
        if names.count(name) > 1:
            return _broken(f"{names.count(name)} {name} fields")
    for field in part.fields:
        if _CONTROL.search(field.text):
            return _broken(f"a control character in {field.name}")
    if part.encoding not in ENCODINGS:
        return _broken("an unknown Content-Transfer-Encoding")
    if part.content_type in CONTAINERS:
        return refuse(Status.CONTAINER, part.content_type, what=CONTAINERS[part.content_type])
    if part.content_type.startswith("multipart/") and not part.parts:
        return _broken("a multipart without parts")
    if _CONTROL.search(part.file_name or ""):
        return _broken("a control character in a file name")
    return PASS


def _broken(what: str) -> Verdict:
    return refuse(Status.BROKEN, what, what=what)
