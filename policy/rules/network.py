"""Who may connect at all: the operator's blocked networks."""

from policy.case import Case
from policy.status import Status
from policy.verdict import PASS, Verdict, refuse


def check(case: Case) -> Verdict:
    """Refuse a client in a blocked network."""
    for network in case.blocks.networks:
        if case.client.version == network.version and case.client in network:
            return refuse(Status.BLOCKED_BY_OPERATOR, "client network is blocked")
    return PASS
