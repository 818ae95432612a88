"""Erasure of a party: blocked first, then destroyed, for good.

What a party's data key sealed (name, addresses, and every message to or from it, each under a key that both parties'
keys wrap) cannot be read by anybody once that key is gone. So the key is what has to go without a trace: overwritten in
the ledger's pages, and the write-ahead log, which holds pages as they were, cut to nothing.

What remains: the marketplace's ids and order numbers, times, sizes, states, rule names, the timeline without what
remote servers said, octets that nothing opens; and, sealed, an address that the operator blocks for the whole relay.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from relay.ledger.destroy import destroying, drop_files, make_sure
from relay.ledger.opened import SQL, Opened
from relay.ledger.registry import Registry

_OWN = "(SELECT id FROM correspondence WHERE seller_id = :party OR buyer_id = :party)"
_MESSAGES = f"(SELECT id FROM message WHERE correspondence_id IN {_OWN})"  # noqa: S608 - texts from above


@dataclass(frozen=True)
class Erased:
    """What went: messages of which nothing can be read any more, and addresses."""

    party: str
    messages: int
    addresses: int

    def as_json(self) -> dict[str, Any]:
        return {"party": self.party, "messages": self.messages, "addresses": self.addresses}


class Erase:
    """Raises NotFound for an unknown party, LedgerError. To be asked again after an error: it goes on."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._db = opened.connection

    def erase(self, party: str) -> Erased:
        """Block, destroy, and make sure that no old page keeps the key.

        Raises LedgerBusy when somebody reads for so long that the log cannot be cut: then ask again.
        """
        row = Registry(self._opened).find_party(party)
        name, number = f"{row['side']}:{row['external_id']}", row["id"]
        self._block(number)
        with destroying(self._opened):
            found = self._destroy(name, number)
        make_sure(self._opened, [row["data_key"]] if row["data_key"] is not None else [])
        return found

    def _block(self, party: int) -> None:
        """Before anything is destroyed nobody writes to it or for it any more."""
        with self._opened.transaction() as connection:
            connection.execute("UPDATE address SET state = 'blocked' WHERE party_id = ?", (party,))
            connection.execute("UPDATE correspondence SET closed_at = :now "
                               "WHERE (seller_id = :party OR buyer_id = :party) AND closed_at IS NULL",
                               {"party": party, "now": time.time()})
            connection.execute(SQL["registry_changed"])

    def _destroy(self, name: str, party: int) -> Erased:
        values = {"party": party, "now": time.time()}
        with self._opened.transaction() as connection:
            def run(sql: str) -> int:
                count: int = connection.execute(sql, values).rowcount
                return count

            files = [row["file"] for row in connection.execute(
                f"SELECT file FROM content WHERE message_id IN {_MESSAGES} AND file IS NOT NULL", values)]  # noqa: S608
            run("UPDATE party SET data_key = NULL, name_sealed = NULL WHERE id = :party")
            run("UPDATE block SET value_sealed = NULL WHERE removed_at IS NOT NULL AND value IN "
                "(SELECT lower(hex(hash)) FROM address WHERE party_id = :party)")
            addresses = run("DELETE FROM address WHERE party_id = :party")
            run(f"DELETE FROM content WHERE message_id IN {_MESSAGES}")  # noqa: S608
            messages = run("UPDATE message SET subject_sealed = NULL, reply_sealed = NULL, original_id_sealed = NULL, "  # noqa: S608
                           f"key_sealed = NULL, digest = NULL WHERE correspondence_id IN {_OWN}")
            run("UPDATE message SET state = 'failed' WHERE state IN ('queued', 'deferred', 'held') "  # noqa: S608
                f"AND correspondence_id IN {_OWN}")
            run("UPDATE delivery SET state = 'failed', code = '5.1.6', finished_at = :now, next_attempt_at = NULL, "  # noqa: S608
                f"lease_until = NULL, body_sealed = NULL WHERE finished_at IS NULL AND message_id IN {_MESSAGES}")
            run(f"UPDATE delivery SET body_sealed = NULL WHERE message_id IN {_MESSAGES}")  # noqa: S608
            run("UPDATE correspondence SET waiting_message_id = NULL WHERE seller_id = :party OR buyer_id = :party")
            run("DELETE FROM template WHERE seller_id = :party")
            run("DELETE FROM login WHERE party_id = :party")  # sessions go with it
            run("DELETE FROM asked_address WHERE party_id = :party")
            run("DELETE FROM draft_file WHERE party_id = :party")
            run("DELETE FROM answer WHERE seller_id = :party")
            run("UPDATE api_key SET removed_at = :now WHERE seller_id = :party AND removed_at IS NULL")
            run("DELETE FROM idempotency WHERE status IS NOT NULL")  # a day's answers, which may quote a subject
            connection.execute(SQL["insert_event"], (values["now"], None, None, party, "operator", "erase", "", None))
            connection.execute(SQL["registry_changed"])
        drop_files(self._opened, files)
        return Erased(name, messages, addresses)
