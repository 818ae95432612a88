"""DANE for SMTP (RFC 7672): whether a server's certificate is what its DNS says. Pure.

DANE-EE(3) compares the certificate, or its key, and asks for nothing else: no name, no date, no authority. DANE-TA(2)
wants the chain that the server sent, which Python shows from 3.13 on; before that such a record is unusable.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256, sha512

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store, VerificationError

HAS_CHAIN = sys.version_info >= (3, 13)
TRUST_ANCHOR, END_ENTITY = 2, 3


@dataclass(frozen=True, slots=True)
class Tlsa:
    """One TLSA record (RFC 6698 2.1)."""

    usage: int
    selector: int
    matching: int
    data: bytes

    @classmethod
    def parse(cls, text: str) -> Tlsa:
        """From presentation form; raises ValueError."""
        usage, selector, matching, data = text.split(" ", 3)
        return cls(int(usage), int(selector), int(matching), bytes.fromhex(data))

    def usable(self, *, has_chain: bool = HAS_CHAIN) -> bool:
        """RFC 7672 3.1: PKIX-TA(0) and PKIX-EE(1) are not for SMTP, and what is unknown is as if it were not there."""
        usages = (TRUST_ANCHOR, END_ENTITY) if has_chain else (END_ENTITY,)
        lengths = {0: None, 1: 32, 2: 64}
        return (self.usage in usages and self.selector in (0, 1) and self.matching in lengths
                and lengths[self.matching] in (None, len(self.data)))

    def is_of(self, certificate: bytes) -> bool:
        """Whether it stands for this certificate (DER)."""
        chosen = certificate
        if self.selector == 1:
            try:
                key = x509.load_der_x509_certificate(certificate).public_key()
            except ValueError:
                return False
            chosen = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        digests = {1: sha256, 2: sha512}
        return self.data == (digests[self.matching](chosen).digest() if self.matching else chosen)


def matches(records: Sequence[Tlsa], chain: Sequence[bytes], names: Sequence[str], now: datetime) -> bool:
    """Whether the chain (DER, the server's own first) is what one of the records asks for.

    `names` are those that a certificate under a trust anchor may be for: the MX host and the destination
    (RFC 7672 3.2.2). DANE-EE asks for none (3.1.1).
    """
    if not chain:
        return False
    if any(record.usage == END_ENTITY and record.is_of(chain[0]) for record in records):
        return True
    for record in records:
        if record.usage == TRUST_ANCHOR:
            for number, certificate in enumerate(chain):
                if record.is_of(certificate) and _is_under(certificate, chain[:max(1, number)], names, now):
                    return True
    return False


def _is_under(anchor: bytes, chain: Sequence[bytes], names: Sequence[str], now: datetime) -> bool:
    try:
        trusted, leaf, *between = [x509.load_der_x509_certificate(one) for one in (anchor, *chain)]
    except ValueError:
        return False
    # a private authority need not follow the browsers' rules of what is critical (RFC 5280 4.2.1.6, 4.2.1.12)
    names_anyhow = ExtensionPolicy.permit_all().require_present(
        x509.SubjectAlternativeName, Criticality.AGNOSTIC, None)
    builder = PolicyBuilder().store(Store([trusted])).time(now).extension_policies(
        ca_policy=ExtensionPolicy.webpki_defaults_ca(), ee_policy=names_anyhow)
    for name in names:
        try:
            builder.build_server_verifier(x509.DNSName(name)).verify(leaf, between)
        except (VerificationError, ValueError):
            continue
        return True
    return False
