"""SIGTERM: whatever is under way, the process is gone within ten seconds."""

from __future__ import annotations

import asyncio
import smtplib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest
from support import SELLER, Relay, message

Start = Callable[..., Awaitable[Relay]]
STOP_WITHIN_S = 10.0


@pytest.fixture
async def tarpit() -> AsyncIterator[tuple[int, asyncio.Event]]:
    """A server that takes one message and never answers the final dot of the second; (port, that it came to that)."""
    stuck = asyncio.Event()

    async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken = 0
        writer.write(b"220 outside.example\r\n")
        while line := await reader.readline():
            if line[:4].upper() == b"DATA":
                writer.write(b"354 Go on\r\n")
                await reader.readuntil(b"\r\n.\r\n")
                taken += 1
                if taken > 1:
                    stuck.set()
                    await reader.read()
                    break
            writer.write(b"250 OK\r\n")
        writer.close()

    server = await asyncio.start_server(session, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1], stuck
    server.close()


async def test_a_server_that_answers_nothing_does_not_keep_the_daemon(
        start_relay: Start, tarpit: tuple[int, asyncio.Event]) -> None:
    port, stuck = tarpit
    relay = await start_relay(outbound={"route": f"smtp://127.0.0.1:{port}", "connections_per_host": 1})
    alias = relay.order()["buyer"]["alias"]
    for number in range(2):
        assert (await relay.send(SELLER, alias, message(SELLER, alias, f"Hola {number}")))[0] == 250
    async with asyncio.timeout(10):
        await stuck.wait()
    since = time.monotonic()
    assert await relay.stop() == 0
    assert time.monotonic() - since < STOP_WITHIN_S
    assert sorted(one["state"] for one in relay.messages()) == ["delivered", "queued"]


async def test_messages_that_take_long_to_judge_do_not_keep_the_daemon(start_relay: Start) -> None:
    relay = await start_relay(policy={"max_size": "32MiB"})
    alias = relay.order()["buyer"]["alias"]
    text = "hola sol arroba tienda punto example ana.lopez + 34 600 123 456\n" * 230_000
    answers: list[int] = []

    async def send(number: int) -> None:
        with suppress(smtplib.SMTPException, OSError):
            answers.append((await relay.send(SELLER, alias, message(SELLER, alias, f"Hola {number}", text)))[0])

    tasks = [asyncio.create_task(send(number)) for number in range(4)]
    await asyncio.sleep(3)
    since = time.monotonic()
    assert await relay.stop() == 0
    assert time.monotonic() - since < STOP_WITHIN_S
    await asyncio.gather(*tasks)
    assert len(relay.messages()) >= answers.count(250)
