"""The queue: who is served when, how much at a time, and what operators do to a great many at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from entries import NOW, entry
from support import SELLER

from aliasing.correspondence import Direction, Side
from relay.dsn.notices import Notices
from relay.errors import Overtaken
from relay.ledger import OVERDUE_LIMIT, Terms
from relay.ledger.listing import Listing
from relay.ledger.opened import SQL, Opened, open_ledger, release_leases
from relay.ledger.operate import Chosen, Operate
from relay.ledger.registry import NewParty, Registry
from relay.ledger.sqlite import SqliteLedger
from relay.queue.pace import FEW, MANY, PROOF_S, Pace
from relay.queue.runner import Runner
from relay.queue.schedule import PROBE_MAX, Schedule
from relay.records import Delivery, Outcome, OutcomeKind, State, new_id
from relay.transmit.attempt import ConnectFailed
from relay.transmit.route import Hop

DEAD, WELL = "dead.example", "well.example"
DEFERRED = Outcome(OutcomeKind.DEFERRED, "4.4.1")
SCHEDULE = Schedule([timedelta(minutes=2), timedelta(hours=1)], timedelta(hours=4), timedelta(days=5))


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    """Two orders: number 1 goes to a destination that will be dead, number 2 to one that is well."""
    found = open_ledger(tmp_path / "ledger.db", tmp_path / "keys")
    for number, domain in enumerate((DEAD, WELL), 1):
        Registry(found).add_order(f"A{number}", "relay.example", NewParty(Side.SELLER, "S1", SELLER, "Sol", "es"),
                                  NewParty(Side.BUYER, f"B{number}", f"ana@{domain}", "Ana", "es"))
    return found


@pytest.fixture
async def ledger(opened: Opened) -> AsyncIterator[SqliteLedger]:
    one = SqliteLedger(opened)
    yield one
    one.close()


async def fill(ledger: SqliteLedger, number: int, count: int, at: datetime = NOW) -> None:
    one = await entry(ledger, number)
    for start in range(0, count, 100):
        await ledger.commit([replace(one, id=new_id()) for _ in range(min(100, count - start))], at, lease_s=0)


def domains(deliveries: Sequence[Delivery]) -> Counter[str]:
    return Counter(one.destination for one in deliveries)


# -- claims ------------------------------------------------------------------------------------------------


async def test_a_big_queue_leaves_the_small_one_its_share(ledger: SqliteLedger) -> None:
    await fill(ledger, 1, 300)
    await fill(ledger, 2, 5)
    assert domains(await ledger.claim(NOW, 60, 30, Terms(share=16))) == {DEAD: 16, WELL: 5}


async def test_destinations_take_turns(ledger: SqliteLedger) -> None:
    await fill(ledger, 1, 40)
    await fill(ledger, 2, 40)
    claims = [domains(await ledger.claim(NOW + timedelta(seconds=second), 60, 10, Terms(share=10)))
              for second in range(1, 5)]
    assert sum(claims, Counter()) == {DEAD: 20, WELL: 20}


async def test_what_the_runner_has_no_room_for_stays(ledger: SqliteLedger) -> None:
    await fill(ledger, 1, 20)
    await fill(ledger, 2, 20)
    assert domains(await ledger.claim(NOW, 60, 100, Terms(share=4, room={DEAD: 0, WELL: 7}))) == {WELL: 7}
    assert domains(await ledger.claim(NOW, 60, 100)) == {DEAD: 20, WELL: 13}


async def test_a_destination_in_trouble_is_tried_with_one_delivery(ledger: SqliteLedger) -> None:
    await fill(ledger, 1, 50)
    await ledger.troubled(DEAD, 1, NOW + timedelta(minutes=2))
    assert await ledger.claim(NOW + timedelta(seconds=119), 60, 100) == []
    probe = await ledger.claim(NOW + timedelta(seconds=120), 3600, 100)
    assert [(one.attempts, one.failures) for one in probe] == [(1, 1)]
    await fill(ledger, 1, 1)  # what is new waits for the probe like the rest
    assert await ledger.claim(NOW + timedelta(seconds=121), 60, 100) == []
    await ledger.recovered(DEAD)
    assert len(await ledger.claim(NOW + timedelta(seconds=122), 60, 100)) == 50


async def test_new_mail_for_a_destination_in_trouble_is_not_tried_at_once(ledger: SqliteLedger) -> None:
    await ledger.commit([await entry(ledger, 1)], NOW, lease_s=60)
    await ledger.troubled(DEAD, 1, NOW + timedelta(minutes=2))
    assert [one.attempts for one in await ledger.commit([await entry(ledger, 1)], NOW, lease_s=60)] == [0]
    assert [one.attempts for one in await ledger.commit([await entry(ledger, 2)], NOW, lease_s=60)] == [1]


async def test_who_waits_behind_a_dead_destination_still_hears_of_it(ledger: SqliteLedger) -> None:
    """Though one delivery only is tried, all are warned of and given up at their time."""
    await fill(ledger, 1, 30, NOW - timedelta(hours=5))
    await fill(ledger, 1, 30)
    await ledger.troubled(DEAD, 3, NOW)
    terms = Terms(share=5, warn_before=NOW - timedelta(hours=4), give_up_before=NOW - timedelta(days=5))
    found = await ledger.claim(NOW, 60, 5, terms)
    assert len(found) == 30
    assert all(one.created_at < NOW - timedelta(hours=4) for one in found)
    for one in found:
        await ledger.record(one, DEFERRED, NOW, retry_at=NOW + timedelta(hours=1), warned=True)
    await ledger.troubled(DEAD, 4, NOW)
    assert len(await ledger.claim(NOW, 60, 5, terms)) == 1


async def test_one_claim_tells_no_more_than_a_bound(ledger: SqliteLedger) -> None:
    await fill(ledger, 1, OVERDUE_LIMIT + 100, NOW - timedelta(hours=5))
    await ledger.troubled(DEAD, 1, NOW)
    found = await ledger.claim(NOW, 60, 5, Terms(warn_before=NOW - timedelta(hours=4)))
    assert OVERDUE_LIMIT <= len(found) <= OVERDUE_LIMIT + 1


async def test_a_smarthost_in_trouble_is_tried_with_one_delivery_of_all(ledger: SqliteLedger) -> None:
    await fill(ledger, 1, 5, NOW - timedelta(hours=5))
    await fill(ledger, 2, 5)
    assert len(await ledger.claim(NOW, 60, 1, Terms(probing=True))) == 1
    # what is overdue is told, in every lane
    assert domains(await ledger.claim(NOW, 60, 1, Terms(probing=True, warn_before=NOW - timedelta(hours=4))))[DEAD] >= 4


async def test_after_a_restart_a_dead_destination_is_still_tried_once(opened: Opened, ledger: SqliteLedger) -> None:
    await fill(ledger, 1, 20)
    await ledger.troubled(DEAD, 5, NOW)
    assert len(await ledger.claim(NOW, 3600, 100)) == 1
    release_leases(opened, NOW)  # the process that made the attempt is dead
    assert [one.failures for one in await ledger.claim(NOW, 3600, 100)] == [5]


async def test_a_lane_goes_when_its_last_delivery_has_gone(opened: Opened, ledger: SqliteLedger) -> None:
    await fill(ledger, 1, 3)
    for one in await ledger.claim(NOW, 60, 10):
        await ledger.record(one, Outcome(OutcomeKind.DELIVERED, "250"), NOW)
    assert await ledger.claim(NOW + timedelta(hours=2), 60, 10) == []
    assert opened.connection.execute("SELECT count(*) FROM lane").fetchone()[0] == 0


@pytest.mark.parametrize("name", [
    "lanes_due", "lane_failures", "due", "overdue", "lane_next", "by_digest", "exchange", "dsns", "lane_visited"])
def test_no_query_of_the_queue_walks_through_it(opened: Opened, name: str) -> None:
    """Each is answered from an index, without a scan and without sorting: its cost stays when the queue grows."""
    names = {"lane": b"x", "warned": 0, "before": 1.0, "limit": 1}
    values = names if ":lane" in SQL[name] else (1,) * SQL[name].count("?")
    plan = [row["detail"] for row in opened.connection.execute("EXPLAIN QUERY PLAN " + SQL[name], values)]
    bad = [line for line in plan if "TEMP B-TREE" in line or (line.startswith("SCAN") and "(subquery" not in line)]
    assert not bad, plan


# -- the same message again --------------------------------------------------------------------------------


async def test_of_two_sessions_with_the_same_message_one_is_overtaken(ledger: SqliteLedger) -> None:
    one = await entry(ledger, 1, identity=b"identity")
    results = await asyncio.gather(*(ledger.commit([replace(one, id=new_id())], NOW, lease_s=60) for _ in range(2)),
                                   return_exceptions=True)
    assert [isinstance(result, Overtaken) for result in results] == [False, True]
    assert await ledger.repeated(one.correspondence, one.direction, b"identity", NOW)
    assert not await ledger.repeated(one.correspondence, Direction.TO_SELLER, b"identity", NOW)
    assert not await ledger.repeated((await entry(ledger, 2)).correspondence, one.direction, b"identity", NOW)
    assert not await ledger.repeated(one.correspondence, one.direction, b"identity", NOW + timedelta(hours=13))


async def test_a_message_that_was_refused_or_failed_is_not_known_again(ledger: SqliteLedger) -> None:
    one = await entry(ledger, 1, identity=b"identity")
    await ledger.commit([replace(one, id=new_id(), state=State.REFUSED)], NOW, lease_s=0)
    assert not await ledger.repeated(one.correspondence, one.direction, b"identity", NOW)
    delivery = (await ledger.commit([one], NOW, lease_s=60))[0]
    await ledger.record(delivery, Outcome(OutcomeKind.FAILED, "550 5.1.1"), NOW)
    assert not await ledger.repeated(one.correspondence, one.direction, b"identity", NOW)


async def test_two_reports_at_once_queue_one_notice(opened: Opened, ledger: SqliteLedger) -> None:
    delivery = (await ledger.commit([await entry(ledger, 1)], NOW, lease_s=60))[0]
    about = await ledger.returned(delivery.number)
    assert about is not None
    failed = Outcome(OutcomeKind.FAILED, "5.1.1")
    notice = Notices("relay.example", timedelta(days=5)).failed(about, failed, NOW)
    await asyncio.gather(*(ledger.record_dsn(about, failed, NOW, action="failed", notice=notice) for _ in range(5)),
                         ledger.record(delivery, failed, NOW, notice=notice))
    assert [line["kind"] for line in Listing(opened).queue()] == ["dsn"]


# -- operators ---------------------------------------------------------------------------------------------


def changed(opened: Opened, verb: str, *ids: str, destination: str | None = None) -> int:
    chosen = Chosen.by(ids, destination, everything=not ids and destination is None)
    return sum(count for _, count in Operate(opened).change(verb, chosen))


async def test_commands_go_through_the_whole_queue_in_batches(opened: Opened, ledger: SqliteLedger) -> None:
    await fill(ledger, 1, 700)
    await fill(ledger, 2, 3)
    assert changed(opened, "hold") == 703
    assert await ledger.claim(NOW, 60, 10) == []
    assert changed(opened, "hold") == 0
    assert changed(opened, "release", destination=WELL) == 3
    assert changed(opened, "release", "1", "2", "99999") == 2
    assert len(await ledger.claim(datetime.now(UTC), 60, 100)) == 5
    assert changed(opened, "retry") == 0  # all are held or being sent
    assert Operate(opened).count(Chosen()) == 703


async def test_the_list_goes_on_where_it_stopped(opened: Opened, ledger: SqliteLedger) -> None:
    await fill(ledger, 1, 30)
    await fill(ledger, 2, 3)
    first = list(Listing(opened).queue(10))
    rest = list(Listing(opened).queue(100, after=int(first[-1]["id"])))
    assert [int(line["id"]) for line in (*first, *rest)] == list(range(1, 34))
    assert [line["to"] for line in Listing(opened).queue(destination=WELL)] == ["buyer:B2"] * 3


async def test_what_is_dropped_does_not_wait_for_a_dead_destination(opened: Opened, ledger: SqliteLedger) -> None:
    await fill(ledger, 1, 20)
    await ledger.troubled(DEAD, 9, NOW + timedelta(days=1000))
    assert changed(opened, "drop") == 20
    found = await ledger.claim(datetime.now(UTC), 60, 100)
    assert [one.dropped for one in found] == [True] * 20


async def test_retry_makes_a_dead_destination_due(opened: Opened, ledger: SqliteLedger) -> None:
    await fill(ledger, 1, 20)
    await ledger.troubled(DEAD, 9, NOW + timedelta(days=1000))
    urged = await ledger.urged()
    assert changed(opened, "retry") == 20
    assert await ledger.urged() == urged + 1
    assert len(await ledger.claim(datetime.now(UTC), 60, 100)) == 1


# -- how much at a time ------------------------------------------------------------------------------------


def test_connections_grow_with_success_and_shrink_when_pushed_back() -> None:
    pace = Pace(limit=8)
    assert pace.width == 2
    for _ in range(10):
        pace.took(100.0)
    assert pace.width == 8
    epoch = pace.epoch
    assert not pace.pushed_back(epoch)
    assert not pace.pushed_back(epoch)  # begun before the first: nothing new
    assert pace.width == 4
    assert [pace.pushed_back(pace.epoch) for _ in range(3)] == [False, False, True]
    assert pace.width == 1


def test_a_destination_has_to_go_on_proving_itself() -> None:
    pace = Pace(limit=8)
    assert pace.share(100.0) == 2 * FEW
    pace.took(100.0)
    assert pace.share(100.0) == 3 * MANY
    assert pace.share(101.0 + PROOF_S) == 3 * FEW
    pace.failed()
    assert pace.share(101.0) == FEW


def test_a_dead_destination_is_tried_at_the_pauses_of_the_configuration_but_often_enough() -> None:
    assert [SCHEDULE.next_probe(failures, 0.5) for failures in (1, 2, 50)] == [timedelta(minutes=2), PROBE_MAX,
                                                                               PROBE_MAX]


# -- the runner --------------------------------------------------------------------------------------------


class World:
    """Destinations that behave as told, in place of the network."""

    def __init__(self) -> None:
        self.is_shared = False
        self.dead: set[str] = set()
        self.hanging: set[str] = set()
        self.limits: dict[str, int] = {}
        self.refusing = 0
        self.connects: Counter[str] = Counter()
        self.open: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()

    def lane(self, destination: str) -> str:
        return destination

    async def hops(self, destination: str) -> list[Hop]:
        return [Hop(destination, "192.0.2.1", 25)]

    async def connect(self, hops: Sequence[Hop]) -> Any:
        name = hops[0].host
        self.connects[name] += 1
        if name in self.hanging:
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        if name in self.dead or self.open[name] >= self.limits.get(name, 100):
            raise ConnectFailed(DEFERRED)
        self.open[name] += 1
        self.most[name] = max(self.most[name], self.open[name])
        return FakeLink(self, name)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.001)


class FakeLink:
    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.usable, self.pushed_back, self.begun = True, False, False

    async def send(self, delivery: Delivery, content: bytes) -> Outcome:
        await asyncio.sleep(0)
        if self.world.refusing:
            self.world.refusing -= 1
            self.pushed_back, self.usable = True, False
            return Outcome(OutcomeKind.DEFERRED, "421 4.7.0")
        self.world.sent[self.name] += 1
        return Outcome(OutcomeKind.DELIVERED, "250 2.0.0")

    async def close(self) -> None:
        self.world.open[self.name] -= 1


async def done(runner: Runner) -> None:
    """Wait until nothing is in its hands and all is written down."""
    async with asyncio.timeout(20):
        while runner.in_memory or runner._tasks:
            await asyncio.sleep(0.001)


Start = Callable[[World], Awaitable[Runner]]


@pytest.fixture
async def start(ledger: SqliteLedger) -> AsyncIterator[Start]:
    stop, tasks = asyncio.Event(), []

    async def begin(world: World) -> Runner:
        runner = Runner(ledger, world, world.connect, SCHEDULE, Notices("relay.example", timedelta(days=5)),
                        lambda: NOW, connections_per_host=8)
        tasks.append(asyncio.create_task(runner.run(stop)))
        return runner

    yield begin
    stop.set()
    for task in tasks:
        task.cancel()


async def test_a_destination_that_hangs_holds_nobody_up(ledger: SqliteLedger, start: Start) -> None:
    await fill(ledger, 1, 500)
    await fill(ledger, 2, 100)
    world = World()
    world.hanging = {DEAD}
    runner = await start(world)
    await world.until(lambda: world.sent[WELL] == 100)
    assert world.connects[DEAD] == 2
    await world.until(lambda: runner.in_memory < 100)  # the many that wait for it are in the ledger


async def test_a_dead_destination_costs_a_connection_or_two(ledger: SqliteLedger, start: Start) -> None:
    await fill(ledger, 1, 500)
    await fill(ledger, 2, 100)
    world = World()
    world.dead = {DEAD}
    runner = await start(world)
    await world.until(lambda: world.sent[WELL] == 100)
    await done(runner)
    assert world.connects[DEAD] <= 2
    assert await ledger.claim(NOW + timedelta(seconds=30), 60, 1000) == []
    assert len(await ledger.claim(NOW + timedelta(minutes=3), 60, 1000)) == 1


async def test_new_mail_for_a_destination_in_trouble_waits(ledger: SqliteLedger, start: Start) -> None:
    world = World()
    world.dead = {DEAD}
    runner = await start(world)
    one = await entry(ledger, 1)
    for _ in range(20):
        made = replace(one, id=new_id())
        runner.offer([delivery for delivery in await ledger.commit([made], NOW, lease_s=runner.lease_for([made]))
                      if delivery.attempts])
        await done(runner)
    assert world.connects[DEAD] == 1


async def test_connections_grow_up_to_the_limit(ledger: SqliteLedger, start: Start) -> None:
    await fill(ledger, 2, 400)
    world = World()
    await start(world)
    await world.until(lambda: world.sent[WELL] == 400)
    assert world.most[WELL] == 8
    assert world.connects[WELL] <= 12


async def test_a_destination_that_takes_three_connections_gets_three(ledger: SqliteLedger, start: Start) -> None:
    await fill(ledger, 2, 400)
    world = World()
    world.limits = {WELL: 3}
    runner = await start(world)
    await world.until(lambda: world.sent[WELL] == 400 and not runner.in_memory)
    assert world.most[WELL] == 3
    assert await ledger.claim(NOW + timedelta(days=1), 60, 1000) == []  # none was deferred for it


async def test_a_destination_that_sends_us_away_gets_less_and_then_one(ledger: SqliteLedger, start: Start) -> None:
    await fill(ledger, 2, 100)
    world = World()
    world.refusing = 1000
    runner = await start(world)
    await world.until(lambda: world.connects[WELL] >= 2)
    await done(runner)
    assert world.connects[WELL] <= 6
    world.refusing = 0
    probe = await ledger.claim(NOW + timedelta(minutes=3), 60, 1000)
    assert [one.failures for one in probe] == [1]


async def test_a_probe_that_gets_through_brings_the_rest(ledger: SqliteLedger, start: Start) -> None:
    await fill(ledger, 1, 300)
    await ledger.troubled(DEAD, 3, NOW)
    world = World()
    await start(world)
    await world.until(lambda: world.sent[DEAD] == 300)


async def test_what_is_held_as_a_probe_leaves_the_others_their_turn(
        opened: Opened, ledger: SqliteLedger, start: Start) -> None:
    await fill(ledger, 1, 3)
    await ledger.troubled(DEAD, 3, NOW)
    world = World()
    runner = await start(world)
    probe = await ledger.claim(NOW, 3600, 10)
    assert changed(opened, "hold", str(probe[0].number)) == 1
    runner.offer(probe)
    await done(runner)
    assert not world.connects
    assert len(await ledger.claim(NOW + PROBE_MAX, 60, 10)) == 1
