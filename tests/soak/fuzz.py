"""Sessions from a grammar against the daemon, and octets into every parser: nothing crashes, tells or grows."""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
import json
import logging
import random
import re
import ssl
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

from filemaker import png
from support import SELLER, Relay

from relay.demo.outside import OutsideServer
from soak.grammar import session
from soak.mutate import mutated
from soak.parsers import TARGETS
from soak.sessions import Player, Wrong, children, resident_kb

TOO_SLOW_S = 2.0
"""Of CPU time for one input of at most 20 kB; the slowest seeds take some ten milliseconds."""
BATCH = 500
AT_ONCE = 32
MAX_GROWTH_KB = 40 * 1024
"""After the first quarter: 20 MB of database pages and the keys of 20,000 messages may be cached yet, and no more."""
MAX_KEPT = 50


@dataclass
class Finding:
    """What was wrong, how often, and the shortest input that shows it."""

    count: int
    data: bytes
    detail: str


@dataclass
class Found:
    """What a campaign over inputs came to; for each target how many it was given."""

    given: Counter[str] = field(default_factory=Counter)
    findings: dict[str, Finding] = field(default_factory=dict)
    slowest_s: float = 0.0
    slowest: tuple[str, bytes] = ("", b"")

    def add(self, key: str, data: bytes, detail: str, count: int = 1) -> None:
        known = self.findings.get(key)
        if known is None and len(self.findings) < MAX_KEPT:
            self.findings[key] = Finding(count, data, detail)
        elif known is not None:
            known.count += count
            if len(data) < len(known.data):
                known.data, known.detail = data, detail

    def merge(self, other: Found) -> None:
        self.given.update(other.given)
        for key, one in other.findings.items():
            self.add(key, one.data, one.detail, one.count)
        if other.slowest_s > self.slowest_s:
            self.slowest_s, self.slowest = other.slowest_s, other.slowest

    def judge(self, target: str, data: bytes) -> None:
        """Give one input to one target."""
        self.given[target] += 1
        begun = time.process_time()
        try:
            TARGETS[target].check(data)
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            told = re.sub(r"0x[0-9a-f]+|\d+", "N", str(error))[:80]
            self.add(f"{target}: {type(error).__name__}: {told} ({Path(last.filename).name}, {last.name})", data,
                     traceback.format_exc())
        spent = time.process_time() - begun
        if spent > self.slowest_s:
            self.slowest_s, self.slowest = spent, (target, data)
        if spent > TOO_SLOW_S:
            self.add(f"{target}: too slow", data, f"{spent:.1f} s")

    def to_json(self) -> str:
        return json.dumps({"given": self.given, "slowest_s": self.slowest_s, "slowest": [self.slowest[0], self.slowest[1].hex()],
                           "findings": [[key, one.count, one.data.hex(), one.detail] for key, one in self.findings.items()]})

    @classmethod
    def from_json(cls, text: str) -> Found:
        read = json.loads(text)
        return cls(Counter(read["given"]), {key: Finding(count, bytes.fromhex(data), detail) for key, count, data, detail in read["findings"]},
                   read["slowest_s"], (read["slowest"][0], bytes.fromhex(read["slowest"][1])))


# --- inputs --------------------------------------------------------------------------------------------------------


