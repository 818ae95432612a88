"""What becomes of one message for one recipient: all that is decided without a look at clock, ledger or network.

    the bytes -> a Letter -> a Case for each recipient -> rules -> treatment of the parts -> rewriting -> egress check

accept.py does it for real, preview for an administrator who asks why.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address

from aliasing.address import Address, single_mailbox
from aliasing.body import Treatment
from aliasing.correspondence import Correspondence, Direction, Side
from aliasing.footer import Choice, Footer, Markers
from aliasing.leaks import find_leaks, names_secret
from aliasing.message import Message, MessageError, Part
from aliasing.redact import Redactor, redactor_for
from aliasing.rewrite import Threads, original_id, transform
from aliasing.sealed import sealed_inside
from aliasing.token import Action, OpenedAction, Role
from policy.automatic import is_automatic
from policy.case import AuthenticationResults, Case, Facts, PolicySettings, RelayBlocks
from policy.chain import MESSAGE_RULES, Decision, decide
from policy.files import Findings, examine
from policy.html import HtmlSettings, clean
from policy.left_out import SIGNATURES, left_out
from policy.rules.attachments import attachments, display_name
from policy.status import Status
from policy.subject import is_critical
from policy.verdict import Reply, Verdict, refuse
from relay import texts

CHOICES = {
    Direction.TO_BUYER: (Action.REPORT, Action.STOP_SELLER, Action.STOP_ALL),
    Direction.TO_SELLER: (Action.NO_ANSWER, Action.REPORT),
}
"""What the reader of a message can have done, in the footer's order."""


TRACE_FIELDS = frozenset((
    "received", "x-received", "return-path", "delivered-to", "received-spf", "authentication-results", "dkim-signature",
    "arc-seal", "arc-message-signature", "arc-authentication-results"))
"""What servers put before a message each time that it passes (RFC 5321 4.4, RFC 8601, RFC 6376, RFC 8617)."""


@dataclass(frozen=True)
class Letter:
    """The message as read once for all recipients, or why it cannot be."""

    message: Message | None
    problem: MessageError | None = None
    header_from: Address | None = None
    subject: str = ""
    dated_at: datetime | None = None
    automatic: bool = False
    identity: bytes | None = None
    """Equal for the very same message only, however often its client brings it; None where that cannot be told."""


@dataclass(frozen=True)
class Attachment:
    """One file of a message on its way to be examined."""

    path: str
    name: str | None
    declared: str
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class Passage:
    """`outgoing` is what will leave, if anything; `notes` what was taken out of it, in words for the ledger."""

    decision: Decision
    outgoing: Message | None = None
    changed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    unsigned: bool = False
    """A digital signature was taken off, which its writer is to hear of."""
    leaks: tuple[str, ...] = ()
    """Places in which a real address was still found; then nothing leaves."""


def read(data: bytes) -> Letter:
    """Parse once for all recipients. What cannot be parsed is for the structure rule to refuse."""
    try:
        message = Message.parse(data)
    except MessageError as problem:
        return Letter(None, problem)
    found = message.all("from")
    header_from = single_mailbox(found[0].value.decode("utf-8", "replace")) if len(found) == 1 else None
    return Letter(message, None, header_from, message.subject, _date(message), is_automatic(message),
                  _identity(message, header_from))


def _identity(message: Message, header_from: Address | None) -> bytes | None:
    """A digest of who wrote and what, but for the fields that servers on the way add anew each time. Without a
    Message-ID only all octets together can tell, and only where a Date is among them."""
    if header_from is None or (original_id(message) is None and message.field("date") is None):
        return None
    digest = sha256(header_from.key.encode() + b"\0")
    if original_id(message) is None:
        digest.update(message.raw)
        return digest.digest()
    for found in message.fields:
        if found.name not in TRACE_FIELDS:
            digest.update(found.raw)
    digest.update(b"\r\n" + message.body(message.root))
    return digest.digest()


def files_of(letter: Letter) -> list[Attachment]:
    """The attachments, decoded, for examine_all() or the process that does it."""
    message = letter.message
    return [] if message is None else [
        Attachment(part.path, part.file_name, part.declared_type, message.decoded(part))
        for part in attachments(message)]


