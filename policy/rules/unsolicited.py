"""A buyer may refuse unsolicited messages. A reply to the buyer is never unsolicited, and a critical matter
(by its subject) passes the refusal."""

from aliasing.correspondence import Direction
from policy.case import Case
from policy.status import Status
from policy.verdict import PASS, Verdict, refuse


def check(case: Case) -> Verdict:
    """Refuse a seller's message that is neither a reply nor critical where the buyer opted out."""
    if case.facts.direction is not Direction.TO_BUYER or case.solicited or case.critical:
        return PASS
    if case.settings.unsolicited == "refuse" or case.facts.unsolicited_refused:
        return refuse(Status.UNSOLICITED, f"opted out: {case.facts.unsolicited_refused or 'everybody'}",
                      order=case.facts.order, help_url=case.settings.help_url)
    return PASS
