"""One correspondence: both directions as a thread, each message with its state, times, files and timeline."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Path, Query, Request
from starlette.responses import RedirectResponse, Response

from aliasing.message import MessageError
from relay.errors import Conflict, NotFound
from relay.ledger.inbox import Inbox, Thread
from relay.ledger.marks import Marks
from relay.ledger.opened import Opened
from relay.web.content import for_seller, is_as_sent
from relay.web.page import telling
from relay.web.page.body import Body, body_of
from relay.web.page.listing import clock_of
from relay.web.page.render import render
from relay.web.page.viewer import AtDesk, Reader, Seller, Viewer, words_of

router = APIRouter()
MessageId = Annotated[str, Path(max_length=64)]
Cursor = Annotated[str | None, Query(max_length=100)]
Mark = Literal["answered", "no-answer-needed", "report"]
OPEN = 3
"""How many of the newest messages are shown with what they say; of the others it is one click away."""
OPEN_BYTES = 3_000_000
"""Messages bigger than that are shown when they are asked for: to open one takes time."""
SLOW_S = 300
"""A provider's delay that is worth a word of its own."""
_VERSIONS = secrets.token_bytes(32)
"""So that versions say nothing of how many events there are; other ones after a restart cost a refresh."""


@router.get("/messages/{id}")
async def show_message(request: Request, id: MessageId, viewer: Reader, desk: AtDesk,  # noqa: A002
                       earlier: Cursor = None) -> Response:
    """The correspondence that a message belongs to, opened at it."""
    look = partial(_look, viewer=viewer, find=lambda inbox: inbox.thread_of(id), opened_at=id, earlier=earlier)
    return _shown(request, *await desk.read(look), focus=id)


@router.get("/orders/{order:path}")
async def show_order(request: Request, order: Annotated[str, Path(max_length=200)], viewer: Reader, desk: AtDesk,
                     earlier: Cursor = None) -> Response:
    """The correspondence about an order, which may have no message yet."""
    look = partial(_look, viewer=viewer, find=lambda inbox: inbox.thread_of_order(order), opened_at="",
                   earlier=earlier)
    return _shown(request, *await desk.read(look), focus="")


@router.get("/messages/{id}/open")
async def open_message(request: Request, id: MessageId, viewer: Reader, desk: AtDesk) -> Response:  # noqa: A002
    """One message with what it says, to stand in the place of its closed form."""
    return render(request, "message.html", **await one_message(request, id, viewer, desk))


async def one_message(request: Request, public_id: str, viewer: Viewer, desk: AtDesk) -> dict[str, Any]:
    """What message.html shows of a message and what it says; that a moderator looked is recorded. Raises NotFound."""
    def look(opened: Opened) -> tuple[Thread, dict[str, Any], dict[str, str]]:
        inbox = Inbox(opened)
        thread = _visible(inbox.thread_of(public_id), viewer)
        message = _told(inbox.timeline(public_id), viewer)
        return thread, message | {"body": _body(inbox, message, viewer)}, inbox.versions(thread.number)

    thread, message, versions = await desk.read(look)
    return {"thread": thread, "one": _prepared(request, message, versions, focus=public_id)}


@router.get("/messages/{id}/news")
async def show_news(request: Request, id: MessageId, viewer: Reader, desk: AtDesk,  # noqa: A002
                    seen: Annotated[str, Query(max_length=4000)] = "") -> Response:
    """What has changed in the thread of a message since `seen`; 204 for nothing."""
    known = dict(pair.split(":", 1) for pair in seen.split(",") if ":" in pair)

    def look(opened: Opened) -> tuple[Thread, list[dict[str, Any]], dict[str, str]]:
        inbox = Inbox(opened)
        thread = _visible(inbox.thread_of(id), viewer)
        versions = inbox.versions(thread.number)
        changed = [one for one in reversed(versions.keys()) if known.get(one) != _version(versions[one])]
        messages = [_told(inbox.timeline(one), viewer) for one in changed]
        return thread, [one | ({"body": _body(inbox, one, viewer)} if one["size"] <= OPEN_BYTES else {})
                        for one in messages], versions

    thread, changed, versions = await desk.read(look)
    if not changed:
        return Response(status_code=204)
    prepared = [_prepared(request, one, versions) | {"is_new": one["id"] not in known} for one in changed]
    return render(request, "news.html", thread=thread, changed=prepared, anchor=id, seen=_seen(versions))


