"""How often somebody may do something: try a password, ask with a key, follow a link."""

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
    """A bucket of tries for each key; `allowance` may be another one from now on."""

    def __init__(self, allowance: Allowance, clock: Callable[[], float] = time.monotonic) -> None:
        self.allowance = allowance
        self._clock = clock
        self._full_at: OrderedDict[str, float] = OrderedDict()
        """When a key has all its tries again."""

    def wait_s(self, key: str) -> float:
        """Seconds until the next try, 0 for now."""
        room = self.allowance.burst * self.allowance.every_s
        return max(0.0, self._full_at.get(key, 0.0) - self._clock() - room + self.allowance.every_s)

    def take(self, key: str) -> None:
        """A try begins: those that run at the same time count as well."""
        self._full_at[key] = max(self._full_at.pop(key, 0.0), self._clock()) + self.allowance.every_s
        if len(self._full_at) > MAX_KEYS:
            self._full_at.popitem(last=False)

    def admit(self, key: str) -> float:
        """Seconds until the next try; 0 when this one was taken."""
        if not (wait := self.wait_s(key)):
            self.take(key)
        return wait

    def give_back(self, key: str) -> None:
        """It was no failure."""
        if key in self._full_at:
            self._full_at[key] -= self.allowance.every_s
