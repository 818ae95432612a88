"""Block lists: the operator's by party, address and domain, a buyer's by seller, a seller's by buyer."""

from policy.case import Case
from policy.status import Status
from policy.verdict import PASS, Verdict, refuse


def check(case: Case) -> Verdict:
    """Refuse a writer whom the operator or the reader has blocked."""
    facts = case.facts
    if facts.writer_blocked:
        return refuse(Status.BLOCKED_BY_OPERATOR, "the party is blocked", order=facts.order)
    for address in filter(None, (case.header_from, case.reverse_path)):
        domain = address.domain
        suffixes = {domain} | {domain[at + 1 :] for at, char in enumerate(domain) if char == "."}
        if address.key in case.blocks.addresses or suffixes & case.blocks.domains:
            return refuse(Status.BLOCKED_BY_OPERATOR, "address or domain is blocked", order=facts.order)
    if facts.counterpart_refused:
        return refuse(Status.BLOCKED_BY_COUNTERPART, "blocked by the reader", order=facts.order)
    return PASS
