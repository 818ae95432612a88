"""How one process does: what it is worried about, and the figures that are asked for rather than counted."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from prometheus_client.metrics_core import Metric

from relay import metrics
from relay.ledger.sqlite import SqliteLedger
from relay.queue.runner import Runner
from relay.receive.service import Service

STUCK_S = 30.0
"""A commit or a look at the queue that takes longer is not slow any more, it hangs."""
_PAGE_BYTES = resource.getpagesize()


@dataclass(frozen=True)
class Report:
    """What a process answers when it is asked: it runs, since it answers."""

    problems: list[str]
    """Why it should get no mail, in our own words."""
    alive: bool
    """Whether it can still do its work; if not, only a restart helps."""
    metrics: metrics.Snapshot


class Vitals:
    """Reports on one process. `stuck_s`: how long a commit may take before its writer counts as hung."""

    def __init__(self, ledger: SqliteLedger, runner: Runner, service: Service, stuck_s: float = STUCK_S) -> None:
        self._ledger = ledger
        self._runner = runner
        self._service = service
        self._stuck_s = stuck_s

    @property
    def alive(self) -> bool:
        return self._ledger.broken is None and self._ledger.busy_s < self._stuck_s

    def problems(self) -> list[str]:
        found = []
        if self._service.stopping:
            found.append("stopping")
        if self._ledger.broken is not None:
            found.append("ledger: a write failed, the daemon ends")
        elif self._ledger.busy_s >= self._stuck_s:
            found.append("ledger: a write hangs")
        if self._runner.silent_s >= STUCK_S and not self._service.stopping:
            found.append("queue: not looked at since a while")
        return found

    def report(self) -> Report:
        return Report(self.problems(), self.alive, metrics.snapshot([metrics.REGISTRY, self]))

    def collect(self) -> Iterable[Metric]:
        commits, writes = self._ledger.commits
        usage = resource.getrusage(resource.RUSAGE_SELF)
        values: dict[str, float] = {
            "tradepost_sessions_open": len(self._service.sessions),
            "tradepost_transmitting": self._runner.in_memory,
            "tradepost_ledger_commits": commits,
            "tradepost_ledger_writes": writes,
            "tradepost_cpu_seconds": usage.ru_utime + usage.ru_stime,
            "tradepost_workers": 1,
        }
        with suppress(OSError):  # out of file descriptors is no reason to end
            values["tradepost_memory_bytes"] = _resident_bytes()
            values["tradepost_open_files"] = len(os.listdir("/proc/self/fd"))
        return metrics.measured(metrics.OWN, values)


def _resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * _PAGE_BYTES
