"""A connection, below its commands: how long it may last, what it may keep waiting, who is at its other end.

Of aiosmtpd's protocol stay the streams and STARTTLS. What it lacks is here: deadlines, bounds on what is kept in
either direction, a greeting that is not given to who talks first, and the header of a proxy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from ipaddress import IPv4Address, IPv6Address
from typing import Any, NoReturn, cast

from aiosmtpd.smtp import SMTP, TLSSetupException

from relay import maillog
from relay.receive.data import Incoming
from relay.receive.proxy import ProxyError, read_header
from relay.receive.service import Service

READ_BYTES = 64 * 1024
WAITING_BYTES = 4 * 1024
"""What may wait unread outside DATA; thousands of clients can do that at once."""
UNREAD_BYTES = 16 * 1024
"""Replies kept for a client that does not read them; it is not listened to until it does."""
FAR_TOO_LONG_BYTES = 1024 * 1024
CLOSING_S = 10.0
PROXY_S = 10.0
SESSION_COMMANDS = 6
"""A connection that has not brought a message in as many times the time of a command is closed."""
TOO_EARLY = "554 5.5.0 You spoke before it was your turn (RFC 5321 4.3.1)"


class Phase(Enum):
    """What the session is waiting for, which says how long it may."""

    WELCOME = auto()
    COMMAND = auto()
    DATA = auto()
    OURSELVES = auto()
    """We are at work, or make the client wait."""
    CLOSING = auto()


class _NoTimer:
    """aiosmtpd's timer of its own; ours is Service.sweep()."""

    def cancel(self) -> None:
        pass


_NO_TIMER: Any = _NoTimer()


class Hangup(Exception):  # noqa: N818 - ends a session, with its last words
    def __init__(self, line: str = "") -> None:
        self.line = line


