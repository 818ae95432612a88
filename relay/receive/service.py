"""What every session of the MX listener shares: whose alias is it, may it be written to, who takes the message."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from operator import methodcaller
from typing import Protocol

from aliasing.address import Address
from aliasing.correspondence import Direction, Side
from aliasing.token import OpenedAction, OpenedAlias, Role, open_alias
from policy.case import Case, PolicySettings
from policy.chain import ENVELOPE_RULES, LOGIN_RULES, decide
from policy.status import Status
from policy.verdict import Reply
from relay import maillog, texts
from relay.accept import Acceptor, Answer, Foretold, Transaction
from relay.dns import Resolver
from relay.errors import KeyRingFileError, LedgerError
from relay.keys import Keys
from relay.ledger import Ledger
from relay.receive.dnsbl import listed
from relay.receive.limits import Guard, Hold
from relay.sections import LimitsSection
from relay.values import Network

BIG_BYTES = 1024 * 1024
BIG_AT_A_TIME = 2
"""Judging a message takes about nine times its size for a moment; the others of the big ones wait."""
SWEEP_S = 0.5
"""How exactly deadlines are kept; one look at all sessions costs less than a timer for each."""


class Session(Protocol):
    """An open connection, as far as stopping is concerned."""

    def hang_up(self, line: str) -> None:
        """Say a last line and close, unless a message is at its final dot."""
        ...

    def check(self, now: float) -> None:
        """Close when its time is over. `now` is the loop's."""
        ...

    def abort(self) -> None:
        """Close at once."""
        ...


