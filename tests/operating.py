"""What an operator looks at and does while the daemon runs: log, pages for machines, signals."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families
from support import Relay

from relay.demo.outside import OutsideServer

Wait = Callable[[], Any]


async def until(wanted: Wait, timeout_s: float = 15.0) -> Any:
    """Wait for something to become true; what it became."""
    deadline = time.monotonic() + timeout_s
    while not (found := await asyncio.to_thread(wanted)):
        assert time.monotonic() < deadline, "it never came"
        await asyncio.sleep(0.05)
    return found


def logged(relay: Relay, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in relay.log.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == event]


def page(relay: Relay, path: str) -> tuple[int, str]:
    """Status and text of a page; (0, "") as long as nobody listens."""
    where = [line["where"] for line in logged(relay, "listening") if line["kind"] == "metrics"]
    if not where:
        return 0, ""
    try:
        with urlopen(f"http://{where[0]}{path}", timeout=20) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


def series(relay: Relay) -> dict[tuple[str, ...], float]:
    families = text_string_to_metric_families(page(relay, "/metrics")[1])
    return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


def children(relay: Relay) -> list[int]:
    assert relay.process
    pid = relay.process.pid
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def watched(route: OutsideServer, **config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """A configuration with the pages for machines and a smarthost."""
    return {"outbound": {"route": f"smtp://127.0.0.1:{route.port}", "retry": ["1s"]},
            "listen": {"metrics": "127.0.0.1:0"}, **config}


async def reload(relay: Relay, event: str = "reloaded", count: int = 1) -> list[dict[str, Any]]:
    """SIGHUP, and what `count` processes logged of it."""
    assert relay.process
    before = len(logged(relay, event))
    relay.process.send_signal(signal.SIGHUP)
    return list(await until(lambda: len(logged(relay, event)) >= before + count and logged(relay, event)[before:]))
