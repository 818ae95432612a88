"""Files that survive a crash: synced with the folder that names them."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT)
"""What the kernel says when there is no room: the one storage error that an administrator mends while we run."""
SHORT = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""Short of descriptors or memory for this moment: nothing is wrong with the disk."""


def write_durably(path: Path, data: bytes, *, owner: tuple[int, int] | None = None) -> None:
    """Write `path` (0600) in one step: after a crash there is the whole of it or what was there before.

    `owner` are the user and group that it shall belong to. Raises OSError and then leaves nothing behind.
    """
    temporary = path.with_name(path.name + ".new")
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            if owner is not None:
                os.fchown(file.fileno(), *owner)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def sync_folder(path: Path) -> None:
    """Make durable which files a folder names; raises OSError."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_regular(path: Path) -> bytes:
    """The octets of a regular file. Raises OSError, for a pipe or device as well: whoever waited for its other end
    would wait in the middle of a reload."""
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        return file.read()
