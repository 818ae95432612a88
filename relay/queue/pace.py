"""How much one destination gets at a time: a few connections at first, more while it goes well. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

FIRST = 2
"""Connections to a destination that nothing is known of."""
FEW = 8
"""Deliveries in memory for each connection of a destination that has yet to prove itself,"""
MANY = 16
"""and of one that took mail within PROOF_S: the next message is at hand when one is done."""
PROOF_S = 30.0


@dataclass
class Pace:
    """What one destination has shown so far. Times are seconds of a clock that only goes on."""

    limit: int
    """Connections at most, by configuration."""
    width: int = 0
    """Connections at a time, from 1 to `limit`."""
    failures: int = 0
    """How often in a row it could not be reached, or would not talk with us."""
    epoch: int = 0
    """Goes up whenever it pushes back: what was begun before that tells nothing new."""
    proved_at: float = -math.inf

    def __post_init__(self) -> None:
        self.width = self.width or min(FIRST, self.limit)

    def is_proved(self, now: float) -> bool:
        return now - self.proved_at <= PROOF_S

    def share(self, now: float) -> int:
        """Deliveries that may be in memory for it: a slow one must not fill the memory that others need."""
        return self.width * (MANY if self.is_proved(now) else FEW)

    def took(self, now: float) -> None:
        """It answered for a message, whatever it said of it."""
        self.width = min(self.width + 1, self.limit)
        self.failures = 0
        self.proved_at = now

    def pushed_back(self, epoch: int) -> bool:
        """It sent us away (421, 4xx before a recipient was named) or broke off, in an attempt begun in `epoch`.
        Whether it would not even take one connection: then it is in trouble."""
        if epoch != self.epoch:
            return False
        self.epoch += 1
        alone, self.width = self.width == 1, max(1, self.width // 2)
        return alone

    def keep_to(self, connections: int) -> None:
        """It takes so many connections and no more."""
        self.width = max(1, min(self.width, connections))

    def failed(self) -> None:
        """It is in trouble: one attempt at a time."""
        self.failures += 1
        self.width = 1
        self.proved_at = -math.inf

    def probe(self, failures: int) -> None:
        """One attempt is made after so many failures."""
        self.failures = failures
        self.width = 1
