"""What listen.http serves, with what it needs of the daemon, in one place."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from relay.config import Config
from relay.ledger.desk import Desk
from relay.public import Public
from relay.receive.service import Service
from relay.records import Finding
from relay.web.access import Access
from relay.web.app import make_app
from relay.web.page.app import Findings
from relay.web.server import WebServer
from relay.zone.plan import plan_of


class Web:
    """One a daemon."""

    def __init__(self, config: Config, desk: Desk, service: Service, sockets: Sequence[socket.socket]) -> None:
        self._config = config
        self._access = Access(desk, config.api)
        self._public = Public(plan_of(config))
        self.findings: Findings | None = None
        """What the page says of the daemon's health; set once there is somebody to ask."""
        app = make_app(lambda: self._config, desk, self._access, service, self._public, self._findings)
        self._server = WebServer(app, list(sockets))

    async def _findings(self) -> list[Finding]:
        return await self.findings() if self.findings else []

    def reconfigure(self, config: Config) -> None:
        """Other settings for what is asked from now on."""
        self._config = config
        self._access.reconfigure(config.api)
        self._public.plan = plan_of(config)

    async def run(self) -> None:
        """Answer until stopped; never raises but CancelledError."""
        await self._server.run()

    def stop(self) -> None:
        """Take no more requests; run() ends once those under way are answered."""
        self._server.stop()
