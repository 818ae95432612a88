"""What is written down of an attempt, and whom it is told."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from relay import maillog
from relay.dsn.notices import Notices
from relay.ledger import Ledger, Notice
from relay.queue.schedule import Schedule
from relay.records import Delivery, DeliveryKind, Outcome, OutcomeKind


@dataclass(frozen=True)
class Outcomes:
    """Records how attempts ended, when the next one is, and the notices to originators."""

    ledger: Ledger
    schedule: Schedule
    notices: Notices
    clock: Callable[[], datetime]

    async def record(self, delivery: Delivery, outcome: Outcome) -> None:
        """Durable when this returns; raises LedgerError."""
        now = self.clock()
        if outcome.kind is OutcomeKind.DEFERRED:
            await self._defer(delivery, outcome, now)
        elif outcome.kind is OutcomeKind.FAILED:
            await self._fail(delivery, outcome, now)
        else:
            await self.ledger.record(delivery, outcome, now)
            maillog.delivered(delivery.trace, delivery.message, delivery.kind, delivery.attempts, outcome.code,
                              (now - delivery.created_at).total_seconds())

    async def _defer(self, delivery: Delivery, outcome: Outcome, now: datetime) -> None:
        at = self.schedule.next_attempt(delivery.attempts, delivery.created_at, now, random.random())
        if at is None:
            await self._fail(delivery, outcome, now)
            return
        warn = not delivery.warned and self.schedule.should_warn(delivery.created_at, now)
        notice: Notice | None = None
        if warn and delivery.kind is DeliveryKind.MESSAGE and (about := await self.ledger.returned(delivery.number)):
            notice = self.notices.delayed(about, outcome, now)
        await self.ledger.record(delivery, outcome, now, retry_at=at, notice=notice, warned=warn)
        maillog.deferred(delivery.trace, delivery.message, delivery.kind, delivery.attempts, outcome.code,
                         (at - now).total_seconds())

    async def _fail(self, delivery: Delivery, outcome: Outcome, now: datetime) -> None:
        """For good: the originator hears of it, unless it was itself a DSN (RFC 5321 6.1)."""
        outcome = Outcome(OutcomeKind.FAILED, outcome.code, outcome.remote)
        notice: Notice | None = None
        if delivery.kind is DeliveryKind.MESSAGE and (about := await self.ledger.returned(delivery.number)):
            notice = self.notices.failed(about, outcome, now, dropped=delivery.dropped)
        await self.ledger.record(delivery, outcome, now, notice=notice)
        maillog.failed(delivery.trace, delivery.message, delivery.kind, delivery.attempts, outcome.code)
