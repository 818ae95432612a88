"""One SMTP session: aiosmtpd's protocol with its holes closed. With server.py the only importer of aiosmtpd.

Of aiosmtpd stay the stream handling, STARTTLS and the session and envelope classes. The command loop, paths,
parameters and DATA are our own, because there it buffers without bound, shows class names in replies, cancels
a message at its final dot when the client half-closes, and takes CR and NUL in paths.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address, ip_address

from aiosmtpd.smtp import SMTP, TLSSetupException

from aliasing.address import Address, AddressError
from aliasing.token import OpenedAction, OpenedAlias
from relay import maillog
from relay.accept import Transaction
from relay.receive.service import Service
from relay.records import new_id

COMMAND_BYTES = 512
"""RFC 5321 4.5.3.1.4, CRLF included."""
MAIL_EXTRA_BYTES = 26 + 17 + 10 + 500 + 28
"""What SIZE, 8BITMIME, SMTPUTF8, AUTH= and DSN parameters add (RFC 1870, 6152, 6531, 4954, 3461)."""
READ_BYTES = 64 * 1024
COMMAND_TIMEOUT_S = 300.0
DATA_TIMEOUT_S = 180.0
"""RFC 5321 4.5.3.2.5: three minutes between two blocks of data."""
MAX_JUNK = 10
MAX_NOOPS = 50
REFUSAL_TICK_S = 0.05
"""Refusals of recipients leave on this tick, so that forged, unknown and erased aliases take the same time."""

_PATH = re.compile(r"<([^<>]*)>(?: +(.*))?")
_SOURCE_ROUTE = re.compile(r"@[^:<>]*:")
_HELO = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}")
_END = b"\r\n.\r\n"


@dataclass
class _Envelope:
    """The transaction so far."""

    begun: bool = False
    reverse_path: Address | None = None
    utf8: bool = False
    recipients: list[OpenedAlias] = field(default_factory=list)
    returns: list[int] = field(default_factory=list)
    actions: list[OpenedAction] = field(default_factory=list)

    def add(self, found: OpenedAlias | OpenedAction | int) -> None:
        """A recipient, once however often it is named."""
        if isinstance(found, OpenedAlias):
            self.recipients += [found] if found not in self.recipients else []
        elif isinstance(found, OpenedAction):
            self.actions += [found] if found not in self.actions else []
        else:
            self.returns += [found] if found not in self.returns else []

    @property
    def count(self) -> int:
        return len(self.recipients) + len(self.returns) + len(self.actions)


class _Hangup(Exception):  # noqa: N818 - ends a session, with its last words
    def __init__(self, line: str = "") -> None:
        self.line = line


class ReceivingSession(SMTP):
    """One connection to the MX listener."""

    line_length_limit = READ_BYTES

    def __init__(self, service: Service) -> None:
        # aiosmtpd's own __init__ inspects every member on each connection (half a millisecond) and sets up
        # authentication that this listener does not offer; these are the attributes its inherited parts use
        loop = asyncio.get_running_loop()
        asyncio.StreamReaderProtocol.__init__(
            self, asyncio.StreamReader(limit=READ_BYTES, loop=loop), client_connected_cb=self._cb_client_connected,
            loop=loop)
        self.loop = loop
        self.service = service
        self.tls_context = service.tls
        self.transport = None
        self.session = None
        self.envelope = None
        self._handle_hooks = {}
        self._timeout_handle = None
        self._timeout_duration = COMMAND_TIMEOUT_S
        self._tls_handshake_okay = True
        self._tls_protocol = None
        self._original_transport = None
        self._handler_coroutine = None
        self._deadline = 0.0
        self._mail = _Envelope()
        self._helo = ""
        self._extended = False
        self._junk = 0
        self._noops = 0
        self._in_accept = False

    # -- what aiosmtpd calls -------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = transport.get_extra_info("peername")
        self.client: IPv4Address | IPv6Address = ip_address(peer[0]) if peer else ip_address("127.0.0.1")
        # RFC 3207 4.2: nothing said before STARTTLS counts after it
        self._helo, self._extended, self._mail = "", False, _Envelope()
        self.service.sessions.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self.service.sessions.discard(self)
        super().connection_lost(error)

    def eof_received(self) -> bool:
        """A client may half-close after its final dot and still wait for the answer."""
        asyncio.StreamReaderProtocol.eof_received(self)
        return self._tls_protocol is None

    def _reset_timeout(self, duration: float | None = None) -> None:
        """One timer that moves its deadline, instead of a new one for each command."""
        self._deadline = self.loop.time() + (duration or self._timeout_duration)
        if self._timeout_handle is None:
            self._timeout_handle = self.loop.call_at(self._deadline, self._check_deadline)

    def _check_deadline(self) -> None:
        self._timeout_handle = self.loop.call_at(max(self._deadline, self.loop.time() + 1), self._check_deadline)
        if self._in_accept or self.transport is None:
            return
        if self.loop.time() >= self._deadline:
            self.hang_up("421 4.4.2 Too long without a command, closing")

    def hang_up(self, line: str) -> None:
        """Say goodbye and close, from outside the session's own task. A message at its final dot is answered."""
        if self.transport is None or self._in_accept:
            return
        self._writer.write(line.encode() + b"\r\n")
        self.transport.close()

    async def push(self, status: str | bytes) -> None:
        line = status.encode("ascii", "replace") if isinstance(status, str) else status
        self._writer.write(line + b"\r\n")
        await self._writer.drain()

    # -- the loop ------------------------------------------------------------------------------------------

    async def _handle_client(self) -> None:
        try:
            if self.service.stopping:
                raise _Hangup(f"421 4.3.2 {self.service.hostname} is shutting down")
            await self.push(f"220 {self.service.hostname} ESMTP Tradepost")
            while self.transport is not None:
                await self._command()
        except _Hangup as last:
            if last.line:
                await self.push(last.line)
            self._writer.close()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            self._writer.close()
        except TLSSetupException as error:
            maillog.protocol_error(str(self.client), "TLS handshake failed")
            if self.transport is not None:
                self.transport.close()
            self.connection_lost(error)
        except Exception as error:
            maillog.crashed("session", error)
            await self.push("421 4.3.0 A problem on our side, closing")
            self._writer.close()

    async def _command(self) -> None:
        self._reset_timeout()
        line = await self._read_line()
        if line is None:
            return await self._bad("500 5.5.2 Line too long")
        verb, _, rest = line.partition(b" ")
        name = verb.upper().decode("ascii", "replace")
        method = _COMMANDS.get(name)
        limit = COMMAND_BYTES + (MAIL_EXTRA_BYTES if name in ("MAIL", "RCPT") and self._extended else 0)
        if method is None:
            if name in _UNIMPLEMENTED:
                return await self._bad(f"502 5.5.1 {name} is not implemented")
            return await self._bad("500 5.5.2 Command not recognised")
        if len(line) + 2 > limit:
            return await self._bad("500 5.5.2 Line too long")
        if any(byte < 32 or byte == 127 for byte in rest):
            return await self._bad("501 5.5.2 Control characters are not allowed")
        try:
            argument = rest.decode("utf-8").strip()
        except UnicodeDecodeError:
            return await self._bad("501 5.5.2 Not ASCII, and not UTF-8 either")
        await method(self, argument)
        return None

    async def _read_line(self) -> bytes | None:
        """A command without its CRLF; None when it was too long (and has been read past, in bounded memory)."""
        try:
            line = await self._reader.readuntil(b"\r\n")
        except asyncio.LimitOverrunError:
            for _ in range(16):
                chunk = await self._reader.read(READ_BYTES)
                at = chunk.find(b"\r\n")
                if at >= 0:
                    self._put_back(chunk[at + 2 :])
                    return None
                if not chunk:
                    break
            raise _Hangup("421 4.7.0 Line far too long, closing") from None
        return line[:-2]

    async def _bad(self, line: str) -> None:
        self._junk += 1
        if self._junk > MAX_JUNK:
            maillog.protocol_error(str(self.client), "too many bad commands")
            raise _Hangup("421 4.7.0 Too many errors, closing")
        await self.push(line)

    def _put_back(self, data: bytes) -> None:
        """What a client pipelined behind the data belongs to the next command (RFC 2920)."""
        if data:
            self._reader._buffer[0:0] = data  # type: ignore[attr-defined]

    # -- commands ------------------------------------------------------------------------------------------

    async def smtp_HELO(self, argument: str) -> None:
        if not _HELO.fullmatch(argument):
            return await self._bad("501 5.5.4 Say HELO with a host name")
        self._helo, self._extended, self._mail = argument, False, _Envelope()
        return await self.push(f"250 {self.service.hostname}")

    async def smtp_EHLO(self, argument: str) -> None:
        if not _HELO.fullmatch(argument):
            return await self._bad("501 5.5.4 Say EHLO with a host name")
        self._helo, self._extended, self._mail = argument, True, _Envelope()
        lines = [self.service.hostname, "PIPELINING", f"SIZE {self.service.max_size}", "8BITMIME", "SMTPUTF8",
                 "ENHANCEDSTATUSCODES"]
        if self.service.tls is not None and self._tls_protocol is None:
            lines.append("STARTTLS")
        reply = [f"250-{line}" for line in lines[:-1]] + [f"250 {lines[-1]}"]
        return await self.push("\r\n".join(reply))

    async def smtp_STARTTLS(self, argument: str) -> None:
        if argument:
            return await self._bad("501 5.5.4 STARTTLS takes no parameter")
        if self.service.tls is None or self._tls_protocol is not None:
            return await self._bad("502 5.5.1 STARTTLS is not available")
        await super().smtp_STARTTLS("")
        return None

    async def smtp_AUTH(self, argument: str) -> None:
        if self._tls_protocol is None:
            return await self._bad("538 5.7.11 Encryption is required for authentication")
        return await self._bad("502 5.5.1 AUTH is not offered here")

    async def smtp_MAIL(self, argument: str) -> None:
        if not self._helo:
            return await self._bad("503 5.5.1 Send EHLO first")
        if self._mail.begun:
            return await self._bad("503 5.5.1 One MAIL a transaction")
        path = _path(argument, "FROM:")
        if path is None:
            return await self._bad("501 5.1.7 Say MAIL FROM:<address>")
        text, parameters = path
        utf8 = False
        for name, value in parameters:
            if name == "SIZE" and value.isdigit():
                if int(value) > self.service.max_size:
                    return await self.push("552 5.3.4 The message is larger than this server accepts")
            elif name == "SMTPUTF8" and not value:
                utf8 = True
            elif name == "BODY" and value.upper() in ("7BIT", "8BITMIME"):
                pass
            elif name in ("AUTH", "RET", "ENVID"):
                pass  # RFC 4954 5 and RFC 3461: harmless from a client that sends them unasked
            else:
                return await self._bad("555 5.5.4 Parameter not recognised")
        if not text.isascii() and not utf8:
            return await self._bad("553 5.6.7 A non-ASCII address needs SMTPUTF8")
        try:
            reverse_path = Address.parse(text) if text else None
        except AddressError:
            return await self._bad("501 5.1.7 Not a valid sender address")
        self._mail = _Envelope(begun=True, reverse_path=reverse_path, utf8=utf8)
        return await self.push("250 2.1.0 OK")

    async def smtp_RCPT(self, argument: str) -> None:
        if not self._mail.begun:
            return await self._bad("503 5.5.1 Send MAIL first")
        path = _path(argument, "TO:")
        if path is None or not path[0]:
            return await self._bad("501 5.1.3 Say RCPT TO:<address>")
        text, parameters = path
        if any(name not in ("NOTIFY", "ORCPT") for name, _ in parameters):
            return await self._bad("555 5.5.4 Parameter not recognised")
        if not text.isascii() and not self._mail.utf8:
            return await self._bad("553 5.6.7 A non-ASCII address needs SMTPUTF8")
        if self._mail.count >= self.service.max_recipients:
            return await self.push("452 4.5.3 Too many recipients; send the others in another transaction")
        try:
            address = Address.parse(text)
        except AddressError:
            return await self._bad("501 5.1.3 Not a valid recipient address")
        found = await self.service.recipient(address, self.client, self._mail.reverse_path)
        if not isinstance(found, str):
            self._mail.add(found)
        else:
            self._junk += 1
            maillog.rcpt_refused(str(self.client), found[:9])
            # the next tick of the clock, however long the look took
            await asyncio.sleep(REFUSAL_TICK_S - self.loop.time() % REFUSAL_TICK_S)
            if self._junk > MAX_JUNK * 10:
                raise _Hangup("421 4.7.0 Too many errors, closing")
            return await self.push(found)
        return await self.push("250 2.1.5 OK")

    async def smtp_DATA(self, argument: str) -> None:
        if argument:
            return await self._bad("501 5.5.4 DATA takes no parameter")
        if not self._mail.begun:
            return await self._bad("503 5.5.1 Send MAIL first")
        if not self._mail.count:
            return await self._bad("554 5.5.1 No valid recipients")
        await self.push("354 End data with <CR><LF>.<CR><LF>")
        data = await self._read_data()
        mail, self._mail = self._mail, _Envelope()
        if data is None:
            return await self.push("552 5.3.4 The message is larger than this server accepts")
        crlf = data.count(b"\r\n")
        if data.count(b"\n") != crlf or data.count(b"\r") != crlf or b"\0" in data:
            return await self.push("550 5.6.0 A bare CR, LF or NUL in the message (RFC 5321 2.3.8)")
        transaction = Transaction(
            trace=new_id(), client=self.client, reverse_path=mail.reverse_path, recipients=tuple(mail.recipients),
            returns=tuple(mail.returns), actions=tuple(mail.actions), received_at=datetime.now(UTC), data=data)
        self._in_accept = True
        try:
            answer = await self.service.accept(transaction)
        finally:
            self._in_accept = False
        if answer.fatal or self.service.stopping:
            raise _Hangup(answer.line)
        return await self.push(answer.line)

    async def _read_data(self) -> bytes | None:
        """The message, dots unstuffed (RFC 5321 4.5.2); None when it was too big (and was read to its end).

        Only CRLF.CRLF ends it: any other reading lets a message be smuggled in another.
        """
        # a message may begin with its final dot, so the CRLF of the DATA command counts as its first line end
        data = bytearray(b"\r\n")
        too_big = False
        searched = 0
        while True:
            end = data.find(_END, searched)
            if end >= 0:
                break
            searched = max(0, len(data) - len(_END) + 1)
            if len(data) > self.service.max_size + 2:
                too_big = True
                del data[: -len(_END)]
                searched = 0
            self._reset_timeout(DATA_TIMEOUT_S)
            chunk = await self._reader.read(READ_BYTES)
            if not chunk:
                raise _Hangup
            data += chunk
        self._put_back(bytes(data[end + len(_END) :]))
        if too_big or end > self.service.max_size + 2:
            return None
        del data[end + 2 :]
        return bytes(data).replace(b"\r\n.", b"\r\n")[2:]

    async def smtp_RSET(self, argument: str) -> None:
        if argument:
            return await self._bad("501 5.5.4 RSET takes no parameter")
        self._mail = _Envelope()
        return await self.push("250 2.0.0 OK")

    async def smtp_NOOP(self, argument: str) -> None:
        self._noops += 1
        if self._noops > MAX_NOOPS:
            raise _Hangup("421 4.7.0 Too many NOOPs, closing")
        return await self.push("250 2.0.0 OK")

    async def smtp_VRFY(self, argument: str) -> None:
        # RFC 5321 7.3: telling who exists would undo what the aliases are for
        return await self.push("252 2.5.0 Send the message; then you will hear")

    async def smtp_HELP(self, argument: str) -> None:
        return await self.push("214 2.0.0 See RFC 5321")

    async def smtp_QUIT(self, argument: str) -> None:
        if argument:
            return await self._bad("501 5.5.4 QUIT takes no parameter")
        raise _Hangup("221 2.0.0 Bye")


