"""DKIM key pairs: how they are made and named, what state each is in, and the DNS records that publish them. Pure but
for chance.

A new pair is published at once and signs only after WAIT, when the old record's negative answers have left the world's
caches; the old one stays published for RETIRING after its last signature. States follow from times alone, so that every
process of a relay changes over at the same moment without being told.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

WAIT = timedelta(days=2)
"""From a pair's making until it signs: time to publish it, and for resolvers to forget that it was not there."""
RETIRING = timedelta(days=7)
"""How long a record stays after its key's last signature: five days in a queue (RFC 5321 4.5.4.1), and some grace."""
RSA_BITS = 2048  # RFC 8301 3.2; 4096 does not fit every name server's TXT, and doubles nothing that matters
Secret = rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


class Algorithm(StrEnum):
    """The values of a record's k= tag (RFC 6376 3.6.1, RFC 8463 4)."""

    RSA = "rsa"
    ED25519 = "ed25519"


class KeyState(StrEnum):
    PUBLISHED = "published"
    """In the DNS, or about to be; it does not sign yet."""
    SIGNING = "signing"
    RETIRING = "retiring"
    """Signs no more; its record is still needed for mail that is under way."""
    RETIRED = "retired"
    """Its record may go; the next rotation forgets it."""


@dataclass(frozen=True)
class DkimKey:
    """One key of a relay domain. `secret` is PKCS #8 in DER, unencrypted: the ring's file protects it."""

    domain: str
    selector: str
    algorithm: Algorithm
    made: datetime
    signs_from: datetime
    secret: bytes = field(repr=False)

    @property
    def private(self) -> Secret:
        return _load(self.secret)

    @property
    def record(self) -> tuple[str, str]:
        """(name, TXT) to publish: one text, which whoever prints a zone cuts into strings of 255 octets."""
        public = self.private.public_key()
        if self.algorithm is Algorithm.RSA:
            octets = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        else:
            octets = public.public_bytes(Encoding.Raw, PublicFormat.Raw)  # RFC 8463 4.2: the 32 octets alone
        return (f"{self.selector}._domainkey.{self.domain}",
                f"v=DKIM1; k={self.algorithm}; p={base64.b64encode(octets).decode()}")

    def to_json(self) -> dict[str, str]:
        """As the ring's file keeps it."""
        return {"domain": self.domain, "selector": self.selector, "algorithm": self.algorithm,
                "made": self.made.isoformat(timespec="seconds"),
                "signs_from": self.signs_from.isoformat(timespec="seconds"), "secret": self.secret.hex()}

    @classmethod
    def from_json(cls, values: Mapping[str, str]) -> DkimKey:
        """Raises KeyError, ValueError, TypeError for what to_json() did not make."""
        key = cls(values["domain"], values["selector"], Algorithm(values["algorithm"]),
                  datetime.fromisoformat(values["made"]), datetime.fromisoformat(values["signs_from"]),
                  bytes.fromhex(values["secret"]))
        if key.made.tzinfo is None or key.signs_from.tzinfo is None:
            raise ValueError("a time without its offset")
        return key


def make_pair(domain: str, now: datetime, taken: Iterable[str], *, signs_from: datetime) -> list[DkimKey]:
    """An RSA and an Ed25519 key under one dated selector each, none of `taken`: tp20261124r and tp20261124e."""
    date, used, count = now.astimezone(UTC).strftime("%Y%m%d"), set(taken), 1
    while {f"tp{date}r{_more(count)}", f"tp{date}e{_more(count)}"} & used:
        count += 1
    made = ((Algorithm.RSA, "r", rsa.generate_private_key(65537, RSA_BITS)),
            (Algorithm.ED25519, "e", ed25519.Ed25519PrivateKey.generate()))
    second = now.replace(microsecond=0)
    return [DkimKey(domain, f"tp{date}{letter}{_more(count)}", algorithm, second, signs_from.replace(microsecond=0),
                    secret.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
            for algorithm, letter, secret in made]


def state(key: DkimKey, keys: Sequence[DkimKey], now: datetime) -> KeyState:
    """Where `key` stands among all `keys` of the ring at `now`."""
    if key.signs_from > now:
        return KeyState.PUBLISHED
    later = [other.signs_from for other in keys
             if (other.domain, other.algorithm) == (key.domain, key.algorithm) and _order(other) > _order(key)]
    if not later or min(later) > now:
        return KeyState.SIGNING
    return KeyState.RETIRING if now < min(later) + RETIRING else KeyState.RETIRED


def signing(keys: Sequence[DkimKey], domain: str, now: datetime) -> list[DkimKey]:
    """The keys that sign for `domain`, RSA first: a verifier that looks at one signature only knows RSA."""
    found = [key for key in keys if key.domain == domain and state(key, keys, now) is KeyState.SIGNING]
    return sorted(found, key=lambda key: key.algorithm is not Algorithm.RSA)


def records(keys: Sequence[DkimKey], domain: str, now: datetime) -> list[tuple[str, str]]:
    """(name, TXT) of all that must be in the DNS for `domain` at `now`; see DkimKey.record."""
    return [key.record for key in keys if key.domain == domain and state(key, keys, now) is not KeyState.RETIRED]


def _more(count: int) -> str:
    return "" if count == 1 else str(count)


def _order(key: DkimKey) -> tuple[datetime, datetime, str]:
    return key.signs_from, key.made, key.selector


@lru_cache(maxsize=256)
def _load(secret: bytes) -> Secret:
    loaded = load_der_private_key(secret, password=None)
    if not isinstance(loaded, rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey):
        raise ValueError("neither RSA nor Ed25519")
    return loaded
