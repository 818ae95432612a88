"""The sealed links below a message as pages: GET says what would happen (programs that look for harmful links follow
all there are), POST does it, and so does a mail program's own button (RFC 8058). No login, no cookie, no script.

Who knows a link may act: that is why none of the other party's ever leaves (aliasing/sealed.py).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from aliasing.correspondence import Correspondence, Direction, Side
from aliasing.token import ACTION_CHARS, LINK_PATH, OpenedAction
from relay import maillog
from relay.errors import NotFound, UsageError
from relay.ledger.actions import Actions, Standing
from relay.receive.service import Service
from relay.web.page.login import network_of
from relay.web.page.mistakes import mistake
from relay.web.page.render import render
from relay.web.page.viewer import AtDesk, config_of, cookie_name, desk_of, form_of
from relay.web.page.words import negotiate, words
from relay.web.throttle import Allowance, Throttle

router = APIRouter()
HEADERS = {"Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex, nofollow"}
"""The address is all there is to know: it goes nowhere else. (No answer of ours is cached anyway.)"""
_TOKEN = re.compile(rf"([0-9A-Za-z]{{{ACTION_CHARS}}})[^0-9A-Za-z]{{0,8}}")
"""In any case, and with what stood behind it in a sentence."""
_ONE_CLICK = ("List-Unsubscribe", "One-Click")
_TRACE = "page"


class Turnstile:
    """Each link a few times a minute; whoever comes with forged ones soon has to wait."""

    def __init__(self) -> None:
        self._by_link = Throttle(Allowance(20, 6.0))
        self._forged = Throttle(Allowance(20, 6.0))

    def admit(self, request: Request, token: str, opened: OpenedAction | None) -> float:
        """Seconds to wait; 0 after having taken note of this try."""
        throttle, key = (self._by_link, token) if opened else (self._forged, network_of(request))
        return throttle.admit(key)


@dataclass(frozen=True)
class _Link:
    """A link that is one: what it does, in which correspondence, and how that stands."""

    token: str
    action: OpenedAction
    correspondence: Correspondence
    standing: Standing

    @property
    def actor(self) -> Side:
        return Side(self.action.actor)


@router.api_route(LINK_PATH + "{token:path}", methods=["GET", "HEAD"])
async def ask(request: Request, token: str) -> Response:
    """What will happen, or what has."""
    if not isinstance(link := await _open(request, token), _Link):
        return link
    return _show(request, link)


@router.post(LINK_PATH + "{token:path}")
async def act(request: Request, token: str, desk: AtDesk) -> Response:
    """Do it, or undo it. A mail program's button gets its answer at once: RFC 8058 3.1 allows no redirect."""
    if not isinstance(link := await _open(request, token), _Link):
        return link
    form, action = await form_of(request), link.action
    one_click = form.get(_ONE_CLICK[0]) == _ONE_CLICK[1]
    if form.get("act") == "undo":
        await desk.write(lambda opened: Actions(opened).undo(action))
    elif one_click or form.get("act") == "do":
        service = _service(request)
        if not await service.ledger.act(action, service.clock()):
            raise NotFound("there is no such link")
        party = link.correspondence.parties[link.actor].id
        maillog.action_done(_TRACE, action.message, action.action, party)
    else:
        raise UsageError("neither do nor undo")
    if one_click:
        return Response("OK\n", media_type="text/plain", headers=HEADERS)
    return RedirectResponse(LINK_PATH + link.token, 303, HEADERS)


async def _open(request: Request, text: str) -> _Link | Response:
    """The link, or the answer where there is none: forged, unknown and erased ones are alike, and a forged one costs
    no look at the ledger."""
    service, turnstile = _service(request), request.app.state.turnstile
    match = _TOKEN.fullmatch(text)
    token = match.group(1).lower() if match else ""
    action = service.keys.ring.open_link(token) if match else None
    if wait := turnstile.admit(request, token, action):
        return mistake(request, 429, {**HEADERS, "Retry-After": str(math.ceil(wait))})
    link = await _find(request, token, action) if action is not None else None
    return link or _nothing(request)


async def _find(request: Request, token: str, action: OpenedAction) -> _Link | None:
    service, side = _service(request), Side(action.actor)
    facts = await service.ledger.facts(action.correspondence, Direction.toward(side), service.clock())
    standing = await desk_of(request).read(lambda opened: Actions(opened).standing(action))
    if facts is None or standing is None:
        return None
    config = config_of(request)
    if cookie_name(config, "language") not in request.cookies:
        language = negotiate(facts.correspondence.parties[side].language)
        request.state.words = words(language, config.page.time_zone)
    return _Link(token, action, facts.correspondence, standing)


def _show(request: Request, link: _Link) -> Response:
    # the counterpart's name is the marketplace's for it; of the reader nothing is shown
    seller = link.correspondence.parties[Side.SELLER].name if link.actor is Side.BUYER else ""
    kind = link.action.action.replace("-", "_")
    state = "done" if link.standing.done else "ask"
    return render(request, "link.html", headers=HEADERS, kind=kind, state=state, own=link.standing.own,
                  link=LINK_PATH + link.token, seller=seller, order=link.correspondence.order)


def _nothing(request: Request) -> Response:
    return render(request, "link_gone.html", status=404, headers=HEADERS)


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service
