"""What people look at: messages, a message's timeline, the queue. Searches by order number only, never in
subject or body (they are sealed, and the marketplace promises it)."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

from sqlite_utils import Database

from aliasing.correspondence import Side
from relay.errors import KeyRingFileError, NotFound
from relay.ledger.opened import SQL, Opened
from relay.ledger.registry import iso
from relay.ledger.vault import MessageVault, open_message
from relay.records import State

FILTERS = {
    "all": "1",
    "needs-reply": "m.id IN (SELECT waiting_message_id FROM correspondence WHERE waiting_message_id IS NOT NULL)",
    "sent": "m.direction = 'to-buyer' AND +m.state IN ('queued', 'deferred', 'delivered')",
    "refused": "m.state = 'refused'",
    "held": "m.state = 'held'",
    "failed": "m.state = 'failed'",
    "reported": "m.reported_at IS NOT NULL",
}
"""Name -> condition; the + keeps SQLite from sorting nearly all there is by three states. The command line's default is
all, the page's is needs-reply."""

COLUMNS = """m.*, c.order_number, c.waiting_message_id, s.external_id AS seller, b.external_id AS buyer,
s.id AS seller_number, s.data_key AS seller_key, s.ring_key AS seller_ring_key,
b.id AS buyer_number, b.data_key AS buyer_key, b.ring_key AS buyer_ring_key,
s.name_sealed AS seller_name, b.name_sealed AS buyer_name"""
JOINS = """FROM message m JOIN correspondence c ON c.id = m.correspondence_id
JOIN party s ON s.id = c.seller_id JOIN party b ON b.id = c.buyer_id"""

_PAGE = 1000
MAX_EVENTS = 10_000
"""Of the mail log at one time: what a follower holds in memory."""


