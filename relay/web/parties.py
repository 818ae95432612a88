"""Parties and which addresses may write for them; blocks and opt-outs."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response

from policy.case import AddressState
from relay.errors import NotFound
from relay.ledger.apikeys import ApiKey
from relay.ledger.erase import Erase
from relay.ledger.opened import Opened
from relay.ledger.pages import Pages
from relay.ledger.purge import Ages, Purge
from relay.ledger.registry import MAX_ID_CHARS, Registry
from relay.web.access import AtDesk, need_marketplace, scope
from relay.web.idempotent import IdempotencyKey, IdempotentRoute
from relay.web.models import AddressBody, BlockBody, BlockOut, ErasedOut, Page, PartyView, PurgedOut, SideName
from relay.web.orders import Cursor, Limit
from relay.web.problem import documented

router = APIRouter(route_class=IdempotentRoute, responses=documented())
Parties = Annotated[ApiKey, Depends(scope("parties"))]
Eraser = Annotated[ApiKey, Depends(scope("erase"))]
Blocks = Annotated[ApiKey, Depends(scope("blocks"))]
PURGE_AT_ONCE = 10_000
PartyIdInPath = Annotated[str, Path(min_length=1, max_length=MAX_ID_CHARS)]


@router.get("/parties/{side}/{id}", response_model=PartyView, tags=["parties"])
async def show_party(side: SideName, id: PartyIdInPath, caller: Parties, desk: AtDesk) -> dict[str, Any]:  # noqa: A002
    """A party, and in which state its addresses are. The addresses themselves are not shown."""
    _need_own(caller, side, id)
    return await desk.read(lambda opened: Registry(opened).party(f"{side}:{id}"))


@router.post("/parties/{side}/{id}/addresses", response_model=PartyView, tags=["parties"])
async def set_address(side: SideName, id: PartyIdInPath, body: AddressBody, caller: Parties,  # noqa: A002
                      desk: AtDesk, idempotency_key: IdempotencyKey = None) -> dict[str, Any]:
    """Authorise an address, block it, or remove it: then it is a stranger's again."""
    _need_own(caller, side, id)

    def change(opened: Opened) -> dict[str, Any]:
        registry = Registry(opened)
        registry.set_address(f"{side}:{id}", body.address, AddressState(body.state))
        return registry.party(f"{side}:{id}")

    return await desk.write(change)


@router.post("/parties/{side}/{id}/erase", response_model=ErasedOut, tags=["parties"])
async def erase_party(side: SideName, id: PartyIdInPath, caller: Eraser, desk: AtDesk,  # noqa: A002
                      idempotency_key: IdempotencyKey = None) -> dict[str, Any]:
    """Destroy what is kept of a party, for good: name, addresses, and the content of every message to or from it."""
    need_marketplace(caller)
    return (await desk.read(lambda opened: Erase(opened).erase(f"{side}:{id}"))).as_json()


@router.post("/purge", response_model=PurgedOut, tags=["parties"])
async def purge(request: Request, caller: Eraser, desk: AtDesk,
                idempotency_key: IdempotencyKey = None) -> dict[str, Any]:
    """Destroy what is over the ages of [retention], some ten thousand messages at a time."""
    need_marketplace(caller)
    kept = request.app.state.config().retention
    ages = Ages(kept.messages, kept.refused, kept.content)
    return (await desk.read(lambda opened: Purge(opened).run(ages, time.time(), PURGE_AT_ONCE))).as_json()


@router.get("/blocks", response_model=Page[BlockOut], tags=["blocks"])
async def list_blocks(caller: Blocks, desk: AtDesk, cursor: Cursor = None, limit: Limit = 50) -> dict[str, Any]:
    """What is blocked now, newest first. A buyer's opt-out is scope buyer, kind unsolicited."""
    def look(opened: Opened) -> dict[str, Any]:
        found = Pages(opened).block_page(seller=caller.seller_number, cursor=cursor, limit=limit)
        return {"items": found.items, "next": found.next}

    return await desk.read(look)


@router.post("/blocks", status_code=201, response_model=BlockOut, tags=["blocks"])
async def add_block(body: BlockBody, caller: Blocks, desk: AtDesk,
                    idempotency_key: IdempotencyKey = None) -> dict[str, Any]:
    """Block something; the same again answers the same block."""
    if body.scope == "relay":
        need_marketplace(caller)
    else:
        _need_own(caller, body.scope, body.party or "")

    def add(opened: Opened) -> dict[str, Any]:
        registry = Registry(opened)
        if caller.seller is not None and not Pages(opened).corresponds(caller.seller, body.value or ""):
            raise NotFound(f"there is no party buyer:{body.value}")
        number = registry.add_block(body.scope, body.party, body.kind, body.value, body.reason)
        return Pages(opened).one_block(number)

    return await desk.write(add)


@router.delete("/blocks/{id}", status_code=204, response_class=Response, tags=["blocks"])
async def remove_block(id: Annotated[int, Path(ge=1, lt=2**63)], caller: Blocks, desk: AtDesk) -> Response:  # noqa: A002
    """Lift a block again."""
    def lift(opened: Opened) -> None:
        if caller.seller is not None and Pages(opened).block_party(id) != f"seller:{caller.seller}":
            raise NotFound("there is no such block")
        Registry(opened).lift_block(id)

    await desk.write(lift)
    return Response(status_code=204)


def _need_own(caller: ApiKey, side: str, party: str) -> None:
    """A key that is bound to a seller sees that one party, and no buyer."""
    if caller.seller is not None and (side, party) != ("seller", caller.seller):
        raise NotFound(f"there is no party {side}:{party}")
