"""DNS block lists (RFC 5782): does somebody whom the operator trusts warn of this client?"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from relay.dns import DnsUnavailable, NoSuchName, Resolver

_LISTED = ip_network("127.0.0.0/8")
_ERRORS = ip_network("127.255.255.0/24")
"""Lists say here that they refuse to answer us, which says nothing of the client."""


async def listed(resolver: Resolver, zones: Sequence[str], client: IPv4Address | IPv6Address) -> str | None:
    """The first of `zones` that lists the client. A list that does not answer lists nobody; never raises."""
    answers = await asyncio.gather(*(_is_listed(resolver, zone, client) for zone in zones))
    return next((zone for zone, answer in zip(zones, answers, strict=True) if answer), None)


async def _is_listed(resolver: Resolver, zone: str, client: IPv4Address | IPv6Address) -> bool:
    try:
        answers = [ip_address(text) for text in await resolver.addresses(query_name(client, zone))]
    except (NoSuchName, DnsUnavailable):
        return False
    return any(answer in _LISTED and answer not in _ERRORS for answer in answers)


def query_name(client: IPv4Address | IPv6Address, zone: str) -> str:
    """`2.0.0.127.zone`; for IPv6 by half octets (RFC 5782 2.1, 2.4)."""
    return client.reverse_pointer.removesuffix(".in-addr.arpa").removesuffix(".ip6.arpa") + "." + zone
