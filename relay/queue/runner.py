"""The queue at work: what is accepted goes out at once, what failed comes back when it is due."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from relay import maillog
from relay.dsn.notices import Notices
from relay.errors import LedgerError
from relay.ledger import Ledger, Notice
from relay.queue.schedule import Schedule
from relay.records import Delivery, DeliveryKind, Outcome, OutcomeKind
from relay.transmit.attempt import ConnectFailed, Link
from relay.transmit.route import Hop, NoRoute

LEASE_S = 3600.0
POLL_S = 1.0
BACKLOG_S = 0.05
"""The pause while there is more to claim."""
MAX_IN_MEMORY = 1000
"""Deliveries handed over without waiting for a poll; beyond that they stay in the ledger until there is room."""
MAX_CONTENT_BYTES = 64 * 1024 * 1024
IDLE_S = 5.0
"""How long an outbound connection waits for another message."""
CLAIM_LIMIT = 200


class Routes(Protocol):
    def lane(self, destination: str) -> str:
        """What shares connections."""
        ...

    async def hops(self, destination: str) -> list[Hop]:
        """Where to send; raises NoRoute."""
        ...


Connect = Callable[[Sequence[Hop]], Coroutine[Any, Any, Link]]


@dataclass
class _Lane:
    """One destination: what waits for it, and how many connections work on it."""

    waiting: deque[Delivery] = field(default_factory=deque)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    workers: int = 0
    idle: int = 0


class Runner:
    """Sends leased deliveries and records how it went. One instance a process; lives in main's TaskGroup."""

    def __init__(self, ledger: Ledger, routes: Routes, connect: Connect, schedule: Schedule, notices: Notices,
                 clock: Callable[[], datetime], *, connections_per_host: int) -> None:
        self._ledger = ledger
        self._routes = routes
        self._connect = connect
        self._schedule = schedule
        self._notices = notices
        self._clock = clock
        self._connections_per_host = connections_per_host
        self._lanes: dict[str, _Lane] = {}
        self._active: set[int] = set()
        self._content_bytes = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False

    @property
    def lease_s(self) -> float:
        """The lease for what accept() is about to commit: 0 when it had better wait in the ledger."""
        full = len(self._active) >= MAX_IN_MEMORY or self._content_bytes >= MAX_CONTENT_BYTES
        return 0.0 if full or self._stopping else LEASE_S

    def offer(self, deliveries: Sequence[Delivery]) -> None:
        """Take leased deliveries; returns at once."""
        for delivery in deliveries:
            if delivery.number in self._active:
                continue  # its lease ran out while it waited here: it is still ours
            self._active.add(delivery.number)
            self._content_bytes += len(delivery.content or b"")
            name = self._routes.lane(delivery.destination)
            lane = self._lanes.setdefault(name, _Lane())
            lane.waiting.append(delivery)
            lane.wake.set()
            if len(lane.waiting) > lane.idle and lane.workers < self._connections_per_host:
                lane.workers += 1
                self._spawn(self._work(name, lane))

    async def run(self, stop: asyncio.Event) -> None:
        """Claim what is due each second until `stop`; then finish what is being sent."""
        while not stop.is_set():
            room = MAX_IN_MEMORY - len(self._active)
            claimed: Sequence[Delivery] = ()
            try:
                if room > 0:
                    claimed = await self._ledger.claim(self._clock(), LEASE_S, min(room, CLAIM_LIMIT))
                    self.offer(claimed)
            except LedgerError as error:
                maillog.crashed("queue", error)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), BACKLOG_S if claimed else POLL_S)
        self._stopping = True
        for lane in self._lanes.values():
            for delivery in lane.waiting:  # their leases are void at the next start
                self._forget(delivery)
            lane.waiting.clear()
            lane.wake.set()
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, name: str, lane: _Lane) -> None:
        """One connection's life: open it, send what waits, linger a little, close."""
        link: Link | None = None
        try:
            while delivery := await self._next(lane, linger=link is not None):
                try:
                    link = await self._send(lane, link, delivery)
                except Exception as error:
                    maillog.crashed("transmit", error)
                    self._finish(delivery, Outcome(OutcomeKind.DEFERRED, "4.3.0"))
        finally:
            lane.workers -= 1
            if not lane.workers and not lane.waiting:
                self._lanes.pop(name, None)
            if link:
                await link.close()

    async def _next(self, lane: _Lane, *, linger: bool) -> Delivery | None:
        if lane.waiting:
            return lane.waiting.popleft()
        if not linger or self._stopping:
            return None
        lane.wake.clear()
        lane.idle += 1
        try:
            await asyncio.wait_for(lane.wake.wait(), IDLE_S)
        except TimeoutError:
            pass
        finally:
            lane.idle -= 1
        return lane.waiting.popleft() if lane.waiting else None

    async def _send(self, lane: _Lane, link: Link | None, delivery: Delivery) -> Link | None:
        """Send one delivery over `link` (opened when needed); returns the link if it can go on."""
        if await self._ledger.is_held(delivery):
            self._forget(delivery)
            return link
        maillog.attempt(delivery.trace, delivery.message, delivery.kind, delivery.attempts)
        if delivery.dropped:
            self._finish(delivery, Outcome(OutcomeKind.FAILED, "5.7.1"))
            return link
        was_open = link is not None
        try:
            if link is None:
                link = await self._connect(await self._routes.hops(delivery.destination))
            outcome = await link.send(delivery, await self._ledger.content(delivery))
            if was_open and not link.usable and outcome.kind is OutcomeKind.DEFERRED and outcome.code == "4.4.1":
                # the peer had closed the idle connection: that was no attempt at delivery
                await link.close()
                link = await self._connect(await self._routes.hops(delivery.destination))
                outcome = await link.send(delivery, await self._ledger.content(delivery))
        except NoRoute as error:
            kind = OutcomeKind.FAILED if error.is_permanent else OutcomeKind.DEFERRED
            self._everybody(lane, delivery, Outcome(kind, error.code))
            return None
        except ConnectFailed as error:
            self._everybody(lane, delivery, error.outcome)
            return None
        self._finish(delivery, outcome)
        if not link.usable:
            await link.close()
            return None
        return link

    def _everybody(self, lane: _Lane, delivery: Delivery, outcome: Outcome) -> None:
        """What holds for the destination holds for all that waits for it."""
        for waiting in (delivery, *lane.waiting):
            self._finish(waiting, outcome)
        lane.waiting.clear()

    def _finish(self, delivery: Delivery, outcome: Outcome) -> None:
        """Record in the background: the next message need not wait for this one's fsync."""
        self._spawn(self._record(delivery, outcome))

    def _forget(self, delivery: Delivery) -> None:
        self._active.discard(delivery.number)
        self._content_bytes -= len(delivery.content or b"")

    async def _record(self, delivery: Delivery, outcome: Outcome) -> None:
        try:
            now = self._clock()
            if outcome.kind is OutcomeKind.DEFERRED:
                await self._defer(delivery, outcome, now)
            elif outcome.kind is OutcomeKind.FAILED:
                await self._fail(delivery, outcome, now)
            else:
                await self._ledger.record(delivery, outcome, now)
                maillog.delivered(delivery.trace, delivery.message, delivery.kind, delivery.attempts, outcome.code)
        except LedgerError as error:
            maillog.crashed("record", error)
        finally:
            self._forget(delivery)

    async def _defer(self, delivery: Delivery, outcome: Outcome, now: datetime) -> None:
        at = self._schedule.next_attempt(delivery.attempts, delivery.created_at, now, random.random())
        if at is None:
            await self._fail(delivery, outcome, now)
            return
        warn = (delivery.kind is DeliveryKind.MESSAGE and not delivery.warned
                and self._schedule.should_warn(delivery.created_at, now))
        notice: Notice | None = None
        if warn and (about := await self._ledger.returned(delivery.number)):
            notice = self._notices.delayed(about, outcome, now)
        await self._ledger.record(delivery, outcome, now, retry_at=at, notice=notice, warned=warn)
        maillog.deferred(delivery.trace, delivery.message, delivery.kind, delivery.attempts, outcome.code,
                         (at - now).total_seconds())

    async def _fail(self, delivery: Delivery, outcome: Outcome, now: datetime) -> None:
        """For good: the originator hears of it, unless it was itself a DSN (RFC 5321 6.1)."""
        outcome = Outcome(OutcomeKind.FAILED, outcome.code, outcome.remote)
        notice: Notice | None = None
        if delivery.kind is DeliveryKind.MESSAGE and (about := await self._ledger.returned(delivery.number)):
            notice = self._notices.failed(about, outcome, now, dropped=delivery.dropped)
        await self._ledger.record(delivery, outcome, now, notice=notice)
        maillog.failed(delivery.trace, delivery.message, delivery.kind, delivery.attempts, outcome.code)