class Listing:
    """Read-only, but for a note of who looked at content. What changes the queue is in operate.py."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._db = Database(opened.connection)

    def messages(self, order: str | None = None, chosen: str = "all", limit: int = 1000) -> Iterator[dict[str, Any]]:
        """Newest first, in the form of `messages --json`; raises UsageError for an unknown order."""
        conditions, values = [FILTERS[chosen]], list[object]()
        if order is not None:
            found = list(self._db.query("SELECT id FROM correspondence WHERE order_number = ?", (order,)))
            if not found:
                raise NotFound(f"there is no order {order}", "list them with: tradepost order list")
            conditions.append("m.correspondence_id = ?")
            values.append(found[0]["id"])
        sql = f"SELECT {COLUMNS} {JOINS} WHERE {' AND '.join(conditions)} ORDER BY m.id DESC LIMIT ?"
        for row in self._db.query(sql, (*values, limit)):
            yield self._message(row)

    def timeline(self, public_id: str) -> dict[str, Any]:
        """One message with every verdict, attempt, reply and DSN in order."""
        rows = list(self._db.query(f"SELECT {COLUMNS} {JOINS} WHERE m.public_id = ?", (public_id,)))
        if not rows:
            raise NotFound(f"there is no message {public_id}", "list them with: tradepost messages")
        vault = self._vault(rows[0])
        events = []
        for event in self._db.query("SELECT * FROM event WHERE message_id = ? ORDER BY id", (rows[0]["id"],)):
            detail: Any = event["detail"]
            if event["kind"] == "cleaned":
                detail = json.loads(detail)
            if event["kind"] == "verdict":
                detail = [{"rule": rule, "verdict": verdict, "reason": reason}
                          for rule, verdict, reason in json.loads(detail)]
            remote = None
            if event["remote_sealed"] is not None and vault is not None:
                remote = vault.unseal("remote", event["remote_sealed"]).decode("utf-8", "replace")
            events.append({"at": iso(event["at"]), "kind": event["kind"], "name": event["name"], "detail": detail,
                           "remote": remote})
        return self._message(rows[0]) | {"events": events}

    def is_moderated(self, message: Mapping[str, Any]) -> bool:
        """Whether it was ever reported, or is held: what a moderator is there for."""
        return message["reported"] or message["state"] == State.HELD or bool(
            self._opened.query("was_reported", message["id"]))

    def content(self, public_id: str, by: str | None = "") -> bytes:
        """What is kept of a message: as it went on, or as it came where it was stopped at the door. That somebody
        looked, and by what key, is recorded first; None is a party who reads its own. Raises NotFound where nothing is
        kept."""
        rows = list(self._db.query(f"SELECT {COLUMNS}, k.body_sealed, k.file {JOINS} "
                                   "JOIN content k ON k.message_id = m.id WHERE m.public_id = ?", (public_id,)))
        vault = self._vault(rows[0]) if rows else None
        if vault is None:
            raise NotFound(f"nothing is kept of a message {public_id}", "list them with: tradepost messages")
        if by is not None:
            self._opened.connection.execute(SQL["insert_event"], (
                time.time(), rows[0]["id"], None, None, "operator", "content-shown", by, None))
        file = rows[0]["file"]
        return vault.unseal("content", (self._opened.spool / file).read_bytes() if file else rows[0]["body_sealed"])

    def events(self, *, after: int, order: str | None, trace: str | None,
               last: int | None) -> Iterator[dict[str, Any]]:
        """The mail log: events with a number above `after`, MAX_EVENTS at most, or the newest `last`; oldest first."""
        conditions, values = ["e.id > ?"], list[object]([after])
        for column, value in (("c.order_number", order), ("m.trace", trace)):
            if value is not None:
                conditions.append(f"{column} = ?")
                values.append(value)
        sql = ("SELECT e.id, e.at, e.kind, e.name, e.detail, m.public_id, m.trace, c.order_number FROM event e "  # noqa: S608
               "JOIN message m ON m.id = e.message_id JOIN correspondence c ON c.id = m.correspondence_id "
               f"WHERE {' AND '.join(conditions)} ORDER BY e.id {'DESC' if last else 'ASC'} LIMIT ?")
        rows = list(self._db.query(sql, (*values, last or MAX_EVENTS)))
        for row in reversed(rows) if last else rows:
            yield {"number": row["id"], "at": iso(row["at"]), "message": row["public_id"], "trace": row["trace"],
                   "order": row["order_number"], "kind": row["kind"], "name": row["name"],
                   "detail": "" if row["kind"] in ("verdict", "cleaned") else row["detail"]}

    def _message(self, row: dict[str, Any]) -> dict[str, Any]:
        vault = self._vault(row)
        dated, received = row["dated_at"], row["received_at"]
        return {
            "id": row["public_id"], "trace": row["trace"], "order": row["order_number"], "seller": row["seller"],
            "buyer": row["buyer"], "direction": row["direction"], "channel": row["channel"],
            "subject": vault.unseal_text("subject", row["subject_sealed"]) if vault else None,
            "received_at": iso(received), "dated_at": iso(dated),
            "provider_delay_s": None if dated is None else round(max(0.0, received - dated), 3),
            "size": row["size"], "attachments": row["attachments"], "state": row["state"], "rule": row["rule"],
            "reply": (vault.unseal_text("reply", row["reply_sealed"]) or None) if vault else None,
            "needs_reply": row["waiting_message_id"] == row["id"], "reported": row["reported_at"] is not None,
        }

    def _vault(self, row: dict[str, Any]) -> MessageVault | None:
        """None once a party was erased: the message's key went with it."""
        if row["seller_key"] is None or row["buyer_key"] is None or row["key_sealed"] is None:
            return None
        vaults = {side: self._opened.vault.party(row[f"{side}_number"], row[f"{side}_ring_key"], row[f"{side}_key"])
                  for side in Side}
        with contextlib.suppress(KeyRingFileError):
            return open_message(row["public_id"], vaults, row["key_sealed"])
        return None

    # -- the queue -----------------------------------------------------------------------------------------

    def queue(self, limit: int = 1000, *, after: int = 0, destination: str | None = None) -> Iterator[dict[str, Any]]:
        """What has not left yet, oldest first, from the id after `after` on: parties by id, never by address."""
        index, condition, values = "delivery_open", "", dict[str, object]()
        if destination is not None:
            index, condition = "delivery_destination", "AND d.destination_hash = :lane"
            values["lane"] = self._opened.keys.hash_domain(destination.lower())
        sql = ("SELECT d.*, m.public_id, m.trace, c.order_number, p.side, p.external_id "  # noqa: S608
               f"FROM delivery d INDEXED BY {index} "
               "JOIN message m ON m.id = d.message_id JOIN correspondence c ON c.id = m.correspondence_id "
               f"JOIN party p ON p.id = d.party_id WHERE d.finished_at IS NULL AND d.id > :after {condition} "
               "ORDER BY d.id LIMIT :limit")
        while limit > 0:  # page by page: one long read would keep the daemon from cutting its log short
            rows = list(self._db.query(sql, values | {"after": after, "limit": min(limit, _PAGE)}))
            yield from (_queued(row) for row in rows)
            if len(rows) < _PAGE:
                return
            after, limit = rows[-1]["id"], limit - len(rows)


def _queued(row: dict[str, Any]) -> dict[str, Any]:
    return {"id": str(row["id"]), "message": row["public_id"], "trace": row["trace"], "kind": row["kind"],
            "order": row["order_number"], "to": f"{row['side']}:{row['external_id']}", "state": row["state"],
            "attempts": row["attempts"], "created_at": iso(row["created_at"]),
            "next_attempt_at": iso(row["next_attempt_at"]), "leased": row["lease_until"] is not None,
            "code": row["code"]}
