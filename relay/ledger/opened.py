"""Opening a ledger: made when it is new, migrated when it is older, refused when it is not ours."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any

from pysqlite3 import dbapi2 as sqlite
from sqlite_utils import Database

from relay import keys as key_file
from relay.durable import sync_folder
from relay.errors import KeyRingFileError, SchemaError, StorageFailed
from relay.keys import Keys
from relay.ledger.clock import MIN_STEP_S
from relay.ledger.migrations import migrations
from relay.ledger.vault import Vault
from relay.ledger.writer import Connection, connect, ledger_error


def _load_queries() -> Mapping[str, str]:
    text = resources.files("relay.ledger").joinpath("queries.sql").read_text(encoding="utf-8")
    blocks = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)[1:]
    return {name: re.sub(r"^--.*\n", "", sql, flags=re.MULTILINE).strip()
            for name, sql in zip(blocks[::2], blocks[1::2], strict=True)}


SQL = _load_queries()


class Opened:
    """A ledger file with its keys: what the daemon and the command line both start from."""

    def __init__(self, path: Path, keys: Keys) -> None:
        self.path = path
        self.keys = keys
        self.vault = Vault(keys)
        self.connection = connect(path)

    @property
    def spool(self) -> Path:
        return self.path.parent / "spool"

    def query(self, name: str, *values: object) -> list[Any]:
        """The rows of a named query; `values` are positional, or one mapping of names."""
        named = values[0] if len(values) == 1 and isinstance(values[0], dict) else values
        try:
            return list(self.connection.execute(SQL[name], named))
        except sqlite.Error as error:
            raise ledger_error(error, self.path) from None

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A short write transaction. Raises LedgerError, KeyRingFileError.

        The ring is changed under the ledger's lock only, and read again here: what is sealed in this transaction
        hangs on a key that exists.
        """
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                self.keys.refresh()
                yield self.connection
            except BaseException:
                self.connection.execute("ROLLBACK")
                raise
            self.connection.execute("COMMIT")
        except sqlite.Error as error:
            raise ledger_error(error, self.path) from None

    def close(self) -> None:
        self.connection.close()


def open_ledger(path: Path, ring: Path) -> Opened:
    """Open the ledger, making it and its key ring when there is neither; migrate it when it is older.

    Raises SchemaError for a newer schema, KeyRingFileError for a ledger without its ring, LedgerError.
    """
    try:
        is_new = not path.exists()
        if is_new:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not ring.exists():
                key_file.create(ring)
    except OSError as error:
        raise StorageFailed(f"{error.filename}: {error.strerror}; check the folder's owner and permissions") from None
    keys = Keys(ring)
    connection = connect(path, create=True)
    try:
        _migrate(connection, path)
        _check_ring(connection, keys, ring)
    except sqlite.Error as error:
        raise ledger_error(error, path) from None
    finally:
        connection.close()
    if is_new:
        path.chmod(0o600)
    return Opened(path, keys)


def release_leases(opened: Opened, now: datetime) -> None:
    """At start, when no daemon runs on this ledger: leases of one that died are void, and nothing waits for a time
    that only a wrong clock had come to."""
    opened.query("release_leases", now.timestamp())
    opened.query("clock_behind", {"now": now.timestamp(), "tolerance": MIN_STEP_S})
    opened.query("clock_forget")
    opened.query("lanes_rebuilt")


def sweep_spool(opened: Opened) -> int:
    """At start, when no daemon runs on this ledger: delete files that no commit came to name; how many.

    Raises StorageFailed when the folder cannot be written.
    """
    try:
        opened.spool.mkdir(mode=0o700, exist_ok=True)
        sync_folder(opened.path.parent)  # a file in a folder that a power cut takes away is no file
        named = {row["file"] for row in opened.query("spooled_files")}
        orphans = [path for path in opened.spool.iterdir() if path.name not in named]
        for path in orphans:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise StorageFailed(f"{error.filename}: {error.strerror}; check the folder's owner and the mount") from None
    return len(orphans)


def _migrate(connection: Connection, path: Path) -> None:
    db = Database(connection)
    known = {migration.name for migration in migrations.pending(Database(memory=True))}
    if migrations.migrations_table in db.table_names():
        applied = {row["name"] for row in db.table(migrations.migrations_table).rows}
        if newer := applied - known:
            raise SchemaError(f"{path}: was made by a newer version (it has {', '.join(sorted(newer))}); "
                              "install that version, or restore a backup from before the upgrade")
    elif db.table_names():
        raise SchemaError(f"{path}: is a database, but not a ledger of Tradepost; name another in ledger.url")
    migrations.apply(db)


def _check_ring(connection: Connection, keys: Keys, ring: Path) -> None:
    """A ledger brought back beside a later ring may need a key that has been retired since."""
    needed = {row[0] for row in connection.execute(SQL["wrapping_keys"]) if row[0] is not None}
    if not needed <= keys.ring.secrets.keys():
        keys.refresh()  # perhaps rotated since
    if missing := needed - keys.ring.secrets.keys():
        raise KeyRingFileError(f"{ring}: holds no key {min(missing)}, but the ledger needs it; "
                               "restore the key ring that belongs to this ledger")


def signed(number: int) -> int:
    """SQLite's integers are signed; an alias seals 64 unsigned bits."""
    return number - (1 << 64) if number >= 1 << 63 else number


def unsigned(number: int) -> int:
    return number + (1 << 64) if number < 0 else number
