"""What people say of a message: answered, no answer needed, inappropriate; and what a moderator decided."""

from __future__ import annotations

import time
from typing import Any

from relay.errors import Conflict, NotFound
from relay.ledger.opened import SQL, Opened


class Marks:
    """Each is one short transaction, and in the message's timeline; `by` is the name of the key that asked."""

    def __init__(self, opened: Opened, by: str) -> None:
        self._opened = opened
        self._by = by

    def answered(self, public_id: str) -> None:
        """It was answered elsewhere."""
        self._stop_waiting(public_id, "answered")

    def no_answer_needed(self, public_id: str) -> None:
        self._stop_waiting(public_id, "no-answer")

    def report(self, public_id: str) -> None:
        """A moderator shall look at it."""
        with self._opened.transaction() as connection:
            number = self._find(public_id)["id"]
            if connection.execute(SQL["report"], (time.time(), number)).rowcount:
                self._event("action", number, "report", self._by)

    def decide(self, public_id: str, decision: str, reason: str) -> None:
        """End a report. Raises Conflict for a message that nobody reported."""
        with self._opened.transaction():
            self.end_report(self._find(public_id)["id"], decision, reason)

    def end_report(self, number: int, decision: str, reason: str) -> None:
        """The same within a transaction, by the message's number."""
        if not self._opened.connection.execute(SQL["unreport"], (number,)).rowcount:
            raise Conflict("this message is not reported")
        self._event("moderation", number, decision, f"{self._by}: {reason}")

    def _stop_waiting(self, public_id: str, name: str) -> None:
        with self._opened.transaction() as connection:
            row = self._find(public_id)
            if connection.execute(SQL["no_answer_needed"], (row["correspondence_id"], row["id"])).rowcount:
                if name == "answered":
                    connection.execute(SQL["answered_elsewhere"], {"message": row["id"], "at": time.time()})
                self._event("action", row["id"], name, self._by)

    def _find(self, public_id: str) -> Any:
        row = self._opened.connection.execute("SELECT id, correspondence_id FROM message WHERE public_id = ?",
                                              (public_id,)).fetchone()
        if row is None:
            raise NotFound("there is no such message")
        return row

    def _event(self, kind: str, message: int, name: str, detail: str) -> None:
        self._opened.connection.execute(SQL["insert_event"], (
            time.time(), message, None, None, kind, name, detail, None))
