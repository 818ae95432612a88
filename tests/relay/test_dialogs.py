"""SMTP dialogues as text files (dialogs/README.md), played against the installed daemon."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from support import SELLER, Relay

FOLDER = Path(__file__).parent.parent / "dialogs"
Start = Callable[..., Awaitable[Relay]]


def unescape(text: str) -> bytes:
    text = re.sub(r"\\x([0-9a-f]{2})", lambda match: f"\\{chr(0xE000 + int(match.group(1), 16))}", text)
    raw = text.encode().replace(b"\\r", b"\r").replace(b"\\n", b"\n").replace(b"\\0", b"\0")
    return re.sub(rb"\\(\xee[\x80-\x83][\x80-\xbf])", lambda match: bytes([ord(match.group(1).decode()) - 0xE000]), raw)


async def play(port: int, text: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    try:
        for line in text.splitlines():
            if not line or line.startswith("#"):
                continue
            kind, rest = line[:2], line[3:]
            times = 1
            if match := re.search(r" \*(\d+)$", rest):
                times, rest = int(match.group(1)), rest[: match.start()]
            if kind == "W:":
                rest, times = "".join([rest] * times), 1
            for _ in range(times):
                if kind == "S:":
                    reply = (await asyncio.wait_for(reader.readline(), 10)).decode("ascii")
                    assert reply.endswith("\r\n"), (line, reply)
                    assert re.match(rest, reply), (line, reply)
                elif kind == "X:":
                    assert await asyncio.wait_for(reader.read(), 10) == b"", line
                elif kind == "R:":
                    with contextlib.suppress(ConnectionError):
                        await asyncio.wait_for(reader.read(), 10)
                else:
                    if writer.is_closing():
                        break
                    writer.write(rest.encode() + b"\r\n" if kind == "C:" else unescape(rest))
            if kind in ("C:", "W:"):
                try:
                    await asyncio.wait_for(writer.drain(), 5)
                except (TimeoutError, ConnectionError):
                    continue  # the server has stopped reading: the next line says what it had to say
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def test_every_dialogue(start_relay: Start) -> None:
    """One daemon plays them all: what one connection does must not touch the next."""
    relay = await start_relay()
    order = relay.order()
    values = {"buyer-alias": order["buyer"]["alias"], "seller-alias": order["seller"]["alias"], "seller": SELLER,
              "BUYER-ALIAS": order["buyer"]["alias"].upper().replace("@", "+X@"), "forged": "0" * 38 + "z"}
    paths = sorted(FOLDER.glob("*.txt"))
    assert paths
    for path in paths:
        text = path.read_text()
        for name, value in values.items():
            text = text.replace("{" + name + "}", value)
        try:
            await play(relay.port, text)
        except (AssertionError, OSError, TimeoutError) as error:
            raise AssertionError(f"{path.name}: {error!r}") from error
    assert '"crashed"' not in relay.log.read_text()


async def test_refused_aliases_answer_in_the_same_time_and_forged_ones_read_nothing(start_relay: Start) -> None:
    relay = await start_relay()
    relay.order()
    reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
    loop = asyncio.get_running_loop()
    await reader.readline()
    for command in (b"HELO x\r\n", f"MAIL FROM:<{SELLER}>\r\n".encode()):
        writer.write(command)
        await reader.readline()
    from aliasing.token import Role
    from relay.keys import Keys

    unknown = Keys(relay.folder / "var" / "keys").ring.seal(Role.BUYER, "relay.example", 999)
    replies, times = set(), []
    for local in (unknown, "0" * 39, "short"):
        started = loop.time()
        writer.write(f"RCPT TO:<{local}@relay.example>\r\n".encode())
        replies.add(await reader.readline())
        times.append(loop.time() - started)
    writer.close()
    assert len(replies) == 1
    assert max(times) < 0.5


@pytest.mark.parametrize("half_close", [False, True])
async def test_a_client_that_hangs_up_at_the_final_dot_loses_nothing(start_relay: Start, half_close: bool) -> None:
    relay = await start_relay()
    alias = relay.order()["buyer"]["alias"]
    reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
    await reader.readline()
    writer.write(b"HELO x\r\n")
    await reader.readline()
    writer.write(f"MAIL FROM:<{SELLER}>\r\nRCPT TO:<{alias}>\r\nDATA\r\nFrom: {SELLER}\r\n\r\nx\r\n.\r\n".encode())
    if half_close:
        writer.write_eof()
        assert b"250 2.6.0" in await asyncio.wait_for(reader.read(), 10)
    else:
        await writer.drain()
        for _ in range(3):
            await reader.readline()
    writer.close()
    for _ in range(50):
        if relay.messages():
            break
        await asyncio.sleep(0.1)
    assert len(relay.messages()) == 1


async def test_sigterm_lets_idle_sessions_go_and_exits_0(start_relay: Start) -> None:
    relay = await start_relay()
    reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
    assert (await reader.readline()).startswith(b"220")
    started = asyncio.get_running_loop().time()
    assert await relay.stop() == 0
    assert asyncio.get_running_loop().time() - started < 10
    assert (await reader.readline()).startswith(b"421 4.3.2")
    writer.close()
