"""A load of SMTP clients on loopback: bounded in number, and each remembers what was answered 250."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field


@dataclass
class Load:
    """`sessions` connections that send numbered messages until told to stop or `limit` were tried."""

    port: int
    mail_from: str
    alias: str
    sessions: int
    limit: int
    size: int = 1024
    accepted: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    """Sent to the final dot, but the answer never came: may or may not have been taken."""
    tried: int = 0
    stop: bool = False

    async def run(self) -> None:
        await asyncio.gather(*(self._session() for _ in range(self.sessions)))

    async def _session(self) -> None:
        while not self.stop and self.tried < self.limit:
            try:
                await self._connection()
            except (OSError, asyncio.IncompleteReadError, EOFError):
                await asyncio.sleep(0.02)  # the daemon is being killed or started

    async def _connection(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)

        async def say(line: str, expected: bytes) -> None:
            writer.write(line.encode() + b"\r\n" if line else b"")
            reply = await reader.readuntil(b"\r\n")
            if not reply.startswith(expected):
                raise EOFError(reply)

        try:
            await say("", b"220")
            await say("HELO load.example", b"250")
            while not self.stop and self.tried < self.limit:
                self.tried += 1
                name = f"m{self.tried}"
                await say(f"MAIL FROM:<{self.mail_from}>", b"250")
                await say(f"RCPT TO:<{self.alias}>", b"250")
                await say("DATA", b"354")
                body = f"From: {self.mail_from}\r\nTo: {self.alias}\r\nSubject: {name}\r\nMessage-ID: <{name}@x.example>\r\n\r\n"
                writer.write(body.encode() + b"x" * 70 + b"\r\n" * 1 + (b"y" * 70 + b"\r\n") * (self.size // 72))
                self.unknown.add(name)
                await say(".", b"250")
                self.unknown.discard(name)
                self.accepted.add(name)
        finally:
            writer.close()
