"""Makes the notice that an originator gets about a delivery: the one place where a DSN's facts come together."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from aliasing.address import Address
from aliasing.correspondence import Correspondence, Direction
from aliasing.redact import redactor_for
from relay.dsn.compose import Report, compose, letter
from relay.dsn.question import compose_question
from relay.ledger import Notice, ReturnedDelivery
from relay.records import DeliveryKind, LedgerEntry, Outcome, new_id


@dataclass(frozen=True)
class About:
    """The message that somebody is written to about."""

    correspondence: Correspondence
    direction: Direction
    subject: str
    received_at: datetime
    original_id: bytes | None


class Notices:
    """Composes failure DSNs and delay warnings in the originator's language."""

    def __init__(self, hostname: str, give_up_after: timedelta) -> None:
        self._hostname = hostname
        self._give_up_after = give_up_after

    def failed(self, about: ReturnedDelivery, outcome: Outcome, now: datetime, *, dropped: bool = False) -> Notice:
        """The message will not arrive."""
        if dropped:
            reason = "reason_removed"
        else:
            reason = "reason_permanent" if outcome.enhanced.startswith("5") else "reason_expired"
        status = outcome.enhanced if outcome.enhanced.startswith("5") else "5.4.7"  # RFC 3463 3.5: expired
        return self._notice(about, DeliveryKind.DSN, "failed", status, reason, now)

    def delayed(self, about: ReturnedDelivery, outcome: Outcome, now: datetime) -> Notice:
        """The message has not arrived yet."""
        status = outcome.enhanced if outcome.enhanced.startswith("4") else "4.0.0"
        return self._notice(about, DeliveryKind.WARNING, "delayed", status, "reason_temporary", now)

    def without_signature(self, entry: LedgerEntry, now: datetime) -> bytes:
        """The message goes on, but without its digital signature."""
        correspondence, direction = entry.correspondence, entry.direction
        return compose(Report(
            action="relayed", status="2.6.0", reason="reason_unsigned", hostname=self._hostname,
            domain=correspondence.domain, language=correspondence.parties[direction.writer].language,
            message_id=new_id(), recipient=correspondence.alias(direction.reader),
            originator=correspondence.alias(direction.writer), subject=redactor_for(correspondence).text(entry.subject),
            order=correspondence.order or "", dated=entry.received_at, now=now, original_id=entry.original_id))

    def refused(self, entry: LedgerEntry, now: datetime) -> bytes:
        """This recipient was refused, while others of the same message were not."""
        assert entry.reply is not None
        correspondence, direction = entry.correspondence, entry.direction
        # action "failed" wants a permanent status (RFC 3464 2.3.4): what is deferred here is not tried again
        status = "5" + entry.reply.status.enhanced[1:]
        return compose(Report(
            action="failed", status=status, reason="reason_refused", hostname=self._hostname,
            domain=correspondence.domain, language=correspondence.parties[direction.writer].language,
            message_id=new_id(), recipient=correspondence.alias(direction.reader),
            originator=correspondence.alias(direction.writer), subject=redactor_for(correspondence).text(entry.subject),
            order=correspondence.order or "", dated=entry.received_at, now=now, original_id=entry.original_id,
            values={"why": entry.reply_text}))

    def asks(self, entry: LedgerEntry, address: Address) -> bytes:
        """May this address write for the party? An answer to the message says yes."""
        return compose_question(entry, address, new_id())

    def warned(self, about: About, reason: str, now: datetime) -> bytes:
        """A moderator has words for the writer of a message."""
        correspondence, direction = about.correspondence, about.direction
        redactor = redactor_for(correspondence)
        return letter(Report(
            action="warned", status="", reason=redactor.text(reason), hostname=self._hostname,
            domain=correspondence.domain, language=correspondence.parties[direction.writer].language,
            message_id=new_id(), recipient=correspondence.alias(direction.reader),
            originator=correspondence.alias(direction.writer), subject=redactor.text(about.subject),
            order=correspondence.order or "", dated=about.received_at, now=now, original_id=about.original_id))

    def _notice(self, about: ReturnedDelivery, kind: DeliveryKind, action: str, status: str, reason: str,
                now: datetime) -> Notice:
        correspondence = about.correspondence
        writer = correspondence.parties[about.direction.writer]
        until = (about.received_at + self._give_up_after).strftime("%Y-%m-%d %H:%M UTC")
        days = f"{self._give_up_after / timedelta(days=1):g}"
        # the subject is shown as the reader would have seen it: redacted
        subject = redactor_for(correspondence).text(about.subject)
        content = compose(Report(
            action=action, status=status, reason=reason, hostname=self._hostname, domain=correspondence.domain,
            language=writer.language, message_id=new_id(), recipient=correspondence.alias(about.direction.reader),
            originator=correspondence.alias(about.direction.writer), subject=subject,
            order=correspondence.order or "", dated=about.received_at, now=now, original_id=about.original_id,
            values={"until": until, "days": days}))
        return Notice(about, kind, content)
