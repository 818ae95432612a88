"""Who asks, what for, and how often: API keys, scopes, token buckets."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from relay.errors import NotFound
from relay.ledger.apikeys import ApiKey, ApiKeys
from relay.ledger.desk import Desk
from relay.sections import ApiSection
from relay.web.problem import Problem
from relay.web.throttle import Allowance, Throttle


class Access:
    """Knows callers by their key."""

    def __init__(self, desk: Desk, settings: ApiSection) -> None:
        self._throttle = Throttle(_allowance(settings))
        self._desk = desk

    def reconfigure(self, settings: ApiSection) -> None:
        """Other limits for what is asked from now on."""
        self._throttle.allowance = _allowance(settings)

    async def caller(self, authorization: str | None) -> ApiKey:
        """The key in an Authorization field (RFC 6750 2.1); raises Problem for none, a wrong one, one too often."""
        scheme, _, key = (authorization or "").partition(" ")
        found = None
        if scheme.lower() == "bearer" and key.strip():
            found = await self._desk.read(lambda opened: ApiKeys(opened).find(key.strip()))
        if found is None:
            raise Problem("no-key", headers={"WWW-Authenticate": "Bearer"})
        if wait := self._throttle.admit(str(found.number)):
            raise Problem("rate", headers={"Retry-After": str(math.ceil(wait))})
        return found


def _allowance(settings: ApiSection) -> Allowance:
    return Allowance(settings.burst, 60 / settings.requests_per_minute)


async def identify(request: Request) -> ApiKey:
    """The caller, found once a request."""
    known: ApiKey | None = getattr(request.state, "api_key", None)
    if known is None:
        access: Access = request.app.state.access
        known = request.state.api_key = await access.caller(request.headers.get("authorization"))
        request.state.caller = known.name
    return known


_bearer = HTTPBearer(auto_error=False, description="tradepost apikey add NAME --scope …")


def scope(name: str) -> Callable[..., Awaitable[ApiKey]]:
    """A dependency: the caller, whose key must be for `name`."""
    async def authorised(request: Request,
                         _: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]) -> ApiKey:
        caller = await identify(request)
        if name not in caller.scopes:
            raise Problem("out-of-scope", f"it is not for {name}")
        return caller

    return authorised


def need_seller(caller: ApiKey, seller: str) -> None:
    """Raises NotFound where that seller is not this key's: nothing says that it exists."""
    if not caller.sees(seller):
        raise NotFound("there is no such thing")


def need_marketplace(caller: ApiKey) -> None:
    """Raises Problem for a key that is bound to a seller."""
    if caller.seller is not None:
        raise Problem("out-of-scope", "only the marketplace's own keys are for that")


def desk_of(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


AtDesk = Annotated[Desk, Depends(desk_of)]
