"""Where people and back ends ask the ledger from within the daemon: in threads with connections of their own.

A slow listing holds up no mail, and changes take their turn with the daemon's own commits.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from pysqlite3 import dbapi2 as sqlite

from relay.keys import Keys
from relay.ledger.opened import Opened
from relay.ledger.operate import turn
from relay.ledger.writer import ledger_error

T = TypeVar("T")
THREADS = 4


class Desk:
    """One a process. What is asked must not keep what it was handed beyond its own end."""

    def __init__(self, path: Path, keys: Keys) -> None:
        self._path = path
        self._keys = keys
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="desk")
        self._local = threading.local()
        self._opened: list[Opened] = []

    @property
    def keys(self) -> Keys:
        return self._keys

    async def read(self, work: Callable[[Opened], T]) -> T:
        """The result of `work`; raises what it raises, and LedgerError."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._read, work)

    async def write(self, work: Callable[[Opened], T]) -> T:
        """The same for short work that changes something; it goes on when nobody waits for it any more."""
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._pool, self._write, work))

    def close(self) -> None:
        """Finish what is under way; blocks until then."""
        self._pool.shutdown()
        for opened in self._opened:
            opened.close()

    def _read(self, work: Callable[[Opened], T]) -> T:
        try:
            return work(self._mine())
        except sqlite.Error as error:
            raise ledger_error(error, self._path) from None

    def _write(self, work: Callable[[Opened], T]) -> T:
        with turn(self._path):
            return self._read(work)

    def _mine(self) -> Opened:
        if not hasattr(self._local, "opened"):
            self._local.opened = Opened(self._path, self._keys)
            self._opened.append(self._local.opened)
        opened: Opened = self._local.opened
        return opened
