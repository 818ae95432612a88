"""How TLS went with each destination, counted, and the daily report of it (RFC 8460). Reports are not sent yet."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from relay import maillog
from relay.sealed import SealedFolder
from relay.transmit.security import Security

FLUSH_S = 60.0
"""What a crash may cost."""
KEPT = timedelta(days=7)
_Row = tuple[str, str, tuple[str, ...], tuple[str, ...], str, str, str]


class Results:
    """Counts in memory; a line of the day's file each minute. One instance a process, whose files they all share."""

    def __init__(self, folder: SealedFolder, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._folder = folder
        self._clock = clock
        self._counts: Counter[_Row] = Counter()
        self._since = time.monotonic()
        self._day = ""

    def count(self, security: Security, host: str, address: str = "", result: str = "") -> None:
        """One session that was tried; `result` is a result type of RFC 8460 4.3, "" for success."""
        day = self._clock().date().isoformat()
        if self._counts and (day != self._day or time.monotonic() - self._since > FLUSH_S):
            self.flush()
        self._day = day
        self._counts[security.domain, security.kind, security.lines, security.patterns, result,
                     host if result else "", address if result else ""] += 1

    def flush(self) -> None:
        """Write down what was counted; what cannot be written is lost, and the log says so."""
        rows = [[*row, count] for row, count in self._counts.items()]
        self._counts.clear()
        self._since = time.monotonic()
        try:
            if rows:
                self._folder.append(self._day, json.dumps(rows).encode())
                self._forget()
        except OSError as error:
            maillog.crashed("tls-results", error)

    def _forget(self) -> None:
        oldest = (self._clock().date() - KEPT).isoformat()
        for path in self._folder.folder.glob("????-??-??"):
            if path.name < oldest:
                path.unlink(missing_ok=True)


def reports(folder: SealedFolder, day: date, *, organisation: str, contact: str) -> list[dict[str, Any]]:
    """The report of one UTC day for each policy domain, by name, as RFC 8460 4.4 wants it."""
    totals: dict[str, dict[tuple[Any, ...], Counter[tuple[str, str, str]]]] = {}
    for line in folder.lines(day.isoformat()):
        for domain, kind, lines, patterns, result, host, address, count in json.loads(line):
            policy = totals.setdefault(domain, {}).setdefault((kind, tuple(lines), tuple(patterns)), Counter())
            policy[result, host, address] += count
    start, end = f"{day.isoformat()}T00:00:00Z", f"{day.isoformat()}T23:59:59Z"
    return [{"organization-name": organisation, "date-range": {"start-datetime": start, "end-datetime": end},
             "contact-info": contact, "report-id": f"{day.isoformat()}_{domain}",
             "policies": [_policy(domain, key, counts) for key, counts in sorted(policies.items())]}
            for domain, policies in sorted(totals.items())]


def _policy(domain: str, key: tuple[Any, ...], counts: Counter[tuple[str, str, str]]) -> dict[str, Any]:
    kind, lines, patterns = key
    policy = {"policy-type": kind, "policy-string": list(lines), "policy-domain": domain, "mx-host": list(patterns)}
    failed = sum(count for (result, _, _), count in counts.items() if result)
    summary = {"total-successful-session-count": counts.total() - failed, "total-failure-session-count": failed}
    found = {"policy": {name: value for name, value in policy.items() if value}, "summary": summary}
    details = list(_details(counts))
    return found | ({"failure-details": details} if details else {})


def _details(counts: Counter[tuple[str, str, str]]) -> Iterable[dict[str, Any]]:
    for (result, host, address), count in sorted(counts.items()):
        if result:
            values = {"result-type": result, "receiving-mx-hostname": host, "receiving-ip": address}
            yield {name: value for name, value in values.items() if value} | {"failed-session-count": count}
