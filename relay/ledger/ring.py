"""The ring and the ledger together: what hangs on each key, wrapping anew under the newest, retiring an old one.

All of it happens while the daemon serves. The ring changes only under the ledger's write lock (Opened.transaction),
and is on the disk before anything hangs on a new key: whenever the process dies, every record opens.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from relay import dkim
from relay.dkim import DkimKey, KeyState
from relay.errors import UsageError
from relay.ledger.opened import SQL, Opened

BATCH = 200
"""Data keys wrapped in one transaction: some milliseconds, in which the daemon does not commit."""
UNDER_WAY_S = 7 * 86400.0
"""How long after the closing of a correspondence a DSN may come back for what was sent in it (RFC 5321 4.5.4.1)."""

_CORRESPONDENCES = """
SELECT count(*), count(*) FILTER (WHERE c.closed_at IS NULL), count(*) FILTER (WHERE c.closed_at > :recent)
FROM correspondence c JOIN party s ON s.id = c.seller_id JOIN party b ON b.id = c.buyer_id
WHERE c.ring_key = :key AND s.data_key IS NOT NULL AND b.data_key IS NOT NULL"""
_PARTIES = "SELECT count(*) FROM party WHERE ring_key = :key AND data_key IS NOT NULL"
_QUEUED = """
SELECT count(*) FROM delivery d JOIN message m ON m.id = d.message_id
JOIN correspondence c ON c.id = m.correspondence_id WHERE d.finished_at IS NULL AND c.ring_key = :key"""
_IN_USE = """
SELECT EXISTS (SELECT 1 FROM party WHERE ring_key = :key AND data_key IS NOT NULL) OR EXISTS (
SELECT 1 FROM correspondence c JOIN party s ON s.id = c.seller_id JOIN party b ON b.id = c.buyer_id
WHERE c.ring_key = :key AND (c.closed_at IS NULL OR c.closed_at > :recent)
AND s.data_key IS NOT NULL AND b.data_key IS NOT NULL)"""
_OLDER = "SELECT id, ring_key, data_key FROM party WHERE ring_key < ? AND data_key IS NOT NULL LIMIT ?"
_WRAPPED = "UPDATE party SET ring_key = ?, data_key = ? WHERE id = ?"


@dataclass(frozen=True)
class Holding:
    """What still hangs on one key of the ring."""

    id: int
    made: str
    seals_new: bool
    correspondences: int
    """Whose aliases it sealed, but for those with an erased party."""
    open: int
    """Those among them that are not closed."""
    closing: int
    """Those closed within UNDER_WAY_S: DSNs may still come."""
    queued: int
    """Deliveries that are not finished."""
    parties: int
    """Whose data key it wraps."""

    @property
    def reasons(self) -> list[str]:
        """Why the key cannot retire yet, each with the mend; none when it can."""
        found = ["it is the newest, which seals; make another first: tradepost key rotate"] if self.seals_new else []
        days = round(UNDER_WAY_S / 86400)
        for count, text in (
                (self.parties, "data keys are wrapped with it; wrap them anew: tradepost key rewrap"),
                (self.open, "open correspondences have their aliases from it; it stays until they are closed"),
                (self.closing, f"correspondences were closed less than {days} days ago; mail may still come back"),
                (self.queued, "deliveries wait in the queue; see: tradepost queue list")):
            found += [f"{count} {text}"] if count else []
        return found


def holdings(opened: Opened) -> list[Holding]:
    """Every key of the ring, oldest first."""
    return [_holding(opened, number) for number in sorted(opened.keys.ring.secrets)]


def rotate(opened: Opened) -> int:
    """Add a key, which seals from now on; its id. What older keys sealed stays valid."""
    with opened.transaction():
        key = opened.keys.rotate()
        _note(opened, "key-rotate", key)
    return key


def rewrap(opened: Opened, *, batch: int = BATCH) -> Iterator[int]:
    """Wrap every party's data key with the newest ring key; after each commit, how many were done in it.

    Stopped at any moment it has lost nothing, and goes on from there when it is called again.
    """
    while True:
        started = time.monotonic()
        with opened.transaction() as connection:
            rows = list(connection.execute(_OLDER, (opened.keys.ring.newest, batch)))
            for row in rows:
                wrapped = opened.vault.rewrap(row["id"], row["ring_key"], row["data_key"])
                connection.execute(_WRAPPED, (*wrapped, row["id"]))
        if not rows:
            return
        yield len(rows)
        time.sleep(time.monotonic() - started)  # the daemon's turn: it polls for the lock


def retire(opened: Opened, key: int) -> list[str]:
    """Take an old key out of the ring for ever; the aliases of correspondences long closed end with it.

    The reasons why not, when something hangs on it: then nothing is done. Raises UsageError for an unknown key.
    """
    if key not in opened.keys.ring.secrets:
        raise UsageError(f"the ring holds no key {key}; list them with: tradepost key list")
    if reasons := _holding(opened, key).reasons:
        return reasons
    with opened.transaction() as connection:
        if connection.execute(_IN_USE, _values(key)).fetchone()[0]:
            return ["it came into use at this very moment; look again: tradepost key list"]
        opened.keys.remove(key)
        _note(opened, "key-retire", key)
    return []


def ensure_dkim(opened: Opened, domains: Sequence[str]) -> None:
    """A first pair for each relay domain that has none. It signs at once: a signature without a record counts
    as none (RFC 6376 6.1.2), and there is no older one to go on with."""
    now = datetime.now(UTC)
    missing = set(domains) - {key.domain for key in opened.keys.dkim}
    if not missing:
        return
    with opened.transaction():
        for domain in sorted(missing - {key.domain for key in opened.keys.dkim}):
            _add_pair(opened, domain, now, signs_from=now)


def rotate_dkim(opened: Opened, domains: Sequence[str], now: datetime) -> list[DkimKey]:
    """A new pair for each domain, published from now on, which signs after dkim.WAIT; keys long retired are forgotten.

    Raises UsageError where a pair is waiting already.
    """
    made: list[DkimKey] = []
    with opened.transaction():
        if waiting := _waiting(opened, domains, now):
            raise UsageError(f"{waiting[0].selector} of {waiting[0].domain} signs from "
                             f"{waiting[0].signs_from.isoformat()}; use it now: tradepost key rotate --dkim --activate")
        keys = opened.keys.dkim
        opened.keys.set_dkim(key for key in keys if dkim.state(key, keys, now) is not KeyState.RETIRED)
        for domain in domains:
            is_first = all(key.domain != domain for key in opened.keys.dkim)
            made += _add_pair(opened, domain, now, signs_from=now if is_first else now + dkim.WAIT)
    return made


def activate_dkim(opened: Opened, domains: Sequence[str], now: datetime) -> list[DkimKey]:
    """What waits signs from now on; none when nothing waits."""
    with opened.transaction():
        waiting = _waiting(opened, domains, now)
        changed = [replace(key, signs_from=now.replace(microsecond=0)) for key in waiting]
        if changed:
            opened.keys.set_dkim([key for key in opened.keys.dkim if key not in waiting] + changed)
            for key in changed:
                _note(opened, "dkim-activate", f"{key.selector}._domainkey.{key.domain}")
    return changed


def _waiting(opened: Opened, domains: Sequence[str], now: datetime) -> list[DkimKey]:
    return [key for key in opened.keys.dkim
            if key.domain in domains and dkim.state(key, opened.keys.dkim, now) is KeyState.PUBLISHED]


def _add_pair(opened: Opened, domain: str, now: datetime, *, signs_from: datetime) -> list[DkimKey]:
    taken = [key.selector for key in opened.keys.dkim if key.domain == domain]
    pair = dkim.make_pair(domain, now, taken, signs_from=signs_from)
    opened.keys.set_dkim([*opened.keys.dkim, *pair])
    for key in pair:
        _note(opened, "dkim-make", f"{key.selector}._domainkey.{key.domain}")
    return pair


def _holding(opened: Opened, key: int) -> Holding:
    values = _values(key)
    count, open_, closing = opened.connection.execute(_CORRESPONDENCES, values).fetchone()
    queued, parties = (opened.connection.execute(sql, values).fetchone()[0] for sql in (_QUEUED, _PARTIES))
    return Holding(key, opened.keys.made(key), key == opened.keys.ring.newest, count, open_, closing, queued, parties)


def _values(key: int) -> dict[str, object]:
    return {"key": key, "recent": time.time() - UNDER_WAY_S}


def _note(opened: Opened, name: str, key: int | str) -> None:
    opened.connection.execute(SQL["insert_event"], (time.time(), None, None, None, "operator", name, str(key), None))
