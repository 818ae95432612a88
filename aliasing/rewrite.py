"""From the message as its writer sent it to the message as its reader may see it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from types import MappingProxyType
from urllib.parse import quote

from aliasing.address import Address
from aliasing.body import Body, Treatment
from aliasing.correspondence import Correspondence, Direction
from aliasing.encodings import encode_words, has_short_lines
from aliasing.fields import PART_FIELDS, Action, rule_for
from aliasing.message import Field, Message
from aliasing.redact import Redactor, redactor_for
from aliasing.token import Role

_MESSAGE_ID = re.compile(rb"<([^<>\s]+)>")
_ATEXT_PHRASE = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*")
_DATE = re.compile(
    r"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), )?\d{1,2} (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} "
    r"\d{2}:\d{2}(?::\d{2})? (?:[+-]\d{4}|GMT|UT|EST|EDT|CST|CDT|MST|MDT|PST|PDT)")

_CONTROLS = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")

MAX_ID_BYTES = 900
MAX_FIELD_CHARS = 4_000
"""A subject that has to be encoded grows; nobody reads one that long."""
MAX_REFERENCES = 100
"""Longer References keep their first and their newest ids, as RFC 5322 3.6.4 leaves room for."""


@dataclass(frozen=True)
class Threads:
    """This message's place among the others: what rewrite() cannot know by itself.

    `originals` maps ids of ours that the message refers to (without angle brackets) to the ids under which
    the reader's own mailbox knows those messages.
    """

    message_id: str
    """The ledger's public id of this message."""
    received_at: datetime
    originals: Mapping[bytes, bytes] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class Rewritten:
    """`message` as its reader will get it; `changed` the paths of the parts in which something had to change."""

    message: Message
    changed: tuple[str, ...]


_AS_IT_IS = Treatment()


def rewrite(message: Message, correspondence: Correspondence, direction: Direction, threads: Threads,
            treatment: Treatment = _AS_IT_IS) -> Message:
    """transform() for those who only want the message."""
    return transform(message, correspondence, direction, threads, treatment).message


def transform(message: Message, correspondence: Correspondence, direction: Direction, threads: Threads,
              treatment: Treatment) -> Rewritten:
    """The message with every header field of `fields.py`'s table in its place, its parts treated and redacted.

    Pure; what no step has to change keeps its exact bytes.
    """
    redactor = redactor_for(correspondence)
    body = Body(message, redactor, treatment, lambda found: content_id(correspondence, found))
    writer = _Rewriter(correspondence, direction, threads, redactor, treatment, body.mime)
    body.edits.headers[message.root] = tuple(writer.fields(message))
    return Rewritten(message.edit(body.edits), tuple(dict.fromkeys(body.changed)))


def message_ids(message: Message, *names: str) -> list[bytes]:
    """The ids in the named fields, without brackets, in order; white space a client folded in is dropped."""
    return [found for name in names for field in message.all(name) for found in _MESSAGE_ID.findall(field.value)]


def outgoing_id(correspondence: Correspondence, original: bytes) -> bytes:
    """The Message-ID, without brackets, under which the other side sees a message that its writer calls
    `original`: an HMAC, so the same message always gets the same one and tells nothing."""
    number = correspondence.number.to_bytes(8, "big")
    mark = correspondence.ring.mark(correspondence.key_id, b"message-id", number, original)
    return f"{mark}@{correspondence.domain}".encode()


def content_id(correspondence: Correspondence, original: str) -> str:
    """The Content-ID, without brackets, of a part that its writer calls `original` (RFC 2392)."""
    number = correspondence.number.to_bytes(8, "big")
    mark = correspondence.ring.mark(correspondence.key_id, b"content-id", number, original.encode("utf-8", "replace"))
    return f"{mark}@{correspondence.domain}"


def mailbox(name: str, address: Address) -> str:
    """A From or To value: `name <address>`, the name quoted or encoded as it needs."""
    if not name:
        return f"<{address}>"
    if not name.isascii() or "=?" in name:
        return f"{encode_words(name)} <{address}>"
    if not _ATEXT_PHRASE.fullmatch(name):
        name = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"{name} <{address}>"


