"""A critical subject passes a buyer's refusal, so each order may use it a few times a day only."""

from aliasing.correspondence import Direction
from policy.case import Case
from policy.status import Status
from policy.verdict import PASS, Verdict, refuse


def check(case: Case) -> Verdict:
    """Refuse the fourth unsolicited message of a UTC day and order under a critical subject."""
    if case.facts.direction is not Direction.TO_BUYER or case.solicited or not case.critical:
        return PASS
    limit = case.settings.critical_per_order_and_day
    if case.facts.critical_today >= limit:
        return refuse(Status.CRITICAL_CAP, f"{case.facts.critical_today} today", order=case.facts.order,
                      limit=str(limit))
    return PASS