def shares(inputs: int) -> dict[str, int]:
    """How many inputs each target gets."""
    return {target.name: max(1, inputs * target.weight // 100) for target in TARGETS.values()}


def hush() -> None:
    """Libraries warn of damaged files; what they return says it as well."""
    warnings.simplefilter("ignore")
    logging.disable()


def run_inputs(seed: int, target: str, first: int, count: int) -> Found:
    """Plain mutation: the inputs `first` and following of one target."""
    found, one = Found(), TARGETS[target]
    for number in range(first, first + count):
        found.judge(target, mutated(random.Random(f"{seed}:{target}:{number}"), one.seeds(), one.words))
    return found


def plain(seed: int, inputs: int, jobs: int) -> Found:
    """All targets by plain mutation; a process that dies is a finding, looked for among the inputs it had."""
    found = Found()
    waiting = [(target, first, min(BATCH, count - first)) for target, count in shares(inputs).items()
               for first in range(0, count, BATCH)]
    while waiting:
        with ProcessPoolExecutor(jobs, initializer=hush) as pool:
            work = {pool.submit(run_inputs, seed, *batch): batch for batch in waiting}
            waiting = []
            for future, batch in work.items():
                try:
                    found.merge(future.result())
                except BrokenProcessPool:
                    waiting.append(batch)
        if waiting:  # all that were on the way are lost with the process: they are asked again, one at a time
            waiting = [one for batch in waiting for one in _alone(found, seed, batch)]
    return found


def _alone(found: Found, seed: int, batch: tuple[str, int, int]) -> Iterable[tuple[str, int, int]]:
    """A batch in a process of its own: nothing when it is well, its halves when it is not."""
    target, first, count = batch
    with ProcessPoolExecutor(1, initializer=hush) as pool:
        try:
            found.merge(pool.submit(run_inputs, seed, *batch).result())
        except BrokenProcessPool:
            if count > 1:
                half = count // 2
                return [*_alone(found, seed, (target, first, half)), *_alone(found, seed, (target, first + half, count - half))]
            one = TARGETS[target]
            found.given[target] += 1
            found.add(f"{target}: the process died", mutated(random.Random(f"{seed}:{target}:{first}"), one.seeds(), one.words), "")
    return []


def guided(seed: int, inputs: int, jobs: int, folder: Path) -> Found:
    """All targets, each guided by the coverage of its code, in a process of its own (atheris, libFuzzer)."""
    found = Found()
    with ThreadPoolExecutor(jobs) as pool:
        work = [pool.submit(_guided, seed, target, count, folder) for target, count in shares(inputs).items()]
        for one in work:
            found.merge(one.result())
    return found


def _guided(seed: int, target: str, count: int, folder: Path) -> Found:
    place = folder / target
    (place / "corpus").mkdir(parents=True)
    for number, data in enumerate(TARGETS[target].seeds()):
        (place / "corpus" / f"{number:04}").write_bytes(data)
    done = subprocess.run([sys.executable, str(Path(__file__).with_name("guided.py")), target, str(count), str(seed), str(place)],
                          capture_output=True, text=True)
    figures = place / "found.json"
    found = Found.from_json(figures.read_text()) if figures.exists() else Found()
    if done.returncode:
        left = sorted(place.glob("crash-*")) + sorted(place.glob("timeout-*")) + sorted(place.glob("oom-*"))
        found.add(f"{target}: the process ended with {done.returncode}", left[0].read_bytes() if left else b"", done.stderr[-4000:])
    return found


# --- sessions ------------------------------------------------------------------------------------------------------


@dataclass
class Talk:
    """What a campaign over sessions came to."""

    played: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    kept: list[tuple[int, str]] = field(default_factory=list)
    arrived: int = 0
    crashed: int = 0
    quarter_kb: int = 0
    end_kb: int = 0
    restarted: bool = False

    @property
    def clean(self) -> bool:
        flat = self.end_kb <= self.quarter_kb + MAX_GROWTH_KB
        return not (self.wrong or self.crashed or self.restarted) and flat and self.codes["250 2.6.0"] > 0


async def run_sessions(folder: Path, seed: int, count: int, first: int = 0) -> Talk:
    """Sessions `first` and following of the campaign, against a daemon of their own."""
    outside = OutsideServer()
    await outside.start()
    relay = Relay(folder, {"outbound": {"route": f"smtp://127.0.0.1:{outside.port}"}, "policy": {"rate_base": 10**9},
                           "limits": {"command_timeout": "5s"}})  # so that deadlines are met with as well
    order = relay.order()
    await relay.start()
    assert relay.process
    talk, workers = Talk(), children(relay.process.pid)
    numbers = iter(range(first, first + count))
    try:
        await _examined(relay, order["buyer"]["alias"])
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(_talk(relay, outside, (seed, count, (order["buyer"]["alias"], order["seller"]["alias"])), numbers, talk))
        talk.restarted = relay.process.poll() is not None or not set(workers) <= set(children(relay.process.pid))
        talk.end_kb = resident_kb(relay.process.pid)
    finally:
        status = await relay.stop()
        await outside.stop()
    talk.restarted |= status != 0
    talk.crashed = sum(b'"crashed"' in line for line in relay.log.read_bytes().splitlines())
    return talk


async def _examined(relay: Relay, alias: str) -> None:
    """One message with a file first: the process that reads files starts with it, and counts as memory from there on."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = SELLER, alias, "Factura"
    mail.set_content("Adjunta va la factura.\n")
    mail.add_attachment(png(), maintype="image", subtype="png", filename="factura.png")
    code, text = await relay.send(SELLER, alias, mail.as_bytes(policy=SMTP))
    assert code == 250, text


async def _talk(relay: Relay, outside: OutsideServer, campaign: tuple[int, int, tuple[str, str]], numbers: Iterator[int],
                talk: Talk) -> None:
    """One client after another, until there are no numbers left."""
    seed, count, aliases = campaign
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    for number in numbers:
        player = Player(relay.port, trusting)
        try:
            await player.play(session(seed, number, aliases))
        except (Wrong, OSError) as error:
            talk.wrong[re.sub(r"\d+", "N", f"{type(error).__name__}: {error}")[:120]] += 1
            talk.kept += [(number, str(error))] if len(talk.kept) < MAX_KEPT else []
        talk.codes.update(player.answers.codes)
        talk.played += 1
        talk.arrived += len(outside.arrived)
        outside.arrived.clear()
        if talk.played == max(1, count // 4) and relay.process:
            talk.quarter_kb = resident_kb(relay.process.pid)


# --- the campaign --------------------------------------------------------------------------------------------------


def campaign(sessions: int, inputs: int, seed: int | None, jobs: int, *, mutate: bool) -> int:
    """Print seed and figures; 0 when nothing was found. `mutate`: plain mutation even where atheris is there."""
    seed = random.SystemRandom().randrange(2**32) if seed is None else seed
    print(f"fuzz: seed {seed}, {sessions} sessions, {inputs} inputs, {jobs} process(es)", flush=True)
    kept = Path(tempfile.mkdtemp(prefix="tradepost-fuzz-"))
    clean = True
    if sessions:
        clean = _sessions(seed, sessions, kept)
    if inputs:
        clean = _inputs(seed, inputs, jobs, kept, mutate=mutate) and clean
    if not any(kept.iterdir()):
        kept.rmdir()
    else:
        print(f"what was found: {kept}")
    return 0 if clean else 1


def _sessions(seed: int, count: int, kept: Path) -> bool:
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="tradepost-soak-") as folder:
        talk = asyncio.run(run_sessions(Path(folder), seed, count))
        if talk.crashed:
            (kept / "daemon.log").write_bytes((Path(folder) / "daemon.log").read_bytes())
    print(f"sessions {talk.played} in {time.monotonic() - begun:.0f} s: replies {talk.codes.total()}, messages taken {talk.codes['250 2.6.0']}, "
          f"delivered {talk.arrived}")
    print("  " + ", ".join(f"{code} × {times}" for code, times in talk.codes.most_common(40)))
    print(f"  wrong answers (must be 0): {talk.wrong.total()}   crashed in the log (must be 0): {talk.crashed}   "
          f"restarts or a bad end (must be no): {'yes' if talk.restarted else 'no'}")
    print(f"  memory: {talk.quarter_kb / 1024:.1f} MB at a quarter, {talk.end_kb / 1024:.1f} MB at the end "
          f"(must grow by {MAX_GROWTH_KB // 1024} MB at most)")
    for number, wrong in talk.kept:
        (kept / f"session-{number}.txt").write_text(f"{wrong}\n\n{session(seed, number, ('buyer-alias', 'seller-alias'))}\n")
    for told, times in talk.wrong.most_common():
        print(f"  {times} × {told}")
    return talk.clean


def _inputs(seed: int, inputs: int, jobs: int, kept: Path, *, mutate: bool) -> bool:
    begun = time.monotonic()
    if mutate or importlib.util.find_spec("atheris") is None:
        print("inputs: " + ("plain mutation, as asked" if mutate else
                            "atheris is NOT installed: plain mutation of the seeds, not guided by coverage"), flush=True)
        found = plain(seed, inputs, jobs)
    else:
        print("inputs: guided by coverage (atheris)", flush=True)
        with tempfile.TemporaryDirectory(prefix="tradepost-soak-") as folder:
            found = guided(seed, inputs, jobs, Path(folder))
    print(f"inputs {found.given.total()} in {time.monotonic() - begun:.0f} s: "
          + ", ".join(f"{name} {count}" for name, count in found.given.items()))
    print(f"  slowest {found.slowest_s:.3f} s of CPU time ({found.slowest[0]}, {len(found.slowest[1])} octets; at most {TOO_SLOW_S} s)")
    print(f"  findings (must be 0): {len(found.findings)}")
    for number, (key, one) in zip(itertools.count(1), found.findings.items(), strict=False):
        print(f"  {number}: {one.count} × {key}")
        (kept / f"{number}.input").write_bytes(one.data)
        (kept / f"{number}.txt").write_text(f"{key}\n{one.data[:2000]!r}\n\n{one.detail}\n")
    return not found.findings
