"""POST /messages: written by API, judged like any mail, and a refusal is said in words."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from ipaddress import IPv4Address
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import JSONResponse

from aliasing.address import Address, AddressError
from aliasing.correspondence import Direction, Side
from aliasing.token import OpenedAlias, Role, open_alias
from policy.case import AddressState, Facts
from relay.accept import Transaction
from relay.compose import Draft, Enclosure, build
from relay.errors import NotFound, UsageError
from relay.ledger.apikeys import ApiKey
from relay.ledger.desk import Desk
from relay.ledger.opened import Opened
from relay.ledger.pages import Pages
from relay.ledger.registry import Registry
from relay.receive.service import Service
from relay.records import State, new_id
from relay.web.access import AtDesk, need_marketplace, need_seller, scope
from relay.web.idempotent import IdempotencyKey, IdempotentRoute
from relay.web.models import MessageBody, MessageOut
from relay.web.orders import visible_order
from relay.web.problem import Problem, documented, respond

router = APIRouter(route_class=IdempotentRoute, tags=["messages"], responses=documented())
Caller = Annotated[ApiKey, Depends(scope("messages"))]
_HERE = IPv4Address("127.0.0.1")
"""Who wrote has shown a key; networks are judged where mail comes in."""


@dataclass(frozen=True)
class _Addressed:
    """Whom a message is for, and what is known of them."""

    alias: Address
    recipient: OpenedAlias
    facts: Facts

    @property
    def login(self) -> str:
        """A key of the API counts as the writer's login: who may write as whom was judged before."""
        return self.facts.correspondence.parties[self.facts.direction.writer].key

    @property
    def writer(self) -> Address:
        """An address that may write: the registered one, unless that is blocked; then the rules say so."""
        own = self.facts.correspondence.addresses[self.facts.direction.writer]
        states = self.facts.writer_addresses
        return next((one for one in own if states.get(one.key) is AddressState.AUTHORISED), own[0])


@router.post("/messages", status_code=201, response_model=MessageOut)
async def send_message(request: Request, body: MessageBody, caller: Caller, desk: AtDesk,
                       idempotency_key: IdempotencyKey = None) -> Any:
    """Write to the other party of an order (or of an alias). The same rules as for mail hold.

    A message that a rule refuses is recorded as well: 422 `refused` gives the reason in words, in the writer's
    language, the rule, and the message's id.
    """
    service: Service = request.app.state.service
    to = await _addressed(service, desk, caller, body)
    reply_to = None
    if body.in_reply_to is not None:
        reply_to = await desk.read(partial(_replied, number=to.recipient.correspondence, about=body.in_reply_to))
    draft = Draft(body.subject, body.text, body.html, _files(body), reply_to)
    key, begun_at = getattr(request.state, "begun", (None, None))
    # asked again after a crash in between, it is the same message, which accept() knows
    seed = sha256(f"{caller.number} {key}".encode()).hexdigest() if key is not None else new_id()
    at = datetime.fromtimestamp(begun_at, UTC) if begun_at is not None else datetime.now(UTC)
    data = await desk.read(lambda _: build(draft, to.writer, to.alias, at.replace(microsecond=0), seed))
    trace = new_id() if key is None else seed[:16]
    return await _through(service, desk, to, data, trace)


async def _through(service: Service, desk: Desk, to: _Addressed, data: bytes, trace: str) -> Any:
    if len(data) > service.max_size:
        raise Problem("too-large", f"the message would have {len(data)} octets, more than {service.max_size}")
    hold = service.guard.hold(_HERE)
    if service.stopping or not hold.take(len(data)):
        raise Problem("unavailable", headers={"Retry-After": "5"})
    transaction = Transaction(
        trace=trace, client=_HERE, reverse_path=to.writer, recipients=(to.recipient,), returns=(), actions=(),
        received_at=datetime.now(UTC), data=data, login=to.login, channel="page")
    try:
        answer = await service.accept(transaction, hold)
    finally:
        hold.release()
    number = to.recipient.correspondence
    found = await desk.read(partial(_accepted, number=number, trace=trace))
    if found is None:  # nothing was recorded: a problem on our side, which the log knows
        raise Problem("unavailable", headers={"Retry-After": "5"})
    if found["state"] == State.REFUSED:
        return respond(Problem("refused", found["reply"] or "", rule=found["rule"], message=found["id"],
                               reply=answer.line))
    return JSONResponse(MessageOut.model_validate(found).model_dump(mode="json"), 201,
                        {"Location": f"/api/v1/messages/{found['id']}"})


async def _addressed(service: Service, desk: Desk, caller: ApiKey, body: MessageBody) -> _Addressed:
    if (body.order is None) == (body.alias is None):
        raise UsageError("give either order or alias")
    if body.text is None and body.html is None:
        raise UsageError("give text, html or both")
    if body.alias is not None:
        recipient = _opened(service, body.alias)
    else:
        assert body.order is not None
        number = await desk.read(partial(_order, caller=caller, order=body.order))
        recipient = OpenedAlias(Role(Side(body.writer).other), number)
    direction = Direction.toward(Side(recipient.role))
    facts = await service.ledger.facts(recipient.correspondence, direction, service.clock())
    if facts is None:
        raise NotFound("there is no such thing")
    need_seller(caller, facts.correspondence.parties[Side.SELLER].id)
    if direction.writer is not Side(body.writer):
        raise UsageError(f"the {body.writer} cannot write to that alias")
    if direction.writer is Side.BUYER:
        need_marketplace(caller)
    return _Addressed(facts.correspondence.alias(direction.reader), recipient, facts)


def _opened(service: Service, alias: str) -> OpenedAlias:
    try:
        found = open_alias(service.keys.ring, Address.parse(alias))
    except AddressError:
        found = None
    if found is None:
        raise NotFound("there is no such thing")
    return found


def _order(opened: Opened, caller: ApiKey, order: str) -> int:
    visible_order(opened, caller, order)
    return Registry(opened).number_of(order)


def _replied(opened: Opened, number: int, about: str) -> str:
    found = Pages(opened).outgoing_id(number, about)
    if found is None:
        raise NotFound("in_reply_to: there is no such message in this correspondence")
    return found


def _accepted(opened: Opened, number: int, trace: str) -> dict[str, Any] | None:
    pages = Pages(opened)
    id_ = pages.by_trace(number, trace)
    return pages.message(id_) if id_ is not None else None


def _files(body: MessageBody) -> list[Enclosure]:
    found = []
    for number, file in enumerate(body.attachments, 1):
        try:
            data = base64.b64decode(file.content_base64, validate=True)
        except (binascii.Error, ValueError):
            raise UsageError(f"attachment {number}: content_base64 is no base64") from None
        found.append(Enclosure(file.name, file.type, data))
    return found
