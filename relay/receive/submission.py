"""Submission (RFC 6409) by people's own mail programs: nothing without a login, no login without TLS."""

from __future__ import annotations

from base64 import b64encode
from ipaddress import IPv4Address, IPv6Address
from typing import cast

from relay import maillog
from relay.errors import LedgerError
from relay.ledger import StoredLogin
from relay.receive.connection import WAITING_BYTES, Hangup, Phase
from relay.receive.logins import TROUBLE, Logins
from relay.receive.sasl import MECHANISMS, Credentials, Exchange, SaslError, initial, response
from relay.receive.service import Service
from relay.receive.session import ReceivingSession

MAX_TRIES = 3
"""Of one session."""
TOO_LONG = "500 5.5.6 Line too long"


class SubmissionSession(ReceivingSession):
    """The commands of the submission listeners: port 587 with STARTTLS, port 465 with TLS from the first octet."""

    asks_lists = False  # people's own connections are on such lists by right

    def __init__(self, service: Service, peer: IPv4Address | IPv6Address, *, logins: Logins) -> None:
        self._logins = logins
        self._name = ""
        self._login: StoredLogin | None = None
        self._tries = 0
        super().__init__(service, peer)

    def start_anew(self) -> None:
        super().start_anew()
        self._login = None

    @property
    def party(self) -> str | None:
        return self._login.party if self._login else None

    def limit(self, name: str) -> int:
        # RFC 4954 4 allows 12288 octets; no name and password of ours are as long
        return WAITING_BYTES if name == "AUTH" else super().limit(name)

    def extensions(self) -> list[str]:
        return super().extensions() + ([f"AUTH {' '.join(MECHANISMS)}"] if self.encrypted else [])

    async def smtp_AUTH(self, argument: str) -> None:
        mechanism, _, word = argument.partition(" ")
        if not self.encrypted:
            return await self.bad("538 5.7.11 Encryption is required for authentication")
        if not self._extended:
            return await self.bad("503 5.5.1 Send EHLO first")
        if self._login is not None or self._mail.begun:
            return await self.bad("503 5.5.1 AUTH comes once, before MAIL")
        if mechanism.upper() not in MECHANISMS:
            return await self.bad("504 5.5.4 There is no such mechanism here")
        try:
            given = await self._converse(MECHANISMS[mechanism.upper()](), initial(word))
        except SaslError as error:
            return await self.bad(error.line)
        self.enter(Phase.OURSELVES)
        found = await self._logins.check(self.client, given)
        self.enter(Phase.COMMAND)
        if isinstance(found, StoredLogin):
            self._name, self._login = given.name, found
            return await self.push("235 2.7.0 Welcome")
        self._tries += 1
        if found.startswith("421") or self._tries >= MAX_TRIES:
            raise Hangup(found if found.startswith("421") else "421 4.7.0 Too many failed logins, closing")
        return await self.push(found)

    async def _converse(self, exchange: Exchange, answer: bytes | None) -> Credentials:
        challenge = next(exchange)
        while True:
            if answer is None:
                await self.push(b"334 " + b64encode(challenge))
                self.enter(Phase.COMMAND)
                line = await self._read_line()
                if line is None:
                    raise SaslError(TOO_LONG)
                answer = response(line)
            try:
                challenge, answer = exchange.send(answer), None
            except StopIteration as done:
                return cast("Credentials", done.value)

    async def before_mail(self) -> str | None:
        """RFC 4954 6, RFC 3207 4; and a login that was removed or changed meanwhile counts no more."""
        if self._login is None:
            return "530 5.7.0 Log in first" if self.encrypted else "530 5.7.0 Say STARTTLS first, then log in"
        try:
            if await self._logins.is_still(self._name, self._login):
                return None
        except LedgerError as error:
            maillog.crashed("login", error)
            return TROUBLE
        raise Hangup("421 4.7.0 Your login has changed; log in again")
