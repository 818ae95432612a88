"""The two lists of rules, and how a decision is made from them.

Order matters: identity comes before everything that tells of an order, so that a stranger hears of none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from policy.case import Case
from policy.rules import (
    addresses_in_files,
    attachments,
    authentication,
    authorised,
    blocklist,
    closed,
    critical_cap,
    login,
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
LOGIN_RULES: Sequence[tuple[str, Rule]] = (
    ("login", login.check_party),
    ("closed", closed.check),
    ("blocklist", blocklist.check),
    ("rate", rate.check),
)
"""Before the message, where we know who writes: better heard while the mail program's window is open."""
WRITER_RULES: Sequence[tuple[str, Rule]] = (
    ("structure", structure.check),
    ("loop", loop.check),
    ("login", login.check),
    ("authentication", authentication.check),
    ("authorised", authorised.check),
    ("closed", closed.check),
    ("blocklist", blocklist.check),
    ("unsolicited", unsolicited.check),
    ("critical-cap", critical_cap.check),
    ("rate", rate.check),
)
FILE_RULES: Sequence[tuple[str, Rule]] = (
    ("attachments", attachments.check),
    ("addresses-in-files", addresses_in_files.check),
)
MESSAGE_RULES = (*WRITER_RULES, *FILE_RULES)
"""Files are opened, which costs, only where the rules before them pass."""


@dataclass(frozen=True)
class Decision:
    """The first verdict that is not pass, with the name of its rule; `ran` lists what was asked in order."""

    verdict: Verdict
    rule: str | None
    ran: tuple[tuple[str, Verdict], ...]
    not_run: tuple[str, ...] = ()
    error: Exception | None = None
    """What a rule raised, for the log; the verdict is then a deferral, never a pass."""


def decide(case: Case, rules: Sequence[tuple[str, Rule]], *, ask_all: bool = False) -> Decision:
    """Ask the rules in order until one does not pass; with `ask_all` the others as well, for a dry run.

    What cannot be read as a message is beyond the rules that look into it.
    """
    ran: list[tuple[str, Verdict]] = []
    first: Decision | None = None
    for index, (name, check) in enumerate(rules):
        error = None
        try:
            verdict = check(case)
        except Exception as raised:
            verdict, error = refuse(Status.INTERNAL, f"the rule raised {type(raised).__name__}"), raised
        ran.append((name, verdict))
        if not verdict.passes and first is None:
            first = Decision(verdict, name, (), tuple(name for name, _ in rules[index + 1 :]), error)
            if not ask_all or case.message is None:
                return replace(first, ran=tuple(ran))
    return replace(first, ran=tuple(ran), not_run=()) if first else Decision(PASS, None, tuple(ran))
