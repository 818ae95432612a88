"""Where strangers' files are opened: a process of its own, with bounded memory and time.

The libraries that read PDF, images and Office files are written in C, and some file will crash one some day. Then a
file is refused, not the daemon lost.
"""

from __future__ import annotations

import asyncio
import ctypes
import multiprocessing
import os
import resource
import signal
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial

from policy.files import Findings, Problem
from policy.status import Status
from relay import maillog
from relay.passage import Attachment, examine_all

MAX_MEMORY_BYTES = 2 * 1024**3
"""Address space of the process: a 10 MB image unpacks to some hundred megabytes."""
TIMEOUT_S = 30.0
PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that a process gets when its parent dies."""
PR_SET_DUMPABLE = 4
"""prctl(2): 0 where a core dump would show keys and addresses."""


class Examiner:
    """Examines the files of one message at a time. The process is started with the first file."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._turn = asyncio.Lock()

    async def examine(self, files: Sequence[Attachment], *, scrub: bool) -> dict[str, Findings]:
        """Part.path -> findings; a file that crashes the process or takes too long is refused as unreadable."""
        found: dict[str, Findings] = {}
        async with self._turn:
            for file in files:
                found |= await self._examine(file, scrub=scrub)
        return found

    async def _examine(self, file: Attachment, *, scrub: bool) -> dict[str, Findings]:
        reason = ""
        for _ in range(2):  # the process may have died of another file, or been killed while it was idle
            try:
                return await self._run(file, scrub=scrub)
            except (BrokenProcessPool, TimeoutError) as error:
                maillog.crashed("examiner", error)
                self.close()
                reason = type(error).__name__
                if isinstance(error, TimeoutError):
                    break
        return {file.path: Findings("", Problem(Status.ATTACHMENT_UNREADABLE, reason))}

    async def _run(self, file: Attachment, *, scrub: bool) -> dict[str, Findings]:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=_confine)
        work = partial(examine_all, [file], scrub=scrub)
        async with asyncio.timeout(TIMEOUT_S):
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def close(self) -> None:
        """End the process, whatever it is doing."""
        pool, self._pool = self._pool, None
        if pool is not None:
            for process in list((pool._processes or {}).values()):
                process.kill()
            pool.shutdown(wait=False, cancel_futures=True)


def _confine() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to handle
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0)
    _fall_silent()


def _fall_silent() -> None:
    """What libraries in C and in Python say about a file may quote it, and would stand in the daemon's log."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
