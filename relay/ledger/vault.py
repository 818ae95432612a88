"""What is sealed with what.

party.data_key       wrapped by the ring; seals the party's name and addresses
message.key_sealed   a key of the message's own, wrapped by the seller's data key and that by the buyer's: who
                     erases either party's data key destroys the message
subject, content, original Message-ID, replies   under the message's key
block.value_sealed   an address that the operator blocks, under the ring's own key; block.value is its look-up hash
"""

from __future__ import annotations

import functools
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from aliasing.address import Address
from aliasing.correspondence import Side
from relay.keys import Keys, seal, unseal

_BLOCKED = b"blocked address"


@dataclass(frozen=True)
class PartyVault:
    """One party's data key at work."""

    number: int
    key: bytes = field(repr=False)

    def seal(self, column: str, text: str) -> bytes:
        return seal(self.key, text.encode(), self._associated(column))

    def unseal(self, column: str, blob: bytes) -> str:
        return unseal(self.key, blob, self._associated(column)).decode()

    def _associated(self, column: str) -> bytes:
        return f"party {self.number} {column}".encode()


@dataclass(frozen=True)
class MessageVault:
    """One message's key at work."""

    public_id: str
    key: bytes = field(repr=False)

    def seal(self, column: str, data: bytes) -> bytes:
        return seal(self.key, data, self._associated(column))

    def unseal(self, column: str, blob: bytes) -> bytes:
        return unseal(self.key, blob, self._associated(column))

    def unseal_text(self, column: str, blob: bytes | None) -> str:
        return self.unseal(column, blob).decode() if blob is not None else ""

    def _associated(self, column: str) -> bytes:
        return f"message {self.public_id} {column}".encode()


class Vault:
    """Opens parties and messages; keeps the data keys it has unwrapped."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._unwrapped = functools.lru_cache(maxsize=20_000)(self._unwrap)

    def new_party(self, number: int) -> tuple[PartyVault, int, bytes]:
        """A fresh data key -> (vault, ring key id, wrapped key) to store."""
        key = secrets.token_bytes(32)
        ring_key, blob = self._keys.wrap(key, _owner(number))
        return PartyVault(number, key), ring_key, blob

    def party(self, number: int, ring_key: int, blob: bytes) -> PartyVault:
        return PartyVault(number, self._unwrapped(number, ring_key, blob))

    def rewrap(self, number: int, ring_key: int, blob: bytes) -> tuple[int, bytes]:
        """The same data key under the newest ring key -> (ring key id, wrapped key) to store."""
        return self._keys.wrap(self._unwrap(number, ring_key, blob), _owner(number))

    def _unwrap(self, number: int, ring_key: int, blob: bytes) -> bytes:
        return self._keys.unwrap(ring_key, blob, _owner(number))

    def seal_blocked(self, address: Address) -> bytes:
        """An address on the operator's block list."""
        return seal(self._keys.own, address.key.encode(), _BLOCKED)

    def unseal_blocked(self, blob: bytes) -> str:
        return unseal(self._keys.own, blob, _BLOCKED).decode()

    def hash(self, address: Address) -> bytes:
        return self._keys.hash_address(address)


def new_message(public_id: str, parties: Mapping[Side, PartyVault]) -> tuple[MessageVault, bytes]:
    """A fresh message key -> (vault, key wrapped by both parties) to store."""
    key = secrets.token_bytes(32)
    owner = _message_owner(public_id)
    inner = seal(parties[Side.SELLER].key, key, owner)
    return MessageVault(public_id, key), seal(parties[Side.BUYER].key, inner, owner)


def open_message(public_id: str, parties: Mapping[Side, PartyVault], blob: bytes) -> MessageVault:
    owner = _message_owner(public_id)
    inner = unseal(parties[Side.BUYER].key, blob, owner)
    return MessageVault(public_id, unseal(parties[Side.SELLER].key, inner, owner))


def _owner(number: int) -> bytes:
    return f"party {number}".encode()


def _message_owner(public_id: str) -> bytes:
    return f"message key {public_id}".encode()
