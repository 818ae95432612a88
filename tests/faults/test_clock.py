"""The clock jumps forth and back: leases, pauses and ages stay what they were."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support import BUYER, ORDER, SELLER, Relay, message

from aliasing.correspondence import Direction, Side
from relay.demo.outside import OutsideServer
from relay.ledger.opened import Opened, open_ledger, release_leases
from relay.ledger.registry import NewParty, Registry
from relay.ledger.sqlite import SqliteLedger
from relay.records import Delivery, LedgerEntry, Outcome, OutcomeKind, State, new_id

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
JUMPS = [timedelta(days=400), timedelta(days=-400), timedelta(hours=2), timedelta(minutes=-5)]
DEFERRED = Outcome(OutcomeKind.DEFERRED, "4.4.1")


class Clocks:
    """A wall clock that can be set, and one that only goes on."""

    def __init__(self) -> None:
        self.boot = 5000.0
        self.wall = NOW

    def pass_(self, seconds: float) -> datetime:
        self.boot += seconds
        self.wall += timedelta(seconds=seconds)
        return self.wall


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    found = open_ledger(tmp_path / "ledger.db", tmp_path / "keys")
    Registry(found).add_order(ORDER, "relay.example", NewParty(Side.SELLER, "S1", SELLER, "Tienda Sol", "es"),
                              NewParty(Side.BUYER, "B1", BUYER, "Ana", "es"))
    return found


@pytest.fixture
async def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
async def ledger(opened: Opened, clocks: Clocks) -> AsyncIterator[SqliteLedger]:
    release_leases(opened, clocks.wall)
    one = SqliteLedger(opened, lambda: clocks.boot)
    assert await one.claim(clocks.wall, 60, 10) == []
    yield one
    one.close()


async def kept(ledger: SqliteLedger, now: datetime, lease_s: float) -> Delivery:
    facts = await ledger.facts(1, Direction.TO_BUYER, now)
    assert facts
    entry = LedgerEntry(id=new_id(), trace="t", correspondence=facts.correspondence, direction=Direction.TO_BUYER,
                        state=State.QUEUED, received_at=now, size=4, subject="", content=b"hola")
    return (await ledger.commit([entry], now, lease_s=lease_s))[0]


@pytest.mark.parametrize("jump", JUMPS, ids=str)
async def test_a_lease_and_a_pause_last_as_long_as_they_were_meant_to(
        ledger: SqliteLedger, clocks: Clocks, jump: timedelta) -> None:
    leased = await kept(ledger, clocks.wall, lease_s=600)
    waiting = await kept(ledger, clocks.wall, lease_s=600)
    await ledger.record(waiting, DEFERRED, clocks.wall, retry_at=clocks.wall + timedelta(seconds=300))
    clocks.wall += jump
    assert await ledger.claim(clocks.pass_(10), 600, 10) == []
    assert await ledger.claim(clocks.pass_(280), 600, 10) == []
    again = await ledger.claim(clocks.pass_(20), 600, 10)
    assert [one.number for one in again] == [waiting.number]
    # it is as old as it was: nobody is told that it took 400 days
    assert timedelta(seconds=300) < clocks.wall - again[0].created_at < timedelta(seconds=330)
    assert [one.number for one in await ledger.claim(clocks.pass_(300), 600, 10)] == [leased.number]


async def test_two_processes_move_the_queue_once(opened: Opened, ledger: SqliteLedger, clocks: Clocks) -> None:
    other = SqliteLedger(Opened(opened.path, opened.keys), lambda: clocks.boot)
    assert await other.claim(clocks.wall, 600, 10) == []
    await kept(ledger, clocks.wall, lease_s=600)
    clocks.wall += timedelta(days=2)
    assert await other.claim(clocks.pass_(1), 600, 10) == []
    assert await ledger.claim(clocks.pass_(1), 600, 10) == []
    assert len(await other.claim(clocks.pass_(600), 600, 10)) == 1
    other.close()


async def test_a_clock_set_back_while_nobody_ran_keeps_nothing_waiting(opened: Opened, clocks: Clocks) -> None:
    ahead = SqliteLedger(opened, lambda: clocks.boot)
    delivery = await kept(ahead, NOW + timedelta(days=400), lease_s=60)
    await ahead.record(delivery, DEFERRED, NOW + timedelta(days=400), retry_at=NOW + timedelta(days=401))
    release_leases(opened, NOW)
    due = await ahead.claim(NOW, 60, 10)
    assert [(one.number, one.created_at) for one in due] == [(delivery.number, NOW)]
    ahead.close()


SERVE = """
import asyncio, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from relay import config, log, tls
from relay.main import Daemon
from relay.receive.server import bind_for
loaded = config.load(Path(sys.argv[1]))
log.configure("json", "info")
shift = Path(sys.argv[2])
clock = lambda: datetime.now(UTC) + timedelta(seconds=float(shift.read_text()))
if not loaded.certificate[0].exists():
    tls.make_certificate(*loaded.certificate, loaded.relay.hostname)
sys.exit(asyncio.run(Daemon(loaded, bind_for(1, loaded.listen.mx)[0], clock).run()))
"""


async def test_the_running_daemon_neither_gives_up_nor_stalls(tmp_path: Path, outside: OutsideServer) -> None:
    """The daemon with its own clock handed in, which is set a year forth and two years back while mail is deferred."""
    shift, year = tmp_path / "shift", 365 * 86400
    shift.write_text("0")
    relay = Relay(tmp_path, {"outbound": {"route": f"smtp://127.0.0.1:{outside.port}", "retry": ["1s"],
                                          "warn_after": "1h", "give_up_after": "2h"}})
    alias = relay.order()["buyer"]["alias"]
    (tmp_path / "var" / "spool").mkdir(exist_ok=True)
    with relay.log.open("ab") as log:
        relay.process = subprocess.Popen([sys.executable, "-c", SERVE, str(relay.file), str(shift)], stderr=log,
                                         stdout=log, cwd=tmp_path, env=relay.environment() | _path())
    try:
        await relay.listening(0)
        outside.answers[BUYER] = "451 4.2.1 not now"
        await relay.send(SELLER, alias, message(SELLER, alias))
        await relay.settle("deferred")
        for seconds in (year, -year):
            tried = _attempts(relay)
            shift.write_text(str(seconds))
            for _ in range(100):
                if _attempts(relay) > tried + 1:
                    break
                await asyncio.sleep(0.1)
            assert _attempts(relay) > tried + 1, "it waits for the clock to come back"
        del outside.answers[BUYER]
        await outside.wait_for(1, BUYER)
        await relay.settle("delivered")
        assert len(outside.arrived) == 1  # no warning, no DSN
    finally:
        await relay.stop()


def _attempts(relay: Relay) -> int:
    return relay.log.read_text().count('"deferred"')


def _path() -> dict[str, str]:
    return {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}
