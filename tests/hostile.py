"""SMTP clients that do not mean well, from any address of 127.0.0.0/8; and what a daemon takes up meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass
class Client:
    """A connection by hand."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def connect(cls, port: int, source: str = "127.0.0.1", *, receive_bytes: int | None = None) -> Client:
        """From an address of one's own; with `receive_bytes` the kernel keeps only about as many unread."""
        sock = socket.socket()
        if receive_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        sock.bind((source, 0))
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        return cls(*await asyncio.open_connection(sock=sock, limit=1 << 16))

    async def reply(self, timeout: float = 20.0) -> str:
        """The last line of the next reply; "" when the connection was closed instead."""
        with contextlib.suppress(ConnectionError):
            while line := await asyncio.wait_for(self.reader.readline(), timeout):
                if line[3:4] != b"-":
                    return line.decode("ascii").rstrip("\r\n")
        return ""

    def send(self, raw: bytes) -> None:
        self.writer.write(raw)

    async def say(self, line: str) -> str:
        self.send(line.encode() + b"\r\n")
        return await self.reply()

    async def begin(self, mail_from: str, *aliases: str) -> None:
        """Greeting, HELO, MAIL and RCPT, none of which may fail."""
        for line in (None, "HELO client.example", f"MAIL FROM:<{mail_from}>", *(f"RCPT TO:<{one}>" for one in aliases)):
            answer = await self.reply() if line is None else await self.say(line)
            assert answer.startswith("2"), (line, answer)

    async def closed(self, timeout: float = 20.0) -> str:
        """What is still said until the connection ends."""
        rest = b""
        with contextlib.suppress(ConnectionError):
            while block := await asyncio.wait_for(self.reader.read(1 << 16), timeout):
                rest += block
        return rest.decode("ascii")

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


def resident_bytes(pid: int) -> int:
    """What the process has in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES


def processor_s(pid: int) -> float:
    """What the process has used of a processor, all threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def open_sockets(pid: int) -> int:
    found = 0
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            found += str(path.readlink()).startswith("socket:")
    return found


def source(network: int, part: int = 1, host: int = 1) -> str:
    """An address in one of the 256 networks that each part of loopback has; more go on in the next part."""
    return f"127.{part + network // 256}.{network % 256}.{host}"


@dataclass
class Honest:
    """Somebody whose mail must get through meanwhile: a new connection and another network for each message."""

    port: int
    mail_from: str
    alias: str
    part: int = 200
    took_s: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    async def write(self) -> None:
        """One message, from connecting to its 250."""
        number = len(self.took_s) + len(self.failed)
        started = time.monotonic()
        try:
            client = await Client.connect(self.port, source(number, self.part))
            try:
                await client.begin(self.mail_from, self.alias)
                assert (await client.say("DATA")).startswith("354")
                client.send(f"From: {self.mail_from}\r\nTo: {self.alias}\r\nSubject: {number}\r\n\r\nHola {number}\r\n.\r\n".encode())
                answer = await client.reply()
                assert answer.startswith("250 2.6.0"), answer
            finally:
                await client.close()
        except (AssertionError, OSError, TimeoutError) as error:
            self.failed.append(repr(error))
        else:
            self.took_s.append(time.monotonic() - started)

    async def write_for(self, seconds: float, pause_s: float) -> None:
        """One after the other, with pauses between."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            await self.write()
            await asyncio.sleep(pause_s)

    @property
    def p99_s(self) -> float:
        return sorted(self.took_s)[int(len(self.took_s) * 0.99)] if self.took_s else float("inf")

    def __str__(self) -> str:
        middle = sorted(self.took_s)[len(self.took_s) // 2] if self.took_s else float("inf")
        return (f"accepted {len(self.took_s)}, not {len(self.failed)}, p50 {middle:.3f} s, p99 {self.p99_s:.3f} s"
                + (f" ({self.failed[0]})" if self.failed else ""))
