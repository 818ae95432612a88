"""Operators: what waits for which destination, and what is done about it. Parties by id, never by address."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import RedirectResponse, Response

from relay.errors import UsageError
from relay.ledger.listing import Listing
from relay.ledger.opened import Opened
from relay.ledger.operate import VERBS, Chosen, Operate
from relay.ledger.registry import valid_domain
from relay.ledger.traffic import MAX_COUNTED, Traffic
from relay.web.page.render import render
from relay.web.page.telling import reason, tone
from relay.web.page.viewer import AtDesk, Operator, words_of

router = APIRouter()
AT_ONCE = 50
DESTINATIONS = 40
Domain = Annotated[str, Query(max_length=255)]
Verb = Literal["hold", "release", "retry", "drop"]
assert set(VERBS) == {"hold", "release", "retry", "drop"}
ORDER_OF_VERBS: tuple[Verb, ...] = ("retry", "hold", "release", "drop")


@router.get("/queue")
async def show(request: Request, viewer: Operator, desk: AtDesk, destination: Domain = "",
               after: Annotated[int, Query(ge=0, lt=2**63)] = 0, changed: Annotated[int, Query(ge=-1, lt=2**63)] = -1,
               ) -> Response:
    """All deliveries that are not finished, or those to one destination; the oldest first."""
    domain = _domain(destination)
    look = partial(Listing.queue, limit=AT_ONCE + 1, after=after, destination=domain)
    rows = await desk.read(lambda opened: list(look(Listing(opened))))
    more = rows[AT_ONCE - 1]["id"] if len(rows) > AT_ONCE else None
    query = {"destination": domain} if domain else {}
    words = words_of(request)
    shown = [row | {"tone": tone(row["state"]), "why": reason(row["code"], words) if _is_code(row["code"]) else ""}
             for row in rows[:AT_ONCE]]
    return render(request, "queue.html", rows=shown, domain=domain, changed=changed, verbs=ORDER_OF_VERBS,
                  older=f"/queue?{urlencode(query | {'after': more})}" if more else None, **await _destinations(desk))


@router.get("/queue/destinations")
async def show_destinations(request: Request, viewer: Operator, desk: AtDesk) -> Response:
    return render(request, "destinations.html", **await _destinations(desk))


@router.post("/queue/change")
async def change(request: Request, viewer: Operator, desk: AtDesk, verb: Annotated[Verb, Form()],
                 scope: Annotated[Literal["chosen", "all"], Form()] = "chosen",
                 id: Annotated[list[str] | None, Form()] = None,  # noqa: A002 - its name in the form
                 destination: Annotated[str, Form(max_length=255)] = "",
                 note: Annotated[str, Form(max_length=300)] = "",
                 sure: Annotated[str, Form(max_length=5)] = "") -> Response:
    """Do it; what cannot be undone, or is about all there is, only once it was said what that means."""
    ids, domain = (id or [])[: 2 * AT_ONCE], _domain(destination)
    if scope == "chosen" and not ids:
        return RedirectResponse(_back(domain, 0), 303)
    chosen = Chosen.by(ids if scope == "chosen" else [], domain, everything=True)
    if (verb == "drop" or scope == "all") and sure != "yes":
        count = await desk.read(lambda opened: Operate(opened).count(chosen))
        return render(request, "queue_sure.html", verb=verb, scope=scope, ids=ids, domain=domain, note=note,
                      count=count)
    said = " ".join(note.split())
    by = f"{viewer.login}: {said}" if said else viewer.login
    count = await desk.read(partial(_change, verb=verb, chosen=chosen, by=by))  # it takes its own turns to write
    return RedirectResponse(_back(domain, count), 303)


def _change(opened: Opened, verb: str, chosen: Chosen, by: str) -> int:
    return sum(changed for _, changed in Operate(opened, by).change(verb, chosen))


async def _destinations(desk: AtDesk) -> dict[str, Any]:
    found = await desk.read(lambda opened: Traffic(opened).destinations(DESTINATIONS))
    return {"destinations": found[:DESTINATIONS], "most": MAX_COUNTED}


def _domain(text: str) -> str | None:
    """A destination as it was typed or linked; None for none. Raises UsageError for what is no domain."""
    text = text.strip()
    if not text:
        return None
    try:
        return valid_domain(text)
    except UsageError:
        raise UsageError("that is no domain") from None


def _back(domain: str | None, changed: int) -> str:
    return "/queue?" + urlencode(({"destination": domain} if domain else {}) | {"changed": changed})


def _is_code(code: str | None) -> bool:
    return bool(code) and code != "dropped"
