"""What the verdicts on one message's several recipients come to: one answer for all, or one each. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from aliasing.address import Address
from aliasing.token import OpenedAlias
from policy.case import Facts
from policy.chain import Decision
from policy.status import Status
from policy.verdict import Kind, Verdict, refuse
from relay.passage import Passage
from relay.records import State, new_id


@dataclass(frozen=True)
class Judged:
    """One recipient's fate: `passage` has what will leave, `evidence` what was stopped at the door."""

    recipient: OpenedAlias
    facts: Facts
    state: State
    passage: Passage
    solicited: bool = False
    critical: bool = False
    authentic: bool = False
    known: bool = False
    """It is certain that an address of the party that writes here is whose message this is."""
    id: str = field(default_factory=new_id)
    evidence: bytes | None = field(default=None, repr=False)
    repeats: str | None = None
    told: bool = False
    """Refused while others pass: its writer hears of it by DSN, not in the reply."""
    dsn: bool = False
    """That DSN is queued now; not so when the message has come before."""
    asks: Address | None = field(default=None, repr=False)
    """The address that the writer's party is asked about."""

    @property
    def decision(self) -> Decision:
        return self.passage.decision

    @property
    def verdict(self) -> Verdict:
        return self.decision.verdict


@dataclass(frozen=True)
class Done:
    """The answer to one sealed action."""

    verdict: Verdict
    language: str


def worst(judged: Sequence[Judged]) -> Judged | None:
    """The strictest verdict: a refusal before a deferral, the first of them."""
    for kind in (Kind.REFUSE, Kind.DEFER):
        for one in judged:
            if one.verdict.kind is kind and one.decision.rule != "companion" and not one.told:
                return one
    return None


def answered(judged: list[Judged], *, each: bool) -> list[Judged]:
    """One reply follows DATA. Who is known hears of the refused ones by DSN; to anybody else that would be backscatter,
    and the strictest verdict is everybody's."""
    if each:
        return judged
    refused = [one for one in judged if not one.verdict.passes]
    if len(refused) == len(judged) or not all(_may_be_told(one) for one in refused):
        return _one_answer(judged)
    fresh = any(one.verdict.passes and one.repeats is None for one in judged)
    return [one if one.verdict.passes else replace(one, told=True, dsn=fresh) for one in judged]


def _may_be_told(refused: Judged) -> bool:
    """A DSN goes to the party that writes in this correspondence: only to whom we know. What failed is tried again."""
    return refused.known and refused.decision.error is None and refused.asks is None


def _one_answer(judged: list[Judged]) -> list[Judged]:
    """The strictest verdict is everybody's: who would have passed is recorded as refused with the others."""
    strictest = worst(judged)
    if strictest is None:
        return judged
    verdict = refuse(Status.COMPANION_REFUSED, strictest.decision.rule or "")
    return [replace(one, state=State.REFUSED, passage=Passage(
                Decision(verdict, "companion", (*one.decision.ran, ("companion", verdict)))))
            if one.verdict.passes else one for one in judged]