_COMMANDS: dict[str, Callable[[ReceivingSession, str], Awaitable[None]]] = {
    "HELO": ReceivingSession.smtp_HELO, "EHLO": ReceivingSession.smtp_EHLO,
    "STARTTLS": ReceivingSession.smtp_STARTTLS, "AUTH": ReceivingSession.smtp_AUTH,
    "MAIL": ReceivingSession.smtp_MAIL, "RCPT": ReceivingSession.smtp_RCPT, "DATA": ReceivingSession.smtp_DATA,
    "RSET": ReceivingSession.smtp_RSET, "NOOP": ReceivingSession.smtp_NOOP, "VRFY": ReceivingSession.smtp_VRFY,
    "HELP": ReceivingSession.smtp_HELP, "QUIT": ReceivingSession.smtp_QUIT,
}
_UNIMPLEMENTED = ("EXPN", "BDAT", "ETRN", "TURN", "ATRN", "SEND", "SOML", "SAML")


def _path(argument: str, keyword: str) -> tuple[str, list[tuple[str, str]]] | None:
    """`FROM:<path> name=value …` -> (path without source route, parameters), or None (RFC 5321 4.1.2)."""
    if argument[: len(keyword)].upper() != keyword:
        return None
    match = _PATH.fullmatch(argument[len(keyword) :].strip())
    if not match:
        return None
    parameters = []
    for word in (match.group(2) or "").split():
        name, _, value = word.partition("=")
        parameters.append((name.upper(), value))
    return _SOURCE_ROUTE.sub("", match.group(1), count=1), parameters
