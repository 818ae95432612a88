"""Questions to the DNS, asked once: dnspython's asynchronous resolver with a cache and single flight."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.rdatatype
import dns.resolver

CACHE_ENTRIES = 50_000


class NoSuchName(Exception):  # noqa: N818 - an answer, not a mistake
    """NXDOMAIN: the name does not exist."""


class DnsUnavailable(Exception):  # noqa: N818
    """No usable answer now (time-out, SERVFAIL): ask again later."""


class Resolver(Protocol):
    async def mx(self, domain: str) -> list[tuple[int, str]]:
        """(preference, host) by ascending preference; empty when there are none (RFC 5321 5.1). A null MX
        (RFC 7505) is [(0, "")]. Raises NoSuchName, DnsUnavailable."""
        ...

    async def addresses(self, host: str) -> list[str]:
        """IPv6 and IPv4 addresses, IPv6 first; empty when there are none. Raises NoSuchName, DnsUnavailable."""
        ...


class DnsResolver:
    """The Resolver over the network; `servers` are (address, port) pairs, empty for the system's."""

    def __init__(self, servers: Sequence[tuple[str, int]], timeout_s: float) -> None:
        self._resolver = dns.asyncresolver.Resolver(configure=not servers)
        if servers:
            self._resolver.nameservers = [dns.nameserver.Do53Nameserver(host, port) for host, port in servers]
        self._resolver.lifetime = timeout_s
        self._resolver.cache = dns.resolver.LRUCache(CACHE_ENTRIES)
        self._flights: dict[tuple[str, str], asyncio.Task[list[str]]] = {}

    async def mx(self, domain: str) -> list[tuple[int, str]]:
        answers = []
        for text in await self._ask(domain, "MX"):
            preference, _, host = text.partition(" ")
            answers.append((int(preference), host.rstrip(".").lower()))
        return sorted(answers)

    async def addresses(self, host: str) -> list[str]:
        found = await asyncio.gather(self._ask(host, "AAAA"), self._ask(host, "A"), return_exceptions=True)
        addresses = [address for answer in found if not isinstance(answer, BaseException) for address in answer]
        if addresses:
            return addresses
        for answer in found:
            if isinstance(answer, BaseException):
                raise answer
        return []

    async def _ask(self, name: str, kind: str) -> list[str]:
        """Everybody who asks the same at the same time waits for one query."""
        key = (name.lower(), kind)
        flight = self._flights.get(key)
        if flight is None:
            flight = asyncio.create_task(self._query(name, kind))
            self._flights[key] = flight
            flight.add_done_callback(lambda _: self._flights.pop(key, None))
        return await asyncio.shield(flight)

    async def _query(self, name: str, kind: str) -> list[str]:
        try:
            answer = await self._resolver.resolve(dns.name.from_text(name), kind, raise_on_no_answer=False)
        except dns.resolver.NXDOMAIN:
            raise NoSuchName from None
        except (dns.exception.DNSException, OSError) as error:
            raise DnsUnavailable from error
        return [record.to_text() for record in answer.rrset or ()]