class _Rewriter:
    def __init__(self, correspondence: Correspondence, direction: Direction, threads: Threads,
                 redactor: Redactor, treatment: Treatment, mime: tuple[Field, ...]) -> None:
        self.correspondence = correspondence
        self.direction = direction
        self.threads = threads
        self.redactor = redactor
        self.treatment = treatment
        self.mime = {field.name: field for field in mime}
        self.seen: set[str] = set()
        parties = correspondence.parties
        self.writer = mailbox(redactor.text(parties[direction.writer].name), correspondence.alias(direction.writer))
        self.reader_alias = correspondence.alias(direction.reader)
        self.reader = mailbox(redactor.text(parties[direction.reader].name), self.reader_alias)
        self.write: Mapping[str, Callable[[Message, Field], Field | None]] = {
            "from": lambda message, field: Field.make("From", self.writer),
            "to": self._recipients,
            "cc": self._recipients,
            "message-id": self._message_id,
            "in-reply-to": self._references,
            "references": self._references,
            "subject": self._subject,
            "date": self._date,
            "x-tradepost-trace": self._trace,
        }

    def fields(self, message: Message) -> list[Field]:
        """The new header block: the old order, each field once, then what was missing and what is ours."""
        out: list[Field] = []
        for old in message.fields:
            new = self._field(message, old)
            if new is not None:
                self.seen.add(old.name)
                out.append(new)
        return [*out, *self._missing(out), *self._ours()]

    def _field(self, message: Message, old: Field) -> Field | None:
        """What the table makes of one field; None where it stays behind, or has been written already."""
        if old.name in PART_FIELDS:
            return self.mime.pop(old.name, None)
        action = rule_for(old.name).action
        if action is Action.DROP or old.name in self.seen:
            return None
        if action is Action.KEEP:
            return _in_one_reading(old) if self.redactor.text(old.text) == old.text else None
        return self.write[old.name](message, old) if old.name in self.write else None

    def _missing(self, written: list[Field]) -> Iterator[Field]:
        if not self.seen & {"to", "cc"}:
            yield Field.make("To", self.reader)
        if "date" not in self.seen:
            yield Field.make("Date", format_datetime(self.threads.received_at.astimezone(UTC)))
        if "message-id" not in self.seen:
            yield self._own_id(self.threads.message_id.encode())
        yield from self.mime.values()
        if "mime-version" not in self.seen and (self.mime or any(field.name in PART_FIELDS for field in written)):
            yield Field.make("MIME-Version", "1.0")

    def _ours(self) -> Iterator[Field]:
        if offer := self.treatment.unsubscribe:
            ways = [f"<{offer.url}>"] if offer.url else []
            ways.append(f"<mailto:{offer.address}?subject={quote(offer.text)}>")
            yield Field.make("List-Unsubscribe", ",\r\n ".join(ways))
            if offer.url and offer.url.startswith("https:"):  # RFC 8058 3.1: never without TLS
                yield Field.make("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")
        if "x-tradepost-trace" not in self.seen:
            yield Field.make("X-Tradepost-Trace", self._mark())
        if self.correspondence.order:
            yield Field.make("X-Tradepost-Order", encode_words(self.correspondence.order))
        yield Field.make("X-Tradepost-Message", self.threads.message_id)

    def _subject(self, message: Message, field: Field) -> Field:
        """Real addresses in it replaced; its exact bytes where there was none and it is well-formed."""
        clean = self.redactor.text(field.text, self.treatment.masks)
        if clean == field.text:
            return _in_one_reading(field)
        return Field.make("Subject", encode_words(clean[:MAX_FIELD_CHARS]))

    def _recipients(self, message: Message, field: Field) -> Field | None:
        """The reader's alias where it stood; everybody else's address goes."""
        wanted = str(self.reader_alias).encode()
        if wanted not in field.value.lower() or self.seen & {"to", "cc"}:
            return None
        return Field.make(field.name.capitalize(), self.reader)

    def _message_id(self, message: Message, field: Field) -> Field:
        return self._own_id(original_id(message) or self.threads.message_id.encode())

    def _own_id(self, original: bytes) -> Field:
        return Field.make("Message-ID", f"<{outgoing_id(self.correspondence, original).decode()}>")

    def _references(self, message: Message, field: Field) -> Field | None:
        found = message_ids(message, field.name)
        if len(found) > MAX_REFERENCES:
            found = found[:1] + found[1 - MAX_REFERENCES :]
        mapped = dict.fromkeys(map(self._mapped, found))
        if not mapped:
            return None
        name = "In-Reply-To" if field.name == "in-reply-to" else "References"
        return Field.make(name, "\r\n ".join(f"<{id_.decode('ascii', 'replace')}>" for id_ in mapped))

    def _mapped(self, id_: bytes) -> bytes:
        """The id under which the reader knows a message, where that can be written and names nobody."""
        original = self.threads.originals.get(id_, b"")
        fit = 0 < len(original) <= MAX_ID_BYTES and original.isascii()
        if fit and self.redactor.text(original.decode()) == original.decode():
            return original
        return outgoing_id(self.correspondence, id_)

    def _date(self, message: Message, field: Field) -> Field | None:
        date = _DATE.match(" ".join(field.text.split()))
        return Field.make("Date", date.group()) if date else None

    def _trace(self, message: Message, field: Field) -> Field:
        """The marks that came with the message, and one for this passage."""
        marks = trace_marks(message)
        return Field.make("X-Tradepost-Trace", "\r\n ".join([*marks, self._mark()]))

    def _mark(self) -> str:
        correspondence = self.correspondence
        return correspondence.ring.seal(
            Role.TRACE, correspondence.domain, correspondence.number, correspondence.key_id)


def _in_one_reading(field: Field) -> Field:
    """The very same field when it is short lines of ASCII as RFC 5322 2.2 has them; else the same text as such."""
    raw = field.raw
    plain = raw.isascii() and has_short_lines(raw) and raw[len(field.name) : len(field.name) + 1] == b":"
    if plain and not _CONTROLS.search(raw):
        return field
    text = "".join(char for char in field.text[:MAX_FIELD_CHARS] if char.isprintable())
    return Field.make(field.name.title(), encode_words(text))


def original_id(message: Message) -> bytes | None:
    """The writer's Message-ID without brackets, None where there is none to be read."""
    found = message_ids(message, "message-id")
    return found[0] if found else None


def trace_marks(message: Message) -> list[str]:
    """The sealed marks of earlier passages; at most 50 are looked at."""
    marks = " ".join(field.value.decode("ascii", "replace") for field in message.all("x-tradepost-trace")).split()
    return [mark for mark in marks if mark.isascii() and mark.isalnum()][:50]
