"""The daily cap for a seller: 5 x average daily orders of the last 30 days + 600 (both numbers are settings)."""

from aliasing.correspondence import Direction
from policy.case import Case
from policy.status import Status
from policy.verdict import PASS, Verdict, refuse


def check(case: Case) -> Verdict:
    """Defer what a seller writes beyond the cap of this UTC day."""
    if case.facts.direction is not Direction.TO_BUYER:
        return PASS
    cap = case.settings.rate_base + case.settings.rate_orders_factor * case.facts.orders_last_30_days // 30
    if case.facts.sent_today >= cap:
        return refuse(Status.DAILY_CAP, f"{case.facts.sent_today} today", order=case.facts.order, limit=str(cap))
    return PASS
