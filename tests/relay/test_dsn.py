from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes, policy
from typing import Any

import pytest
from support import BUYER, SELLER, correspondence, crlf

from aliasing.correspondence import Side
from aliasing.message import Message
from relay.dsn.compose import Report, compose
from relay.dsn.receive import understand
from relay.records import OutcomeKind

FRAME = correspondence()
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def report(**changes: Any) -> Report:
    values: dict[str, Any] = {
        "action": "failed", "status": "5.1.1", "reason": "reason_permanent", "hostname": "relay.example",
        "domain": "relay.example", "language": "es", "message_id": "abc", "recipient": FRAME.alias(Side.BUYER),
        "originator": FRAME.alias(Side.SELLER), "subject": "Su envío ñ", "order": "111", "dated": NOW, "now": NOW,
        "original_id": b"m1@tienda.example", "values": {"until": "x", "days": "5"}}
    return Report(**values | changes)


@pytest.mark.parametrize("language", ["es", "en", "fr"])
@pytest.mark.parametrize(("action", "reason"), [
    ("failed", "reason_permanent"), ("failed", "reason_expired"), ("failed", "reason_removed"),
    ("delayed", "reason_temporary")])
def test_a_dsn_is_what_rfc_3464_asks_for(language: str, action: str, reason: str) -> None:
    raw = compose(report(language=language, action=action, reason=reason))
    assert raw.isascii()
    assert raw.count(b"\n") == raw.count(b"\r\n")
    parsed = message_from_bytes(raw, policy=policy.default)
    assert parsed.get_content_type() == "multipart/report"
    assert parsed.get_param("report-type") == "delivery-status"
    text, status, headers = parsed.iter_parts()
    assert "111" in text.get_content()
    assert "{" not in text.get_content()
    groups = status.get_payload()
    assert groups[0]["Reporting-MTA"] == "dns; relay.example"
    assert groups[1]["Final-Recipient"] == f"rfc822; {FRAME.alias(Side.BUYER)}"
    assert groups[1]["Action"] == action
    assert groups[1]["Status"] == "5.1.1"
    assert headers.get_content_type() == "text/rfc822-headers"
    assert parsed["Auto-Submitted"] == "auto-replied"
    assert parsed["In-Reply-To"] == "<m1@tienda.example>"
    assert SELLER.encode() not in raw
    assert BUYER.encode() not in raw


def test_our_own_dsn_is_understood_by_ourselves() -> None:
    received = understand(Message.parse(compose(report())))
    assert (received.action, received.outcome.kind, received.outcome.code) == ("failed", OutcomeKind.FAILED, "5.1.1")


STATUS = "Reporting-MTA: dns; mx.correo.example\n\n{fields}\n"


@pytest.mark.parametrize(("fields", "action", "code"), [
    ("Final-Recipient: rfc822; x@y.example\nAction: failed\nStatus: 5.2.2\nDiagnostic-Code: smtp; 552 full", "failed", "5.2.2"),
    ("action: FAILED\nstatus: 5.1.1 (bad mailbox)", "failed", "5.1.1"),
    ("Action: delayed\nStatus: 4.4.1", "delayed", "4.4.1"),
    ("Action: delivered\nStatus: 2.0.0", "delivered", "2.0.0"),
    ("Action: failed", "failed", "5.0.0"),
    ("Action: nonsense\nStatus: 5.0.0", "other", ""),
])
@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_dsn_is_known_by_its_content_wherever_it_stands(fields: str, action: str, code: str, position: int) -> None:
    parts = ["Content-Type: text/plain\n\nsorry", "Content-Type: text/rfc822-headers\n\nSubject: x"]
    parts.insert(position, f"Content-Type: message/delivery-status\n\n{STATUS.format(fields=fields)}")
    raw = crlf("From: <>\nContent-Type: multipart/mixed; boundary=x\n\n" + "".join(f"--x\n{part}\n" for part in parts)
               + "--x--\n")
    received = understand(Message.parse(raw))
    assert (received.action, received.outcome.code) == (action, code)


def test_an_out_of_office_reply_is_no_failure() -> None:
    received = understand(Message.parse(crlf("Subject: Fuera de la oficina\nAuto-Submitted: auto-replied\n\nvuelvo")))
    assert received.action == "auto-reply"
    assert received.outcome.kind is not OutcomeKind.FAILED
