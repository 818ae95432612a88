"""The queue of the running daemon: destinations that are down or hang, clients that come back, operators."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from support import BUYER, SELLER, Relay, message

from relay.demo.nameserver import NameServer
from relay.demo.outside import OutsideServer

Start = Callable[..., Awaitable[Relay]]
OTHER = "eva@otro.example"


class Hanging:
    """A server that takes connections and says nothing."""

    def __init__(self) -> None:
        self.connections = 0
        self._writers: list[asyncio.StreamWriter] = []

    async def start(self, host: str, port: int) -> None:
        self._server = await asyncio.start_server(self._connected, host, port)

    def close(self) -> None:
        """Hang up as well: a daemon that stops would wait eight seconds for an answer."""
        self._server.close()
        for writer in self._writers:
            writer.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        with suppress(OSError):
            await reader.read()
        writer.close()


async def two_destinations(start_relay: Start, nameserver: NameServer, outside: OutsideServer,
                           **outbound: Any) -> tuple[Relay, str, str]:
    """A relay that finds correo.example at 127.0.0.3 and otro.example where `outside` is; an alias for each."""
    nameserver.zone = {
        ("correo.example", "MX"): ["10 mx.correo.example."], ("mx.correo.example", "A"): ["127.0.0.3"],
        ("otro.example", "MX"): ["10 mx.otro.example."], ("mx.otro.example", "A"): ["127.0.0.1"]}
    relay = await start_relay(
        outbound={"route": "mx", "port": outside.port, "allow_loopback": True, "retry": ["1h"]} | outbound,
        dns={"resolvers": [f"127.0.0.1:{nameserver.port}"]})
    dead = relay.order()["buyer"]["alias"]
    well = relay.order("A2", buyer="B2", buyer_address=OTHER, buyer_name="Eva")["buyer"]["alias"]
    return relay, dead, well


async def test_a_destination_that_hangs_delays_no_other(
        start_relay: Start, nameserver: NameServer, outside: OutsideServer) -> None:
    hanging = Hanging()
    await hanging.start("127.0.0.3", outside.port)
    relay, slow, well = await two_destinations(start_relay, nameserver, outside)
    for number in range(30):
        assert (await relay.send(SELLER, slow, message(SELLER, slow, f"lento {number}")))[0] == 250
    await relay.send(SELLER, well, message(SELLER, well))
    await outside.wait_for(1, OTHER)
    assert hanging.connections <= 2
    hanging.close()


async def test_a_destination_that_is_down_is_tried_once_for_all(
        start_relay: Start, nameserver: NameServer, outside: OutsideServer) -> None:
    relay, dead, well = await two_destinations(start_relay, nameserver, outside)
    await relay.send(SELLER, dead, message(SELLER, dead, "primero"))
    await relay.settle("deferred")
    for number in range(10):
        await relay.send(SELLER, dead, message(SELLER, dead, f"luego {number}"))
    await relay.send(SELLER, well, message(SELLER, well))
    await outside.wait_for(1, OTHER)
    lines = relay.json("queue", "list", "--destination", "correo.example")
    assert [line["attempts"] for line in lines] == [1] + [0] * 10
    up = OutsideServer()
    await up.start(outside.port, host="127.0.0.3")
    assert relay.run("queue", "retry", "--destination", "correo.example") == "retry: 11\n"
    assert len({one.raw for one in await up.wait_for(11, BUYER)}) == 11
    await up.stop()


async def test_retry_reaches_a_smarthost_that_is_up_again(start_relay: Start, outside: OutsideServer) -> None:
    relay = await start_relay(outbound={"route": f"smtp://127.0.0.1:{outside.port}", "retry": ["1h"]})
    alias, port = relay.order()["buyer"]["alias"], outside.port
    await outside.stop()
    for number in range(5):
        await relay.send(SELLER, alias, message(SELLER, alias, f"{number}"))
    await relay.settle("deferred")
    await outside.start(port)
    assert relay.run("queue", "retry", "--all") == "retry: 5\n"
    await outside.wait_for(5, BUYER)


async def test_a_server_that_is_busy_gets_fewer_connections_and_everything_in_the_end(
        start_relay: Start, outside: OutsideServer) -> None:
    """421 at the first command after each message: not an attempt at the next one, which goes over a new connection."""
    relay = await start_relay(outbound={"route": f"smtp://127.0.0.1:{outside.port}", "retry": ["1h"]})
    alias = relay.order()["buyer"]["alias"]
    handler: Any = outside

    async def one_message_a_connection(server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if getattr(session, "served", False):
            return "421 4.7.0 One message a connection"
        session.served = True
        envelope.mail_from = address
        return "250 OK"

    handler.handle_MAIL = one_message_a_connection
    for number in range(10):
        await relay.send(SELLER, alias, message(SELLER, alias, f"{number}"))
    await outside.wait_for(10, BUYER)
    await relay.settle("delivered", 10)


# -- the very same message again ---------------------------------------------------------------------------


def received(data: bytes, number: int) -> bytes:
    return b"Received: from a.example by b.example with ESMTP id %d; Tue, 24 Nov 2026 10:00:0%d +0000\r\n" % (
        number, number) + data


async def test_a_client_that_lost_our_250_is_told_again_and_nobody_gets_it_twice(
        relay: Relay, outside: OutsideServer) -> None:
    alias = relay.order()["buyer"]["alias"]
    data = message(SELLER, alias)
    for number in range(3):
        assert (await relay.send(SELLER, alias, received(data, number)))[0] == 250
        await relay.settle("delivered")
    await relay.send(SELLER, alias, message(SELLER, alias, "otro"))
    await relay.settle("delivered", 2)
    assert [b"Subject: otro" in one.raw for one in outside.arrived] == [False, True]
    entries = relay.messages()
    assert len(entries) == 2
    events = relay.json("message", "show", entries[-1]["id"])[0]["events"]
    assert [event["kind"] for event in events].count("repeated") == 2
    assert '"repeated"' in relay.log.read_text()


async def test_the_same_message_in_many_sessions_at_once_is_forwarded_once(
        relay: Relay, outside: OutsideServer) -> None:
    alias = relay.order()["buyer"]["alias"]
    data = message(SELLER, alias)
    answers = await asyncio.gather(*(relay.send(SELLER, alias, data) for _ in range(8)))
    assert {code for code, _ in answers} == {250}
    await relay.settle("delivered")
    assert len(relay.messages()) == len(outside.arrived) == 1


async def test_what_only_looks_the_same_is_forwarded(relay: Relay, outside: OutsideServer) -> None:
    """Another recipient, another text, another Date where there is no Message-ID."""
    alias = relay.order()["buyer"]["alias"]
    other = relay.order("A2", buyer="B2", buyer_address=OTHER, buyer_name="Eva")["buyer"]["alias"]
    data = message(SELLER, alias)
    bare = message(SELLER, alias, Message_ID="")
    for rcpt_to, one in ((alias, data), (other, data), (alias, data + b"PD: gracias\r\n"), (alias, bare), (alias, bare),
                         (alias, bare.replace(b"10:00:00", b"10:00:01")), (alias, received(bare, 1))):
        assert (await relay.send(SELLER, rcpt_to, one))[0] == 250
    await relay.settle("delivered", 6)
    assert len(outside.arrived) == 6  # the second `bare` is the first one's every octet


async def test_two_words_without_date_and_id_are_two_messages(relay: Relay, outside: OutsideServer) -> None:
    alias = relay.order()["buyer"]["alias"]
    for _ in range(2):
        assert (await relay.send(SELLER, alias, message(SELLER, alias, Message_ID="", Date="")))[0] == 250
    await relay.settle("delivered", 2)


async def test_a_refused_message_is_judged_anew(relay: Relay, outside: OutsideServer) -> None:
    alias = relay.order()["buyer"]["alias"]
    new = "tienda@nuevo.example"
    data = message(new, alias)
    assert (await relay.send(new, alias, data))[0] == 550
    relay.run("address", "authorise", "S1", new)
    assert (await relay.send(new, alias, data))[0] == 250
    await outside.wait_for(1, BUYER)


@pytest.mark.parametrize("verb", ["hold", "drop"])
async def test_the_list_pages_and_commands_name_a_destination(
        start_relay: Start, nameserver: NameServer, outside: OutsideServer, verb: str) -> None:
    relay, dead, _ = await two_destinations(start_relay, nameserver, outside)
    for number in range(4):
        await relay.send(SELLER, dead, message(SELLER, dead, f"{number}"))
    await relay.settle("deferred")
    first = relay.json("queue", "list", "--limit", "3")
    rest = [json.loads(line) for line in relay.run(
        "queue", "list", "--after", first[-1]["id"], "--json").splitlines()]
    assert len(first) == 3
    assert len(rest) == 1
    assert relay.run("queue", verb, "--destination", "otro.example", check=1) == f"{verb}: 0\n"
    assert relay.run("queue", verb, "--destination", "correo.example") == f"{verb}: 4\n"
    await relay.settle({"hold": "held", "drop": "failed"}[verb], 4)
