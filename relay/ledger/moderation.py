"""What moderators do: end a report with a decision, let a held message go or not. Who and why is in the timeline."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aliasing.correspondence import Direction
from relay.errors import Conflict, NotFound
from relay.ledger.listing import COLUMNS, JOINS, Listing
from relay.ledger.marks import Marks
from relay.ledger.opened import SQL, Opened, unsigned
from relay.ledger.operate import Chosen, Operate
from relay.ledger.registry import Registry, iso
from relay.records import DeliveryKind

DECISIONS = ("dismissed", "warned", "blocked")
VERBS = ("release", "drop")


@dataclass(frozen=True)
class Letter:
    """A letter to the writer of a message, and the domain of the mailbox it goes to."""

    content: bytes
    destination: str


@dataclass(frozen=True)
class Reported:
    """What a letter about a message has to know of it."""

    correspondence: int
    direction: Direction
    subject: str
    received_at: datetime
    original_id: bytes | None


class Moderation(Listing):
    """`by` is the login. Raises NotFound, Conflict, LedgerError."""

    def __init__(self, opened: Opened, by: str) -> None:
        super().__init__(opened)
        self._by = by

    def about(self, public_id: str) -> Reported:
        row = self._row(public_id)
        vault = self._vault(row)
        if vault is None:
            raise NotFound("the writer was erased")
        original = row["original_id_sealed"]
        return Reported(unsigned(row["correspondence_id"]), Direction(row["direction"]),
                        vault.unseal_text("subject", row["subject_sealed"]),
                        datetime.fromtimestamp(row["received_at"], UTC),
                        vault.unseal("original_id", original) if original is not None else None)

    def decide(self, public_id: str, decision: str, reason: str, letter: Letter | None = None) -> None:
        """End a report: "dismissed", "warned" (by `letter`), or "blocked", which blocks its writer."""
        row = self._row(public_id)
        with self._opened.transaction() as connection:
            Marks(self._opened, self._by).end_report(row["id"], decision, reason)
            if letter is not None:
                self._write_to(row, letter)
            if decision == "blocked":
                writer = Direction(row["direction"]).writer
                connection.execute(SQL["block_party"], {
                    "party": row[f"{writer}_number"], "reason": f"{self._by}: {reason}", "at": time.time()})
                connection.execute(SQL["registry_changed"])

    def settle(self, public_id: str, verb: str, reason: str) -> None:
        """Release a held message, or drop it: then its writer gets a DSN. Not within a turn to write: it takes its
        own. Raises Conflict for one that is not held (any more)."""
        row = self._row(public_id)
        held = [str(one["id"]) for one in self._opened.query("held_of", row["id"])]
        changes = Operate(self._opened, f"{self._by}: {reason}").change(verb, Chosen.by(held, None, everything=False)
                                                                         ) if held else ()
        if not sum(changed for _, changed in changes):
            raise Conflict("this message is not held")

    def blocked(self) -> list[dict[str, Any]]:
        """Parties that are blocked, the newest first, with their names where they have one."""
        rows = []
        for row in self._opened.query("blocked_parties"):
            name = None
            if row["data_key"] is not None and row["name_sealed"] is not None:
                vault = self._opened.vault.party(row["party_id"], row["ring_key"], row["data_key"])
                name = vault.unseal("name", row["name_sealed"])
            rows.append({"number": row["id"], "side": row["side"], "party": row["external_id"], "name": name,
                         "reason": row["reason"], "created_at": iso(row["created_at"])})
        return rows

    def lift(self, number: int, reason: str) -> None:
        """Let a blocked party write again."""
        if not any(row["id"] == number for row in self._opened.query("blocked_parties")):
            raise NotFound("there is no such block")
        Registry(self._opened).lift_block(number, f"{self._by}: {reason}")

    def _row(self, public_id: str) -> dict[str, Any]:
        rows = list(self._db.query(f"SELECT {COLUMNS} {JOINS} WHERE m.public_id = ?", (public_id,)))
        if not rows:
            raise NotFound("there is no such message")
        return rows[0]

    def _write_to(self, row: dict[str, Any], letter: Letter) -> None:
        vault = self._vault(row)
        if vault is None:
            raise Conflict("the writer was erased meanwhile")
        now = time.time()
        self._opened.connection.execute(SQL["insert_delivery"], (
            row["id"], DeliveryKind.DSN, Direction(row["direction"]).writer, 0, now, now, None,
            self._opened.keys.hash_domain(letter.destination), vault.seal("dsn", letter.content),
            row["correspondence_id"]))
