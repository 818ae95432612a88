"""Who is logged in may write as their own party only, and as its authorised addresses only."""

from policy.case import AddressState, Case
from policy.rules.authorised import refused_state
from policy.status import Status
from policy.verdict import PASS, Verdict, refuse


def check(case: Case) -> Verdict:
    """Refuse a login of another party, and a From that is not the login's; without a login, pass."""
    verdict = check_party(case)
    if case.login is None or case.header_from is None or not verdict.passes:
        return verdict
    correspondence, direction = case.facts.correspondence, case.facts.direction
    if case.login == correspondence.parties[direction.reader].key:
        return refuse(Status.OWN_ALIAS, "the alias of the login's own party")
    state = case.facts.writer_addresses.get(case.header_from.key)
    if state is None:
        return refuse(Status.LOGIN_FROM, "From is no address of the login's party")
    return PASS if state is AddressState.AUTHORISED else refused_state(state)


def check_party(case: Case) -> Verdict:
    """Before the message: refuse a login that is no party here. A reply-all names the writer's own alias as well."""
    if case.login is None or any(case.login == party.key for party in case.facts.correspondence.parties.values()):
        return PASS
    return refuse(Status.LOGIN_NOT_PARTY, "the login's party is not of this correspondence")
