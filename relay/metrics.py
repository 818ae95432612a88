"""Every metric: its name, what it counts, its labels. docs/operations.md explains them; a test compares.

Events are counted where they are named (maillog.py); what a process or the queue *is* at the moment is asked when
somebody looks (vitals.py). No label ever holds what a stranger chose: each has a small, closed set of values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.metrics_core import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
REGISTRY = CollectorRegistry()
_DSN_ACTIONS = ("failed", "delayed", "delivered", "relayed", "expanded")
"""RFC 3464 2.3.3; what else a remote server writes there is "other"."""

ACCEPTED = Counter("tradepost_accepted", "Messages answered 250 and queued or held, one a recipient.",
                   ["direction"], registry=REGISTRY)
ACCEPTED_BYTES = Counter("tradepost_accepted_bytes", "Their octets as received.", registry=REGISTRY)
HELD = Counter("tradepost_held", "Those of them that a rule put on hold.", registry=REGISTRY)
REFUSED = Counter("tradepost_refused", "Messages refused or deferred after their data, by the rule that did it.",
                  ["rule"], registry=REGISTRY)
RECORDED = Counter("tradepost_recorded", "Messages recorded and not forwarded: auto-replies, writers' own copies.",
                   ["state"], registry=REGISTRY)
LOGINS = Counter("tradepost_logins", "Passwords tried, by result.", ["result"], registry=REGISTRY)
RCPT_REFUSED = Counter("tradepost_rcpt_refused", "Refusals at RCPT TO, by reply.", ["code"], registry=REGISTRY)
PROTOCOL_ERRORS = Counter("tradepost_protocol_errors", "Sessions ended for broken SMTP or TLS.", registry=REGISTRY)
CLIENT_ABUSE = Counter("tradepost_client_abuse", "Lines written for fail2ban.", registry=REGISTRY)
LEAKS = Counter("tradepost_leaks_stopped", "Messages in which a real address was still found at the last look.",
                registry=REGISTRY)
RULE_FAILURES = Counter("tradepost_rule_failures", "Rules that raised (answered 451).", registry=REGISTRY)
ACCEPT_FAILURES = Counter("tradepost_accept_failures", "Messages answered 4xx for a problem on our side.",
                          registry=REGISTRY)
ATTEMPTS = Counter("tradepost_attempts", "Delivery attempts, by how they ended.", ["outcome"], registry=REGISTRY)
DELIVERY = Histogram("tradepost_delivery_seconds", "From acceptance to delivery, of messages.", registry=REGISTRY,
                     buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 1800, 7200, 28800, 86400, 432000))
DSNS = Counter("tradepost_dsn_received", "Delivery status notifications received, by action.", ["action"],
               registry=REGISTRY)
EXAMINER_RESTARTS = Counter("tradepost_examiner_restarts", "File examiners that crashed or took too long.",
                            registry=REGISTRY)
ERRORS = Counter("tradepost_errors", "Faults of our own that were caught, by place.", ["where"], registry=REGISTRY)
RELOADS = Counter("tradepost_reloads", "Configurations read again, by result.", ["result"], registry=REGISTRY)

for _counter, _values in ((ACCEPTED, ("to-buyer", "to-seller")), (RECORDED, ("auto", "self")),
                          (ATTEMPTS, ("delivered", "deferred", "failed")), (RELOADS, ("done", "refused")),
                          (LOGINS, ("done", "failed", "throttled")),
                          (DSNS, (*_DSN_ACTIONS, "other"))):
    for _value in _values:
        _counter.labels(_value)  # begun at 0: increase() does not see the first event of a series that begins at 1

OWN: Mapping[str, tuple[str, str]] = {
    "tradepost_sessions_open": ("gauge", "SMTP connections open at the moment."),
    "tradepost_transmitting": ("gauge", "Deliveries in memory, being sent or next in line."),
    "tradepost_ledger_commits": ("counter", "Transactions written, one fsync each."),
    "tradepost_ledger_writes": ("counter", "Pieces of work in them."),
    "tradepost_memory_bytes": ("gauge", "Resident memory."),
    "tradepost_open_files": ("gauge", "Open file descriptors."),
    "tradepost_cpu_seconds": ("counter", "Processor time spent."),
    "tradepost_workers": ("gauge", "Processes that answered this look."),
}
"""What each process tells of itself; the sum over all processes is shown."""
SHARED: Mapping[str, tuple[str, str]] = {
    "tradepost_workers_configured": ("gauge", "Processes there should be."),
    "tradepost_queue_depth": ("gauge", "Deliveries not finished, by state."),
    "tradepost_queue_oldest_seconds": ("gauge", "Age of the oldest delivery that is not finished and not held."),
    "tradepost_disk_free_bytes": ("gauge", "Room left for the ledger."),
    "tradepost_certificate_expires_timestamp_seconds": ("gauge", "When the TLS certificate expires."),
    "tradepost_key_ring_failed": ("gauge", "1 while the key ring's file is gone or not the one in use."),
    "tradepost_reload_refused": ("gauge", "1 while the configuration file is not the one in force, for its errors."),
}
"""What is true of all processes together; the serving one tells it."""
QUEUE_STATES = ("queued", "deferred", "held")


class Collects(Protocol):
    def collect(self) -> Iterable[Metric]: ...


Snapshot = list[Any]
"""JSON-able: [[name, type, help, [[sample name, labels, value], …]], …]."""


def dsn(action: str) -> None:
    DSNS.labels(action if action in _DSN_ACTIONS else "other").inc()


def measured(table: Mapping[str, tuple[str, str]],
             values: Mapping[str, float | Mapping[tuple[str, str], float]]) -> list[Metric]:
    """Families of `table`: a value, or values by (label name, label value); what `values` lacks is left out."""
    families = []
    for name, value in values.items():
        kind, text = table[name]
        family = Metric(name, text, kind)
        sample = name + "_total" if kind == "counter" else name
        for labels, one in (value if isinstance(value, Mapping) else {None: value}).items():
            family.add_sample(sample, {labels[0]: labels[1]} if labels else {}, float(one))
        families.append(family)
    return families


def snapshot(sources: Iterable[Collects]) -> Snapshot:
    """All that one process has to tell, ready for JSON."""
    return [[family.name, family.type, family.documentation,
             [[sample.name, sample.labels, sample.value] for sample in family.samples
              if not sample.name.endswith("_created")]]
            for source in sources for family in source.collect()]


def merge(snapshots: Iterable[Snapshot]) -> list[Metric]:
    """The sum over processes, series by series: nothing that is told twice may be in more than one of them."""
    families: dict[str, tuple[str, str, dict[tuple[Any, ...], float]]] = {}
    for name, kind, text, samples in (family for one in snapshots for family in one):
        series = families.setdefault(name, (kind, text, {}))[2]
        for sample, labels, value in samples:
            key = (sample, *sorted(labels.items()))
            series[key] = series.get(key, 0.0) + value
    merged = []
    for name, (kind, text, series) in families.items():
        family = Metric(name, text, kind)
        for (sample, *labels), value in series.items():
            family.add_sample(sample, dict(labels), value)
        merged.append(family)
    return merged


class _Families:
    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def render(families: Sequence[Metric]) -> bytes:
    """Prometheus' text format, 0.0.4."""
    return generate_latest(_Families(families))


def names() -> set[str]:
    """Every metric as a query names it; a histogram without _bucket, _sum and _count."""
    kinds = {family.name: family.type for family in REGISTRY.collect()}
    kinds |= {name: kind for table in (OWN, SHARED) for name, (kind, _) in table.items()}
    return {name + "_total" if kind == "counter" else name for name, kind in kinds.items()}
