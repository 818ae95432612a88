"""A message that is written here instead of in a mail program. It goes through accept() like any other. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from hashlib import sha256

from aliasing.address import Address


@dataclass(frozen=True)
class Enclosure:
    """A file to be attached; `type` is a media type (RFC 2046)."""

    name: str
    type: str
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class Draft:
    """What somebody wrote: at least one of `text` and `html`. `in_reply_to` is a Message-ID without brackets."""

    subject: str
    text: str | None = None
    html: str | None = None
    files: Sequence[Enclosure] = ()
    in_reply_to: str | None = None


def build(draft: Draft, writer: Address, alias: Address, at: datetime, seed: str) -> bytes:
    """The draft as the writer's mail program would send it, CRLF line ends.

    The same draft, time and seed make the same octets, so that accept() knows a message again that is sent twice.
    Raises ValueError for a line end in subject or file name.
    """
    mark = sha256(f"{seed} {alias}".encode()).hexdigest()[:32]
    message = EmailMessage(policy=SMTP)
    message["Subject"] = draft.subject
    message["Date"] = format_datetime(at)
    message["Message-ID"] = f"<{mark}@page.{alias.domain}>"
    if draft.in_reply_to is not None:
        message["In-Reply-To"] = f"<{draft.in_reply_to}>"
        message["References"] = f"<{draft.in_reply_to}>"
    if draft.text is not None or draft.html is None:
        message.set_content(draft.text or "", cte="quoted-printable")
        if draft.html is not None:
            message.add_alternative(draft.html, subtype="html", cte="quoted-printable")
    else:
        message.set_content(draft.html, subtype="html", cte="quoted-printable")
    for file in draft.files:
        main, _, sub = file.type.partition("/")
        if main in ("message", "multipart"):  # a file is octets; what it claims to contain is for the rules to see
            main, sub = "application", "octet-stream"
        message.add_attachment(file.data, maintype=main, subtype=sub, filename=file.name)
    for number, part in enumerate(part for part in message.walk() if part.is_multipart()):
        part.set_boundary(f"=_{mark}_{number}")
    # by hand: the standard library would read the addresses anew, and knows fewer of them than we do
    return f"From: {writer}\r\nTo: {alias}\r\n".encode() + message.as_bytes()