@router.post("/messages/{id}/mark")
async def mark(id: MessageId, mark: Annotated[Mark, Form()], viewer: Seller, desk: AtDesk) -> Response:  # noqa: A002
    """What the seller says of a buyer's message. Raises Conflict for one of their own."""
    marks: dict[str, Callable[[Marks], None]] = {
        "answered": lambda marks: marks.answered(id), "no-answer-needed": lambda marks: marks.no_answer_needed(id),
        "report": lambda marks: marks.report(id)}

    def change(opened: Opened) -> None:
        found = visible(opened, viewer, id)
        if found["direction"] != "to-seller":
            raise Conflict("that is said of a buyer's message")
        marks[mark](Marks(opened, viewer.login))

    await desk.write(change)
    return RedirectResponse(f"/messages/{id}#m-{id}", 303)


def visible(opened: Opened, viewer: Viewer, public_id: str) -> dict[str, Any]:
    """The message, if it is there for this viewer; else the same NotFound as for one that is nowhere."""
    found = Inbox(opened).message(public_id)
    if not viewer.sees(found["seller"]):
        raise NotFound("there is no such message")
    return found


def kept(inbox: Inbox, message: dict[str, Any], viewer: Viewer) -> bytes:
    """What may be shown of it. Raises NotFound; that a moderator looked is recorded."""
    if not is_as_sent(message) and viewer.role != "moderator":
        raise NotFound("nothing that is to be shown is kept of this message")
    if viewer.role == "moderator" and not viewer.reads_all and not inbox.is_moderated(message):
        raise NotFound("nobody has asked a moderator to look at this message")
    return inbox.content(message["id"], None if viewer.role == "seller" else f"page {viewer.login}")


# -- how a thread is put together --------------------------------------------------------------------------------


def _look(opened: Opened, viewer: Viewer, find: Callable[[Inbox], Thread], opened_at: str,
          earlier: str | None) -> tuple[Thread, list[dict[str, Any]], dict[str, str], str | None]:
    """(the thread, its newest messages or those up to the one that was asked for, all versions, what is earlier)."""
    inbox = Inbox(opened)
    thread = _visible(find(inbox), viewer)
    versions = inbox.versions(thread.number)
    last = opened_at if opened_at and opened_at not in versions and earlier is None else None
    found = inbox.thread_page(thread.number, earlier, last)
    messages = [_told(one, viewer) for one in found.items]
    for index, one in enumerate(messages):
        is_near = index >= len(messages) - OPEN and one["size"] <= OPEN_BYTES
        if is_near or one["needs_reply"] or one["id"] == opened_at:
            one["body"] = _body(inbox, one, viewer)
    return thread, messages, versions, found.next


def _visible(thread: Thread, viewer: Viewer) -> Thread:
    if not viewer.sees(thread.row.seller):
        raise NotFound("there is no such message")
    return thread


def _told(timeline: dict[str, Any], viewer: Viewer) -> dict[str, Any]:
    return for_seller(timeline) if viewer.role == "seller" else timeline


def _body(inbox: Inbox, message: dict[str, Any], viewer: Viewer) -> Body | None:
    try:
        return body_of(kept(inbox, message, viewer))
    except (NotFound, MessageError):
        return None


def _shown(request: Request, thread: Thread, messages: list[dict[str, Any]], versions: dict[str, str],
           cursor: str | None, *, focus: str) -> Response:
    prepared = [_prepared(request, one, versions, focus=focus) for one in messages]
    newest = next(iter(versions), None)
    is_newest = not messages or messages[-1]["id"] == newest
    older = f"/messages/{newest}?{urlencode({'earlier': cursor})}" if cursor else None
    return render(request, "thread.html", thread=thread, messages=prepared, older=older,
                  newest=None if is_newest else f"/messages/{newest}", anchor=newest if is_newest else None,
                  seen=_seen(versions))


def _prepared(request: Request, message: dict[str, Any], versions: dict[str, str], focus: str = "") -> dict[str, Any]:
    """A message with all that its template shows."""
    words = words_of(request)
    delay = message["provider_delay_s"]
    return {"body": None, "is_open": "body" in message, "is_new": False} | message | {
        "version": _version(versions.get(message["id"], "")), "tone": telling.tone(message["state"]),
        "clock": clock_of(message, words), "lines": telling.lines(message, words),
        "cleaned": telling.cleaned(message, words), "delay_s": delay if delay and delay >= SLOW_S else None,
        "is_focus": message["id"] == focus}


def _version(text: str) -> str:
    return hmac.new(_VERSIONS, text.encode(), sha256).hexdigest()[:8]


def _seen(versions: dict[str, str]) -> str:
    return ",".join(f"{one}:{_version(text)}" for one, text in versions.items())
