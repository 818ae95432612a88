"""Public keys in the DNS (RFC 6376 3.6, RFC 8301, RFC 8463) and what is verified with them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from relay.authn import tags
from relay.authn.tags import TagError
from relay.dns import NoSuchName, Resolver

MIN_RSA_BITS = 1024
"""RFC 8301 3.2: verifiers must not take shorter keys for valid."""
MAX_RSA_BITS = 8192
"""RFC 8301 asks for 4096 at least; what is far longer costs time."""
MAX_KEYS = 4


class NoKey(ValueError):  # noqa: N818
    """There is no usable key. The message says why."""


@dataclass(frozen=True)
class Key:
    """`strict` asks for i= in the very domain of d= (t=s); `testing` for no more trust than mail without (t=y)."""

    public: RSAPublicKey | Ed25519PublicKey
    bits: int
    strict: bool
    testing: bool

    def verify(self, signature: bytes, octets: bytes) -> bool:
        """Whether `signature` was made over `octets` with the private half, by way of SHA-256."""
        try:
            if isinstance(self.public, Ed25519PublicKey):
                digest = hashes.Hash(hashes.SHA256())
                digest.update(octets)
                self.public.verify(signature, digest.finalize())  # RFC 8463 3
            else:
                self.public.verify(signature, octets, PKCS1v15(), hashes.SHA256())
        except (InvalidSignature, ValueError):
            return False
        return True


async def fetch(resolver: Resolver, domain: str, selector: str, algorithm: str) -> Key:
    """The key for `algorithm` ("rsa" or "ed25519"). Raises NoKey where there is none, DnsUnavailable."""
    try:
        records = await resolver.txt(f"{selector}._domainkey.{domain}")
    except NoSuchName:
        records = []
    problem = "there is no key under its selector"
    for record in records[:MAX_KEYS]:
        try:
            return read(record, algorithm)
        except (TagError, NoKey) as error:
            problem = str(error)
    raise NoKey(problem)


def read(record: bytes, algorithm: str) -> Key:
    """The key in one TXT record, if it is one for mail, SHA-256 and `algorithm`. Raises TagError, NoKey."""
    found = tags.parse(record.decode("utf-8", "replace"))
    if "v" in found and (found["v"] != "DKIM1" or next(iter(found)) != "v"):
        raise NoKey("its key has another version")
    tags.required(found, "p")
    if found.get("k", "rsa").lower() != algorithm:
        raise NoKey("its key is for another algorithm")
    if "h" in found and "sha256" not in tags.words(found, "h"):
        raise NoKey("its key is for another hash")
    if not {"*", "email"} & set(tags.words(found, "s", "*")):
        raise NoKey("its key is not for mail")
    if not found["p"]:
        raise NoKey("its key was revoked")
    flags = tags.words(found, "t")
    public, bits = _load(tags.octets(found, "p"), algorithm)
    return Key(public, bits, "s" in flags, "y" in flags)


def _load(octets: bytes, algorithm: str) -> tuple[RSAPublicKey | Ed25519PublicKey, int]:
    try:
        if algorithm == "ed25519":
            return Ed25519PublicKey.from_public_bytes(octets), 256
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of short keys, which are refused below
            public = load_der_public_key(octets)
    except (ValueError, UnsupportedAlgorithm):
        raise NoKey("its key cannot be read") from None
    if not isinstance(public, RSAPublicKey):
        raise NoKey("its key is for another algorithm")
    if not MIN_RSA_BITS <= public.key_size <= MAX_RSA_BITS:
        raise NoKey(f"its key has {public.key_size} bits")
    return public, public.key_size
