"""The ledger: every message, passed or refused, and the queue, which is the ledger and not beside it.

`Ledger` is the contract that accept, queue and dsn rely on; sqlite.py keeps it. Everything that people and
back ends ask for (parties, orders, blocks, listings) is in registry.py and listing.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from aliasing.correspondence import Correspondence, Direction
from aliasing.token import OpenedAction
from policy.case import Facts, RelayBlocks
from relay.records import Delivery, DeliveryKind, LedgerEntry, Outcome, State

MAX_ASKED = 5
"""Addresses that one party is asked about in a day."""
MAX_AUTOMATIC = 100
"""Auto-replies and other messages without a writer that are recorded of one correspondence, one way, in a day."""
MAX_REFUSED = 500
"""Refused messages that are recorded of one correspondence, one way, in a day: whoever knows an alias could fill the
ledger with what never passes."""
MAX_REPORTS = 20
"""DSNs that are recorded about one message: a return path that became known must not fill the ledger."""
OVERDUE_LIMIT = 200
"""Deliveries of a destination in trouble that are taken along with the one attempt, to tell their originators."""


@dataclass(frozen=True)
class ReturnedDelivery:
    """What a return path leads to: the delivery that a DSN speaks of, and what is needed to tell its originator."""

    number: int
    message_number: int
    message: str
    trace: str
    kind: DeliveryKind
    state: str
    correspondence: Correspondence = field(repr=False)
    direction: Direction
    subject: str = field(repr=False)
    received_at: datetime
    original_id: bytes | None = field(repr=False)
    reports: int = 0
    """DSNs that are in the message's timeline, MAX_REPORTS at most."""


@dataclass(frozen=True)
class Notice:
    """A DSN or a warning to be queued for the originator of a message."""

    about: ReturnedDelivery
    kind: DeliveryKind
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class Terms:
    """What a claim may take, besides its limit."""

    share: int = 1_000_000
    """Of one destination."""
    room: Mapping[str, int] = field(default_factory=dict)
    """Destination -> how much of it instead."""
    warn_before: datetime | None = None
    """Of a destination in trouble also what came before this and nobody was told of yet,"""
    give_up_before: datetime | None = None
    """and all that came before this."""
    probing: bool = False
    """All goes one way and that is in trouble: one attempt is enough."""


@dataclass(frozen=True)
class StoredLogin:
    """What is kept of a login: whose it is ("seller:S1"), and its password's hash."""

    party: str
    hash: str = field(repr=False)


class Ledger(Protocol):
    """Durable means: fsynced when the awaited call returns. Raises relay.errors.LedgerError and its kinds."""

    async def facts(self, correspondence: int, direction: Direction, now: datetime) -> Facts | None:
        """What is known about a correspondence for a message in that direction; None when unknown or erased."""
        ...

    async def relay_blocks(self) -> RelayBlocks:
        """The operator's block lists."""
        ...

    async def login(self, name: str) -> StoredLogin | None:
        """The login of that name, or the only one of the party that an address is authorised for (autoconfig fills in
        the address); None when there is none, or its party was erased."""
        ...

    async def originals(self, correspondence: Correspondence, direction: Direction,
                        referred: Sequence[bytes]) -> tuple[dict[bytes, bytes], bool]:
        """For the ids of ours among `referred`: the reader's own ids, and whether one is a message of the buyer."""
        ...

    async def repeated(self, correspondence: Correspondence, direction: Direction, identity: bytes,
                       now: datetime) -> str | None:
        """The public id of the very same message, if it was accepted within the last hours and has not failed."""
        ...

    async def of_the_day(self, correspondence: Correspondence, direction: Direction, state: State,
                         now: datetime) -> int:
        """How many messages in that state came that way in the last day, among the newest thousand."""
        ...

    async def is_ours(self, correspondence: Correspondence, message_id: bytes) -> bool:
        """Whether a message of this correspondence left with that Message-ID."""
        ...

    async def commit(self, entries: Sequence[LedgerEntry], now: datetime, *, lease_s: float) -> list[Delivery]:
        """Record entries in one durable transaction. With `lease_s` > 0 the deliveries come back leased, their
        first attempt recorded (`attempts` is 1); with 0, or where their destination is in trouble, they wait to be
        claimed. Raises Overtaken when what a verdict rested on has changed."""
        ...

    async def claim(self, now: datetime, lease_s: float, limit: int, terms: Terms | None = None) -> list[Delivery]:
        """Lease deliveries that are due and record an attempt for each: destinations in turn, the oldest of each. A
        destination in trouble gives one at its time, with what is overdue by `terms`, beyond limit and share."""
        ...

    async def troubled(self, destination: str, failures: int, until: datetime) -> None:
        """The destination took nobody, `failures` times in a row: until then nothing of it is due."""
        ...

    async def urged(self) -> int:
        """Goes up whenever an operator asks for another try of what is deferred."""
        ...

    async def recovered(self, destination: str) -> None:
        """The destination takes mail again: what waits for it is due as it was."""
        ...

    async def is_held(self, delivery: Delivery) -> bool:
        """Whether an operator has put it on hold since it was leased."""
        ...

    async def content(self, delivery: Delivery) -> bytes:
        """What is to be sent."""
        ...

    async def record(self, delivery: Delivery, outcome: Outcome, now: datetime, *,
                     retry_at: datetime | None = None, notice: Notice | None = None,
                     warned: bool = False) -> None:
        """Record how an attempt ended; a notice to the originator is queued in the same transaction, but not a second
        one about a failure."""
        ...

    async def returned(self, number: int) -> ReturnedDelivery | None:
        """The delivery that a return path was sealed for."""
        ...

    async def act(self, action: OpenedAction, now: datetime) -> bool:
        """Do what a sealed action asks for, once however often it is asked; False when its message is unknown."""
        ...

    async def record_dsn(self, about: ReturnedDelivery, outcome: Outcome, now: datetime, *,
                         action: str, notice: Notice | None) -> None:
        """Record what a remote server's DSN said of a delivery; its notice as in record()."""
        ...
