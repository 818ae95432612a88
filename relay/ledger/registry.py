"""Parties, orders, addresses and blocks: what a back end and an operator ask for, in short transactions.

Everything here is synchronous and runs in the process that asks (the command line): SQLite's own locking
stands between it and the daemon.
"""

from __future__ import annotations

import contextlib
import ipaddress
import time
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlite_utils import Database
from sqlite_utils.db import Table

from aliasing.address import Address, AddressError
from aliasing.correspondence import Side
from aliasing.token import Role
from policy.case import AddressState
from relay.errors import Conflict, NotFound, UsageError
from relay.ledger.opened import SQL, Opened, unsigned

MAX_ID_CHARS = 128
MAX_NAME_CHARS = 100
BLOCKS = ("SELECT k.*, p.side, p.external_id, o.external_id AS counterpart FROM block k "
          "LEFT JOIN party p ON p.id = k.party_id LEFT JOIN party o ON o.id = k.counterpart_id "
          "WHERE k.removed_at IS NULL")
BLOCK_KINDS = ("unsolicited", "counterpart", "party", "address", "domain", "network")


@dataclass(frozen=True)
class NewParty:
    """One side of an order as the command line or a back end gives it; `address` None for a known party."""

    side: Side
    id: str
    address: str | None = None
    name: str | None = None
    language: str | None = None


@dataclass(frozen=True)
class OrderRow:
    """An order with both aliases, as `order add` and `order show` print it; empty once their key was retired."""

    order: str | None
    seller: str
    seller_alias: str
    buyer: str
    buyer_alias: str
    created_at: float
    closed_at: float | None

    def as_json(self) -> dict[str, Any]:
        return {
            "order": self.order,
            "seller": {"id": self.seller, "alias": self.seller_alias or None},
            "buyer": {"id": self.buyer, "alias": self.buyer_alias or None},
            "created_at": iso(self.created_at),
            "closed_at": iso(self.closed_at),
        }


