"""The queue at work: what is accepted goes out at once, what failed comes back when it is due.

In memory as in the ledger destinations are lanes (relay/ledger/lanes.py). Each has its own connections, as many as it
has shown to take (pace.py), and its own small share of memory. A destination in trouble is tried with one delivery
at a time; the others wait in the ledger for what comes of it.
"""

from __future__ import annotations

import asyncio
import random
import resource
import time
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from relay import maillog
from relay.dsn.notices import Notices
from relay.errors import LedgerError
from relay.ledger import OVERDUE_LIMIT, Ledger, Terms
from relay.queue.lane import Lane
from relay.queue.outcomes import Outcomes
from relay.queue.pace import FEW, FIRST, Pace
from relay.queue.schedule import Schedule
from relay.records import Delivery, LedgerEntry, Outcome, OutcomeKind
from relay.transmit.attempt import ConnectFailed, Link
from relay.transmit.route import Hop, NoRoute

LEASE_S = 3600.0
WAIT_MAX_S = 900.0
"""What waited longer in memory is not begun any more: its lease must outlast the attempt."""
POLL_S = 1.0
BACKLOG_S = 0.05
"""The pause while there is more to claim."""
MAX_IN_MEMORY = 2000
"""Deliveries in memory; beyond that they stay in the ledger until there is room."""
MAX_CONTENT_BYTES = 64 * 1024 * 1024
IDLE_S = 5.0
"""How long an outbound connection waits for another message."""
CLAIM_LIMIT = 200
MAX_CONNECTIONS = 400
"""Outbound connections at a time; half of them at most wait for servers that have not answered yet."""


class Routes(Protocol):
    @property
    def is_shared(self) -> bool:
        """Whether all destinations go one way."""
        ...

    def lane(self, destination: str) -> str:
        """What shares connections."""
        ...

    async def hops(self, destination: str) -> list[Hop]:
        """Where to send; raises NoRoute."""
        ...


Connect = Callable[[Sequence[Hop]], Coroutine[Any, Any, Link]]


