"""The story of one message, from the end of its data to the answer. Read this first.

    the bytes -> a Message -> for each recipient: facts, verdict, rewriting, egress check
              -> one answer for the whole transaction -> one durable commit -> out to the queue

Whatever goes wrong is a 4xx; a 250 is given only after the ledger's fsync.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from typing import TypeVar

from aliasing.address import Address, single_mailbox
from aliasing.correspondence import Direction, Side
from aliasing.leaks import find_leaks
from aliasing.message import Message, MessageError
from aliasing.rewrite import Threads, message_ids, original_id, outgoing_id, rewrite
from aliasing.token import OpenedAlias
from policy.automatic import is_automatic
from policy.case import AddressState, Case, Facts, PolicySettings
from policy.chain import MESSAGE_RULES, Decision, decide
from policy.rules.attachments import attachments
from policy.status import Status
from policy.subject import is_critical
from policy.verdict import PASS, Kind, Reply, Verdict, refuse
from relay import maillog, texts
from relay.dsn.notices import Notices
from relay.dsn.receive import understand
from relay.errors import LedgerError, Overtaken, StorageFailed, StorageFull
from relay.ledger import Ledger
from relay.queue.runner import Runner
from relay.records import LedgerEntry, OutcomeKind, Ruling, State, new_id

BIG_BYTES = 128 * 1024
"""Above this, parsing and rewriting leave the event loop for a thread."""
MAX_OVERTAKEN = 20
"""How often a message is judged again because others of its correspondence were committed first."""
T = TypeVar("T")


@dataclass(frozen=True)
class Transaction:
    """One SMTP transaction at the end of its data (RFC 5321 3.3): who connected, the envelope, the bytes."""

    trace: str
    client: IPv4Address | IPv6Address
    reverse_path: Address | None
    recipients: tuple[OpenedAlias, ...]
    returns: tuple[int, ...]
    """Deliveries whose return paths were among the recipients."""
    received_at: datetime
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class Answer:
    """The reply line; `fatal` when the connection (and the process) should not go on."""

    line: str
    fatal: bool = False


@dataclass(frozen=True)
class _Letter:
    """The message as read once for all recipients, or why it cannot be."""

    message: Message | None
    problem: MessageError | None = None
    header_from: Address | None = None
    subject: str = ""
    dated_at: datetime | None = None
    automatic: bool = False


@dataclass(frozen=True)
class _Judged:
    """One recipient's fate: `outgoing` is what will leave, `evidence` what was stopped at the door."""

    recipient: OpenedAlias
    facts: Facts
    state: State
    decision: Decision
    solicited: bool = False
    critical: bool = False
    id: str = field(default_factory=new_id)
    outgoing: Message | None = None
    evidence: bytes | None = field(default=None, repr=False)

    @property
    def verdict(self) -> Verdict:
        return self.decision.verdict


