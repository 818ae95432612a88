"""The key ring while the daemon serves, and what a stranger learns of who exists."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import socket
import stat
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from load import Load
from pysqlite3 import dbapi2 as sqlite
from stranger import Client
from support import BUYER, ORDER, SELLER, Relay, message

from aliasing.token import Action, KeyRing, OpenedAction, Role
from relay.demo.outside import OutsideServer
from relay.keys import CREDENTIAL, Keys
from relay.receive.limits import Guard
from relay.receive.server import listen
from relay.sections import LimitsSection

Start = Callable[..., Awaitable[Relay]]
OTHER = "111-2222222-4444444"
NO_SUCH = b"550 5.1.1"


def edit(relay: Relay, sql: str) -> None:
    """What no command does yet."""
    with contextlib.closing(sqlite.connect(str(relay.folder / "var/ledger.db"), timeout=10)) as ledger, ledger:
        ledger.execute(sql)
        ledger.execute("UPDATE revision SET value = value + 1 WHERE name = 'registry'")


def ring_of(relay: Relay) -> KeyRing:
    return Keys(relay.folder / "var/keys").ring


def keys_of(relay: Relay) -> dict[str, dict[str, Any]]:
    return {one["id"]: one for one in relay.json("key", "list")}


# -- the key ring while the daemon serves --------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_key_is_replaced_under_load_and_retires(start_relay: Start, outside: OutsideServer, workers: int) -> None:
    relay = await start_relay(relay={"workers": workers}, policy={"rate_base": 10**9},
                              outbound={"route": f"smtp://127.0.0.1:{outside.port}", "retry": ["1s"]})
    alias = relay.order()["buyer"]["alias"]
    load = Load(relay.port, SELLER, alias, sessions=4, limit=10**6)
    running = asyncio.create_task(load.run())
    printed = await asyncio.to_thread(relay.run, "key", "rotate")
    assert printed == "key 2 seals from now on\n2 data keys are wrapped anew with key 2\n"
    later = (await asyncio.to_thread(relay.order, OTHER))["buyer"]["alias"]
    for number in range(8):  # whichever process is asked, at once
        assert (await relay.send(SELLER, later, message(SELLER, later, f"número {number}")))[0] == 250
    held = await asyncio.to_thread(keys_of, relay)
    assert [(key, held[key]["parties"], held[key]["open"], held[key]["seals_new"]) for key in held] == [
        ("1", 0, 1, False), ("2", 2, 1, True)]
    said = await asyncio.to_thread(relay.run, "key", "retire", "1", check=1)
    assert "key 1 stays: 1 open correspondences" in said
    load.stop = True
    await running
    assert not load.unknown
    await outside.wait_for(len(load.accepted) + 8, timeout=60)
    relay.run("order", "close", ORDER)
    edit(relay, f"UPDATE correspondence SET closed_at = closed_at - 8 * 86400 WHERE order_number = '{ORDER}'")
    assert "key 1 is gone" in relay.run("key", "retire", "1")
    assert list(keys_of(relay)) == ["2"]
    async with asyncio.timeout(20):
        while not await unknown_everywhere(relay.port, alias):
            await asyncio.sleep(0.2)
    assert (await relay.send(SELLER, later, message(SELLER, later, "al final")))[0] == 250
    assert [(row["order"], row["buyer"]["alias"]) for row in relay.json("order", "list")] == [(OTHER, later), (ORDER, None)]
    assert "crashed" not in relay.log.read_text()


async def unknown_everywhere(port: int, alias: str) -> bool:
    for _ in range(8):
        async with Client(port) as client:
            if not (await client.rcpt(alias.partition("@")[0]))[0].startswith(NO_SUCH):
                return False
    return True


async def test_a_daemon_whose_ring_is_lost_goes_on_and_says_so(relay: Relay) -> None:
    alias = relay.order()["buyer"]["alias"]
    (relay.folder / "var/keys").rename(relay.folder / "kept")
    async with asyncio.timeout(10):
        while "key-ring-failed" not in relay.log.read_text():
            await asyncio.sleep(0.1)
    async with Client(relay.port) as client:
        assert (await client.rcpt("0" * 39))[0].startswith(NO_SUCH)
    assert (await relay.send(SELLER, alias, message(SELLER, alias)))[0] == 250
    assert relay.log.read_text().count("key-ring-failed") == 1
    assert "there is no key ring" in relay.run("order", "list", check=2)


async def test_the_ring_is_wrapped_by_the_credential(tmp_path: Path, outside: OutsideServer) -> None:
    relay = Relay(tmp_path, {"outbound": {"route": f"smtp://127.0.0.1:{outside.port}"}})
    given = {**relay.environment(), "CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")}
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / CREDENTIAL).write_bytes(os.urandom(32))
    plain, relay.environment = relay.environment, lambda: given  # type: ignore[method-assign]
    alias = relay.order()["buyer"]["alias"]
    try:
        await relay.start()
        relay.run("key", "rotate")
        later = relay.order(OTHER)["buyer"]["alias"]
        assert set(json.loads((tmp_path / "var/keys").read_text())) == {"version", "wrapped"}
        assert stat.S_IMODE((tmp_path / "var/keys").stat().st_mode) == 0o600
        for to in (alias, later):
            assert (await relay.send(SELLER, to, message(SELLER, to)))[0] == 250
        relay.environment = plain  # type: ignore[method-assign]
        assert f"was not given {CREDENTIAL}" in relay.run("order", "list", check=2)
        assert f"was not given {CREDENTIAL}" in relay.run("serve", check=2)
        relay.environment = lambda: given  # type: ignore[method-assign]
        assert relay.run("key", "wrap", "--off") == "the key ring is plain\n"
        relay.environment = plain  # type: ignore[method-assign]
        assert len(relay.json("order", "list")) == 2
        assert (await relay.send(SELLER, alias, message(SELLER, alias, "otra vez")))[0] == 250
    finally:
        await relay.stop()


# -- who exists ----------------------------------------------------------------------------------------------------


def locals_of(relay: Relay, kind: str) -> str:
    ring = ring_of(relay)
    if kind == "forged":
        return "".join(random.choices("0123456789abcdefghjkmnpqrstvwxyz", k=39))
    if kind == "unknown":
        return ring.seal(Role.BUYER, "relay.example", random.randrange(1 << 40))
    assert kind == "erased"
    return str(relay.erased)  # type: ignore[attr-defined]


@pytest.fixture
async def with_erased(start_relay: Start, outside: OutsideServer) -> Relay:
    """A relay with an order of two parties, and another whose buyer was erased."""
    relay = await start_relay(outbound={"route": f"smtp://127.0.0.1:{outside.port}"},
                              limits={"greeting_delay": "0s", "refusals": 10_000})
    relay.order()
    gone = relay.order(OTHER, buyer="B9", buyer_address="nadie@correo.example")
    edit(relay, "UPDATE party SET data_key = NULL, name_sealed = NULL WHERE external_id = 'B9'")
    relay.erased = gone["buyer"]["alias"].partition("@")[0]  # type: ignore[attr-defined]
    return relay


async def test_forged_unknown_and_erased_aliases_cannot_be_told_apart(with_erased: Relay) -> None:
    """By the words, or by time: between any two kinds, which of two answers took longer is anybody's guess."""
    kinds, connections, each = ("forged", "unknown", "erased"), 4, 25
    took: dict[str, list[float]] = {kind: [] for kind in kinds}
    words = set()

    async def probe() -> None:
        async with Client(with_erased.port) as client:
            for kind in random.sample(kinds * each, k=len(kinds) * each):
                reply, seconds = await client.rcpt(locals_of(with_erased, kind))
                words.add(reply)
                took[kind].append(seconds)

    await asyncio.gather(*(probe() for _ in range(connections)))
    assert len(words) == 1
    assert words.pop().startswith(NO_SUCH)
    assert min(min(values) for values in took.values()) > 0.048
    for one, other in (("forged", "unknown"), ("forged", "erased"), ("unknown", "erased")):
        assert 0.3 < likelier_slower(took[one], took[other]) < 0.7, {kind: sorted(took[kind]) for kind in kinds}


