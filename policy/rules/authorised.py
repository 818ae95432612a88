"""Only an authorised address of the counterpart may write to an alias. Identity is the one header From."""

from policy.case import AddressState, Case
from policy.status import Status
from policy.verdict import PASS, Verdict, refuse


def check(case: Case) -> Verdict:
    """Refuse everybody whom this alias was not made for, telling no order and no name."""
    if case.header_from is None:
        return refuse(Status.FROM_NOT_SINGLE, "no single address in a single From")
    key = case.header_from.key
    state = case.facts.writer_addresses.get(key)
    if state is AddressState.AUTHORISED:
        return PASS
    if state is not None:
        return refused_state(state)
    if key in case.facts.reader_addresses:
        return refuse(Status.OWN_ALIAS, "the writer's own alias")
    return refuse(Status.NOT_AUTHORISED, "not an address of the counterpart")


def refused_state(state: AddressState) -> Verdict:
    """What an address hears that the account knows and that may not write."""
    if state is AddressState.BLOCKED:
        return refuse(Status.ADDRESS_BLOCKED, "a blocked address of the counterpart")
    return refuse(Status.ADDRESS_REMOVED, "a removed address of the counterpart")
