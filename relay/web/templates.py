"""Templates: the marketplace's for everybody, and each seller's own."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response

from relay.ledger.apikeys import ApiKey
from relay.ledger.opened import Opened
from relay.ledger.registry import MAX_ID_CHARS
from relay.ledger.templates import NAME, Templates
from relay.web.access import AtDesk, need_seller, scope
from relay.web.idempotent import IdempotentRoute
from relay.web.models import FilledOut, Page, TemplateBody, TemplateOut
from relay.web.orders import visible_order
from relay.web.problem import documented

router = APIRouter(route_class=IdempotentRoute, tags=["templates"], responses=documented())
Caller = Annotated[ApiKey, Depends(scope("templates"))]
Name = Annotated[str, Path(pattern=f"^{NAME.pattern}$")]
Seller = Annotated[str | None, Query(max_length=MAX_ID_CHARS, description="A seller's own. A key that is bound to a "
                                     "seller means its own without saying so; other keys mean the marketplace's.")]


@router.get("/templates", response_model=Page[TemplateOut])
async def list_templates(caller: Caller, desk: AtDesk, seller: Seller = None) -> dict[str, Any]:
    """Every template; with `seller` those that this one can use. At most 200 each, so all are on one page."""
    of = _of(caller, seller)
    return await desk.read(lambda opened: {"items": list(Templates(opened).all(of)), "next": None})


@router.get("/templates/{name}", response_model=TemplateOut)
async def show_template(name: Name, caller: Caller, desk: AtDesk, seller: Seller = None) -> dict[str, Any]:
    """A seller's own template of that name, else the marketplace's."""
    of = _of(caller, seller)
    return await desk.read(lambda opened: Templates(opened).show(name, of))


@router.get("/templates/{name}/filled", response_model=FilledOut)
async def fill_template(name: Name, order: Annotated[str, Query(max_length=128)], caller: Caller, desk: AtDesk,
                        seller: Seller = None) -> dict[str, str]:
    """Subject and text with an order's values, ready to be sent."""
    of = _of(caller, seller)

    def fill(opened: Opened) -> dict[str, str]:
        visible_order(opened, caller, order)
        return Templates(opened).filled(name, of, order)

    return await desk.read(fill)


@router.put("/templates/{name}", response_model=TemplateOut)
async def set_template(name: Name, body: TemplateBody, caller: Caller, desk: AtDesk,
                       seller: Seller = None) -> dict[str, Any]:
    """Make it, or change it. Placeholders are {order}, {buyer} and {seller}."""
    of = _of(caller, seller)
    return await desk.write(lambda opened: Templates(opened).set(name, of, body.subject, body.text))


@router.delete("/templates/{name}", status_code=204, response_class=Response)
async def remove_template(name: Name, caller: Caller, desk: AtDesk, seller: Seller = None) -> Response:
    """Remove one. A bound key can remove its own only: the marketplace's is not there to be removed."""
    of = _of(caller, seller)
    await desk.write(lambda opened: Templates(opened).remove(name, of))
    return Response(status_code=204)


def _of(caller: ApiKey, seller: str | None) -> str | None:
    if seller is not None:
        need_seller(caller, seller)
    return seller if seller is not None else caller.seller
