"""Addresses that wrote without leave: which their party was asked about, and which it has said yes to."""

from __future__ import annotations

from datetime import datetime

from aliasing.address import Address
from policy.case import AddressState
from relay.ledger import MAX_ASKED
from relay.ledger.opened import SQL
from relay.ledger.vault import PartyVault
from relay.ledger.writer import Connection

DAY_S = 86400


def ask(connection: Connection, vault: PartyVault, party: int, digest: bytes, address: Address, *, message: str,
        now: datetime) -> bool:
    """Whether the party is to be asked about an address; then it is noted that it was. `digest` is the address's."""
    at = now.timestamp()
    asked = connection.execute(SQL["asked_today"], {"party": party, "hash": digest, "since": at - DAY_S}).fetchone()
    if asked["this"] or asked["count"] >= MAX_ASKED:
        return False
    connection.execute(SQL["ask_address"], {
        "party": party, "hash": digest, "address": vault.seal("address", str(address)), "message": message, "at": at})
    return True


def authorise(connection: Connection, party: int, message: str) -> bool:
    """Authorise what the party was asked about with that message; False where it has blocked or removed it since."""
    values = {"message": message, "party": party}
    connection.execute(SQL["authorise_asked"], values)
    found = connection.execute(SQL["asked_state"], values).fetchone()
    if found is None or found["state"] != AddressState.AUTHORISED:
        return False
    connection.execute(SQL["registry_changed"])
    return True
