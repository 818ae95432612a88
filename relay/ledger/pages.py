"""Lists for back ends, a page at a time: keyset cursors, one seller's or everybody's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aliasing.token import Role
from relay.errors import NotFound, UsageError
from relay.ledger.listing import COLUMNS, FILTERS, JOINS, Listing
from relay.ledger.opened import Opened, signed
from relay.ledger.registry import BLOCKS, Registry

_WAITING = """FROM correspondence c JOIN message m ON m.id = c.waiting_message_id
JOIN party s ON s.id = c.seller_id JOIN party b ON b.id = c.buyer_id"""
"""For needs-reply: begun at the other end, or everything that waits would be looked through for each page."""


@dataclass(frozen=True)
class Paged:
    """`next` is the cursor of what follows, None at the end."""

    items: list[dict[str, Any]]
    next: str | None


class Pages(Listing):
    """Newest first. Cursors are sealed: no number of rows shows, and one list's cursor opens no other's."""

    def __init__(self, opened: Opened) -> None:
        super().__init__(opened)
        self._registry = Registry(opened)

    def message_page(self, *, order: str | None, chosen: str, seller: int | None, cursor: str | None,
                     limit: int) -> Paged:
        """Messages by the command line's filters. Raises NotFound for an unknown order, UsageError for a cursor."""
        values: dict[str, object] = {"limit": limit + 1, "seller": seller}
        tables, number, own, about = JOINS, "m.id", "m.seller_id", "m.correspondence_id"
        conditions = [FILTERS[chosen]]
        if chosen == "needs-reply":
            tables, number, own, about = _WAITING, "c.waiting_message_id", "c.seller_id", "c.id"
            conditions = [f"{number} IS NOT NULL"]
        if order is not None:
            conditions.append(f"{about} = :correspondence")
            values["correspondence"] = self._registry.number_of(order)
        if seller is not None:
            conditions.append(f"{own} = :seller")
        self._after("messages", cursor, conditions, values, number)
        rows = list(self._db.query(f"SELECT {COLUMNS} {tables} WHERE {' AND '.join(conditions)} "
                                   f"ORDER BY {number} DESC LIMIT :limit", values))
        return Paged([self._message(row) for row in rows[:limit]], self._next("messages", rows, limit))

    def order_page(self, *, seller: int | None, buyer: int | None, cursor: str | None, limit: int) -> Paged:
        """Orders, and enquiries without one."""
        conditions, values = ["1"], dict[str, object]({"limit": limit + 1, "seller": seller, "buyer": buyer})
        conditions += ["seller_id = :seller"] if seller is not None else []
        conditions += ["buyer_id = :buyer"] if buyer is not None else []
        self._after("orders", cursor, conditions, values, "id")
        rows = list(self._db.query(f"SELECT id FROM correspondence WHERE {' AND '.join(conditions)} "  # noqa: S608
                                   "ORDER BY id DESC LIMIT :limit", values))
        return Paged([self._registry.row(row["id"]).as_json() for row in rows[:limit]],
                     self._next("orders", rows, limit))

    def block_page(self, *, seller: int | None, cursor: str | None, limit: int) -> Paged:
        """Blocks in force; one seller's own, or all."""
        conditions, values = [BLOCKS], dict[str, object]({"limit": limit + 1, "seller": seller})
        conditions += ["k.party_id = :seller AND k.scope <> 'relay'"] if seller is not None else []
        self._after("blocks", cursor, conditions, values, "k.id")
        rows = list(self._db.query(f"{' AND '.join(conditions)} ORDER BY k.id DESC LIMIT :limit", values))
        return Paged([self._registry.block(row) for row in rows[:limit]], self._next("blocks", rows, limit))

    def corresponds(self, seller: str, buyer: str) -> bool:
        """Whether the two have anything to do with each other."""
        return bool(list(self._db.query(
            "SELECT 1 FROM correspondence c JOIN party s ON s.id = c.seller_id JOIN party b ON b.id = c.buyer_id "
            "WHERE s.side = 'seller' AND s.external_id = ? AND b.side = 'buyer' AND b.external_id = ? LIMIT 1",
            (seller, buyer.removeprefix("buyer:")))))

    def one_block(self, number: int) -> dict[str, Any]:
        return self._registry.block(next(iter(self._db.query(f"{BLOCKS} AND k.id = ?", (number,)))))

    def block_party(self, number: int) -> str | None:
        """Whose block it is ("seller:S1"), None for the relay's. Raises NotFound."""
        rows = list(self._db.query(f"{BLOCKS} AND k.id = ?", (number,)))
        if not rows:
            raise NotFound("there is no such block")
        return None if rows[0]["scope"] == "relay" else f"{rows[0]['side']}:{rows[0]['external_id']}"

    def message(self, public_id: str) -> dict[str, Any]:
        """One message in the form of `messages --json`. Raises NotFound."""
        rows = list(self._db.query(f"SELECT {COLUMNS} {JOINS} WHERE m.public_id = ?", (public_id,)))
        if not rows:
            raise NotFound("there is no such message")
        return self._message(rows[0])

    def place_of(self, public_id: str) -> int:
        """In which correspondence a message is. Raises NotFound."""
        rows = self._opened.query("place_of", public_id)
        if not rows:
            raise NotFound("there is no such message")
        return int(rows[0]["correspondence_id"])

    def by_trace(self, correspondence: int, trace: str) -> str | None:
        """The public id of a correspondence's message by the transaction that brought it."""
        rows = list(self._db.query("SELECT public_id FROM message WHERE correspondence_id = ? AND trace = ? "
                                   "ORDER BY id DESC LIMIT 1", (signed(correspondence), trace)))
        return str(rows[0]["public_id"]) if rows else None

    def outgoing_id(self, correspondence: int, public_id: str) -> str | None:
        """Under which Message-ID a message of a correspondence left, None where it did not."""
        rows = list(self._db.query("SELECT outgoing_id FROM message WHERE correspondence_id = ? AND public_id = ? "
                                   "AND state <> 'refused'", (signed(correspondence), public_id)))
        return rows[0]["outgoing_id"] if rows else None

    def _after(self, name: str, cursor: str | None, conditions: list[str], values: dict[str, object],
               column: str, *, ascending: bool = False) -> None:
        if cursor is None:
            return
        number = self._opened.keys.ring.open(Role.RETURN, _domain(name), cursor)
        if number is None:
            raise UsageError("this cursor is not one of this list; begin without one")
        conditions.append(f"{column} {'>' if ascending else '<'} :cursor")
        values["cursor"] = number

    def _next(self, name: str, rows: Sequence[dict[str, Any]], limit: int) -> str | None:
        if len(rows) <= limit:
            return None
        return self._opened.keys.ring.seal(Role.RETURN, _domain(name), rows[limit - 1]["id"])


def _domain(name: str) -> str:
    """What a cursor is sealed for: no domain name, so that nothing else opens it."""
    return f"cursor {name}"
