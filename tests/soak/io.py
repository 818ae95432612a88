"""EIO, ENOSPC and SIGKILL at every single write, sync, rename and unlink of one message, one run each (needs strace).

EIO and ENOSPC are for files; at the writes to sockets and between threads, where they cannot come, only SIGKILL is tried.

A run: the daemon is up and idle; strace is put on one of its threads with one fault at that thread's n-th call of one
kind (strace counts per thread); a message is sent, delivered, the daemon told to stop. Then it is started without
strace, what is queued leaves, and it serves the next run. n grows until a run ends without having come to it.
"""

from __future__ import annotations

import asyncio
import collections
import os
import re
import shutil
import signal
import smtplib
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pysqlite3 import dbapi2 as sqlite
from support import SELLER, Relay, crlf, message

from relay.demo.outside import OutsideServer

Series = tuple[str, str, str]
"""(size, role, call): all its points are one lane's."""
CALLS = ("write", "writev", "pwrite64", "pwritev", "fsync", "fdatasync", "rename", "renameat", "renameat2", "unlink",
         "unlinkat", "ftruncate", "fallocate")
FAULTS = {"EIO": "error=EIO", "ENOSPC": "error=ENOSPC", "EROFS": "error=EROFS", "SIGKILL": "signal=SIGKILL"}
SIZES = {"small": 20, "big": 6000}
"""Lines of the two messages: one is kept in the ledger, one in a file of its own."""
ROLES = ("loop", "writer", "pool")
"""The daemon's threads in the order of their making; all after the second are the pool."""
QUIET_S = 3.0
_ON_FILE = re.compile(r"^(?:\d+ +)?\w+\((?:\d+<(?P<open>/[^>]*)>|\"(?P<named>/))", re.MULTILINE)
"""A line of strace -y about a file: by descriptor or by name. Sockets and wake-ups have no path."""


class NoStraceError(Exception):
    """strace is not there, or may not trace here."""


@dataclass(frozen=True)
class Point:
    """One place for one fault."""

    size: str
    role: str
    call: str
    number: int
    """The thread's first, second … call of that kind."""
    fault: str

    def __str__(self) -> str:
        return f"{self.size} message, {self.role} thread, {self.call} #{self.number}, {self.fault}"


@dataclass
class Figures:
    """What a campaign found."""

    points: int = 0
    """Reached, one run each."""
    by_call: collections.Counter[str] = field(default_factory=collections.Counter)
    answers: collections.Counter[str] = field(default_factory=collections.Counter)
    exits: collections.Counter[str] = field(default_factory=collections.Counter)
    accepted: int = 0
    delivered: int = 0
    duplicated: int = 0
    """Delivered twice: the fault fell between the outside server's 250 and our record of it (RFC 1047)."""
    unpromised: int = 0
    """Delivered though not answered 250: the fault fell between commit and answer."""
    wrong: list[str] = field(default_factory=list)
    """Lost, half, refused for good, hung: a line each."""

    def lines(self) -> Iterator[str]:
        yield f"points {self.points}: " + ", ".join(f"{call} {count}" for call, count in self.by_call.most_common())
        yield "answers: " + ", ".join(f"{answer} {count}" for answer, count in self.answers.most_common())
        yield "daemon's end: " + ", ".join(f"{end} {count}" for end, count in self.exits.most_common())
        yield (f"accepted {self.accepted}  delivered {self.delivered}  delivered twice (RFC 1047) {self.duplicated}  "
               f"delivered though not answered 250 {self.unpromised}")
        yield f"lost, half, refused for good, hung or damaged (must be 0): {len(self.wrong)}"
        yield from self.wrong


def require_strace(folder: Path) -> None:
    """Raises NoStraceError unless strace can inject into a process of ours."""
    if shutil.which("strace") is None:
        raise NoStraceError("strace is not installed: apt-get install strace")
    done = subprocess.run(["strace", "-e", "trace=fsync", "-e", "inject=fsync:error=EIO", "sync", str(folder)],
                          capture_output=True, text=True)
    if "INJECTED" not in done.stderr:
        raise NoStraceError(f"strace cannot inject faults here: {done.stderr.strip().splitlines()[:1]}")


