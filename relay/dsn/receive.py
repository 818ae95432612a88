"""What comes back to a return path: a remote server's DSN, or an auto-reply that should not have come here."""

from __future__ import annotations

import re
from dataclasses import dataclass

from aliasing.message import Message
from relay.records import Outcome, OutcomeKind

_FIELD = re.compile(r"^([A-Za-z-]+)\s*:\s*(.*(?:\r?\n[ \t].*)*)", re.MULTILINE)
_STATUS = re.compile(r"\b([245]\.\d{1,3}\.\d{1,3})\b")
_ACTIONS = {
    "failed": OutcomeKind.FAILED,
    "delayed": OutcomeKind.DEFERRED,
    "delivered": OutcomeKind.DELIVERED,
    "relayed": OutcomeKind.DELIVERED,
    "expanded": OutcomeKind.DELIVERED,
}


@dataclass(frozen=True)
class Received:
    """`action` as RFC 3464 2.3.3 has it, or "other" for what is no DSN."""

    action: str
    outcome: Outcome


def understand(message: Message) -> Received:
    """Find the delivery status wherever it stands in the message; by content, never by position.

    Each return path belongs to one delivery to one recipient, so the first per-recipient group is meant.
    """
    for part in message.root.walk():
        if part.content_type not in ("message/delivery-status", "message/global-delivery-status"):
            continue
        fields: dict[str, str] = {}
        for name, value in _FIELD.findall(message.text(part)):
            fields.setdefault(name.lower(), " ".join(value.split()))
        action = fields.get("action", "").lower()
        if action not in _ACTIONS:
            continue
        status = _STATUS.search(fields.get("status", ""))
        code = status.group(1) if status else {"failed": "5.0.0", "delayed": "4.0.0"}.get(action, "2.0.0")
        return Received(action, Outcome(_ACTIONS[action], code, fields.get("diagnostic-code", "")[:1000]))
    return Received("other", Outcome(OutcomeKind.DEFERRED, "", message.subject[:200]))
