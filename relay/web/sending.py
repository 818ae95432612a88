"""POST /messages: written by API, judged like any mail, and a refusal is said in words."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import JSONResponse

from aliasing.address import Address, AddressError
from aliasing.correspondence import Side
from aliasing.token import OpenedAlias, Role, open_alias
from relay.compose import Draft, Enclosure
from relay.errors import NotFound, UsageError
from relay.ledger.apikeys import ApiKey
from relay.ledger.desk import Desk
from relay.ledger.opened import Opened
from relay.ledger.registry import Registry
from relay.receive.service import Service
from relay.records import new_id
from relay.web.access import AtDesk, need_marketplace, need_seller, scope
from relay.web.idempotent import IdempotencyKey, IdempotentRoute
from relay.web.models import MessageBody, MessageOut
from relay.web.orders import visible_order
from relay.web.problem import Problem, documented, respond
from relay.web.writing import Addressed, addressed, replied, send

router = APIRouter(route_class=IdempotentRoute, tags=["messages"], responses=documented())
Caller = Annotated[ApiKey, Depends(scope("messages"))]
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
        reply_to = await desk.read(partial(replied, number=to.recipient.correspondence, about=body.in_reply_to))
    draft = Draft(body.subject, body.text, body.html, _files(body), reply_to)
    key, begun_at = getattr(request.state, "begun", (None, None))
    # asked again after a crash in between, it is the same message, which accept() knows
    seed = sha256(f"{caller.number} {key}".encode()).hexdigest() if key is not None else new_id()
    at = datetime.fromtimestamp(begun_at, UTC) if begun_at is not None else datetime.now(UTC)
    sent = await send(service, desk, to, draft, at=at, seed=seed, trace=new_id() if key is None else seed[:16])
    found = sent.message
    if sent.is_refused:
        return respond(Problem("refused", found["reply"] or "", rule=found["rule"], message=found["id"],
                               reply=sent.line))
    return JSONResponse(MessageOut.model_validate(found).model_dump(mode="json"), 201,
                        {"Location": f"/api/v1/messages/{found['id']}"})


async def _addressed(service: Service, desk: Desk, caller: ApiKey, body: MessageBody) -> Addressed:
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
    to = await addressed(service, recipient)
    writer = to.facts.direction.writer
    need_seller(caller, to.facts.correspondence.parties[Side.SELLER].id)
    if writer is not Side(body.writer):
        raise UsageError(f"the {body.writer} cannot write to that alias")
    if writer is Side.BUYER:
        need_marketplace(caller)
    return to


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


def _files(body: MessageBody) -> list[Enclosure]:
    found = []
    for number, file in enumerate(body.attachments, 1):
        try:
            data = base64.b64decode(file.content_base64, validate=True)
        except (binascii.Error, ValueError):
            raise UsageError(f"attachment {number}: content_base64 is no base64") from None
        found.append(Enclosure(file.name, file.type, data))
    return found
