"""The ASGI application: the API and its document, pages for mail programs, the page for people, and their guard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from relay.config import Config
from relay.errors import NotFound
from relay.ledger.desk import Desk
from relay.public import Public
from relay.receive.service import Service
from relay.web import messages, orders, parties, sending, templates, webhooks
from relay.web.access import Access
from relay.web.guard import Guard
from relay.web.page.app import BIG, Findings, make_page
from relay.web.problem import MEDIA_TYPE, PROBLEMS, TYPES, ProblemDetails, install
from relay.web.public import public_routes

PREFIX = "/api/v1"
MACHINES = ("/api/", "/.well-known/", "/mail/", "/autodiscover/")
"""Where programs ask; everything else is for people."""
_ROUTERS = (orders.router, messages.router, sending.router, parties.router, templates.router,
            webhooks.router)
_TELEMETRY_OFF: Any = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
_ABOUT = """Orders, aliases, messages, blocks, templates and webhooks of a marketplace's mail relay.

Every answer that is not what was asked for is problem details (RFC 9457) with a stable `code`. Lists come in pages:
give `next` of one page as `cursor` of the following request. Times are UTC."""


def make_app(config: Callable[[], Config], desk: Desk, access: Access, service: Service, public: Public,
             findings: Findings) -> ASGIApp:
    """`config` is asked anew each time: SIGHUP may have changed it."""
    api, page = make_api(config, desk, access, service), make_page(config, desk, service, findings)

    api.router.routes.extend(public_routes(public))

    async def either(scope: Scope, receive: Receive, send: Send) -> None:
        await (api if scope["path"].lower().startswith(MACHINES) else page)(scope, receive, send)

    big = int(config().policy.max_size) * 3 // 2  # base64 in JSON
    return Guard(either, big_bytes=big, big_paths=frozenset({("POST", f"{PREFIX}/messages")}) | BIG)


def make_api(config: Callable[[], Config], desk: Desk, access: Access, service: Service) -> FastAPI:
    """Without what stands around it: for tests that look at the document."""
    app = FastAPI(title="Tradepost", version="1", description=_ABOUT, openapi_url=f"{PREFIX}/openapi.json",
                  docs_url=None, redoc_url=None, telemetry=_TELEMETRY_OFF, redirect_slashes=False)
    app.state.config, app.state.desk, app.state.access, app.state.service = config, desk, access, service
    install(app)
    for router in _ROUTERS:
        app.include_router(router, prefix=PREFIX)
    app.add_api_route(f"{TYPES}{{code}}", _explain, include_in_schema=False)
    app.openapi = lambda: _document(app)  # type: ignore[method-assign] # FastAPI's own way to extend it
    return app


async def _explain(code: str) -> JSONResponse:
    """What a problem's type means (RFC 9457 3.1.1)."""
    if code not in PROBLEMS:
        raise NotFound("there is no such problem")
    status, title = PROBLEMS[code]
    return JSONResponse({"code": code, "title": title, "status": status.value})


def _document(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = FastAPI.openapi(app)
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas["ProblemDetails"] = ProblemDetails.model_json_schema()
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        for path in document["paths"].values():
            for operation in path.values():
                refused = operation["responses"].get("422", {})
                refused["content"] = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
        app.openapi_schema = document
    return app.openapi_schema
