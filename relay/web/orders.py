"""Orders and their aliases, and correspondences before there is an order."""

from __future__ import annotations

import contextlib
import re
import time
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Depends, Query, Request, Response

from aliasing.correspondence import Side
from relay.config import Config
from relay.errors import NotFound, UsageError
from relay.ledger.apikeys import ApiKey
from relay.ledger.opened import Opened
from relay.ledger.pages import Pages
from relay.ledger.registry import NewParty, OrderRow, Registry
from relay.web.access import AtDesk, need_marketplace, need_seller, scope
from relay.web.idempotent import IdempotencyKey, IdempotentRoute
from relay.web.models import CorrespondenceBody, NewPartyBody, OrderBody, OrderOut, Page
from relay.web.problem import documented

router = APIRouter(route_class=IdempotentRoute, tags=["orders"], responses=documented())
Caller = Annotated[ApiKey, Depends(scope("orders"))]
Cursor = Annotated[str | None, Query(max_length=100, description="`next` of the page before.")]
Limit = Annotated[int, Query(ge=1, le=200)]


@router.post("/orders", status_code=201, response_model=OrderOut,
             responses={200: {"description": "The order was there already", "model": OrderOut}})
async def create_order(request: Request, response: Response, body: OrderBody, caller: Caller, desk: AtDesk,
                       idempotency_key: IdempotencyKey = None) -> dict[str, Any]:
    """Mint the aliases of an order; the same again answers the same aliases.

    The pair's first order takes over what they wrote before it, aliases included.
    """
    config: Config = request.app.state.config()
    need_seller(caller, body.seller.id)
    need_marketplace(caller)
    if not re.fullmatch(config.policy.order_pattern, body.order):
        raise UsageError(f"{body.order} is no order number here (policy.order_pattern)")
    return await _add(body.order, body, config, desk, response)


@router.post("/correspondences", status_code=201, response_model=OrderOut,
             responses={200: {"description": "There was one already", "model": OrderOut}})
async def create_correspondence(request: Request, response: Response, body: CorrespondenceBody, caller: Caller,
                                desk: AtDesk, idempotency_key: IdempotencyKey = None) -> dict[str, Any]:
    """Mint aliases for an enquiry before there is an order."""
    need_seller(caller, body.seller.id)
    need_marketplace(caller)
    return await _add(None, body, request.app.state.config(), desk, response)


@router.get("/orders", response_model=Page[OrderOut])
async def list_orders(caller: Caller, desk: AtDesk, cursor: Cursor = None, limit: Limit = 50,
                      seller: str | None = None, buyer: str | None = None) -> dict[str, Any]:
    """Orders and enquiries, newest first; one party's, if given."""
    if seller is not None:
        need_seller(caller, seller)

    def look(opened: Opened) -> dict[str, Any]:
        registry = Registry(opened)
        number = registry.find_party(f"seller:{seller}")["id"] if seller is not None else caller.seller_number
        other = registry.find_party(f"buyer:{buyer}")["id"] if buyer is not None and caller.seller is None else None
        if buyer is not None and caller.seller is not None:
            raise UsageError("a key that is bound to a seller looks up no buyers")
        found = Pages(opened).order_page(seller=number, buyer=other, cursor=cursor, limit=limit)
        return {"items": found.items, "next": found.next}

    return await desk.read(look)


@router.get("/orders/{order}", response_model=OrderOut)
async def show_order(order: str, caller: Caller, desk: AtDesk) -> dict[str, Any]:
    """An order with both aliases."""
    return (await desk.read(lambda opened: visible_order(opened, caller, order))).as_json()


@router.post("/orders/{order}/close", response_model=OrderOut)
async def close_order(order: str, caller: Caller, desk: AtDesk,
                      idempotency_key: IdempotencyKey = None) -> dict[str, Any]:
    """No more mail about this order."""
    def close(opened: Opened) -> OrderRow:
        visible_order(opened, caller, order)
        need_marketplace(caller)
        return Registry(opened).close_order(order)

    return (await desk.write(close)).as_json()


class Sees(Protocol):
    """An API key, or who looks at the page."""

    def sees(self, seller: str) -> bool:
        """Whether that seller's data is there at all for them."""
        ...


def visible_order(opened: Opened, caller: Sees, order: str) -> OrderRow:
    """The order, if it is there for who asks; else the same NotFound as for one that is nowhere."""
    try:
        row = Registry(opened).order(order)
    except NotFound:
        row = None
    if row is None or not caller.sees(row.seller):
        raise NotFound(f"there is no order {order}")
    return row


async def _add(number: str | None, body: CorrespondenceBody, config: Config, desk: AtDesk,
               response: Response) -> dict[str, Any]:
    def party(side: Side, given: NewPartyBody) -> NewParty:
        language = given.language or (config.relay.language if given.address else None)
        return NewParty(side, given.id, given.address, given.name, language)

    def add(opened: Opened) -> tuple[OrderRow, bool]:
        registry, known, since = Registry(opened), False, time.time()
        with contextlib.suppress(NotFound):
            known = number is not None and registry.number_of(number) > 0
        row = registry.add_order(number, config.relay.domains[0], party(Side.SELLER, body.seller),
                                 party(Side.BUYER, body.buyer))
        return row, known or (number is None and row.created_at < since)

    row, known = await desk.write(add)
    if known:
        response.status_code = 200
    return row.as_json()
