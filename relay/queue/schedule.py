"""When to try again: pure arithmetic, so that it can be read and tested without a clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

JITTER = 0.2
"""Each pause is shortened or stretched by up to a fifth, so that what failed together does not come back together."""

PROBE_MAX = timedelta(minutes=15)
"""A destination in trouble is tried at least that often: one attempt then, and for all that waits."""


@dataclass(frozen=True)
class Schedule:
    """`retry` holds the pauses after the first, second … failed attempt; the last one repeats."""

    retry: Sequence[timedelta]
    warn_after: timedelta
    give_up_after: timedelta

    def next_attempt(self, attempts: int, created_at: datetime, now: datetime, chance: float) -> datetime | None:
        """The time of the next attempt after `attempts` (>= 1) failed ones; None when it is time to give up.

        `chance` is a random number from 0 to 1. A last attempt is made when the time is up, not after it.
        """
        give_up_at = created_at + self.give_up_after
        if now >= give_up_at:
            return None
        return min(now + self._pause(attempts, chance), give_up_at)

    def next_probe(self, failures: int, chance: float) -> timedelta:
        """The pause after a destination failed `failures` (>= 1) times in a row; `chance` as above."""
        return min(self._pause(failures, chance), PROBE_MAX)

    def _pause(self, tries: int, chance: float) -> timedelta:
        return self.retry[min(tries, len(self.retry)) - 1] * (1 + JITTER * (2 * chance - 1))

    def should_warn(self, created_at: datetime, now: datetime) -> bool:
        """Whether the originator should hear that it takes long."""
        return now - created_at >= self.warn_after
