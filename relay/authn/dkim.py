"""DKIM of what arrives (RFC 6376, RFC 8301, RFC 8463): each signature, and why it does not count where it does not.

Stricter than the RFC where a stranger could gain by laxness: a signature with l=, or one beside fields that people see
and that it does not cover in every instance, is "policy": real perhaps, and no proof of what the message says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from aliasing.message import Field, Message
from policy.case import AuthResult, DkimResult
from relay.authn import canonical, keys, tags
from relay.authn.keys import NoKey
from relay.authn.tags import TagError
from relay.dns import DnsUnavailable, Resolver
from relay.offload import off_loop

MAX_SIGNATURES = 10
"""More than any real message has; each may cost a look-up."""
FUTURE_S = 3600
"""How far a signer's clock may be ahead."""
_ALGORITHMS = {"rsa-sha256": "rsa", "ed25519-sha256": "ed25519"}


@dataclass(frozen=True)
class Signature:
    """A DKIM-Signature or ARC-Message-Signature as read, before anything is looked up."""

    field: Field
    tags: Mapping[str, str]
    domain: str
    selector: str
    algorithm: str
    names: tuple[str, ...]
    """h=, lower case."""
    header: str
    body: str
    value: bytes
    body_hash: bytes


class Untrusted(Exception):  # noqa: N818 - a result, not a mistake
    """Why a signature does not count, and as which result."""

    def __init__(self, result: AuthResult, reason: str) -> None:
        super().__init__(reason)
        self.result = result


async def verify(message: Message, author: str, resolver: Resolver, now: datetime) -> list[DkimResult]:
    """One result a signature, at most MAX_SIGNATURES; those of the domain `author` and of its neighbours first.

    Never raises; a look-up that fails for now is "temperror". `aligned` is left to whoever knows the policy.
    """
    fields = message.all("dkim-signature")
    fields = sorted(fields, key=lambda field: not _is_near(_claimed(field), author))[:MAX_SIGNATURES]
    read = [_read_or_refuse(field) for field in fields]
    body_hashes = await hash_bodies(message, (one.body for one in read if isinstance(one, Signature)))
    return list(await asyncio.gather(*(
        _verify(one, message.fields, body_hashes, resolver, now) if isinstance(one, Signature) else _done(one)
        for one in read)))


async def hash_bodies(message: Message, methods: Iterable[str]) -> dict[str, bytes]:
    """The body's hash by each canonicalisation that is asked for; in a thread where it is big."""
    body, wanted = message.body(message.root), sorted(set(methods))

    def work() -> dict[str, bytes]:
        return {method: canonical.body_hash(body, method) for method in wanted}

    return await off_loop(len(body) if wanted else 0, work)


def read(field: Field, *extra: str, c: str = "simple/simple") -> Signature:
    """The signature in `field`, which must have the tags `extra` as well; `c` is meant where it has no c=. Raises
    TagError; Untrusted where no key could make it count."""
    found = tags.parse(_value(field))
    tags.required(found, "a", "b", "bh", "d", "h", "s", *extra)
    try:
        header, body = canonical.methods(found.get("c", c))
    except ValueError as error:
        raise TagError(str(error)) from None
    if "dns/txt" not in tags.words(found, "q", "dns/txt"):
        raise TagError("q= names no way that there is")
    algorithm = found["a"].lower()
    domain, selector, names = tags.domain(found["d"]), tags.selector(found), tuple(tags.words(found, "h"))
    if algorithm == "rsa-sha1":
        raise Untrusted(AuthResult.POLICY, "it is made with SHA-1")  # RFC 8301 3.1
    if algorithm not in _ALGORITHMS:
        raise TagError("a= names no algorithm that is known")
    return Signature(field, found, domain, selector, algorithm, names, header, body, tags.octets(found, "b"),
                     tags.octets(found, "bh"))


