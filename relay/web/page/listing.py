"""The list: what needs a reply first, other filters, search by order number, and live as mail arrives."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from relay.errors import NotFound
from relay.ledger.inbox import COUNTED, Inbox
from relay.ledger.listing import FILTERS
from relay.ledger.opened import Opened
from relay.web.page.render import render, text
from relay.web.page.telling import tone
from relay.web.page.viewer import AtDesk, Reader, Viewer, words_of
from relay.web.page.words import Words

router = APIRouter()
TARGET = timedelta(hours=24)
"""From a message's receipt to the answer, weekends included."""
SOON = timedelta(hours=12)
AT_ONCE = 30
Chosen = Annotated[str | None, Query(alias="filter", max_length=20)]
Cursor = Annotated[str | None, Query(max_length=100)]
ORDER_OF_FILTERS = ("needs-reply", "all", "sent", "refused", "held", "failed", "reported")
assert set(ORDER_OF_FILTERS) == set(FILTERS)


@dataclass(frozen=True)
class Clock:
    """How long a message has waited, against the target."""

    waiting_s: float
    left_s: float
    """Negative when it is late."""

    @property
    def percent(self) -> int:
        return min(100, round(100 * self.waiting_s / TARGET.total_seconds()))

    @property
    def tone(self) -> str:
        """A chip's class."""
        if self.left_s < 0:
            return "bad"
        return "wait" if self.waiting_s >= SOON.total_seconds() else "good"


def clock_of(message: dict[str, Any], words: Words) -> Clock | None:
    """None for what does not wait."""
    if not message["needs_reply"]:
        return None
    waiting = max(timedelta(0), words.since(message["received_at"]))
    return Clock(waiting.total_seconds(), (TARGET - waiting).total_seconds())


@router.get("/messages")
async def show_list(request: Request, viewer: Reader, desk: AtDesk, chosen: Chosen = None, cursor: Cursor = None,
                    order: Annotated[str | None, Query(max_length=200)] = None) -> Response:
    missing = None
    if order is not None and (wanted := order.strip()):
        if await desk.read(lambda opened: _has_order(opened, viewer, wanted)):
            return RedirectResponse(f"/orders/{quote(wanted, safe='')}", 303)
        missing = wanted
    part = await _part(request, viewer, desk, _filter(viewer, chosen), cursor)
    return render(request, "list.html", status=404 if missing else 200, part=part, missing=missing)


@router.get("/messages/rows")
async def show_rows(request: Request, viewer: Reader, desk: AtDesk, chosen: Chosen = None,
                    seen: Annotated[str, Query(max_length=64)] = "") -> Response:
    """The first page of the list anew; 204 when it is what the browser has."""
    part = await _part(request, viewer, desk, _filter(viewer, chosen), None)
    return Response(status_code=204) if part["version"] == seen else render(request, "list_part.html", part=part)


def _filter(viewer: Viewer, chosen: str | None) -> str:
    if chosen is None:
        return "needs-reply" if viewer.role == "seller" else "reported"
    if chosen not in FILTERS:
        raise NotFound("there is no such filter")
    return chosen


async def _part(request: Request, viewer: Viewer, desk: AtDesk, chosen: str, cursor: str | None) -> dict[str, Any]:
    """What list_part.html shows, with a version that changes when any of it does."""
    words = words_of(request)

    def look(opened: Opened) -> tuple[Any, tuple[int, int]]:
        inbox = Inbox(opened)
        late_before = (words.now - TARGET).timestamp()
        counts = inbox.waiting(viewer.seller_number, late_before) if viewer.seller_number is not None else (0, 0)
        return inbox.page(chosen, viewer.seller_number, cursor, AT_ONCE), counts

    found, (waiting, late) = await desk.read(look)
    rows = [row | {"clock": clock_of(row, words), "tone": tone(row["state"])} for row in found.items]
    part = {"chosen": chosen, "filters": ORDER_OF_FILTERS, "rows": rows, "waiting": waiting, "late": late,
            "counted": COUNTED, "live": cursor is None,
            "older": f"/messages?{urlencode({'filter': chosen, 'cursor': found.next})}" if found.next else None}
    inner = text(request, "list_rows.html", part=part)
    return part | {"inner": inner, "version": sha256(inner.encode()).hexdigest()[:32]}


def _has_order(opened: Opened, viewer: Viewer, order: str) -> bool:
    try:
        return viewer.sees(Inbox(opened).thread_of_order(order).row.seller)
    except NotFound:
        return False
