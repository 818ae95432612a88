"""Sealed local parts: aliases, return paths and trace marks are ciphertext, not rows in a table.

AES-SIV (RFC 5297) over a 64-bit number, with role and relay domain as associated data, in lower-case
Crockford base32. Deterministic, so an alias is stable; authenticated, so a guess costs no look-up; and a
token of one role or domain opens as no other.
"""

from __future__ import annotations

import functools
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from aliasing.address import Address

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = tuple(first + second for first in _ALPHABET for second in _ALPHABET)
_VALUE = {char: value for value, char in enumerate(_ALPHABET)} | {"o": 0, "i": 1, "l": 1}
_NUMBER_BYTES = 8
_TOKEN_BYTES = 16 + _NUMBER_BYTES
TOKEN_CHARS = 39
"""39 characters of 5 bits hold the 192 bits of a token; the first three bits are zero."""


class Role(StrEnum):
    """What a sealed number means. The value is part of the associated data and must never change."""

    BUYER = "buyer"
    """Stands for the buyer: what the seller writes to."""
    SELLER = "seller"
    """Stands for the seller: what the buyer writes to."""
    RETURN = "return"
    """The reverse-path of one delivery (VERP), so that a DSN finds it."""
    TRACE = "trace"
    """One passage through this relay, for loop detection."""


class Action(StrEnum):
    """What a reader can have done by writing to a sealed action address. The order is part of what is sealed."""

    REPORT = "report"
    """The message is inappropriate; a moderator shall look at it."""
    STOP_SELLER = "stop-seller"
    """No more unsolicited messages from this seller."""
    STOP_ALL = "stop-all"
    """No more unsolicited messages from any seller."""
    NO_ANSWER = "no-answer"
    """The message needs no answer."""
    AUTHORISE = "authorise"
    """The address that the message came from may write for the actor."""


_ACTIONS = tuple(Action)
_ACTORS = (Role.BUYER, Role.SELLER)
_ID_BYTES = 10
_ACTION_BYTES = 16 + 1 + _NUMBER_BYTES + _ID_BYTES
ACTION_CHARS = 56
"""56 characters of 5 bits are exactly the 280 bits of an action address."""
LINK_PATH = "/sealed/"
"""Where on the messages page a sealed link leads: by this word one is found again in what comes back quoted."""


class KeyRingError(ValueError):
    """A key that the ring does not hold was asked for, or the ring is empty."""


