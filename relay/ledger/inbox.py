"""What the page lists: correspondences by what they wait for or by their last message, and one as a thread."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

from relay.errors import KeyRingFileError, NotFound
from relay.ledger.listing import COLUMNS, JOINS
from relay.ledger.opened import Opened
from relay.ledger.pages import Paged, Pages
from relay.ledger.registry import OrderRow, Registry

COUNTED = 1000
"""Beyond so many nobody counts."""
NEWEST = 20
"""Messages of a thread that are shown at once, and that news are looked for in."""
_BY_CORRESPONDENCE = ("FROM correspondence c CROSS JOIN message m ON m.id = {column} "
                      "JOIN party s ON s.id = c.seller_id JOIN party b ON b.id = c.buyer_id "
                      "WHERE {column} IS NOT NULL")


@dataclass(frozen=True)
class Thread:
    """A correspondence; names None once the party was erased."""

    number: int
    row: OrderRow
    seller_name: str | None
    buyer_name: str | None


class Inbox(Pages):
    """Messages have the names of their parties besides what `messages --json` has. `seller` None means everybody's."""

    def __init__(self, opened: Opened) -> None:
        super().__init__(opened)
        self._rows = Registry(opened)

    def page(self, chosen: str, seller: int | None, cursor: str | None, limit: int) -> Paged:
        """One page by a filter: with needs-reply what has waited longest first, with all the last message of each
        correspondence, else messages; newest first. Raises UsageError for a cursor."""
        if chosen == "needs-reply":
            return self._by("c.waiting_message_id", "inbox waiting", seller, cursor, limit, ascending=True)
        if chosen == "all":
            return self._by("c.last_message_id", "inbox last", seller, cursor, limit)
        return self.message_page(order=None, chosen=chosen, seller=seller, cursor=cursor, limit=limit)

    def _by(self, column: str, name: str, seller: int | None, cursor: str | None, limit: int, *,
            ascending: bool = False) -> Paged:
        conditions, values = [_BY_CORRESPONDENCE.format(column=column)], dict[str, object]({"limit": limit + 1})
        if seller is not None:
            conditions.append("c.seller_id = :seller")
            values["seller"] = seller
        self._after(name, cursor, conditions, values, column, ascending=ascending)
        rows = list(self._db.query(f"SELECT {COLUMNS} {' AND '.join(conditions)} "
                                   f"ORDER BY {column} {'ASC' if ascending else 'DESC'} LIMIT :limit", values))
        return Paged([self._message(row) for row in rows[:limit]], self._next(name, rows, limit))

    def waiting(self, seller: int, late_before: float) -> tuple[int, int]:
        """(messages that wait for a seller's answer, those that came before then), COUNTED at most."""
        row = self._opened.query("waiting_count", {"seller": seller, "late": late_before, "limit": COUNTED})[0]
        return row["waiting"], row["late"]

    # -- one of them -----------------------------------------------------------------------------------------

    def thread_of(self, public_id: str) -> Thread:
        """The correspondence of a message. Raises NotFound."""
        rows = list(self._db.query("SELECT correspondence_id FROM message WHERE public_id = ?", (public_id,)))
        if not rows:
            raise NotFound("there is no such message")
        return self._thread(int(rows[0]["correspondence_id"]))

    def thread_of_order(self, order: str) -> Thread:
        """The correspondence about an order. Raises NotFound."""
        return self._thread(self._rows.number_of(order))

    def thread_page(self, number: int, cursor: str | None, last: str | None = None, limit: int = NEWEST) -> Paged:
        """Messages with their timelines, the oldest first, none newer than the one with the id `last`; `next` leads to
        earlier ones. Raises UsageError."""
        conditions = ["m.correspondence_id = :correspondence AND m.state <> 'self'"]
        values = dict[str, object]({"limit": limit + 1, "correspondence": number})
        if last is not None:
            conditions.append("m.id <= (SELECT id FROM message WHERE public_id = :last)")
            values["last"] = last
        self._after("thread", cursor, conditions, values, "m.id")
        rows = list(self._db.query(f"SELECT m.id, m.public_id {JOINS} WHERE {' AND '.join(conditions)} "
                                   "ORDER BY m.id DESC LIMIT :limit", values))
        return Paged([self.timeline(row["public_id"]) for row in rows[limit - 1::-1]],
                     self._next("thread", rows, limit))

    def versions(self, number: int) -> dict[str, str]:
        """Of the newest messages, the newest first: public id -> what differs once anything about it has changed."""
        return {row["public_id"]: "-".join(str(row[name]) for name in ("state", "reported", "waiting", "event"))
                for row in self._opened.query("thread_versions", number, NEWEST)}

    def _thread(self, number: int) -> Thread:
        [row] = self._db.query(
            "SELECT s.id AS seller_number, s.data_key AS seller_key, s.ring_key AS seller_ring_key, "
            "s.name_sealed AS seller_name, b.id AS buyer_number, b.data_key AS buyer_key, "
            "b.ring_key AS buyer_ring_key, b.name_sealed AS buyer_name FROM correspondence c "
            "JOIN party s ON s.id = c.seller_id JOIN party b ON b.id = c.buyer_id WHERE c.id = ?", (number,))
        return Thread(number, self._rows.row(number), self._name(row, "seller"), self._name(row, "buyer"))

    def _message(self, row: dict[str, Any]) -> dict[str, Any]:
        return super()._message(row) | {"seller_name": self._name(row, "seller"),
                                        "buyer_name": self._name(row, "buyer")}

    def _name(self, row: dict[str, Any], side: str) -> str | None:
        if row[f"{side}_key"] is None or row[f"{side}_name"] is None:
            return None
        with contextlib.suppress(KeyRingFileError):
            vault = self._opened.vault.party(row[f"{side}_number"], row[f"{side}_ring_key"], row[f"{side}_key"])
            return vault.unseal("name", row[f"{side}_name"]) or None
        return None
