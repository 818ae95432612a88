"""Where does a message come from? SPF, DKIM, DMARC and ARC of what arrives, asked for all at once.

What it means for the message is the rule's to say (policy/rules/authentication.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address

from aliasing.address import Address
from aliasing.message import Message
from policy.case import (
    ArcHop,
    ArcResult,
    AuthenticationResults,
    AuthResult,
    DkimResult,
    DmarcResult,
    SpfResult,
)
from relay.authn import arc, canonical, dkim, dmarc, spf
from relay.authn.arc import ArcSet
from relay.authn.tags import TagError
from relay.dns import DnsUnavailable, Resolver

TIME_LIMIT_S = 30.0
"""For all look-ups of one message together; the client waits, and RFC 5321 4.5.3.2.6 gives ten minutes."""


@dataclass(frozen=True)
class Origin:
    """What SMTP knows of where a message comes from."""

    client: IPv4Address | IPv6Address
    helo: str
    reverse_path: Address | None
    author: Address
    """The one address of its one From."""


async def check(message: Message, origin: Origin, resolver: Resolver, now: datetime,
                sealers: Collection[str] = ()) -> AuthenticationResults:
    """All that can be found out, within TIME_LIMIT_S. ARC is looked at only where one of `sealers` sealed last.

    Never raises for anything that a message or the DNS may hold.
    """
    try:
        async with asyncio.timeout(TIME_LIMIT_S):
            return await _check(message, origin, resolver, now, sealers)
    except TimeoutError:
        return AuthenticationResults(temporary=True)


async def _check(message: Message, origin: Origin, resolver: Resolver, now: datetime,
                 sealers: Collection[str]) -> AuthenticationResults:
    author = origin.author.domain
    walk, from_spf, from_dkim, (chain, sets) = await asyncio.gather(
        _walk(resolver, author),
        spf.check(origin.client, origin.helo, origin.reverse_path, resolver),
        dkim.verify(message, author, resolver, now),
        _arc(message, resolver, sealers))
    judge = _Alignment(resolver, author, walk)
    from_spf = replace(from_spf, aligned=await judge.aligned(from_spf.domain, "aspf"))
    signatures = tuple([replace(one, aligned=await judge.aligned(one.domain, "adkim")) for one in from_dkim])
    chain = replace(chain, hops=tuple([await _hop(message, one, judge) for one in sets]))
    policy = await _dmarc(resolver, walk, from_spf, signatures, author)
    failed = AuthResult.TEMPERROR
    temporary = judge.unknown or failed in (from_spf.result, chain.result, policy.result) or any(
        one.result is failed for one in signatures)
    return AuthenticationResults(from_spf, signatures, chain, policy, temporary)


class _Alignment:
    """Which domains stand for the author's. `unknown` once that could not be told for some domain."""

    def __init__(self, resolver: Resolver, author: str, walk: dmarc.Walk | None) -> None:
        self._resolver = resolver
        self._author = author
        self._walk = walk
        self.unknown = False

    async def aligned(self, domain: str, method: str) -> bool:
        """`method` is the tag by which the author's policy may ask for the very domain: "adkim" or "aspf"."""
        if domain == self._author:
            return True
        if self._walk is None:
            self.unknown |= bool(domain)
            return False
        record = self._walk.record
        try:
            return await dmarc.is_aligned(self._resolver, self._walk, domain,
                                          strict=record is not None and record.strict(method))
        except DnsUnavailable:
            self.unknown = True
            return False


async def _walk(resolver: Resolver, author: str) -> dmarc.Walk | None:
    try:
        return await dmarc.walk(resolver, author)
    except DnsUnavailable:
        return None


async def _dmarc(resolver: Resolver, walk: dmarc.Walk | None, from_spf: SpfResult, signatures: tuple[DkimResult, ...],
                 author: str) -> DmarcResult:
    if walk is None:
        return DmarcResult(AuthResult.TEMPERROR)
    if walk.record is None:
        return DmarcResult(AuthResult.NONE, "", walk.organizational)
    aligned = [from_spf.result] if from_spf.aligned else []
    passed = AuthResult.PASS in (*aligned, *(one.result for one in signatures if one.aligned))
    try:
        known = passed or walk.record.domain == author or await dmarc.exists(resolver, author)
    except DnsUnavailable:
        known = True
    result = AuthResult.PASS if passed else AuthResult.FAIL
    return DmarcResult(result, walk.record.policy(author, exists=known), walk.organizational)


async def _arc(message: Message, resolver: Resolver, sealers: Collection[str]) -> tuple[ArcResult, list[ArcSet]]:
    try:
        sets = arc.read(message)
        if not sets or sets[-1].sealer not in sealers:
            return ArcResult(), []
    except TagError as error:
        return ArcResult(AuthResult.FAIL, reason=str(error)), []
    found = await arc.verify(message, sets, resolver)
    return found, sets if found.result is AuthResult.PASS else []


async def _hop(message: Message, one: ArcSet, judge: _Alignment) -> ArcHop:
    """What a sealer says for the author's domain, and which fields the signature covered that it saw pass."""
    from_spf, covered = False, None
    for claim in arc.claims(one):
        if claim.method == "spf":
            from_spf |= await judge.aligned(claim.domain, "aspf")
        elif await judge.aligned(claim.domain, "adkim"):
            signature = arc.original(message, claim)
            if signature is not None and "l" not in signature.tags:
                others = [field for field in message.fields if field is not signature.field]
                covered = canonical.covered(others, signature.names)
    return ArcHop(one.sealer, from_spf, covered)
