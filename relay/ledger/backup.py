"""A consistent copy of the ledger and the files that it names, taken while the daemon runs."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import tarfile
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from pysqlite3 import dbapi2 as sqlite

from relay.durable import FULL, sync_folder
from relay.errors import StorageFailed, StorageFull, UsageError
from relay.ledger.opened import SQL
from relay.ledger.writer import Connection, connect, ledger_error

PAGES = 2000
"""Copied at a time: between two of these steps the program can be interrupted."""
SUMS = "SHA256SUMS"
"""The archive's last member, in the form that sha256sum -c reads: without it an archive is not whole."""


@dataclass(frozen=True)
class BackedUp:
    """What an archive holds."""

    messages: int
    files: int
    """Contents that are files of their own."""
    size_bytes: int
    """Of the archive."""
    missing: tuple[str, ...]
    """Contents that the ledger names but that are not on the disk: then the store is damaged."""


def back_up(ledger: Path, target: Path) -> BackedUp:
    """Write a tar archive of the ledger to `target` (0600), whole and synced, or not at all.

    The copy is of one moment: writers are not kept waiting. Beside `target` it needs room for the ledger twice while
    it works. Raises UsageError when there is no ledger or something is at `target` already, LedgerError.
    """
    if not ledger.exists():
        raise UsageError(f"{ledger}: there is no ledger; is this the configuration that the daemon runs with?")
    with _reserved(target), tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
        try:
            found = _write(ledger, Path(folder), target)
            sync_folder(target.parent)
        except sqlite.Error as error:
            raise ledger_error(error, ledger) from None
        except OSError as error:
            kind = StorageFull if error.errno in FULL else StorageFailed
            raise kind(f"{error.filename or target}: {error.strerror}; there is no backup") from None
    return found


@contextlib.contextmanager
def _reserved(target: Path) -> Iterator[None]:
    """The name is ours from now on, and free again when the work fails."""
    try:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        raise UsageError(f"{target}: is there already; name another file or move it away") from None
    except OSError as error:
        raise UsageError(f"{target}: cannot be written ({error.strerror})") from None
    try:
        yield
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _write(ledger: Path, folder: Path, target: Path) -> BackedUp:
    live, archive = connect(ledger), folder / "archive"
    try:
        copy = _copied(live, folder / "ledger.db")
        made = os.open(archive, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with contextlib.closing(copy), open(made, "wb") as file:
            files, missing = _fill(file, live, copy, ledger.parent / "spool", folder / "ledger.db")
            file.flush()
            os.fsync(file.fileno())
            messages: int = copy.execute(SQL["message_count"]).fetchone()[0]
    finally:
        live.close()
    archive.replace(target)
    return BackedUp(messages, files, target.stat().st_size, missing)


def _copied(live: Connection, path: Path) -> Connection:
    """The ledger of this moment in a file of its own: one read transaction spans all the steps."""
    path.touch(0o600)
    copy = sqlite.connect(str(path), isolation_level=None)
    copy.execute("PRAGMA synchronous = OFF")  # read once more into the archive, which is synced
    live.execute("BEGIN")
    live.execute(SQL["message_count"]).fetchone()
    live.backup(copy, pages=PAGES)
    live.execute("ROLLBACK")
    copy.execute("PRAGMA journal_mode = DELETE")  # or what is changed below would stay in a file beside it
    return cast(Connection, copy)


def _fill(file: BinaryIO, live: Connection, copy: Connection, spool: Path, ledger: Path) -> tuple[int, tuple[str, ...]]:
    """The members in order: contents, the ledger, the sums. How many contents, and which are missing."""
    sums: list[str] = []
    with tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        gone = [name for name in _spooled(copy) if not _add(archive, spool / name, f"spool/{name}", sums)]
        missing = _spooled(live).intersection(gone)
        for name in set(gone) - missing:
            copy.execute(SQL["content_gone"], (name,))  # purged since the ledger was copied
        files = len(sums)
        _add(archive, ledger, "ledger.db", sums)
        listed = "".join(sums).encode()
        archive.addfile(_member(SUMS, len(listed), time.time()), io.BytesIO(listed))
    return files, tuple(sorted(missing))


def _spooled(connection: Connection) -> set[str]:
    return {row[0] for row in connection.execute(SQL["spooled_files"])}


def _add(archive: tarfile.TarFile, path: Path, name: str, sums: list[str]) -> bool:
    """Stream one file into the archive and note its sum; False when there is no such file."""
    try:
        source = path.open("rb")
    except FileNotFoundError:
        return False
    with source:
        status = os.fstat(source.fileno())
        hashing = _Hashing(source)
        archive.addfile(_member(name, status.st_size, status.st_mtime), cast(BinaryIO, hashing))
    sums.append(f"{hashing.sum.hexdigest()}  {name}\n")
    return True


def _member(name: str, size: int, at: float) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.mode = size, int(at), 0o600
    return member


class _Hashing:
    """A file that is summed as it is read."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self.sum = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(size)
        self.sum.update(data)
        return data
