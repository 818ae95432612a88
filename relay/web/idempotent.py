"""Idempotency-Key: whoever is not sure of having been heard asks again, and nothing is done twice."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import Header, Request, Response
from fastapi.routing import APIRoute

from relay.ledger.idempotency import Answers
from relay.web.access import desk_of, identify
from relay.web.problem import Problem

MAX_KEY_CHARS = 255
_under_way: set[tuple[int, int, str]] = set()
"""(loop, API key, Idempotency-Key): the API is served by one process."""

IdempotencyKey = Annotated[str | None, Header(
    alias="Idempotency-Key", min_length=1, max_length=MAX_KEY_CHARS,
    description="Any text of your choice: the same request with the same one is done once, and answered the same for "
                "24 hours.")]


class IdempotentRoute(APIRoute):
    """A route whose answers are kept for whoever gives an Idempotency-Key."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handler(request: Request) -> Response:
            caller = await identify(request)  # before a body is read
            key = request.headers.get("idempotency-key")
            if key is None or request.method != "POST" or not 1 <= len(key) <= MAX_KEY_CHARS:
                return await handle(request)
            mine = (id(asyncio.get_running_loop()), caller.number, key)
            if mine in _under_way:
                raise Problem("in-progress", headers={"Retry-After": "1"})
            _under_way.add(mine)
            try:
                return await _once(request, caller.number, key, handle)
            finally:
                _under_way.discard(mine)

        return handler


async def _once(request: Request, caller: int, key: str, handle: Callable[[Request], Any]) -> Response:
    desk = desk_of(request)
    about = request.method.encode() + b" " + request.url.path.encode("utf-8", "replace") + b"\n" + await request.body()
    kept = await desk.write(lambda opened: Answers(opened, caller).begin(key, about, time.time()))
    if kept.status is not None:
        stored = json.loads(kept.answer)
        return Response(stored["body"].encode(), kept.status, {**stored["headers"], "Idempotency-Replayed": "true"})
    request.state.begun = (key, kept.begun_at)
    response: Response = await handle(request)  # what was wrong with a request is found wrong again
    if response.status_code < 500 and hasattr(response, "body"):
        headers = {name: value for name, value in response.headers.items() if name in ("content-type", "location")}
        answer = json.dumps({"headers": headers, "body": bytes(response.body).decode()}).encode()
        status = response.status_code
        await desk.write(lambda opened: Answers(opened, caller).finish(key, status, answer))
    return response
