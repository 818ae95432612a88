"""One thread writes. It commits whatever has queued up in one transaction, so that one fsync serves many."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import math
import os
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pysqlite3 import dbapi2 as sqlite

from relay.durable import sync_folder
from relay.errors import LedgerBusy, LedgerError, SchemaError, StorageFailed, StorageFull

T = TypeVar("T")
Connection = Any
"""pysqlite3's connection; the package ships no types."""
MIN_SQLITE = (3, 51, 3)
MAX_BATCH = 500
BUSY_S = 5.0
"""How long to wait for another writer. A client at its final dot waits for up to two such turns."""
AGAIN_S = 1.0
"""The pause before patient work is tried again."""
_BUSY = {"SQLITE_BUSY", "SQLITE_LOCKED"}


def connect(path: Path, *, create: bool = False) -> Connection:
    """A connection with the ledger's settings; raises a LedgerError that names the file."""
    if sqlite.sqlite_version_info < MIN_SQLITE:
        raise LedgerError(f"SQLite {sqlite.sqlite_version} is too old (WAL-reset bug); install the pinned pysqlite3")
    try:
        connection = sqlite.connect(f"file:{path}?mode={'rwc' if create else 'rw'}", uri=True, timeout=BUSY_S,
                                    isolation_level=None, check_same_thread=False, cached_statements=256)
        if create:
            connection.execute("PRAGMA page_size = 8192")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA secure_delete = FAST")  # zeros over what is freed in pages that are written anyway
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
        return StorageFailed(f"{where}cannot be opened; its folder must exist, be this user's and not read-only")
    if name.startswith("SQLITE_NOTADB"):
        return SchemaError(f"{where}is not a ledger of Tradepost; restore it from a backup")
    if name.startswith("SQLITE_READONLY"):
        return StorageFailed(f"{where}is read-only; check the file's owner and the mount")
    return StorageFailed(f"{where}storage error {name or type(error).__name__}")


@dataclass(frozen=True)
class _Work:
    """One piece. A patient one outlasts a locked ledger and a full disk: it waits instead of failing."""

    do: Callable[[Connection], Any]
    done: asyncio.Future[Any]
    patient: bool


_Result = tuple[_Work, Any, BaseException | None]


class Writer:
    """Runs pieces of work on its own connection, many of them in one commit.

    A piece may run twice, on a clean slate each time. One that raises is rolled back alone. When the commit
    itself fails, every piece in it fails, or, if it is patient and the cause may pass, waits for its next chance.
    After an I/O error nothing more is written: `broken` is set and each later piece fails at once.
    """

    def __init__(self, path: Path) -> None:
        self._connection = connect(path)
        # SQLite's own lock is polled with growing sleeps; between our processes flock hands over at once
        try:
            self._turn_fd = os.open(path.with_suffix(".turn"), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            # SQLite syncs the folder through the connection that made the -wal file, which need not be this one
            self._connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone()
            sync_folder(path.parent)
        except OSError as error:
            raise StorageFailed(f"{error.filename}: cannot be opened ({error.strerror})") from None
        self._queue: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._waiting: list[_Work] = []
        self.broken: LedgerError | None = None
        self.commits = 0
        self.works = 0
        self._since: float | None = None
        self._thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[Connection], T], *, patient: bool = False) -> asyncio.Future[T]:
        """Do `work` in the next commit; the future is done after its fsync. Cancelling it does not undo it.

        `patient` is for what has happened already and must be written down whenever that can be done.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queue.put(_Work(work, future, patient))
        return future

    @property
    def busy_s(self) -> float:
        """How long the commit under way has taken by now, in seconds: infinite once the thread is gone."""
        since = self._since
        if not self._thread.is_alive():
            return math.inf
        return time.monotonic() - since if since is not None else 0.0

    def close(self) -> None:
        """Finish what was submitted and stop; blocks until then."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        running = True
        while running:
            batch = self._next_batch()
            running = None not in batch
            works = [item for item in batch if item is not None]
            if works:
                self._since = time.monotonic()
                self._commit(works)
                self._since = None
        self._report([(work, None, LedgerBusy("ledger: the daemon stops")) for work in self._waiting])
        self._connection.close()
        os.close(self._turn_fd)

    def _next_batch(self) -> list[_Work | None]:
        """What waits for another try and what is new; blocks until there is something to do."""
        batch: list[_Work | None] = []
        try:
            batch.append(self._queue.get(timeout=AGAIN_S if self._waiting else None))
            while len(batch) < MAX_BATCH and not self._queue.empty():
                batch.append(self._queue.get_nowait())
        except queue.Empty:
            pass
        if None not in batch:
            batch, self._waiting = [*self._waiting, *batch], []
        return batch

    def _commit(self, works: list[_Work]) -> None:
        try:
            results = self._committed(works)
        except Exception as error:  # the thread must outlive all: without it every session waits for ever
            failure = error if isinstance(error, LedgerError) else ledger_error(error)
            if isinstance(failure, StorageFailed):
                self.broken = failure
            if self.broken is None:
                self._waiting += [work for work in works if work.patient]
                works = [work for work in works if not work.patient]
            results = [(work, None, self.broken or failure) for work in works]
        self._report(results)

    def _committed(self, works: list[_Work]) -> list[_Result]:
        """All in one transaction; raises what stopped the transaction as a whole."""
        if self.broken:
            raise self.broken
        fcntl.flock(self._turn_fd, fcntl.LOCK_EX)
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            results = self._all(works)
            self._connection.execute("COMMIT")
        except Exception:
            self._roll_back()
            raise
        finally:
            fcntl.flock(self._turn_fd, fcntl.LOCK_UN)
        self.commits += 1
        self.works += len(works)
        return results

    def _all(self, works: list[_Work]) -> list[_Result]:
        try:
            return [(work, work.do(self._connection), None) for work in works]
        except sqlite.IntegrityError:
            return self._one_by_one(works)
        except sqlite.Error:
            raise
        except Exception:
            return self._one_by_one(works)

    def _one_by_one(self, works: list[_Work]) -> list[_Result]:
        """The batch again, each piece behind a savepoint, so that a bad one is undone alone. Savepoints cost two
        statements a piece, which is why the good case does without."""
        self._connection.execute("ROLLBACK")
        self._connection.execute("BEGIN IMMEDIATE")
        return [(work, *self._one(work.do)) for work in works]

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

    def _report(self, results: list[_Result]) -> None:
        if results:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                results[0][0].done.get_loop().call_soon_threadsafe(_resolve, results)


def _resolve(results: list[_Result]) -> None:
    for work, result, error in results:
        if work.done.done():
            continue
        if error is None:
            work.done.set_result(result)
        else:
            work.done.set_exception(error)
