"""A stranger's SMTP client that keeps time."""

from __future__ import annotations

import asyncio
import contextlib
import time


class Client:
    """A connection that has said EHLO and MAIL."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> Client:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        await self._reader.readline()
        await self.say("EHLO client.example")
        await self.say("MAIL FROM:<nobody@outside.example>")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    async def say(self, line: str) -> tuple[bytes, float]:
        """The reply's last line, and how long it took in seconds."""
        begun = time.perf_counter()
        self._writer.write(line.encode() + b"\r\n")
        while (reply := await asyncio.wait_for(self._reader.readline(), 20))[3:4] == b"-":
            pass
        return reply, time.perf_counter() - begun

    async def rcpt(self, local: str) -> tuple[bytes, float]:
        return await self.say(f"RCPT TO:<{local}@relay.example>")
