"""The queue with a million deliveries, nine tenths of them for one destination: claims, lists, commands, start."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from entries import entry
from support import BUYER, ORDER, SELLER

from aliasing.correspondence import Side
from relay.ledger import Terms
from relay.ledger.listing import Listing
from relay.ledger.opened import Opened, open_ledger, release_leases
from relay.ledger.operate import Chosen, Operate
from relay.ledger.registry import NewParty, Registry
from relay.ledger.sqlite import SqliteLedger

BATCH = 50_000


def build(folder: Path, deliveries: int, destinations: int) -> Opened:
    """A ledger with so many deliveries that are due now; raw SQL, since the accepting of a million takes an hour."""
    opened = open_ledger(folder / "ledger.db", folder / "keys")
    Registry(opened).add_order(ORDER, "relay.example", NewParty(Side.SELLER, "S1", SELLER, "Tienda Sol", "es"),
                               NewParty(Side.BUYER, "B1", BUYER, "Ana", "es"))
    asyncio.run(_template(opened))
    now = time.time()
    db = opened.connection
    message = "SELECT * FROM message WHERE id = 1"
    columns = [row["name"] for row in db.execute("SELECT name FROM pragma_table_info('message')")
               if row["name"] not in ("id", "public_id", "state", "outgoing_id", "digest")]
    names = ", ".join(columns)
    dead = opened.keys.hash_domain("correo.example")
    for start in range(0, deliveries, BATCH):
        count = min(BATCH, deliveries - start)
        numbers = f"WITH RECURSIVE n(i) AS (SELECT {start} UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {start + count})"
        db.execute("BEGIN IMMEDIATE")
        db.execute(f"{numbers} INSERT INTO message (id, public_id, state, {names}) "
                   f"SELECT i + 2, printf('m%015d', i), 'queued', {names} FROM n, ({message})")
        db.execute(f"{numbers} INSERT INTO delivery (message_id, kind, party_id, state, attempts, created_at, "
                   "next_attempt_at, destination_hash) "
                   "SELECT i + 2, 'message', 2, 'queued', 0, :at, :at, "
                   "CASE WHEN i % 10 THEN :dead ELSE CAST(printf('lane%012d', (i / 10) % :lanes) AS BLOB) END FROM n",
                   {"at": now, "dead": dead, "lanes": max(1, destinations - 1)})
        db.execute("COMMIT")
    return opened


async def _template(opened: Opened) -> None:
    ledger = SqliteLedger(Opened(opened.path, opened.keys))
    await ledger.commit([await entry(ledger, received_at=datetime.now(UTC))], datetime.now(UTC), lease_s=3600)
    ledger.close()


def run(deliveries: int, destinations: int) -> int:
    """Print the figures; 0 when a start takes less than 3 s and no transaction of a command over 0.1 s."""
    with tempfile.TemporaryDirectory(prefix="tradepost-bench-") as name:
        since = time.monotonic()
        opened = build(Path(name), deliveries, destinations)
        size = opened.path.stat().st_size / 1e6
        print(f"{deliveries} deliveries to {destinations} destinations, {size:.0f} MB, "
              f"made in {time.monotonic() - since:.1f} s")
        since = time.monotonic()
        release_leases(opened, datetime.now(UTC))
        start_s = time.monotonic() - since
        print(f"start: leases and lanes {start_s:.2f} s")
        worst = asyncio.run(_measure(opened))
    return 0 if worst < 0.1 and (deliveries > 100_000 or start_s < 3) else 1


async def _measure(opened: Opened) -> float:
    ledger = SqliteLedger(Opened(opened.path, opened.keys))
    try:
        await claims(ledger)
        lists(opened)
        return max([await command(opened, ledger, verb) for verb in ("hold", "release", "retry", "drop")])
    finally:
        ledger.close()


async def claims(ledger: SqliteLedger) -> None:
    now, terms = datetime.now(UTC) + timedelta(seconds=1), Terms(share=16)
    times, taken = [], 0
    for _ in range(50):
        since = time.monotonic()
        taken += len(await ledger.claim(now, 3600, 200, terms))
        times.append(time.monotonic() - since)
    print(f"claim: {taken} in 50 claims, median {statistics.median(times) * 1e3:.1f} ms, worst {max(times) * 1e3:.1f} ms")
    await ledger.troubled("correo.example", 3, now + timedelta(seconds=10))
    times = []
    for second in range(11, 31):
        since = time.monotonic()
        await ledger.claim(now + timedelta(seconds=second), 3600, 200, replace(
            terms, warn_before=now - timedelta(hours=4), give_up_before=now - timedelta(days=5)))
        times.append(time.monotonic() - since)
    print(f"claim with the big one in trouble: median {statistics.median(times) * 1e3:.1f} ms, "
          f"worst {max(times) * 1e3:.1f} ms")


def lists(opened: Opened) -> None:
    for limit in (1000, 10**9):
        since = time.monotonic()
        listed = sum(1 for _ in Listing(opened).queue(limit))
        print(f"list: {listed} lines in {time.monotonic() - since:.2f} s")


async def command(opened: Opened, ledger: SqliteLedger, verb: str) -> float:
    """One command on all, while a daemon commits; the longest that it kept the daemon from it, in seconds."""
    own = Opened(opened.path, opened.keys)
    operate = Operate(own)
    since = time.monotonic()

    def work() -> int:
        return sum(changed for _, changed in operate.change(verb, Chosen()))

    task = asyncio.create_task(asyncio.to_thread(work))
    waits = []
    while not task.done():
        begun = time.monotonic()
        await ledger.commit([await entry(ledger, received_at=datetime.now(UTC))], datetime.now(UTC), lease_s=3600)
        waits.append(time.monotonic() - begun)
        await asyncio.sleep(0.01)
    changed, took = await task, time.monotonic() - since
    own.close()
    print(f"{verb} --all: {changed} in {took:.1f} s ({changed / took:.0f}/s); {len(waits)} commits meanwhile: median "
          f"{statistics.median(waits) * 1e3:.1f} ms, 99th percentile {sorted(waits)[len(waits) * 99 // 100] * 1e3:.0f} "
          f"ms, worst {max(waits) * 1e3:.0f} ms; longest transaction of the command {operate.longest_s * 1e3:.0f} ms")
    return operate.longest_s
