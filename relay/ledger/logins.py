"""Logins for submission and the page: what an operator asks for, each one transaction."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from sqlite_utils import Database
from sqlite_utils.db import Table

from relay.errors import UsageError
from relay.ledger.opened import SQL, Opened
from relay.ledger.registry import MAX_ID_CHARS, Registry, iso

ROLES = ("moderator", "operator")
"""What a login without a party may be; a party's is its side."""


class Logins:
    """A login is a name of its own, a party and a password's hash; a party may have several."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._db = Database(opened.connection)

    def find_party(self, name: str, party: str | None) -> dict[str, Any]:
        """The row of the party that a new login is for, by default the one of the same id. Raises UsageError."""
        self.check_name(name)
        return Registry(self._opened).find_party(party or name)

    def check_name(self, name: str) -> None:
        """Raises UsageError for a name that a new login cannot have."""
        if not name or len(name) > MAX_ID_CHARS or not name.isprintable() or "@" in name or ":" in name:
            raise UsageError(f"a login has 1 to {MAX_ID_CHARS} printable characters without @ and :; "
                             "it stands in logs, where no address may")
        if self._find(name) is not None:
            raise UsageError(f"there is a login {name}; change its password with: tradepost login password {name}")

    def add(self, name: str, party: str | None, hashed: str) -> str:
        """Make a login; whose it is ("seller:S1"). Raises UsageError."""
        with self._opened.transaction():
            row = self.find_party(name, party)
            now = time.time()
            self._table().insert({"name": name, "party_id": row["id"], "hash": hashed,
                                  "created_at": now, "changed_at": now})
            self._event("login-add", name, row["id"])
        return f"{row['side']}:{row['external_id']}"

    def add_role(self, name: str, role: str, hashed: str) -> None:
        """Make the login of a moderator or an operator, who is no party. Raises UsageError."""
        with self._opened.transaction():
            self.check_name(name)
            now = time.time()
            self._table().insert({"name": name, "role": role, "hash": hashed, "created_at": now, "changed_at": now})
            self._event("login-add", f"{name} {role}", None)

    def change(self, name: str, hashed: str) -> None:
        """Another password; sessions that are open have to log in anew. Raises UsageError."""
        with self._opened.transaction():
            row = self.get(name)
            self._table().update(row["id"], {"hash": hashed, "changed_at": time.time()})
            self._event("login-password", name, row["party_id"])

    def link(self, name: str, issuer: str, subject: str | None) -> None:
        """Who it is to an OpenID Connect provider; None for nobody any more. Raises UsageError."""
        with self._opened.transaction():
            row = self.get(name)
            taken = self._opened.query("login_of_subject", issuer, subject) if subject is not None else []
            if taken and taken[0]["id"] != row["id"]:
                raise UsageError("another login is linked to that subject")
            self._table().update(row["id"], {"oidc_issuer": issuer if subject is not None else None,
                                             "oidc_subject": subject})
            self._event("login-link" if subject is not None else "login-unlink", name, row["party_id"])

    def remove(self, name: str) -> None:
        """No more login of that name, at once. Raises UsageError."""
        with self._opened.transaction():
            row = self.get(name)
            self._table().delete(row["id"])
            self._event("login-remove", name, row["party_id"])

    def get(self, name: str) -> dict[str, Any]:
        """The row of a login; raises UsageError when there is none."""
        row = self._find(name)
        if row is None:
            raise UsageError(f"there is no login {name}; list them with: tradepost login list")
        return row

    def all(self) -> Iterator[dict[str, Any]]:
        """Every login without its hash, for a listing."""
        for row in self._db.query("SELECT l.name, l.role, l.created_at, l.changed_at, p.side, p.external_id "
                                  "FROM login l LEFT JOIN party p ON p.id = l.party_id ORDER BY l.name"):
            party = f"{row['side']}:{row['external_id']}" if row["side"] else None
            yield {"login": row["name"], "party": party, "role": row["role"] or row["side"],
                   "created_at": iso(row["created_at"]), "password_changed_at": iso(row["changed_at"])}

    def _find(self, name: str) -> dict[str, Any] | None:
        return next(iter(self._db.query("SELECT * FROM login WHERE name = ?", (name,))), None)

    def _table(self) -> Table:
        return self._db.table("login")

    def _event(self, name: str, detail: str, party: int | None) -> None:
        self._db.execute(SQL["insert_event"], (time.time(), None, None, party, "operator", name, detail, None))
