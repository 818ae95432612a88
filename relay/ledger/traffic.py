"""What operators look at besides single deliveries: how much came and went, and what waits for which destination."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aliasing.address import Address
from relay.ledger.opened import Opened
from relay.ledger.registry import iso

SERIES = ("accepted", "refused", "delivered", "deferred", "failed")
"""What came, by its verdict, then attempts to deliver, by their outcome."""
MAX_COUNTED = 1000
"""Of one destination nobody counts further."""


@dataclass(frozen=True)
class Slice:
    """`begins` in seconds since the epoch; counts in the order of SERIES."""

    begins: float
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Destination:
    """What waits for one; `domain` None where no mailbox there is known any more."""

    domain: str | None
    waiting: int
    held: int
    failures: int
    """Attempts in a row that found nobody there."""
    oldest_at: str | None
    retry_at: str | None
    """While it is in trouble: when it is tried again."""


class Traffic:
    """Raises LedgerError."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened

    def slices(self, until: float, step_s: float, count: int) -> Sequence[Slice]:
        """The last `count` slices of `step_s` seconds before `until`, the oldest first."""
        since = until - count * step_s
        table = [[0] * len(SERIES) for _ in range(count)]
        for row in self._opened.query("traffic", {"since": since, "until": until, "step": step_s}):
            name = "accepted" if row["outcome"] == "pass" else row["outcome"]
            if name in SERIES and 0 <= row["slice"] < count:
                table[row["slice"]][SERIES.index(name)] += row["count"]
        return [Slice(since + number * step_s, tuple(counts)) for number, counts in enumerate(table)]

    def destinations(self, limit: int) -> list[Destination]:
        """Those in trouble first, then those with most waiting; not more than `limit` of each kind."""
        lanes = {row["destination_hash"]: (row["failures"], row["not_before"])
                 for row in self._opened.query("destinations", limit)}
        for row in self._opened.query("destinations_held", limit):
            lanes.setdefault(row["lane"], (0, 0.0))
        found = [self._destination(lane, *trouble) for lane, trouble in lanes.items() if lane]
        return sorted((one for one in found if one.waiting or one.held),
                      key=lambda one: (-one.failures, -one.waiting - one.held))

    def _destination(self, lane: bytes, failures: int, not_before: float) -> Destination:
        depth = self._opened.query("destination_depth", {"lane": lane, "limit": MAX_COUNTED})
        held = sum(row["count"] for row in depth if row["state"] == "held")
        oldest = min((row["oldest"] for row in depth), default=None)
        return Destination(self._domain(lane), sum(row["count"] for row in depth) - held, held, failures, iso(oldest),
                           iso(not_before) if failures else None)

    def _domain(self, lane: bytes) -> str | None:
        for row in self._opened.query("destination_address", lane):
            party = self._opened.vault.party(row["party_id"], row["ring_key"], row["data_key"])
            domain = Address.parse(party.unseal("address", row["address_sealed"])).domain
            if self._opened.keys.hash_domain(domain) == lane:  # else the address has changed since
                return domain
        return None
