"""One SMTP session: what each command does, and what is said to one that is wrong.

The command loop, paths, parameters and DATA are our own: aiosmtpd's buffer without bound, show class names in
replies, cancel a message at its final dot when the client half-closes, and take CR and NUL in paths.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address

from aliasing.address import Address, AddressError
from relay import maillog
from relay.accept import Answer, Transaction
from relay.receive.connection import READ_BYTES, WAITING_BYTES, Connection, Hangup, Phase
from relay.receive.data import NO_MEMORY, NO_ROOM, TOO_BIG, Incoming
from relay.receive.envelope import Envelope, parse_path, size_of
from relay.receive.limits import MAX_WAIT_S, Hold
from relay.receive.service import Service
from relay.receive.xforward import NAMES as XFORWARD_NAMES
from relay.receive.xforward import Forwarded
from relay.receive.xforward import parse as parse_xforward
from relay.records import new_id

COMMAND_BYTES = 512
"""RFC 5321 4.5.3.1.4, CRLF included."""
MAIL_EXTRA_BYTES = 26 + 17 + 10 + 500 + 28
"""What SIZE, 8BITMIME, SMTPUTF8, AUTH= and DSN parameters add (RFC 1870, 6152, 6531, 4954, 3461)."""
MAX_NOOPS = 50
BIGGER = 4
"""How many times the allowed size a message may go on for before its connection is cut instead of read out."""
REFUSAL_TICK_S = 0.05
"""Refusals of recipients leave this long after the command, so that forged, unknown and erased aliases take the same
time."""

_HELO = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}")


class ReceivingSession(Connection):
    """The commands of the MX listener; those of the others differ in what follows."""

    commands = frozenset({"HELO", "EHLO", "STARTTLS", "AUTH", "XFORWARD", "MAIL", "RCPT", "DATA", "RSET", "NOOP",
                          "VRFY", "HELP", "QUIT"})
    each = False
    """Whether each recipient gets a reply of its own after the data."""
    no_recipients = "554 5.5.1 No valid recipients"

    def __init__(self, service: Service, peer: IPv4Address | IPv6Address) -> None:
        super().__init__(service, peer)
        self.start_anew()
        self._errors = 0
        self._refusals = 0
        self._noops = 0
        self._commands = 0
        """Since the last message."""
        self._messages = 0

    @property
    def party(self) -> str | None:
        """Party.key of who has logged in."""
        return None

    @property
    def may_forward(self) -> bool:
        """Whether its XFORWARD is believed."""
        return self.service.is_forwarder(self.client)

    @property
    def origin(self) -> IPv4Address | IPv6Address:
        """Who brought the message: the client, or that of the mail server in front."""
        return (self._forwarded and self._forwarded.client) or self.client

    def start_anew(self) -> None:
        # RFC 3207 4.2: nothing said before STARTTLS counts after it
        self._helo, self._extended, self._mail = "", False, Envelope()
        self._forwarded: Forwarded | None = None

    def limit(self, name: str) -> int:
        """How many octets a command may have, CRLF included."""
        return COMMAND_BYTES + (MAIL_EXTRA_BYTES if name in ("MAIL", "RCPT") and self._extended else 0)

    async def _command(self) -> None:
        self.enter(Phase.COMMAND)
        line = await self._read_line()
        self._commands += 1
        if self._commands > self.service.guard.limits.commands:
            self.cut("commands", "421 4.7.0 Too many commands and no message, closing")
        if line is None:
            return await self.bad("500 5.5.2 Line too long")
        verb, _, rest = line.partition(b" ")
        name = verb.upper().decode("ascii", "replace")
        if name not in self.commands:
            if name in _UNIMPLEMENTED:
                return await self.bad(f"502 5.5.1 {name} is not implemented")
            return await self.bad("500 5.5.2 Command not recognised")
        if len(line) + 2 > self.limit(name):
            return await self.bad("500 5.5.2 Line too long")
        if any(byte < 32 or byte == 127 for byte in rest):
            code = {"MAIL": "5.1.7", "RCPT": "5.1.3"}.get(name, "5.5.2")
            return await self.bad(f"501 {code} Control characters are not allowed")
        method: Callable[[str], Awaitable[None]] = getattr(self, f"smtp_{name}")
        # octets that are not UTF-8 either are for each command to refuse, as any that are not ASCII
        await method(rest.decode("utf-8", "surrogateescape").strip())
        return None

    async def bad(self, line: str) -> None:
        self._errors += 1
        if self._errors > self.service.guard.limits.errors:
            self.cut("errors", "421 4.7.0 Too many errors, closing")
        await self.push(line)

    # -- commands ------------------------------------------------------------------------------------------

    async def smtp_HELO(self, argument: str) -> None:
        if not _HELO.fullmatch(argument):
            return await self.bad("501 5.5.4 Say HELO with a host name")
        self.must_have_waited()
        self._helo, self._extended, self._mail = argument, False, Envelope()
        return await self.push(f"250 {self.service.hostname}")

    def extensions(self) -> list[str]:
        """What EHLO offers."""
        lines = ["PIPELINING", f"SIZE {self.service.max_size}", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"]
        lines += ["STARTTLS"] if self.service.tls is not None and not self.encrypted else []
        return lines + ([f"XFORWARD {' '.join(XFORWARD_NAMES)}"] if self.may_forward else [])

    async def smtp_EHLO(self, argument: str) -> None:
        if not _HELO.fullmatch(argument):
            return await self.bad("501 5.5.4 Say EHLO with a host name")
        self.must_have_waited()
        self._helo, self._extended, self._mail = argument, True, Envelope()
        lines = [self.service.hostname, *self.extensions()]
        reply = [f"250-{line}" for line in lines[:-1]] + [f"250 {lines[-1]}"]
        return await self.push("\r\n".join(reply))

    async def smtp_STARTTLS(self, argument: str) -> None:
        if argument:
            return await self.bad("501 5.5.4 STARTTLS takes no parameter")
        if self.service.tls is None or self.encrypted:
            return await self.bad("502 5.5.1 STARTTLS is not available")
        await self.start_tls()
        return None

    async def smtp_AUTH(self, argument: str) -> None:
        if not self.encrypted:
            return await self.bad("538 5.7.11 Encryption is required for authentication")
        return await self.bad("502 5.5.1 AUTH is not offered here")

    async def smtp_XFORWARD(self, argument: str) -> None:
        if not self.may_forward:
            return await self.bad("550 5.7.0 XFORWARD is for mail servers that this one knows")
        if self._mail.begun:
            return await self.bad("503 5.5.1 XFORWARD comes before MAIL")
        found = parse_xforward(argument, self._forwarded)
        if found is None:
            return await self.bad("501 5.5.4 Say XFORWARD name=value ...")
        self._forwarded = found
        return await self.push("250 2.0.0 OK")

    async def before_mail(self) -> str | None:
        """What stands against any message of this client."""
        return None

    async def smtp_MAIL(self, argument: str) -> None:
        if not self._helo:
            return await self.bad("503 5.5.1 Send EHLO first")
        if self._mail.begun:
            return await self.bad("503 5.5.1 One MAIL a transaction")
        if refusal := await self.before_mail():
            return await self.bad(refusal)
        path = parse_path(argument, "FROM:")
        if path is None:
            return await self.bad("501 5.1.7 Say MAIL FROM:<address>")
        text, parameters = path
        mail = Envelope(begun=True)
        if wrong := _read_parameters(mail, parameters):
            return await self.bad(wrong)
        if not text.isascii() and not mail.utf8:
            return await self.bad("553 5.6.7 A non-ASCII address needs SMTPUTF8")
        try:
            mail.reverse_path = Address.parse(text) if text else None
        except AddressError:
            return await self.bad("501 5.1.7 Not a valid sender address")
        if refusal := await self._not_now(mail.declared):
            return await self.push(refusal)
        self._mail = mail
        return await self.push("250 2.1.0 OK")

    async def _not_now(self, declared: int) -> str | None:
        """What stands against a message of that size from this client, whatever the message is."""
        guard = self.service.guard
        if declared > self.service.max_size:
            return TOO_BIG
        if self._listed is not None and (zone := await self._listed):
            guard.abuse(self.client, "dnsbl")
            return f"554 5.7.1 Your address is on the block list {zone}"
        if self._messages >= guard.limits.messages and not self._exempt:
            raise Hangup("421 4.7.0 Enough messages for one connection; send the others on another")
        if guard.has_sent_too_much(self.client):
            guard.abuse(self.client, "octets")
            return "451 4.7.1 Your network has sent too much for now, try again later"
        return None if guard.has_room(self.client, declared) else NO_ROOM

    async def smtp_RCPT(self, argument: str) -> None:
        if not self._mail.begun:
            return await self.bad("503 5.5.1 Send MAIL first")
        path = parse_path(argument, "TO:")
        if path is None or not path[0]:
            return await self.bad("501 5.1.3 Say RCPT TO:<address>")
        text, parameters = path
        if any(name not in ("NOTIFY", "ORCPT") for name, _ in parameters):
            return await self.bad("555 5.5.4 Parameter not recognised")
        if not text.isascii() and not self._mail.utf8:
            return await self.bad("553 5.6.7 A non-ASCII address needs SMTPUTF8")
        if self._mail.count >= self.service.max_recipients:
            return await self.push("452 4.5.3 Too many recipients; send the others in another transaction")
        try:
            address = Address.parse(text)
        except AddressError:
            return await self.bad("501 5.1.3 Not a valid recipient address")
        tick = asyncio.Event()
        # set before the look, or what it takes would shift the answer; and on no clock whose phase a client could learn
        timer = self.loop.call_later(REFUSAL_TICK_S, tick.set)
        try:
            found = await self.service.recipient(address, self.origin, self._mail.reverse_path, self.party)
            if isinstance(found, str):
                return await self._refuse_recipient(found, tick)
        finally:
            timer.cancel()
        self._mail.add(found)
        return await self.push("250 2.1.5 OK")

    async def _refuse_recipient(self, line: str, tick: asyncio.Event) -> None:
        """Answer at the tick, however long the look took; to who guesses a lot, ever later."""
        guard = self.service.guard
        maillog.rcpt_refused(str(self.client), line[:9])
        self._refusals += not self.each  # a mail server in front brings the guesses of many
        extra = guard.refused_recipient(self.client)
        self.enter(Phase.OURSELVES)
        await tick.wait()
        await asyncio.sleep(min(extra, MAX_WAIT_S))
        self.enter(Phase.COMMAND)
        if extra > MAX_WAIT_S or self._refusals > guard.limits.refusals:
            self.cut("guessing", "421 4.7.0 Too many unknown recipients, closing")
        await self.push(line)

    async def smtp_DATA(self, argument: str) -> None:
        if argument:
            return await self.bad("501 5.5.4 DATA takes no parameter")
        if not self._mail.begun:
            return await self.bad("503 5.5.1 Send MAIL first")
        if not self._mail.count:
            return await self.bad(self.no_recipients)
        if not self.service.guard.has_room(self.client, max(self._mail.declared, READ_BYTES)):
            return await self.push(NO_ROOM)
        await self.push("354 End data with <CR><LF>.<CR><LF>")
        hold = self.service.guard.hold(self.client)
        mail = self._mail
        try:
            incoming = await self._read_data(hold)
            self._mail = Envelope()
            if incoming.refusal is not None:
                return await self.answer_data(mail, Answer(incoming.refusal))
            return await self._accept(mail, incoming, hold)
        except MemoryError as error:
            maillog.crashed("data", error)
            return await self.answer_data(mail, Answer(NO_MEMORY))
        finally:
            hold.release()
            self._forwarded = None  # the next message may be another client's
            self._incoming = None

    async def _accept(self, mail: Envelope, incoming: Incoming, hold: Hold) -> None:
        transaction = Transaction(
            trace=new_id(), client=self.origin, reverse_path=mail.reverse_path, recipients=tuple(mail.recipients),
            returns=tuple(mail.returns), actions=tuple(mail.actions), received_at=datetime.now(UTC),
            data=incoming.data(), login=self.party, each=self.each,
            helo=(self._forwarded and self._forwarded.helo) or self._helo)
        self.enter(Phase.OURSELVES)
        answer = await self.service.accept(transaction, hold)
        self.enter(Phase.COMMAND)
        self._messages += 1
        self._commands = 0
        self._message_since = self.loop.time()
        await self.answer_data(mail, answer)
        if answer.fatal or self.service.stopping:
            raise Hangup

    async def answer_data(self, mail: Envelope, answer: Answer) -> None:
        """Say what became of the message."""
        await self.push(answer.line)

    async def _read_data(self, hold: Hold) -> Incoming:
        """The message up to its final dot, or what has to be said of it instead."""
        self._incoming = incoming = Incoming(self.service.max_size, hold.take)
        self.enter(Phase.DATA)
        self._reader._limit = READ_BYTES  # type: ignore[attr-defined]
        try:
            while True:
                block = await self._reader.read(READ_BYTES)
                if not block:
                    raise Hangup
                behind = incoming.feed(block)
                if behind is not None:
                    self.put_back(behind)
                    return incoming
                if incoming.refusal is not None:
                    hold.release()
                if incoming.received > BIGGER * self.service.max_size:
                    self.cut("endless-message", TOO_BIG)
        finally:
            self._reader._limit = WAITING_BYTES  # type: ignore[attr-defined]

    async def smtp_RSET(self, argument: str) -> None:
        if argument:
            return await self.bad("501 5.5.4 RSET takes no parameter")
        self._mail, self._forwarded = Envelope(), None
        return await self.push("250 2.0.0 OK")

    async def smtp_NOOP(self, argument: str) -> None:
        self._noops += 1
        if self._noops > MAX_NOOPS:
            self.cut("commands", "421 4.7.0 Too many NOOPs, closing")
        return await self.push("250 2.0.0 OK")

    async def smtp_VRFY(self, argument: str) -> None:
        # RFC 5321 7.3: telling who exists would undo what the aliases are for
        return await self.push("252 2.5.0 Send the message; then you will hear")

    async def smtp_HELP(self, argument: str) -> None:
        return await self.push("214 2.0.0 See RFC 5321")

    async def smtp_QUIT(self, argument: str) -> None:
        if argument:
            return await self.bad("501 5.5.4 QUIT takes no parameter")
        raise Hangup("221 2.0.0 Bye")


_UNIMPLEMENTED = ("EXPN", "BDAT", "ETRN", "TURN", "ATRN", "SEND", "SOML", "SAML")


def _read_parameters(mail: Envelope, parameters: list[tuple[str, str]]) -> str | None:
    """Put what MAIL's parameters say into the envelope; the refusal when one is wrong."""
    for name, value in parameters:
        if name == "SIZE":
            size = size_of(value)
            if size is None:
                return "501 5.5.4 SIZE takes a number of octets"
            mail.declared = size
        elif name == "SMTPUTF8" and not value:
            mail.utf8 = True
        elif name == "BODY" and value.upper() in ("7BIT", "8BITMIME"):
            pass
        elif name in ("AUTH", "RET", "ENVID"):
            pass  # RFC 4954 5 and RFC 3461: harmless from a client that sends them unasked
        else:
            return "555 5.5.4 Parameter not recognised"
    return None