@dataclass
class Service:
    """What a session needs of the rest, in one place."""

    hostname: str
    domains: frozenset[str]
    max_size: int
    max_recipients: int
    language: str
    tls: ssl.SSLContext | None
    keys: Keys
    ledger: Ledger
    settings: PolicySettings
    acceptor: Acceptor
    clock: Callable[[], datetime]
    guard: Guard
    resolver: Resolver
    proxies: tuple[Network, ...] = ()
    """Whose PROXY header is believed."""
    peers: tuple[Network, ...] = ()
    forwarders: tuple[Network, ...] = ()
    stopping: bool = False
    sessions: set[Session] = field(default_factory=set)
    _accepting: set[asyncio.Task[Answer]] = field(default_factory=set)
    _big: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(BIG_AT_A_TIME))

    def reconfigure(self, *, settings: PolicySettings, max_size: int, max_recipients: int, language: str,
                    tls: ssl.SSLContext | None, limits: LimitsSection, resolver: Resolver,
                    proxies: tuple[Network, ...], peers: tuple[Network, ...] = (),
                    forwarders: tuple[Network, ...] = ()) -> None:
        """Other settings for what comes from now on; open sessions go on, and what is counted stays counted."""
        self.settings = settings
        self.max_size = max_size
        self.max_recipients = max_recipients
        self.language = language
        self.tls = tls
        self.resolver = resolver
        self.proxies = proxies
        self.peers = peers
        self.forwarders = forwarders
        self.guard.reconfigure(limits, max_size)

    async def recipient(self, address: Address, client: IPv4Address | IPv6Address, reverse_path: Address | None,
                        login: str | None = None) -> OpenedAlias | OpenedAction | int | str:
        """What RCPT TO names: an alias, a sealed action, a delivery whose return path it is, or the refusal.

        Forged, unknown and erased aliases get the same words; a forged one costs no look at the ledger.
        """
        if address.domain not in self.domains:
            return self._refusal(Reply(Status.NOT_OUR_DOMAIN))
        alias = open_alias(self.keys.ring, address)
        if alias is None and self._ring_changed():  # minted with a key that was made a moment ago
            alias = open_alias(self.keys.ring, address)
        if alias is None:
            ring = self.keys.ring
            found = ring.open_action(address.domain, address.local)
            delivery = ring.open(Role.RETURN, address.domain, address.local) if found is None else None
            return found or (delivery if delivery is not None else self._refusal(Reply(Status.NO_SUCH_ALIAS)))
        now = self.clock()
        try:
            facts = await self.ledger.facts(alias.correspondence, Direction.toward(Side(alias.role)), now)
            if facts is None or facts.correspondence.domain != address.domain:
                return self._refusal(Reply(Status.NO_SUCH_ALIAS))
            case = Case(client=client, reverse_path=reverse_path, facts=facts, settings=self.settings,
                        blocks=await self.ledger.relay_blocks(), now=now, login=login)
        except LedgerError as error:
            maillog.crashed("facts", error)
            return self._refusal(Reply(Status.INTERNAL))
        verdict = decide(case, ENVELOPE_RULES).verdict
        if verdict.passes and login is not None:
            verdict = decide(case, LOGIN_RULES).verdict
        if verdict.passes or verdict.reply is None:
            return alias
        who = next((party for party in facts.correspondence.parties.values() if party.key == login), None)
        return self._refusal(verdict.reply, who.language if who else None)

    def _ring_changed(self) -> bool:
        try:
            return self.keys.refresh()
        except KeyRingFileError as error:
            maillog.key_ring_failed(str(error))
            return False

    def is_peer(self, peer: IPv4Address | IPv6Address) -> bool:
        """Whether it may speak LMTP to us."""
        return any(peer in network for network in self.peers)

    def is_forwarder(self, peer: IPv4Address | IPv6Address) -> bool:
        """Whether its XFORWARD is believed where everybody comes."""
        return any(peer in network for network in self.forwarders)

    def is_proxy(self, peer: IPv4Address | IPv6Address) -> bool:
        return any(peer in network for network in self.proxies)

    async def listed(self, client: IPv4Address | IPv6Address) -> str | None:
        """The DNS block list that the client is on, if the operator asks any."""
        return await listed(self.resolver, self.guard.limits.dnsbl, client)

    async def accept(self, transaction: Transaction, hold: Hold) -> Answer:
        """accept() in a task of its own: a client that hangs up does not cancel it. It takes `hold` over."""
        task = asyncio.create_task(self._accept(transaction))
        self._accepting.add(task)
        task.add_done_callback(self._accepting.discard)
        mine = hold.hand_over()
        task.add_done_callback(lambda _: mine.release())
        return await asyncio.shield(task)

    async def _accept(self, transaction: Transaction) -> Answer:
        if len(transaction.data) <= BIG_BYTES:
            return await self.acceptor.accept(transaction)
        async with self._big:
            return await self.acceptor.accept(transaction)

    async def foretell(self, transaction: Transaction) -> Foretold:
        """What accept() would do. Raises LedgerError."""
        async with self._big if len(transaction.data) > BIG_BYTES else nullcontext():
            return await self.acceptor.foretell(transaction)

    async def sweep(self, stop: asyncio.Event) -> None:
        """Until told to stop, close every session whose time is over."""
        loop = asyncio.get_running_loop()
        while not stop.is_set():
            now = loop.time()
            for session in list(self.sessions):
                self._with(session, methodcaller("check", now))
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), SWEEP_S)

    async def stop(self) -> None:
        """No new messages: idle sessions are told 421, what is at its final dot is finished and answered."""
        self.stopping = True
        for session in list(self.sessions):
            self._with(session, methodcaller("hang_up", f"421 4.3.2 {self.hostname} is shutting down"))
        while self._accepting:
            await asyncio.wait(self._accepting)
        await asyncio.sleep(0)

    def _with(self, session: Session, do: Callable[[Session], None]) -> None:
        """One session that breaks must neither keep the others from their turn nor the daemon from its end."""
        try:
            do(session)
        except Exception as error:
            maillog.crashed("session", error)
            self.sessions.discard(session)
            with suppress(Exception):
                session.abort()

    def _refusal(self, reply: Reply, language: str | None = None) -> str:
        return texts.smtp_line(reply, language or self.language)
