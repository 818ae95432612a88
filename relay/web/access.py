"""Who asks, what for, and how often: API keys, scopes, token buckets."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from relay.errors import NotFound
from relay.ledger.apikeys import ApiKey, ApiKeys
from relay.ledger.desk import Desk
from relay.sections import ApiSection
from relay.web.problem import Problem

MAX_BUCKETS = 10_000


class Buckets:
    """A token bucket for each key: `burst` at once, `requests_per_minute` on the whole."""

    def __init__(self, settings: ApiSection, clock: Callable[[], float] = time.monotonic) -> None:
        self.settings = settings
        self._clock = clock
        self._buckets: OrderedDict[int, tuple[float, float]] = OrderedDict()

    def take(self, number: int) -> float:
        """Seconds until there is a token again; 0 when one was taken."""
        now, rate = self._clock(), self.settings.requests_per_minute / 60
        tokens, since = self._buckets.pop(number, (float(self.settings.burst), now))
        tokens = min(self.settings.burst, tokens + (now - since) * rate)
        wait = 0.0 if tokens >= 1 else (1 - tokens) / rate
        self._buckets[number] = (tokens - 1 if wait == 0 else tokens, now)
        if len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)
        return wait


class Access:
    """Knows callers by their key."""

    def __init__(self, desk: Desk, settings: ApiSection) -> None:
        self.buckets = Buckets(settings)
        self._desk = desk

    async def caller(self, authorization: str | None) -> ApiKey:
        """The key in an Authorization field (RFC 6750 2.1); raises Problem for none, a wrong one, one too often."""
        scheme, _, key = (authorization or "").partition(" ")
        found = None
        if scheme.lower() == "bearer" and key.strip():
            found = await self._desk.read(lambda opened: ApiKeys(opened).find(key.strip()))
        if found is None:
            raise Problem("no-key", headers={"WWW-Authenticate": "Bearer"})
        if wait := self.buckets.take(found.number):
            raise Problem("rate", headers={"Retry-After": str(math.ceil(wait))})
        return found


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


def need_scope(caller: ApiKey, name: str) -> None:
    if name not in caller.scopes:
        raise Problem("out-of-scope", f"it is not for {name}")


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
