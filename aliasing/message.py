"""A message as the bytes it came in: raw header fields in order, and the tree of parts as spans over them.

Nothing is generated from a parsed model: what no step changes leaves with the very bytes it arrived with.
Line ends are CRLF throughout; the receiver refuses anything else before a message gets here. The tree is the reading
of the common clients; whether another one is possible is asked in readings.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from aliasing.encodings import (
    bytes_to_text,
    decode_text,
    decode_transfer,
    decode_words,
    effective_encoding,
    list_parameters,
    parse_parameters,
)

MAX_HEADER_BYTES = 100_000
MAX_FIELDS = 1_000
MAX_DEPTH = 20
MAX_PARTS = 200

_NAME = re.compile(rb"([!-9;-~]+)[ \t]*:")
_ENVELOPE_LINE = (b"From ", b">From ")


class MessageError(ValueError):
    """The bytes cannot be read as one message.

    `too_big` is true when a limit of this module was passed (552), false when the syntax is broken (550).
    """

    def __init__(self, reason: str, *, too_big: bool = False) -> None:
        super().__init__(reason)
        self.too_big = too_big


@dataclass(frozen=True, slots=True)
class Field:
    """One header field (RFC 5322 2.2): its lower-case name and its exact bytes, final CRLF included."""

    name: str
    raw: bytes

    @classmethod
    def make(cls, name: str, value: str) -> Field:
        """A field of ours: `value` is ASCII and already folded; CR and LF only as a fold (raises ValueError)."""
        if re.search(r"\r(?!\n[ \t])|(?<!\r)\n", value):
            raise ValueError("a header value holds a line end that is no fold")
        return cls(name.lower(), f"{name}: {value}\r\n".encode("ascii"))

    @property
    def value(self) -> bytes:
        """The unfolded value (RFC 5322 2.2.3), white space at both ends removed."""
        return self.raw.partition(b":")[2].replace(b"\r\n", b"").strip(b" \t")

    @property
    def text(self) -> str:
        """The value with raw 8-bit read as UTF-8 (or Latin-1 where it is not) and encoded words decoded.

        Japanese clients used to send ISO-2022-JP bare; its escapes are no control characters.
        """
        value = self.value
        return decode_words(bytes_to_text(value, "iso-2022-jp" if b"\x1b$" in value else None))


@dataclass(frozen=True, eq=False)
class Part:
    """One MIME entity (RFC 2045): spans into the message's bytes, and the media type they are read as."""

    path: str
    """"1.2" is the second part of the first part; "" the message itself. For replies and the page."""
    fields: tuple[Field, ...]
    start: int
    body_start: int
    end: int
    content_type: str
    """What the common clients read it as: text/plain where no usable type or no part of a multipart was found."""
    parameters: Mapping[str, str]
    parts: tuple[Part, ...]
    declared_type: str = ""
    ragged: bool = False
    """The header held a line that is no field, and the common clients agree on what to make of it."""

    def field(self, name: str) -> Field | None:
        """The first field of that lower-case name."""
        return next((field for field in self.fields if field.name == name), None)

    def all(self, name: str) -> list[Field]:
        return [field for field in self.fields if field.name == name]

    @cached_property
    def encoding(self) -> str:
        """The Content-Transfer-Encoding that counts: one of encodings.ENCODINGS, "" for none or an unknown one."""
        field = self.field("content-transfer-encoding")
        return effective_encoding(field.value.decode("latin-1")) if field else ""

    @cached_property
    def disposition(self) -> tuple[str, Mapping[str, str]]:
        field = self.field("content-disposition")
        return parse_parameters(bytes_to_text(field.value)) if field else ("", {})

    @cached_property
    def file_name(self) -> str | None:
        """The decoded name from Content-Disposition, else from Content-Type (RFC 2183, 2231, 2047)."""
        name = self.disposition[1].get("filename") or self.parameters.get("name")
        return name or None

    @cached_property
    def file_names(self) -> frozenset[str]:
        """Every name that some client could show for this part."""
        found = set()
        for name, wanted in (("content-disposition", "filename"), ("content-type", "name")):
            for one in self.all(name):
                found |= {value for key, value in list_parameters(bytes_to_text(one.value))[1] if key == wanted}
        return frozenset(filter(None, found))

    @cached_property
    def is_attachment(self) -> bool:
        """Everything that is not a multipart and not text to be read in place."""
        if self.parts or self.content_type.startswith("multipart/"):
            return False
        if self.disposition[0] == "attachment" or any("." in name for name in self.file_names):
            return True
        return self.content_type not in ("text/plain", "text/html")

    @property
    def is_text(self) -> bool:
        """Text that a reader or a text editor shows: any text type, and a file called .txt."""
        return not self.parts and (self.content_type.startswith("text/")
                                   or (self.file_name or "").lower().endswith(".txt"))

    def walk(self) -> Iterator[Part]:
        yield self
        for part in self.parts:
            yield from part.walk()

    def around(self) -> Iterator[tuple[int, int]]:
        """The spans of a multipart that are in no part of it: preamble, delimiters, epilogue."""
        position = self.body_start
        for part in self.parts:
            yield position, part.start
            position = part.end
        if self.parts:
            yield position, self.end

    def leaves(self) -> Iterator[Part]:
        """The parts that hold content instead of parts."""
        return (part for part in self.walk() if not part.parts)


