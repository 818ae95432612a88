"""One connection to a next hop, and one attempt on it. The only importer of aiosmtplib."""

from __future__ import annotations

import contextlib
import ipaddress
import random
import ssl
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from enum import Enum

import aiosmtplib
from aiosmtplib import SMTPResponse

from aliasing.message import Message
from aliasing.sevenbit import to_seven_bit
from relay.records import Delivery, Outcome, OutcomeKind
from relay.transmit.dane import HAS_CHAIN, matches
from relay.transmit.route import Hop
from relay.transmit.security import Level, Security

DATA_TIMEOUT_S = 600.0
"""RFC 5321 4.5.3.2.6: ten minutes for the reply to the final dot; aiosmtplib's one timer spans the body as well."""
Sign = Callable[[bytes], Awaitable[bytes]]
"""A message as bytes -> the same with its DKIM signatures."""
Count = Callable[[Security, str, str, str], None]
"""Hears of one session: (what was asked of it, host, address, result type of RFC 8460 or "" for success)."""
_RESPONSE = (aiosmtplib.SMTPResponseException,)
_BROKEN = (aiosmtplib.SMTPException, OSError, TimeoutError)


class ConnectFailed(Exception):  # noqa: N818 - the state of a destination
    """No hop took a connection; `outcome` is the deferral for everything that waits for it."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.code)
        self.outcome = outcome


class Unsafe(Exception):  # noqa: N818 - an answer about a connection
    """The connection is not as secure as it must be. `result` is the result type of RFC 8460 4.3."""

    def __init__(self, code: str, result: str) -> None:
        super().__init__(result)
        self.code = code
        self.result = result


class Connector:
    """Opens links: everything about connecting that does not depend on the destination."""

    def __init__(self, hostname: str, timeout_s: float, sign: Sign, strict: ssl.SSLContext, *,
                 sources: Sequence[str] = (), count: Count = lambda security, host, address, result: None) -> None:
        """`strict` verifies certificates; `sources` are addresses to connect from, one of the hop's IP version at
        random; `count` hears how TLS went with each session."""
        self._hostname = hostname
        self._timeout_s = timeout_s
        self._sign = sign
        self._sources = sources
        self._count = count
        self._lax = _lax_context()
        self._strict = strict

    async def __call__(self, hops: Sequence[Hop]) -> Link:
        """Connect to the first hop that takes us and is as secure as it must be; raises ConnectFailed."""
        last = Outcome(OutcomeKind.DEFERRED, "4.4.1")
        for hop in hops:
            for tls in _ways(hop.security):
                client = self._client(hop)
                try:
                    await self._open(client, hop, tls)
                except Unsafe as unsafe:
                    last = Outcome(OutcomeKind.DEFERRED, unsafe.code, unsafe.result)
                    self._count(hop.security, hop.host, hop.address, unsafe.result)
                    client.close()
                except _BROKEN as error:
                    last = _deferral(error)
                    client.close()
                    if isinstance(error, aiosmtplib.SMTPConnectError):
                        break  # nobody listens: another way would not help
                else:
                    return Link(client, hop, self._sign)
        raise ConnectFailed(last)

    def _client(self, hop: Hop) -> aiosmtplib.SMTP:
        version = ipaddress.ip_address(hop.address).version
        own = [one for one in self._sources if ipaddress.ip_address(one).version == version]
        return aiosmtplib.SMTP(hostname=hop.address, port=hop.port, timeout=self._timeout_s, use_tls=False,
                               start_tls=False, local_hostname=self._hostname,
                               source_address=(random.choice(own), 0) if own else None)

    async def _open(self, client: aiosmtplib.SMTP, hop: Hop, tls: _Tls) -> None:
        await client.connect()
        with contextlib.suppress(aiosmtplib.SMTPHeloError):
            await client.ehlo()
        if not client.last_ehlo_response:
            await client.helo()
        if tls is _Tls.NONE:
            return
        if not client.supports_extension("starttls"):
            if tls is not _Tls.ANY or hop.security.level > Level.OPPORTUNISTIC:
                raise Unsafe("4.7.4", "starttls-not-supported")
            self._count(hop.security, hop.host, hop.address, "starttls-not-supported")
            return
        try:
            await client.starttls(tls_context=self._strict if tls is _Tls.VERIFIED else self._lax,
                                  server_hostname=hop.host)
        except ssl.SSLError as error:
            raise Unsafe("4.7.5", _result(error)) from None
        if tls is _Tls.DANE and not _is_as_published(client, hop):
            raise Unsafe("4.7.5", "validation-failure")
        self._count(hop.security, hop.host, hop.address, "")
        await client.ehlo()


class _Tls(Enum):
    NONE = "plain text"
    ANY = "STARTTLS without a look at the certificate"
    VERIFIED = "STARTTLS with a certificate for the hop's name"
    DANE = "STARTTLS with the certificate of its TLSA records"


def _ways(security: Security) -> tuple[_Tls, ...]:
    """How to try a hop, in this order."""
    if security.level is Level.OPPORTUNISTIC:
        return (*((_Tls.VERIFIED,) if security.testing else ()), _Tls.ANY, _Tls.NONE)
    only = {Level.NEVER: _Tls.NONE, Level.ENCRYPT: _Tls.ANY, Level.VERIFY: _Tls.VERIFIED, Level.DANE: _Tls.DANE}
    return (only[security.level],)


class Link:
    """An open SMTP session with one hop; it carries several messages one after another."""

    def __init__(self, client: aiosmtplib.SMTP, hop: Hop, sign: Sign) -> None:
        self._client = client
        self._sign = sign
        self.hop = hop
        self.usable = True
        self.pushed_back = False
        """Whether the last answer was about us and not about the message: 421, 4xx to MAIL, or none at all."""
        self.begun = False
        """Whether the last message's text was sent: from there on it may have arrived, whatever we heard."""

    async def send(self, delivery: Delivery, content: bytes) -> Outcome:
        """Sign one message and hand it over; raises only what signing does. Afterwards `usable` tells whether the
        link can take another."""
        client = self._client
        self.pushed_back = self.begun = False
        options = []
        if not delivery.recipient.is_ascii:
            if not client.supports_extension("smtputf8"):
                return Outcome(OutcomeKind.FAILED, "5.6.7")  # RFC 6531 3.5
            options.append("SMTPUTF8")
        if not content.isascii():
            if client.supports_extension("8bitmime"):
                options.append("BODY=8BITMIME")
            else:
                content = to_seven_bit(Message.parse(content)).raw
        content = await self._sign(content)  # as it is now: re-encoding would break a signature made before
        if client.supports_extension("size"):
            options.append(f"SIZE={len(content)}")
        # the addresses are Address values already: aiosmtplib's mail() and rcpt() would parse them once more
        envelope = (f"MAIL FROM:<{delivery.reverse_path}> {' '.join(options)}".rstrip(),
                    f"RCPT TO:<{delivery.recipient}>")
        try:
            for command in envelope:
                response = await client.execute_command(command.encode())
                if response.code not in (250, 251):
                    # a 4xx to RCPT is about a mailbox: full, or greylisted
                    self.pushed_back = response.code == 421 or (command is envelope[0] and response.code // 100 == 4)
                    await self._reset()
                    return _answered(response.code, response.message)
            self.begun = True
            response = await client.data(content, timeout=DATA_TIMEOUT_S)
        except _RESPONSE as error:
            self.pushed_back = error.code == 421
            await self._reset()
            return _answered(error.code, error.message)
        except _BROKEN as error:
            self.usable = False
            self.pushed_back = True
            return _deferral(error)
        return _answered(response.code, response.message)

    async def close(self) -> None:
        with contextlib.suppress(*_BROKEN):
            if self.usable:
                await self._client.quit(timeout=5)
        self._client.close()

    async def _reset(self) -> None:
        try:
            response: SMTPResponse = await self._client.rset()
            self.usable = response.code == 250
        except _BROKEN:
            self.usable = False


def _lax_context() -> ssl.SSLContext:
    """For whoever is to be talked to in private, whatever the certificate; DANE compares that afterwards."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _is_as_published(client: aiosmtplib.SMTP, hop: Hop) -> bool:
    tls = client.get_transport_info("ssl_object")
    own = tls.getpeercert(binary_form=True)
    chain = [own] if own else []
    if HAS_CHAIN:
        chain = [bytes(one) for one in tls.get_unverified_chain()]
    return matches(hop.security.tlsa, chain, (hop.host, hop.security.domain), datetime.now(UTC))


def _result(error: ssl.SSLError) -> str:
    """RFC 8460 4.3; the codes are OpenSSL's X509_V_ERR_*."""
    code = getattr(error, "verify_code", None)
    known = {10: "certificate-expired", 62: "certificate-host-mismatch", 64: "certificate-host-mismatch"}
    return "validation-failure" if code is None else known.get(code, "certificate-not-trusted")


def _answered(code: int, text: str) -> Outcome:
    """A reply's meaning (RFC 5321 4.2.1); its enhanced code when it begins with one (RFC 2034)."""
    first = text.split(" ", 1)[0] if text else ""
    enhanced = first if first.count(".") == 2 and first.replace(".", "").isdigit() else ""
    kind = {2: OutcomeKind.DELIVERED, 5: OutcomeKind.FAILED}.get(code // 100, OutcomeKind.DEFERRED)
    return Outcome(kind, f"{code} {enhanced}".strip(), text[:1000])


def _deferral(error: BaseException) -> Outcome:
    """What broke below SMTP, or refused us before a message was named, is tried again."""
    if isinstance(error, _RESPONSE):
        answer = _answered(error.code, error.message)
        return Outcome(OutcomeKind.DEFERRED, answer.code, answer.remote)
    if isinstance(error, TimeoutError | aiosmtplib.SMTPTimeoutError):
        return Outcome(OutcomeKind.DEFERRED, "4.4.2", "timed out")
    return Outcome(OutcomeKind.DEFERRED, "4.4.1", type(error).__name__)
