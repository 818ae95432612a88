"""Logging in and out, and the language."""

from __future__ import annotations

import asyncio
import math
import secrets
from collections.abc import Callable
from functools import partial
from ipaddress import IPv6Address, ip_address
from typing import Annotated, TypeVar
from urllib.parse import urlsplit

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from relay import maillog, passwords
from relay.ledger.registry import MAX_ID_CHARS
from relay.web.page.mistakes import mistake
from relay.web.page.render import render
from relay.web.page.viewer import (
    HOMES,
    Anybody,
    AtDesk,
    config_of,
    cookie_name,
    desk_of,
    drop_cookie,
    own_path,
    sessions,
    set_cookie,
    viewer_of,
)
from relay.web.page.words import languages
from relay.web.throttle import Allowance, Throttle

router = APIRouter()
CHECKS = 2
"""Passwords checked at a time: each takes 64 MiB and a core for some 50 ms."""
WAITING = 20
"""Beyond so many who wait for that, the next one is asked to come later."""
YEAR_S = 365 * 86_400
Path = Annotated[str, Form(max_length=2000)]
T = TypeVar("T")


class Door:
    """Checks passwords, not too many and not too often: per login, and more per network."""

    def __init__(self) -> None:
        self._by_login = Throttle(Allowance(8, 60.0))
        self._by_network = Throttle(Allowance(60, 10.0))
        self._checks = asyncio.Semaphore(CHECKS)
        self._waiting = 0

    def wait_s(self, login: str, network: str) -> float:
        """Seconds until another try may be made."""
        return max(self._by_login.wait_s(login), self._by_network.wait_s(network))

    async def knock(self, request: Request, login: str, password: str, network: str) -> str | None:
        """A new session's token; None for an unknown login or a wrong password, which take the same time."""
        known = await self.verify(request, login, password, network)
        if known is None:
            return None
        number, kept = known
        return await desk_of(request).write(lambda opened: sessions(opened, config_of(request)).begin(number, kept))

    async def verify(self, request: Request, login: str, password: str, network: str) -> tuple[int, str] | None:
        """(number, kept hash) of a login whose password that is, else None."""
        desk, config = desk_of(request), config_of(request)
        self._by_login.take(login)
        self._by_network.take(network)
        found = await desk.read(lambda opened: sessions(opened, config).login(login))
        kept = found[1] if found else passwords.nobodys()
        right = await self._at_work(partial(passwords.is_password, kept, password))
        if not right or found is None:
            return None
        self._by_login.give_back(login)
        self._by_network.give_back(network)
        return found

    async def hash(self, password: str) -> str:
        """What is kept of a new password. Raises WeakPassword."""
        return await self._at_work(partial(passwords.hash_password, password))

    async def _at_work(self, work: Callable[[], T]) -> T:
        """In a thread, CHECKS at a time."""
        self._waiting += 1
        try:
            async with self._checks:
                return await asyncio.to_thread(work)
        finally:
            self._waiting -= 1

    @property
    def is_crowded(self) -> bool:
        return self._waiting >= WAITING


@router.get("/")
async def home(viewer: Anybody) -> Response:
    return RedirectResponse(HOMES[viewer.role], 303)


@router.get("/login")
async def ask(request: Request, next: str = "/") -> Response:  # noqa: A002 - its name in the address
    """The form, with a cookie that its token is bound to: there is no session yet."""
    if viewer_of(request):
        return RedirectResponse(own_path(next) or "/", 303)
    return login_form(request, next)


