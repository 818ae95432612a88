"""The list of messages."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from relay.ledger.pages import Pages
from relay.web.page.render import render
from relay.web.page.viewer import AtDesk, Reader

router = APIRouter()


@router.get("/messages")
async def show_list(request: Request, viewer: Reader, desk: AtDesk) -> Response:
    found = await desk.read(lambda opened: Pages(opened).message_page(
        order=None, chosen="all", seller=viewer.seller_number, cursor=None, limit=50))
    return render(request, "list.html", rows=found.items)
