"""What kill and power have in common: load, crashes at random moments, and the accounts afterwards."""

from __future__ import annotations

import asyncio
import itertools
import random
import re
import signal
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Set
from contextlib import closing
from dataclasses import dataclass, field

from load import Load
from pysqlite3 import dbapi2 as sqlite
from support import SELLER, Relay

from relay.demo.outside import OutsideServer

WINDOW_S = 0.5
"""Between the outside server's 250 and our record of it lies one group commit; the report tells the widest seen."""
SESSIONS = 20
STALL_S = 30.0
"""A campaign ends when nothing was accepted for so long: then the crash has cost more than messages."""


class StalledError(Exception):
    """After a crash nothing is accepted any more."""


@dataclass(frozen=True)
class Crash:
    """One crash, in the loop's time: when it was done, and when the daemon was gone."""

    at: float
    gone: float


@dataclass
class Figures:
    """What a campaign found."""

    accepted: int
    delivered: int
    """Of the accepted."""
    queued: int
    unpromised: int
    """Delivered though the answer never came: the crash fell between commit and 250."""
    lost: set[str]
    halved: set[str]
    windows: dict[str, float]
    """Delivered more than once -> seconds from its first copy to the crash before its second, if there was one."""
    crashes: int
    took_s: float
    ends: dict[str, int] = field(default_factory=dict)
    """How the daemon ended -> how often."""
    aside: int = 0
    """Answered 250 after the storage had gone: no promise of ours, since the kernel itself said that it was kept."""
    aside_gone: int = 0
    """Of these not there."""

    @property
    def unexplained(self) -> set[str]:
        """Duplicates whose first copy is not of the moment before a crash."""
        return {name for name, window in self.windows.items() if window > WINDOW_S}

    @property
    def clean(self) -> bool:
        return not (self.lost or self.halved or self.unexplained or self.queued)

    def lines(self) -> Iterator[str]:
        """For people; what must be nothing comes last."""
        if self.aside:
            yield (f"answered 250 on the word of a file system that was already shut down: {self.aside}, "
                   f"of these not there: {self.aside_gone}")
        explained = [window for window in self.windows.values() if window <= WINDOW_S]
        yield f"crashes {self.crashes} in {self.took_s:.0f} s; the daemon's end: " + ", ".join(
            f"{end} {count}" for end, count in self.ends.items())
        yield (f"accepted {self.accepted}  delivered {self.delivered}  queued {self.queued}  "
               f"delivered though the answer was lost {self.unpromised}")
        yield (f"duplicated {len(self.windows)}: taken outside and not yet recorded when it crashed (RFC 1047) "
               f"{len(explained)}, by at most {max(explained, default=0):.3f} s")
        yield f"duplicated without that explanation (must be 0): {len(self.unexplained)}{_names(self.unexplained)}"
        yield f"delivered by half (must be 0): {len(self.halved)}{_names(self.halved)}"
        yield f"lost (must be 0): {len(self.lost)}{_names(self.lost)}"


def _names(names: set[str]) -> str:
    return "  " + ", ".join(sorted(names)[:20]) if names else ""


class Tally:
    """Counts what arrives outside, without keeping it."""

    def __init__(self, outside: OutsideServer, load: Load) -> None:
        self._outside = outside
        self._body = b"x" * 70 + b"\r\n" + (b"y" * 70 + b"\r\n") * (load.size // 72)
        self.copies: dict[str, list[float]] = defaultdict(list)
        self.halved: set[str] = set()

    def take(self) -> None:
        arrived, self._outside.arrived = self._outside.arrived, []
        for one in arrived:
            match = re.search(rb"(?m)^Subject: (m\d+)\r$", one.raw)
            name = match.group(1).decode() if match else "?"
            self.copies[name].append(one.at)
            if self._body not in one.raw:
                self.halved.add(name)


async def run(relay: Relay, outside: OutsideServer, crash: Callable[[Load], Awaitable[str]], *, times: int,
              messages: int, seed: int, aside: Set[str] = frozenset()) -> Figures:
    """Crash and restart a relay that is up `times` times under load, until `messages` were accepted as well.

    `crash` returns how the daemon ended; afterwards the relay can be started. The port must be a fixed one. Messages
    that it has put into `aside` are accounted for apart. Raises StalledError.
    """
    chance, begun = random.Random(seed), time.monotonic()
    alias = relay.order()["buyer"]["alias"]
    load = Load(relay.port, SELLER, alias, sessions=SESSIONS, limit=messages * 100)
    tally, crashes, ends = Tally(outside, load), list[Crash](), defaultdict[str, int](int)
    loading = asyncio.create_task(load.run())
    clock = asyncio.get_running_loop().time
    accepted, grown_at = 0, clock()
    try:
        while len(crashes) < times or len(load.accepted) < messages:
            await asyncio.sleep(chance.uniform(0.02, 0.3))
            tally.take()
            if len(load.accepted) > accepted:
                accepted, grown_at = len(load.accepted), clock()
            elif clock() - grown_at > STALL_S:
                raise StalledError(f"nothing was accepted for {STALL_S:.0f} s after {len(crashes)} crashes")
            if len(crashes) < times and len(load.accepted) >= (len(crashes) + 1) * messages // (times + 1):
                at = clock()
                ends[await crash(load)] += 1
                crashes.append(Crash(at, clock()))
                await relay.start()
        load.stop = True
        await asyncio.wait_for(loading, 60)
        queued = await drained(relay)
    finally:
        load.stop = True
        loading.cancel()
        await relay.stop()
    tally.take()
    return _account(load, tally, crashes, queued, time.monotonic() - begun, ends, aside)


def _account(load: Load, tally: Tally, crashes: list[Crash], queued: int, took_s: float, ends: dict[str, int],
             aside: Set[str]) -> Figures:
    arrived = set(tally.copies)
    missing = load.accepted - arrived - aside
    windows = {name: _window(times, crashes) for name, times in tally.copies.items() if len(times) > 1}
    return Figures(
        accepted=len(load.accepted), delivered=len(load.accepted & arrived), queued=queued,
        unpromised=len(arrived - load.accepted), lost=missing if len(missing) > queued else set(),
        halved=tally.halved, windows=windows, crashes=len(crashes), took_s=took_s, ends=dict(ends),
        aside=len(aside), aside_gone=len(aside - arrived))


def _window(times: list[float], crashes: list[Crash]) -> float:
    """Each copy but the last must be followed by a crash before the next one comes; the longest that this took."""
    longest = 0.0
    for copy, after in itertools.pairwise(times):
        between = [crash for crash in crashes if copy <= crash.gone and crash.at <= after]
        longest = max(longest, min((max(0.0, crash.at - copy) for crash in between), default=float("inf")))
    return longest


async def drained(relay: Relay) -> int:
    """Wait until nothing is queued any more, two minutes at most; how much still is."""
    left = 0
    for _ in range(600):
        with closing(sqlite.connect(f"file:{relay.folder / 'var' / 'ledger.db'}?mode=ro", uri=True)) as db:
            (left,) = db.execute("SELECT count(*) FROM delivery WHERE finished_at IS NULL").fetchone()
        if not left:
            break
        await asyncio.sleep(0.2)
    return int(left)


async def fix_port(relay: Relay) -> None:
    """Start the relay, and have it listen on the same port from now on."""
    await relay.start()
    relay.config["listen"]["mx"] = f"127.0.0.1:{relay.port}"
    relay.write_config()


def end(status: int) -> str:
    """A process's exit status in words."""
    return signal.Signals(-status).name if status < 0 else f"exit {status}"