def examine_all(files: list[Attachment], *, scrub: bool) -> dict[str, Findings]:
    """Part.path -> what the file is. Hostile files are looked into here: see relay/examiner.py."""
    return {file.path: examine(file.name, file.declared, file.content, scrub=scrub) for file in files}


def make_case(letter: Letter, facts: Facts, *, client: IPv4Address | IPv6Address, reverse_path: Address | None,
              settings: PolicySettings, blocks: RelayBlocks, now: datetime, files: Mapping[str, Findings],
              login: str | None = None, authentication: AuthenticationResults | None = None) -> Case:
    """All that the rules may see of one message for one recipient."""
    to_buyer = facts.direction is Direction.TO_BUYER
    subjects = [text for texts_ in settings.critical_subjects.values() for text in texts_]
    critical = letter.message is not None and to_buyer and is_critical(letter.subject, subjects,
                                                                       settings.subject_markers)
    return Case(client=client, reverse_path=reverse_path, facts=facts, settings=settings, blocks=blocks, now=now,
                message=letter.message, problem=letter.problem, header_from=letter.header_from, login=login,
                authentication=authentication,
                solicited=to_buyer and is_solicited(facts, settings, now), critical=critical, files=files)


def pass_through(case: Case, threads: Threads, *, ask_all: bool = False) -> Passage:
    """Judge the message and, where the rules let it, make what its reader will get."""
    decision = decide(case, MESSAGE_RULES, ask_all=ask_all)
    if decision.verdict.passes:
        return carry(case, threads, decision)
    return Passage(replace(decision, verdict=_fit_to_say(decision.verdict, case.facts.correspondence)))


def _fit_to_say(verdict: Verdict, correspondence: Correspondence) -> Verdict:
    """The verdict with no real address in what is said of it: a file's name may be one, spelled out."""
    redactor, reply = redactor_for(correspondence), verdict.reply
    if reply is None:
        return verdict
    values = {name: _masked(redactor, value) for name, value in reply.values.items()}
    return replace(verdict, reply=Reply(reply.status, values), reason=redactor.text(verdict.reason))


def _masked(redactor: Redactor, name: str) -> str:
    """A file's name without a real address, also where display_name() has put a question mark for its sign."""
    spelt = name.replace("?", "@")
    found = redactor.file_name(spelt)
    return redactor.file_name(name) if found == spelt else found.replace("@", "?")


def carry(case: Case, threads: Threads, decision: Decision) -> Passage:
    """Treat, rewrite, and look at the result with other eyes: with a real address still in it, it does not leave."""
    message, facts = case.message, case.facts
    assert message is not None, "the structure rule passes nothing unreadable"
    correspondence = facts.correspondence
    notes: list[str] = []
    treatment = _treatment(case, message, threads.message_id, notes)
    try:
        rewritten = transform(message, correspondence, facts.direction, threads, treatment)
    except MessageError as problem:  # written out well-formed it passes a limit that it kept as it came
        verdict = refuse(Status.TOO_COMPLEX, str(problem), limit=str(problem))
        return Passage(_overruled(decision, "rewriting", verdict))
    places = [leak.place for leak in find_leaks(rewritten.message, _secrets(correspondence))]
    places += sealed_inside(rewritten.message, correspondence, _offered(treatment))
    if places:
        where = ", ".join(places)
        verdict = refuse(Status.WOULD_LEAK, where, where=where, order=facts.order)
        return Passage(_overruled(decision, "egress", verdict), leaks=tuple(places))
    if _shape(rewritten.message.root) != _shape(message.root, treatment.removed):
        what = "its parts would be other ones on the way"
        return Passage(_overruled(decision, "rewriting", refuse(Status.BROKEN, what, what=what)))
    unsigned = any(part.content_type in SIGNATURES for part in treatment.removed)
    return Passage(decision, rewritten.message, rewritten.changed, tuple(notes), unsigned)


def _shape(part: Part, removed: frozenset[Part] = frozenset()) -> tuple[object, ...]:
    """The tree alone: no part may come into being on the way that no rule has seen."""
    return tuple(_shape(inner, removed) for inner in part.parts if inner not in removed)


def _overruled(decision: Decision, rule: str, verdict: Verdict) -> Decision:
    return replace(decision, verdict=verdict, rule=rule, ran=(*decision.ran, (rule, verdict)))


