"""kill -9 of the daemon at random moments under load; then every message that was answered 250 is looked for."""

from __future__ import annotations

import random
import signal
import tempfile
from pathlib import Path

from load import Load
from support import Relay

from relay.demo.outside import OutsideServer
from soak import crashes
from soak.crashes import Figures, StalledError, end, fix_port


async def campaign(times: int, messages: int, seed: int | None, workers: int) -> int:
    """Print the figures; 0 when nothing was lost and every duplicate has its kill."""
    seed = random.SystemRandom().randrange(2**32) if seed is None else seed
    print(f"kill: seed {seed}, {times} kills, at least {messages} accepted messages, {workers} worker process(es)",
          flush=True)
    with tempfile.TemporaryDirectory(prefix="tradepost-kill-") as folder:
        try:
            found = await run(Path(folder), times, messages, seed, workers)
        except StalledError as error:
            print(f"kill: {error}")
            return 1
    print("\n".join(found.lines()))
    return 0 if found.clean and found.accepted >= messages else 1


async def run(folder: Path, times: int, messages: int, seed: int, workers: int = 1) -> Figures:
    outside = OutsideServer()
    await outside.start()
    relay = Relay(folder, {"outbound": {"route": f"smtp://127.0.0.1:{outside.port}", "retry": ["1s"]},
                           "policy": {"rate_base": 10**9}, "relay": {"workers": workers}})

    async def kill(_: Load) -> str:
        return end(await relay.stop(signal.SIGKILL))

    try:
        await fix_port(relay)
        return await crashes.run(relay, outside, kill, times=times, messages=messages, seed=seed)
    finally:
        await relay.stop()
        await outside.stop()