@dataclass
class Edits:
    """Changes to a message, by part; everything that is not named keeps its exact bytes."""

    headers: dict[Part, tuple[Field, ...]] = field(default_factory=dict)
    bodies: dict[Part, bytes] = field(default_factory=dict)
    """Bodies still in (or already in a new) transfer encoding."""
    around: dict[tuple[int, int], bytes] = field(default_factory=dict)
    """(from, to) of what stands around the parts of a multipart: preamble, delimiters, epilogue."""
    removed: set[Part] = field(default_factory=set)
    """Parts to be left out of their multipart; at least one sibling must stay."""

    def splices(self, root: Part) -> list[tuple[int, int, bytes]]:
        """(from, to, what stands there instead), in order."""
        out = [(part.start, part.body_start, b"".join(one.raw for one in fields) + b"\r\n")
               for part, fields in self.headers.items()]
        out += [(part.body_start, part.end, body) for part, body in self.bodies.items()]
        out += [(start, end, instead) for (start, end), instead in self.around.items()]
        for parent in root.walk() if self.removed else ():
            kept = [index for index, part in enumerate(parent.parts) if part not in self.removed]
            if not kept or len(kept) == len(parent.parts):
                continue
            if kept[0]:
                out.append((parent.parts[0].start, parent.parts[kept[0]].start, b""))
            out += [(parent.parts[index - 1].end, part.end, b"") for index, part in enumerate(parent.parts)
                    if index > kept[0] and part in self.removed]
        return sorted(out, key=lambda splice: (splice[0], -splice[1]))


@dataclass(frozen=True, eq=False)
class Message:
    """A whole message: its bytes and the tree over them."""

    raw: bytes
    root: Part

    @classmethod
    def parse(cls, raw: bytes) -> Message:
        """Read header and part tree; raises MessageError when a limit is passed. Linear in the size."""
        return cls(raw, _Parser(raw).part(0, len(raw), "", "text/plain", 0))

    @property
    def fields(self) -> tuple[Field, ...]:
        return self.root.fields

    def field(self, name: str) -> Field | None:
        return self.root.field(name)

    def all(self, name: str) -> list[Field]:
        return self.root.all(name)

    @property
    def subject(self) -> str:
        """The Subject decoded, "" where there is none."""
        field = self.field("subject")
        return field.text if field else ""

    def body(self, part: Part) -> bytes:
        """The part's body still in its transfer encoding."""
        return self.raw[part.body_start : part.end]

    def decoded(self, part: Part) -> bytes:
        """The part's body with its transfer encoding undone, as leniently as mail clients do."""
        return decode_transfer(self.body(part), part.encoding)

    def text(self, part: Part) -> str:
        """The decoded body as text; never raises: what a charset cannot read is read as UTF-8 or Latin-1."""
        return bytes_to_text(self.decoded(part), part.parameters.get("charset"))

    def edit(self, edits: Edits) -> Message:
        """The message with the changes made; all other bytes stay as they are."""
        out, position = [], 0
        for start, end, instead in edits.splices(self.root):
            if start < position:
                continue  # inside something that was replaced as a whole
            out += [self.raw[position:start], instead]
            position = end
        out.append(self.raw[position:])
        return Message.parse(b"".join(out))


