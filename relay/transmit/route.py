"""Where a message goes: the MX records of its destination (RFC 5321 5.1), or the smarthost."""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from relay.dns import DnsUnavailable, NoSuchName, Resolver, is_address
from relay.transmit.security import Refused, Security, TlsPolicies

MAX_HOPS = 10
"""RFC 5321 5.1 asks to try at least two addresses; beyond ten the destination is simply down."""


@dataclass(frozen=True, slots=True)
class Hop:
    """One address of one server to try; `host` is its name for TLS, `address` where to connect."""

    host: str
    address: str
    port: int
    security: Security = field(default=Security(), compare=False)


class NoRoute(Exception):  # noqa: N818 - an answer about the destination
    """There is nowhere to send to. `code` is the enhanced code (RFC 3463); 5.x.x means for good."""

    def __init__(self, code: str, why: str) -> None:
        super().__init__(why)
        self.code = code

    @property
    def is_permanent(self) -> bool:
        return self.code.startswith("5")


@dataclass(frozen=True)
class Router:
    """Finds the hops for a destination domain."""

    resolver: Resolver
    hostname: str
    port: int
    allow_loopback: bool
    smarthost: tuple[str, int] | None
    policies: TlsPolicies | None = None
    families: frozenset[int] = frozenset((4, 6))
    """The IP versions that there is a source address for."""
    refused: Callable[[Security, str, str], None] = lambda security, host, result: None
    """Hears of a host that nothing may be sent to: (what was asked of it, its name, result type of RFC 8460)."""

    @property
    def is_shared(self) -> bool:
        """Whether all destinations go one way."""
        return self.smarthost is not None

    def lane(self, destination: str) -> str:
        """What shares connections: everything with a smarthost, otherwise the destination domain."""
        return "smarthost" if self.smarthost else destination

    async def hops(self, destination: str) -> list[Hop]:
        """In the order to try them; raises NoRoute."""
        least = Security(self.policies.least, domain=destination) if self.policies else Security()
        if self.smarthost:
            host, port = self.smarthost
            return await self._hops({host: least}, port, is_smarthost=True)
        if destination.startswith("["):
            return await self._hops({destination.strip("[]").removeprefix("ipv6:"): least}, self.port)
        hosts = await self._hosts(destination)
        if self.policies is None:
            return await self._hops(dict.fromkeys(hosts, least), self.port)
        return await self._hops(await self._secured(self.policies, destination, hosts), self.port)

    async def _hosts(self, destination: str) -> list[str]:
        try:
            records = await self.resolver.mx(destination)
        except NoSuchName:
            raise NoRoute("5.1.2", "the domain does not exist") from None
        except DnsUnavailable:
            raise NoRoute("4.4.3", "no answer from the DNS") from None
        if records == [(0, "")]:
            raise NoRoute("5.1.10", "the domain takes no mail: null MX (RFC 7505)")
        if not records:  # RFC 5321 5.1: no MX means the host itself
            records = [(0, destination)]
        own = [preference for preference, host in records if host == self.hostname]
        if own:  # we are an MX of it: only better ones may be tried, or the mail goes in circles
            records = [(preference, host) for preference, host in records if preference < min(own)]
            if not records:
                raise NoRoute("5.4.6", "the domain's MX is this relay itself")
        order = sorted(records, key=lambda record: (record[0], random.random()))
        return [host for _, host in order if host]

    async def _secured(self, policies: TlsPolicies, destination: str, hosts: list[str]) -> dict[str, Security]:
        """What is asked of each host, without those that nothing may go to."""
        policy = await policies.policy(destination)
        secure_mx = self.resolver.validates and (await self.resolver.records(destination, "MX")).secure
        found: dict[str, Security] = {}
        for host in hosts:
            try:
                found[host] = await policies.of(destination, host, self.port, policy, secure_mx=secure_mx)
            except Refused as refused:
                kind = "tlsa" if policy is None or refused.result == "dnssec-invalid" else "sts"
                self.refused(Security(domain=destination, kind=kind, lines=policy.lines if policy else ()), host,
                             refused.result)
        if not found:
            raise NoRoute("4.7.5", "no host of the domain is one that its own policy allows")
        return found

    async def _hops(self, hosts: dict[str, Security], port: int, *, is_smarthost: bool = False) -> list[Hop]:
        hops: list[Hop] = []
        unavailable = False
        for host, security in hosts.items():
            try:
                addresses = [host] if is_address(host) else await self.resolver.addresses(host)
            except NoSuchName:
                continue
            except DnsUnavailable:
                unavailable = True
                continue
            hops += [Hop(host, address, port, security) for address in addresses
                     if ipaddress.ip_address(address).version in self.families
                     and (is_smarthost or self.allow_loopback or not is_local(address))]
        if hops:
            return hops[:MAX_HOPS]
        if unavailable:
            raise NoRoute("4.4.3", "no answer from the DNS")
        # a smarthost's name is our own configuration: never the message's fault
        raise NoRoute("4.4.4" if is_smarthost else "5.4.4", "no usable address for the destination")


def is_local(address: str) -> bool:
    """Whether it is this machine's own: where a stranger's DNS must not aim us."""
    parsed = ipaddress.ip_address(address)
    return parsed.is_loopback or parsed.is_unspecified
