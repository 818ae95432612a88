"""What machines ask: /metrics, /healthz (should it be restarted?), /readyz (should it get mail?).

The first process answers for all: it asks the others, and a process that does not answer is not alive.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

from relay import metrics, tls
from relay.errors import LedgerError
from relay.http import Page, Pages
from relay.ledger.depth import Depth, queue_depth
from relay.ledger.sqlite import SqliteLedger
from relay.peers import Peer, ask_all
from relay.records import Finding
from relay.vitals import Report, Vitals

DEPTH_S = 5.0
"""How long a count of the queue is good for, at least."""
DEPTH_SHARE = 20
"""It is good for as many times the time that it took: at a million entries some seconds."""
OLD_S, LOW_BYTES, EXPIRES_S = 14_400, 1_000_000_000, 7 * 86_400
"""When somebody should look: age of the oldest delivery, room left for the ledger, time left of the certificate."""
PROBE_S = 5.0
"""How long a probing write is good for, and how long it may take."""


class Health:
    """Answers for all processes of a daemon. `certificate` and `reload_refused` follow what is in force."""

    def __init__(self, vitals: Vitals, ledger: SqliteLedger, ledger_path: Path, certificate: Path,
                 peers: Sequence[Peer]) -> None:
        self._vitals = vitals
        self._ledger = ledger
        self._ledger_path = ledger_path
        self._peers = peers
        self.certificate = certificate
        self.reload_refused = False
        self._depth: Depth | None = None
        self._depth_until = 0.0
        self._probed: tuple[float, str] | None = None
        self._turn = asyncio.Lock()

    @property
    def pages(self) -> Pages:
        return {"/metrics": self.metrics, "/healthz": self.healthz, "/readyz": self.readyz}

    async def alive(self) -> bool:
        """Whether every process runs and can write."""
        return all(report is not None and report.alive for report in await self._reports())

    async def metrics(self) -> Page:
        snapshots = [report.metrics for report in await self._reports() if report is not None]
        shared = metrics.measured(metrics.SHARED, await self._shared())
        return Page(metrics.render([*metrics.merge(snapshots), *shared]), kind=metrics.CONTENT_TYPE)

    async def healthz(self) -> Page:
        return Page(b"ok\n") if await self.alive() else Page(b"not alive\n", HTTPStatus.SERVICE_UNAVAILABLE)

    async def readyz(self) -> Page:
        found = []
        for number, report in enumerate(await self._reports()):
            said = ["does not answer"] if report is None else report.problems
            found += [f"worker {number}: {problem}" if self._peers else problem for problem in said]
        if not found and (problem := await self._probe()):
            found.append(problem)
        if not found:
            return Page(b"ready\n")
        return Page("".join(f"{problem}\n" for problem in found).encode(), HTTPStatus.SERVICE_UNAVAILABLE)

    async def findings(self) -> list[Finding]:
        """What the pages for machines say, for people; the limits are those of conf/prometheus-alerts.yml."""
        reports = await self._reports()
        problems = tuple(problem for report in reports if report is not None for problem in report.problems)
        alive = sum(report is not None and report.alive for report in reports)
        found = [Finding("workers", "good" if alive == len(reports) and not problems else "bad",
                         {"alive": alive, "count": len(reports)}, problems)]
        unwritable = await self._probe()
        found.append(Finding("ledger", "bad" if unwritable else "good", {}, (unwritable,) if unwritable else ()))
        if depth := await self._queue():
            age = max(0.0, datetime.now(UTC).timestamp() - depth.oldest) if depth.oldest else 0.0
            values = {state: float(depth.count.get(state, 0)) for state in metrics.QUEUE_STATES}
            found.append(Finding("queue", "bad" if age > OLD_S else "good", values | {"oldest_s": age}))
        free = _free_bytes(self._ledger_path.parent)
        found.append(Finding("disk", "bad" if free < LOW_BYTES else "good", {"free": free}))
        if expires := tls.expires_at(self.certificate):
            left = (expires - datetime.now(UTC)).total_seconds()
            tone = "bad" if left < EXPIRES_S else "wait" if left < 2 * EXPIRES_S else "good"
            found.append(Finding("certificate", tone, {"left_s": left}))
        found.append(Finding("configuration", "bad" if self.reload_refused else "good"))
        return found

    async def _reports(self) -> list[Report | None]:
        return [self._vitals.report(), *await ask_all(self._peers)]

    async def _probe(self) -> str:
        """What stands against writing to the ledger; "" when a write just succeeded."""
        async with self._turn:
            if self._probed is None or time.monotonic() - self._probed[0] >= PROBE_S:
                self._probed = (time.monotonic(), await self._write())
            return self._probed[1]

    async def _write(self) -> str:
        try:
            async with asyncio.timeout(PROBE_S):
                await self._ledger.probe()
        except (LedgerError, TimeoutError) as error:
            return f"ledger: cannot be written ({type(error).__name__})"
        return ""

    async def _shared(self) -> dict[str, float | dict[tuple[str, str], float]]:
        values: dict[str, float | dict[tuple[str, str], float]] = {
            "tradepost_workers_configured": 1 + len(self._peers),
            "tradepost_disk_free_bytes": _free_bytes(self._ledger_path.parent),
            "tradepost_reload_refused": self.reload_refused,
            "tradepost_key_ring_failed": bool(self._ledger.keys.problem),
        }
        if expires := tls.expires_at(self.certificate):
            values["tradepost_certificate_expires_timestamp_seconds"] = expires.timestamp()
        if depth := await self._queue():
            values["tradepost_queue_depth"] = {("state", state): depth.count.get(state, 0)
                                               for state in metrics.QUEUE_STATES}
            now = datetime.now(UTC).timestamp()
            values["tradepost_queue_oldest_seconds"] = max(0.0, now - depth.oldest) if depth.oldest else 0.0
        return values

    async def _queue(self) -> Depth | None:
        """Counted in a thread, by one at a time; None when the ledger cannot be read."""
        async with self._turn:
            begun = time.monotonic()
            if self._depth is None or begun >= self._depth_until:
                try:
                    self._depth = await asyncio.to_thread(queue_depth, self._ledger_path)
                except LedgerError:
                    return None
                ended = time.monotonic()
                self._depth_until = ended + max(DEPTH_S, DEPTH_SHARE * (ended - begun))
            return self._depth


def _free_bytes(folder: Path) -> int:
    room = os.statvfs(folder)
    return room.f_bavail * room.f_frsize
