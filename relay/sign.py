"""DKIM signatures for what leaves (RFC 6376, RFC 8463): RSA and Ed25519 side by side, relaxed/relaxed.

Signed is what goes over the wire, when it goes: docs/decisions/0007-signed-when-sent.md.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519, padding

from aliasing.address import single_mailbox
from aliasing.message import Field, Message
from relay import dkim, maillog
from relay.authn import canonical
from relay.authn.canonical import RELAXED
from relay.dkim import Algorithm, DkimKey
from relay.keys import Keys

OVERSIGNED = (
    "from", "to", "cc", "subject", "date", "message-id", "in-reply-to", "references", "reply-to", "sender",
    "mime-version", "content-type", "content-transfer-encoding", "content-disposition", "content-language",
    "list-unsubscribe", "list-unsubscribe-post", "auto-submitted")
"""Signed once more often than they are there, so that adding one breaks the signature (RFC 6376 5.4.2, 8.15)."""
UNSIGNED = frozenset(("received", "return-path", "dkim-signature"))
"""What servers on the way put before a message (RFC 6376 5.4)."""
VALID = timedelta(days=7)
"""x=: an old message replayed to strangers is ours no more, and no key is needed longer than it is published."""
_LINE = 76


class Signer:
    """Signs with what the ring holds at that moment; one instance a process."""

    def __init__(self, keys: Keys, clock: Callable[[], datetime]) -> None:
        self._keys = keys
        self._clock = clock

    async def signed(self, message: bytes) -> bytes:
        """`message` with its signatures in front. In a thread: RSA takes half a millisecond, without Python's lock."""
        return await asyncio.to_thread(self.sign, message)

    def sign(self, message: bytes) -> bytes:
        """The same, here and now. Without a key for the domain of From it stays as it is, and the log says so."""
        parsed = Message.parse(message)
        domain, now = _domain(parsed), self._clock()
        keys = dkim.signing(self._keys.dkim, domain, now)
        if not keys:
            maillog.unsigned(domain)
            return message
        return signatures(parsed, keys, now) + message


def dkim_records(keys: Keys, domain: str, now: datetime) -> list[tuple[str, str]]:
    """(name, TXT) of every DKIM record that must be in the DNS for a relay domain at `now`, as `tradepost dns` prints
    them; a text over 255 octets goes into several strings of one record (RFC 6376 3.6.2.2)."""
    return dkim.records(keys.dkim, domain, now)


@dataclass(frozen=True)
class Digest:
    """What both signatures of one message are made over; `headers` is canonical already."""

    names: tuple[str, ...]
    headers: bytes
    body_hash: str


def signatures(message: Message, keys: Sequence[DkimKey], now: datetime) -> bytes:
    """One DKIM-Signature field for each key, as bytes to put before the message."""
    names, headers = signed_headers(message.fields)
    body_hash = canonical.body_hash(message.body(message.root), RELAXED)
    digest = Digest(names, headers, base64.b64encode(body_hash).decode())
    return b"".join(_signature(key, digest, now) for key in keys)


def signed_headers(fields: Sequence[Field]) -> tuple[tuple[str, ...], bytes]:
    """The h= list and the canonical fields it names: each name once more than it is there (RFC 6376 5.4.2)."""
    present = [field.name for field in fields if field.name not in UNSIGNED]
    order = [*OVERSIGNED, *(name for name in dict.fromkeys(present) if name not in OVERSIGNED)]
    names = [name for name in order for _ in range(present.count(name) + 1)]
    return tuple(names), b"".join(canonical.header_field(one.raw, RELAXED) for one in canonical.select(fields, names))


def _signature(key: DkimKey, digest: Digest, now: datetime) -> bytes:
    at = int(now.timestamp())
    field = (f"DKIM-Signature: v=1; a={key.algorithm}-sha256; c=relaxed/relaxed;\r\n\t"
             f"d={key.domain}; s={key.selector};\r\n\t"
             f"t={at}; x={at + int(VALID.total_seconds())};\r\n\t"
             f"h={_folded(digest.names)};\r\n\t"
             f"bh={digest.body_hash};\r\n\tb=")
    # RFC 6376 3.7: and itself, b= empty, without its CRLF
    over = digest.headers + canonical.header_field(field.encode() + b"\r\n", RELAXED).removesuffix(b"\r\n")
    value = base64.b64encode(_sign(key, over)).decode()
    pieces = [value[start:start + _LINE - 4] for start in range(0, len(value), _LINE - 4)]
    return (field + "\r\n\t ".join(pieces) + "\r\n").encode()


def _sign(key: DkimKey, over: bytes) -> bytes:
    private = key.private
    if isinstance(private, ed25519.Ed25519PrivateKey):
        assert key.algorithm is Algorithm.ED25519
        return private.sign(sha256(over).digest())  # RFC 8463 3: Ed25519 over the SHA-256 of it
    return private.sign(over, padding.PKCS1v15(), hashes.SHA256())


def _folded(names: Sequence[str]) -> str:
    """The h= list in lines, folded after its colons (RFC 6376 3.5)."""
    lines = [""]
    for name in names:
        if len(lines[-1]) + len(name) > _LINE:
            lines.append("")
        lines[-1] += name + ":"
    return "\r\n\t ".join(lines).removesuffix(":")


def _domain(message: Message) -> str:
    """That of the one From, which the relay has written itself: the signature aligns with it (RFC 7489 3.1.1)."""
    fields = message.all("from")
    mailbox = single_mailbox(fields[0].value.decode("utf-8", "replace")) if len(fields) == 1 else None
    return mailbox.domain if mailbox else ""
