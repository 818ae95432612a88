"""A message that has been through here before is going in circles (RFC 5321 6.3)."""

from aliasing.rewrite import trace_marks
from aliasing.token import Role
from policy.case import Case
from policy.status import Status
from policy.verdict import PASS, Verdict, refuse

MAX_RECEIVED = 50
MAX_PASSAGES = 4
"""A forwarding help desk may send a message through us again, for another correspondence; not for ever."""

MAX_EXCHANGE = 30
"""Messages to and fro within five minutes: two people do not write that fast, and a refusal ends it for machines."""


def check(case: Case) -> Verdict:
    """Refuse our own mark or Message-ID for this correspondence, too many marks or hops, and machines in talk."""
    message = case.message
    assert message is not None, "structure comes first in the chain"
    if len(message.all("received")) > MAX_RECEIVED:
        return refuse(Status.LOOP, "too many Received fields")
    correspondence = case.facts.correspondence
    passages = [correspondence.ring.open(Role.TRACE, correspondence.domain, mark) for mark in trace_marks(message)]
    ours = [number for number in passages if number is not None]
    if correspondence.number in ours or len(ours) > MAX_PASSAGES:
        return refuse(Status.LOOP, "own trace mark found")
    if case.facts.returning:  # whoever took the mark away left the id
        return refuse(Status.LOOP, "own Message-ID found")
    if case.facts.exchange >= MAX_EXCHANGE:
        return refuse(Status.LOOP, "two machines answer each other")
    return PASS