class Runner:
    """Sends leased deliveries and records how it went. One instance a process; lives in main's TaskGroup."""

    def __init__(self, ledger: Ledger, routes: Routes, connect: Connect, schedule: Schedule, notices: Notices,
                 clock: Callable[[], datetime], *, connections_per_host: int) -> None:
        self._ledger = ledger
        self._routes = routes
        self._connect = connect
        self._schedule = schedule
        self._outcomes = Outcomes(ledger, schedule, notices, clock)
        self._clock = clock
        self._connections_per_host = connections_per_host
        self._connections = min(MAX_CONNECTIONS, _descriptors() // 8)
        self._lanes: dict[str, Lane] = {}
        self._nowhere = Lane("", Pace(1))
        """What was dropped is not sent, so that it waits for nobody."""
        self._active: dict[int, tuple[Lane, float]] = {}
        """Delivery -> its lane and when it came."""
        self._content_bytes = 0
        self._workers = 0
        self._connecting = 0
        self._hungry: dict[Lane, None] = {}
        """Lanes that would have a connection, but for the limit."""
        self._wanted = asyncio.Event()
        self._urged = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._polled_at = time.monotonic()

    def reconfigure(self, routes: Routes, connect: Connect, schedule: Schedule, notices: Notices, *,
                    connections_per_host: int) -> None:
        """Other settings from now on; a connection that was opened under the old ones takes no further message."""
        self._routes = routes
        self._connect = connect
        self._schedule = schedule
        self._outcomes = Outcomes(self._ledger, schedule, notices, self._clock)
        self._connections_per_host = connections_per_host
        for lane in self._lanes.values():
            lane.pace.limit = connections_per_host
            lane.pace.keep_to(connections_per_host)

    @property
    def in_memory(self) -> int:
        """Deliveries that are being sent or are next in line."""
        return len(self._active)

    @property
    def silent_s(self) -> float:
        """Seconds since the queue was last looked at with success."""
        return time.monotonic() - self._polled_at

    def lease_for(self, entries: Sequence[LedgerEntry]) -> float:
        """The lease for what accept() is about to commit: 0 when it had better wait in the ledger."""
        if self._stopping or len(self._active) >= MAX_IN_MEMORY or self._content_bytes >= MAX_CONTENT_BYTES:
            return 0.0
        for entry in entries:
            destination = entry.correspondence.addresses[entry.direction.reader][0].domain
            lane = self._lanes.get(self._routes.lane(destination))
            if lane is None:
                continue
            if lane.pace.failures:
                return 0.0
            if lane.in_memory >= lane.pace.share(time.monotonic()):
                lane.starved = True
                return 0.0
        return LEASE_S

    def offer(self, deliveries: Sequence[Delivery]) -> None:
        """Take leased deliveries; returns at once."""
        for delivery in deliveries:
            if delivery.number in self._active:
                continue  # its lease ran out while it waited here: it is still ours
            lane = self._nowhere if delivery.dropped else self._lane(delivery)
            self._active[delivery.number] = lane, time.monotonic()
            self._content_bytes += len(delivery.content or b"")
            lane.in_memory += 1
            if delivery.dropped:
                self._finish(delivery, Outcome(OutcomeKind.FAILED, "5.7.1"))
                continue
            lane.waiting.append(delivery)
            lane.wake.set()
            lane.starved |= lane.in_memory >= lane.pace.share(time.monotonic())
            self._staff(lane)

    def _lane(self, delivery: Delivery) -> Lane:
        name = self._routes.lane(delivery.destination)
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = Lane(name, Pace(self._connections_per_host))
        if delivery.failures:
            lane.pace.probe(delivery.failures)
        if lane.closed_until <= time.monotonic():
            lane.in_trouble = False
        return lane

    async def run(self, stop: asyncio.Event) -> None:
        """Claim what is due, each second and when there is room again, until `stop`; then finish what is being sent."""
        stopped = asyncio.create_task(stop.wait())
        while not stop.is_set():
            self._wanted.clear()
            claimed = 0
            try:
                claimed = await self._claim()
                self._polled_at = time.monotonic()
            except LedgerError as error:
                maillog.crashed("queue", error)
            wanted = asyncio.create_task(self._wanted.wait())
            await asyncio.wait((stopped, wanted), timeout=BACKLOG_S if claimed else POLL_S,
                               return_when=asyncio.FIRST_COMPLETED)
            wanted.cancel()
        self._stopping = True
        for lane in self._lanes.values():
            for delivery in lane.waiting:  # their leases are void at the next start
                self._forget(delivery)
            lane.waiting.clear()
            lane.wake.set()
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _claim(self) -> int:
        """Take what is due as far as there is room, for all and for each; how much."""
        now, at = time.monotonic(), self._clock()
        limit = min(MAX_IN_MEMORY - len(self._active), CLAIM_LIMIT)
        # the fuller the memory, the less of a destination that is new: many that are dead must not fill it
        share = max(1, min(FIRST * FEW, (MAX_IN_MEMORY - len(self._active)) // 100))
        room = {lane.name: max(0, lane.pace.share(now) - lane.in_memory) for lane in self._lanes.values()}
        probing, shared = False, self._lanes.get(self._routes.lane("")) if self._routes.is_shared else None
        if shared is not None:
            probing = shared.pace.failures > 0
            if probing and not await self._is_probe_due(shared, now):
                return 0
            limit = 1 if probing else min(limit, room[shared.name])
        if self._routes.is_shared:
            share, room = limit, {}
        if limit <= 0:
            return 0
        claimed = await self._ledger.claim(at, LEASE_S, limit, Terms(
            share, room, at - self._schedule.warn_after, at - self._schedule.give_up_after, probing))
        self.offer(claimed)
        return len(claimed)

    async def _is_probe_due(self, lane: Lane, now: float) -> bool:
        urged = await self._ledger.urged()
        if urged != self._urged:
            self._urged, lane.closed_until = urged, now
        return not lane.in_memory and lane.closed_until <= now

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- connections -----------------------------------------------------------------------------------------

    def _staff(self, lane: Lane) -> None:
        """Another connection for each delivery that waits, as far as the destination and the limits go."""
        self._hungry.pop(lane, None)
        while len(lane.waiting) > lane.idle and lane.workers < lane.pace.width and not self._stopping:
            is_tried = lane.pace.is_proved(time.monotonic())
            if self._workers >= self._connections or (not is_tried and self._connecting >= self._connections // 2):
                self._hungry[lane] = None
                return
            lane.workers += 1
            self._workers += 1
            self._connecting += 1
            self._spawn(self._work(lane))

    def _staff_hungry(self) -> None:
        for lane in list(self._hungry):
            if self._workers >= self._connections:
                return
            self._staff(lane)

    async def _work(self, lane: Lane) -> None:
        """One connection's life: open it, send what waits, linger a little, close."""
        link: Link | None = None
        connect, is_new = self._connect, True
        try:
            while delivery := await self._next(lane, linger=link is not None):
                if link is not None and connect is not self._connect:
                    lane.links -= 1
                    await link.close()
                    link = None
                connect, was_open = self._connect, link is not None
                link = await self._send(lane, link, delivery)
                lane.links += (link is not None) - was_open
                if is_new:
                    self._connecting, is_new = self._connecting - 1, False
        finally:
            self._connecting -= is_new
            try:
                if link:
                    await link.close()
            finally:  # until it is closed it counts: the server at the other end counts it, too
                self._workers -= 1
                lane.workers -= 1
                lane.links -= link is not None
                self._leave(lane)

    def _leave(self, lane: Lane) -> None:
        """A connection less: somebody else may have it."""
        self._staff(lane)
        if not lane.workers and not lane.waiting:
            if lane.pace.failures and not lane.in_trouble:  # held or crashed: the one attempt showed nothing
                self._trouble(lane, lane.name, 0)
            if self._lanes.get(lane.name) is lane and not (lane.pace.failures and self._routes.is_shared):
                del self._lanes[lane.name]
        self._staff_hungry()

    async def _next(self, lane: Lane, *, linger: bool) -> Delivery | None:
        if not lane.waiting and linger and not self._stopping and not self._hungry:
            lane.wake.clear()
            lane.idle += 1
            try:
                await asyncio.wait_for(lane.wake.wait(), IDLE_S)
            except TimeoutError:
                pass
            finally:
                lane.idle -= 1
        while lane.waiting and lane.workers <= lane.pace.width:
            delivery = lane.waiting.popleft()
            if time.monotonic() - self._active[delivery.number][1] < WAIT_MAX_S:
                return delivery
            self._finish(delivery, Outcome(OutcomeKind.DEFERRED, "4.4.5", "not tried: too much before it"))
        return None

    # -- one delivery ----------------------------------------------------------------------------------------

    async def _send(self, lane: Lane, link: Link | None, delivery: Delivery) -> Link | None:
        """Send one delivery over `link` (opened when needed); returns the link if it can go on."""
        epoch = lane.pace.epoch
        try:
            if await self._ledger.is_held(delivery):
                self._forget(delivery)
                return link
            maillog.attempt(delivery.trace, delivery.message, delivery.kind, delivery.attempts)
            link, outcome = await self._deliver(link, delivery)
        except NoRoute as error:
            self._no_route(lane, delivery, error)
            return None
        except ConnectFailed as error:
            self._unreachable(lane, delivery, error.outcome)
            return None
        except Exception as error:
            maillog.crashed("transmit", error)
            self._finish(delivery, Outcome(OutcomeKind.DEFERRED, "4.3.0"))
            return link
        self._finish(delivery, outcome)
        if not link.pushed_back:
            self._took(lane, delivery)
        elif lane.pace.pushed_back(epoch):
            self._trouble(lane, delivery.destination, self._everybody(lane, outcome))
        if not link.usable:
            await link.close()
            return None
        return link

    async def _deliver(self, link: Link | None, delivery: Delivery) -> tuple[Link, Outcome]:
        content = await self._ledger.content(delivery)
        if link is not None:
            outcome = await link.send(delivery, content)
            if link.begun or not link.pushed_back:
                return link, outcome
            # the peer had enough of this connection, or had closed it: that was no attempt at delivery
            await link.close()
        link = await self._connect(await self._routes.hops(delivery.destination))
        return link, await link.send(delivery, content)

    def _no_route(self, lane: Lane, delivery: Delivery, error: NoRoute) -> None:
        """What holds for the destination holds for all that waits for it."""
        kind = OutcomeKind.FAILED if error.is_permanent else OutcomeKind.DEFERRED
        lane.waiting.appendleft(delivery)
        told = self._everybody(lane, Outcome(kind, error.code))
        if error.is_permanent:
            self._took(lane, delivery)
        else:
            self._trouble(lane, delivery.destination, told)

    def _unreachable(self, lane: Lane, delivery: Delivery, outcome: Outcome) -> None:
        """With other connections open, it only takes no more of them."""
        lane.waiting.appendleft(delivery)
        if lane.links > 0:
            lane.pace.keep_to(lane.links)
            lane.wake.set()
            return
        self._trouble(lane, delivery.destination, self._everybody(lane, outcome))

    def _took(self, lane: Lane, delivery: Delivery) -> None:
        was_in_trouble = lane.pace.failures > 0
        lane.pace.took(time.monotonic())
        if delivery.failures or (was_in_trouble and not self._routes.is_shared):
            self._spawn(self._tell(self._ledger.recovered(delivery.destination)))
        if was_in_trouble:
            lane.in_trouble = False
            self._wanted.set()
        self._staff(lane)

    def _everybody(self, lane: Lane, outcome: Outcome) -> int:
        """One outcome for all that waits in memory; how many these are."""
        count = len(lane.waiting)
        for waiting in lane.waiting:
            self._finish(waiting, outcome)
        lane.waiting.clear()
        return count

    def _trouble(self, lane: Lane, destination: str, told: int) -> None:
        """Nothing more is sent there before the next attempt, which is one for all that waits."""
        if lane.in_trouble:
            return  # another connection has told
        lane.in_trouble = True
        lane.pace.failed()
        pause = self._schedule.next_probe(lane.pace.failures, random.random())
        if told >= OVERDUE_LIMIT:  # there are more who have to be told
            pause = min(pause, timedelta(seconds=POLL_S))
        lane.starved = False
        lane.closed_until = time.monotonic() + pause.total_seconds()
        if not self._routes.is_shared:
            self._spawn(self._tell(self._ledger.troubled(destination, lane.pace.failures, self._clock() + pause)))

    async def _tell(self, change: Coroutine[Any, Any, None]) -> None:
        try:
            await change
        except LedgerError as error:
            maillog.crashed("queue", error)

    # -- the outcome -----------------------------------------------------------------------------------------

    def _finish(self, delivery: Delivery, outcome: Outcome) -> None:
        """Record in the background: the next message need not wait for this one's fsync."""
        self._spawn(self._record(delivery, outcome))

    def _forget(self, delivery: Delivery) -> None:
        lane, _ = self._active.pop(delivery.number)
        self._content_bytes -= len(delivery.content or b"")
        lane.in_memory -= 1
        if lane.starved and lane.in_memory <= lane.pace.share(time.monotonic()) // 2:
            lane.starved = False
            self._wanted.set()

    async def _record(self, delivery: Delivery, outcome: Outcome) -> None:
        try:
            await self._outcomes.record(delivery, outcome)
        except LedgerError as error:
            maillog.crashed("record", error)
        finally:
            self._forget(delivery)


def _descriptors() -> int:
    """How many files this process may have open."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 1 << 20 if soft == resource.RLIM_INFINITY else soft
