"""Content too big for the database: one sealed file a message, synced before the commit that names it."""

from __future__ import annotations

import contextlib
from pathlib import Path

from relay.durable import FULL, SHORT, write_durably
from relay.errors import LedgerBusy, StorageFailed, StorageFull
from relay.ledger.vault import MessageVault


class Spool:
    """The files in one folder, called by their message's id."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, name: str, vault: MessageVault, content: bytes) -> None:
        """Durable when this returns. Raises StorageFull, LedgerBusy, StorageFailed, and then leaves no file."""
        path = self._folder / name
        try:
            write_durably(path, vault.seal("content", content))
        except OSError as error:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
            if error.errno in FULL:
                raise StorageFull("spool: no space left on the disk; free some") from None
            if error.errno in SHORT:
                raise LedgerBusy(f"spool: {error.strerror}; try again") from None
            raise StorageFailed(f"spool: cannot be written ({error.strerror})") from None

    def read(self, name: str) -> bytes:
        """The sealed content. Raises LedgerBusy, StorageFailed."""
        try:
            return (self._folder / name).read_bytes()
        except OSError as error:
            if error.errno in SHORT:
                raise LedgerBusy(f"spool: {error.strerror}; try again") from None
            raise StorageFailed(f"{error.filename}: cannot be read ({error.strerror})") from None

    def drop(self, name: str) -> None:
        """Away with what no commit will name. Never raises: the next start sweeps what is left."""
        with contextlib.suppress(OSError):
            (self._folder / name).unlink()
