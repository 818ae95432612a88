"""The product's whole passage of one message, as the campaigns and tests call it. All that they know of it is here."""

from __future__ import annotations

from dataclasses import dataclass, field

from passing import through

from aliasing.correspondence import Correspondence, Direction


@dataclass(frozen=True)
class Outcome:
    """`rule` refused it, and `said` is all that the writer is told; or `output` is what the reader gets."""

    rule: str | None
    said: str = ""
    output: bytes | None = field(default=None, repr=False)


def run_product(data: bytes, frame: Correspondence, direction: Direction) -> Outcome:
    """What becomes of a message that the writer of that direction sends; raises whatever the product raises."""
    passage = through(data, direction, frame, footer=True)
    if passage.decision.error is not None:
        raise passage.decision.error
    reply = passage.decision.verdict.reply
    if passage.outgoing is None:
        return Outcome(passage.decision.rule, f"{reply.status.name} {dict(reply.values)}" if reply else "")
    return Outcome(None, "", passage.outgoing.raw)
