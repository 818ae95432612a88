"""A million messages in the ledger: lists, search and one correspondence by API, timed on the server as it grows."""

from __future__ import annotations

import asyncio
import json
import os
import random
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from apiclient import SELLER_SCOPES, Client, where
from manymessages import ManyMessages
from support import Relay

from relay.ledger.apikeys import SCOPES, ApiKeys
from relay.ledger.listing import FILTERS
from relay.ledger.opened import open_ledger

WORST_S = 0.050
"""What 99 of 100 answers have to come within, measured by the daemon (its access log)."""
ROUNDS = 200


def campaign(messages: int, seed: int | None) -> int:
    """Print the figures at a tenth and at all of the messages; 1 when a kind of request was too slow."""
    seed = random.randrange(1 << 32) if seed is None else seed
    print(f"seed {seed}")
    with tempfile.TemporaryDirectory(prefix="tradepost-api-") as name:
        relay = Relay(Path(name), {"listen": {"mx": "127.0.0.1:0", "http": "127.0.0.1:0"},
                                   "api": {"burst": 1_000_000, "requests_per_minute": 1_000_000_000}})
        (relay.folder / "var").mkdir()
        opened = open_ledger(relay.folder / "var/ledger.db", relay.folder / "var/keys")
        many = ManyMessages(opened, seed)
        many.grow(1)
        keys = [ApiKeys(opened).add("shop", SCOPES, None), ApiKeys(opened).add("seller", SELLER_SCOPES, "S0")]
        worst = 0.0
        for size in (messages // 10, messages):
            since = time.monotonic()
            many.grow(size)
            print(f"{size} messages, {len(many.orders)} orders, {opened.path.stat().st_size / 1e6:.0f} MB, "
                  f"grown in {time.monotonic() - since:.0f} s; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
            worst = asyncio.run(_measured(relay, keys, many))
        opened.close()
    print(f"the slowest kind's p99 is {worst * 1000:.1f} ms; it may be {WORST_S * 1000:.0f} ms")
    return 0 if worst < WORST_S else 1


async def _measured(relay: Relay, keys: list[str], many: ManyMessages) -> float:
    await relay.start()
    try:
        return await _timed(relay, keys, many)
    finally:
        await relay.stop()


async def _timed(relay: Relay, keys: list[str], many: ManyMessages) -> float:
    clients = {name: Client(where(relay), key) for name, key in zip(("marketplace", "seller"), keys, strict=True)}
    kinds = list(_requests(clients, many, random.Random(many.seed)))
    times: dict[str, list[float]] = defaultdict(list)
    done = len(_logged(relay))
    for _ in range(ROUNDS):
        for _, who, path in kinds:
            answer = await asyncio.to_thread(clients[who], "GET", path)
            assert answer.status == 200, (path, answer.body)
    lines = _logged(relay)[done:]
    assert len(lines) == ROUNDS * len(kinds)
    for number, line in enumerate(lines):
        times[kinds[number % len(kinds)][0]].append(line["after_s"])
    worst = 0.0
    for kind, seconds in times.items():
        ordered = sorted(seconds)
        p50, p99 = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]
        worst = max(worst, p99)
        print(f"  {kind:42} p50 {p50 * 1000:6.1f} ms  p99 {p99 * 1000:6.1f} ms  of {len(ordered)}")
    return worst


def _requests(clients: dict[str, Client], many: ManyMessages, chance: random.Random) -> Iterator[tuple[str, str, str]]:
    """(kind, who, path)."""
    for who, call in clients.items():
        for chosen in FILTERS:
            yield f"list {chosen}, {who}", who, f"/messages?filter={chosen}"
        cursor = ""
        for _ in range(20):
            cursor = call("GET", f"/messages?limit=200{cursor and f'&cursor={quote(cursor)}'}").json["next"] or ""
        yield f"list, 4000 messages down, {who}", who, f"/messages?cursor={quote(cursor)}" if cursor else "/messages"
        yield f"orders, {who}", who, "/orders"
    for order in (many.orders[0], chance.choice(many.orders), many.orders[-1]):
        yield "search by order number", "marketplace", f"/orders/{order}"
        yield "one correspondence", "marketplace", f"/messages?order={order}"
    shown = clients["marketplace"]("GET", f"/messages?order={many.orders[0]}&limit=200").json["items"]
    yield "the largest correspondence", "marketplace", f"/messages?order={many.orders[0]}&limit=200"
    yield "one message's timeline", "marketplace", f"/messages/{shown[0]['id']}"


def _logged(relay: Relay) -> list[dict[str, float]]:
    return [json.loads(line) for line in relay.log.read_text().splitlines() if '"event": "http"' in line]