async def campaign(jobs: int) -> int:
    """Print the figures; 0 when nothing was lost, halved or refused for good. There is no seed: nothing is random."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="tradepost-io-") as folder:
        try:
            require_strace(Path(folder))
        except NoStraceError as error:
            print(f"io: {error}")
            return 1
        found, series = Figures(), collections.deque[tuple[Series, list[bool]]]()
        lanes = [Lane(Path(folder) / str(number), found) for number in range(jobs)]
        try:
            for lane in lanes:
                await lane.set_up()
            for size in SIZES:
                calls = await lanes[0].calls(size)
                print(f"{size} message: " + ", ".join(
                    f"{role} {call} {len(files)} ({sum(files)} to files)" for (role, call), files in calls.items()))
                series += [((size, role, call), files) for (role, call), files in calls.items() if role != "new"]
            await asyncio.gather(*(lane.work(series) for lane in lanes))
        finally:
            for lane in lanes:
                await lane.tear_down()
    print("\n".join(found.lines()))
    print(f"took {time.monotonic() - begun:.0f} s, {jobs} at a time; no seed, nothing is random")
    return 1 if found.wrong or not found.points else 0


class Lane:
    """A relay and an outside server of its own, and the runs made with them one after the other."""

    def __init__(self, folder: Path, found: Figures) -> None:
        self.found = found
        self._outside = OutsideServer()
        self._folder = folder
        self._sent = 0
        self._tracer: subprocess.Popen[bytes] | None = None

    async def set_up(self) -> None:
        self._folder.mkdir()
        await self._outside.start()
        route = f"smtp://127.0.0.1:{self._outside.port}"
        self.relay = Relay(self._folder, {"outbound": {"route": route, "retry": ["1s"]}, "policy": {"rate_base": 10**9}})
        self._alias = self.relay.order()["buyer"]["alias"]
        await self.relay.start()

    async def tear_down(self) -> None:
        await self.relay.stop(signal.SIGKILL)
        await self._outside.stop()
        if self._tracer is not None and self._tracer.poll() is None:
            self._tracer.kill()

    async def work(self, series: collections.deque[tuple[Series, list[bool]]]) -> None:
        """Take series off the list until there is none."""
        while series:
            one, files = series.popleft()
            number, reached = 1, True
            while reached or number <= len(files):
                reached = await self.run(Point(*one, number, "SIGKILL"))
                for fault in ("EIO", "ENOSPC") if reached and all(files[number - 1 : number]) else ():
                    await self.run(Point(*one, number, fault))
                number += 1
            print(f"{' '.join(one)}: done, {self.found.points} points so far, {len(self.found.wrong)} wrong", flush=True)

    async def calls(self, size: str) -> dict[tuple[str, str], list[bool]]:
        """The calls that each thread makes in a run without a fault, by kind: for each whether it is about a file."""
        roles = await self._warm(size)
        known = {tid: role for role, tids in roles.items() for tid in tids}
        trace = await self._attach(["-f"], list(known)[:1], ",".join(CALLS))
        await self._transaction(size)
        await self._end()
        found = collections.defaultdict[tuple[str, str], list[bool]](list)
        for line in trace.read_text().splitlines():
            if match := re.match(r"(\d+) +(\w+)\(", line):
                found[known.get(int(match[1]), "new"), match[2]].append(bool(_ON_FILE.match(line)))
        await self._check("no fault", size, 250, counted=False)
        return found

    async def run(self, point: Point) -> bool:
        """One run; whether the fault was reached."""
        roles = await self._warm(point.size)
        inject = ["-e", f"inject={point.call}:{FAULTS[point.fault]}:when={point.number}"]
        trace = await self._attach(inject, roles[point.role], point.call)
        code = await self._transaction(point.size)
        status = await self._end()
        hit = next((line for line in trace.read_text().splitlines() if "INJECTED" in line), "")
        reached = status == "SIGKILL" if point.fault == "SIGKILL" else bool(_ON_FILE.match(hit))
        if status == "hung" and (reached or not hit):
            self.found.wrong.append(f"hung: {point}")
        if reached:
            self.found.points += 1
            self.found.by_call[point.call] += 1
            self.found.answers[str(code or "none")] += 1
            self.found.exits[status] += 1
        await self._check(str(point), point.size, code, counted=reached)
        return reached

    async def _warm(self, size: str) -> dict[str, list[int]]:
        """The threads that a message needs exist, and the start has written what it writes; those of each role."""
        await self._send(size)
        await self._drained()
        assert self.relay.process
        tids = sorted(int(one) for one in os.listdir(f"/proc/{self.relay.process.pid}/task"))
        return {"loop": tids[:1], "writer": tids[1:2], "pool": tids[2:]}

    async def _attach(self, options: Sequence[str], tids: Sequence[int], calls: str) -> Path:
        """strace on these threads; returns once it is there."""
        trace = self._folder / "trace"
        trace.unlink(missing_ok=True)
        words = ["strace", "-y", "-o", str(trace), "-e", f"trace={calls}", *options]
        for tid in tids:
            words += ["-p", str(tid)]
        self._tracer = subprocess.Popen(words, stderr=subprocess.PIPE)
        assert self._tracer.stderr
        for _ in tids:
            line = await asyncio.to_thread(self._tracer.stderr.readline)
            if b"attached" not in line:
                raise NoStraceError(line.decode(errors="replace"))
        return trace

    async def _transaction(self, size: str) -> int | None:
        """Send one message and wait until the daemon has done with it: delivered, ended, or quiet for long."""
        assert self.relay.process
        at = self.relay.log.stat().st_size
        code = await self._send(size)
        ends = [b'"delivered"', b'"deferred"'] if code == 250 else [b'"delivered"']
        wait_s = QUIET_S if code in (250, 421) else 0.3  # 421: it is about to end
        for _ in range(int(wait_s / 0.02)):
            log = self.relay.log.read_bytes()[at:]
            if self.relay.process.poll() is not None or any(end in log for end in ends):
                break
            await asyncio.sleep(0.02)
        return code

    async def _send(self, size: str) -> int | None:
        """The code that answered the message, None when nothing did."""
        self._sent += 1
        data = message(SELLER, self._alias, f"m{self._sent}", _body(size), Message_ID=f"<m{self._sent}@x.example>")
        try:
            return (await self.relay.send(SELLER, self._alias, data))[0]
        except (OSError, smtplib.SMTPException):
            return None

    async def _end(self) -> str:
        """Stop the daemon; how it ended."""
        process = self.relay.process
        assert process
        try:
            status = await self.relay.stop()
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            self.relay.process = None
            return "hung"
        finally:
            assert self._tracer
            assert self._tracer.stderr
            await asyncio.to_thread(self._tracer.wait, 15)
            self._tracer.stderr.close()
        return signal.Signals(-status).name if status < 0 else f"exit {status}"

    async def _check(self, point: str, size: str, code: int | None, *, counted: bool) -> None:
        """Start anew, let everything leave, and look what arrived."""
        await self.relay.start()
        await self._drained()
        mark = f"Subject: m{self._sent}\r\n".encode()
        copies = [one.raw for one in self._outside.arrived if mark in one.raw]
        found, wrong, body = self.found, self.found.wrong, crlf(_body(size))
        if counted:
            found.accepted += code == 250
            found.delivered += bool(copies)
            found.duplicated += len(copies) > 1
            found.unpromised += bool(copies) and code != 250
        if code == 250 and not copies:
            wrong.append(f"lost: {point}")
        if any(body not in raw for raw in copies):
            wrong.append(f"half: {point}")
        if code is not None and code >= 500:
            wrong.append(f"refused for good ({code}): {point}")
        wrong += [f"{damage}: {point}" for damage in self._damage()]
        self._outside.arrived.clear()

    def _damage(self) -> list[str]:
        """What is wrong with the ledger itself."""
        with _ledger(self.relay) as db:
            found = [] if db.execute("PRAGMA integrity_check").fetchone() == ("ok",) else ["damaged"]
            named = {name for (name,) in db.execute("SELECT file FROM content WHERE file IS NOT NULL")}
        spooled = set(os.listdir(self._folder / "var" / "spool"))
        return found + (["files left over"] if spooled - named else []) + (["files missing"] if named - spooled else [])

    async def _drained(self) -> None:
        for _ in range(1000):
            with _ledger(self.relay) as db:
                if db.execute("SELECT count(*) FROM delivery WHERE finished_at IS NULL").fetchone() == (0,):
                    return
            await asyncio.sleep(0.02)
        self.found.wrong.append("the queue does not empty")


class _ledger:  # noqa: N801 - reads as the function that it stands for
    """A short look into a relay's ledger."""

    def __init__(self, relay: Relay) -> None:
        self._db = sqlite.connect(f"file:{relay.folder / 'var' / 'ledger.db'}?mode=ro", uri=True)

    def __enter__(self) -> sqlite.Connection:
        return self._db

    def __exit__(self, *_: object) -> None:
        self._db.close()


def _body(size: str) -> str:
    """Numbered lines, so that half of it is not it."""
    return "".join(f"{number:05} {'y' * 60}\n" for number in range(SIZES[size])) + "the end\n"