@router.post("/login")
async def log_in(request: Request, login: Annotated[str, Form(max_length=MAX_ID_CHARS)] = "",
                 password: Annotated[str, Form(max_length=passwords.MAX_BYTES)] = "", next: Path = "/") -> Response:  # noqa: A002
    door: Door = request.app.state.door
    login, network = login.strip(), network_of(request)
    if wait := door.wait_s(login, network):
        maillog.page_login("throttled", network)
        minutes = math.ceil(wait / 60)
        return login_form(request, next, login, 429, {"Retry-After": str(math.ceil(wait))}, minutes=minutes)
    if door.is_crowded:
        return mistake(request, 503, {"Retry-After": "5"})
    token = await door.knock(request, login, password, network)
    maillog.page_login("refused" if token is None else "accepted", network)
    if token is None:
        return login_form(request, next, login, 403, wrong=True)
    response = RedirectResponse(own_path(next) or "/", 303)
    set_cookie(response, config_of(request), "session", token)
    drop_cookie(response, config_of(request), "form")
    return response


@router.post("/logout")
async def log_out(request: Request, viewer: Anybody, desk: AtDesk) -> Response:
    session = viewer.session
    await desk.write(lambda opened: sessions(opened, config_of(request)).end(session.login_number, session.number))
    return _out(request)


@router.post("/logout-everywhere")
async def log_out_everywhere(request: Request, viewer: Anybody, desk: AtDesk) -> Response:
    login = viewer.session.login_number
    await desk.write(lambda opened: sessions(opened, config_of(request)).end_all(login))
    return _out(request)


@router.get("/sessions")
async def show_sessions(request: Request, viewer: Anybody, desk: AtDesk) -> Response:
    """Where this login is logged in."""
    login = viewer.session.login_number
    found = await desk.read(lambda opened: sessions(opened, config_of(request)).all(login))
    return render(request, "sessions.html", sessions=found, own=viewer.session.number)


@router.post("/sessions/{number}/end")
async def end_session(request: Request, number: int, viewer: Anybody, desk: AtDesk) -> Response:
    login = viewer.session.login_number
    await desk.write(partial(lambda opened, config: sessions(opened, config).end(login, number),
                             config=config_of(request)))
    return RedirectResponse("/sessions", 303)


@router.post("/language")
async def choose_language(request: Request, language: Annotated[str, Form(max_length=10)],
                          next: Path = "/") -> Response:  # noqa: A002
    response = RedirectResponse(own_path(next) or "/", 303)
    if language in languages():
        set_cookie(response, config_of(request), "language", language, max_age_s=YEAR_S)
    return response


def login_form(request: Request, next_: str, login: str = "", status: int = 200,
               headers: dict[str, str] | None = None, *, wrong: bool = False, minutes: int = 0,
               sso: str = "") -> Response:
    """`sso`: how a login by the provider ended: failed, unknown or unavailable."""
    name = cookie_name(config_of(request), "form")
    secret = request.cookies.get(name) or secrets.token_urlsafe(32)
    request.cookies[name] = secret  # for the token in this very page
    response = render(request, "login.html", status=status, headers=headers, next=own_path(next_) or "/", login=login,
                      wrong=wrong, minutes=minutes, sso=sso, provider=_provider(request))
    set_cookie(response, config_of(request), "form", secret)
    return response


def _provider(request: Request) -> str:
    """What the button to the OpenID Connect provider says; "" for none."""
    oidc = config_of(request).page.oidc
    return oidc.name or urlsplit(oidc.issuer).hostname or "" if oidc.issuer else ""


def _out(request: Request) -> Response:
    response = RedirectResponse("/login", 303)
    drop_cookie(response, config_of(request), "session")
    response.headers["Clear-Site-Data"] = '"cache"'
    return response


def network_of(request: Request) -> str:
    """The /24 or /64 that a try comes from. Behind a proxy on this machine it is what the proxy says: somebody who
    makes that up spares themselves this limit, and not that of the login."""
    host = request.client.host if request.client else ""
    try:
        address = ip_address(host)
        if address.is_loopback and (named := request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()):
            address = ip_address(named)
    except ValueError:
        return "unknown"
    bits = 64 if isinstance(address, IPv6Address) else 24
    return ".".join(str(address).split(".")[:3]) if bits == 24 else address.exploded[:19]
