"""The question to a party whether an address may write for it; whoever answers it says yes. Pure."""

from __future__ import annotations

from datetime import UTC
from email.utils import format_datetime

from aliasing.address import Address
from aliasing.encodings import encode_transfer, encode_words
from aliasing.message import Field
from aliasing.rewrite import mailbox
from aliasing.token import Action, OpenedAction, Role
from relay import texts
from relay.records import LedgerEntry

SHOWN_CHARS = 2


def compose_question(entry: LedgerEntry, address: Address, message_id: str) -> bytes:
    """The message as CRLF bytes, all ASCII. Its From is an action address sealed for the party that writes here."""
    correspondence, writer = entry.correspondence, entry.direction.writer
    language = correspondence.parties[writer].language
    opened = OpenedAction(Action.AUTHORISE, Role(writer), correspondence.number, entry.id)
    action = Address(correspondence.ring.seal_action(opened, correspondence.domain, correspondence.key_id),
                     correspondence.domain)
    values = {"address": masked(address), "date": entry.received_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")}
    body = texts.text(language, "dsn.confirm_body", values).strip().replace("\n", "\r\n") + "\r\n"
    header = [
        Field.make("From", mailbox(texts.text(language, "dsn.from_name"), action)),
        Field.make("To", mailbox("", correspondence.alias(writer))),
        Field.make("Subject", encode_words(texts.text(language, "dsn.confirm_subject", values))),
        Field.make("Date", format_datetime(entry.received_at.astimezone(UTC))),
        Field.make("Message-ID", f"<{message_id}@{correspondence.domain}>"),
        # RFC 3834 5.1: a person is to answer, no vacation program
        Field.make("Auto-Submitted", "auto-generated"),
        Field.make("MIME-Version", "1.0"),
        Field.make("Content-Type", "text/plain; charset=utf-8"),
        Field.make("Content-Language", language),
        Field.make("Content-Transfer-Encoding", "quoted-printable"),
    ]
    return b"".join(found.raw for found in header) + b"\r\n" + encode_transfer(body.encode(), "quoted-printable")


def masked(address: Address) -> str:
    """Enough of an address for its owner to know it by, and nobody else."""
    shown = min(SHOWN_CHARS, len(address.local) // 2)
    return f"{address.local[:shown]}***@{address.domain}"
