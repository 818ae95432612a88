"""The page as an ASGI application of its own beside the API."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from weakref import WeakValueDictionary

from fastapi import Depends, FastAPI
from starlette.types import ASGIApp

from relay.config import Config
from relay.ledger.desk import Desk
from relay.receive.service import Service
from relay.records import Finding
from relay.web.page import (
    addresses,
    blocked,
    files,
    health,
    link,
    listing,
    login,
    moderation,
    own_templates,
    password,
    queue,
    settings,
    sso,
    static,
    thread,
    throughput,
    write,
)
from relay.web.page.headers import Headers
from relay.web.page.link import Turnstile
from relay.web.page.login import Door
from relay.web.page.mistakes import install
from relay.web.page.sso import SingleSignOn
from relay.web.page.throughput import Gauge
from relay.web.page.viewer import enter

ROUTERS = (static.router, login.router, listing.router, files.router, thread.router, link.router, moderation.router,
           queue.router, throughput.router, health.router, sso.router, write.router, own_templates.router,
           settings.router, addresses.router, blocked.router, password.router)
BIG = frozenset({("POST", "/write"), ("POST", "/write/files")})
"""(method, path) where bodies as big as a message may come."""
Findings = Callable[[], Awaitable[list[Finding]]]
"""How the daemon is, as its health pages say it."""
_TELEMETRY_OFF: Any = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}


def make_page(config: Callable[[], Config], desk: Desk, service: Service, findings: Findings) -> ASGIApp:
    """`config` is asked anew each time: SIGHUP may have changed it."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False, telemetry=_TELEMETRY_OFF,
                  dependencies=[Depends(enter)])
    app.state.config, app.state.desk, app.state.service, app.state.door = config, desk, service, Door()
    app.state.sso = SingleSignOn()
    app.state.turnstile, app.state.findings, app.state.gauge = Turnstile(), findings, Gauge()
    app.state.turns = WeakValueDictionary[str, asyncio.Lock]()
    install(app)
    for router in ROUTERS:
        app.include_router(router)
    return Headers(app, config)
