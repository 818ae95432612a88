"""The page with a large ledger: list, filters, search and threads stay under a bound at p99, and flat as it grows."""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from pages import Page
from shop import Shop, open_shop

from aliasing.correspondence import Direction
from relay.ledger.opened import open_ledger
from relay.ledger.sqlite import SqliteLedger
from relay.records import LedgerEntry, State, new_id

P99_MS = 50.0
A_THREAD = 20
BATCH = 1000
BODY = (b"From: x@relay.example\r\nTo: y@relay.example\r\nSubject: s\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\n\r\nBuenos dias.\r\n")


@dataclass
class Figures:
    """Milliseconds of one view."""

    name: str
    p50: float
    p99: float


def campaign(messages: int, rounds: int, seed: int | None, pictures: Path | None = None) -> int:
    """Half of all is Sol's. Measured at a tenth of the size as well: what grows more than twofold is not flat."""
    if pictures is not None and not _pictured(pictures.absolute()):
        return 1
    random = Random(seed if seed is not None else 1)
    with tempfile.TemporaryDirectory(prefix="page-") as folder, open_shop(Path(folder)) as shop:
        small = fill(shop, 0, messages // 10) or measure(shop, rounds, random)
        large = fill(shop, messages // 10, messages) or measure(shop, rounds, random)
    good = True
    print(f"{'view':<16}{'p50 ms':>8}{'p99 ms':>8}   at a tenth: p50")
    for before, after in zip(small, large, strict=True):
        flat = after.p50 < 2 * before.p50 + 2
        good = good and flat and after.p99 < P99_MS
        print(f"{after.name:<16}{after.p50:>8.1f}{after.p99:>8.1f}   {before.p50:>8.1f}{'' if flat else '   NOT FLAT'}")
    return 0 if good else 1


def _pictured(folder: Path) -> bool:
    """Every view in every look, by the tests that look at them."""
    tests = sorted(str(one) for one in (Path(__file__).parent.parent / "page").glob("test_*browser.py"))
    done = subprocess.run([sys.executable, "-m", "pytest", "-k", "every_view", *tests],
                          env=os.environ | {"TRADEPOST_SHOTS": str(folder)}, cwd=Path(__file__).parent.parent.parent)
    print(f"{len(list(folder.glob('*.png')))} pictures in {folder}", flush=True)
    return done.returncode == 0


def fill(shop: Shop, start: int, end: int) -> None:
    """Messages number `start` to `end`: correspondences of A_THREAD messages, every other one Sol's."""
    since = time.monotonic()
    with shop.opened.transaction() as db:
        [(seller, buyer), (other, stranger)] = [tuple(row) for row in db.execute(
            "SELECT DISTINCT seller_id, buyer_id FROM correspondence ORDER BY seller_id LIMIT 2")]
        key, now = shop.opened.keys.ring.newest, time.time()
        db.executemany("INSERT INTO correspondence (id, seller_id, buyer_id, order_number, domain, ring_key, created_at) "
                       "VALUES (?, ?, ?, ?, 'relay.example', ?, ?)",
                       [(1000 + one, *((seller, buyer) if one % 2 else (other, stranger)), order(one), key, now)
                        for one in range(start // A_THREAD, end // A_THREAD)])
        db.execute("UPDATE revision SET value = value + 1 WHERE name = 'registry'")
    asyncio.run(_write(shop, start, end))
    with shop.opened.transaction() as db:
        db.execute("UPDATE message SET state = CASE id % 50 WHEN 0 THEN 'failed' WHEN 1 THEN 'refused' WHEN 2 THEN 'held' "
                   "ELSE 'delivered' END WHERE state = 'held'")
        db.execute("UPDATE message SET reported_at = received_at WHERE id % 500 = 3")
    print(f"{end} messages; {end - start} written in {time.monotonic() - since:.0f} s", flush=True)


async def _write(shop: Shop, start: int, end: int) -> None:
    ledger = SqliteLedger(open_ledger(shop.opened.path, shop.folder / "var/keys"))
    at = datetime.now(UTC) - timedelta(days=30)
    batch: list[LedgerEntry] = []
    try:
        for number in range(start // A_THREAD, end // A_THREAD):
            for direction in Direction:
                facts = await ledger.facts(1000 + number, direction, at)
                assert facts is not None
                batch += [LedgerEntry(
                    id=new_id(), trace="t", correspondence=facts.correspondence, direction=direction, state=State.HELD,
                    received_at=at + timedelta(seconds=2 * number), dated_at=at, size=len(BODY),
                    subject=f"Asunto {number}", content=BODY) for _ in range(A_THREAD // 2)]
            if len(batch) >= BATCH:
                await ledger.commit(batch, at, lease_s=0)
                batch = []
        await ledger.commit(batch, at, lease_s=0)
    finally:
        ledger.close()


def measure(shop: Shop, rounds: int, random: Random) -> list[Figures]:
    """Each view asked for `rounds` times on one connection, the daemon warm."""
    page = Page(shop, "sol")
    page.client.headers["Connection"] = "keep-alive"
    with shop.opened.transaction() as db:
        [last] = db.execute("SELECT count(*) FROM correspondence WHERE order_number LIKE 'N-%'").fetchone()
    older = {name: str(page.soup(f"/messages?filter={name}").select_one(".more a")["href"]) for name in ("all", "sent")}
    views: dict[str, Callable[[], str]] = {
        "needs-reply": lambda: "/messages", "all": lambda: "/messages?filter=all", "sent": lambda: "/messages?filter=sent",
        "refused": lambda: "/messages?filter=refused", "held": lambda: "/messages?filter=held",
        "failed": lambda: "/messages?filter=failed", "reported": lambda: "/messages?filter=reported",
        "all, older": lambda: older["all"], "sent, older": lambda: older["sent"],
        "search": lambda: f"/messages?order={order(random.randrange(last) | 1)}",
        "correspondence": lambda: f"/orders/{order(random.randrange(last - 1) | 1)}",
    }
    return [_timed(page, name, where, rounds) for name, where in views.items()]


def _timed(page: Page, name: str, where: Callable[[], str], rounds: int) -> Figures:
    took = []
    for number in range(rounds + 5):
        since = time.perf_counter()
        answer = page.get(where())
        if number >= 5:
            took.append(1000 * (time.perf_counter() - since))
        assert answer.status_code in (200, 303), (name, answer.status_code)
    parts = statistics.quantiles(took, n=100)
    return Figures(name, parts[49], parts[98])


def order(one: int) -> str:
    return f"N-{one:07d}"
