"""Texts to write with: the marketplace's for every seller, and each seller's own.

A template has placeholders for what an order knows: {order}, {buyer}, {seller}, the last two being display names.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

from sqlite_utils import Database

from relay.errors import NotFound, UsageError
from relay.ledger.opened import Opened
from relay.ledger.registry import Registry, iso

PLACEHOLDERS = ("order", "buyer", "seller")
MAX_TEMPLATES = 200
"""Of one seller."""
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_ROWS = "SELECT t.*, p.external_id AS seller FROM template t LEFT JOIN party p ON p.id = t.seller_id"


class Templates:
    """`seller` is a seller's id, None for the marketplace's own. Raises UsageError, LedgerError."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._db = Database(opened.connection)

    def all(self, seller: str | None = None) -> Iterator[dict[str, Any]]:
        """Every template; with `seller` those that this one can use."""
        where, values = "", list[object]()
        if seller is not None:
            where, values = "WHERE t.seller_id IS NULL OR t.seller_id = ?", [self._number(seller)]
        for row in self._db.query(f"{_ROWS} {where} ORDER BY t.name, t.id", values):
            yield _shown(row)

    def show(self, name: str, seller: str | None) -> dict[str, Any]:
        """A seller's own template of that name, else the marketplace's. Raises NotFound."""
        found = list(self._db.query(f"{_ROWS} WHERE t.name = ? AND (t.seller_id IS NULL OR t.seller_id IS ?) "
                                    "ORDER BY t.seller_id IS NULL LIMIT 1", (name, self._number(seller))))
        if not found:
            raise NotFound(f"there is no template {name}", "list them with: tradepost template list")
        return _shown(found[0])

    def set(self, name: str, seller: str | None, subject: str, text: str) -> dict[str, Any]:
        """Make it, or change it. Raises UsageError for a name that is none and for unknown placeholders."""
        if not NAME.fullmatch(name):
            raise UsageError("a template's name has up to 64 of a-z, 0-9, dot, hyphen and underscore")
        if unknown := unknown_placeholders(subject + text):
            raise UsageError(f"there is no placeholder {{{min(unknown)}}}; there are {', '.join(PLACEHOLDERS)}")
        number = self._number(seller)
        with self._opened.transaction() as connection:
            count = connection.execute("SELECT count(*) FROM template WHERE seller_id IS ? AND name <> ?",
                                       (number, name)).fetchone()[0]
            if count >= MAX_TEMPLATES:
                raise UsageError(f"there are {MAX_TEMPLATES} templates; remove one first")
            connection.execute(
                "INSERT INTO template (seller_id, name, subject, text, updated_at) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (ifnull(seller_id, 0), name) DO UPDATE SET subject = excluded.subject, "
                "text = excluded.text, updated_at = excluded.updated_at", (number, name, subject, text, time.time()))
        return self.show(name, seller)

    def remove(self, name: str, seller: str | None) -> None:
        """Raises NotFound where that seller (or the marketplace) has none of that name itself."""
        with self._opened.transaction() as connection:
            found = connection.execute("DELETE FROM template WHERE name = ? AND seller_id IS ?",
                                       (name, self._number(seller)))
            if not found.rowcount:
                raise NotFound(f"there is no template {name}", "list them with: tradepost template list")

    def filled(self, name: str, seller: str | None, order: str) -> dict[str, str]:
        """Subject and text with an order's values. Raises NotFound."""
        return self.filled_for(name, seller, Registry(self._opened).number_of(order))

    def filled_for(self, name: str, seller: str | None, correspondence: int) -> dict[str, str]:
        """The same for a correspondence that may have no order yet. Raises NotFound."""
        found = self.show(name, seller)
        return self.fill(found["subject"], found["text"], correspondence)

    def fill(self, subject: str, text: str, correspondence: int) -> dict[str, str]:
        """The same of what is no template yet."""
        registry = Registry(self._opened)
        row = registry.row(correspondence)
        values = {"order": row.order or "", "seller": registry.party(f"seller:{row.seller}")["name"] or "",
                  "buyer": registry.party(f"buyer:{row.buyer}")["name"] or ""}
        return {"subject": _fill(subject, values), "text": _fill(text, values)}

    def _number(self, seller: str | None) -> int | None:
        return None if seller is None else int(Registry(self._opened).find_party(f"seller:{seller}")["id"])


def unknown_placeholders(text: str) -> set[str]:
    """Names in braces that no order has a value for."""
    return set(re.findall(r"\{(\w+)\}", text)) - set(PLACEHOLDERS)


def _fill(text: str, values: Mapping[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda match: values.get(match.group(1), match.group()), text)


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {"name": row["name"], "seller": row["seller"], "subject": row["subject"], "text": row["text"],
            "updated_at": iso(row["updated_at"])}
