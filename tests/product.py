"""The product's whole passage of one message, as the campaigns and tests call it. All that they know of it is here."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_address

from aliasing.address import single_mailbox
from aliasing.correspondence import Correspondence, Direction
from aliasing.leaks import find_leaks
from aliasing.message import Message, MessageError
from aliasing.rewrite import Threads, rewrite
from policy.case import AddressState, Case, Facts, PolicySettings, RelayBlocks
from policy.chain import MESSAGE_RULES, decide

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Outcome:
    """`rule` refused it, and `said` is all that the writer is told; or `output` is what the reader gets."""

    rule: str | None
    said: str = ""
    output: bytes | None = field(default=None, repr=False)


def run_product(data: bytes, frame: Correspondence, direction: Direction) -> Outcome:
    """What becomes of a message that the writer of that direction sends; raises whatever the product raises."""
    addresses = {side: [address.key for address in known] for side, known in frame.addresses.items()}
    facts = Facts(frame, direction, dict.fromkeys(addresses[direction.writer], AddressState.AUTHORISED),
                  frozenset(addresses[direction.reader]))
    message, problem, header_from = None, None, None
    try:
        message = Message.parse(data)
    except MessageError as error:
        problem = error
    if message is not None and len(message.all("from")) == 1:
        header_from = single_mailbox(message.all("from")[0].value.decode("utf-8", "replace"))
    case = Case(ip_address("192.0.2.7"), header_from, facts, PolicySettings(), RelayBlocks(), NOW, message, problem,
                header_from)
    decision = decide(case, MESSAGE_RULES)
    if decision.error is not None:
        raise decision.error
    if message is None or not decision.verdict.passes:
        reply = decision.verdict.reply
        return Outcome(decision.rule, f"{reply.status.name} {dict(reply.values)}" if reply else "")
    output = rewrite(message, frame, direction, Threads("0123456789abcdef", NOW))
    leaks = find_leaks(output, (secret for secret, _ in frame.secrets()))
    if leaks:
        return Outcome("egress", ", ".join(leak.place for leak in leaks))
    return Outcome(None, "", output.raw)