def likelier_slower(some: list[float], others: list[float]) -> float:
    """How probable it is that one of `some` is above one of `others`: Mann and Whitney's U, as a share. With a hundred
    of each and no difference its standard deviation is 0.04."""
    return sum((one > other) + (one == other) / 2 for one in some for other in others) / (len(some) * len(others))


@pytest.mark.parametrize("look_s", [0.0, 0.002, 0.02, 0.04])
async def test_how_long_the_look_takes_does_not_show(look_s: float) -> None:
    """A refusal leaves a fixed time after its command, whatever phase of whatever clock that came in."""
    async def recipient(*_: object) -> str:
        await asyncio.sleep(look_s / 2)
        time.sleep(look_s / 2)
        return "550 5.1.1 No such address here"

    guard = Guard(LimitsSection(greeting_delay=0), max_size=1000, clock=time.monotonic, descriptors=1000)
    service: Any = SimpleNamespace(
        tls=None, guard=guard, hostname="relay.example", sessions=set(), stopping=False, max_size=1000,
        max_recipients=10, is_proxy=lambda _: False, is_forwarder=lambda _: False, recipient=recipient)
    sock = socket.create_server(("127.0.0.1", 0))
    sock.setblocking(False)
    server = await listen(sock, service)
    took = []
    async with Client(sock.getsockname()[1]) as client:
        for _ in range(9):
            took.append((await client.rcpt("0" * 39))[1])
            await asyncio.sleep(random.random() * 0.01)
    server.close()
    assert 0.048 < sorted(took)[4] < 0.058, took


