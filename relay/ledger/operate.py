"""What operators do to the queue: hold, release, retry and drop, a million at a time, while the daemon goes on.

Batches are found without a lock and changed in short transactions of their own, each small enough for the daemon's
commits not to notice. Whoever stops in between has done a part, and may begin again.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pysqlite3 import dbapi2 as sqlite

from relay.errors import UsageError
from relay.ledger.lanes import NOWHERE
from relay.ledger.opened import SQL, Opened
from relay.ledger.writer import ledger_error

FIRST_BATCH, MAX_BATCH = 250, 5000
TURN_S = 0.02
"""How long one transaction should take: batches grow and shrink to it."""
SCAN = 5000

_WHICH = {
    "release": "state = 'held'",
    "hold": "state IN ('queued', 'deferred')",
    # not what is leased: it is being sent at this moment, perhaps by another process
    "drop": "state IN ('queued', 'deferred', 'held') AND lease_until IS NULL AND code IS NOT 'dropped'",
    "retry": "state IN ('queued', 'deferred') AND lease_until IS NULL",
}
_WHAT = {
    "release": "next_attempt_at = :now, state = 'queued'",
    "hold": "next_attempt_at = NULL, lease_until = NULL, state = 'held'",
    # a dropped message ends in a DSN to the originator: the runner finds it due, marked, and writes it; it waits in a
    # lane of its own, since its destination may be in trouble for days
    "drop": "next_attempt_at = :now, state = 'queued', code = 'dropped', destination_hash = :nowhere",
    "retry": "next_attempt_at = :now",
}
_MESSAGES = {"hold": "held", "release": "queued"}
VERBS = tuple(_WHICH)


@dataclass(frozen=True)
class Chosen:
    """Deliveries by id, by destination domain, or all; raises UsageError where that says nothing."""

    ids: tuple[int, ...] = ()
    destination: str | None = None

    @classmethod
    def by(cls, ids: Sequence[str], destination: str | None, *, everything: bool) -> Chosen:
        if not all(id_.isdigit() for id_ in ids):
            raise UsageError("queue ids are the numbers of: tradepost queue list")
        if not ids and destination is None and not everything:
            raise UsageError("say which: ids, --destination DOMAIN or --all")
        return cls(tuple(sorted({int(id_) for id_ in ids})), None if ids else destination)


class Operate:
    """One command at a time; each reads and writes in short transactions. Raises LedgerError."""

    def __init__(self, opened: Opened, note: str = "") -> None:
        """`note`: who does it and why, for the messages' timelines."""
        self._opened = opened
        self._note = note
        self._db = opened.connection
        self._urged: set[bytes] = set()
        self.longest_s = 0.0
        """The longest that one transaction held the ledger, in seconds."""

    def count(self, chosen: Chosen) -> int:
        """How many deliveries a change will look at."""
        if chosen.ids:
            return len(chosen.ids)
        where, values = self._open(chosen)
        found: int = self._db.execute(f"SELECT count(*) FROM delivery {where}", values).fetchone()[0]  # noqa: S608
        return found

    def change(self, verb: str, chosen: Chosen) -> Iterator[tuple[int, int]]:
        """Change what is chosen and fit for it; yields (looked at, changed) of each batch."""
        size = FIRST_BATCH
        try:
            if verb == "retry":
                self._transaction(lambda: self._db.execute(SQL["urge"]))
            for seen, fit in self._scan(verb, chosen):
                changed, done = 0, 0
                while done < len(fit):
                    taken, elapsed = self._changed(verb, fit[done : done + size])
                    changed, done = changed + taken, done + size
                    size = int(max(FIRST_BATCH / 2, min(MAX_BATCH, size * min(2.0, TURN_S / elapsed))))
                    time.sleep(elapsed / 2)  # the daemon's turn
                yield seen, changed
        except sqlite.Error as error:
            raise ledger_error(error, self._opened.path) from None

    def _scan(self, verb: str, chosen: Chosen) -> Iterator[tuple[int, list[int]]]:
        """(how many were looked at, those that are fit), in the order of ids."""
        if chosen.ids:
            for start in range(0, len(chosen.ids), SCAN):
                some = chosen.ids[start : start + SCAN]
                yield len(some), list(some)
            return
        where, values = self._open(chosen)
        sql = (f"SELECT id, {_WHICH[verb]} AS is_fit FROM delivery {where} "  # noqa: S608 - texts from above
               "AND id > :after ORDER BY id LIMIT :limit")
        after, last = 0, self._db.execute("SELECT max(id) FROM delivery").fetchone()[0] or 0
        while rows := self._db.execute(sql, values | {"after": after, "limit": SCAN}).fetchall():
            rows = [row for row in rows if row["id"] <= last]  # what came after the command is not meant
            if not rows:
                return
            yield len(rows), [row["id"] for row in rows if row["is_fit"]]
            after = rows[-1]["id"]

    def _open(self, chosen: Chosen) -> tuple[str, dict[str, Any]]:
        if chosen.destination is None:
            return "INDEXED BY delivery_open WHERE finished_at IS NULL", {}
        return ("INDEXED BY delivery_destination WHERE finished_at IS NULL AND destination_hash = :lane",
                {"lane": self._opened.keys.hash_domain(chosen.destination.lower())})

    def _changed(self, verb: str, ids: Sequence[int]) -> tuple[int, float]:
        """One transaction: (how many it changed, how long it held the ledger in seconds)."""
        now = time.time()

        def work() -> int:
            found = self._db.execute(
                f"UPDATE delivery SET {_WHAT[verb]} WHERE id IN (SELECT value FROM json_each(:ids)) "  # noqa: S608
                f"AND finished_at IS NULL AND {_WHICH[verb]} RETURNING id, message_id, kind, destination_hash",
                {"now": now, "ids": json.dumps(ids), "nowhere": NOWHERE}).fetchall()
            self._db.executemany(SQL["insert_event"], [
                (now, row["message_id"], row["id"], None, "operator", f"queue-{verb}", self._note, None)
                for row in found])
            if verb in _MESSAGES:
                self._db.executemany(SQL["message_state"], [
                    (_MESSAGES[verb], row["message_id"]) for row in found if row["kind"] == "message"])
            if verb == "retry":
                lanes = {row["destination_hash"] for row in found} - self._urged
                self._db.executemany(SQL["lane_urged"], [(now, lane) for lane in lanes])
                self._urged |= lanes
            return len(found)

        return self._transaction(work)

    def _transaction(self, work: Any) -> tuple[Any, float]:
        """Like the daemon's own commits: in turn, so that neither has to poll for SQLite's lock."""
        with turn(self._opened.path):
            since = time.monotonic()
            self._db.execute("BEGIN IMMEDIATE")
            try:
                result = work()
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
            elapsed = max(time.monotonic() - since, 1e-6)
            self.longest_s = max(self.longest_s, elapsed)
            return result, elapsed


@contextlib.contextmanager
def turn(ledger: Path) -> Iterator[None]:
    """Wait for this process's turn to write, which flock hands over at once; SQLite's own lock is polled."""
    fd = os.open(ledger.with_suffix(".turn"), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
