"""The processes of one daemon: one supervisor that forks the workers, one lock, no core dumps."""

from __future__ import annotations

import ctypes
import fcntl
import os
import resource
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from relay import maillog
from relay.errors import StorageFailed, UsageError
from relay.examiner import PR_SET_DUMPABLE, PR_SET_PDEATHSIG


def no_core_dumps() -> None:
    """Memory holds keys and addresses. The limit alone does not bind where core_pattern is a pipe (core(5))."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0)


def supervise(works: Sequence[Callable[[], int]], let_go: Callable[[], None]) -> int:
    """Fork a process for each piece of work; when one ends, end all. The kernel ends them should we be killed.

    SIGTERM, SIGINT and SIGHUP are passed on. `let_go` closes what is theirs alone. Returns the first status that is
    not 0.
    """
    workers = set()
    for work in works:
        pid = os.fork()
        if pid == 0:
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            status = 1
            try:
                status = work()
            except BaseException as error:  # a child must never run on into the parent's code
                maillog.crashed("worker", error)
            os._exit(status)
        workers.add(pid)
    let_go()

    def tell(number: int, _: object = None) -> None:
        for pid in workers:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(*_: object) -> None:
        tell(signal.SIGTERM)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    signal.signal(signal.SIGHUP, tell)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
    status = 0
    while workers:
        pid, ended = os.wait()
        workers.discard(pid)
        status = status or os.waitstatus_to_exitcode(ended)
        stop()
    return abs(status)


def only_one(ledger: Path) -> IO[str]:
    """A lock beside the ledger: a second daemon would take the first one's leases for a dead process's."""
    path = ledger.with_suffix(".lock")
    try:
        file = path.open("a")
    except OSError as error:
        raise StorageFailed(f"{path}: cannot be opened ({error.strerror})") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise UsageError(f"{ledger}: another tradepost serve runs on this ledger; stop it first") from None
    os.fchmod(file.fileno(), 0o600)
    return file
