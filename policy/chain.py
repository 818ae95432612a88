"""The two lists of rules, and how a decision is made from them.

Order matters: identity comes before everything that tells of an order, so that a stranger hears of none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from policy.case import Case
from policy.rules import (
    attachments,
    authorised,
    blocklist,
    closed,
    critical_cap,
    loop,
    network,
    rate,
    structure,
    unsolicited,
)
from policy.status import Status
from policy.verdict import PASS, Verdict, refuse

Rule = Callable[[Case], Verdict]

ENVELOPE_RULES: Sequence[tuple[str, Rule]] = (
    ("network", network.check),
)
MESSAGE_RULES: Sequence[tuple[str, Rule]] = (
    ("structure", structure.check),
    ("loop", loop.check),
    ("authorised", authorised.check),
    ("closed", closed.check),
    ("blocklist", blocklist.check),
    ("unsolicited", unsolicited.check),
    ("critical-cap", critical_cap.check),
    ("rate", rate.check),
    ("attachments", attachments.check),
)


@dataclass(frozen=True)
class Decision:
    """The first verdict that is not pass, with the name of its rule; `ran` lists what was asked in order."""

    verdict: Verdict
    rule: str | None
    ran: tuple[tuple[str, Verdict], ...]
    not_run: tuple[str, ...] = ()
    error: Exception | None = None
    """What a rule raised, for the log; the verdict is then a deferral, never a pass."""


def decide(case: Case, rules: Sequence[tuple[str, Rule]]) -> Decision:
    """Ask the rules in order until one does not pass."""
    ran: list[tuple[str, Verdict]] = []
    for index, (name, check) in enumerate(rules):
        error = None
        try:
            verdict = check(case)
        except Exception as raised:
            verdict, error = refuse(Status.INTERNAL, f"the rule raised {type(raised).__name__}"), raised
        ran.append((name, verdict))
        if not verdict.passes:
            return Decision(verdict, name, tuple(ran), tuple(name for name, _ in rules[index + 1 :]), error)
    return Decision(PASS, None, tuple(ran))
