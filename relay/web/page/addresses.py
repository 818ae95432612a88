"""From where a seller may write: addresses asked for, blocked, removed. Only their own are ever shown."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Form, Path, Request
from starlette.responses import RedirectResponse, Response

from relay.errors import Conflict, NotFound, UsageError
from relay.ledger.opened import Opened
from relay.ledger.own_addresses import MAX_WAITING, OwnAddresses, TooManyWaiting
from relay.web.page.render import render
from relay.web.page.viewer import AtDesk, Seller, Viewer, words_of

router = APIRouter()
Number = Annotated[int, Path(ge=1, lt=2**63)]


@router.get("/settings/addresses")
async def show_addresses(request: Request, viewer: Seller, desk: AtDesk) -> Response:
    return await _shown(request, viewer, desk)


@router.post("/settings/addresses")
async def ask(request: Request, viewer: Seller, desk: AtDesk,
              address: Annotated[str, Form(max_length=400)] = "") -> Response:
    """One more, once the marketplace agrees."""
    words = words_of(request)
    try:
        await desk.write(lambda opened: _own(opened, viewer).ask(address))
    except TooManyWaiting:
        return await _shown(request, viewer, desk, address, words("addresses.too_many", limit=str(MAX_WAITING)))
    except Conflict:
        return await _shown(request, viewer, desk, address, words("addresses.known"))
    except NotFound:
        raise
    except UsageError:
        return await _shown(request, viewer, desk, address, words("addresses.no_address"))
    return RedirectResponse("/settings/addresses", 303)


@router.post("/settings/addresses/{number}")
async def change(number: Number, do: Annotated[Literal["block", "unblock", "remove", "withdraw"], Form()],
                 viewer: Seller, desk: AtDesk) -> Response:
    def work(opened: Opened) -> None:
        own = _own(opened, viewer)
        {"block": own.block, "unblock": own.unblock, "remove": own.remove, "withdraw": own.withdraw}[do](number)

    await desk.write(work)
    return RedirectResponse("/settings/addresses", 303)


def _own(opened: Opened, viewer: Viewer) -> OwnAddresses:
    if viewer.seller_number is None:
        raise NotFound("there is no such page")
    return OwnAddresses(opened, viewer.seller_number, viewer.login)


async def _shown(request: Request, viewer: Viewer, desk: AtDesk, typed: str = "", problem: str = "") -> Response:
    found = await desk.read(partial(lambda opened, viewer: _own(opened, viewer).all(), viewer=viewer))
    return render(request, "addresses.html", status=422 if problem else 200, addresses=found, typed=typed,
                  problem=problem)