@dataclass(frozen=True)
class KeyRing:
    """The secrets that aliases are sealed with; 32 octets each, by ascending id.

    The newest seals, all of them open. A correspondence remembers the id that sealed it, so its aliases
    stay the same for its life while the ring turns.
    """

    secrets: Mapping[int, bytes] = field(repr=False)

    def __post_init__(self) -> None:
        if not self.secrets:
            raise KeyRingError("the key ring holds no key")

    @property
    def newest(self) -> int:
        return max(self.secrets)

    def seal(self, role: Role, domain: str, number: int, key_id: int | None = None) -> str:
        """The local part for `number` (0 to 2**64-1) under `domain`; raises KeyRingError for an unknown key."""
        sealed = self._cipher(key_id).encrypt(number.to_bytes(_NUMBER_BYTES, "big"), _associated(role, domain))
        return encode(sealed)

    def open(self, role: Role, domain: str, local: str) -> int | None:
        """The number in `local`, or None when it was not sealed here for this role and domain.

        A `+suffix` is ignored. Takes the same steps whether the text is near to a token or far from one.
        """
        opened = self._unseal(local, _TOKEN_BYTES, _associated(role, domain))
        return int.from_bytes(opened, "big") if opened is not None else None

    def seal_action(self, action: OpenedAction, domain: str, key_id: int) -> str:
        """The local part to which `action.actor` writes to have it done; raises KeyRingError for an unknown key."""
        return self._seal_action(action, key_id, [b"action", domain.encode()])

    def seal_link(self, action: OpenedAction, key_id: int) -> str:
        """The last part of the address of the page on which `action.actor` has it done. Who knows a link may act, while
        an action address is of use to its own party only: neither opens as the other."""
        return self._seal_action(action, key_id, [b"link"])

    def _seal_action(self, action: OpenedAction, key_id: int, associated: list[bytes]) -> str:
        message = decode(action.message, _ID_BYTES)
        if message is None:
            raise ValueError("a message's public id has 16 characters")
        what = _ACTIONS.index(action.action) * len(_ACTORS) + _ACTORS.index(action.actor)
        plain = bytes([what]) + action.correspondence.to_bytes(_NUMBER_BYTES, "big") + message
        return encode(self._cipher(key_id).encrypt(plain, associated))

    def open_action(self, domain: str, local: str) -> OpenedAction | None:
        """What an action address was sealed for; None for anything else."""
        return self._open_action(local, [b"action", domain.encode()])

    def open_link(self, token: str) -> OpenedAction | None:
        """What a link was sealed for; None for anything else."""
        return self._open_action(token, [b"link"])

    def _open_action(self, text: str, associated: list[bytes]) -> OpenedAction | None:
        opened = self._unseal(text, _ACTION_BYTES, associated)
        if opened is None or opened[0] >= len(_ACTIONS) * len(_ACTORS):
            return None
        action, actor = divmod(opened[0], len(_ACTORS))
        return OpenedAction(_ACTIONS[action], _ACTORS[actor], int.from_bytes(opened[1:9], "big"), encode(opened[9:]))

    def _unseal(self, local: str, length: int, associated: list[bytes]) -> bytes | None:
        sealed = decode(local.partition("+")[0], length)
        if sealed is None:
            return None
        for key_id in sorted(self.secrets, reverse=True):
            try:
                return self._cipher(key_id).decrypt(sealed, associated)
            except InvalidTag:
                continue
        return None

    def mark(self, key_id: int, *parts: bytes) -> str:
        """A keyed, irreversible name for `parts` (HMAC-SHA-256, 160 bits, base32): outgoing Message-IDs."""
        key = derive(self._secret(key_id), b"tradepost mark")
        message = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return encode(hmac.digest(key, message, "sha256")[:20])

    def _secret(self, key_id: int | None) -> bytes:
        try:
            return self.secrets[self.newest if key_id is None else key_id]
        except KeyError:
            raise KeyRingError(f"the key ring holds no key {key_id}") from None

    def _cipher(self, key_id: int | None) -> AESSIV:
        return _siv(self._secret(key_id))


@dataclass(frozen=True, slots=True)
class OpenedAlias:
    """An alias that was sealed here: whom it stands for, in which correspondence."""

    role: Role
    correspondence: int


@dataclass(frozen=True, slots=True)
class OpenedAction:
    """An action address: what is to be done about which message, and the one party for whom it was sealed."""

    action: Action
    actor: Role
    correspondence: int
    message: str
    """The message's public id."""


def open_alias(ring: KeyRing, address: Address) -> OpenedAlias | None:
    """Which party of which correspondence `address` stands for; None when it is no alias of ours."""
    for role in (Role.BUYER, Role.SELLER):
        number = ring.open(role, address.domain, address.local)
        if number is not None:
            return OpenedAlias(role, number)
    return None


def encode(data: bytes) -> str:
    """Lower-case Crockford base32 of `data`, most significant bit first, padded with zero bits in front."""
    value = int.from_bytes(data, "big")
    chars = -(-len(data) * 8 // 5)
    pairs = [_PAIRS[(value >> shift) & 1023] for shift in range(10 * ((chars - 1) // 2), -1, -10)]
    return "".join(pairs)[-chars:]


def decode(text: str, length: int) -> bytes | None:
    """The `length` octets in a token, or None: any case, o read as 0, i and l as 1, one spelling only."""
    if len(text) != -(-length * 8 // 5) or not text.isascii():
        return None
    value = 0
    for char in text.lower():
        digit = _VALUE.get(char)
        if digit is None:
            return None
        value = value << 5 | digit
    return value.to_bytes(length, "big") if value < 1 << 8 * length else None


def _associated(role: Role, domain: str) -> list[bytes]:
    return [role.encode(), domain.encode()]


@functools.lru_cache(maxsize=64)
def _siv(secret: bytes) -> AESSIV:
    return AESSIV(derive(secret, b"tradepost alias", 64))


@functools.lru_cache(maxsize=256)
def derive(secret: bytes, purpose: bytes, length: int = 32) -> bytes:
    """A key of its own for each purpose from one ring secret (HKDF, RFC 5869); `length` in octets."""
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=None, info=purpose).derive(secret)
