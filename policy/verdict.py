"""A rule's answer, and what is said to the outside about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from policy.status import Status


class Kind(StrEnum):
    PASS = "pass"  # noqa: S105 - a verdict, not a password
    REFUSE = "refuse"
    DEFER = "defer"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class Reply:
    """What the writer is told: a status, and the values that its text names (order number, file name …).

    Values must be fit for the public: never an address, a path or a class name.
    """

    status: Status
    values: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Verdict:
    """`reply` goes to the writer; `reason` only to the log and the ledger."""

    kind: Kind
    reply: Reply | None = None
    reason: str = ""

    @property
    def passes(self) -> bool:
        return self.kind is Kind.PASS


PASS = Verdict(Kind.PASS)


def refuse(status: Status, reason: str = "", **values: str) -> Verdict:
    """No, with the status' own code: 5xx refuses, 4xx defers."""
    kind = Kind.REFUSE if status.code >= 500 else Kind.DEFER
    return Verdict(kind, Reply(status, MappingProxyType(values)), reason)