class Acceptor:
    """accept() with what it needs; one instance a process."""

    def __init__(self, ledger: Ledger, settings: PolicySettings, runner: Runner, notices: Notices,
                 clock: Callable[[], datetime], language: str) -> None:
        self._ledger = ledger
        self._settings = settings
        self._runner = runner
        self._notices = notices
        self._clock = clock
        self._language = language

    async def accept(self, transaction: Transaction) -> Answer:
        """Decide, record and answer. Never raises; whatever fails is answered 4xx and nothing was promised."""
        try:
            return await self._accept(transaction)
        except StorageFull as error:
            maillog.accept_failed(transaction.trace, error)
            return self._say(Reply(Status.STORAGE_FULL))
        except StorageFailed as error:
            maillog.storage_failed(error)
            return Answer(self._say(Reply(Status.STORAGE_FAILED)).line, fatal=True)
        except Exception as error:
            maillog.accept_failed(transaction.trace, error)
            return self._say(Reply(Status.INTERNAL))

    async def _accept(self, transaction: Transaction) -> Answer:
        letter = await _off_loop(transaction.data, partial(_read, transaction.data))
        if letter.message is not None:
            for number in transaction.returns:
                await self._take_back(number, letter.message, transaction)
        for _ in range(MAX_OVERTAKEN):
            judged = _one_answer([await self._judge(letter, recipient, transaction)
                                  for recipient in transaction.recipients])
            entries = [self._entry(one, letter, transaction) for one in judged]
            with suppress(Overtaken):  # another message changed what the verdict rested on: judge again
                await self._keep(entries)
                self._log(entries)
                return self._answer(judged)
        return self._say(Reply(Status.INTERNAL))

    async def _keep(self, entries: Sequence[LedgerEntry]) -> None:
        """Durable when this returns; then out to the queue."""
        if entries:
            # the commit goes on when the client hangs up: what may be on disk must be in our books
            deliveries = await asyncio.shield(
                self._ledger.commit(entries, self._clock(), lease_s=self._runner.lease_s))
            self._runner.offer([delivery for delivery in deliveries if delivery.attempts])

    async def _judge(self, letter: _Letter, recipient: OpenedAlias, transaction: Transaction) -> _Judged:
        """Facts, rules and, when they pass, the message as its reader will see it."""
        direction = Direction.toward(Side(recipient.role))
        now = self._clock()
        facts = await self._ledger.facts(recipient.correspondence, direction, now)
        if facts is None:
            raise LedgerError("a correspondence was erased between RCPT and the end of data")
        message = letter.message
        originals: dict[bytes, bytes] = {}
        replies_to_buyer = False
        if message is not None:
            originals, replies_to_buyer = await self._ledger.originals(
                facts.correspondence, direction, message_ids(message, "in-reply-to", "references"))
        facts = replace(facts, replies_to_buyer=replies_to_buyer)
        solicited = direction is Direction.TO_BUYER and self._is_solicited(facts, now)
        critical = message is not None and direction is Direction.TO_BUYER and is_critical(
            letter.subject, [text for texts_ in self._settings.critical_subjects.values() for text in texts_],
            self._settings.subject_markers)
        judged = _Judged(recipient, facts, State.QUEUED, Decision(PASS, None, ()), solicited, critical)
        if message is not None and letter.header_from and _is_own_alias(recipient, facts, letter, transaction):
            return replace(judged, state=State.SELF)
        if message is not None and (letter.automatic or transaction.reverse_path is None):
            return replace(judged, state=State.AUTO)
        case = Case(client=transaction.client, reverse_path=transaction.reverse_path, facts=facts,
                    settings=self._settings, blocks=await self._ledger.relay_blocks(), now=now, message=message,
                    problem=letter.problem, header_from=letter.header_from, solicited=solicited, critical=critical)
        decision = await _off_loop(transaction.data, partial(decide, case, MESSAGE_RULES))
        if decision.error is not None:
            maillog.rule_failed(transaction.trace, decision.rule or "", decision.error)
        judged = replace(judged, decision=decision)
        if not decision.verdict.passes:
            return replace(judged, state=State.HELD if decision.verdict.kind is Kind.HOLD else State.REFUSED)
        assert message is not None, "the structure rule passes nothing unreadable"
        threads = Threads(judged.id, transaction.received_at, originals)
        return await _off_loop(transaction.data, partial(_rewrite_safely, judged, message, threads, transaction))

    def _is_solicited(self, facts: Facts, now: datetime) -> bool:
        """A reply to any message of the buyer here; or, for clients that drop the thread fields, one soon after."""
        last = facts.last_buyer_message_at
        return facts.replies_to_buyer or (last is not None and now - last <= self._settings.reply_window)

    def _entry(self, judged: _Judged, letter: _Letter, transaction: Transaction) -> LedgerEntry:
        reply = judged.verdict.reply
        facts, message = judged.facts, letter.message
        language = facts.correspondence.parties[facts.direction.writer].language
        original = original_id(message) if message else None
        content = judged.outgoing.raw if judged.outgoing else judged.evidence
        if judged.state is State.AUTO and _is_authorised(facts, letter):
            content = transaction.data
        return LedgerEntry(
            id=judged.id, trace=transaction.trace, correspondence=facts.correspondence, direction=facts.direction,
            state=judged.state, received_at=transaction.received_at, size=len(transaction.data),
            subject=letter.subject, dated_at=letter.dated_at,
            attachments=len(attachments(message)) if message else 0, rule=judged.decision.rule, reply=reply,
            reply_text=texts.explain(reply, language) if reply else "",
            rulings=tuple(Ruling(rule, verdict) for rule, verdict in judged.decision.ran),
            not_run=judged.decision.not_run,
            solicited=judged.solicited, critical=judged.critical and not judged.solicited,
            critical_today=facts.critical_today, original_id=original,
            outgoing_id=outgoing_id(facts.correspondence, original or judged.id.encode()), content=content)

    async def _take_back(self, number: int, message: Message, transaction: Transaction) -> None:
        """A DSN for one of our deliveries: record it, and tell the originator of a failure in our own words."""
        about = await self._ledger.returned(number)
        if about is None:
            return
        received = understand(message)
        notice = None
        failed = received.outcome.kind is OutcomeKind.FAILED and received.action == "failed"
        if failed and about.state != State.FAILED:
            notice = self._notices.failed(about, received.outcome, self._clock())
        await self._ledger.record_dsn(about, received.outcome, self._clock(), action=received.action, notice=notice)
        maillog.dsn_received(about.trace, about.message, received.action, received.outcome.code)

    def _answer(self, judged: Sequence[_Judged]) -> Answer:
        worst = _worst(judged)
        if worst is None or worst.verdict.reply is None:
            return self._say(Reply(Status.ACCEPTED))
        facts = worst.facts
        return self._say(worst.verdict.reply, facts.correspondence.parties[facts.direction.writer].language)

    def _say(self, reply: Reply, language: str | None = None) -> Answer:
        return Answer(texts.smtp_line(reply, language or self._language))

    def _log(self, entries: Sequence[LedgerEntry]) -> None:
        for entry in entries:
            parties = entry.correspondence.parties
            if entry.state is State.REFUSED and entry.reply is not None:
                reason = entry.rulings[-1].verdict.reason if entry.rulings else ""
                maillog.refused(entry.trace, entry.id, entry.rule or "", entry.reply.status.name, reason)
            elif entry.state in (State.AUTO, State.SELF):
                maillog.recorded(entry.trace, entry.id, entry.state)
            else:
                maillog.accepted(entry.trace, entry.id, entry.direction, parties[entry.direction.writer].id,
                                 parties[entry.direction.reader].id, entry.size)


