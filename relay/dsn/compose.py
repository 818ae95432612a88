"""Our own DSNs (RFC 3464), written to the originator: aliases only, codes but none of the remote text. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime

from aliasing.address import Address
from aliasing.encodings import encode_transfer, encode_words
from aliasing.message import Field
from aliasing.rewrite import mailbox
from relay import texts


@dataclass(frozen=True)
class Report:
    """What a DSN says. `action` is "failed", "delayed" …; `status` an enhanced code (RFC 3463)."""

    action: str
    status: str
    reason: str
    """Name of a text in [dsn]: reason_permanent, reason_temporary …"""
    hostname: str
    domain: str
    language: str
    message_id: str
    """A fresh id for the DSN itself, without domain."""
    recipient: Address
    """The alias that the message was written to."""
    originator: Address
    """The alias of whoever wrote it: to whom the DSN goes."""
    subject: str
    order: str
    dated: datetime
    now: datetime
    original_id: bytes | None
    values: Mapping[str, str] = field(default_factory=dict)


def compose(report: Report) -> bytes:
    """The DSN as CRLF bytes, all ASCII."""
    values = _values(report)
    values["reason"] = texts.text(report.language, f"dsn.{report.reason}", values)
    original = report.original_id.decode("ascii", "replace") if report.original_id else None
    boundary = f"dsn-{report.message_id}"
    header = [
        *_header(report, values, original),
        Field.make("Content-Type",
                   f'multipart/report; report-type=delivery-status;\r\n boundary="{boundary}"'),
    ]
    parts = (
        _text_part(report, values),
        b"Content-Type: message/delivery-status\r\n\r\n" + _status(report),
        b"Content-Type: text/rfc822-headers\r\n\r\n" + _returned_header(report, original),
    )
    out = b"".join(found.raw for found in header) + b"\r\n"
    for part in parts:
        out += f"--{boundary}\r\n".encode() + part + b"\r\n"
    return out + f"--{boundary}--\r\n".encode()


def letter(report: Report) -> bytes:
    """Words about a message and nothing for programs: its `reason` is a text itself. CRLF bytes, all ASCII."""
    values = _values(report) | {"reason": report.reason}
    original = report.original_id.decode("ascii", "replace") if report.original_id else None
    return b"".join(found.raw for found in _header(report, values, original)) + _text_part(report, values)


def _values(report: Report) -> dict[str, str]:
    order = report.order or texts.text(report.language, "dsn.no_order")
    return {"subject": report.subject, "order": order, "code": report.status,
            "date": report.dated.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC"), **report.values}


def _header(report: Report, values: Mapping[str, str], original: str | None) -> list[Field]:
    say = report.language
    header = [
        Field.make("From", mailbox(texts.text(say, "dsn.from_name"), Address("mailer-daemon", report.domain))),
        Field.make("To", mailbox("", report.originator)),
        Field.make("Subject", encode_words(_one_line(texts.text(say, f"dsn.{report.action}_subject", values)))),
        Field.make("Date", format_datetime(report.now.astimezone(UTC))),
        Field.make("Message-ID", f"<{report.message_id}@{report.domain}>"),
        # RFC 3834 5: nobody is to answer this
        Field.make("Auto-Submitted", "auto-replied"),
        Field.make("MIME-Version", "1.0"),
    ]
    if original:
        header += [Field.make("In-Reply-To", f"<{original}>"), Field.make("References", f"<{original}>")]
    return header


def _text_part(report: Report, values: Mapping[str, str]) -> bytes:
    body = texts.text(report.language, f"dsn.{report.action}_body", values).strip().replace("\n", "\r\n") + "\r\n"
    return (f"Content-Type: text/plain; charset=utf-8\r\nContent-Language: {report.language}\r\n"
            "Content-Transfer-Encoding: quoted-printable\r\n\r\n").encode() + encode_transfer(
                body.encode(), "quoted-printable")


def _status(report: Report) -> bytes:
    """RFC 3464 2.2 and 2.3. The final recipient is the alias: nobody but us knows whose mailbox it is."""
    fields = [
        ("Reporting-MTA", f"dns; {report.hostname}"),
        ("Arrival-Date", format_datetime(report.dated.astimezone(UTC))),
        None,
        ("Final-Recipient", f"rfc822; {report.recipient}"),
        ("Action", report.action),
        ("Status", report.status),
    ]
    return b"".join(Field.make(*pair).raw if pair else b"\r\n" for pair in fields)


def _returned_header(report: Report, original: str | None) -> bytes:
    fields = [
        Field.make("From", mailbox("", report.originator)),
        Field.make("To", mailbox("", report.recipient)),
        Field.make("Subject", encode_words(_one_line(report.subject))),
        Field.make("Date", format_datetime(report.dated.astimezone(UTC))),
    ]
    if original:
        fields.append(Field.make("Message-ID", f"<{original}>"))
    return b"".join(found.raw for found in fields)


def _one_line(text: str) -> str:
    return " ".join(text.split())
