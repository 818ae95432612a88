"""Does SPF let our mail pass, and nobody else's (RFC 7208)? spftrace evaluates, our resolver asks."""

from __future__ import annotations

from collections.abc import Sequence

from spftrace import Evaluator, Limits

from relay.authn.spf import MAX_TERMS, Lookups
from relay.dns import Resolver
from relay.zone.asked import Asked
from relay.zone.finding import Finding, right, shown, unknown, warning, wrong
from relay.zone.plan import Plan


async def spf(plan: Plan, asked: Asked, domain: str, addresses: Sequence[str]) -> list[Finding]:
    """The record of a domain that mail leaves under, for each of the addresses that it leaves from."""
    found = await asked.texts(domain, "v=spf1")
    mend = f'publish {domain}. TXT "{plan.spf(domain)}"'
    if not found:
        return [wrong(domain, "spf-missing", "no SPF record", mend)]
    if len(found) > 1:
        return [wrong(domain, "spf-several", f"{len(found)} SPF records, which count as an error (RFC 7208 4.5): "
                      + "; ".join(shown(text, 80) for text in found), f"leave exactly one: {mend}")]
    said = _openness(domain, found[0].lower().split(), mend)
    for address in addresses:
        said += await _evaluated(asked.resolver, domain, address, mend)
        if any(one.fault in ("spf-syntax", "spf-lookups") for one in said):
            break  # the same for every address
    return said or [right(domain, f"SPF {shown(found[0])}")]


def _openness(domain: str, terms: Sequence[str], mend: str) -> list[Finding]:
    if "all" in terms or "+all" in terms:
        return [wrong(domain, "spf-all", '"+all" lets everybody send in the name of this domain', mend)]
    if "?all" in terms:
        return [wrong(domain, "spf-neutral", '"?all" says nothing about senders that are not listed', mend)]
    if "~all" in terms:
        return [warning(domain, "spf-softfail", '"~all" only advises against senders that are not listed', mend)]
    if "-all" not in terms and not any(term.startswith("redirect=") for term in terms):
        return [wrong(domain, "spf-open", 'no "-all" at its end: it says nothing about other senders', mend)]
    return []


async def _evaluated(resolver: Resolver, domain: str, address: str, mend: str) -> list[Finding]:
    limits = Limits(max_terms=MAX_TERMS, audit=True)
    found = await Evaluator(Lookups(resolver), limits).evaluate(address, f"postmaster@{domain}", domain)
    if found.result == "temperror":
        return [unknown(domain, f"SPF for {address}: no answer from the DNS")]
    if found.dns_terms_used > MAX_TERMS:
        return [wrong(domain, "spf-lookups", f"the SPF record needs {found.dns_terms_used} look-ups; over {MAX_TERMS} "
                      "are an error (RFC 7208 4.6.4)", "replace include: by ip4:/ip6: of what they list, or " + mend)]
    if found.result == "permerror":
        return [wrong(domain, "spf-syntax", f"the SPF record is an error: {_why(found.trace.to_list())}", mend)]
    if found.result != "pass":
        return [wrong(domain, "spf-without-us", f"SPF says {found.result} for {address}, which mail leaves from", mend)]
    return []


def _why(events: Sequence[dict[str, object]]) -> str:
    said = [str(event[key]) for event in events for key in ("error", "reason", "message", "detail") if event.get(key)]
    return shown(said[-1]) if said else "its syntax (RFC 7208 12)"
