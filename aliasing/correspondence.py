"""One seller, one buyer and perhaps an order: the frame in which an alias means anything."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from aliasing.address import Address
from aliasing.token import KeyRing, Role


class Side(StrEnum):
    """Which of the two a party is."""

    SELLER = "seller"
    BUYER = "buyer"

    @property
    def other(self) -> Side:
        return Side.BUYER if self is Side.SELLER else Side.SELLER


class Direction(StrEnum):
    """Which way a message goes; the values are those of the JSON interface."""

    TO_BUYER = "to-buyer"
    TO_SELLER = "to-seller"

    @property
    def writer(self) -> Side:
        return Side.SELLER if self is Direction.TO_BUYER else Side.BUYER

    @property
    def reader(self) -> Side:
        return self.writer.other

    @classmethod
    def toward(cls, side: Side) -> Direction:
        return cls.TO_BUYER if side is Side.BUYER else cls.TO_SELLER


@dataclass(frozen=True, slots=True)
class Party:
    """A seller or a buyer as the marketplace knows them: by its own id, with a name and a language."""

    side: Side
    id: str
    name: str
    language: str

    @property
    def key(self) -> str:
        """"seller:S1": a seller and a buyer may have the same id."""
        return f"{self.side}:{self.id}"


@dataclass(frozen=True, eq=False)
class Correspondence:
    """The two parties, their aliases, and every real address that must not pass between them.

    `number` is what the aliases seal; `key_id` names the ring key that sealed them and does so for good.
    `addresses` holds every address of each party, registered first: these are the secrets.
    """

    number: int
    order: str | None
    domain: str
    key_id: int
    parties: Mapping[Side, Party]
    addresses: Mapping[Side, tuple[Address, ...]] = field(repr=False)
    ring: KeyRing = field(repr=False)

    def alias(self, side: Side) -> Address:
        """The address that stands for the party on `side`, as the other side sees it."""
        return self._aliases[side]

    def secrets(self) -> list[tuple[Address, Address]]:
        """Each real address of either party with the alias that may stand in its place."""
        return [(address, self.alias(side)) for side in Side for address in self.addresses[side]]

    @functools.cached_property
    def _aliases(self) -> Mapping[Side, Address]:
        return {side: Address(self.ring.seal(Role(side), self.domain, self.number, self.key_id), self.domain)
                for side in Side}
