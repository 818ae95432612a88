"""Fixtures: a relay of one's own, an outside mail server, a name server."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import support
from forkserver import ForkServer
from support import Relay

from relay.demo.nameserver import NameServer
from relay.demo.outside import OutsideServer


@pytest.fixture(scope="session", autouse=True)
def _forks() -> Iterator[None]:
    """Every `tradepost` of the tests is forked from one process that has imported all it needs."""
    support.FORKS = ForkServer()
    yield
    support.FORKS.close()


@pytest.fixture
async def outside() -> AsyncIterator[OutsideServer]:
    server = OutsideServer()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def nameserver() -> AsyncIterator[NameServer]:
    server = NameServer({})
    await server.start()
    yield server
    server.stop()


@pytest.fixture
async def start_relay(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Relay]]]:
    """Starts the installed daemon with a configuration; stops it by pid at the end."""
    started: list[Relay] = []

    async def start(**config: dict[str, Any]) -> Relay:
        relay = Relay(tmp_path, config)
        started.append(relay)
        await relay.start()
        return relay

    yield start
    for relay in started:
        await relay.stop()


@pytest.fixture
async def relay(start_relay: Callable[..., Awaitable[Relay]], outside: OutsideServer) -> Relay:
    """A running relay whose smarthost is the outside server."""
    return await start_relay(outbound={"route": f"smtp://127.0.0.1:{outside.port}", "retry": ["1s"]})
