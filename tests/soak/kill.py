"""kill -9 of the daemon at random moments under load; then every message that was answered 250 is looked for."""

from __future__ import annotations

import asyncio
import collections
import random
import re
import signal
import tempfile
from dataclasses import dataclass
from pathlib import Path

from load import Load
from support import SELLER, Relay

from relay.demo.outside import OutsideServer

WINDOW_S = 0.25
"""Between the outside server's 250 and our commit of it lies one group commit; this machine's slowest is below."""


@dataclass
class Figures:
    """What the campaign found."""

    accepted: int
    delivered: int
    queued: int
    lost: int
    duplicated: int
    unexplained: int
    """Duplicates whose first copy did not arrive within WINDOW_S before a kill."""


async def campaign(times: int, messages: int, seed: int | None, workers: int) -> int:
    """Print the figures; 0 when nothing was lost and every duplicate has its kill."""
    seed = random.SystemRandom().randrange(2**32) if seed is None else seed
    print(f"kill: seed {seed}, {times} kills, at least {messages} accepted messages, {workers} worker process(es)")
    with tempfile.TemporaryDirectory(prefix="tradepost-soak-") as folder:
        found = await run(Path(folder), times, messages, seed, workers)
    print(f"accepted {found.accepted}  delivered {found.delivered}  queued {found.queued}  lost {found.lost}  "
          f"duplicated {found.duplicated} (first copy within {WINDOW_S} s before a kill, RFC 1047: "
          f"{found.duplicated - found.unexplained}; unexplained: {found.unexplained})")
    return 1 if found.lost or found.unexplained or found.accepted < messages else 0


async def run(folder: Path, times: int, messages: int, seed: int, workers: int = 1) -> Figures:
    chance = random.Random(seed)
    outside = OutsideServer()
    await outside.start()
    relay = Relay(folder, {"outbound": {"route": f"smtp://127.0.0.1:{outside.port}", "retry": ["1s"]},
                           "policy": {"rate_base": 10**9}, "relay": {"workers": workers}})
    await relay.start()
    relay.config["listen"]["mx"] = f"127.0.0.1:{relay.port}"
    relay.write_config()
    alias = relay.order()["buyer"]["alias"]
    load = Load(relay.port, SELLER, alias, sessions=20, limit=messages * 50)
    loading = asyncio.create_task(load.run())
    kills = 0
    killed_at: list[float] = []
    try:
        while kills < times or len(load.accepted) < messages:
            await asyncio.sleep(chance.uniform(0.05, 0.6))
            if kills < times and len(load.accepted) >= (kills + 1) * messages // (times + 1):
                killed_at.append(asyncio.get_running_loop().time())
                await relay.stop(signal.SIGKILL)
                kills += 1
                await relay.start()
        load.stop = True
        await asyncio.wait_for(loading, 60)
        await drained(relay)
        queued = len(relay.json("queue", "list"))
    finally:
        load.stop = True
        loading.cancel()
        await relay.stop()
        await outside.stop()
    counts = collections.Counter(name(one.raw) for one in outside.arrived)
    twice = {one for one, count in counts.items() if count > 1}
    first = {name(one.raw): one.at for one in reversed(outside.arrived)}
    explained = {one for one in twice if any(-0.05 <= kill - first[one] <= WINDOW_S for kill in killed_at)}
    lost = len(load.accepted - set(counts)) - queued
    return Figures(len(load.accepted), len(load.accepted & set(counts)), queued, max(lost, 0), len(twice),
                   len(twice - explained))


def name(raw: bytes) -> str:
    match = re.search(rb"(?m)^Subject: (m\d+)", raw)
    return match.group(1).decode() if match else "?"


async def drained(relay: Relay) -> None:
    """Wait until nothing is queued any more, two minutes at most."""
    for _ in range(240):
        if not await asyncio.to_thread(relay.json, "queue", "list"):
            return
        await asyncio.sleep(0.5)
