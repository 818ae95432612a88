"""One relay for all tests of a file: it stands for a marketplace with two sellers, a moderator and an operator."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from operating import logged
from pages import LATE_ORDER, OTHER, OTHER_ORDER, new_login
from support import Relay


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """Logins: sol (seller S1), luna (seller S2), mod (moderator), ops (operator). Its mail goes nowhere."""
    folder: Path = tmp_path_factory.mktemp("shop")
    relay = Relay(folder, {"listen": {"http": "127.0.0.1:0"}})
    relay.order()
    relay.order(OTHER_ORDER, **OTHER)
    relay.order(LATE_ORDER)
    for login, words in {"sol": ("--party", "S1"), "luna": ("--party", "S2"), "mod": ("--role", "moderator"),
                         "ops": ("--role", "operator")}.items():
        new_login(relay, login, *words)
    asyncio.run(_start(relay))
    yield relay
    asyncio.run(relay.stop())


async def _start(relay: Relay) -> None:
    await relay.start()
    while not any(line["kind"] == "http" for line in logged(relay, "listening")):
        await asyncio.sleep(0.02)
