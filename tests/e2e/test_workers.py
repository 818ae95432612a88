"""Several processes on one ledger."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

from load import Load
from support import SELLER, Relay

from relay.demo.outside import OutsideServer

Start = Callable[..., Awaitable[Relay]]


def children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def gone(pids: list[int]) -> bool:
    for _ in range(100):
        if not any(Path(f"/proc/{pid}").exists() for pid in pids):
            return True
        await asyncio.sleep(0.05)
    return False


async def test_workers_share_the_work_and_deliver_each_message_once(start_relay: Start, outside: OutsideServer) -> None:
    relay = await start_relay(relay={"workers": 2}, outbound={"route": f"smtp://127.0.0.1:{outside.port}"})
    assert relay.process
    workers = children(relay.process.pid)
    assert len(workers) == 2
    load = Load(relay.port, SELLER, relay.order()["buyer"]["alias"], sessions=10, limit=200)
    await load.run()
    await outside.wait_for(len(load.accepted))
    assert len(load.accepted) == len(outside.arrived) == 200
    assert await relay.stop() == 0
    assert await gone(workers)


async def test_no_worker_outlives_its_parent(start_relay: Start) -> None:
    relay = await start_relay(relay={"workers": 2})
    assert relay.process
    workers = children(relay.process.pid)
    await relay.stop(signal.SIGKILL)
    assert await gone(workers)


async def test_a_worker_that_dies_takes_all_along_so_that_systemd_starts_anew(start_relay: Start) -> None:
    import os

    relay = await start_relay(relay={"workers": 2})
    assert relay.process
    workers = children(relay.process.pid)
    os.kill(workers[0], signal.SIGKILL)
    assert await asyncio.to_thread(relay.process.wait, 15) != 0
    assert await gone(workers)
