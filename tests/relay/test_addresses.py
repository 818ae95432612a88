"""From which addresses a party may write: by the command line, and by answering a question that comes by mail."""

from __future__ import annotations

import email
import email.policy
import smtplib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any

import pytest
from operating import logged, until
from submitting import OTHERS_PASSWORD, PASSWORD, add_login, listeners, plain, port, session, submit
from support import BUYER, ORDER, SELLER, Relay, correspondence, message

from aliasing.address import Address
from aliasing.correspondence import Direction
from policy.case import AddressState, Case, Facts, PolicySettings, RelayBlocks
from policy.chain import WRITER_RULES, decide
from policy.rules import authorised, login
from relay.asking import asked_address
from relay.demo.outside import OutsideServer
from relay.dsn.question import masked
from relay.passage import read

Start = Callable[..., Awaitable[Relay]]
NEW = "sol.privado@correo-libre.example"


@pytest.fixture
async def relay(start_relay: Start, outside: OutsideServer) -> Relay:
    relay = await start_relay(**listeners(outside))
    relay.order()
    add_login(relay)
    return relay


def alias(relay: Relay, side: str = "buyer") -> str:
    return str(relay.json("order", "show", ORDER)[0][side]["alias"])


async def write(relay: Relay, from_: str, to: str, name: str = "S1", password: str = PASSWORD, **fields: str) -> str:
    """The last reply to a message that a login submits."""
    def work(client: smtplib.SMTP) -> str:
        assert client.docmd("AUTH", f"PLAIN {plain(name, password)}")[0] == 235
        code, text = submit(client, from_, [to], message(from_, to, **fields))[-1]
        return f"{code} {text}"

    return str(await session(await port(relay, "submission"), work))


async def test_each_state_has_its_own_reply(relay: Relay) -> None:
    to, replies = alias(relay), []
    for verb in ("authorise", "block", "remove", "authorise"):
        relay.run("address", verb, "S1", NEW)
        code, text = await relay.send(NEW, to, message(NEW, to, verb))
        replies.append((code, text.rpartition("[")[2].strip("]") if code == 550 else ""))
    assert replies == [(250, ""), (550, "ADDRESS_BLOCKED"), (550, "ADDRESS_REMOVED"), (250, "")]
    assert (await relay.send("x@y.example", to, message("x@y.example", to)))[1].endswith("[NOT_AUTHORISED]")


def test_a_groups_address_is_marked(tmp_path: Any) -> None:
    relay = Relay(tmp_path, {})
    relay.order()
    relay.run("address", "authorise", "S1", "ventas@tienda.example", "--group")
    assert [(one["registered"], one["group"]) for one in relay.json("address", "list", "S1")] == [(True, False), (False, True)]
    relay.run("address", "block", "S1", "ventas@tienda.example")
    assert relay.json("address", "reveal", "S1")[1] == {
        "party": "seller:S1", "state": "blocked", "address": "ventas@tienda.example", "registered": False, "group": True}
    relay.run("address", "authorise", "S1", "ventas@tienda.example", "--no-group")
    assert not relay.json("address", "list", "S1")[1]["group"]


async def test_a_new_address_is_authorised_by_answering_a_question(relay: Relay, outside: OutsideServer) -> None:
    to = alias(relay)
    assert (await write(relay, NEW, to)).endswith("[CONFIRM_ADDRESS]")
    [asked] = await outside.wait_for(1, SELLER)
    question = email.message_from_bytes(asked.raw, policy=email.policy.default)
    assert asked.reverse_path == "<>"
    assert question["auto-submitted"] == "auto-generated"
    assert "so***@correo-libre.example" in question["subject"]
    assert NEW.encode() not in asked.raw
    action = question["from"].addresses[0].addr_spec
    assert (await relay.send(NEW, action, message(NEW, action)))[0] == 550  # not by itself
    assert (await relay.send("", action, message(SELLER, action, Auto_Submitted="auto-replied")))[0] == 550
    assert (await relay.send(BUYER, action, message(BUYER, action)))[0] == 550
    assert (await relay.send(SELLER, action, message(SELLER, action)))[0] == 250
    assert (await write(relay, NEW, to, subject="Otra vez")).startswith("250")
    await outside.wait_for(1, BUYER)
    assert [one["party"] for one in logged(relay, "action-done")] == ["S1"]
    assert NEW not in relay.log.read_text()


async def test_one_question_an_address_and_day_and_five_in_all(relay: Relay, outside: OutsideServer) -> None:
    to = alias(relay)
    for number in (1, 1, 1, 2, 3, 4, 5, 6, 7):
        new = f"sol{number}@correo-libre.example"
        assert (await write(relay, new, to, subject=f"{number}")).endswith("[CONFIRM_ADDRESS]")
    await outside.wait_for(5, SELLER)
    assert relay.json("queue", "list") == []
    assert len(outside.arrived) == 5