async def test_sealed_addresses_that_lead_nowhere_are_answered_like_those_that_lead_somewhere(
        with_erased: Relay, outside: OutsideServer) -> None:
    """Action addresses and return paths: what a stranger who has got hold of one is told, at RCPT and after DATA."""
    relay, ring = with_erased, ring_of(with_erased)
    alias = relay.json("order", "show", ORDER)[0]["buyer"]["alias"]
    await relay.send(SELLER, alias, message(SELLER, alias))
    sent = (await outside.wait_for(1))[0]
    await relay.settle("delivered")
    known = relay.messages()[0]["id"]
    numbers = {kind: ring.open(Role.BUYER, "relay.example", local) or 0
               for kind, local in (("live", alias.partition("@")[0]), ("erased", locals_of(relay, "erased")))}

    def action(number: int, public_id: str) -> str:
        return ring.seal_action(OpenedAction(Action.REPORT, Role.BUYER, number, public_id), "relay.example", 1)

    edit(relay, "INSERT INTO message (public_id, trace, correspondence_id, direction, channel, state, received_at, size) "
                "SELECT 'erased', 't', id, 'to-buyer', 'mail', 'delivered', 0, 1 FROM correspondence "
                f"WHERE order_number = '{OTHER}'")
    edit(relay, "INSERT INTO delivery (message_id, kind, party_id, state, attempts, created_at) "
                "SELECT id, 'message', 1, 'delivered', 1, 0 FROM message WHERE public_id = 'erased'")
    places = {
        "action": [action(numbers["live"], known), action(numbers["live"], "0" * 16), action(numbers["erased"], known),
                   action(12345, known)],
        "return": [sent.reverse_path.partition("@")[0], ring.seal(Role.RETURN, "relay.example", 2),
                   ring.seal(Role.RETURN, "relay.example", 12345)],
    }
    for locals_ in places.values():
        said = []
        for local in locals_:
            async with Client(relay.port) as client:
                at_rcpt, _ = await client.rcpt(local)
                await client.say("DATA")
                after, _ = await client.say("From: nobody@outside.example\r\nSubject: hola\r\n\r\nhola\r\n.")
                said.append((at_rcpt, after))
        assert len(set(said)) == 1, said
        assert said[0][0].startswith(b"250 ")


async def test_a_stranger_hears_nothing_of_a_correspondence(relay: Relay) -> None:
    """The same at RCPT and after DATA, whatever there is to know; the counterpart is told."""
    aliases = {}
    for number, state in enumerate(("open", "closed", "blocked", "opted out")):
        aliases[state] = relay.order(f"111-2222222-{number:07}", buyer=f"B{number}",
                                     buyer_address=f"{number}{BUYER}")["buyer"]["alias"]
    relay.run("order", "close", "111-2222222-0000001")
    edit(relay, "UPDATE correspondence SET closed_at = 1 WHERE closed_at IS NOT NULL")
    relay.run("block", "add", "--scope", "buyer", "--party", "B2", "--kind", "counterpart", "--value", "S1")
    relay.run("block", "add", "--scope", "buyer", "--party", "B3", "--kind", "unsolicited")
    stranger, told = "x@outside.example", {}
    said = {await relay.send(stranger, alias, message(stranger, alias)) for alias in aliases.values()}
    assert len(said) == 1
    assert next(iter(said))[0] == 550
    assert "111-2222222" not in next(iter(said))[1]
    for state, alias in aliases.items():
        told[state] = await relay.send(SELLER, alias, message(SELLER, alias, state))
    assert [code for code, _ in told.values()] == [250, 550, 550, 550]
    assert len(set(told.values())) == 4
