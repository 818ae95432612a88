"""The story of one message, from the end of its data to the answer. Read this first.

    the bytes -> a Letter -> for each recipient: facts, then its passage (rules, rewriting, egress check)
              -> one answer for the whole transaction -> one durable commit -> out to the queue

Whatever goes wrong is a 4xx; a 250 is given only after the ledger's fsync.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from ipaddress import IPv4Address, IPv6Address

from aliasing.address import Address
from aliasing.correspondence import Direction, Side
from aliasing.message import Message
from aliasing.redact import redactor_for
from aliasing.rewrite import Threads, message_ids, original_id, outgoing_id
from aliasing.token import OpenedAction, OpenedAlias
from policy.case import AddressState, AuthenticationResults, Case, Facts, PolicySettings
from policy.chain import WRITER_RULES, Decision, decide
from policy.files import Problem
from policy.rules import authentication
from policy.rules.attachments import attachments
from policy.status import Status
from policy.verdict import PASS, Kind, Reply, Verdict, refuse
from relay import authn, maillog, texts
from relay.asking import asked_address, asking, is_to_both
from relay.dns import Resolver
from relay.dsn.notices import Notices
from relay.dsn.receive import understand
from relay.errors import LedgerError, Overtaken, StorageFailed, StorageFull
from relay.examiner import Examiner
from relay.judged import Done, Judged, answered, worst
from relay.ledger import MAX_AUTOMATIC, MAX_REFUSED, MAX_REPORTS, Ledger
from relay.offload import off_loop
from relay.passage import Attachment, Letter, Passage, files_of, make_case, pass_through, read
from relay.queue.runner import Runner
from relay.records import LedgerEntry, OutcomeKind, Ruling, State

MAX_OVERTAKEN = 20
"""How often a message is judged again because others of its correspondence were committed first."""
_STATES = {Kind.PASS: State.QUEUED, Kind.HOLD: State.HELD, Kind.REFUSE: State.REFUSED, Kind.DEFER: State.REFUSED}


@dataclass(frozen=True)
class Transaction:
    """One SMTP transaction at the end of its data (RFC 5321 3.3): who connected, the envelope, the bytes."""

    trace: str
    client: IPv4Address | IPv6Address
    reverse_path: Address | None
    recipients: tuple[OpenedAlias, ...]
    returns: tuple[int, ...]
    """Deliveries whose return paths were among the recipients."""
    actions: tuple[OpenedAction, ...]
    """What sealed action addresses among the recipients ask for."""
    received_at: datetime
    data: bytes = field(repr=False)
    helo: str = ""
    """What the client called itself."""
    login: str | None = None
    """Party.key of who gave a password."""
    each: bool = False
    """Each recipient gets a reply of its own (RFC 2033 4.2)."""
    channel: str = "mail"
    """"page" for a message that was composed here (relay/compose.py)."""


@dataclass(frozen=True)
class Answer:
    """The reply line; `fatal` when the connection (and the process) should not go on."""

    line: str
    fatal: bool = False
    each: Mapping[OpenedAlias | OpenedAction, str] = field(default_factory=dict)
    """With Transaction.each: the recipients that get another line."""
    reply: Reply | None = None


@dataclass(frozen=True)
class Foretold:
    """What would become of a message; `notes` say what was taken out of `outgoing`."""

    verdict: Verdict
    outgoing: bytes | None = field(repr=False)
    notes: tuple[str, ...]


class _TooMany(Exception):  # noqa: N818 - an answer, not a mistake
    """More of the kind today would fill the ledger with what nobody reads."""

    def __init__(self, kind: str, limit: int) -> None:
        super().__init__(kind)
        self.kind = kind
        self.limit = limit


class Acceptor:
    """accept() with what it needs; one instance a process."""

    def __init__(self, ledger: Ledger, settings: PolicySettings, runner: Runner, notices: Notices,
                 examiner: Examiner, resolver: Resolver, clock: Callable[[], datetime], language: str) -> None:
        self._ledger = ledger
        self._settings = settings
        self._runner = runner
        self._notices = notices
        self._examiner = examiner
        self._resolver = resolver
        self._clock = clock
        self._language = language

    def reconfigure(self, settings: PolicySettings, notices: Notices, resolver: Resolver, language: str) -> None:
        """Other settings for what is judged from now on."""
        self._settings = settings
        self._resolver = resolver
        self._notices = notices
        self._language = language

    async def accept(self, transaction: Transaction) -> Answer:
        """Decide, record and answer. Never raises; whatever fails is answered 4xx and nothing was promised."""
        try:
            return await self._accept(transaction)
        except StorageFull as error:
            maillog.accept_failed(transaction.trace, error)
            return self._say(Reply(Status.STORAGE_FULL))
        except _TooMany as error:
            # not recorded either, and so not refused for good: this one may be the one that matters
            maillog.refused(transaction.trace, "", error.kind, Status.DAILY_CAP.name, f"too many {error.kind} today")
            return self._say(Reply(Status.DAILY_CAP, {"limit": str(error.limit)}))
        except StorageFailed as error:
            maillog.storage_failed(error)
            return Answer(self._say(Reply(Status.STORAGE_FAILED)).line, fatal=True)
        except Exception as error:
            maillog.accept_failed(transaction.trace, error)
            return self._say(Reply(Status.INTERNAL))

    async def foretell(self, transaction: Transaction) -> Foretold:
        """What accept() would do for the first recipient at this moment; nothing is recorded. Raises LedgerError."""
        letter = await off_loop(len(transaction.data), partial(read, transaction.data))
        origin = await self._authenticate(letter, transaction)
        try:
            judged = await self._judge(letter, transaction.recipients[0], transaction, origin)
        except _TooMany as error:
            return Foretold(refuse(Status.DAILY_CAP, limit=str(error.limit)), None, ())
        outgoing = judged.passage.outgoing
        return Foretold(judged.verdict, outgoing.raw if outgoing else None, judged.passage.notes)

    async def examine(self, file: Attachment) -> Problem | None:
        """What is wrong with one file by itself, before there is a message."""
        found = await self._examiner.examine([file], scrub=False)
        return found[file.path].problem

    async def _accept(self, transaction: Transaction) -> Answer:
        letter = await off_loop(len(transaction.data), partial(read, transaction.data))
        if letter.message is not None:
            for number in transaction.returns:
                await self._take_back(number, letter.message, transaction)
        origin = await self._authenticate(letter, transaction)
        done = [await self._act(action, letter, transaction, origin) for action in transaction.actions]
        for _ in range(MAX_OVERTAKEN):
            judged = answered([await self._judge(letter, recipient, transaction, origin)
                                for recipient in transaction.recipients], each=transaction.each)
            entries = [self._entry(one, letter, transaction) for one in judged]
            with suppress(Overtaken):  # another message changed what the verdict rested on: judge again
                await self._keep(entries)
                self._log(entries)
                if transaction.each:
                    return replace(self._answer((), ()), each=self._each(judged, done, transaction))
                return self._answer(judged, done)
        return self._say(Reply(Status.INTERNAL))

    async def _keep(self, entries: Sequence[LedgerEntry]) -> None:
        """Durable when this returns; then out to the queue."""
        if entries:
            # the commit goes on when the client hangs up: what may be on disk must be in our books
            deliveries = await asyncio.shield(
                self._ledger.commit(entries, self._clock(), lease_s=self._runner.lease_for(entries)))
            self._runner.offer([delivery for delivery in deliveries if delivery.attempts])

    async def _authenticate(self, letter: Letter, transaction: Transaction) -> AuthenticationResults | None:
        """Asked once for all recipients, whoever the author claims to be: the time it takes must tell no stranger
        whether they guessed an authorised address. None where no answer could matter."""
        message, author, client = letter.message, letter.header_from, transaction.client
        if message is None or author is None or transaction.login is not None:
            return None
        if not transaction.recipients and not transaction.actions:
            return None
        if client.is_loopback and not self._settings.requires_authentication(author.domain):
            return None  # development: this machine stands in no SPF record, and nothing hangs on the answer
        origin = authn.Origin(client, transaction.helo, transaction.reverse_path, author)
        return await authn.check(message, origin, self._resolver, self._clock(), self._settings.arc_sealers)

    async def _case(self, letter: Letter, facts: Facts, transaction: Transaction,
                    origin: AuthenticationResults | None, now: datetime) -> Case:
        return make_case(letter, facts, client=transaction.client, reverse_path=transaction.reverse_path,
                         settings=self._settings, blocks=await self._ledger.relay_blocks(), now=now, files={},
                         login=transaction.login, authentication=origin)

    async def _judge(self, letter: Letter, recipient: OpenedAlias, transaction: Transaction,
                     origin: AuthenticationResults | None) -> Judged:
        """Facts, rules and, when they pass, the message as its reader will see it."""
        direction = Direction.toward(Side(recipient.role))
        now = self._clock()
        facts = await self._facts(letter, recipient.correspondence, direction, now)
        case = await self._case(letter, facts, transaction, origin, now)
        judged = Judged(recipient, facts, State.QUEUED, Passage(Decision(PASS, None, ())), case.solicited,
                         case.critical)
        if letter.message is not None and letter.header_from and _is_own_alias(recipient, facts, letter, transaction):
            return replace(judged, state=State.SELF)
        if letter.message is not None and (letter.automatic or transaction.reverse_path is None):
            await self._stop_at(MAX_AUTOMATIC, State.AUTO, facts, now)
            return replace(judged, state=State.AUTO, authentic=authentication.check(case).passes)
        if letter.identity is not None and (earlier := await self._ledger.repeated(
                facts.correspondence, direction, letter.identity, now)):
            return replace(judged, repeats=earlier)  # it did not hear our 250: it hears it again
        files = files_of(letter)
        if files and decide(case, WRITER_RULES).verdict.passes:
            scrub = self._settings.metadata == "scrub"
            case = replace(case, files=await self._examiner.examine(files, scrub=scrub))
        threads = Threads(judged.id, transaction.received_at, facts.originals)
        passage = await off_loop(len(transaction.data), partial(pass_through, case, threads))
        if passage.decision.error is not None:
            maillog.rule_failed(transaction.trace, passage.decision.rule or "", passage.decision.error)
        if passage.leaks:
            maillog.leak_stopped(transaction.trace, judged.id, ", ".join(passage.leaks))
        judged = replace(judged, passage=passage, evidence=transaction.data if passage.leaks else None,
                         state=_STATES[passage.decision.verdict.kind])
        if judged.verdict.passes:
            return judged
        await self._stop_at(MAX_REFUSED, State.REFUSED, facts, now)
        return await self._refused(judged, case, letter, transaction)

    async def _stop_at(self, limit: int, state: State, facts: Facts, now: datetime) -> None:
        if await self._ledger.of_the_day(facts.correspondence, facts.direction, state, now) >= limit:
            raise _TooMany(state, limit)

    async def _refused(self, judged: Judged, case: Case, letter: Letter, transaction: Transaction) -> Judged:
        """What is done for somebody who is refused and of whom it is certain who they are."""
        if not await off_loop(len(transaction.data), partial(authentication.is_certain, case)):
            return judged
        is_sure = case.login is not None or not is_to_both(letter, judged.facts, transaction.recipients)
        asks = asked_address(judged.decision, letter, judged.facts, is_sure=is_sure)
        return replace(judged, known=case.login is not None or _is_authorised(judged.facts, letter), asks=asks,
                       passage=asking(judged.passage) if asks else judged.passage)

    async def _facts(self, letter: Letter, correspondence: int, direction: Direction, now: datetime) -> Facts:
        facts = await self._ledger.facts(correspondence, direction, now)
        if facts is None:
            raise LedgerError("a correspondence was erased between RCPT and the end of data")
        if letter.message is None:
            return facts
        originals, replies_to_buyer = await self._ledger.originals(
            facts.correspondence, direction, message_ids(letter.message, "in-reply-to", "references"))
        own = original_id(letter.message)
        return replace(facts, originals=originals, replies_to_buyer=replies_to_buyer,
                       returning=own is not None and await self._ledger.is_ours(facts.correspondence, own))

    async def _act(self, action: OpenedAction, letter: Letter, transaction: Transaction,
                   origin: AuthenticationResults | None) -> Done:
        """What a sealed action address asks for, if it is its own party who asks, and no machine in their place."""
        side = Side(action.actor)
        facts = await self._ledger.facts(action.correspondence, Direction.toward(side.other), self._clock())
        by_hand = not letter.automatic and transaction.reverse_path is not None
        verdict = refuse(Status.NOT_AUTHORISED)
        if facts is not None and by_hand:
            case = await self._case(letter, facts, transaction, origin, self._clock())
            judged = authentication.check(replace(case, action=action))
            if not judged.passes:  # asked first, or the answer would tell strangers who may
                verdict = judged
            elif _is_authorised(facts, letter):
                verdict = PASS
        if facts is None or not verdict.passes:
            maillog.action_refused(transaction.trace, action.action)
            return Done(verdict, self._language)
        language = facts.correspondence.parties[side].language
        if not await self._ledger.act(action, self._clock()):
            return Done(refuse(Status.NO_SUCH_ALIAS), language)
        maillog.action_done(transaction.trace, action.message, action.action, facts.correspondence.parties[side].id)
        what = texts.text(language, f"footer.{action.action.replace('-', '_')}")
        return Done(Verdict(Kind.PASS, Reply(Status.ACTION_DONE, {"what": what})), language)

    def _entry(self, judged: Judged, letter: Letter, transaction: Transaction) -> LedgerEntry:
        reply = judged.verdict.reply
        facts, message = judged.facts, letter.message
        language = facts.correspondence.parties[facts.direction.writer].language
        original = original_id(message) if message else None
        outgoing = judged.passage.outgoing
        content = outgoing.raw if outgoing else judged.evidence
        if judged.state is State.AUTO and judged.authentic and _is_authorised(facts, letter):
            content = transaction.data
        entry = LedgerEntry(
            id=judged.id, trace=transaction.trace, correspondence=facts.correspondence, direction=facts.direction,
            state=judged.state, received_at=transaction.received_at, size=len(transaction.data),
            channel=transaction.channel,
            subject=redactor_for(facts.correspondence).text(letter.subject), dated_at=letter.dated_at,
            attachments=len(attachments(message)) if message else 0, rule=judged.decision.rule, reply=reply,
            reply_text=texts.explain(reply, language) if reply else "",
            rulings=tuple(Ruling(rule, verdict) for rule, verdict in judged.decision.ran),
            not_run=judged.decision.not_run, notes=judged.passage.notes,
            solicited=judged.solicited, critical=judged.critical and not judged.solicited,
            critical_today=facts.critical_today, original_id=original,
            outgoing_id=outgoing_id(facts.correspondence, original or judged.id.encode()), content=content,
            identity=letter.identity, repeats=judged.repeats)
        if judged.passage.unsigned and judged.state is State.QUEUED:
            return replace(entry, notice=self._notices.without_signature(entry, self._clock()))
        if judged.asks is not None:
            return replace(entry, asks=judged.asks, notice=self._notices.asks(entry, judged.asks))
        if judged.dsn:
            return replace(entry, notice=self._notices.refused(entry, self._clock()))
        return entry

    async def _take_back(self, number: int, message: Message, transaction: Transaction) -> None:
        """A DSN for one of our deliveries: record it, and tell the originator of a failure in our own words."""
        about = await self._ledger.returned(number)
        if about is None or about.reports >= MAX_REPORTS:
            return
        received = understand(message)
        notice = None
        failed = received.outcome.kind is OutcomeKind.FAILED and received.action == "failed"
        if failed and about.state != State.FAILED:
            notice = self._notices.failed(about, received.outcome, self._clock())
        await self._ledger.record_dsn(about, received.outcome, self._clock(), action=received.action, notice=notice)
        maillog.dsn_received(about.trace, about.message, received.action, received.outcome.code)

    def _answer(self, judged: Sequence[Judged], done: Sequence[Done]) -> Answer:
        strictest = worst(judged)
        for one in sorted(done, key=lambda one: one.verdict.passes) if strictest is None else ():
            if one.verdict.reply is not None:
                return self._say(one.verdict.reply, one.language)
        if strictest is None or strictest.verdict.reply is None:
            return self._say(Reply(Status.ACCEPTED))
        facts = strictest.facts
        return self._say(strictest.verdict.reply, facts.correspondence.parties[facts.direction.writer].language)

    def _each(self, judged: Sequence[Judged], done: Sequence[Done],
              transaction: Transaction) -> dict[OpenedAlias | OpenedAction, str]:
        actions = zip(transaction.actions, done, strict=True)
        return {one.recipient: self._answer([one], ()).line for one in judged} | {
            action: self._answer((), [one]).line for action, one in actions}

    def _say(self, reply: Reply, language: str | None = None) -> Answer:
        return Answer(texts.smtp_line(reply, language or self._language), reply=reply)

    def _log(self, entries: Sequence[LedgerEntry]) -> None:
        for entry in entries:
            parties = entry.correspondence.parties
            if entry.repeats is not None:
                maillog.repeated(entry.trace, entry.repeats)
            elif entry.state is State.REFUSED and entry.reply is not None:
                reason = entry.rulings[-1].verdict.reason if entry.rulings else ""
                maillog.refused(entry.trace, entry.id, entry.rule or "", entry.reply.status.name, reason)
            elif entry.state in (State.AUTO, State.SELF):
                maillog.recorded(entry.trace, entry.id, entry.state)
            else:
                maillog.accepted(entry.trace, entry.id, entry.direction, parties[entry.direction.writer].id,
                                 parties[entry.direction.reader].id, entry.size, held=entry.state is State.HELD)


def _is_own_alias(recipient: OpenedAlias, facts: Facts, letter: Letter, transaction: Transaction) -> bool:
    """A reply-all names the writer's own alias beside the counterpart's: recorded, not delivered back."""
    assert letter.header_from is not None
    if letter.header_from.key not in facts.reader_addresses or letter.header_from.key in facts.writer_addresses:
        return False
    if transaction.login not in (None, facts.correspondence.parties[facts.direction.reader].key):
        return False
    return any(other.correspondence == recipient.correspondence and other.role != recipient.role
               for other in transaction.recipients)


def _is_authorised(facts: Facts, letter: Letter) -> bool:
    return letter.header_from is not None and (
        facts.writer_addresses.get(letter.header_from.key) is AddressState.AUTHORISED)
