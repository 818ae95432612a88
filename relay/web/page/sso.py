"""Login by the operator's OpenID Connect provider: to it, and back with an answer that belongs to this browser."""

from __future__ import annotations

import math
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from aliasing.address import Address, AddressError
from relay import maillog
from relay.config import Config
from relay.errors import NotFound
from relay.ledger.opened import Opened
from relay.web.oidc import Claims, Client, Oidc, OidcError
from relay.web.page.login import login_form, network_of
from relay.web.page.mistakes import mistake
from relay.web.page.viewer import (
    AtDesk,
    config_of,
    cookie_name,
    drop_cookie,
    own_path,
    sessions,
    set_cookie,
    viewer_of,
)
from relay.web.throttle import Allowance, Throttle

router = APIRouter()
CALLBACK = "/login/oidc/callback"
COOKIE_S = 600
Short = Annotated[str, Query(max_length=4000)]


class SingleSignOn:
    """One a process."""

    def __init__(self) -> None:
        self.oidc = Oidc()
        self.begun = Throttle(Allowance(30, 5.0))
        """By network."""


@router.get("/login/oidc")
async def begin(request: Request, next: Short = "/") -> Response:  # noqa: A002 - its name in the address
    """To the provider, with a cookie that its answer is bound to."""
    client, sso = _client(config_of(request)), _sso(request)
    then = own_path(next) or "/"
    if viewer_of(request):
        return RedirectResponse(then, 303)
    network = network_of(request)
    if wait := sso.begun.admit(network):
        return mistake(request, 429, {"Retry-After": str(math.ceil(wait))})
    try:
        url, pending = await sso.oidc.begin(client, then)
    except OidcError as error:
        maillog.page_sso_failed(str(error))
        return login_form(request, then, status=503, sso="unavailable")
    response = RedirectResponse(url, 303)
    set_cookie(response, config_of(request), "oidc", pending.browser, max_age_s=COOKIE_S)
    return response


@router.get(CALLBACK)
async def come_back(request: Request, desk: AtDesk, state: Short = "", code: Short = "", error: Short = "",
                    iss: Short = "") -> Response:
    """Back with a code, or with the provider's refusal."""
    config, sso, network = config_of(request), _sso(request), network_of(request)
    client = _client(config)
    pending = sso.oidc.take(state, request.cookies.get(cookie_name(config, "oidc"), ""))
    try:
        if pending is None:
            raise OidcError("an answer that nobody waits for")
        if error or not code:
            raise OidcError("the provider refused")
        if iss and iss != client.issuer:  # RFC 9207 2.4
            raise OidcError("the answer is another provider's")
        claims = await sso.oidc.finish(client, pending, code)
    except OidcError as problem:
        maillog.page_sso_failed(str(problem))
        maillog.page_login("refused", network)
        return _out(request, login_form(request, pending.then if pending else "/", status=403, sso="failed"))
    token = await desk.write(lambda opened: _session(opened, config, claims))
    maillog.page_login("refused" if token is None else "accepted", network)
    if token is None:
        return _out(request, login_form(request, pending.then, status=403, sso="unknown"))
    sso.begun.give_back(network)
    response = RedirectResponse(pending.then, 303)
    set_cookie(response, config, "session", token)
    drop_cookie(response, config, "form")
    return _out(request, response)


def _session(opened: Opened, config: Config, claims: Claims) -> str | None:
    """A new session of the login that the subject is linked to, else of the one seller whose registered address the
    mailbox is. None for nobody of ours."""
    rows = opened.query("login_of_subject", config.page.oidc.issuer, claims.subject)
    if not rows and claims.mailbox is not None:
        try:
            rows = opened.query("login_of_mailbox", opened.vault.hash(Address.parse(claims.mailbox)))
        except AddressError:
            rows = []
    if len(rows) != 1:
        return None
    return sessions(opened, config).begin(rows[0]["id"], rows[0]["hash"])


def _client(config: Config) -> Client:
    """Raises NotFound where no provider is configured."""
    oidc = config.page.oidc
    if not oidc.issuer:
        raise NotFound("there is no such page")
    return Client(oidc.issuer, oidc.client_id, config.oidc_secret_file, config.page.base_url + CALLBACK)


def _sso(request: Request) -> SingleSignOn:
    sso: SingleSignOn = request.app.state.sso
    return sso


def _out(request: Request, response: Response) -> Response:
    drop_cookie(response, config_of(request), "oidc")
    return response
