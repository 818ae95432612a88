"""API keys: shown once, kept as a hash.

A key is 256 random bits, so SHA-256 is enough: nobody finds such a value by trying, and what makes password hashes
slow would only make each request slow.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from sqlite_utils import Database

from aliasing.token import decode, encode
from relay.errors import Conflict, NotFound, UsageError
from relay.ledger.opened import SQL, Opened
from relay.ledger.registry import Registry, iso

SCOPES = ("orders", "messages", "templates", "parties", "blocks", "moderate", "erase", "webhooks")
"""What a key may be for. Reading and changing are not told apart: who mints aliases may see them."""
SELLER_SCOPES = ("orders", "messages", "templates", "parties", "blocks")
"""What a key that is bound to one seller may be for; the others concern everybody."""
PREFIX = "tp_"
"""By which scanners for leaked secrets know one."""
KEY_BYTES = 32
MAX_NAME_CHARS = 100


@dataclass(frozen=True)
class ApiKey:
    """Who asks: `seller` is the id of the only seller that the key sees, None for the marketplace's own."""

    number: int
    name: str
    scopes: frozenset[str]
    seller: str | None = None
    seller_number: int | None = None

    def sees(self, seller: str) -> bool:
        """Whether that seller's data is there at all for this key."""
        return self.seller is None or self.seller == seller


class ApiKeys:
    """Each method is one short transaction or one look. Raises UsageError, LedgerError."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._db = Database(opened.connection)

    def add(self, name: str, scopes: Collection[str], seller: str | None) -> str:
        """A new key: its text, which is kept nowhere. Raises UsageError, NotFound for an unknown seller."""
        if not name or len(name) > MAX_NAME_CHARS or not name.isprintable():
            raise UsageError(f"a key's name has 1 to {MAX_NAME_CHARS} printable characters")
        if not scopes or set(scopes) - set(SCOPES):
            raise UsageError(f"a key is for some of: {', '.join(SCOPES)}")
        if seller is not None and (wide := set(scopes) - set(SELLER_SCOPES)):
            raise UsageError(f"a key bound to a seller cannot be for {', '.join(sorted(wide))}")
        key = PREFIX + encode(secrets.token_bytes(KEY_BYTES))
        party = Registry(self._opened).find_party(f"seller:{seller}") if seller is not None else None
        with self._opened.transaction():
            if list(self._db.query("SELECT 1 FROM api_key WHERE name = ? AND removed_at IS NULL", (name,))):
                raise Conflict(f"there is a key {name}", f"remove it first: tradepost apikey remove {name}")
            self._db.table("api_key").insert({
                "name": name, "hash": _hash(key), "scopes": json.dumps(sorted(set(scopes))),
                "seller_id": party["id"] if party else None, "created_at": time.time()})
            self._event("apikey-add", name, party["id"] if party else None)
        return key

    def remove(self, name: str) -> None:
        """It opens nothing any more, from now on. Raises NotFound."""
        with self._opened.transaction() as connection:
            found = connection.execute("UPDATE api_key SET removed_at = ? WHERE name = ? AND removed_at IS NULL",
                                       (time.time(), name))
            if not found.rowcount:
                raise NotFound(f"there is no key {name}", "list them with: tradepost apikey list")
            self._event("apikey-remove", name, None)

    def all(self) -> Iterator[dict[str, Any]]:
        """What there is, without the keys themselves."""
        for row in self._db.query("SELECT k.*, p.external_id AS seller FROM api_key k "
                                  "LEFT JOIN party p ON p.id = k.seller_id WHERE k.removed_at IS NULL ORDER BY k.id"):
            yield {"name": row["name"], "scopes": json.loads(row["scopes"]), "seller": row["seller"],
                   "created_at": iso(row["created_at"])}

    def find(self, key: str) -> ApiKey | None:
        """The key with that text; what cannot be one costs no look."""
        if not key.startswith(PREFIX) or decode(key.removeprefix(PREFIX), KEY_BYTES) is None:
            return None
        rows = self._opened.query("api_key", _hash(key))
        if not rows:
            return None
        row = rows[0]
        return ApiKey(row["id"], row["name"], frozenset(json.loads(row["scopes"])), row["seller"], row["seller_id"])

    def _event(self, name: str, detail: str, party: int | None) -> None:
        self._db.execute(SQL["insert_event"], (time.time(), None, None, party, "operator", name, detail, None))


def _hash(key: str) -> bytes:
    return sha256(key.encode()).digest()
