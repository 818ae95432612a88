"""Files of messages that are being written on the page: kept from the upload until the message is sent, a day at most.

They are sealed under the seller's data key, like all that is theirs.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from relay.errors import NotFound
from relay.keys import seal, unseal
from relay.ledger.opened import SQL, Opened
from relay.ledger.vault import PartyVault
from relay.ledger.writer import Connection
from relay.records import new_id

KEPT_S = 24 * 3600.0
KEPT_BYTES = 64 * 1024 * 1024
"""Of one login; beyond it the oldest go: those of drafts that were given up."""


@dataclass(frozen=True)
class DraftFile:
    """A file as the form shows it."""

    id: str
    name: str
    type: str
    size: int


@dataclass(frozen=True)
class Loaded(DraftFile):
    data: bytes = field(repr=False)


class Drafts:
    """One login's files, which nobody else sees. Raises LedgerError."""

    def __init__(self, opened: Opened, login: int, seller: int) -> None:
        self._opened = opened
        self._login = login
        self._seller = seller

    def add(self, name: str, type_: str, data: bytes) -> DraftFile:
        """Keep one. Raises NotFound once the seller was erased."""
        now, vault, id_ = time.time(), self._vault(), new_id()
        name_sealed = vault.seal(f"draft {id_}", name)
        body_sealed = seal(vault.key, data, _body(self._seller, id_))
        with self._opened.transaction() as connection:
            connection.execute(SQL["drafts_forgotten"], (now - KEPT_S,))
            self._make_room(connection, len(data))
            connection.execute(SQL["draft_kept"], (id_, self._login, self._seller, name_sealed, type_, len(data),
                                                   body_sealed, now))
        return DraftFile(id_, name, type_, len(data))

    def files(self, ids: Sequence[str]) -> list[DraftFile]:
        """Those that are still there, in that order."""
        vault = self._vault()
        found = (self._row("draft_file", id_) for id_ in dict.fromkeys(ids))
        return [DraftFile(row["public_id"], vault.unseal(f"draft {row['public_id']}", row["name_sealed"]), row["type"],
                          row["size"]) for row in found if row is not None]

    def load(self, ids: Sequence[str]) -> list[Loaded]:
        """files() with what is in them."""
        vault, found = self._vault(), list[Loaded]()
        for file in self.files(ids):
            row = self._row("draft_body", file.id)
            if row is not None:
                found.append(Loaded(file.id, file.name, file.type, file.size,
                                    unseal(vault.key, row["body_sealed"], _body(self._seller, file.id))))
        return found

    def forget(self, ids: Sequence[str]) -> None:
        """They were sent, or taken out."""
        with self._opened.transaction() as connection:
            connection.executemany(SQL["draft_forgotten"], [(id_, self._login, self._seller) for id_ in ids])

    def _make_room(self, connection: Connection, size: int) -> None:
        kept = connection.execute(SQL["drafts_kept"], (self._login,)).fetchall()
        total = sum(row["size"] for row in kept) + size
        for row in kept:
            if total <= KEPT_BYTES:
                return
            connection.execute(SQL["draft_forgotten"], (row["public_id"], self._login, self._seller))
            total -= row["size"]

    def _row(self, query: str, id_: str) -> Any:
        return next(iter(self._opened.query(query, id_, self._login, self._seller)), None)

    def _vault(self) -> PartyVault:
        rows = self._opened.query("party_key", self._seller)
        if not rows:
            raise NotFound("this seller was erased")
        return self._opened.vault.party(self._seller, rows[0]["ring_key"], rows[0]["data_key"])


def _body(seller: int, id_: str) -> bytes:
    return f"draft {seller} {id_}".encode()
