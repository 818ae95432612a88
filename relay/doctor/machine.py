"""What the machine has to give: disk, clock, file descriptors."""

from __future__ import annotations

import ctypes
import os
import re
import resource
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import relay
from relay.config import Config
from relay.zone.finding import Finding, right, unknown, warning, wrong

MIN_BYTES, LOW_BYTES = 256 * 2**20, 2 * 2**30
MIN_SHARE, LOW_SHARE = 0.01, 0.05
"""Less than either is wrong, less than the second of either worth a warning."""
TIME_ERROR = 5
"""adjtimex(2): the kernel's clock is not synchronised."""
_TIMEX_OCTETS = 256
"""More than struct timex has anywhere; all zero asks only."""


def disk(folder: Path) -> Iterator[Finding]:
    """Room and inodes where ledger and spool live; before the first start, where the folder will be made."""
    place = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    room = os.statvfs(place)
    free, share = room.f_bavail * room.f_frsize, room.f_bavail / max(1, room.f_blocks)
    mend = "make room or give it a bigger disk; with a full one mail is answered 452"
    said = f"{free / 2**30:.1f} GiB free ({share:.0%})"
    if free < MIN_BYTES or share < MIN_SHARE:
        yield wrong(str(place), "disk-full", said, mend)
    elif free < LOW_BYTES or share < LOW_SHARE:
        yield warning(str(place), "disk-low", said, mend)
    else:
        yield right(str(place), said)
    if room.f_files:  # some file systems have no fixed number of inodes
        left = room.f_favail / room.f_files
        if left < LOW_SHARE:
            level = wrong if left < MIN_SHARE else warning
            yield level(str(place), "inodes-low", f"{left:.1%} of the inodes free", "delete files that nobody needs; "
                        "each big message in the queue is one")
        else:
            yield right(str(place), f"{left:.0%} of the inodes free")
    if place != folder.absolute():
        yield warning(str(folder), "data-dir-missing", "the data folder is not there yet", "the first start makes it")
    elif not os.access(place, os.W_OK | os.X_OK):
        yield wrong(str(place), "data-dir-closed", "this user may not write there",
                    "run this as the user that runs Tradepost, or give the folder to it (chown)")


def clock(now: datetime) -> Iterator[Finding]:
    """Against what can be asked without a network: the program's own files, and the kernel's word whether it is kept
    in time. A wrong clock spoils Date fields, certificates and every pause."""
    made = datetime.fromtimestamp(Path(relay.__file__).stat().st_mtime, UTC)
    if now < made:
        yield wrong("clock", "clock-behind", f"it is {now:%Y-%m-%d %H:%M} UTC here, before this program was installed "
                    f"({made:%Y-%m-%d %H:%M})", "set it: timedatectl set-ntp true")
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_OCTETS))
    if state == TIME_ERROR:
        yield warning("clock", "clock-free", "nothing keeps the clock in time", "timedatectl set-ntp true, or chrony")
    elif state < 0:
        yield unknown("clock", "the kernel does not say whether it is kept in time")
    else:
        yield right("clock", f"kept in time, {now:%Y-%m-%d %H:%M:%S} UTC")


def descriptors(config: Config) -> Iterator[Finding]:
    """Whether the daemon may open as many files as it may take connections; a quarter of them it keeps for itself."""
    pid = daemon(config.ledger_path)
    whose, limit = (f"process {pid}", _limit_of(pid)) if pid else ("this shell", None)
    if limit is None:
        whose, limit = "this shell", resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    wanted = config.limits.connections * 4 // 3
    if limit != resource.RLIM_INFINITY and limit < wanted:
        yield warning("files", "files-few", f"{whose} may open {limit} files; limits.connections = "
                      f"{config.limits.connections} needs {wanted}", f"LimitNOFILE={max(65536, wanted)} in the unit, "
                      "or lower limits.connections")
    else:
        yield right("files", f"{whose} may open {limit if limit >= 0 else 'any number of'} files")


def daemon(ledger: Path) -> int | None:
    """The process that serves this ledger: whoever holds its lock (proc(5), /proc/locks); None when nobody is seen."""
    try:
        inode = ledger.with_suffix(".lock").stat().st_ino
        locks = Path("/proc/locks").read_text(encoding="ascii")
    except OSError:
        return None
    match = re.search(rf"FLOCK +ADVISORY +WRITE +(\d+) [0-9a-f]+:[0-9a-f]+:{inode} ", locks)
    return int(match.group(1)) if match and int(match.group(1)) else None


def _limit_of(pid: int) -> int | None:
    try:
        text = Path(f"/proc/{pid}/limits").read_text(encoding="ascii")
    except OSError:
        return None
    match = re.search(r"(?m)^Max open files +\S+ +(\d+|unlimited)", text)
    if match is None:
        return None
    return resource.RLIM_INFINITY if match.group(1) == "unlimited" else int(match.group(1))
