"""The wall clock against one that nobody sets: how the queue notices that the time was changed under it.

Everything in the queue (leases, next attempts, the age that a message is given up at) is kept in wall-clock time,
since it must mean something after a restart. When the clock is stepped, all of it is moved along, so that every
pause and every age stays what it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

MIN_STEP_S = 30.0
"""Less than that is a late poll or the clock's own correction, and harms nothing."""

Steady = Callable[[], float]
"""Seconds that only ever go on, through the machine's sleep as well."""


def boot_time() -> float:
    """Seconds since the machine started, its sleep included (clock_gettime(2), CLOCK_BOOTTIME)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class StepWatch:
    """Compares the two clocks. One instance a process."""

    def __init__(self, steady: Steady) -> None:
        self._steady = steady
        self._offset: float | None = None

    def stepped(self, now: datetime) -> float | None:
        """The distance between the clocks, in seconds, when it is another than the settled one; else None."""
        offset = now.timestamp() - self._steady()
        if self._offset is not None and abs(offset - self._offset) < MIN_STEP_S:
            return None
        return offset

    def settle(self, offset: float) -> None:
        """The queue's times now go by this distance."""
        self._offset = offset
