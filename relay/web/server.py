"""uvicorn as a guest of the daemon: no signals, no logs, no processes of its own, and patience with nobody."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Generator
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from relay import maillog

MAX_CONNECTIONS = 200
HEAD_TIMEOUT_S = 15.0
"""How long a request's head may take, and how long a connection may be open without one."""
KEEP_ALIVE_S = 10
STOP_S = 3
AGAIN_S = 5.0
HEAD_BYTES = 16 * 1024


class _Connection(H11Protocol):
    """Closed when there are too many and it is the longest idle, or when no request comes: uvicorn would wait."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._watch: asyncio.TimerHandle | None = None
        self._since = self.loop.time()
        if len(self.connections) > MAX_CONNECTIONS:
            self._oldest_idle().transport.abort()  # who says nothing must not keep others out
        if not transport.is_closing():
            self._wait_for_head()

    def _oldest_idle(self) -> _Connection:
        """Perhaps this very one."""
        own = (one for one in self.connections if isinstance(one, _Connection) and one.is_idle)
        return min(own, key=lambda one: one._since)

    @property
    def is_idle(self) -> bool:
        """No request is being answered."""
        cycle: RequestResponseCycle | None = self.cycle  # None until the first request
        return not self.transport.is_closing() and (cycle is None or cycle.response_complete)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._watch is not None:
            self._watch.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._wait_for_head()

    def _wait_for_head(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
        self._watch = self.loop.call_later(HEAD_TIMEOUT_S, self._close_if_idle)

    def _close_if_idle(self) -> None:
        if self.is_idle:
            self.transport.abort()


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield  # signals are the daemon's


class WebServer:
    """Answers on bound sockets until stopped. Whatever happens to it is logged, and mail goes on."""

    def __init__(self, app: ASGIApp, sockets: list[socket.socket]) -> None:
        self._app = app
        self._sockets = sockets
        self._server: _Server | None = None
        self._stopping = False

    async def run(self) -> None:
        """Never raises but CancelledError."""
        while not self._stopping:
            try:
                self._server = self._new()
                await self._server.serve([sock.dup() for sock in self._sockets])
            except Exception as error:
                maillog.crashed("http", error)
            except SystemExit as error:  # uvicorn's word for a start that failed
                maillog.crashed("http", error)
            if not self._stopping:
                await asyncio.sleep(AGAIN_S)

    def stop(self) -> None:
        """Take no more requests; run() ends once those under way are answered, or after STOP_S."""
        self._stopping = True
        for sock in self._sockets:
            sock.close()
        if self._server is not None:
            self._server.should_exit = True

    def _new(self) -> _Server:
        return _Server(uvicorn.Config(
            self._app, http=_Connection, ws="none", lifespan="off", log_config=None, access_log=False,
            proxy_headers=False, server_header=False, timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=STOP_S, h11_max_incomplete_event_size=HEAD_BYTES))