class Connection(SMTP):
    """One connection to the MX listener; session.py says what its commands do."""

    line_length_limit = READ_BYTES
    protocol = "ESMTP"
    asks_lists = True
    """Whether DNS block lists are asked about the client."""
    implicit_tls = False
    """TLS from the first octet (RFC 8314 3.3)."""

    def __init__(self, service: Service, peer: IPv4Address | IPv6Address) -> None:
        """A connection that the guard has counted; from a proxy, as one of all only."""
        # aiosmtpd's own __init__ inspects every member on each connection (half a millisecond) and sets up
        # authentication that this listener does not offer; these are the attributes its inherited parts use
        loop = asyncio.get_running_loop()
        asyncio.StreamReaderProtocol.__init__(
            self, asyncio.StreamReader(limit=WAITING_BYTES, loop=loop), client_connected_cb=self._cb_client_connected,
            loop=loop)
        self.loop = loop
        self.service = service
        self.tls_context = service.tls
        self.transport = None
        self.session = None
        self.envelope = None
        self._handle_hooks = {}
        self._timeout_handle = _NO_TIMER
        self._tls_handshake_okay = True
        self._tls_protocol = None
        self._original_transport = None
        self._shaking_hands = False
        self._handler_coroutine = None
        self.client = peer
        """Who writes: behind a proxy, from its header on, the one that it names."""
        self._proxied = service.is_proxy(peer)
        self._admitted = not self._proxied
        self._entered = True
        self._exempt = service.guard.is_exempt(peer)
        self._listed: asyncio.Task[str | None] | None = None
        self._phase = Phase.WELCOME
        self._since = self._message_since = self.loop.time()
        self._incoming: Incoming | None = None

    # -- what aiosmtpd and the service call ----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.start_anew()
        self.service.sessions.add(self)
        cast("asyncio.WriteTransport", transport).set_write_buffer_limits(high=UNREAD_BYTES)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self.service.sessions.discard(self)
        if self._listed is not None:
            self._listed.cancel()
        self.let_go()
        super().connection_lost(error)

    def let_go(self) -> None:
        """Count the connection no more. A second time does nothing."""
        if self._admitted:
            self.service.guard.dismiss(self.client)
        if self._entered:
            self.service.guard.leave()
        self._admitted = self._entered = False

    def eof_received(self) -> bool:
        """A client may half-close after its final dot and still wait for the answer."""
        asyncio.StreamReaderProtocol.eof_received(self)
        return not self.encrypted

    @property
    def encrypted(self) -> bool:
        return self.implicit_tls or self._tls_protocol is not None

    def _reset_timeout(self, duration: float | None = None) -> None:
        pass  # aiosmtpd would start a timer here

    def check(self, now: float) -> None:
        if self._phase is Phase.OURSELVES or self.transport is None or now < self._deadline():
            return
        if self._phase is Phase.CLOSING:
            self.abort()
        elif self._phase is Phase.DATA or self._reader._buffer:  # type: ignore[attr-defined]
            # who has to hurry only since we are full, or is a proxy that has not named its client, is not to be banned
            if self._admitted and not self.service.guard.stressed:
                self.service.guard.abuse(self.client, "slow")
            self.hang_up("421 4.4.2 Too slow, closing")
        else:
            self.hang_up("421 4.4.2 Too long without a command or a message, closing")

    def _deadline(self) -> float:
        """When the client must have done what it is waited for."""
        guard = self.service.guard
        if self._phase is Phase.CLOSING:
            return self._since + CLOSING_S
        if self._phase is Phase.DATA and self._incoming is not None:
            return self._since + guard.data_s(self._incoming.received)
        if self._phase is Phase.WELCOME and self._proxied:
            return self._since + min(PROXY_S, guard.command_s())
        a_command = guard.command_s()
        return min(self._since + a_command, self._message_since + SESSION_COMMANDS * a_command)

    def enter(self, phase: Phase) -> None:
        if self._phase is not Phase.CLOSING:
            self._phase, self._since = phase, self.loop.time()

    def hang_up(self, line: str) -> None:
        """Say goodbye and close, from outside the session's own task. A message at its final dot is answered."""
        if self.transport is None or self._phase is Phase.CLOSING or (
                self._phase is Phase.OURSELVES and self._incoming is not None):
            return
        # in the middle of a handshake nothing can be said, and who has not read the last reply reads no other
        if self._shaking_hands or self._stream.get_write_buffer_size():
            self.abort()
        else:
            self._close(line)

    def abort(self) -> None:
        """Close at once, whatever is not read yet."""
        self.enter(Phase.CLOSING)
        transport = self._original_transport or self.transport
        if transport is not None:
            cast("asyncio.WriteTransport", transport).abort()

    @property
    def _stream(self) -> asyncio.WriteTransport:
        """The transport by its interface; uvloop's does not inherit it."""
        return cast("asyncio.WriteTransport", self.transport)

    def _close(self, line: str = "") -> None:
        """Close once the last reply is read; in CLOSING_S at the latest."""
        self.enter(Phase.CLOSING)
        # asyncio's TLS transport breaks when it is closed a second time, uvloop's when it is written to afterwards
        if self.transport is not None and not self.transport.is_closing():
            if line:
                self._writer.write(line.encode("ascii", "replace") + b"\r\n")
            self.transport.close()

    async def push(self, status: str | bytes) -> None:
        line = status.encode("ascii", "replace") if isinstance(status, str) else status
        self._writer.write(line + b"\r\n")
        await self._writer.drain()

    # -- the loop ------------------------------------------------------------------------------------------

    async def _handle_client(self) -> None:
        try:
            await self._welcome()
            while self.transport is not None:
                await self._command()
        except Hangup as last:
            self._close(last.line)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            self._close()
        except TLSSetupException as error:
            if not self.service.stopping:
                maillog.protocol_error(str(self.client), "TLS handshake failed")
            self.abort()
            self.connection_lost(error)
        except Exception as error:
            maillog.crashed("session", error)
            self._close("421 4.3.0 A problem on our side, closing")

    async def _welcome(self) -> None:
        guard = self.service.guard
        if self.service.stopping:
            raise Hangup(f"421 4.3.2 {self.service.hostname} is shutting down")
        if self._proxied:
            await self.meet_client(self._reader.readexactly)
        if guard.limits.dnsbl and self.asks_lists and not self._exempt:
            self._listed = asyncio.create_task(self.service.listed(self.client))
        # even without a delay, what came together with the connection is seen
        await asyncio.sleep(0 if self._exempt else guard.limits.greeting_delay.total_seconds())
        self.must_have_waited()
        await self.push(f"220 {self.service.hostname} {self.protocol} Tradepost")

    async def meet_client(self, read: Callable[[int], Awaitable[bytes]]) -> None:
        """Read the proxy's header; from here on its client is who is limited and judged. Raises Hangup."""
        try:
            client = await read_header(read)
        except ProxyError:
            maillog.protocol_error(str(self.client), "no PROXY header")
            raise Hangup from None
        self._proxied = False
        self.client = client or self.client
        self._exempt = self.service.guard.is_exempt(self.client)
        if line := self.service.guard.admit(self.client):
            raise Hangup(line)
        self._admitted = True

    def must_have_waited(self) -> None:
        """Before the greeting and the reply to EHLO a client must wait (RFC 5321 4.3.1, RFC 2920 3.1)."""
        if self._reader._buffer:  # type: ignore[attr-defined]
            self.cut("early-talker", TOO_EARLY)

    def cut(self, what: str, line: str) -> NoReturn:
        self.service.guard.abuse(self.client, what)
        raise Hangup(line)

    async def start_tls(self) -> None:
        """Answer STARTTLS; back when all is encrypted. Raises TLSSetupException."""
        await self._writer.drain()
        # RFC 3207 4.2: what came in plain behind the command is dropped. Before the handshake, not after it: so much
        # of it that reading has been paused would keep the handshake out as well
        self._reader._buffer.clear()  # type: ignore[attr-defined]
        self._reader._maybe_resume_transport()  # type: ignore[attr-defined]
        self._shaking_hands = True
        try:
            await super().smtp_STARTTLS("")
        finally:
            self._shaking_hands = False
        if self.session is None or self.session.ssl is None:
            raise TLSSetupException  # aborted, which asyncio tells its waiter as if all were well

    async def _read_line(self) -> bytes | None:
        """A command without its CRLF; None when it was too long (and has been read past, not kept)."""
        try:
            return (await self._reader.readuntil(b"\r\n"))[:-2]
        except asyncio.LimitOverrunError:
            passed, tail = 0, b""
        while passed < FAR_TOO_LONG_BYTES:
            chunk = tail + await self._reader.read(READ_BYTES)
            if chunk == tail:
                raise Hangup
            at = chunk.find(b"\r\n")
            if at >= 0:
                self.put_back(chunk[at + 2 :])
                return None
            passed += len(chunk)
            tail = chunk[-1:]  # the CR of a CRLF may come in one block and the LF in the next
        return self.cut("endless-line", "421 4.7.0 Line far too long, closing")

    def put_back(self, data: bytes) -> None:
        """What a client pipelined behind the data belongs to the next command (RFC 2920)."""
        if data:
            self._reader._buffer[0:0] = data  # type: ignore[attr-defined]

    def start_anew(self) -> None:
        """Forget what the client has said."""
        raise NotImplementedError

    async def _command(self) -> None:
        """Read a command and answer it."""
        raise NotImplementedError
