"""An address that is not authorised wrote to a buyer for a seller: whether the seller is asked about it.

The question goes to the registered address, so whoever can make us ask can make us write to a third person. It is
asked only about who is known to own the address, and never a seller about what may be a buyer's own address.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from aliasing.address import Address
from aliasing.correspondence import Direction
from aliasing.token import OpenedAlias, Role, open_alias
from policy.case import Facts
from policy.chain import Decision
from policy.recipients import addresses
from policy.status import Status
from policy.verdict import Reply
from relay.passage import Letter, Passage

_UNKNOWN = (Status.NOT_AUTHORISED, Status.LOGIN_FROM)


def asked_address(decision: Decision, letter: Letter, facts: Facts, *, is_sure: bool) -> Address | None:
    """The address to ask about, if it was refused for being unknown and it `is_sure` who wrote.

    What a buyer sends to their own alias, and be it from a second address, must not be shown to the seller: without a
    login the caller is to be sure of that too (is_to_both()).
    """
    address, reply = letter.header_from, decision.verdict.reply
    if not is_sure or reply is None or reply.status not in _UNKNOWN or address is None:
        return None
    if facts.direction is not Direction.TO_BUYER or address.domain == facts.correspondence.domain:
        return None
    known = address.key in facts.reader_addresses or address.key in facts.writer_addresses
    return None if known else address


def is_to_both(letter: Letter, facts: Facts, recipients: Collection[OpenedAlias]) -> bool:
    """Whether it is to the other alias of this correspondence as well, by envelope, To or Cc: then it may be a
    buyer's reply to all, which names the buyer's own alias beside the seller's."""
    correspondence = facts.correspondence
    other = OpenedAlias(Role(facts.direction.writer), correspondence.number)
    if other in recipients or letter.message is None:
        return True
    return any(address.domain == correspondence.domain and open_alias(correspondence.ring, address) == other
               for field in letter.message.fields if field.name in ("to", "cc") for address in addresses(field))


def asking(passage: Passage) -> Passage:
    """The same refusal, but saying that its party was asked."""
    decision = passage.decision
    verdict = replace(decision.verdict, reply=Reply(Status.CONFIRM_ADDRESS))
    ran = tuple((rule, verdict if rule == decision.rule else other) for rule, other in decision.ran)
    return replace(passage, decision=replace(decision, verdict=verdict, ran=ran))
