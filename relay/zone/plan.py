"""What the zone should say, taken from the configuration."""

from __future__ import annotations

import functools
import hashlib
import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from publicsuffixlist import PublicSuffixList

from relay.config import Config

Dkim = Callable[[str], Sequence[tuple[str, str]]]
"""Of a relay domain, the DKIM records: (owner name without final dot, text); none while there is no key."""

SUBMISSION, SUBMISSIONS = 587, 465
"""The ports that mail clients see (RFC 6409 3.1, RFC 8314 3.3); what the daemon itself listens on may differ."""
_SUBMIT = {"_submissions._tcp": SUBMISSIONS, "_submission._tcp": SUBMISSION}
STS_MAX_AGE_S = 7 * 86400
AUTOCONFIG, AUTODISCOVER, MTA_STS = "autoconfig", "autodiscover", "mta-sts"


def no_dkim(domain: str) -> Sequence[tuple[str, str]]:
    """The answer while nothing signs."""
    return ()


@dataclass(frozen=True)
class Plan:
    """The names and settings that the records are made of. Names are lower case, without final dot."""

    hostname: str
    domains: Sequence[str]
    mx: Sequence[str]
    outgoing: Sequence[str]
    """Addresses, networks, and names whose SPF record lists some; may be empty."""
    smarthost: str
    """The server that everything leaves through; "" when there is none, or when it is this machine."""
    reports: str
    sts_mode: str
    imap: tuple[str, int] | None
    dkim: Dkim = no_dkim
    submits: frozenset[int] = frozenset()
    """Which of SUBMISSION and SUBMISSIONS there is a listener for."""

    @property
    def sender(self) -> str:
        """The host whose addresses mail leaves from, as far as the configuration knows."""
        return self.smarthost or self.hostname

    @property
    def reports_reach_us(self) -> bool:
        """Whether reports would go to a relay domain, where nobody reads them."""
        return self.reports.rpartition("@")[2] in self.domains

    @property
    def policy(self) -> str:
        """The MTA-STS policy, a file of lines (RFC 8461 3.2)."""
        return "".join(f"{line}\n" for line in ("version: STSv1", f"mode: {self.sts_mode}",
                                                *(f"mx: {host}" for host in self.mx), f"max_age: {STS_MAX_AGE_S}"))

    @property
    def policy_id(self) -> str:
        """Changes whenever the policy does: others fetch the file anew only then (RFC 8461 3.1)."""
        return hashlib.sha256(self.policy.encode()).hexdigest()[:20]

    def spf(self, domain: str) -> str:
        """The SPF record of a domain that mail leaves from under (RFC 7208)."""
        terms = [_spf_term(one) for one in self.outgoing]
        if not terms:
            terms = [_spf_term(self.sender, "a")] if self.sender != domain else ["a"]
        return " ".join(("v=spf1", *terms, "-all"))

    def dmarc(self) -> str:
        return f"v=DMARC1; p=reject; rua=mailto:{self.reports}"

    def tls_reports(self) -> str:
        return f"v=TLSRPTv1; rua=mailto:{self.reports}"

    def services(self) -> dict[str, tuple[int, str]]:
        """SRV owner prefix -> (port, host) (RFC 6186, RFC 8314 5.1)."""
        found = {prefix: (port, self.hostname) for prefix, port in _SUBMIT.items() if port in self.submits}
        if self.imap:
            found["_imaps._tcp"] = (self.imap[1], self.imap[0])
        return found

    def not_served(self) -> dict[str, int]:
        """SRV owner prefix -> port of the services that nobody configured."""
        return {prefix: port for prefix, port in _SUBMIT.items() if port not in self.submits}

    def reports_elsewhere(self, domain: str) -> str:
        """The name by which another organisation agrees to get this domain's reports; "" when none need agree
        (RFC 9990 4)."""
        host = self.reports.rpartition("@")[2]
        return "" if organisation(host) == organisation(domain) else f"{domain}._report._dmarc.{host}"


def plan_of(config: Config, dkim: Dkim = no_dkim) -> Plan:
    """The plan of a configuration; `dkim` knows the signing keys."""
    zone, hostname = config.zone, config.relay.hostname
    host, _, port = zone.imap.rpartition(":")
    return Plan(hostname, tuple(config.relay.domains), tuple(zone.mx) or (hostname,), tuple(zone.outgoing),
                _smarthost(config), zone.reports or f"postmaster@{hostname}", zone.mta_sts,
                (host, int(port)) if host else None, dkim, _submits(config))


def _submits(config: Config) -> frozenset[int]:
    there = ((SUBMISSION, config.listen.submission), (SUBMISSIONS, config.listen.submissions))
    return frozenset(port for port, listeners in there if listeners)


def organisation(domain: str) -> str:
    """The domain that somebody registered: relay.example.co.uk -> example.co.uk."""
    return _suffixes().privatesuffix(domain) or domain


@functools.cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()


def _smarthost(config: Config) -> str:
    if config.outbound.smarthost is None:
        return ""
    host = config.outbound.smarthost[0]
    try:
        return "" if ipaddress.ip_address(host).is_loopback else host
    except ValueError:
        return "" if host in (config.relay.hostname, "localhost") else host.lower()


def _spf_term(text: str, of_name: str = "include") -> str:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return f"{of_name}:{text}"
    single = network.prefixlen == network.max_prefixlen
    return f"ip{network.version}:{network.network_address if single else network}"