def _read(data: bytes) -> _Letter:
    """Parse once for all recipients. What cannot be parsed is for the structure rule to refuse."""
    try:
        message = Message.parse(data)
    except MessageError as problem:
        return _Letter(None, problem)
    found = message.all("from")
    header_from = single_mailbox(found[0].value.decode("utf-8", "replace")) if len(found) == 1 else None
    return _Letter(message, None, header_from, message.subject, _date(message), is_automatic(message))


def _date(message: Message) -> datetime | None:
    """When the writer's client says it was written; None when it says nothing readable."""
    found = message.field("date")
    try:
        date = parsedate_to_datetime(found.text) if found else None
        if date is None:
            return None
        date = date if date.tzinfo else date.replace(tzinfo=UTC)
        return date if abs(date.timestamp()) < 2**33 else None
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _is_own_alias(recipient: OpenedAlias, facts: Facts, letter: _Letter, transaction: Transaction) -> bool:
    """A reply-all names the writer's own alias beside the counterpart's: recorded, not delivered back."""
    assert letter.header_from is not None
    if letter.header_from.key not in facts.reader_addresses or letter.header_from.key in facts.writer_addresses:
        return False
    return any(other.correspondence == recipient.correspondence and other.role != recipient.role
               for other in transaction.recipients)


def _is_authorised(facts: Facts, letter: _Letter) -> bool:
    return letter.header_from is not None and (
        facts.writer_addresses.get(letter.header_from.key) is AddressState.AUTHORISED)


def _rewrite_safely(judged: _Judged, message: Message, threads: Threads, transaction: Transaction) -> _Judged:
    """Rewrite, then look at the result with other eyes: with a real address still in it, it does not leave."""
    facts = judged.facts
    outgoing = rewrite(message, facts.correspondence, facts.direction, threads)
    leaks = find_leaks(outgoing, (secret for secret, _ in facts.correspondence.secrets()))
    if not leaks:
        return replace(judged, outgoing=outgoing)
    where = ", ".join(leak.place for leak in leaks)
    maillog.leak_stopped(transaction.trace, judged.id, where)
    verdict = refuse(Status.WOULD_LEAK, where, where=where, order=facts.order)
    ran = (*judged.decision.ran, ("egress", verdict))
    return replace(judged, state=State.REFUSED, decision=Decision(verdict, "egress", ran), evidence=transaction.data)


def _worst(judged: Sequence[_Judged]) -> _Judged | None:
    """The strictest verdict: a refusal before a deferral, the first of them."""
    for kind in (Kind.REFUSE, Kind.DEFER):
        for one in judged:
            if one.verdict.kind is kind and one.decision.rule != "companion":
                return one
    return None


def _one_answer(judged: list[_Judged]) -> list[_Judged]:
    """One reply follows DATA. Until originators are authenticated by login, the strictest verdict is everybody's:
    a recipient who would have passed is recorded as refused with the others."""
    worst = _worst(judged)
    if worst is None:
        return judged
    verdict = refuse(Status.COMPANION_REFUSED, worst.decision.rule or "")
    return [replace(one, state=State.REFUSED, outgoing=None,
                    decision=Decision(verdict, "companion", (*one.decision.ran, ("companion", verdict))))
            if one.verdict.passes else one for one in judged]


async def _off_loop(data: bytes, work: Callable[[], T]) -> T:
    """Big messages are worked on in a thread, so that other sessions go on."""
    return await asyncio.to_thread(work) if len(data) > BIG_BYTES else work()
