"""STARTTLS by clients that do not do their half of it."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable

import pytest
from hostile import Client, open_sockets
from support import Relay

from relay.receive.service import Service

Start = Callable[..., Awaitable[Relay]]
HELLO_BEGUN = b"\x16\x03\x01\x02\x00\x01"
"""The first octets of a ClientHello."""


async def begun(relay: Relay, behind: bytes = b"") -> Client:
    """A client that has said STARTTLS, and has sent more behind it in the same write."""
    client = await Client.connect(relay.port)
    await client.reply()
    assert (await client.say("EHLO client.example")).startswith("250")
    client.send(b"STARTTLS\r\n" + behind)
    assert (await client.reply()).startswith("220")
    return client


@pytest.mark.parametrize("octets", [6, 9000, 60_000])
async def test_what_came_in_plain_is_dropped_however_much_it_is(start_relay: Start, octets: int) -> None:
    """RFC 3207 4.2. Over 8 KB of it had reading paused, and the handshake was never read."""
    relay = await start_relay()
    client = await begun(relay, b"NOOP\r\n" * (octets // 6))
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    await asyncio.wait_for(client.writer.start_tls(context), 10)
    # the EHLO from before counts no more, and the NOOPs were never there
    assert (await client.say("MAIL FROM:<a@b.example>")).startswith("503 5.5.1")
    assert (await client.say("EHLO client.example")).startswith("250")
    assert (await client.say("STARTTLS")).startswith("502 5.5.1")
    assert (await client.say("QUIT")).startswith("221")
    await client.close()
    assert '"crashed"' not in relay.log.read_text()


async def test_a_handshake_has_the_time_of_a_command(start_relay: Start) -> None:
    """It is neither told anything in plain, nor does it count as a connection once it is cut."""
    relay = await start_relay(limits={"exempt": [], "greeting_delay": 0, "command_timeout": "1s", "connections": 3})
    assert relay.process
    clients = [await begun(relay) for _ in range(3)]
    sockets = open_sockets(relay.process.pid)
    clients[1].send(HELLO_BEGUN)
    await clients[2].close()
    assert [await client.closed() for client in clients[:2]] == ["", ""]
    for _ in range(50):
        if open_sockets(relay.process.pid) == sockets - 3:
            break
        await asyncio.sleep(0.1)
    assert open_sockets(relay.process.pid) == sockets - 3
    again = [await begun(relay) for _ in range(3)]
    assert await relay.stop() == 0
    assert '"crashed"' not in relay.log.read_text()
    for client in (*clients, *again):
        await client.close()


async def test_sigterm_beside_handshakes_that_do_not_end(start_relay: Start) -> None:
    relay = await start_relay()
    stuck = [await begun(relay, behind) for behind in (b"", HELLO_BEGUN, b"NOOP\r\n" * 3000)]
    idle = await Client.connect(relay.port)
    await idle.reply()
    started = time.monotonic()
    assert await relay.stop() == 0
    assert time.monotonic() - started < 10
    assert (await idle.closed()).startswith("421 4.3.2")
    assert '"crashed"' not in relay.log.read_text()
    for client in (*stuck, idle):
        await client.close()


async def test_a_session_that_breaks_does_not_keep_the_others_from_their_end() -> None:
    told: list[str] = []

    class Broken:
        def hang_up(self, line: str) -> None:
            raise AttributeError("'NoneType' object has no attribute '_get_write_buffer_size'")

        def check(self, now: float) -> None:
            raise RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")

        def abort(self) -> None:
            told.append("abort")
            raise RuntimeError

    class Well(Broken):
        def hang_up(self, line: str) -> None:
            told.append(line[:3])

        def check(self, now: float) -> None:
            told.append("check")
            stop.set()

    def service(*sessions: Broken) -> Service:
        one = object.__new__(Service)
        one.hostname, one.stopping, one.sessions, one._accepting = "relay.example", False, set(sessions), set()
        return one

    stop = asyncio.Event()
    one = service(Broken(), Well(), Broken())
    await one.stop()
    assert sorted(told) == ["421", "abort", "abort"]
    assert len(one.sessions) == 1
    told.clear()
    await service(Broken(), Well(), Broken()).sweep(stop)
    assert sorted(told) == ["abort", "abort", "check"]
