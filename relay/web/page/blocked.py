"""Buyers whose messages a seller does not take."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Path, Query, Request
from starlette.responses import RedirectResponse, Response

from relay.errors import NotFound
from relay.ledger.opened import Opened
from relay.ledger.pages import Paged, Pages
from relay.ledger.registry import Registry
from relay.web.orders import visible_order
from relay.web.page.render import render
from relay.web.page.viewer import AtDesk, Seller, Viewer, words_of

router = APIRouter()
AT_ONCE = 30
Cursor = Annotated[str | None, Query(max_length=100)]


@router.get("/settings/blocked")
async def show_blocked(request: Request, viewer: Seller, desk: AtDesk, cursor: Cursor = None,
                       order: Annotated[str, Query(max_length=200)] = "") -> Response:
    """With `order`, the question whether its buyer is to be blocked is filled in."""
    return await _shown(request, viewer, desk, typed=order.strip(), cursor=cursor)


@router.post("/settings/blocked")
async def block(request: Request, viewer: Seller, desk: AtDesk,
                order: Annotated[str, Form(max_length=200)] = "") -> Response:
    """By the number of an order: a seller knows their buyers by these."""
    wanted, seller = order.strip(), viewer.session.seller

    def add(opened: Opened) -> None:
        row = visible_order(opened, viewer, wanted)
        Registry(opened).add_block("seller", seller, "counterpart", row.buyer, f"page {viewer.login}")

    try:
        await desk.write(add)
    except NotFound:
        problem = words_of(request)("write.missing", order=wanted)
        return await _shown(request, viewer, desk, typed=wanted, problem=problem)
    return RedirectResponse("/settings/blocked", 303)


@router.post("/settings/blocked/{number}/lift")
async def lift(number: Annotated[int, Path(ge=1, lt=2**63)], viewer: Seller, desk: AtDesk) -> Response:
    def end(opened: Opened) -> None:
        if Pages(opened).block_party(number) != f"seller:{viewer.session.seller}":
            raise NotFound("there is no such block")
        Registry(opened).lift_block(number)

    await desk.write(end)
    return RedirectResponse("/settings/blocked", 303)


async def _shown(request: Request, viewer: Viewer, desk: AtDesk, *, typed: str, cursor: str | None = None,
                 problem: str = "") -> Response:
    def look(opened: Opened) -> tuple[Paged, list[dict[str, Any]]]:
        registry = Registry(opened)
        found = Pages(opened).block_page(seller=viewer.seller_number, cursor=cursor, limit=AT_ONCE)
        return found, [one | {"name": registry.party(f"buyer:{one['value']}")["name"]} for one in found.items]

    page, rows = await desk.read(look)
    return render(request, "blocked_buyers.html", status=404 if problem else 200, rows=rows, next=page.next,
                  typed=typed, problem=problem)
