from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import BUYER, SELLER, correspondence, crlf, message

from aliasing.address import Address
from aliasing.correspondence import Direction, Party, Side
from aliasing.fields import FIELDS, Action, rule_for
from aliasing.leaks import find_leaks
from aliasing.message import Message
from aliasing.rewrite import MAX_REFERENCES, Threads, message_ids, outgoing_id, rewrite

FRAME = correspondence()
KNOWN = outgoing_id(FRAME, b"original@reader.example")
THREADS = Threads("0123456789abcdef", datetime(2026, 11, 24, 9, 30, tzinfo=UTC), {KNOWN: b"original@reader.example"})
SECRETS = [secret for secret, _ in FRAME.secrets()]


def test_a_conversation_keeps_its_thread_in_both_mailboxes() -> None:
    def send(from_: str, id_: str, references: list[bytes], originals: dict[bytes, bytes], direction: Direction) -> Message:
        fields = {"Message_ID": f"<{id_}>", "References": " ".join(f"<{ref.decode()}>" for ref in references)}
        return rewrite(Message.parse(message(from_, "x@relay.example", **fields)), FRAME, direction,
                       Threads("x", THREADS.received_at, originals))

    one = send(SELLER, "s1@tienda.example", [], {}, Direction.TO_BUYER)
    seen_by_buyer = message_ids(one, "message-id")[0]
    two = send(BUYER, "b1@correo.example", [seen_by_buyer], {seen_by_buyer: b"s1@tienda.example"}, Direction.TO_SELLER)
    assert message_ids(two, "references") == [b"s1@tienda.example"]
    seen_by_seller = message_ids(two, "message-id")[0]
    three = send(SELLER, "s2@tienda.example", [b"s1@tienda.example", seen_by_seller],
                 {seen_by_seller: b"b1@correo.example"}, Direction.TO_BUYER)
    assert message_ids(three, "references") == [seen_by_buyer, b"b1@correo.example"]


@pytest.mark.parametrize("original", ["‹ñandú@pc.example›".encode(), b"x" * 3000 + b"@pc.example", BUYER.encode()])
def test_an_id_that_cannot_be_written_or_names_somebody_is_mapped_like_any_other(original: bytes) -> None:
    known = outgoing_id(FRAME, original)
    source = Message.parse(message(SELLER, "x@relay.example", In_Reply_To=f"<{known.decode()}>"))
    out = rewrite(source, FRAME, Direction.TO_BUYER, Threads("x", THREADS.received_at, {known: original}))
    assert message_ids(out, "in-reply-to") == [outgoing_id(FRAME, known)]


def test_long_references_keep_the_first_and_the_newest() -> None:
    ids = [b"<%d@x.example>" % number for number in range(500)]
    source = Message.parse(b"From: a@b.example\r\nReferences: " + b"\r\n ".join(ids) + b"\r\n\r\n")
    kept = message_ids(rewrite(source, FRAME, Direction.TO_BUYER, THREADS), "references")
    assert len(kept) == MAX_REFERENCES
    assert kept[0] == outgoing_id(FRAME, b"0@x.example")
    assert kept[-1] == outgoing_id(FRAME, b"499@x.example")


@pytest.mark.parametrize(("name", "field"), [
    ("Tienda Sol", b"From: Tienda Sol <"),
    ("Sol, S.L.", b'From: "Sol, S.L." <'),
    ('El "Sol"', b'From: "El \\"Sol\\"" <'),
    ("日本", b"From: =?utf-8?B?5pel5pys?= <"),
    ("", b"From: <"),
])
def test_the_name_is_the_marketplaces(name: str, field: bytes) -> None:
    parties = {**FRAME.parties, Side.SELLER: Party(Side.SELLER, "S1", name, "es")}
    out = rewrite(Message.parse(message("Otro <a@b.example>", "x")), correspondence(parties=parties), Direction.TO_BUYER,
                  THREADS)
    assert out.raw.startswith(field)


def test_fields_that_are_not_in_the_table_do_not_pass() -> None:
    assert rule_for("x-invented-tomorrow").action is Action.DROP
    assert all(rule.why for rule in FIELDS.values())
    out = rewrite(Message.parse(message(SELLER, "x", X_Invented_Tomorrow="y")), FRAME, Direction.TO_BUYER, THREADS)
    assert b"Tomorrow" not in out.raw


@given(st.binary(max_size=500))
def test_an_attachment_keeps_its_exact_bytes(content: bytes) -> None:
    body = content.replace(b"\n--", b"").replace(b"\r", b"").replace(b"\n", b"\r\n")
    raw = (b"From: a@b.example\r\nContent-Type: multipart/mixed; boundary=zz\r\n\r\n--zz\r\n"
           b"Content-Type: application/pdf\r\n\r\n" + body + b"\r\n--zz--\r\n")
    source = Message.parse(raw)
    out = rewrite(source, FRAME, Direction.TO_BUYER, THREADS)
    assert out.raw[out.root.body_start :] == raw[source.root.body_start :]


@pytest.mark.parametrize("body", [
    f"write to {SELLER}", f"write to {SELLER.upper()}.", f"<{SELLER}>", f"mailto:{SELLER}?subject=x", f"({BUYER})",
])
def test_what_is_typed_is_redacted_and_the_check_agrees(body: str) -> None:
    source = Message.parse(message("a@b.example", "x", body=body))
    assert find_leaks(source, SECRETS)
    out = rewrite(source, FRAME, Direction.TO_BUYER, THREADS)
    assert find_leaks(out, SECRETS) == []
    assert str(FRAME.alias(Side.SELLER)).encode() in out.raw or str(FRAME.alias(Side.BUYER)).encode() in out.raw


@pytest.mark.parametrize("body", [
    "mirasol@tienda.example", "sol@tienda.example.mx", "sol@tienda.examples", "x-sol@tienda.example", "sol at tienda",
])
def test_other_addresses_come_through_unchanged(body: str) -> None:
    source = Message.parse(message("a@b.example", "x", body=body))
    out = rewrite(source, FRAME, Direction.TO_BUYER, THREADS)
    assert out.raw.endswith(body.encode())
    assert find_leaks(out, SECRETS) == []


@pytest.mark.parametrize("part", [
    "Content-Type: text/html\n\nsol&#64;tienda.example",
    "Content-Type: text/html\n\nso<b>l@tienda</b>.example",
    "Content-Type: text/plain\n\nsol%40tienda.example",
    "Content-Type: text/plain\n\nso\u200bl@tienda.example",
    f'Content-Type: application/pdf; name="{SELLER}.pdf"\n\nx',
    f"Content-Type: application/pdf\nContent-Description: {SELLER}\n\nx",
    f"Content-Type: application/pdf\n{SELLER}: x\n\nx",
    f"Content-Type: text/plain\n\nx\n--zz--\n{SELLER}",
])
def test_every_hiding_place_is_found_before_and_empty_after(part: str) -> None:
    raw = crlf(f"From: a@b.example\nContent-Type: multipart/mixed; boundary=zz\n\n--zz\n{part}\n--zz--\n")
    assert find_leaks(Message.parse(raw), SECRETS)
    out = rewrite(Message.parse(raw), FRAME, Direction.TO_BUYER, THREADS)
    assert not find_leaks(out, SECRETS)


def test_an_internationalised_address_is_found_in_both_spellings() -> None:
    secret = Address.parse("ana@münchen.example")
    for spelling in ("ana@münchen.example", "ana@xn--mnchen-3ya.example", "ANA@MÜNCHEN.example"):
        assert find_leaks(Message.parse(message("a@b.example", "x", body=spelling)), [secret])
