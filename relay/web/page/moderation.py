"""Moderators: what was reported, what is held, who is blocked; each decision with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from hashlib import sha256
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Path, Query, Request
from starlette.responses import RedirectResponse, Response

from aliasing.correspondence import Direction
from relay.dsn.notices import About, Notices
from relay.errors import NotFound
from relay.ledger.inbox import Inbox, Thread
from relay.ledger.moderation import DECISIONS, VERBS, Letter, Moderation
from relay.receive.service import Service
from relay.web.page.render import render, text
from relay.web.page.thread import MessageId, one_message
from relay.web.page.viewer import AtDesk, Moderator, config_of

router = APIRouter()
AT_ONCE = 30
KINDS: Mapping[str, str] = {"reports": "reported", "held": "held"}
"""Page -> the ledger's filter."""
Kind = Literal["reports", "held"]
Cursor = Annotated[str | None, Query(max_length=100)]
Reason = Annotated[str, Form(max_length=500)]


@router.get("/reports")
async def show_reports(request: Request, viewer: Moderator, desk: AtDesk, cursor: Cursor = None,
                       done: Annotated[str, Query(max_length=64)] = "") -> Response:
    part = await _part(request, desk, "reports", cursor)
    return render(request, "moderation_list.html", part=part, done=done)


@router.get("/held")
async def show_held(request: Request, viewer: Moderator, desk: AtDesk, cursor: Cursor = None,
                    done: Annotated[str, Query(max_length=64)] = "") -> Response:
    part = await _part(request, desk, "held", cursor)
    return render(request, "moderation_list.html", part=part, done=done)


@router.get("/moderation/rows")
async def show_rows(request: Request, viewer: Moderator, desk: AtDesk, kind: Kind,
                    seen: Annotated[str, Query(max_length=64)] = "") -> Response:
    """The first page of a list anew; 204 when it is what the browser has."""
    part = await _part(request, desk, kind, None)
    if part["version"] == seen:
        return Response(status_code=204)
    return render(request, "moderation_part.html", part=part)


@router.get("/moderation/{id}")
async def show_message(request: Request, id: MessageId, viewer: Moderator, desk: AtDesk) -> Response:  # noqa: A002
    """One message with what it says, and the form to decide about it."""
    return await _message(request, id, viewer, desk)


@router.post("/moderation/{id}/decide")
async def decide(request: Request, id: MessageId, viewer: Moderator, desk: AtDesk,  # noqa: A002
                 decision: Annotated[str, Form(max_length=20)] = "", reason: Reason = "") -> Response:
    if decision not in DECISIONS or not (reason := _one_line(reason)):
        return await _message(request, id, viewer, desk, missing=True, chosen=decision, reason=reason)
    letter = await _letter(request, desk, id, reason) if decision == "warned" else None
    await desk.write(lambda opened: Moderation(opened, viewer.login).decide(id, decision, reason, letter))
    return RedirectResponse(f"/reports?done={id}", 303)


@router.post("/moderation/{id}/settle")
async def settle(request: Request, id: MessageId, viewer: Moderator, desk: AtDesk,  # noqa: A002
                 decision: Annotated[str, Form(max_length=20)] = "", reason: Reason = "") -> Response:
    if decision not in VERBS or not (reason := _one_line(reason)):
        return await _message(request, id, viewer, desk, missing=True, chosen=decision, reason=reason)
    await desk.read(lambda opened: Moderation(opened, viewer.login).settle(id, decision, reason))  # takes its own turns
    return RedirectResponse(f"/held?done={id}", 303)


@router.get("/blocked")
async def show_blocked(request: Request, viewer: Moderator, desk: AtDesk) -> Response:
    rows = await desk.read(lambda opened: Moderation(opened, viewer.login).blocked())
    return render(request, "blocked.html", rows=rows)


@router.post("/blocked/{number}/lift")
async def lift(request: Request, number: Annotated[int, Path(ge=1, lt=2**63)], viewer: Moderator, desk: AtDesk,
               reason: Reason = "") -> Response:
    if not (reason := _one_line(reason)):
        return RedirectResponse("/blocked", 303)
    await desk.write(lambda opened: Moderation(opened, viewer.login).lift(number, reason))
    return RedirectResponse("/blocked", 303)


async def _message(request: Request, public_id: str, viewer: Moderator, desk: AtDesk, *, missing: bool = False,
                   chosen: str = "", reason: str = "") -> Response:
    shown = await one_message(request, public_id, viewer, desk)
    one, thread = shown["one"], shown["thread"]
    return render(request, "moderation.html", status=422 if missing else 200, **shown, missing=missing, chosen=chosen,
                  reason=reason, writer=_writer(one, thread), kind="reports" if one["reported"] else "held")


async def _part(request: Request, desk: AtDesk, kind: str, cursor: str | None) -> dict[str, Any]:
    look = partial(Inbox.page, chosen=KINDS[kind], seller=None, cursor=cursor, limit=AT_ONCE)
    found = await desk.read(lambda opened: look(Inbox(opened)))
    part = {"kind": kind, "rows": found.items, "live": cursor is None, "version": "",
            "older": f"/{kind}?cursor={found.next}" if found.next else None}
    return part | {"version": sha256(text(request, "moderation_part.html", part=part).encode()).hexdigest()[:32]}


def _writer(message: Mapping[str, Any], thread: Thread) -> str:
    if Direction(message["direction"]) is Direction.TO_BUYER:
        return thread.seller_name or thread.row.seller
    return thread.buyer_name or thread.row.buyer


async def _letter(request: Request, desk: AtDesk, public_id: str, reason: str) -> Letter:
    """The warning for the writer of a message. Raises NotFound once that party was erased."""
    service: Service = request.app.state.service
    about = await desk.read(lambda opened: Moderation(opened, "").about(public_id))
    now = service.clock()
    facts = await service.ledger.facts(about.correspondence, about.direction, now)
    if facts is None:
        raise NotFound("the writer was erased")
    correspondence, config = facts.correspondence, config_of(request)
    notices = Notices(config.relay.hostname, config.outbound.give_up_after)
    content = notices.warned(About(correspondence, about.direction, about.subject, about.received_at,
                                   about.original_id), reason, now)
    return Letter(content, correspondence.addresses[about.direction.writer][0].domain)


def _one_line(text: str) -> str:
    """What was typed, fit for a line of the timeline."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())
