"""SPF of what arrives (RFC 7208): spftrace decides, our resolver asks."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from spftrace import BaseResolver, Evaluator, Limits

from aliasing.address import Address
from policy.case import AuthResult, SpfResult
from relay.authn import tags
from relay.authn.tags import TagError
from relay.dns import DnsUnavailable, NoSuchName, Resolver

TIME_LIMIT_S = 20.0
"""RFC 7208 4.6.4 asks for 20 seconds at least."""
MAX_TERMS, MAX_VOID, MAX_QUERIES = 10, 2, 60
"""RFC 7208 4.6.4: more look-ups than MAX_TERMS are a permanent error, as if there were no record."""


async def check(client: IPv4Address | IPv6Address, helo: str, reverse_path: Address | None,
                resolver: Resolver) -> SpfResult:
    """The result for MAIL FROM, or for the HELO name where that is null (RFC 7208 2.4). Never raises."""
    domain = _domain(reverse_path.domain if reverse_path else helo.rstrip("."))
    if not domain:
        return SpfResult()
    sender = f"{reverse_path.local if reverse_path else 'postmaster'}@{domain}"
    return SpfResult(await evaluate(client, helo, sender, resolver), domain)


async def evaluate(client: IPv4Address | IPv6Address, helo: str, sender: str, resolver: Resolver) -> AuthResult:
    """check_host() (RFC 7208 4). `sender` is an address, or "" for the HELO name's postmaster. Never raises."""
    limits = Limits(max_terms=MAX_TERMS, max_void=MAX_VOID, max_queries=MAX_QUERIES, time_limit=TIME_LIMIT_S)
    found = await Evaluator(Lookups(resolver), limits).evaluate(str(client), sender, helo)
    return AuthResult(found.result)


def _domain(text: str) -> str:
    try:
        return tags.domain(text)
    except TagError:
        return ""


class Lookups(BaseResolver):
    """spftrace's way to ask, led to our resolver with its cache and single flight."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    async def _lookup(self, name: str, rtype: str) -> tuple[str, list[str]]:
        try:
            return "NOERROR", await self._ask(name, rtype)
        except NoSuchName:
            return "NXDOMAIN", []
        except DnsUnavailable:
            return "SERVFAIL", []

    async def _ask(self, name: str, kind: str) -> list[str]:
        if kind == "TXT":
            return [text.decode("utf-8", "replace") for text in await self._resolver.txt(name)]
        if kind == "MX":
            return [host for _, host in await self._resolver.mx(name) if host]
        if kind == "PTR":
            return await self._resolver.ptr(name)
        return await self._resolver.addresses_of(name, 4 if kind == "A" else 6)
