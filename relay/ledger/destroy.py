"""What is destroyed leaves no old page behind: neither in the ledger's file nor in its write-ahead log."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from relay.durable import sync_folder
from relay.errors import LedgerBusy, StorageFailed
from relay.ledger import search
from relay.ledger.opened import Opened

TRIES = 100
TRY_S = 0.1


@contextlib.contextmanager
def destroying(opened: Opened) -> Iterator[None]:
    """What is freed within is overwritten with zeros, and the log, which holds pages as they were, cut to nothing.

    Raises LedgerBusy when somebody reads for so long that the log cannot be cut: what is destroyed is so all the same,
    and to be asked again.
    """
    opened.connection.execute("PRAGMA secure_delete = ON")
    try:
        yield
    finally:
        opened.connection.execute("PRAGMA secure_delete = FAST")
    cut_log(opened)


def cut_log(opened: Opened) -> None:
    for _ in range(TRIES):
        busy = opened.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if not busy:
            return
        time.sleep(TRY_S)
    raise LedgerBusy(f"{opened.path}: the write-ahead log still holds old pages, for somebody reads it; ask again")


def drop_files(opened: Opened, files: Collection[str]) -> None:
    """Files of the spool that no row names any more; the next start sweeps what a crash leaves."""
    for file in files:
        with contextlib.suppress(FileNotFoundError):
            (opened.spool / file).unlink()
    if files:
        sync_folder(opened.spool)


def make_sure(opened: Opened, secrets: Collection[bytes]) -> None:
    """Write the file anew where one of `secrets` is still in it.

    Pages that were split, or changed by a version that did not overwrite, hold copies in their unused parts; SQLite has
    no other way to clear those. Mail waits meanwhile, which a big ledger takes minutes for: so only where it has to.
    """
    if not any(holds(opened.path, secret) for secret in secrets):
        return
    opened.connection.execute("PRAGMA temp_store = FILE")  # the copy may be larger than memory
    try:
        opened.connection.execute("VACUUM")
    finally:
        opened.connection.execute("PRAGMA temp_store = MEMORY")
    cut_log(opened)


def holds(path: Path, octets: bytes) -> bool:
    """Whether a ledger's file has these octets anywhere. Raises StorageFailed."""
    words = [sys.executable, "-I", search.__file__, str(path)]
    done = subprocess.run(words, input=octets, capture_output=True, check=False)  # noqa: S603 - our own words
    if done.returncode not in (0, search.FOUND):
        raise StorageFailed(f"{path}: cannot be searched for what was erased; ask again")
    return done.returncode == search.FOUND
