"""What is written here, by API or on the page, goes through accept() like any mail: the way there for both."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from ipaddress import IPv4Address
from typing import Any

from aliasing.address import Address
from aliasing.correspondence import Direction, Side
from aliasing.token import OpenedAlias
from policy.case import AddressState, Facts
from policy.verdict import Reply
from relay.accept import Foretold, Transaction
from relay.compose import Draft, build
from relay.errors import NotFound
from relay.ledger.desk import Desk
from relay.ledger.opened import Opened
from relay.ledger.pages import Pages
from relay.receive.limits import Hold
from relay.receive.service import Service
from relay.records import State, new_id
from relay.web.problem import Problem

_HERE = IPv4Address("127.0.0.1")
"""Who wrote has shown a key or a session; networks are judged where mail comes in."""


@dataclass(frozen=True)
class Addressed:
    """Whom a message is for, and what is known of them."""

    alias: Address
    recipient: OpenedAlias
    facts: Facts

    @property
    def login(self) -> str:
        """A key or a session counts as the writer's login: who may write as whom was judged before."""
        return self.facts.correspondence.parties[self.facts.direction.writer].key

    @property
    def writer(self) -> Address:
        """An address that may write: the registered one, unless that is blocked; then the rules say so."""
        own = self.facts.correspondence.addresses[self.facts.direction.writer]
        states = self.facts.writer_addresses
        return next((one for one in own if states.get(one.key) is AddressState.AUTHORISED), own[0])


@dataclass(frozen=True)
class Sent:
    """`message` as in the ledger; `reply` the verdict on it, and `line` the same as SMTP would say it."""

    message: dict[str, Any]
    reply: Reply | None
    line: str

    @property
    def is_refused(self) -> bool:
        return str(self.message["state"]) == State.REFUSED


async def addressed(service: Service, recipient: OpenedAlias) -> Addressed:
    """Raises NotFound for a correspondence that is not there or was erased."""
    direction = Direction.toward(Side(recipient.role))
    facts = await service.ledger.facts(recipient.correspondence, direction, service.clock())
    if facts is None:
        raise NotFound("there is no such thing")
    return Addressed(facts.correspondence.alias(direction.reader), recipient, facts)


def replied(opened: Opened, number: int, about: str) -> str:
    """The Message-ID that an answer to a message of a correspondence names. Raises NotFound."""
    found = Pages(opened).outgoing_id(number, about)
    if found is None:
        raise NotFound("in_reply_to: there is no such message in this correspondence")
    return found


async def send(service: Service, desk: Desk, to: Addressed, draft: Draft, *, at: datetime, seed: str,
               trace: str) -> Sent:
    """Judge, record and queue it. The same draft, time and seed again is the same message, which accept() knows.

    Raises Problem: too-large, unavailable.
    """
    data = await _built(service, desk, to, draft, at, seed)
    with room(service, len(data)) as hold:
        answer = await service.accept(_transaction(to, data, trace), hold)
    found = await desk.read(partial(written, number=to.recipient.correspondence, trace=trace))
    if found is None:  # nothing was recorded: a problem on our side, which the log knows
        raise Problem("unavailable", headers={"Retry-After": "5"})
    return Sent(found, answer.reply, answer.line)


async def foretell(service: Service, desk: Desk, to: Addressed, draft: Draft) -> Foretold:
    """What would become of it now. Nothing is recorded. Raises Problem as send() does."""
    data = await _built(service, desk, to, draft, datetime.now(UTC), new_id())
    with room(service, len(data)):
        return await service.foretell(_transaction(to, data, new_id()))


def written(opened: Opened, number: int, trace: str) -> dict[str, Any] | None:
    """The message of a correspondence that was sent with that trace, if there is one."""
    pages = Pages(opened)
    id_ = pages.by_trace(number, trace)
    return pages.message(id_) if id_ is not None else None


@contextmanager
def room(service: Service, octets: int) -> Generator[Hold]:
    """Room in memory for so much. Raises Problem: unavailable."""
    hold = service.guard.hold(_HERE)
    if service.stopping or not hold.take(octets):
        raise Problem("unavailable", headers={"Retry-After": "5"})
    try:
        yield hold
    finally:
        hold.release()


async def _built(service: Service, desk: Desk, to: Addressed, draft: Draft, at: datetime, seed: str) -> bytes:
    data = await desk.read(lambda _: build(draft, to.writer, to.alias, at.replace(microsecond=0), seed))
    if len(data) > service.max_size:
        raise Problem("too-large", f"the message would have {len(data)} octets, more than {service.max_size}")
    return data


def _transaction(to: Addressed, data: bytes, trace: str) -> Transaction:
    return Transaction(trace=trace, client=_HERE, reverse_path=to.writer, recipients=(to.recipient,), returns=(),
                       actions=(), received_at=datetime.now(UTC), data=data, login=to.login, channel="page")
