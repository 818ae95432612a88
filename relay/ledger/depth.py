"""How much waits in the queue, and since when; when the ledger was last written to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pysqlite3 import dbapi2 as sqlite

from relay.ledger.opened import SQL
from relay.ledger.writer import connect, ledger_error
from relay.records import State


@dataclass(frozen=True)
class Depth:
    """Deliveries not finished: how many by state, and when the oldest that is not held was queued (epoch seconds)."""

    count: Mapping[str, int]
    oldest: float | None


def queue_depth(path: Path) -> Depth:
    """Counted on a connection of its own, so that any thread may ask; a scan of what waits. Raises LedgerError."""
    connection = connect(path)
    try:
        rows = list(connection.execute(SQL["queue_state"]))
    except sqlite.Error as error:
        raise ledger_error(error, path) from None
    finally:
        connection.close()
    waiting = [row["oldest"] for row in rows if row["state"] != State.HELD]
    return Depth({row["state"]: row["count"] for row in rows}, min(waiting, default=None))


def newest_event(path: Path) -> float | None:
    """When the ledger was last written to, epoch seconds; None while it is empty. Raises LedgerError."""
    connection = connect(path)
    try:
        row = connection.execute(SQL["newest_event"]).fetchone()
    except sqlite.Error as error:
        raise ledger_error(error, path) from None
    finally:
        connection.close()
    return float(row["at"]) if row else None
