"""One connection to a next hop, and one attempt on it. The only importer of aiosmtplib."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Awaitable, Callable, Sequence

import aiosmtplib
from aiosmtplib import SMTPResponse

from aliasing.message import Message
from aliasing.sevenbit import to_seven_bit
from relay.records import Delivery, Outcome, OutcomeKind
from relay.transmit.route import Hop

DATA_TIMEOUT_S = 600.0
"""RFC 5321 4.5.3.2.6: ten minutes for the reply to the final dot; aiosmtplib's one timer spans the body as well."""
Sign = Callable[[bytes], Awaitable[bytes]]
"""A message as bytes -> the same with its DKIM signatures."""
_RESPONSE = (aiosmtplib.SMTPResponseException,)
_BROKEN = (aiosmtplib.SMTPException, OSError, TimeoutError)


class ConnectFailed(Exception):  # noqa: N818 - the state of a destination
    """No hop took a connection; `outcome` is the deferral for everything that waits for it."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.code)
        self.outcome = outcome


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

    @classmethod
    async def open(cls, hops: Sequence[Hop], *, hostname: str, tls: bool, timeout_s: float, sign: Sign) -> Link:
        """Connect to the first hop that takes us, with STARTTLS where it is offered (RFC 7435: no certificate
        check, and plain text when TLS fails); raises ConnectFailed."""
        last = Outcome(OutcomeKind.DEFERRED, "4.4.1")
        for hop in hops:
            for with_tls in (True, False) if tls else (False,):
                client = aiosmtplib.SMTP(hostname=hop.address, port=hop.port, timeout=timeout_s, use_tls=False,
                                         start_tls=False, local_hostname=hostname)
                try:
                    await client.connect()
                    with contextlib.suppress(aiosmtplib.SMTPHeloError):
                        await client.ehlo()
                    if not client.last_ehlo_response:
                        await client.helo()
                    if with_tls and client.supports_extension("starttls"):
                        await client.starttls(tls_context=_opportunistic(), server_hostname=hop.host)
                        await client.ehlo()
                except _BROKEN as error:
                    last = _deferral(error)
                    client.close()
                    if with_tls and isinstance(error, aiosmtplib.SMTPConnectError):
                        break  # nobody listens: plain text would not help
                else:
                    return cls(client, hop, sign)
        raise ConnectFailed(last)

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


def _opportunistic() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


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
