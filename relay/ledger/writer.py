"""One thread writes. It commits whatever has queued up in one transaction, so that one fsync serves many."""

from __future__ import annotations

import asyncio
import fcntl
import os
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pysqlite3 import dbapi2 as sqlite

from relay.errors import LedgerBusy, LedgerError, SchemaError, StorageFailed, StorageFull

T = TypeVar("T")
Connection = Any
"""pysqlite3's connection; the package ships no types."""
MIN_SQLITE = (3, 51, 3)
MAX_BATCH = 500
_BUSY = {"SQLITE_BUSY", "SQLITE_LOCKED"}


def connect(path: Path, *, create: bool = False) -> Connection:
    """A connection with the ledger's settings; raises a LedgerError that names the file."""
    if sqlite.sqlite_version_info < MIN_SQLITE:
        raise LedgerError(f"SQLite {sqlite.sqlite_version} is too old (WAL-reset bug); install the pinned pysqlite3")
    try:
        connection = sqlite.connect(f"file:{path}?mode={'rwc' if create else 'rw'}", uri=True, timeout=10,
                                    isolation_level=None, check_same_thread=False, cached_statements=256)
        if create:
            connection.execute("PRAGMA page_size = 8192")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA cache_size = -20000")
        connection.execute("PRAGMA wal_autocheckpoint = 2000")
    except sqlite.Error as error:
        raise ledger_error(error, path) from None
    connection.row_factory = sqlite.Row
    return connection


def ledger_error(error: Exception, path: Path | None = None) -> LedgerError:
    """The LedgerError that a database error means."""
    name = getattr(error, "sqlite_errorname", "") or ""
    where = f"{path}: " if path else "ledger: "
    if any(name.startswith(busy) for busy in _BUSY):
        return LedgerBusy(f"{where}another process holds it; try again")
    if name.startswith("SQLITE_FULL"):
        return StorageFull(f"{where}no space left on the disk; free some")
    if name.startswith("SQLITE_CANTOPEN"):
        return StorageFailed(f"{where}cannot be opened; check that the folder exists and belongs to this user")
    if name.startswith("SQLITE_NOTADB"):
        return SchemaError(f"{where}is not a ledger of Tradepost; restore it from a backup")
    if name.startswith("SQLITE_READONLY"):
        return StorageFailed(f"{where}is read-only; check the file's owner and the mount")
    return StorageFailed(f"{where}storage error {name or type(error).__name__}")


class Writer:
    """Runs pieces of work on its own connection, many of them in one commit.

    A piece may run twice, on a clean slate each time. One that raises is rolled back alone.
    When the commit itself fails, every piece in it fails. After an
    I/O error nothing more is written: `broken` is set and each later piece fails at once.
    """

    def __init__(self, path: Path) -> None:
        self._connection = connect(path)
        # SQLite's own lock is polled with growing sleeps; between our processes flock hands over at once
        self._turn = path.with_suffix(".turn").open("w")
        self._turn_fd = self._turn.fileno()
        os.fchmod(self._turn_fd, 0o600)
        self._queue: queue.SimpleQueue[tuple[Callable[[Connection], Any], asyncio.Future[Any]] | None] = (
            queue.SimpleQueue())
        self.broken: LedgerError | None = None
        self.commits = 0
        self.works = 0
        self._thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[Connection], T]) -> asyncio.Future[T]:
        """Do `work` in the next commit; the future is done after its fsync. Cancelling it does not undo it."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queue.put((work, future))
        return future

    def close(self) -> None:
        """Finish what was submitted and stop; blocks until then."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        running = True
        while running:
            batch = [self._queue.get()]
            while len(batch) < MAX_BATCH and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            running = None not in batch
            works = [item for item in batch if item is not None]
            if works:
                self._commit(works)
        self._connection.close()
        self._turn.close()

    def _commit(self, works: list[tuple[Callable[[Connection], Any], asyncio.Future[Any]]]) -> None:
        results: list[tuple[asyncio.Future[Any], Any, BaseException | None]]
        try:
            if self.broken:
                raise self.broken
            fcntl.flock(self._turn_fd, fcntl.LOCK_EX)
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                results = [(future, work(self._connection), None) for work, future in works]
            except sqlite.IntegrityError:
                results = self._one_by_one(works)
            except sqlite.Error:
                raise
            except Exception:
                results = self._one_by_one(works)
            self._connection.execute("COMMIT")
            self.commits += 1
            self.works += len(works)
        except (sqlite.Error, LedgerError) as error:
            failure = error if isinstance(error, LedgerError) else ledger_error(error)
            if isinstance(failure, StorageFailed):
                self.broken = failure
            self._roll_back()
            results = [(future, None, failure) for _, future in works]
        finally:
            fcntl.flock(self._turn_fd, fcntl.LOCK_UN)
        loop = works[0][1].get_loop()
        if not loop.is_closed():
            loop.call_soon_threadsafe(_resolve, results)

    def _one_by_one(self, works: list[tuple[Callable[[Connection], Any], asyncio.Future[Any]]]
                    ) -> list[tuple[asyncio.Future[Any], Any, BaseException | None]]:
        """The batch again, each piece behind a savepoint, so that a bad one is undone alone. Savepoints cost two
        statements a piece, which is why the good case does without."""
        self._connection.execute("ROLLBACK")
        self._connection.execute("BEGIN IMMEDIATE")
        return [(future, *self._one(work)) for work, future in works]

    def _one(self, work: Callable[[Connection], Any]) -> tuple[Any, BaseException | None]:
        self._connection.execute("SAVEPOINT work")
        try:
            result = work(self._connection)
        except sqlite.IntegrityError as error:
            name = getattr(error, "sqlite_errorname", "constraint")
            return self._undo(LedgerError(f"ledger: a record contradicts what is there ({name})"))
        except sqlite.Error:
            raise
        except Exception as error:
            return self._undo(error)
        self._connection.execute("RELEASE work")
        return result, None

    def _undo(self, error: BaseException) -> tuple[None, BaseException]:
        self._connection.execute("ROLLBACK TO work")
        self._connection.execute("RELEASE work")
        return None, error

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            try:
                self._connection.execute("ROLLBACK")
            except sqlite.Error as error:
                self.broken = ledger_error(error)


def _resolve(results: list[tuple[asyncio.Future[Any], Any, BaseException | None]]) -> None:
    for future, result, error in results:
        if future.done():
            continue
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