class _Parser:
    """Counts parts over the whole tree."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.left = MAX_PARTS

    def part(self, start: int, end: int, path: str, default_type: str, depth: int) -> Part:
        if depth > MAX_DEPTH:
            raise MessageError(f"parts nested deeper than {MAX_DEPTH}", too_big=True)
        self.left -= 1
        if self.left < 0:
            raise MessageError(f"more than {MAX_PARTS} parts", too_big=True)
        fields, body_start, ragged = self.header(start, end)
        declared, parameters, codec = "", dict[str, str](), "utf-8"
        for found in fields:
            if found.name == "content-type":
                text, codec = decode_text(found.value)
                declared, parameters = parse_parameters(text)
                break
        parts: tuple[Part, ...] = ()
        if declared.startswith("multipart/") and (boundary := parameters.get("boundary")):
            inner = "message/rfc822" if declared == "multipart/digest" else "text/plain"
            parts = tuple(self.part(from_, to, f"{path}.{index}" if path else str(index), inner, depth + 1)
                          for index, (from_, to) in enumerate(
                              split(self.raw, body_start, end, boundary.encode(codec, "replace")), 1))
        return Part(path, fields, start, body_start, end, _effective_type(declared, default_type, parts), parameters,
                    parts, declared, ragged)

    def header(self, start: int, end: int) -> tuple[tuple[Field, ...], int, bool]:
        """The fields from `start`, where the body begins, and whether something there was no field.

        The body begins behind the empty line, or at the first line that cannot be a field: so do the common clients
        read it, and nothing that somebody wrote is lost.
        """
        raw, found, position, ragged = self.raw, list[tuple[str, list[bytes]]](), start, False
        while position < end:
            line_end = raw.find(b"\r\n", position, end)
            line_end = end if line_end < 0 else line_end
            if line_end == position:
                return _fields(found), line_end + 2, ragged
            line = raw[position:line_end]
            name = _NAME.match(line)
            if name:
                found.append((name.group(1).decode("ascii").lower(), [line]))
                ragged |= name.end() != name.end(1) + 1
            elif found and line[:1] in (b" ", b"\t"):
                if line.strip(b" \t"):
                    found[-1][1].append(line)
                else:
                    ragged = True  # RFC 5322 4.2 calls it obsolete; written anew it cannot be taken for the end
            elif found or not line.startswith(_ENVELOPE_LINE):
                return _fields(found), position, True
            else:
                ragged = True
            position = min(line_end + 2, end)
            if position - start > MAX_HEADER_BYTES:
                raise MessageError(f"a header over {MAX_HEADER_BYTES} octets", too_big=True)
            if len(found) > MAX_FIELDS:
                raise MessageError(f"more than {MAX_FIELDS} header fields", too_big=True)
        return _fields(found), end, ragged


def _fields(found: list[tuple[str, list[bytes]]]) -> tuple[Field, ...]:
    return tuple(Field(name, b"\r\n".join(lines) + b"\r\n") for name, lines in found)


def _effective_type(declared: str, default: str, parts: tuple[Part, ...]) -> str:
    if declared.startswith("multipart/") and not parts:
        return "text/plain"
    if declared in ("text", "html", "plain"):
        return "text/html" if declared == "html" else "text/plain"
    kind, slash, subtype = declared.partition("/")
    return declared if slash and kind and subtype and not set(declared) & set(' \t<>@,"') else default


def split(raw: bytes, start: int, end: int, boundary: bytes) -> Iterator[tuple[int, int]]:
    """Spans between the delimiter lines of a multipart (RFC 2046 5.1.1); a missing last one is forgiven."""
    delimiter = b"--" + boundary
    opened: int | None = None
    position = start
    while True:
        if position == start and raw.startswith(delimiter, start, end):
            at, after = start, start + len(delimiter)
        else:
            found = raw.find(b"\r\n" + delimiter, position, end)
            if found < 0:
                break
            at, after = found, found + 2 + len(delimiter)
        closing = raw.startswith(b"--", after, end)
        rest = after + 2 if closing else after
        line_end = raw.find(b"\r\n", rest, end)
        if line_end < 0:
            line_end = end
        if raw[rest:line_end].strip(b" \t"):
            position = max(after, start + 1)  # a longer boundary that begins with this one
            continue
        if opened is not None:
            yield opened, max(at, opened)
        opened = None
        if closing:
            return
        opened = min(line_end + 2, end)
        # the CRLF before the next delimiter may be the one that ended this one
        position = max(line_end, start + 1)
    if opened is not None and opened < end:  # a delimiter at the very end opens nothing
        yield opened, end
