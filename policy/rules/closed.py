"""A closed correspondence takes no more mail."""

from policy.case import Case
from policy.status import Status
from policy.verdict import PASS, Verdict, refuse


def check(case: Case) -> Verdict:
    """Refuse once the order was closed."""
    if case.facts.closed_at is None or case.facts.closed_at > case.now:
        return PASS
    return refuse(Status.CLOSED, "correspondence closed", order=case.facts.order)
