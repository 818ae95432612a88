"""Each rule with the cases that its policy is about. A rule that fails open would fail here."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from typing import Any

import filemaker as made
import pytest
from support import BUYER, SELLER, correspondence, crlf, message

from aliasing.address import Address
from aliasing.correspondence import Direction
from aliasing.message import Message, MessageError
from aliasing.token import Role
from policy import chain
from policy.automatic import is_automatic
from policy.case import AddressState, Case, Facts, PolicySettings, RelayBlocks
from policy.files import Findings, Problem
from policy.files.names import LIST
from policy.rules import (
    attachments,
    authorised,
    blocklist,
    closed,
    critical_cap,
    loop,
    network,
    rate,
    structure,
    unsolicited,
)
from policy.status import Status
from policy.verdict import PASS, Verdict

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
FACTS = Facts(correspondence=correspondence(), direction=Direction.TO_BUYER,
              writer_addresses={SELLER: AddressState.AUTHORISED, "old@tienda.example": AddressState.BLOCKED,
                                "gone@tienda.example": AddressState.REMOVED},
              reader_addresses=frozenset({BUYER}))
TO = str(correspondence().alias(FACTS.direction.reader))


def case(facts: dict[str, Any] | None = None, **changes: Any) -> Case:
    base = Case(client=ip_address("192.0.2.7"), reverse_path=Address.parse(SELLER), facts=replace(FACTS, **facts or {}),
                settings=PolicySettings(), blocks=RelayBlocks(), now=NOW, header_from=Address.parse(SELLER),
                message=Message.parse(message(f"Sol <{SELLER}>", TO)))
    return replace(base, **changes)


def status(verdict: Verdict) -> Status | None:
    return verdict.reply.status if verdict.reply else None


def test_an_ordinary_message_passes_every_rule() -> None:
    assert chain.decide(case(), chain.ENVELOPE_RULES).verdict is PASS
    decision = chain.decide(case(), chain.MESSAGE_RULES)
    assert decision.verdict is PASS
    assert [name for name, _ in decision.ran] == [name for name, _ in chain.MESSAGE_RULES]


def test_evaluation_stops_at_the_first_no() -> None:
    decision = chain.decide(case(header_from=None), chain.MESSAGE_RULES)
    assert decision.rule == "authentication"
    assert "closed" in decision.not_run


def test_a_rule_that_raises_defers_and_never_passes() -> None:
    def broken(_: Case) -> Verdict:
        raise KeyError("sol@tienda.example")

    decision = chain.decide(case(), [("broken", broken)])
    assert status(decision.verdict) is Status.INTERNAL
    assert isinstance(decision.error, KeyError)
    assert "tienda" not in decision.verdict.reason


@pytest.mark.parametrize(("address", "expected"), [
    (SELLER, None),
    ("SOL@tienda.example", None),
    ("old@tienda.example", Status.ADDRESS_BLOCKED),
    ("gone@tienda.example", Status.ADDRESS_REMOVED),
    ("stranger@else.example", Status.NOT_AUTHORISED),
    (BUYER, Status.OWN_ALIAS),
    (None, Status.FROM_NOT_SINGLE),
])
def test_authorised(address: str | None, expected: Status | None) -> None:
    verdict = authorised.check(case(header_from=Address.parse(address) if address else None))
    assert status(verdict) is expected
    # a stranger hears of no order
    assert not verdict.reply or not verdict.reply.values


@pytest.mark.parametrize(("closed_at", "expected"), [
    (None, None), (NOW - timedelta(days=1), Status.CLOSED), (NOW + timedelta(days=1), None)])
def test_closed(closed_at: datetime | None, expected: Status | None) -> None:
    assert status(closed.check(case({"closed_at": closed_at}))) is expected


@pytest.mark.parametrize(("client", "expected"), [
    ("192.0.2.7", Status.BLOCKED_BY_OPERATOR), ("198.51.100.1", None), ("2001:db8::1", Status.BLOCKED_BY_OPERATOR)])
def test_network(client: str, expected: Status | None) -> None:
    blocks = RelayBlocks(networks=(ip_network("192.0.2.0/24"), ip_network("2001:db8::/32")))
    assert status(network.check(case(client=ip_address(client), blocks=blocks))) is expected


@pytest.mark.parametrize(("blocks", "facts", "expected"), [
    (RelayBlocks(), {}, None),
    (RelayBlocks(addresses=frozenset({SELLER})), {}, Status.BLOCKED_BY_OPERATOR),
    (RelayBlocks(domains=frozenset({"tienda.example"})), {}, Status.BLOCKED_BY_OPERATOR),
    (RelayBlocks(domains=frozenset({"example"})), {}, Status.BLOCKED_BY_OPERATOR),
    (RelayBlocks(domains=frozenset({"enda.example"})), {}, None),
    (RelayBlocks(), {"counterpart_refused": True}, Status.BLOCKED_BY_COUNTERPART),
])
def test_blocklist(blocks: RelayBlocks, facts: dict[str, Any], expected: Status | None) -> None:
    assert status(blocklist.check(case(facts, blocks=blocks))) is expected


@pytest.mark.parametrize(("facts", "changes", "expected"), [
    ({}, {}, None),
    ({"unsolicited_refused": "all"}, {}, Status.UNSOLICITED),
    ({"unsolicited_refused": "seller"}, {}, Status.UNSOLICITED),
    ({"unsolicited_refused": "all"}, {"solicited": True}, None),
    ({"unsolicited_refused": "all"}, {"critical": True}, None),
    ({"unsolicited_refused": "all", "direction": Direction.TO_SELLER}, {}, None),
    ({}, {"settings": PolicySettings(unsolicited="refuse")}, Status.UNSOLICITED),
    ({}, {"settings": PolicySettings(unsolicited="refuse"), "critical": True}, None),
])
def test_unsolicited(facts: dict[str, Any], changes: dict[str, Any], expected: Status | None) -> None:
    assert status(unsolicited.check(case(facts, **changes))) is expected


@pytest.mark.parametrize(("today", "changes", "expected"), [
    (2, {"critical": True}, None),
    (3, {"critical": True}, Status.CRITICAL_CAP),
    (3, {"critical": True, "solicited": True}, None),
    (3, {}, None),
])
def test_critical_cap(today: int, changes: dict[str, Any], expected: Status | None) -> None:
    assert status(critical_cap.check(case({"critical_today": today}, **changes))) is expected


@pytest.mark.parametrize(("sent", "orders", "direction", "expected"), [
    (599, 0, Direction.TO_BUYER, None),
    (600, 0, Direction.TO_BUYER, Status.DAILY_CAP),
    (600, 30, Direction.TO_BUYER, None),      # one order a day: five messages more
    (605, 30, Direction.TO_BUYER, Status.DAILY_CAP),
    (9999, 0, Direction.TO_SELLER, None),
])
def test_daily_cap(sent: int, orders: int, direction: Direction, expected: Status | None) -> None:
    facts = {"sent_today": sent, "orders_last_30_days": orders, "direction": direction}
    assert status(rate.check(case(facts))) is expected


def mime(head: str, body: str = "") -> Message:
    return Message.parse(crlf(f"From: {SELLER}\nTo: {TO}\n{head}\n\n{body}"))


@pytest.mark.parametrize(("head", "body", "expected"), [
    ("Content-Type: text/plain", "hola", None),
    ("Content-Type: text/plain\nContent-Type: text/html", "hola", Status.BROKEN),
    (f"From: {SELLER}", "hola", Status.BROKEN),
    ("Subject: =?utf-8?q?hola=0D=0ABcc:_x@y.example?=", "", Status.BROKEN),
    ("Content-Transfer-Encoding: uuencode", "", Status.BROKEN),
    ("Content-Type: multipart/mixed; boundary=x", "no parts", None),
    ("Content-Type: multipart/mixed; boundary=x", "--y\nContent-Type: text/html\n\nx\n--y--\n", Status.BROKEN),
    ("Content-Type: message/rfc822", "From: x", Status.CONTAINER),
    ("Content-Type: multipart/mixed; boundary=x", "--x\nContent-Type: message/partial\n\n--x--", Status.CONTAINER),
    ("Content-Type: multipart/encrypted; boundary=x", "--x\n\n\n--x--", Status.CONTAINER),
    ("Content-Type: application/ms-tnef", "", Status.CONTAINER),
])
def test_structure(head: str, body: str, expected: Status | None) -> None:
    assert status(structure.check(case(message=mime(head, body)))) is expected


def test_what_could_not_be_parsed_is_refused_with_its_reason() -> None:
    assert status(structure.check(case(message=None, problem=MessageError("x")))) is Status.BROKEN
    too_big = MessageError("more than 200 parts", too_big=True)
    assert status(structure.check(case(message=None, problem=too_big))) is Status.TOO_COMPLEX


def test_a_message_that_was_here_before_is_a_loop() -> None:
    frame = correspondence()
    own = frame.ring.seal(Role.TRACE, frame.domain, frame.number)
    others = [frame.ring.seal(Role.TRACE, frame.domain, number) for number in range(100, 105)]
    forged = own[:-1] + ("0" if own[-1] != "0" else "1")
    assert status(loop.check(case(message=mime(f"X-Tradepost-Trace: {own}")))) is Status.LOOP
    assert status(loop.check(case(message=mime(f"X-Tradepost-Trace: {forged}")))) is None
    assert status(loop.check(case(message=mime(f"X-Tradepost-Trace: {' '.join(others[:4])}")))) is None
    assert status(loop.check(case(message=mime(f"X-Tradepost-Trace: {' '.join(others)}")))) is Status.LOOP
    assert status(loop.check(case(message=mime("\n".join(["Received: by x"] * 51))))) is Status.LOOP


EXE, PDF, PNG, DOCX = made.EXE, made.pdf(), made.png(), made.docx()


def with_file(name: str, content: bytes, declared: str = "application/octet-stream") -> Message:
    import base64

    text = base64.encodebytes(content).decode()
    return mime("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x",
                f"--x\n\nhola\n--x\nContent-Type: {declared}\nContent-Transfer-Encoding: base64\n"
                f'Content-Disposition: attachment; filename="{name}"\n\n{text}\n--x--\n')


@pytest.mark.parametrize(("name", "content", "expected"), [
    ("a.txt", "año\r\n".encode(), None), ("a.txt", "año".encode("latin-1"), None), ("a.pdf", PDF, None),
    ("A.PDF", PDF, None), ("a.png", PNG, None), ("a.jpg", made.jpeg(), None), ("a.jpeg", made.jpeg(), None),
    ("a.gif", made.gif(), None), ("a.bmp", made.bmp(), None), ("a.tif", made.tiff(), None), ("a.tiff", made.tiff(), None),
    ("a.doc", made.doc(), None), ("a.docx", DOCX, None),
    ("a.exe", EXE, Status.ATTACHMENT_TYPE), ("a.zip", made.archive({"x": "y"}), Status.ATTACHMENT_TYPE),
    ("a", PDF, Status.ATTACHMENT_TYPE), (".pdf", PDF, Status.ATTACHMENT_TYPE), ("a.pdf.exe", PDF, Status.ATTACHMENT_TYPE),
    ("a.docm", DOCX, Status.ATTACHMENT_TYPE), ("a.exe.pdf", PDF, Status.ATTACHMENT_NAME),
    ("a.pdf", EXE, Status.ATTACHMENT_CONTENT), ("a.pdf", PNG, Status.ATTACHMENT_CONTENT),
    ("a.jpg", PNG, Status.ATTACHMENT_CONTENT), ("a.txt", EXE, Status.ATTACHMENT_CONTENT),
    ("a.docx", made.archive({"x": "y"}), Status.ATTACHMENT_CONTENT), ("a.pdf", b"", Status.ATTACHMENT_CONTENT),
    ("a.docx", made.docx(main=made.MACROS), Status.ATTACHMENT_ACTIVE),
    ("a.pdf", made.javascript(), Status.ATTACHMENT_ACTIVE), ("a.pdf", made.locked_pdf(), Status.ATTACHMENT_LOCKED),
    ("a.jpg", made.jpeg() + made.archive({"x": "y"}), Status.ATTACHMENT_MIXED),
    ("a.docx", made.docx_bomb(), Status.ATTACHMENT_UNREADABLE),
    ("a.doc", PDF, Status.ATTACHMENT_CONTENT), ("a.pdf", b"x" + PDF, Status.ATTACHMENT_CONTENT),
])
def test_attachments_by_extension_and_content(name: str, content: bytes, expected: Status | None) -> None:
    verdict = attachments.check(case(message=with_file(name, content)))
    assert status(verdict) is expected
    if verdict.reply:
        assert verdict.reply.values["file"] == name
        assert verdict.reply.values["accepted"] == LIST


@pytest.mark.parametrize(("other", "expected"), [
    ("a.pdf", None), ("b.PDF", None), ("a", None), ("a.exe", Status.ATTACHMENT_TYPE), ("a.png", Status.ATTACHMENT_TYPE),
    ("a.exe.pdf", Status.ATTACHMENT_NAME)])
def test_every_name_of_an_attachment_counts(other: str, expected: Status | None) -> None:
    found = with_file("a.pdf", PDF, f'application/pdf; name="{other}"')
    assert status(attachments.check(case(message=found))) is expected


def test_what_was_found_before_is_not_examined_again() -> None:
    found = with_file("a.pdf", PDF)
    problem = Problem(Status.ATTACHMENT_LOCKED, "seen before", {"extension": "pdf"})
    verdict = attachments.check(case(message=found, files={"2": Findings("pdf", problem)}))
    assert (status(verdict), verdict.reason) == (Status.ATTACHMENT_LOCKED, "seen before")


def test_ten_megabytes_decoded_and_not_one_octet_more() -> None:
    limit = PolicySettings().attachments_max_bytes
    assert attachments.check(case(message=with_file("a.txt", b"x" * limit))) is PASS
    assert status(attachments.check(case(message=with_file("a.txt", b"x" * (limit + 1))))) is Status.ATTACHMENTS_TOO_BIG


def test_a_file_name_in_a_reply_shows_no_address() -> None:
    verdict = attachments.check(case(message=with_file(f"{SELLER}.exe", EXE)))
    assert verdict.reply
    assert "@" not in verdict.reply.values["file"]


@pytest.mark.parametrize(("head", "expected"), [
    ("Subject: hola", False), ("Auto-Submitted: no", False), ("Auto-Submitted: auto-replied", True),
    ("Auto-Submitted: auto-replied; x=y", True), ("Auto-Submitted: auto-generated", False),
    ("Precedence: bulk", False), ("Precedence: auto_reply", True), ("X-Autoreply: yes", True),
    ("Content-Type: multipart/report; boundary=x", True),
])
def test_automatic_mail(head: str, expected: bool) -> None:
    assert is_automatic(mime(head)) is expected
