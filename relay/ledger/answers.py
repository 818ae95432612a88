"""How soon a seller answers: from a buyer's message to the next answer, over the last days.

The rows are written as answers are (migration 0009), so that nobody has to look through all messages.
"""

from __future__ import annotations

from dataclasses import dataclass

from relay.ledger.opened import Opened

TARGET_S = 24 * 3600.0
"""Within which a message is to be answered, weekends included."""
DAY_S = 86_400.0


@dataclass(frozen=True)
class Response:
    """Of the messages that came in the last `days`: `late` are those answered too late, or waiting for too long."""

    days: int
    in_time: int
    late: int
    median_s: float | None
    """Of those that were answered."""

    @property
    def share(self) -> float | None:
        """Answered in time, 0 to 1."""
        total = self.in_time + self.late
        return self.in_time / total if total else None


def response(opened: Opened, seller: int, days: int, now: float) -> Response:
    """`now` is epoch seconds. What still has time to be answered counts for nothing yet."""
    values = {"seller": seller, "since": now - days * DAY_S, "target": TARGET_S, "late": now - TARGET_S}
    counts = opened.query("answer_counts", values)[0]
    waiting = opened.query("unanswered_late", values)[0]["late"]
    half = opened.query("answer_median", values | {"half": counts["answered"] // 2}) if counts["answered"] else []
    return Response(days, counts["in_time"], counts["answered"] - counts["in_time"] + waiting,
                    half[0]["wait_s"] if half else None)