async def test_what_was_blocked_since_is_not_authorised_by_an_old_question(relay: Relay, outside: OutsideServer) -> None:
    await write(relay, NEW, alias(relay))
    [asked] = await outside.wait_for(1, SELLER)
    relay.run("address", "block", "S1", NEW)
    action = email.message_from_bytes(asked.raw, policy=email.policy.default)["from"].addresses[0].addr_spec
    assert (await relay.send(SELLER, action, message(SELLER, action)))[0] == 550
    assert [one["state"] for one in relay.json("address", "list", "S1")] == ["authorised", "blocked"]


async def test_nobody_is_asked_about_a_stranger_or_for_a_buyer(relay: Relay, outside: OutsideServer) -> None:
    """No backscatter: who has not shown who they are makes us write to nobody."""
    add_login(relay, "B1", OTHERS_PASSWORD)
    to = alias(relay)
    assert (await relay.send(NEW, to, message(NEW, to)))[1].endswith("[NOT_AUTHORISED]")
    assert (await write(relay, NEW, alias(relay, "seller"), "B1", OTHERS_PASSWORD)).endswith("[LOGIN_FROM]")
    assert (await write(relay, BUYER, to)).endswith("[LOGIN_FROM]")
    assert (await write(relay, to, to)).endswith("[LOGIN_FROM]")
    relay.run("address", "remove", "S1", SELLER, check=2)
    relay.run("address", "authorise", "S1", NEW)
    relay.run("address", "remove", "S1", NEW)
    assert (await write(relay, NEW, to)).endswith("[ADDRESS_REMOVED]")
    await until(lambda: len(relay.messages()) == 5)
    assert not relay.json("queue", "list")
    assert not outside.arrived


# -- the rules, without a relay --------------------------------------------------------------------------------


def case(from_: str, who: str | None, direction: Direction = Direction.TO_BUYER, **states: AddressState) -> Case:
    frame = correspondence()
    letter = read(message(from_, str(frame.alias(direction.reader))))
    known = {Address.parse(SELLER).key: AddressState.AUTHORISED} | {
        Address.parse(f"{name}@tienda.example").key: state for name, state in states.items()}
    facts = Facts(frame, direction, known, frozenset({Address.parse(BUYER).key}))
    return Case(client=ip_address("192.0.2.1"), reverse_path=Address.parse(SELLER), facts=facts, settings=PolicySettings(),
                blocks=RelayBlocks(), now=datetime(2026, 11, 24, tzinfo=UTC), message=letter.message,
                header_from=letter.header_from, login=who)


@pytest.mark.parametrize(("from_", "who", "status"), [
    (SELLER, None, None), (SELLER, "seller:S1", None), (SELLER, "buyer:S1", "LOGIN_NOT_PARTY"),
    (SELLER, "seller:S2", "LOGIN_NOT_PARTY"), (SELLER, "buyer:B1", "OWN_ALIAS"), (BUYER, "buyer:B1", "OWN_ALIAS"),
    (BUYER, "seller:S1", "LOGIN_FROM"), ("x@y.example", "seller:S1", "LOGIN_FROM"), ("x@y.example", None, None),
    ("gone@tienda.example", "seller:S1", "ADDRESS_REMOVED"), ("bad@tienda.example", "seller:S1", "ADDRESS_BLOCKED")])
def test_the_rule_for_logins(from_: str, who: str | None, status: str | None) -> None:
    verdict = login.check(case(from_, who, gone=AddressState.REMOVED, bad=AddressState.BLOCKED))
    assert (verdict.reply.status.name if verdict.reply else None) == status


def test_without_a_login_the_rule_for_addresses_says_the_same() -> None:
    names = []
    for from_ in ("gone@tienda.example", "bad@tienda.example", "x@y.example"):
        reply = authorised.check(case(from_, None, gone=AddressState.REMOVED, bad=AddressState.BLOCKED)).reply
        names.append(reply.status.name if reply else "")
    assert names == ["ADDRESS_REMOVED", "ADDRESS_BLOCKED", "NOT_AUTHORISED"]


@pytest.mark.parametrize(("from_", "direction", "sure", "asked"), [
    ("x@y.example", Direction.TO_BUYER, True, True), ("x@y.example", Direction.TO_BUYER, False, False),
    ("x@y.example", Direction.TO_SELLER, True, False), (BUYER, Direction.TO_BUYER, True, False),
    ("0egb@relay.example", Direction.TO_BUYER, True, False), (SELLER, Direction.TO_BUYER, True, False)])
def test_who_is_asked_about(from_: str, direction: Direction, sure: bool, asked: bool) -> None:
    one = case(from_, "seller:S1", direction)
    found = asked_address(decide(one, WRITER_RULES), read(message(from_, "a@relay.example")), one.facts, is_sure=sure)
    assert (found is not None) is asked


@pytest.mark.parametrize(("address", "shown"), [
    ("a@b.example", "***@b.example"), ("sol@b.example", "s***@b.example"), ("soledad@b.example", "so***@b.example")])
def test_an_address_is_shown_to_who_knows_it(address: str, shown: str) -> None:
    assert masked(Address.parse(address)) == shown
