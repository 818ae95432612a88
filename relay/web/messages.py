"""Messages: the list, one with its timeline, its content and files, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Response

from aliasing.correspondence import Direction
from relay.errors import NotFound
from relay.ledger.apikeys import ApiKey
from relay.ledger.desk import Desk
from relay.ledger.marks import Marks
from relay.ledger.opened import Opened
from relay.ledger.pages import Pages
from relay.web.access import AtDesk, scope
from relay.web.content import SHOWN, attachment, disposition, for_seller, is_as_sent, rendered, shown
from relay.web.idempotent import IdempotencyKey, IdempotentRoute
from relay.web.models import ContentOut, DecisionBody, MessageOut, Page, TimelineOut
from relay.web.orders import Cursor, Limit, visible_order
from relay.web.problem import documented

router = APIRouter(route_class=IdempotentRoute, tags=["messages"], responses=documented())
Caller = Annotated[ApiKey, Depends(scope("messages"))]
Moderator = Annotated[ApiKey, Depends(scope("moderate"))]
MessageId = Annotated[str, Path(max_length=64)]
Filter = Literal["needs-reply", "all", "sent", "refused", "held", "failed", "reported"]


def _octets(*types: str) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that answers with something else than JSON."""
    return {200: {"description": "As it is", "content": {
        one: {"schema": {"type": "string", "contentMediaType": one}} for one in types}}}


@router.get("/messages", response_model=Page[MessageOut])
async def list_messages(caller: Caller, desk: AtDesk, order: Annotated[str | None, Query(max_length=128)] = None,
                        filter: Filter = "all", cursor: Cursor = None,  # noqa: A002 - its name in the command line
                        limit: Limit = 50) -> dict[str, Any]:
    """Every message, passed or refused, newest first. Searched by order number only."""
    def look(opened: Opened) -> dict[str, Any]:
        if order is not None:
            visible_order(opened, caller, order)
        found = Pages(opened).message_page(order=order, chosen=filter, seller=caller.seller_number, cursor=cursor,
                                           limit=limit)
        return {"items": found.items, "next": found.next}

    return await desk.read(look)


@router.get("/messages/{id}", response_model=TimelineOut)
async def show_message(id: MessageId, caller: Caller, desk: AtDesk) -> dict[str, Any]:  # noqa: A002
    """One message with its timeline: verdicts, attempts, replies, DSNs."""
    def look(opened: Opened) -> dict[str, Any]:
        visible_message(opened, caller, id)
        timeline = Pages(opened).timeline(id)
        return timeline if caller.seller is None else for_seller(timeline)

    return await desk.read(look)


@router.get("/messages/{id}/raw", response_class=Response, responses=_octets("message/rfc822"))
async def raw_message(id: MessageId, caller: Caller, desk: AtDesk) -> Response:  # noqa: A002
    """The message as its reader's mail server got it. What went to a buyer is for the marketplace's keys only: its
    footer and List-Unsubscribe act for the buyer."""
    if caller.seller is not None:
        asked = await desk.read(lambda opened: visible_message(opened, caller, id))
        if asked["direction"] != Direction.TO_SELLER:
            raise NotFound("a message to a buyer is shown by its content; see /messages/{id}/content")
    return Response(await _content(desk, caller, id), media_type="message/rfc822",
                    headers={"Content-Disposition": disposition(f"{id}.eml")})


@router.get("/messages/{id}/content", response_model=ContentOut)
async def message_content(id: MessageId, caller: Caller, desk: AtDesk) -> dict[str, Any]:  # noqa: A002
    """Its texts and the list of its files."""
    raw = await _content(desk, caller, id)
    return await desk.read(lambda _: shown(partial(rendered, raw), "this message cannot be read"))


@router.get("/messages/{id}/attachments/{number}", response_class=Response,
            responses=_octets("application/octet-stream", *SHOWN))
async def message_attachment(id: MessageId, number: Annotated[int, Path(ge=1, le=1000)], caller: Caller,  # noqa: A002
                             desk: AtDesk) -> Response:
    """One file of it, to be saved."""
    raw = await _content(desk, caller, id)
    file = await desk.read(lambda _: shown(partial(attachment, raw, number), "there is no such attachment"))
    return Response(file.data, media_type=file.type, headers={"Content-Disposition": disposition(file.name)})


@router.post("/messages/{id}/answered", response_model=MessageOut)
async def mark_answered(id: MessageId, caller: Caller, desk: AtDesk,  # noqa: A002
                        idempotency_key: IdempotencyKey = None) -> dict[str, Any]:
    """The buyer's message was answered elsewhere: it does not need a reply any more."""
    return await _mark(desk, caller, id, lambda marks: marks.answered(id))


@router.post("/messages/{id}/no-answer-needed", response_model=MessageOut)
async def mark_no_answer_needed(id: MessageId, caller: Caller, desk: AtDesk,  # noqa: A002
                                idempotency_key: IdempotencyKey = None) -> dict[str, Any]:
    """The buyer's message needs no reply."""
    return await _mark(desk, caller, id, lambda marks: marks.no_answer_needed(id))


@router.post("/messages/{id}/report", response_model=MessageOut)
async def report_message(id: MessageId, caller: Caller, desk: AtDesk,  # noqa: A002
                         idempotency_key: IdempotencyKey = None) -> dict[str, Any]:
    """The message is inappropriate: a moderator shall look at it."""
    return await _mark(desk, caller, id, lambda marks: marks.report(id))


@router.post("/messages/{id}/decision", response_model=MessageOut)
async def decide_report(id: MessageId, body: DecisionBody, caller: Moderator, desk: AtDesk,  # noqa: A002
                        idempotency_key: IdempotencyKey = None) -> dict[str, Any]:
    """A moderator's decision about a reported message, with its reason, for the timeline."""
    return await _mark(desk, caller, id, lambda marks: marks.decide(id, body.decision, body.reason))


def visible_message(opened: Opened, caller: ApiKey, public_id: str) -> dict[str, Any]:
    """The message, if it is there for this key; else the same NotFound as for one that is nowhere."""
    found = Pages(opened).message(public_id)
    if not caller.sees(found["seller"]):
        raise NotFound("there is no such message")
    return found


async def _content(desk: Desk, caller: ApiKey, public_id: str) -> bytes:
    """What is kept of it. What was stopped at the door still names real addresses: that is for moderators only."""
    def look(opened: Opened) -> bytes:
        found = visible_message(opened, caller, public_id)
        if not is_as_sent(found) and "moderate" not in caller.scopes:
            raise NotFound("nothing that is to be shown is kept of this message")
        return Pages(opened).content(public_id, None if caller.seller is not None else f"api {caller.name}")

    return await desk.read(look)


async def _mark(desk: Desk, caller: ApiKey, public_id: str, mark: Callable[[Marks], None]) -> dict[str, Any]:
    def change(opened: Opened) -> dict[str, Any]:
        visible_message(opened, caller, public_id)
        mark(Marks(opened, caller.name))
        return Pages(opened).message(public_id)

    return await desk.write(change)