def _treatment(case: Case, message: Message, message_id: str, notes: list[str]) -> Treatment:
    """What policy does to the parts; says in `notes` what a reader will miss."""
    settings = case.settings
    html, files = dict[Part, str](), dict[Part, bytes]()
    removed = left_out(message)
    for part in message.root.leaves():
        if part in removed:
            notes.append(f"part {part.path}: {part.content_type} left out")
        elif part.content_type == "text/html" and not part.is_attachment:
            text = message.text(part)
            cleaned = clean(text, HtmlSettings(links=settings.links))
            if cleaned.html is not text:
                html[part] = cleaned.html
                notes += [f"part {part.path or '1'}: {what} removed" for what in cleaned.removed]
        elif found := case.files.get(part.path):
            notes += _notes_of(case, part, found)
            if found.scrubbed is not None:
                files[part] = found.scrubbed
    footer = footer_for(case.facts.correspondence, case.facts.direction, message_id, settings.action_url)
    offer = next((choice for choice in footer.choices if choice.action is Action.STOP_SELLER), None)
    return Treatment(html, files, removed, footer if settings.footer else None, offer, markers(), settings.redact)


def _notes_of(case: Case, part: Part, found: Findings) -> Iterator[str]:
    # notes stand in the ledger as they are, and a file may be called by an address
    name = _masked(redactor_for(case.facts.correspondence), display_name(part))
    yield from (f"{name}: {what} removed" for what in found.removed if found.scrubbed is not None)
    if found.text and names_secret(found.text, _secrets(case.facts.correspondence)):
        yield f"{name}: shows a real address in its text"


def footer_for(correspondence: Correspondence, direction: Direction, message_id: str, action_url: str = "") -> Footer:
    """The relay's own lines for the reader of a message, with addresses (and links) sealed for that reader."""
    reader = correspondence.parties[direction.reader]
    choices = tuple(_choice(correspondence, action, Role(direction.reader), message_id, reader.language, action_url)
                    for action in CHOICES[direction])
    side = "buyer" if direction.reader is Side.BUYER else "seller"
    say = {name: texts.text(reader.language, f"footer.{name}") for name in ("begin", f"intro_to_{side}", "end")}
    return Footer(say["begin"], say[f"intro_to_{side}"], choices, say["end"])


def _choice(correspondence: Correspondence, action: Action, actor: Role, message_id: str, language: str,
            action_url: str) -> Choice:
    opened = OpenedAction(action, actor, correspondence.number, message_id)
    ring, key_id = correspondence.ring, correspondence.key_id
    local = ring.seal_action(opened, correspondence.domain, key_id)
    url = action_url + ring.seal_link(opened, key_id) if action_url else None
    text = texts.text(language, f"footer.{action.replace('-', '_')}")
    return Choice(action, text, Address(local, correspondence.domain), url)


@lru_cache(maxsize=1)
def markers() -> Markers:
    """The marker lines of every language: a reply may quote a footer that was written in another one."""
    return tuple((texts.text(language, "footer.begin"), texts.text(language, "footer.end"))
                 for language in texts.languages())


def _offered(treatment: Treatment) -> frozenset[str]:
    footer = treatment.footer.sealed if treatment.footer else frozenset()
    return footer | (treatment.unsubscribe.sealed if treatment.unsubscribe else frozenset())


def _secrets(correspondence: Correspondence) -> list[Address]:
    return [secret for secret, _ in correspondence.secrets()]


def is_solicited(facts: Facts, settings: PolicySettings, now: datetime) -> bool:
    """A reply to any message of the buyer here; or, for clients that drop the thread fields, one soon after."""
    last = facts.last_buyer_message_at
    return facts.replies_to_buyer or (last is not None and now - last <= settings.reply_window)


def _date(message: Message) -> datetime | None:
    """When the writer's client says it was written; None when it says nothing readable."""
    found = message.field("date")
    try:
        date = parsedate_to_datetime(found.text) if found else None
        if date is None:
            return None
        date = date if date.tzinfo else date.replace(tzinfo=UTC)
        return date if abs(date.timestamp()) < 2**33 else None
    except (ValueError, TypeError, IndexError, OverflowError, AttributeError, RecursionError):
        return None
