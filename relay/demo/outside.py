"""A mail server on loopback that stands for everybody else's: it keeps what arrives, and can be told to misbehave.

Not for production: it is stock aiosmtpd, which receive/session.py exists to replace.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import weakref
from dataclasses import dataclass, field
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

for _name in ("mail.log", "mail.debug", "mail.error"):
    logging.getLogger(_name).disabled = True


@dataclass(frozen=True)
class Arrived:
    """One message that was delivered outside; `raw` as its reader's mailbox would hold it."""

    reverse_path: str
    recipient: str
    raw: bytes = field(repr=False)
    over_tls: bool = False
    peer_port: int = 0
    """The client's port: the same for messages that came over one connection."""
    at: float = 0.0
    """The loop's time of arrival, in seconds."""
    helo: str = ""


class OutsideServer:
    """Takes mail for any address. `answers` maps a recipient to the reply that refuses it at RCPT."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.arrived: list[Arrived] = []
        self.answers: dict[str, str] = {}
        self.data_answer = "250 2.0.0 Taken"
        self.lacks: frozenset[str] = frozenset()
        """Extensions that it is to hide, such as "8BITMIME"."""
        self.pause: asyncio.Event | None = None
        """While set to an event, data is answered only once that event is; `paused` tells that somebody waits."""
        self.paused = asyncio.Event()
        self.port = 0
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._changed = asyncio.Condition()
        self._sessions: weakref.WeakSet[SMTP] = weakref.WeakSet()

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> int:
        """Listen; the port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: self._session(loop), host, port)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self.port

    async def stop(self) -> None:
        """Go down: open connections break, new ones are refused."""
        if self._server is not None:
            self._server.close()
            self._server = None
            for session in self._sessions:
                if session.transport is not None:
                    session.transport.close()
            await asyncio.sleep(0)

    def _session(self, loop: asyncio.AbstractEventLoop) -> SMTP:
        session = SMTP(self, hostname="outside.example", tls_context=self._tls, enable_SMTPUTF8=True,
                       data_size_limit=50_000_000, loop=loop)
        self._sessions.add(session)
        return session

    async def wait_for(self, count: int, recipient: str | None = None, timeout: float = 10.0) -> list[Arrived]:
        """Wait until `count` messages (for `recipient`) have arrived, and return them; raises TimeoutError."""
        def found() -> list[Arrived]:
            return [one for one in self.arrived if recipient in (None, one.recipient)]

        async with asyncio.timeout(timeout), self._changed:
            await self._changed.wait_for(lambda: len(found()) >= count)
        return found()

    async def handle_EHLO(self, server: Any, session: Session, envelope: Envelope, hostname: str,
                          responses: list[str]) -> list[str]:
        session.host_name = hostname
        return [line for line in responses if line[4:].split()[0] not in self.lacks]

    async def handle_RCPT(self, server: Any, session: Session, envelope: Envelope, address: str,
                          options: list[str]) -> str:
        if answer := self.answers.get(address):
            return answer
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: Any, session: Session, envelope: Envelope) -> str:
        if self.pause is not None:
            self.paused.set()
            await self.pause.wait()
        content = envelope.original_content or b""
        if self.data_answer.startswith("250"):
            async with self._changed:
                port = int(session.peer[1]) if session.peer else 0
                at = asyncio.get_running_loop().time()
                tls = session.ssl is not None
                helo = session.host_name or ""
                self.arrived += [Arrived(envelope.mail_from or "", recipient, content, tls, port, at, helo)
                                 for recipient in envelope.rcpt_tos]
                self._changed.notify_all()
        return self.data_answer
