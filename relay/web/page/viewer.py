"""Who looks: sessions, roles, and what makes sure that a POST comes from our own page.

Every route needs a session, and every POST a token bound to it and our own Origin, unless its path is listed here.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Annotated
from urllib.parse import quote, urlsplit

from fastapi import Depends, Request
from starlette.datastructures import FormData
from starlette.responses import RedirectResponse, Response

from aliasing.token import LINK_PATH
from relay.config import Config
from relay.errors import NotFound
from relay.ledger.desk import Desk
from relay.ledger.opened import Opened
from relay.ledger.sessions import Session, Sessions
from relay.web.page.headers import is_https
from relay.web.page.words import Words, languages, negotiate, words

PUBLIC = frozenset({"/login", "/login/oidc", "/login/oidc/callback", "/language", "/static/{name}"})
"""Routes that need no session."""
NO_TOKEN = frozenset({LINK_PATH + "{token:path}"})
"""POST routes that need no token and no Origin: what they do is sealed in their address."""
HOMES = {"seller": "/messages", "moderator": "/reports", "operator": "/queue"}
"""Where each role begins."""
SAFE = ("GET", "HEAD")


@dataclass(frozen=True)
class Viewer:
    """Who is logged in."""

    session: Session
    token: str = field(repr=False)
    """Of CSRF protection."""
    reads_all: bool = False
    """Of a moderator: not only what was reported or is held."""

    @property
    def login(self) -> str:
        return self.session.login

    @property
    def role(self) -> str:
        return self.session.role

    @property
    def seller_number(self) -> int | None:
        """The only seller whose data is there for them; None for a moderator, who sees everybody's."""
        return self.session.seller_number

    def sees(self, seller: str) -> bool:
        """Whether that seller's data is there at all for them."""
        return self.role == "moderator" or (self.role == "seller" and self.session.seller == seller)


class LoginNeeded(Exception):  # noqa: N818 - a state, not a mistake
    """Nobody is logged in: the answer leads to the login."""


class OtherSite(Exception):  # noqa: N818
    """A POST that our own page did not make."""


def config_of(request: Request) -> Config:
    config: Config = request.app.state.config()
    return config


