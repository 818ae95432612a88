"""Questions to the DNS, asked once: dnspython's asynchronous resolver with a cache and single flight."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.name
import dns.nameserver
import dns.rdata
import dns.rdatatype
import dns.rdtypes.ANY.TXT
import dns.resolver

CACHE_ENTRIES = 50_000
UDP_BYTES = 1232
"""What fits every path unfragmented (DNS flag day 2020); DKIM and TLSA records pass the 512 of old."""


class NoSuchName(Exception):  # noqa: N818 - an answer, not a mistake
    """NXDOMAIN: the name does not exist."""


class DnsUnavailable(Exception):  # noqa: N818
    """No usable answer now (time-out, SERVFAIL): ask again later."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Records in presentation form, the strings of a TXT joined; none when the name has none of that type."""

    records: tuple[str, ...]
    secure: bool = False
    """Validated by DNSSEC: the AD bit of a resolver on this very machine (RFC 6698 A.3, RFC 7672 2.1.1)."""


class Resolver(Protocol):
    async def mx(self, domain: str) -> list[tuple[int, str]]:
        """(preference, host) by ascending preference; empty when there are none (RFC 5321 5.1). A null MX
        (RFC 7505) is [(0, "")]. Raises NoSuchName, DnsUnavailable."""
        ...

    async def addresses(self, host: str) -> list[str]:
        """IPv6 and IPv4 addresses, IPv6 first; empty when there are none. Raises NoSuchName, DnsUnavailable."""
        ...

    async def records(self, name: str, kind: str) -> Answer:
        """Whatever stands there. Raises as addresses(); DnsUnavailable also for what is bogus."""
        ...

    @property
    def validates(self) -> bool:
        """Whether an Answer can be secure at all: every resolver asked is on loopback."""
        ...

    async def addresses_of(self, host: str, version: int) -> list[str]:
        """The addresses of one family, `version` 4 or 6; empty when there are none. Raises as addresses()."""
        ...

    async def txt(self, name: str) -> list[bytes]:
        """TXT records, the strings of each joined (RFC 7208 3.3); empty when there are none. Raises as addresses()."""
        ...

    async def ptr(self, name: str) -> list[str]:
        """What a name such as `2.0.0.127.in-addr.arpa` points to; empty when it does not. Raises as addresses()."""
        ...

    async def srv(self, name: str) -> list[tuple[int, int, int, str]]:
        """(priority, weight, port, host) in order (RFC 2782); host "" means "not here". Raises as addresses()."""
        ...

    async def cname(self, name: str) -> str:
        """What the name is an alias of (RFC 2181 10.1), "" when it is none. Raises as addresses()."""
        ...


class DnsResolver:
    """The Resolver over the network; `servers` are (address, port) pairs, empty for the system's."""

    def __init__(self, servers: Sequence[tuple[str, int]], timeout_s: float) -> None:
        self._resolver = dns.asyncresolver.Resolver(configure=not servers)
        if servers:
            self._resolver.nameservers = [dns.nameserver.Do53Nameserver(host, port) for host, port in servers]
        self._resolver.lifetime = timeout_s
        self._resolver.use_edns(0, 0, UDP_BYTES)
        self.validates = all(_is_loopback(getattr(one, "address", one)) for one in self._resolver.nameservers)
        if self.validates:
            self._resolver.flags = dns.flags.RD | dns.flags.AD  # RFC 6840 5.7: tell us, without the signatures
        self._resolver.cache = dns.resolver.LRUCache(CACHE_ENTRIES)
        self._flights: dict[tuple[str, str], asyncio.Task[dns.resolver.Answer]] = {}

    async def records(self, name: str, kind: str) -> Answer:
        answer = await self._ask(name, kind)
        secure = self.validates and bool(answer.response.flags & dns.flags.AD)
        return Answer(tuple(_text(record) for record in answer.rrset or ()), secure)

    async def mx(self, domain: str) -> list[tuple[int, str]]:
        return sorted((record.preference, _name(record.exchange)) for record in await self._found(domain, "MX"))

    async def txt(self, name: str) -> list[bytes]:
        return [b"".join(record.strings) for record in await self._found(name, "TXT")]

    async def ptr(self, name: str) -> list[str]:
        return [_name(record.target) for record in await self._found(name, "PTR")]

    async def srv(self, name: str) -> list[tuple[int, int, int, str]]:
        return sorted((record.priority, record.weight, record.port, _name(record.target))
                      for record in await self._found(name, "SRV"))

    async def cname(self, name: str) -> str:
        return next((_name(record.target) for record in await self._found(name, "CNAME")), "")

    async def addresses_of(self, host: str, version: int) -> list[str]:
        return [record.address for record in await self._found(host, "A" if version == 4 else "AAAA")]

    async def addresses(self, host: str) -> list[str]:
        found = await asyncio.gather(self.addresses_of(host, 6), self.addresses_of(host, 4), return_exceptions=True)
        addresses = [address for answer in found if not isinstance(answer, BaseException) for address in answer]
        if addresses:
            return addresses
        for answer in found:
            if isinstance(answer, BaseException):
                raise answer
        return []

    async def _found(self, name: str, kind: str) -> list[Any]:
        return list((await self._ask(name, kind)).rrset or ())

    async def _ask(self, name: str, kind: str) -> dns.resolver.Answer:
        """Everybody who asks the same at the same time waits for one query."""
        key = (name.lower(), kind)
        flight = self._flights.get(key)
        if flight is None:
            flight = asyncio.create_task(self._query(name, kind))
            self._flights[key] = flight
            flight.add_done_callback(lambda _: self._flights.pop(key, None))
        return await asyncio.shield(flight)

    async def _query(self, name: str, kind: str) -> dns.resolver.Answer:
        try:
            asked = dns.name.from_text(name)
        except (dns.exception.DNSException, UnicodeError):
            raise NoSuchName from None  # a label of over 63 octets, say: such a name cannot exist, today or tomorrow
        try:
            return await self._resolver.resolve(asked, kind, raise_on_no_answer=False)
        except dns.resolver.NXDOMAIN:
            raise NoSuchName from None
        except (dns.exception.DNSException, OSError) as error:
            raise DnsUnavailable from error


def _name(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower() if name != dns.name.root else ""


def _text(record: dns.rdata.Rdata) -> str:
    if isinstance(record, dns.rdtypes.ANY.TXT.TXT):
        return b"".join(record.strings).decode("utf-8", "replace")
    return record.to_text()


def is_address(text: str) -> bool:
    """Whether it is an IP address, so that there is nothing to ask."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_loopback(address: object) -> bool:
    return is_address(str(address)) and ipaddress.ip_address(str(address)).is_loopback