async def check(signature: Signature, fields: Sequence[Field], body_hashes: Mapping[str, bytes],
                resolver: Resolver) -> keys.Key:
    """The key with which it verified. Raises Untrusted, NoKey, DnsUnavailable."""
    key = await keys.fetch(resolver, signature.domain, signature.selector, _ALGORITHMS[signature.algorithm])
    if body_hashes[signature.body] != signature.body_hash:
        raise Untrusted(AuthResult.FAIL, "the body was changed after it was signed")
    others = [field for field in fields if field is not signature.field]
    octets = canonical.signed_octets(others, signature.names, signature.field, signature.header)
    if not key.verify(signature.value, octets):
        raise Untrusted(AuthResult.FAIL, "the header was changed after it was signed")
    return key


async def _verify(signature: Signature, fields: Sequence[Field], body_hashes: Mapping[str, bytes], resolver: Resolver,
                  now: datetime) -> DkimResult:
    found = DkimResult(AuthResult.PASS, signature.domain, signature.selector, signature.algorithm,
                       signed=canonical.covered(fields, signature.names), length="l" in signature.tags)
    try:
        _check_tags(signature, fields, now)
        key = await check(signature, fields, body_hashes, resolver)
        found = replace(found, key_bits=key.bits)
        if key.strict and tags.domain(_identity(signature)) != signature.domain:
            raise Untrusted(AuthResult.PERMERROR, "its key is for d= alone, and i= is below it")
        if key.testing:  # RFC 6376 3.6.1: to be treated as if there were none
            raise Untrusted(AuthResult.POLICY, "its key is only being tried out (t=y)")
    except Untrusted as error:
        return replace(found, result=error.result, reason=str(error))
    except (TagError, NoKey) as error:
        return replace(found, result=AuthResult.PERMERROR, reason=str(error))
    except DnsUnavailable:
        return replace(found, result=AuthResult.TEMPERROR, reason="its key cannot be looked up at the moment")
    return found


def _check_tags(signature: Signature, fields: Sequence[Field], now: datetime) -> None:
    found = signature.tags
    identity = tags.domain(_identity(signature))
    if identity != signature.domain and not identity.endswith("." + signature.domain):
        raise TagError("i= is outside of d=")
    made, expires, at = tags.number(found, "t"), tags.number(found, "x"), now.timestamp()
    if made is not None and expires is not None and expires <= made:
        raise TagError("x= is before t=")
    if expires is not None and expires < at:
        raise Untrusted(AuthResult.POLICY, "it has expired")
    if made is not None and made > at + FUTURE_S:
        raise Untrusted(AuthResult.POLICY, "it is from the future")
    if "l" in found:
        raise Untrusted(AuthResult.POLICY, "it covers a part of the body only (l=)")
    others = [field for field in fields if field is not signature.field]
    if (name := canonical.added(others, signature.names)) is not None:
        raise Untrusted(AuthResult.POLICY, f"it does not cover every {name.title()} field")


def _identity(signature: Signature) -> str:
    return signature.tags.get("i", "@" + signature.domain).rpartition("@")[2]


def _read_or_refuse(field: Field) -> Signature | DkimResult:
    domain = _claimed(field)
    try:
        found = read(field, "v")
        if found.tags["v"] != "1":
            raise TagError("v= is not 1")
        if "from" not in found.names:
            raise TagError("h= does not name From")
    except TagError as error:
        return DkimResult(AuthResult.PERMERROR, domain, reason=str(error))
    except Untrusted as error:
        return DkimResult(error.result, domain, reason=str(error))
    return found


def _claimed(field: Field) -> str:
    """The domain of d=, "" where it cannot be told."""
    try:
        return tags.domain(tags.parse(_value(field))["d"])
    except (TagError, KeyError):
        return ""


def _value(field: Field) -> str:
    return field.value.decode("utf-8", "replace")


def _is_near(domain: str, author: str) -> bool:
    return bool(domain) and (author == domain or author.endswith("." + domain) or domain.endswith("." + author))


async def _done(result: DkimResult) -> DkimResult:
    return result
