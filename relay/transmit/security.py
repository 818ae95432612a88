"""How a hop's connection must be secured: by configuration, by DANE (RFC 7672), by MTA-STS (RFC 8461), in that order.

What is set for a destination overrides what the destination publishes, so that an operator has a way around a broken
policy of others. `outbound.tls` is the least for everybody else; DANE or MTA-STS of the destination can only add to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from relay.dns import DnsUnavailable, NoSuchName, Resolver
from relay.transmit.dane import Tlsa
from relay.transmit.sts import Mode, Policies, Policy


class Level(IntEnum):
    """From nothing to the most; DANE is VERIFY by other means."""

    NEVER = 0
    OPPORTUNISTIC = 1
    """STARTTLS where it is offered, no certificate check, plain text where it fails (RFC 7435)."""
    ENCRYPT = 2
    """STARTTLS or nothing; no certificate check."""
    VERIFY = 3
    """A certificate for the hop's name, from an authority that we know."""
    DANE = 4


@dataclass(frozen=True)
class Security:
    """What one hop must show. The rest is what a TLS report says of it (RFC 8460 4.4)."""

    level: Level = Level.OPPORTUNISTIC
    tlsa: tuple[Tlsa, ...] = ()
    testing: bool = False
    """MTA-STS in testing mode: a failure to verify is counted, and stops nothing."""
    domain: str = ""
    kind: str = "no-policy-found"
    lines: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()


class Refused(Exception):  # noqa: N818 - an answer about a host
    """Nothing may go to this host. `result` is the result type of RFC 8460 4.3."""

    def __init__(self, result: str) -> None:
        super().__init__(result)
        self.result = result


@dataclass(frozen=True)
class TlsPolicies:
    """What is asked of each hop; `sts` is None where nobody looks for MTA-STS."""

    resolver: Resolver
    least: Level = Level.OPPORTUNISTIC
    destinations: Mapping[str, Level] = field(default_factory=dict)
    sts: Policies | None = None

    async def policy(self, destination: str) -> Policy | None:
        """The destination's MTA-STS policy, if it is to count."""
        if self.sts is None or destination in self.destinations or self.least is Level.NEVER:
            return None
        return await self.sts.of(destination)

    async def of(self, destination: str, host: str, port: int, policy: Policy | None, *, secure_mx: bool) -> Security:
        """For one MX host, whose name is `secure_mx` where DNSSEC vouches for it; raises Refused."""
        if destination in self.destinations:
            return Security(self.destinations[destination], domain=destination)
        if self.least is Level.NEVER:
            return Security(Level.NEVER, domain=destination)
        records = await self._tlsa(host, port) if secure_mx else ()
        if records:  # RFC 8461 2: MTA-STS never overrides it
            return self._by_dane(destination, records)
        if policy is None or policy.mode is Mode.NONE:
            return Security(self.least, domain=destination)
        allowed, testing = policy.allows(host), policy.mode is Mode.TESTING
        if not allowed and not testing:
            raise Refused("validation-failure")
        level = self.least if testing else Level.VERIFY
        return Security(level, testing=testing, domain=destination, kind="sts", lines=policy.lines, patterns=policy.mx)

    def _by_dane(self, destination: str, records: tuple[Tlsa, ...]) -> Security:
        lines = tuple(f"{one.usage} {one.selector} {one.matching} {one.data.hex()}" for one in records)
        usable = tuple(one for one in records if one.usable())
        # RFC 7672 2.2: records none of which is usable still say that there is TLS
        level = Level.DANE if usable else max(self.least, Level.ENCRYPT)
        return Security(level, usable, domain=destination, kind="tlsa", lines=lines)

    async def _tlsa(self, host: str, port: int) -> tuple[Tlsa, ...]:
        """Secure TLSA records of a host whose addresses are secure too (RFC 7672 2.2.2); raises Refused."""
        try:
            if not await self._has_secure_address(host):
                return ()
            answer = await self.resolver.records(f"_{port}._tcp.{host}", "TLSA")
        except NoSuchName:
            return ()
        except DnsUnavailable:
            raise Refused("dnssec-invalid") from None  # 2.1.2: an attacker must not get rid of them by silence
        return tuple(Tlsa.parse(text) for text in answer.records) if answer.secure else ()

    async def _has_secure_address(self, host: str) -> bool:
        for kind in ("AAAA", "A"):
            answer = await self.resolver.records(host, kind)
            if answer.records:
                return answer.secure
        return False
