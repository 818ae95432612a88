"""What only the registry changes: correspondences, parties, blocks. Kept in memory until it does."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any

from aliasing.address import Address
from aliasing.correspondence import Correspondence, Party, Side
from policy.case import AddressState, RelayBlocks
from relay.errors import LedgerError
from relay.ledger.opened import Opened, signed, unsigned
from relay.ledger.vault import PartyVault

MAX_KEPT = 20_000
"""Correspondences that are kept in memory."""


@dataclass(frozen=True)
class Known:
    """A correspondence with what only the registry changes."""

    frame: Correspondence
    states: Mapping[Side, Mapping[str, AddressState]]
    vaults: Mapping[Side, PartyVault]
    numbers: Mapping[Side, int]
    refusals: Mapping[Side, frozenset[tuple[str, int | None]]]
    """What each side has blocked: (kind, number of the counterpart or None for all); ("party", None) is a block of
    that side itself, by the marketplace."""
    closed_at: datetime | None


class Registered:
    """Reads on the loop's own connection; one instance a process."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._revision = -1
        self._ring = opened.keys.ring
        self._blocks: RelayBlocks | None = None
        self._frames: OrderedDict[int, Known] = OrderedDict()

    def relay_blocks(self) -> RelayBlocks:
        """The operator's block lists."""
        self._forget_if_stale()
        if self._blocks is None:
            values: dict[str, list[str]] = {"address": [], "domain": [], "network": []}
            for row in self._opened.query("relay_blocks"):
                values[row["kind"]].append(self._opened.vault.unseal_blocked(row["value_sealed"])
                                           if row["kind"] == "address" else row["value"])
            self._blocks = RelayBlocks(frozenset(values["address"]), frozenset(values["domain"]),
                                       tuple(ip_network(value) for value in values["network"]))
        return self._blocks

    def known(self, correspondence: int) -> Known | None:
        """None where there is none, or a party of it was erased."""
        self._forget_if_stale()
        known = self._frames.get(correspondence)
        if known is None:
            rows = self._opened.query("correspondence", signed(correspondence))
            if not rows:
                return None
            known = self._frames[correspondence] = self._read(rows[0])
            if len(self._frames) > MAX_KEPT:
                self._frames.popitem(last=False)
        return known

    def party_vault(self, row: Any, side: Side) -> PartyVault:
        """The data key of one side, from a row of the query `correspondence`."""
        return self._opened.vault.party(row[f"{side}_number"], row[f"{side}_ring_key"], row[f"{side}_key"])

    def vaults(self, correspondence: int) -> Mapping[Side, PartyVault]:
        """Both sides' data keys; raises LedgerError where one was erased."""
        known = self.known(unsigned(correspondence))
        if known is None:
            raise LedgerError("ledger: a party of this correspondence was erased")
        return known.vaults

    def _forget_if_stale(self) -> None:
        revision, ring = self._opened.query("revision")[0]["value"], self._opened.keys.ring
        if revision != self._revision or ring is not self._ring:
            self._revision, self._ring, self._blocks = revision, ring, None
            self._frames.clear()

    def _read(self, row: Any) -> Known:
        vaults = {side: self.party_vault(row, side) for side in Side}
        numbers = {row["seller_number"]: Side.SELLER, row["buyer_number"]: Side.BUYER}
        addresses: dict[Side, list[Address]] = {side: [] for side in Side}
        states: dict[Side, dict[str, AddressState]] = {side: {} for side in Side}
        for found in self._opened.query("addresses", *numbers):
            side = numbers[found["party_id"]]
            address = Address.parse(vaults[side].unseal("address", found["address_sealed"]))
            addresses[side].append(address)
            states[side][address.key] = AddressState(found["state"])
        parties = {side: Party(side, row[f"{side}_id"], vaults[side].unseal("name", row[f"{side}_name"]),
                               row[f"{side}_language"]) for side in Side}
        frame = Correspondence(
            number=unsigned(row["id"]), order=row["order_number"], domain=row["domain"], key_id=row["sealed_by"],
            parties=parties, addresses={side: tuple(found) for side, found in addresses.items()},
            ring=self._opened.keys.ring)
        refusals = {side: frozenset((block["kind"], block["counterpart_id"])
                                    for block in self._opened.query("party_blocks", number))
                    for number, side in numbers.items()}
        return Known(frame, states, vaults, {side: number for number, side in numbers.items()}, refusals,
                     datetime.fromtimestamp(row["closed_at"], UTC) if row["closed_at"] is not None else None)
