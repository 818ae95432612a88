"""What listen.http serves to anybody: the MTA-STS policy and settings for mail clients, beside the API."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from relay.public import Page, Public
from relay.web.problem import Problem

FORM_BYTES = 8 * 1024


def public_routes(public: Public) -> list[BaseRoute]:
    """GET of each page; POST of Outlook's form, whose path is asked for in any case."""
    routes: list[BaseRoute] = [Route(path, _page(path, public)) for path in public.pages]

    async def autodiscover(request: Request) -> Response:
        body = await request.body()
        if len(body) > FORM_BYTES:
            raise Problem("too-large", f"more than {FORM_BYTES} octets")
        return _response(public.autodiscover(body))

    form = Route("/autodiscover/autodiscover.xml", autodiscover, methods=["POST"])
    form.path_regex = re.compile(form.path_regex.pattern, re.IGNORECASE)
    return [*routes, form]


def _page(path: str, public: Public) -> Callable[[Request], Awaitable[Response]]:
    async def page(_: Request) -> Response:
        return _response(public.pages[path]())

    return page


def _response(page: Page) -> Response:
    return Response(page.body, media_type=page.kind)
