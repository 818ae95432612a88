"""The ledger: every message, passed or refused, and the queue, which is the ledger and not beside it.

`Ledger` is the contract that accept, queue and dsn rely on; sqlite.py keeps it. Everything that people and
back ends ask for (parties, orders, blocks, listings) is in registry.py and listing.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from aliasing.correspondence import Correspondence, Direction
from aliasing.token import OpenedAction
from policy.case import Facts, RelayBlocks
from relay.records import Delivery, DeliveryKind, LedgerEntry, Outcome


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
    content: bytes | None = field(repr=False)


@dataclass(frozen=True)
class Notice:
    """A DSN or a warning to be queued for the originator of a message."""

    about: ReturnedDelivery
    kind: DeliveryKind
    content: bytes = field(repr=False)


class Ledger(Protocol):
    """Durable means: fsynced when the awaited call returns. Raises relay.errors.LedgerError and its kinds."""

    async def facts(self, correspondence: int, direction: Direction, now: datetime) -> Facts | None:
        """What is known about a correspondence for a message in that direction; None when unknown or erased."""
        ...

    async def relay_blocks(self) -> RelayBlocks:
        """The operator's block lists."""
        ...

    async def originals(self, correspondence: Correspondence, direction: Direction,
                        referred: Sequence[bytes]) -> tuple[dict[bytes, bytes], bool]:
        """For the ids of ours among `referred`: the reader's own ids, and whether one is a message of the buyer."""
        ...

    async def commit(self, entries: Sequence[LedgerEntry], now: datetime, *, lease_s: float) -> list[Delivery]:
        """Record entries in one durable transaction. With `lease_s` > 0 the deliveries come back leased, their
        first attempt recorded; with 0 they wait to be claimed."""
        ...

    async def claim(self, now: datetime, lease_s: float, limit: int) -> list[Delivery]:
        """Lease the deliveries that are due, oldest first, and record an attempt for each."""
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
        """Record how an attempt ended; a notice to the originator is queued in the same transaction."""
        ...

    async def returned(self, number: int) -> ReturnedDelivery | None:
        """The delivery that a return path was sealed for."""
        ...

    async def act(self, action: OpenedAction, now: datetime) -> bool:
        """Do what a sealed action asks for, once however often it is asked; False when its message is unknown."""
        ...

    async def record_dsn(self, about: ReturnedDelivery, outcome: Outcome, now: datetime, *,
                         action: str, notice: Notice | None) -> None:
        """Record what a remote server's DSN said of a delivery."""
        ...
