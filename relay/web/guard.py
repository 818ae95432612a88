"""What stands around every request: its size and time are limited, its answer gets the security headers, a failure
becomes 500 without a word about us, and the access log says what was asked but not by which address."""

from __future__ import annotations

import asyncio
import time

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from relay import maillog
from relay.web.problem import Problem, respond, understand

BODY_BYTES = 64 * 1024
"""For all but messages."""
BODY_TIMEOUT_S = 60.0
SLOWEST_BYTES_PER_S = 100_000
"""What a line must carry over that, where bodies may be big: ten megabytes from a telephone take their time."""
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "Cache-Control": "no-store",
}
"""No CORS: a browser's script of another site has no business here. Routes may say otherwise of one."""


class Guard:
    """The outermost ASGI layer."""

    def __init__(self, app: ASGIApp, *, big_bytes: int, big_paths: frozenset[tuple[str, str]]) -> None:
        """`big_paths` are (method, path) where bodies of `big_bytes` octets may come."""
        self._app = app
        self._big_bytes = big_bytes
        self._big_paths = big_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        begun, status = time.monotonic(), 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, self._bounded(scope, receive), answer)
        except Exception as error:
            problem = understand(error)
            if problem is None:
                maillog.crashed("http", error)
                problem = Problem("internal")
            if not status:
                await respond(problem)(scope, receive, answer)
        finally:
            # the route's form, not the path: a path may hold what somebody typed
            maillog.http_request(scope["method"], getattr(scope.get("route"), "path", ""), status,
                                 time.monotonic() - begun, scope.get("state", {}).get("caller", ""))

    def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        """`receive`, which raises Problem for what is too much or too slow."""
        limit = self._big_bytes if (scope["method"], scope["path"]) in self._big_paths else BODY_BYTES
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
        deadline = asyncio.get_running_loop().time() + BODY_TIMEOUT_S + limit / SLOWEST_BYTES_PER_S
        received, complete = 0, False

        async def bounded() -> Message:
            nonlocal received, complete
            if declared.isdigit() and int(declared) > limit:
                raise _too_large(limit)
            if complete:
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise Problem("too-slow", headers={"Connection": "close"}) from None
            received += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if received > limit:
                raise _too_large(limit)
            return message

        return bounded


def _too_large(limit: int) -> Problem:
    return Problem("too-large", f"more than {limit} octets", headers={"Connection": "close"})
