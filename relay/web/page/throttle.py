"""How often somebody may try a password."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

MAX_KEYS = 20_000


@dataclass(frozen=True)
class Allowance:
    """`burst` tries at once, and one more each `every_s` seconds."""

    burst: int
    every_s: float


class Throttle:
    """A bucket of failures for each key. A success gives its try back."""

    def __init__(self, allowance: Allowance, clock: Callable[[], float] = time.monotonic) -> None:
        self._allowance = allowance
        self._clock = clock
        self._full_at: OrderedDict[str, float] = OrderedDict()
        """When a key has all its tries again."""

    def wait_s(self, key: str) -> float:
        """Seconds until the next try, 0 for now."""
        room = self._allowance.burst * self._allowance.every_s
        return max(0.0, self._full_at.get(key, 0.0) - self._clock() - room + self._allowance.every_s)

    def take(self, key: str) -> None:
        """A try begins: those that run at the same time count as well."""
        self._full_at[key] = max(self._full_at.pop(key, 0.0), self._clock()) + self._allowance.every_s
        if len(self._full_at) > MAX_KEYS:
            self._full_at.popitem(last=False)

    def give_back(self, key: str) -> None:
        """It was no failure."""
        if key in self._full_at:
            self._full_at[key] -= self._allowance.every_s
