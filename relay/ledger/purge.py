"""Retention: what is over the configured age is destroyed, in small steps beside the running daemon.

First what a message says, later all that could be read of it, key included. What remains are ids and order numbers,
times, sizes, states, the names of rules, and octets that nothing opens. What still waits to be delivered or released
is left alone, however old.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from relay.ledger.destroy import destroying, drop_files
from relay.ledger.opened import Opened
from relay.ledger.operate import turn

STEP = 500
"""Rows that one transaction looks at."""
_OPEN = "m.state IN ('queued', 'deferred', 'held')"
_OVER = (f"NOT {_OPEN} AND m.received_at < CASE m.state WHEN 'refused' THEN :refused ELSE :messages END "
         "AND m.key_sealed IS NOT NULL")
_SPENT = f"NOT {_OPEN} AND m.received_at < :content AND k.message_id IS NOT NULL"
_FROM = "FROM message m LEFT JOIN content k ON k.message_id = m.id"


@dataclass(frozen=True)
class Ages:
    """How long things are kept; None is for ever."""

    messages: timedelta | None
    refused: timedelta | None
    content: timedelta | None

    def limits(self, now: float) -> dict[str, float]:
        """Name -> what came before that moment is over its age (epoch seconds)."""
        return {name: now - age.total_seconds() if age is not None else 0.0
                for name, age in (("messages", self.messages), ("refused", self.refused), ("content", self.content))}


@dataclass(frozen=True)
class Purged:
    """Of how many messages the content went, and of how many of these all that could be read."""

    contents: int = 0
    messages: int = 0
    more: bool = False
    """There was more than was asked to be done at once."""

    def as_json(self) -> dict[str, object]:
        return {"contents": self.contents, "messages": self.messages, "more": self.more}


class Purge:
    """Raises LedgerError. To be asked again after an error: it goes on."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._db = opened.connection

    def count(self, ages: Ages, now: float) -> Purged:
        """What run() would destroy now."""
        found = self._db.execute(f"SELECT count(k.message_id) AS contents, ifnull(sum({_OVER}), 0) AS messages {_FROM} "
                                 f"WHERE ({_OVER}) OR ({_SPENT})", ages.limits(now)).fetchone()
        return Purged(found["contents"], found["messages"])

    def run(self, ages: Ages, now: float, limit: int | None = None) -> Purged:
        """Destroy what is over its age, at most of about `limit` messages."""
        done, after, limits = Purged(), 0, ages.limits(now)
        with destroying(self._opened):
            while (begin := self._next(limits, after)) is not None:
                if limit is not None and done.contents + done.messages >= limit:
                    done = replace(done, more=True)
                    break
                step, after = self._step(limits, begin, begin + STEP), begin + STEP - 1
                done = Purged(done.contents + step.contents, done.messages + step.messages)
            self._forget(now)
        return done

    def _next(self, limits: dict[str, float], after: int) -> int | None:
        """The next message that has something to destroy: looked for without a lock."""
        row = self._db.execute(f"SELECT m.id {_FROM} WHERE m.id > :after AND (({_OVER}) OR ({_SPENT})) "
                               "ORDER BY m.id LIMIT 1", limits | {"after": after}).fetchone()
        return None if row is None else int(row["id"])

    def _step(self, limits: dict[str, float], begin: int, end: int) -> Purged:
        """Message ids from `begin` to before `end`, in one transaction."""
        values = limits | {"begin": begin, "end": end}
        with turn(self._opened.path), self._opened.transaction() as connection:
            rows = connection.execute(
                f"SELECT m.id, k.message_id, k.file, ({_OVER}) AS over {_FROM} "
                f"WHERE m.id >= :begin AND m.id < :end AND (({_OVER}) OR ({_SPENT}))", values).fetchall()
            every, over = [(row["id"],) for row in rows], [(row["id"],) for row in rows if row["over"]]
            connection.executemany("DELETE FROM content WHERE message_id = ?", every)
            connection.executemany("UPDATE delivery SET body_sealed = NULL WHERE message_id = ? "
                                   "AND finished_at IS NOT NULL AND body_sealed IS NOT NULL", every)
            connection.executemany("UPDATE message SET subject_sealed = NULL, reply_sealed = NULL, digest = NULL, "
                                   "original_id_sealed = NULL, key_sealed = NULL WHERE id = ?", over)
            connection.executemany("UPDATE correspondence SET waiting_message_id = NULL "
                                   "WHERE waiting_message_id = ?", over)
        drop_files(self._opened, [row["file"] for row in rows if row["file"] is not None])
        return Purged(sum(row["message_id"] is not None for row in rows), len(over))

    def _forget(self, now: float) -> None:
        """Webhook calls that were given up, and answers kept for a day."""
        with turn(self._opened.path), self._opened.transaction() as connection:
            connection.execute("DELETE FROM webhook_call WHERE next_attempt_at IS NULL")
            connection.execute("DELETE FROM idempotency WHERE begun_at < ?", (now - 24 * 3600.0,))
