"""One destination in the runner's memory."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from relay.queue.pace import Pace
from relay.records import Delivery


@dataclass(eq=False)
class Lane:
    """One destination: what waits for it, and how many connections work on it."""

    name: str
    pace: Pace
    waiting: deque[Delivery] = field(default_factory=deque)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    workers: int = 0
    idle: int = 0
    links: int = 0
    """Connections that are open."""
    in_memory: int = 0
    starved: bool = False
    """The ledger may hold more for it than its share."""
    in_trouble: bool = False
    """That it failed is known and told."""
    closed_until: float = 0.0
