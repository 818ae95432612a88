"""What the ledger keeps, as the rest of the relay sees it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from aliasing.address import Address
from aliasing.correspondence import Correspondence, Direction
from aliasing.token import encode
from policy.verdict import Reply, Verdict


@dataclass(frozen=True)
class Finding:
    """How one thing about the daemon is, for its operator: `name` is stable, `tone` is good, wait or bad, `values` are
    what its words are filled with, `problems` lines of the daemon's own."""

    name: str
    tone: str
    values: Mapping[str, float] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


class State(StrEnum):
    """Where a message stands; the values are those of the JSON interface."""

    QUEUED = "queued"
    DEFERRED = "deferred"
    DELIVERED = "delivered"
    FAILED = "failed"
    REFUSED = "refused"
    HELD = "held"
    AUTO = "auto"
    SELF = "self"


class DeliveryKind(StrEnum):
    MESSAGE = "message"
    DSN = "dsn"
    WARNING = "warning"


class OutcomeKind(StrEnum):
    DELIVERED = "delivered"
    DEFERRED = "deferred"
    FAILED = "failed"


@dataclass(frozen=True)
class Outcome:
    """How one attempt ended. `remote` is the other server's text: sealed in the ledger, never passed on."""

    kind: OutcomeKind
    code: str
    """An SMTP code with its enhanced code ("550 5.1.1"), or the enhanced code of RFC 3463 alone."""
    remote: str = ""

    @property
    def enhanced(self) -> str:
        """The enhanced code alone, as a DSN's Status field wants it."""
        last = self.code.split()[-1] if self.code else ""
        if last.count(".") == 2:
            return last
        return {OutcomeKind.DELIVERED: "2.0.0", OutcomeKind.DEFERRED: "4.0.0"}.get(self.kind, "5.0.0")


@dataclass(frozen=True)
class Ruling:
    """One rule's verdict, for the message's timeline."""

    rule: str
    verdict: Verdict


@dataclass(frozen=True)
class LedgerEntry:
    """A message about to be recorded for one recipient; `content` is what will leave (or evidence)."""

    id: str
    trace: str
    correspondence: Correspondence
    direction: Direction
    state: State
    received_at: datetime
    size: int
    """Octets as received."""
    subject: str
    channel: str = "mail"
    """"mail", or "page" for what was written on the page or by API."""
    dated_at: datetime | None = None
    attachments: int = 0
    rule: str | None = None
    reply: Reply | None = None
    reply_text: str = ""
    rulings: tuple[Ruling, ...] = ()
    not_run: tuple[str, ...] = ()
    """Rules that were not asked, because an earlier one had said no."""
    notes: tuple[str, ...] = ()
    """What was taken out of the message on its way, in words."""
    solicited: bool = False
    critical: bool = False
    critical_today: int = 0
    """How many critical messages the rules counted: with another number the commit raises Overtaken."""
    original_id: bytes | None = None
    outgoing_id: bytes | None = None
    content: bytes | None = field(default=None, repr=False)
    identity: bytes | None = None
    """What makes this message itself (Letter.identity), None where that cannot be told."""
    repeats: str | None = None
    """The public id of the very same message, accepted before: only its repetition is recorded."""
    notice: bytes | None = field(default=None, repr=False)
    """What the writer is told in a message of its own (what was changed, or why this recipient was refused), queued in
    the same commit."""
    asks: Address | None = field(default=None, repr=False)
    """The address that wrote without leave: `notice` asks its party about it, unless that was done today."""


@dataclass(frozen=True)
class Delivery:
    """The work of getting one message (or a DSN about it) to one recipient, leased to this process."""

    number: int
    message_number: int
    message: str
    trace: str
    kind: DeliveryKind
    recipient: Address
    reverse_path: str
    """"" for a DSN (RFC 5321 6.1), else the sealed return path of this delivery."""
    attempts: int
    """Attempts begun, this one included."""
    created_at: datetime
    warned: bool
    dropped: bool = False
    """An operator took it out of the queue: it ends here, with a DSN to its originator."""
    failures: int = 0
    """How often in a row its destination could not be reached when this was claimed; 0 while it is well."""
    content: bytes | None = field(default=None, repr=False)
    """None when it was left in the ledger and has to be fetched."""

    @property
    def destination(self) -> str:
        return self.recipient.domain


def new_id() -> str:
    """A public id: 80 random bits in base32, so that no count of messages shows."""
    return encode(secrets.token_bytes(10))
