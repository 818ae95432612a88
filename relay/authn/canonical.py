"""The octets that a signature is made over (RFC 6376 3.4, 3.7). All of it takes time linear in the message."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from aliasing.message import Field

_SPACES = re.compile(rb"[ \t]+")
RELAXED, SIMPLE = "relaxed", "simple"
ONCE = frozenset((
    "from", "to", "cc", "subject", "date", "message-id", "sender", "reply-to", "in-reply-to", "references",
    "mime-version", "content-type", "content-transfer-encoding"))
"""Fields of which a message has one (RFC 5322 3.6, RFC 2045 3)."""
SHOWN = frozenset(("from", "to", "cc", "subject"))
"""Who writes, to whom and what about: none of these may be there unsigned."""


def methods(text: str) -> tuple[str, str]:
    """(header, body) of a c= tag; raises ValueError for any other."""
    header, _, body = text.lower().partition("/")
    body = body or SIMPLE
    if header not in (RELAXED, SIMPLE) or body not in (RELAXED, SIMPLE):
        raise ValueError("c= names no canonicalisation that there is")
    return header, body


def header_field(raw: bytes, method: str) -> bytes:
    """One field, final CRLF included (RFC 6376 3.4.1, 3.4.2)."""
    if method == SIMPLE:
        return raw
    name, _, value = raw.partition(b":")
    value = _SPACES.sub(b" ", value.replace(b"\r\n", b""))
    return name.rstrip(b" \t").lower() + b":" + value.strip(b" ") + b"\r\n"


def relaxed_body(body: bytes) -> bytes:
    """RFC 6376 3.4.4. Whole-body steps in C: sixteen megabytes are a matter of milliseconds, whatever is in them."""
    body = body.replace(b"\t", b" ")
    while b"  " in body:
        body = body.replace(b"  ", b" ")
    body = body.replace(b" \r\n", b"\r\n").removesuffix(b" ").rstrip(b"\r\n")
    return body + b"\r\n" if body else b""


def body_hash(body: bytes, method: str) -> bytes:
    """SHA-256 of the canonical body (RFC 6376 3.4.3, 3.4.4). Its line ends are CRLF throughout."""
    octets = relaxed_body(body) if method == RELAXED else body.rstrip(b"\r\n") + b"\r\n"
    return hashlib.sha256(octets).digest()


def without_signature(raw: bytes) -> bytes:
    """A signature's field with an empty b= and without its final CRLF (RFC 6376 3.5, 3.7)."""
    name, _, value = raw.removesuffix(b"\r\n").partition(b":")
    specs = value.split(b";")
    for index, spec in enumerate(specs):
        tag, equals, _ = spec.partition(b"=")
        if equals and tag.strip(b" \t\r\n") == b"b":
            specs[index] = tag + equals
    return name + b":" + b";".join(specs)


def select(fields: Sequence[Field], names: Sequence[str]) -> list[Field]:
    """The fields that h= names: each time that a name comes, its next one from below (RFC 6376 5.4.2)."""
    left: dict[str, list[Field]] = {}
    for field in fields:
        left.setdefault(field.name, []).append(field)
    return [left[name].pop() for name in names if left.get(name)]


def covered(fields: Sequence[Field], names: Sequence[str]) -> frozenset[str]:
    """The names of which every instance in the header is signed, at least one."""
    counts: dict[str, int] = {}
    for field in fields:
        counts[field.name] = counts.get(field.name, 0) + 1
    return frozenset(name for name, count in counts.items() if names.count(name) >= count)


def added(fields: Sequence[Field], names: Sequence[str]) -> str | None:
    """The first field that could have been put there by anybody: one of SHOWN unsigned, or one of ONCE more often
    than it was signed."""
    signed = covered(fields, names)
    for field in fields:
        watched = field.name in SHOWN or (field.name in ONCE and field.name in names)
        if watched and field.name not in signed:
            return field.name
    return None


def signed_octets(fields: Sequence[Field], names: Sequence[str], own: Field, method: str) -> bytes:
    """What the header's signature is made over."""
    chosen = b"".join(header_field(field.raw, method) for field in select(fields, names))
    return chosen + header_field(without_signature(own.raw) + b"\r\n", method).removesuffix(b"\r\n")