def desk_of(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


AtDesk = Annotated[Desk, Depends(desk_of)]


def viewer_of(request: Request) -> Viewer | None:
    """Who is logged in, if anybody; at work once enter() has run."""
    found: Viewer | None = getattr(request.state, "viewer", None)
    return found


async def enter(request: Request) -> None:
    """Before every route. Raises LoginNeeded; OtherSite for a request that our own page did not make."""
    path = getattr(request.scope.get("route"), "path", "")
    request.state.viewer = viewer = await _find(request)
    if viewer is not None:
        request.state.caller = viewer.login
    if request.method not in SAFE and path not in NO_TOKEN:
        await _check_origin(request, viewer)
    if viewer is None and path not in PUBLIC | NO_TOKEN:
        raise LoginNeeded


def role(*roles: str) -> Callable[[Request], Awaitable[Viewer]]:
    """A dependency: the viewer, who must have one of these roles. For anybody else there is no such page."""
    async def allowed(request: Request) -> Viewer:
        viewer = viewer_of(request)
        if viewer is None:
            raise LoginNeeded
        if viewer.role not in roles:
            raise NotFound("there is no such page")
        return viewer

    return allowed


Anybody = Annotated[Viewer, Depends(role("seller", "moderator", "operator"))]
Seller = Annotated[Viewer, Depends(role("seller"))]
Reader = Annotated[Viewer, Depends(role("seller", "moderator"))]
Moderator = Annotated[Viewer, Depends(role("moderator"))]
Operator = Annotated[Viewer, Depends(role("operator"))]


# -- cookies -----------------------------------------------------------------------------------------------------


def sessions(opened: Opened, config: Config) -> Sessions:
    return Sessions(opened, config.page.session_idle, config.page.session_lifetime)


def cookie_name(config: Config, what: str) -> str:
    """__Host- where TLS: such a cookie cannot be set by another host of the domain."""
    return f"__Host-tradepost-{what}" if is_https(config) else f"tradepost-{what}"


def set_cookie(response: Response, config: Config, what: str, value: str, *, max_age_s: int | None = None) -> None:
    response.set_cookie(cookie_name(config, what), value, max_age=max_age_s, path="/", secure=is_https(config),
                        httponly=True, samesite="lax")


def drop_cookie(response: Response, config: Config, what: str) -> None:
    response.delete_cookie(cookie_name(config, what), path="/", secure=is_https(config), httponly=True, samesite="lax")


async def _find(request: Request) -> Viewer | None:
    config, desk = config_of(request), desk_of(request)
    cookie = request.cookies.get(cookie_name(config, "session"))
    if not cookie:
        return None
    session = await desk.read(lambda opened: sessions(opened, config).find(cookie))
    if session is None:
        return None
    if await desk.read(lambda opened: sessions(opened, config).is_stale(session)):
        await desk.write(lambda opened: sessions(opened, config).seen(session))
    return Viewer(session, token_for(cookie), config.page.moderators_read == "all")


# -- our own page ------------------------------------------------------------------------------------------------


def token_for(secret: str) -> str:
    """The token of a session (or of the cookie that the login form comes with): who knows it knows that cookie's page,
    and cannot make the cookie from it."""
    return hmac.new(secret.encode(), b"form", sha256).hexdigest()


async def _check_origin(request: Request, viewer: Viewer | None) -> None:
    """Raises OtherSite unless Origin is ours and the token is this browser's: either would do, both are better."""
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site", "same-origin")
    if origin is None or origin not in _own_origins(request) or site != "same-origin":
        raise OtherSite
    expected = viewer.token if viewer else token_for(request.cookies.get(cookie_name(config_of(request), "form"), ""))
    given = request.headers.get("x-token") or (await form_of(request)).get("token")
    if not isinstance(given, str) or not hmac.compare_digest(given.encode(), expected.encode()):
        raise OtherSite
    if viewer is None and cookie_name(config_of(request), "form") not in request.cookies:
        raise OtherSite


def _own_origins(request: Request) -> tuple[str, ...]:
    base = config_of(request).page.base_url
    host = request.headers.get("host", "")
    return (base,) if base else (f"http://{host}", f"https://{host}")


async def form_of(request: Request) -> FormData:
    """The fields of a form; empty for a body that is none. Raises HTTPException for one that cannot be read."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ("application/x-www-form-urlencoded", "multipart/form-data"):
        return FormData()
    return await request.form(max_files=20, max_fields=100)


def own_path(target: str) -> str | None:
    """A path of ours to go on to, None for what leads anywhere else."""
    parts = urlsplit(target)
    plain = target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable()
    return target if plain and "\\" not in target and not parts.scheme and not parts.netloc else None


def to_login(request: Request) -> Response:
    """Where somebody goes who has to log in, and comes back from."""
    if request.headers.get("hx-request"):
        return Response(status_code=401, headers={"HX-Redirect": "/login"})
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    back = f"?next={quote(here, safe='/')}" if request.method in SAFE and here != "/" else ""
    return RedirectResponse(f"/login{back}", 303)


# -- words -------------------------------------------------------------------------------------------------------


def words_of(request: Request) -> Words:
    """In the language that was chosen, else the best of those that the browser asks for."""
    known: Words | None = getattr(request.state, "words", None)
    if known is None:
        config = config_of(request)
        chosen = request.cookies.get(cookie_name(config, "language"))
        language = chosen if chosen in languages() else negotiate(request.headers.get("accept-language", ""))
        known = request.state.words = words(language, config.page.time_zone)
    return known


InWords = Annotated[Words, Depends(words_of)]
