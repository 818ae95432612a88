"""Settings begin with how soon a seller answers, over 7, 30 and 90 days."""

from __future__ import annotations

import time
from dataclasses import dataclass

from fastapi import APIRouter, Request, Response

from relay.errors import NotFound
from relay.ledger.answers import response
from relay.ledger.opened import Opened
from relay.web.page.render import render
from relay.web.page.viewer import AtDesk, Seller

router = APIRouter()
DAYS = (7, 30, 90)
GOOD, FAIR = 0.9, 0.75
"""Shares answered in time from which a bar has another colour."""


@dataclass(frozen=True)
class Bar:
    """One line of the chart."""

    days: int
    answered: int
    in_time: int
    late: int
    median_s: float | None
    percent: int | None
    tone: str


@router.get("/settings")
async def show_response(request: Request, viewer: Seller, desk: AtDesk) -> Response:
    seller = viewer.seller_number
    if seller is None:
        raise NotFound("there is no such page")

    def look(opened: Opened) -> list[Bar]:
        return [_bar(opened, seller, days) for days in DAYS]

    return render(request, "response.html", bars=await desk.read(look))


def _bar(opened: Opened, seller: int, days: int) -> Bar:
    found = response(opened, seller, days, time.time())
    share = found.share
    tone = "" if share is None else "good" if share >= GOOD else "wait" if share >= FAIR else "bad"
    percent = None if share is None else int(share * 100)  # never rounded up to all
    return Bar(days, found.in_time + found.late, found.in_time, found.late, found.median_s, percent, tone)
