"""The records to publish, each with what it is for, and the same in BIND's syntax (RFC 1035 5.1)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from relay.zone.plan import AUTOCONFIG, AUTODISCOVER, MTA_STS, Plan

TTL_S = 3600
STRING_OCTETS = 255
"""The longest string of a TXT record (RFC 1035 3.3)."""
NO_KEY = "no DKIM key yet: make one with `tradepost key rotate --dkim`, then run this again"
NO_SUBMISSION = "mail clients cannot send through this relay: listen.submission and listen.submissions name no listener"
NO_REPORTS = "the relay itself takes no reports: name a mailbox of yours in zone.reports, under another domain"


@dataclass(frozen=True)
class Record:
    """`name` without final dot; `value` in presentation form, but a TXT's as one bare text. "" as kind: a remark."""

    domain: str
    name: str
    kind: str
    value: str
    purpose: str


@dataclass(frozen=True)
class File:
    """What a web server has to serve."""

    domain: str
    url: str
    text: str
    purpose: str


def records(plan: Plan) -> Iterator[Record]:
    """For the host and for every relay domain, in the order of a message's way."""
    yield Record(plan.hostname, plan.hostname, "", "", (
        f"{plan.hostname} needs A/AAAA records with this machine's public addresses, "
        f"and the PTR record of each of them (at whoever owns the network) must be {plan.hostname}."))
    if plan.hostname not in plan.domains:
        yield Record(plan.hostname, plan.hostname, "TXT", plan.spf(plan.hostname),
                     "SPF of the name in our greeting, by which receivers judge DSNs")
    for domain in plan.domains:
        yield from _mail(plan, domain)
        yield from _policies(plan, domain)
        yield from _clients(plan, domain)


def files(plan: Plan) -> Iterator[File]:
    """One a relay domain."""
    for domain in plan.domains:
        yield File(domain, f"https://{MTA_STS}.{domain}/.well-known/mta-sts.txt", plan.policy,
                   f"the MTA-STS policy: over HTTPS with a certificate for {MTA_STS}.{domain}; "
                   "listen.http serves it to a web server in front")


def _mail(plan: Plan, domain: str) -> Iterator[Record]:
    for host in plan.mx:
        yield Record(domain, domain, "MX", f"10 {host}.", "where mail to the aliases is delivered")
    yield Record(domain, domain, "TXT", plan.spf(domain), "SPF: where mail of this domain comes from, and nowhere else")
    keys = plan.dkim(domain)
    for name, text in keys:
        yield Record(domain, name, "TXT", text, "DKIM: the public key by which receivers check our signatures")
    if not keys:
        yield Record(domain, domain, "", "", NO_KEY)
    if plan.reports_reach_us:
        yield Record(domain, domain, "", "", NO_REPORTS)
    yield Record(domain, f"_dmarc.{domain}", "TXT", plan.dmarc(),
                 "DMARC: mail in this domain's name that passes neither SPF nor DKIM is to be refused; reports")
    if elsewhere := plan.reports_elsewhere(domain):
        yield Record(domain, elsewhere, "TXT", "v=DMARC1",
                     "goes into the other zone: it agrees to get this domain's reports")


def _policies(plan: Plan, domain: str) -> Iterator[Record]:
    yield Record(domain, f"_{MTA_STS}.{domain}", "TXT", f"v=STSv1; id={plan.policy_id}",
                 "MTA-STS: there is a policy that TLS is needed to reach us; the id changes with it")
    yield Record(domain, f"{MTA_STS}.{domain}", "CNAME", f"{plan.hostname}.", "MTA-STS: the host with the policy")
    yield Record(domain, f"_smtp._tls.{domain}", "TXT", plan.tls_reports(),
                 "TLS-RPT: who is told when others could not reach us with TLS")


def _clients(plan: Plan, domain: str) -> Iterator[Record]:
    if not plan.submits:
        yield Record(domain, domain, "", "", NO_SUBMISSION)
    if not plan.services():
        return
    for prefix, (port, host) in plan.services().items():
        what = "reading" if "imap" in prefix else "sending"
        yield Record(domain, f"{prefix}.{domain}", "SRV", f"0 1 {port} {host}.", f"mail clients: the server for {what}")
    yield Record(domain, f"{AUTOCONFIG}.{domain}", "CNAME", f"{plan.hostname}.", "Thunderbird asks here for settings")
    yield Record(domain, f"{AUTODISCOVER}.{domain}", "CNAME", f"{plan.hostname}.", "Outlook asks here for settings")
    yield Record(domain, f"_autodiscover._tcp.{domain}", "SRV", f"0 0 443 {plan.hostname}.",
                 "the same for some Outlooks")


def bind(found: Iterable[Record], served: Iterable[File]) -> Iterator[str]:
    """Lines of a zone file."""
    domain = ""
    for record in found:
        if record.domain != domain:
            domain = record.domain
            yield f"\n; ---- {domain}"
        yield f"; {record.purpose}"
        if record.kind:
            value = quoted(record.value) if record.kind == "TXT" else record.value
            yield f"{record.name}. {TTL_S} IN {record.kind} {value}"
    for file in served:
        yield f"\n; ---- {file.url}\n; {file.purpose}"
        yield from (f";     {line}" for line in file.text.splitlines())


def quoted(text: str) -> str:
    """A TXT value as strings of at most 255 octets each; readers join them without a space."""
    octets = text.encode()
    pieces = [octets[at:at + STRING_OCTETS] for at in range(0, len(octets), STRING_OCTETS)] or [b""]
    return " ".join('"' + "".join(_escaped(octet) for octet in piece) + '"' for piece in pieces)


def _escaped(octet: int) -> str:
    if octet in b'"\\':
        return "\\" + chr(octet)
    return chr(octet) if 32 <= octet < 127 else f"\\{octet:03}"
