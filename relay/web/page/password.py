"""Another password: the old one is asked for, and whoever is logged in elsewhere is logged out."""

from __future__ import annotations

import math
from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import Response

from relay import maillog, passwords
from relay.ledger.logins import Logins
from relay.ledger.opened import Opened
from relay.web.page.login import Door, network_of
from relay.web.page.mistakes import mistake
from relay.web.page.render import render
from relay.web.page.viewer import Anybody, AtDesk, Viewer, config_of, sessions, set_cookie, token_for, words_of

router = APIRouter()
Password = Annotated[str, Form(max_length=passwords.MAX_BYTES)]


@router.get("/settings/password")
async def ask(request: Request, viewer: Anybody) -> Response:
    return _form(request)


@router.post("/settings/password")
async def change(request: Request, viewer: Anybody, desk: AtDesk, old: Password = "", new: Password = "",
                 again: Password = "") -> Response:
    door: Door = request.app.state.door
    words, config, network = words_of(request), config_of(request), network_of(request)
    if wait := door.wait_s(viewer.login, network):
        return _form(request, 429, {"old": words.some("login.throttled", math.ceil(wait / 60))},
                     {"Retry-After": str(math.ceil(wait))})
    if door.is_crowded:
        return mistake(request, 503, {"Retry-After": "5"})
    problems = {}
    if len(new) < passwords.MIN_CHARS:
        problems["new"] = words("password.short", limit=str(passwords.MIN_CHARS))
    elif new == old:
        problems["new"] = words("password.same")
    elif new != again:
        problems["again"] = words("password.differs")
    if problems:
        return _form(request, 422, problems)
    known = await door.verify(request, viewer.login, old, network)
    if known is None:
        maillog.page_login("refused", network)
        return _form(request, 403, {"old": words("password.wrong")})
    try:
        hashed = await door.hash(new)
    except passwords.WeakPassword:
        return _form(request, 422, {"new": words("password.bad", limit=words.number(passwords.MAX_BYTES))})

    def work(opened: Opened) -> str | None:
        Logins(opened).change(viewer.login, hashed)
        mine = sessions(opened, config)
        mine.end_all(known[0])
        return mine.begin(known[0], hashed)

    token = await desk.write(work)
    if token is None:  # changed by somebody else in the same moment: nobody is logged in
        return mistake(request, 409)
    request.state.viewer = Viewer(viewer.session, token_for(token))  # for the forms in this very page
    response = _form(request, done=True)
    set_cookie(response, config, "session", token)
    return response


def _form(request: Request, status: int = 200, problems: dict[str, str] | None = None,
          headers: dict[str, str] | None = None, *, done: bool = False) -> Response:
    return render(request, "password.html", status=status, headers=headers, problems=problems or {}, done=done,
                  limit=passwords.MIN_CHARS)