def iso(seconds: float | None) -> str | None:
    """Seconds since the epoch -> ISO 8601 with offset."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


class Registry:
    """Writes to the ledger on behalf of people; every method is one transaction or none at all."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._db = Database(opened.connection)

    # -- orders --------------------------------------------------------------------------------------------

    def add_order(self, order: str | None, domain: str, seller: NewParty, buyer: NewParty) -> OrderRow:
        """Mint the aliases of an order (None: of an enquiry before there is one); the same again is harmless.

        Raises UsageError for an order that belongs to others, a party without an address, or a different one.
        """
        with self._transaction():
            number = self._correspondence(order, domain, seller, buyer)
        return self.row(number)

    def order(self, order: str) -> OrderRow:
        return self.row(self.number_of(order))

    def orders(self) -> Iterator[OrderRow]:
        for row in list(self._opened.connection.execute("SELECT id FROM correspondence ORDER BY id DESC")):
            yield self.row(row["id"])

    def close_order(self, order: str) -> OrderRow:
        number = self.number_of(order)
        with self._transaction():
            row = self._table("correspondence").get(number)
            if row["closed_at"] is None:
                self._table("correspondence").update(number, {"closed_at": time.time()})
                self._event("close", order)
        return self.row(number)

    def _correspondence(self, order: str | None, domain: str, seller: NewParty, buyer: NewParty) -> int:
        sellers, buyers = self._party(seller), self._party(buyer)
        if order is None:
            found = list(self._db.query("SELECT id FROM correspondence WHERE seller_id = ? AND buyer_id = ? "
                                        "ORDER BY order_number IS NULL DESC, id DESC LIMIT 1", (sellers, buyers)))
            if found:
                return int(found[0]["id"])
            return self._new_correspondence(None, domain, sellers, buyers)
        known = list(self._db.query("SELECT id, seller_id, buyer_id FROM correspondence WHERE order_number = ?",
                                    (order,)))
        if known:
            if (known[0]["seller_id"], known[0]["buyer_id"]) != (sellers, buyers):
                raise Conflict(f"order {order} exists between other parties", f"see: tradepost order show {order}")
            return int(known[0]["id"])
        enquiry = list(self._db.query("SELECT id FROM correspondence WHERE seller_id = ? AND buyer_id = ? "
                                      "AND order_number IS NULL", (sellers, buyers)))
        if enquiry:  # the pair's first order adopts what they wrote before it, aliases included
            number = int(enquiry[0]["id"])
            self._table("correspondence").update(number, {"order_number": order})
        else:
            number = self._new_correspondence(order, domain, sellers, buyers)
        day = datetime.now(UTC).date().isoformat()
        self._db.execute("INSERT INTO daily (party_id, day, sent, orders) VALUES (?, ?, 0, 1) "
                         "ON CONFLICT (party_id, day) DO UPDATE SET orders = orders + 1", (sellers, day))
        return number

    def _new_correspondence(self, order: str | None, domain: str, seller: int, buyer: int) -> int:
        number = self._table("correspondence").insert({
            "seller_id": seller, "buyer_id": buyer, "order_number": order, "domain": domain,
            "ring_key": self._opened.keys.ring.newest, "created_at": time.time()}).last_pk
        return int(str(number))

    def number_of(self, order: str) -> int:
        found = list(self._db.query("SELECT id FROM correspondence WHERE order_number = ?", (order,)))
        if not found:
            raise NotFound(f"there is no order {order}", "list them with: tradepost order list")
        return int(found[0]["id"])

    def row(self, number: int) -> OrderRow:
        row = next(iter(self._db.query(
            "SELECT c.*, s.external_id AS seller, b.external_id AS buyer FROM correspondence c "
            "JOIN party s ON s.id = c.seller_id JOIN party b ON b.id = c.buyer_id WHERE c.id = ?", (number,))))
        ring, key = self._opened.keys.ring, row["ring_key"]
        alias = {role: f"{ring.seal(role, row['domain'], unsigned(number), key)}@{row['domain']}"
                 if key in ring.secrets else "" for role in (Role.SELLER, Role.BUYER)}
        return OrderRow(row["order_number"], row["seller"], alias[Role.SELLER], row["buyer"], alias[Role.BUYER],
                        row["created_at"], row["closed_at"])

    # -- parties and addresses -----------------------------------------------------------------------------

    def _party(self, party: NewParty) -> int:
        _check_id(party.id)
        found = list(self._db.query("SELECT * FROM party WHERE side = ? AND external_id = ?",
                                    (party.side, party.id)))
        return self._known_party(party, found[0]) if found else self._new_party(party)

    def _known_party(self, party: NewParty, row: dict[str, Any]) -> int:
        number = int(row["id"])
        if row["data_key"] is None:
            raise Conflict(f"{party.side} {party.id} was erased")
        if party.address is not None:
            registered = next(iter(self._db.query(
                "SELECT hash FROM address WHERE party_id = ? AND registered = 1", (number,))), None)
            if registered is None or registered["hash"] != self._opened.vault.hash(parse_address(party.address)):
                raise Conflict(f"{party.side} {party.id} is registered with another address", "to let a second one "
                               f"write too: tradepost address authorise {party.side}:{party.id} ADDRESS")
        changes: dict[str, Any] = {}
        if party.language is not None and party.language != row["language"]:
            changes["language"] = party.language
        if party.name is not None:
            vault = self._opened.vault.party(number, row["ring_key"], row["data_key"])
            if vault.unseal("name", row["name_sealed"]) != party.name:
                changes["name_sealed"] = vault.seal("name", _check_name(party.name))
        if changes:
            self._table("party").update(number, changes)
        return number

    def _new_party(self, party: NewParty) -> int:
        if party.address is None:
            raise UsageError(f"{party.side} {party.id} is new and needs an address",
                             f"give it with --{party.side}-address")
        address = parse_address(party.address)
        number = int(str(self._table("party").insert({
            "side": party.side, "external_id": party.id, "language": party.language or "en",
            "created_at": time.time()}).last_pk))
        vault, ring_key, data_key = self._opened.vault.new_party(number)
        self._table("party").update(number, {
            "ring_key": ring_key, "data_key": data_key,
            "name_sealed": vault.seal("name", _check_name(party.name or ""))})
        self._table("address").insert({
            "party_id": number, "hash": self._opened.vault.hash(address), "registered": 1,
            "address_sealed": vault.seal("address", str(address)), "state": AddressState.AUTHORISED})
        return number

    def find_party(self, text: str) -> dict[str, Any]:
        """The party row for `ID`, `seller:ID` or `buyer:ID`; raises UsageError when unknown or ambiguous."""
        side, colon, id_ = text.partition(":")
        if not colon or side not in tuple(Side):
            side, id_ = "", text
        found = list(self._db.query("SELECT * FROM party WHERE external_id = ? AND (? = '' OR side = ?)",
                                    (id_, side, side)))
        if not found:
            raise NotFound(f"there is no party {text}", "parties come into being with: tradepost order add")
        if len(found) > 1:
            raise UsageError(f"{text} is both a seller and a buyer; write seller:{text} or buyer:{text}")
        return found[0]

    def _living(self, text: str) -> dict[str, Any]:
        """find_party(), for what needs its key: raises Conflict once it was erased."""
        row = self.find_party(text)
        if row["data_key"] is None:
            raise Conflict(f"{text} was erased")
        return row

    def party(self, text: str) -> dict[str, Any]:
        """A party as the API shows it: name None once erased."""
        row = self.find_party(text)
        name = None
        if row["data_key"] is not None:
            vault = self._opened.vault.party(row["id"], row["ring_key"], row["data_key"])
            name = vault.unseal("name", row["name_sealed"])
        return {"side": row["side"], "id": row["external_id"], "name": name, "language": row["language"],
                "created_at": iso(row["created_at"]),
                "addresses": [{"state": one["state"], "registered": bool(one["registered"])}
                              for one in self._address_rows(row)]}

    def addresses(self, text: str) -> list[dict[str, Any]]:
        """The party's addresses by state only; reveal() shows them."""
        party = self.find_party(text)
        return [{"party": f"{party['side']}:{party['external_id']}", "number": str(index), "state": row["state"],
                 "registered": bool(row["registered"]), "group": bool(row["is_group"])}
                for index, row in enumerate(self._address_rows(party), 1)]

    def waiting(self) -> list[dict[str, Any]]:
        """Who asked on the page for one more address, and waits to hear of it: see reveal()."""
        return [{"party": f"{row['side']}:{row['external_id']}", "asked_at": iso(row["asked_at"])}
                for row in self._opened.query("asked_waiting")]

    def reveal(self, text: str) -> list[dict[str, Any]]:
        """The party's real addresses, those it asked for included (state asked); that they were looked at is recorded
        before they are shown."""
        party = self._living(text)
        vault = self._opened.vault.party(party["id"], party["ring_key"], party["data_key"])
        with self._transaction():
            self._event("reveal", "", party["id"])
        return [{"party": f"{party['side']}:{party['external_id']}", "state": row["state"],
                 "address": vault.unseal("address", row["address_sealed"]), "registered": bool(row["registered"]),
                 "group": bool(row["is_group"])}
                for row in [*self._address_rows(party), *self._asked_rows(party)]]

    def set_address(self, text: str, address_text: str, state: AddressState, *, group: bool | None = None) -> None:
        """Authorise, block or remove one of a party's addresses; `group` marks it as several people's, or not."""
        party = self._living(text)
        address = parse_address(address_text)
        digest = self._opened.vault.hash(address)
        known = next((row for row in self._address_rows(party) if row["hash"] == digest), None)
        with self._transaction():
            if known is None:
                if state is AddressState.REMOVED:
                    raise NotFound(f"{text} has no such address", f"list them with: tradepost address list {text}")
                vault = self._opened.vault.party(party["id"], party["ring_key"], party["data_key"])
                self._table("address").insert({
                    "party_id": party["id"], "hash": digest, "state": state, "registered": 0,
                    "is_group": int(bool(group)), "address_sealed": vault.seal("address", str(address))})
            else:
                if known["registered"] and state is AddressState.REMOVED:
                    raise Conflict(f"that is the address {text} is registered with; block it instead")
                mark = {} if group is None else {"is_group": int(group)}
                self._table("address").update(known["id"], {"state": state, "blocked_by": None} | mark)
            self._db.execute(SQL["asked_answered"], (party["id"], digest))  # whatever was asked of it
            self._event(f"address-{state}", "", party["id"])

    def _address_rows(self, party: dict[str, Any]) -> list[dict[str, Any]]:
        return list(self._db.query("SELECT * FROM address WHERE party_id = ? ORDER BY registered DESC, id",
                                   (party["id"],)))

    def _asked_rows(self, party: dict[str, Any]) -> list[dict[str, Any]]:
        return [{"state": "asked", "registered": 0, "is_group": 0, "address_sealed": row["address_sealed"]}
                for row in self._opened.query("asked_here", party["id"])]

    # -- blocks --------------------------------------------------------------------------------------------

    def add_block(self, scope: str, party: str | None, kind: str, value: str | None, reason: str) -> int:
        """Block something; the same block again answers the same id."""
        row = self._block_row(scope, party, kind, value)
        with self._transaction():
            known = self._find_block(row)
            if known is not None:
                return known
            number = int(str(self._table("block").insert(
                row | {"reason": reason, "created_at": time.time()}).last_pk))
            self._event("block-add", f"{scope} {kind}", row["party_id"])
        return number

    def remove_block(self, scope: str, party: str | None, kind: str, value: str | None) -> None:
        row = self._block_row(scope, party, kind, value)
        with self._transaction():
            known = self._find_block(row)
            if known is None:
                raise NotFound("there is no such block", "list them with: tradepost block list")
            self._table("block").update(known, {"removed_at": time.time()})
            self._event("block-remove", f"{scope} {kind}", row["party_id"])

    def lift_block(self, number: int, note: str = "") -> None:
        """End a block by its id; `note` says who and why. Raises NotFound."""
        with self._transaction():
            found = list(self._db.query("SELECT * FROM block WHERE id = ? AND removed_at IS NULL", (number,)))
            if not found:
                raise NotFound("there is no such block")
            self._table("block").update(number, {"removed_at": time.time()})
            what = f"{found[0]['scope']} {found[0]['kind']}"
            self._event("block-remove", f"{what}; {note}" if note else what, found[0]["party_id"])

    def blocks(self) -> Iterator[dict[str, Any]]:
        for row in self._db.query(f"{BLOCKS} ORDER BY k.id"):
            yield self.block(row)

    def block(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row of BLOCKS, in the form of `block list --json`."""
        sealed = row["value_sealed"]
        value = self._opened.vault.unseal_blocked(sealed) if sealed else row["value"]
        return {"id": str(row["id"]), "scope": row["scope"], "kind": row["kind"],
                "party": f"{row['side']}:{row['external_id']}" if row["kind"] == "party" else row["external_id"],
                "value": row["counterpart"] or value,
                "reason": row["reason"], "created_at": iso(row["created_at"])}

    def _block_row(self, scope: str, party: str | None, kind: str, value: str | None) -> dict[str, Any]:
        empty: dict[str, Any] = {"scope": scope, "kind": kind, "party_id": None, "counterpart_id": None, "value": None}
        if scope == "relay":
            if kind not in ("party", "address", "domain", "network"):
                raise UsageError(f"the relay blocks a party, an address, a domain or a network; {kind} is a party's "
                                 "choice")
            if kind == "party":
                if party is None or value is not None:
                    raise UsageError("say which party and no value", "with --party seller:ID or buyer:ID")
                return empty | {"party_id": self.find_party(party)["id"]}
            if value is None:
                raise UsageError(f"say which {kind}", "with --value")
            if kind == "address":
                address, vault = parse_address(value), self._opened.vault
                return empty | {"value": vault.hash(address).hex(), "value_sealed": vault.seal_blocked(address)}
            return empty | {"value": _block_value(kind, value)}
        if kind not in (("unsolicited", "counterpart") if scope == "buyer" else ("counterpart",)):
            raise UsageError(f"a {scope} cannot block by {kind}", "use --scope relay for address, domain and network")
        if party is None:
            raise UsageError(f"say which {scope}", "with --party")
        row = empty | {"party_id": self.find_party(f"{scope}:{party.removeprefix(scope + ':')}")["id"]}
        if value is None:
            if kind == "counterpart":
                raise UsageError(f"say whom {party} blocks", "with --value PARTY")
            return row
        other = Side(scope).other
        return row | {"counterpart_id": self.find_party(f"{other}:{value.removeprefix(other + ':')}")["id"]}

    def _find_block(self, row: dict[str, Any]) -> int | None:
        found = next(iter(self._db.query(
            "SELECT id FROM block WHERE scope = :scope AND kind = :kind AND party_id IS :party_id "
            "AND counterpart_id IS :counterpart_id AND value IS :value AND removed_at IS NULL", row)), None)
        return int(found["id"]) if found else None

    # -- pieces --------------------------------------------------------------------------------------------

    def _table(self, name: str) -> Table:
        return self._db.table(name)

    def _event(self, name: str, detail: str, party: int | None = None) -> None:
        self._db.execute(SQL["insert_event"], (time.time(), None, None, party, "operator", name, detail, None))

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._opened.transaction() as connection:
            yield
            connection.execute(SQL["registry_changed"])  # the daemon keeps what it has read until then


def parse_address(text: str) -> Address:
    """A party's address from the outside; raises UsageError saying what is wrong with it."""
    try:
        address = Address.parse(text.strip())
    except AddressError as error:
        raise UsageError(f"not an e-mail address: {error}") from None
    if address.domain.startswith("["):
        raise UsageError("not an e-mail address: a domain name is needed, not a number")
    return address


def _check_id(text: str) -> None:
    if not text or len(text) > MAX_ID_CHARS or not text.isprintable() or "@" in text or ":" in text:
        raise UsageError(f"a party's id has 1 to {MAX_ID_CHARS} printable characters without @ and :")


def _check_name(text: str) -> str:
    if len(text) > MAX_NAME_CHARS or "@" in text or any(unicodedata.category(char)[0] == "C" for char in text):
        raise UsageError(f"a display name has at most {MAX_NAME_CHARS} printable characters and no @ "
                         "(it would show an address)")
    return text.strip()


def _block_value(kind: str, value: str) -> str:
    try:
        if kind == "network":
            return str(ipaddress.ip_network(value, strict=False))
        return valid_domain(value)
    except ValueError:
        raise UsageError(f"{value} is no network; write it like 192.0.2.0/24 or 2001:db8::/32") from None


def valid_domain(value: str) -> str:
    """A domain name in the form that addresses have it (IDNA). Raises UsageError."""
    try:
        return Address.parse(f"postmaster@{value.lstrip('.@')}").domain
    except AddressError:
        raise UsageError(f"{value} is no domain name") from None
