"""A party's own addresses as it looks after them itself: it may ask for one, and block or remove what it has.

A new one writes only once the marketplace has said yes (`address authorise`, or by API): who has got hold of a session
must not let an address of theirs in. What the marketplace blocked, the party does not unblock.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from policy.case import AddressState
from relay.errors import Conflict, NotFound
from relay.ledger.opened import SQL, Opened
from relay.ledger.registry import parse_address
from relay.ledger.vault import PartyVault
from relay.records import new_id

MAX_WAITING = 5
"""Addresses that wait for the marketplace's word at a time."""
_MARK = "page:"


@dataclass(frozen=True)
class OwnAddress:
    """`asked_at` (epoch seconds) is set while it waits for the marketplace."""

    number: int
    address: str = field(repr=False)
    state: str
    is_registered: bool = False
    is_ours_to_unblock: bool = False
    asked_at: float | None = None


class TooManyWaiting(Conflict):
    """MAX_WAITING wait already."""


class OwnAddresses:
    """One party's; `by` is the login that asks. Each change is one transaction. Raises LedgerError."""

    def __init__(self, opened: Opened, party: int, by: str) -> None:
        self._opened = opened
        self._party = party
        self._by = by

    def all(self) -> list[OwnAddress]:
        """The registered one first, those that wait last."""
        vault = self._vault()
        own = [OwnAddress(row["id"], vault.unseal("address", row["address_sealed"]), row["state"],
                          bool(row["registered"]), row["blocked_by"] is not None)
               for row in self._opened.query("own_addresses", self._party)]
        return own + [OwnAddress(row["id"], vault.unseal("address", row["address_sealed"]), "asked",
                                 asked_at=row["asked_at"]) for row in self._opened.query("asked_here", self._party)]

    def ask(self, text: str) -> None:
        """Ask for one more. Raises UsageError for what is no address, Conflict for one that is there,
        TooManyWaiting."""
        address, vault = parse_address(text), self._vault()
        digest = self._opened.vault.hash(address)
        with self._opened.transaction() as connection:
            waiting = self._opened.query("asked_here", self._party)
            if any(row["hash"] == digest for row in [*self._opened.query("own_addresses", self._party), *waiting]):
                raise Conflict("that address is there already")
            if len(waiting) >= MAX_WAITING:
                raise TooManyWaiting(f"{MAX_WAITING} addresses wait already")
            connection.execute(SQL["ask_address"], {
                "party": self._party, "hash": digest, "address": vault.seal("address", str(address)),
                "message": f"{_MARK}{new_id()}", "at": time.time()})
            self._event("address-asked")

    def withdraw(self, number: int) -> None:
        """Ask no more. Raises NotFound, as the others do for what is not theirs or not in that state."""
        self._change("asked_withdrawn", number, "address-withdrawn")

    def block(self, number: int) -> None:
        self._change("address_blocked", number, f"address-{AddressState.BLOCKED}")

    def unblock(self, number: int) -> None:
        self._change("address_unblocked", number, f"address-{AddressState.AUTHORISED}")

    def remove(self, number: int) -> None:
        self._change("address_removed", number, f"address-{AddressState.REMOVED}")

    def _change(self, query: str, number: int, event: str) -> None:
        with self._opened.transaction() as connection:
            changed = connection.execute(SQL[query], {
                key: value for key, value in (("id", number), ("party", self._party), ("by", self._by))
                if f":{key}" in SQL[query]})
            if not changed.rowcount:
                raise NotFound("there is no such address")
            connection.execute(SQL["registry_changed"])  # the daemon keeps what it has read until then
            self._event(event)

    def _event(self, name: str) -> None:
        self._opened.connection.execute(SQL["insert_event"], (
            time.time(), None, None, self._party, "action", name, self._by, None))

    def _vault(self) -> PartyVault:
        rows = self._opened.query("party_key", self._party)
        if not rows:
            raise NotFound("this party was erased")
        return self._opened.vault.party(self._party, rows[0]["ring_key"], rows[0]["data_key"])
