"""Work on big messages leaves the event loop for a thread, so that other sessions go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

BIG_BYTES = 128 * 1024
"""Below this a thread costs more than it saves."""
T = TypeVar("T")


async def off_loop(size: int, work: Callable[[], T]) -> T:
    """What `work` returns or raises. `size`, in octets, is that of what it works on."""
    return await asyncio.to_thread(work) if size > BIG_BYTES else work()
