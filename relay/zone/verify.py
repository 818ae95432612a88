"""Everything that the zone should say, looked up; and what is wrong with it, in the order of a message's way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from relay.config import Config
from relay.dns import DnsResolver, DnsUnavailable, Resolver
from relay.zone import mail, policies, services
from relay.zone.asked import Asked
from relay.zone.door import door
from relay.zone.finding import Finding, unknown, warning
from relay.zone.knock import Knocker
from relay.zone.plan import Plan
from relay.zone.spf import spf

Check = Coroutine[Any, Any, list[Finding]]


@dataclass(frozen=True)
class Surroundings:
    """What verification looks at the world with."""

    resolver: Resolver
    knocker: Knocker
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)


def surroundings(config: Config) -> Surroundings:
    """The configured resolvers; `outbound.port` is where mail servers listen, here as for delivery."""
    servers = [(server.host, server.port) for server in config.dns.resolvers]
    return Surroundings(DnsResolver(servers, config.dns.timeout.total_seconds()),
                        Knocker(config.relay.hostname, config.outbound.port))


async def verify(plan: Plan, around: Surroundings) -> list[Finding]:
    """All findings. A look-up without answer is a finding of its own; nothing is raised for it."""
    asked = Asked(around.resolver)
    found = await _guarded(plan.hostname, mail.host(plan, asked, plan.hostname))
    found += _settings(plan)
    addresses: list[str] = []
    try:
        addresses = await mail.outgoing(plan, asked)
    except DnsUnavailable:
        found.append(unknown(plan.sender, "no answer from the DNS about the addresses that mail leaves from"))
    checks = [_guarded(address, mail.reverse(plan, asked, address)) for address in addresses]
    if plan.hostname not in plan.domains:
        checks.append(_guarded(plan.hostname, spf(plan, asked, plan.hostname, addresses)))
    for domain in plan.domains:
        checks += _of_domain(plan, asked, domain, addresses, around.knocker)
    checks += [_guarded(host, door(plan, asked, host, around.knocker, around.clock)) for host in plan.mx]
    for said in await asyncio.gather(*checks):
        found += said
    return found


def _of_domain(plan: Plan, asked: Asked, domain: str, addresses: Sequence[str], knocker: Knocker,
               ) -> list[Check]:
    return [
        _guarded(f"{domain} MX", mail.mx(plan, asked, domain)),
        _guarded(f"{domain} SPF", spf(plan, asked, domain, addresses)),
        _guarded(f"{domain} DKIM", policies.dkim(plan, asked, domain)),
        _guarded(f"{domain} DMARC", policies.dmarc(plan, asked, domain)),
        _guarded(f"{domain} MTA-STS", policies.mta_sts(plan, asked, domain, knocker)),
        _guarded(f"{domain} TLS-RPT", policies.tls_reports(plan, asked, domain)),
        _guarded(f"{domain} SRV", services.services(plan, asked, domain)),
        _guarded(f"{domain} autoconfig", services.settings(plan, asked, domain)),
    ]


def _settings(plan: Plan) -> list[Finding]:
    if not plan.reports_reach_us:
        return []
    return [warning(plan.reports, "reports-to-relay", "reports would go to a relay domain, where nobody reads them",
                    "name a mailbox of yours in zone.reports, under another domain")]


async def _guarded(about: str, check: Check) -> list[Finding]:
    """A temporary failure is not "missing"."""
    try:
        return await check
    except DnsUnavailable:
        return [unknown(about, "no answer from the DNS")]
