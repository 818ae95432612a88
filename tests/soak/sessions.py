"""SMTP sessions against a running daemon, and what every answer of it must look like."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import struct
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from support import BUYER, SELLER

from soak.grammar import END, Leave, Session, Step

MAX_REPLY_BYTES = 512
"""RFC 5321 4.5.3.1.5, CRLF included."""
PATIENCE_S = 30.0
"""An answer that takes longer counts as none."""
_LINE = re.compile(rb"[2-5]\d\d[ -][ -~]*\r\n")
_CODE = re.compile(r"\d\d\d(?: \d\.\d+\.\d+)?")
_INNER = re.compile(
    r"\b[A-Z][A-Za-z]*(?:Error|Exception|Warning)\b|Traceback|\bobject at 0x|\.py\b|\bNone\b|(?<![\w/:])/(?:[\w.-]+/)+[\w.-]*|"
    r"\b(?:asyncio|aiosmtpd|sqlite3?|uvloop)\b")
_REAL = re.compile("|".join(re.escape(one) for one in (SELLER, BUYER, "ana.lopez", "tienda.example", "correo.example")), re.IGNORECASE)


class Wrong(Exception):  # noqa: N818 - what the campaign looks for
    """An answer is not what it must be, or does not come."""


def judge(line: bytes) -> str | None:
    """What is wrong with one line of a reply; None when nothing is."""
    if not _LINE.fullmatch(line):
        return f"no reply line: {line[:100]!r}"
    if len(line) > MAX_REPLY_BYTES:
        return f"a reply line of {len(line)} octets"
    text = line.decode("ascii")
    if found := _INNER.search(text) or _REAL.search(text):
        return f"{found.group()!r} in a reply: {text!r}"
    return None


@dataclass
class Answers:
    """What a daemon has said on one connection, judged as it comes."""

    codes: Counter[str] = field(default_factory=Counter)
    in_data: bool = False
    """354 was the last answer."""
    count: int = 0
    _rest: bytes = b""
    _continued: bytes = b""

    def feed(self, octets: bytes) -> None:
        """Raises Wrong."""
        *lines, self._rest = (self._rest + octets).split(b"\r\n")
        for line in lines:
            if wrong := judge(line + b"\r\n"):
                raise Wrong(wrong)
            if self._continued and line[:3] != self._continued:
                raise Wrong(f"a continuation with another code: {line!r} after {self._continued!r}")
            self._continued = line[:3] if line[3:4] == b"-" else b""
            if not self._continued:
                self.codes[_CODE.match(line.decode("ascii")).group()] += 1  # type: ignore[union-attr]
                self.in_data = line[:3] == b"354"
                self.count += 1
        if len(self._rest) > MAX_REPLY_BYTES:
            raise Wrong(f"a reply without end: {self._rest[:100]!r}")

    def end(self) -> None:
        """The connection was closed in good order; raises Wrong."""
        if self._rest or self._continued:
            raise Wrong(f"closed in the middle of a reply: {self._rest!r}")


class Player:
    """Plays one session on a connection of its own."""

    def __init__(self, port: int, tls: ssl.SSLContext) -> None:
        self._port = port
        self._tls = tls
        self.answers = Answers()
        self._tail = b""
        self._ended = False
        self._secure = False
        self._hushed = False
        """STARTTLS was among the octets, and no handshake follows: nothing will be answered."""

    async def play(self, one: Session) -> None:
        """Raises Wrong; a connection that is cut is the daemon's right."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            if not one.early:
                await self._answer()
            for step in one.steps:
                if self._ended:
                    break
                await self._step(step)
            await self._leave(one.leave)
        except (ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
            pass  # reset while we wrote: what was answered before then has been judged
        finally:
            self._writer.transport.abort()

    async def _step(self, step: Step) -> None:
        self._writer.write(step.data)
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                await self._writer.drain()
        self._tail = (self._tail + step.data)[-len(END) :]
        if self._hushed:
            return
        if step.wait and step.data and self._tail.endswith(END if self.answers.in_data else b"\r\n"):
            await self._answer()
        if self.answers.codes["220"] > 1 and not self._secure and not self._ended:
            self._secure = step.tls
            self._hushed = not step.tls
            if step.tls:
                await asyncio.wait_for(self._writer.start_tls(self._tls), PATIENCE_S)

    async def _answer(self) -> None:
        """Read until there is one answer more at least, or the end."""
        before = self.answers.count
        while self.answers.count == before and not self._ended:
            await self._read()

    async def _read(self) -> None:
        try:
            octets = await asyncio.wait_for(self._reader.read(65536), PATIENCE_S)
        except TimeoutError:
            raise Wrong(f"no answer after {self._tail!r}") from None
        if octets:
            self.answers.feed(octets)
        else:
            self._ended = True
            self.answers.end()

    async def _leave(self, how: Leave) -> None:
        if how is Leave.RESET:
            sock = self._writer.get_extra_info("socket")
            with suppress(OSError):  # the other side has closed already
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)) if sock else None
        elif how is not Leave.CLOSE and not self._hushed:
            if self._writer.can_write_eof():
                with suppress(OSError):  # the other side has closed already
                    self._writer.write_eof()
            else:
                self._writer.close()
            while not self._ended and (self._secure or self.answers.codes["220"] < 2):
                await self._read()


def resident_kb(pid: int) -> int:
    """Memory of a process and its children in KiB, shared pages counted once each (proc(5))."""
    total = 0
    for one in (pid, *children(pid)):
        with suppress(OSError):
            found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{one}/status").read_text())
            total += int(found[1]) if found else 0
    return total


def children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
