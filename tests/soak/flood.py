"""Forged aliases by the million, pipelined from several networks: refused how fast, at what cost, and who still writes."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from hostile import Honest, processor_s, resident_bytes, source
from support import SELLER, Relay

CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
A_NETWORK = 20
WINDOW = 50
"""Commands that a session sends before it waits for answers."""
FRESH_BOUND_S = 5.0
"""With the limits off, the flood takes all of the processor that it can get."""
CALM_BOUND_S = 1.0
"""With them on."""
REFUSALS_A_MINUTE = 60
"""limits.refusals_per_network by default."""
EVERYTHING_GOES = {"refusals_per_network": 10**9, "connects_per_network": 10**9, "refusals": 10**9, "commands": 10**9}


@dataclass
class Figures:
    """What the campaign found."""

    refused: int
    other: list[str]
    """Answers to forged aliases that were not the one that all get."""
    took_s: float
    processor_s: float
    growth_mb: float
    fresh: Honest
    forged_reads: int
    """SQL statements that RCPT TO with a forged alias led to."""
    honest_reads: int
    """The same for the honest one: the count works."""
    slowed: int
    """Answers in `slowed_s` with the default limits, from `networks`."""
    slowed_s: float
    networks: int
    calm: Honest
    """Honest mail meanwhile."""

    @property
    def slow_bound(self) -> float:
        """What the networks may have been answered: a minute's worth at once, and what drained meanwhile."""
        return self.networks * REFUSALS_A_MINUTE * (1 + self.slowed_s / 60) + self.networks

    @property
    def good(self) -> bool:
        served = not self.fresh.failed and self.fresh.p99_s < FRESH_BOUND_S
        calm = not self.calm.failed and self.calm.p99_s < CALM_BOUND_S
        return (served and calm and not self.other and self.forged_reads == 0 and self.honest_reads > 0
                and 0 < self.slowed <= self.slow_bound)


def campaign(count: int, sessions: int, slowed_s: float, seed: int | None) -> int:
    """Print seed and figures; 0 when nothing was read for them and honest mail got through."""
    seed = random.SystemRandom().randrange(2**32) if seed is None else seed
    print(f"flood: seed {seed}, {count} forged aliases on {sessions} sessions", flush=True)
    with tempfile.TemporaryDirectory(prefix="tradepost-flood-") as folder:
        found = asyncio.run(run(Path(folder), count, sessions, slowed_s, seed))
    print(f"refused {found.refused} in {found.took_s:.1f} s: {found.refused / found.took_s:.0f} a second, "
          f"{1e6 * found.processor_s / max(1, found.refused):.0f} us of the daemon's processor each; other answers "
          f"{len(found.other)}{': ' + found.other[0] if found.other else ''}; memory grew by {found.growth_mb:.1f} MB")
    print(f"SQL statements for forged aliases: {found.forged_reads} (must be 0); for the honest one: {found.honest_reads}")
    print(f"honest mail meanwhile: {found.fresh} (bound {FRESH_BOUND_S:g} s)")
    print(f"with the default limits: {found.slowed} answers in {found.slowed_s:g} s to {found.networks} networks "
          f"(bound {found.slow_bound:.0f}); honest mail: {found.calm} (bound {CALM_BOUND_S:g} s)")
    return 0 if found.good else 1


class TracedRelay(Relay):
    """A relay whose daemon counts the SQL statements of RCPT TO."""

    async def start(self) -> None:
        with self.log.open("ab") as log:
            start = self.log.stat().st_size
            self.process = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("traced.py")), "serve", "-c", str(self.file)],
                stderr=log, stdout=log, env=self.environment() | {"TRACED": str(self.folder / "traced.json")}, cwd=self.folder)
        await self.listening(start)

    def counted(self) -> dict[str, int]:
        """After its stop."""
        return dict(json.loads((self.folder / "traced.json").read_text()))


class Forger(asyncio.Protocol):
    """One session that guesses, WINDOW at a time, until `budget` says that it is enough."""

    def __init__(self, chance: random.Random, budget: list[int]) -> None:
        self._chance = chance
        self._budget = budget
        self._script = [b"EHLO flood.example\r\n", f"MAIL FROM:<{SELLER}>\r\n".encode()]
        self._waiting = 0
        self._rest = b""
        self.answers = 0
        self.other: list[str] = []
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\r\n")
        for line in lines:
            if line[3:4] == b"-":
                continue
            if self._script:
                self.transport.write(self._script.pop(0))
                continue
            if self._waiting:
                self._waiting -= 1
                self.answers += line.startswith(b"550 5.1.1 ")
                self.other += [] if line.startswith(b"550 5.1.1 ") else [line.decode()]
            if not self._waiting:
                self.guess()

    def guess(self) -> None:
        count = min(WINDOW, self._budget[0])
        self._budget[0] -= count
        self._waiting = count
        if not count:
            self.transport.close()
            return
        self.transport.write(b"".join(
            f"RCPT TO:<{''.join(self._chance.choices(CROCKFORD, k=39))}@relay.example>\r\n".encode() for _ in range(count)))

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


async def flood(relay: Relay, count: int, sessions: int, seed: int, part: int) -> list[Forger]:
    """`sessions` forgers that share `count` guesses; they go on when this returns."""
    loop, budget, forgers = asyncio.get_running_loop(), [count], []
    for number in range(sessions):
        sock = socket.socket()
        sock.bind((source(number // A_NETWORK, part), 0))
        sock.setblocking(False)
        await loop.sock_connect(sock, ("127.0.0.1", relay.port))
        forger = Forger(random.Random(seed + number), budget)
        await loop.create_connection(lambda forger=forger: forger, sock=sock)  # type: ignore[misc]
        forgers.append(forger)
    return forgers


async def run(folder: Path, count: int, sessions: int, slowed_s: float, seed: int) -> Figures:
    strangers = {"exempt": [], "greeting_delay": "0s"}
    relay = TracedRelay(folder, {"limits": strangers | EVERYTHING_GOES, "policy": {"rate_base": 10**9}})
    await relay.start()
    assert relay.process
    forgers: list[Forger] = []
    try:
        alias = relay.order()["buyer"]["alias"]
        fresh = Honest(relay.port, SELLER, alias)
        await fresh.write()
        used, memory, started = processor_s(relay.process.pid), resident_bytes(relay.process.pid), time.monotonic()
        forgers = await flood(relay, count, sessions, seed, 1)
        ended = asyncio.gather(*(forger.ended for forger in forgers))
        while not ended.done():
            await fresh.write()
            await asyncio.wait([ended], timeout=0.2)
        took = time.monotonic() - started
        used, memory = processor_s(relay.process.pid) - used, resident_bytes(relay.process.pid) - memory
        await relay.stop()
        reads = relay.counted()
        relay.config["limits"] = strangers
        relay.write_config()
        await relay.start()
        slow = await flood(relay, 10**9, sessions, seed, 2)
        calm = Honest(relay.port, SELLER, alias)
        await calm.write_for(slowed_s, 0.2)
        slowed = sum(forger.answers for forger in slow)
        for forger in slow:
            forger.transport.abort()
    finally:
        await relay.stop()
    honest = reads.pop(alias.partition("@")[0], 0)
    return Figures(sum(forger.answers for forger in forgers), [line for forger in forgers for line in forger.other], took, used,
                   memory / 2**20, fresh, sum(reads.values()), honest, slowed, slowed_s, -(-sessions // A_NETWORK), calm)
