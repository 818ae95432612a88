"""Whose turn it is: destinations are served in turn, so that none waits behind another's hundred thousand messages.

A lane is one destination's queue, and a row of the table of that name says when to look at it again. Claiming walks the
lanes that are due, the longest waiting first, and takes a share of each; its cost does not grow with the queue. Of
a destination in trouble one delivery is taken, and what comes of it holds for the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from relay.ledger import OVERDUE_LIMIT, Terms
from relay.ledger.opened import SQL
from relay.ledger.writer import Connection
from relay.records import Delivery

LANES_AT_ONCE = 500
"""Lanes that one transaction looks at, besides those that the runner has no room for: a few milliseconds."""
NOWHERE = b""
"""The lane of what an operator dropped: it is not sent anywhere, and waits for nobody's recovery."""

Lease = Callable[[Connection, Any, datetime, float, int], Delivery | None]
"""(connection, row of `due`, now, lease in seconds, failures of its destination) -> the delivery, if it can be made."""


def lanes_due(connection: Connection, now: datetime, terms: Terms, room: Mapping[bytes, int]) -> tuple[list[Any], bool]:
    """The lanes to visit, and whether there may be more of them."""
    limit = LANES_AT_ONCE + len(room)
    found = list(connection.execute(SQL["lanes_due"], (now.timestamp(), limit)))
    return [lane for lane in found if room.get(lane["destination_hash"], terms.share) > 0], len(found) == limit


def take(connection: Connection, now: datetime, lease_s: float, limit: int, terms: Terms, room: Mapping[bytes, int],
         lease: Lease) -> tuple[list[Delivery], bool]:
    """Lease up to `limit` deliveries (and what is overdue); and whether there are lanes that were not looked at."""
    taken: list[Delivery] = []
    lanes, more = lanes_due(connection, now, terms, room)
    for lane in lanes:
        left = limit - len(taken)
        if left <= 0 and (not terms.probing or len(taken) >= OVERDUE_LIMIT):
            break
        allowed = min(max(left, 0), room.get(lane["destination_hash"], terms.share))
        taken += _visit(connection, lane, now, lease_s, allowed, terms, lease)
    return taken, more


def _visit(connection: Connection, lane: Any, now: datetime, lease_s: float, allowed: int, terms: Terms,
           lease: Lease) -> list[Delivery]:
    """One lane's share; afterwards its row says when to come again."""
    key, at, in_trouble = lane["destination_hash"], now.timestamp(), lane["failures"] > 0
    allowed = min(allowed, 1) if in_trouble else allowed
    rows = list(connection.execute(SQL["due"], (key, at, allowed)))
    if terms.probing or (in_trouble and rows):
        rows += _overdue(connection, key, terms, {row["id"] for row in rows})
    leased = [delivery for row in rows if (delivery := lease(connection, row, now, lease_s, lane["failures"]))]
    if in_trouble and leased:
        connection.execute(SQL["lane_probed"], {"lane": key, "until": at + lease_s})
    elif len(rows) >= allowed:
        connection.execute(SQL["lane_visited"], (at, key))  # there may be more: behind the others
    elif following := connection.execute(SQL["lane_next"], (key,)).fetchone():
        connection.execute(SQL["lane_visited"], (following["next_attempt_at"], key))
    else:
        connection.execute(SQL["lane_empty"], (key,))
    return leased


def _overdue(connection: Connection, lane: bytes, terms: Terms, taken: set[int]) -> list[Any]:
    found: list[Any] = []
    for warned, before in ((1, terms.give_up_before), (0, terms.warn_before)):
        if before is not None and len(found) < OVERDUE_LIMIT:
            found += connection.execute(SQL["overdue"], {
                "lane": lane, "warned": warned, "before": before.timestamp(), "limit": OVERDUE_LIMIT - len(found)})
    return [row for row in found if row["id"] not in taken]
