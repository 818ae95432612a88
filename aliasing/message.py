"""A message as the bytes it came in: raw header fields in order, and the tree of parts as spans over them.

Nothing is generated from a parsed model: what no step changes leaves with the very bytes it arrived with.
Line ends are CRLF throughout; the receiver refuses anything else before a message gets here.
"""

from __future__ import annotations

import binascii
import codecs
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from urllib.parse import unquote_to_bytes

MAX_HEADER_BYTES = 100_000
MAX_FIELDS = 1_000
MAX_DEPTH = 20
MAX_PARTS = 200

_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:((?:[^\r\n]*(?:\r\n[ \t])?)*)\r\n")
_PARAMETER = re.compile(r';\s*([^\s=;"]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;]*)')
_ENCODED_WORD = re.compile(r"=\?([^?\s*]*)(?:\*[^?\s]*)?\?([BbQq])\?([^?\s]*)\?=")
_BETWEEN_WORDS = re.compile(r"(\?=)[ \t\r\n]+(?==\?)")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]")
_TEXT_ENCODINGS = ("7bit", "8bit", "binary", "")


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
        """The value with raw 8-bit read as UTF-8 (or Latin-1 where it is not) and encoded words decoded."""
        return decode_words(bytes_to_text(self.value))


@dataclass(frozen=True, eq=False)
class Part:
    """One MIME entity (RFC 2045): spans into the message's bytes, and the media type they claim."""

    path: str
    """"1.2" is the second part of the first part; "" the message itself. For replies and the page."""
    fields: tuple[Field, ...]
    start: int
    body_start: int
    end: int
    content_type: str
    parameters: Mapping[str, str]
    parts: tuple[Part, ...]

    def field(self, name: str) -> Field | None:
        """The first field of that lower-case name."""
        return next((field for field in self.fields if field.name == name), None)

    @property
    def encoding(self) -> str:
        """The Content-Transfer-Encoding, lower case; "" where none is given."""
        field = self.field("content-transfer-encoding")
        return field.value.decode("latin-1").strip().lower() if field else ""

    @cached_property
    def disposition(self) -> tuple[str, Mapping[str, str]]:
        field = self.field("content-disposition")
        return parse_parameters(bytes_to_text(field.value)) if field else ("", {})

    @property
    def file_name(self) -> str | None:
        """The decoded name from Content-Disposition, else from Content-Type (RFC 2183, 2231, 2047)."""
        name = self.disposition[1].get("filename") or self.parameters.get("name")
        return name or None

    @property
    def is_attachment(self) -> bool:
        """Everything that is not a multipart and not text to be read in place."""
        if self.parts or self.content_type.startswith("multipart/"):
            return False
        if self.disposition[0] == "attachment" or self.file_name is not None:
            return True
        return self.content_type not in ("text/plain", "text/html")

    def walk(self) -> Iterator[Part]:
        yield self
        for part in self.parts:
            yield from part.walk()


@dataclass(frozen=True, eq=False)
class Message:
    """A whole message: its bytes and the tree over them."""

    raw: bytes
    root: Part

    @classmethod
    def parse(cls, raw: bytes) -> Message:
        """Read header and part tree; raises MessageError. Linear in the size for any nesting allowed."""
        budget = _Budget()
        return cls(raw, _parse_part(raw, 0, len(raw), "", "text/plain", budget, depth=0))

    @property
    def fields(self) -> tuple[Field, ...]:
        return self.root.fields

    def field(self, name: str) -> Field | None:
        return self.root.field(name)

    def all(self, name: str) -> list[Field]:
        return [field for field in self.root.fields if field.name == name]

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
        """The decoded body as text; never raises: what a charset cannot read is read as Latin-1."""
        return bytes_to_text(self.decoded(part), part.parameters.get("charset"))

    def replace(self, fields: tuple[Field, ...] | None = None,
                bodies: Mapping[Part, bytes] = MappingProxyType({})) -> Message:
        """The message with another header block and the bodies of some leaf parts exchanged.

        All other bytes stay as they are.
        """
        out = [self.raw[: self.root.body_start] if fields is None
               else b"".join(field.raw for field in fields) + b"\r\n"]
        position = self.root.body_start
        for part in sorted(bodies, key=lambda part: part.body_start):
            out += [self.raw[position : part.body_start], bodies[part]]
            position = part.end
        out.append(self.raw[position:])
        return Message.parse(b"".join(out))


class _Budget:
    """Counts parts over the whole tree."""

    def __init__(self) -> None:
        self.parts = MAX_PARTS

    def take(self) -> None:
        self.parts -= 1
        if self.parts < 0:
            raise MessageError(f"more than {MAX_PARTS} parts", too_big=True)


def _parse_part(raw: bytes, start: int, end: int, path: str, default_type: str, budget: _Budget,
                depth: int) -> Part:
    if depth > MAX_DEPTH:
        raise MessageError(f"parts nested deeper than {MAX_DEPTH}", too_big=True)
    budget.take()
    fields, body_start = _parse_header(raw, start, end)
    content_type, parameters = default_type, dict[str, str]()
    for field in fields:
        if field.name == "content-type":
            content_type, parameters = parse_parameters(bytes_to_text(field.value))
            break
    if "/" not in content_type:
        content_type = default_type
    parts: tuple[Part, ...] = ()
    boundary = parameters.get("boundary", "")
    if content_type.startswith("multipart/") and boundary:
        inner = "message/rfc822" if content_type == "multipart/digest" else "text/plain"
        parts = tuple(
            _parse_part(raw, from_, to, f"{path}.{index}" if path else str(index), inner, budget, depth + 1)
            for index, (from_, to) in enumerate(_split(raw, body_start, end, boundary.encode("latin-1", "replace")), 1)
        )
    return Part(path, fields, start, body_start, end, content_type, parameters, parts)


def _parse_header(raw: bytes, start: int, end: int) -> tuple[tuple[Field, ...], int]:
    """The fields from `start`, and where the body begins (after the empty line)."""
    if raw.startswith(b"\r\n", start, end) or start == end:
        return (), min(start + 2, end)
    stop = raw.find(b"\r\n\r\n", start, end)
    block = raw[start : stop + 2] if stop >= 0 else raw[start:end]
    if len(block) > MAX_HEADER_BYTES:
        raise MessageError(f"a header over {MAX_HEADER_BYTES} octets", too_big=True)
    if not block.endswith(b"\r\n"):
        block += b"\r\n"
    fields = []
    position = 0
    while position < len(block):
        match = _FIELD.match(block, position)
        if not match:
            raise MessageError("a header line that is no field")
        fields.append(Field(match.group(1).decode("ascii").lower(), match.group()))
        position = match.end()
    if len(fields) > MAX_FIELDS:
        raise MessageError(f"more than {MAX_FIELDS} header fields", too_big=True)
    return tuple(fields), stop + 4 if stop >= 0 else end


def _split(raw: bytes, start: int, end: int, boundary: bytes) -> Iterator[tuple[int, int]]:
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
    if opened is not None:
        yield opened, end


def parse_parameters(text: str) -> tuple[str, dict[str, str]]:
    """`type/subtype; name=value …` -> (lower-case type, decoded parameters); RFC 2045 5.1, RFC 2231."""
    kind, _, rest = text.partition(";")
    plain: dict[str, str] = {}
    pieces: dict[str, list[tuple[int, bool, str]]] = {}
    for match in _PARAMETER.finditer(";" + rest):
        name, value = match.group(1).lower(), match.group(2).strip()
        if value.startswith('"'):
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        base, star, section = name.partition("*")
        if not star:
            plain.setdefault(name, decode_words(value))
            continue
        encoded = section == "" or section.endswith("*")
        digits = section.rstrip("*")
        pieces.setdefault(base, []).append((int(digits) if digits.isdigit() else 0, encoded, value))
    for base, found in pieces.items():
        plain[base] = _join_2231(sorted(found))
    return kind.strip().lower(), plain


def _join_2231(pieces: list[tuple[int, bool, str]]) -> str:
    charset, out = "utf-8", b""
    for index, (_, encoded, piece) in enumerate(pieces):
        value = piece
        if encoded and index == 0 and piece.count("'") >= 2:
            charset, _, value = piece.split("'", 2)
        out += unquote_to_bytes(value) if encoded else value.encode("utf-8", "surrogateescape")
    return bytes_to_text(out, charset)


def decode_transfer(body: bytes, encoding: str) -> bytes:
    """Undo a Content-Transfer-Encoding (RFC 2045 6); stray characters in base64 are skipped, never an error."""
    if encoding == "base64":
        data = _NOT_BASE64.sub(b"", body.partition(b"=")[0] if body.rstrip().endswith(b"=") else body)
        return binascii.a2b_base64(data[: len(data) - (len(data) % 4 == 1)] + b"==")
    if encoding == "quoted-printable":
        return binascii.a2b_qp(body)
    return body


def encode_transfer(data: bytes, encoding: str) -> bytes:
    """Apply a Content-Transfer-Encoding, with CRLF line ends and lines of at most 76 characters."""
    if encoding == "base64":
        text = binascii.b2a_base64(data, newline=False)
        return b"".join(text[at : at + 76] + b"\r\n" for at in range(0, len(text), 76))
    if encoding == "quoted-printable":
        # b2a_qp breaks lines with a bare LF when the text has no CRLF of its own
        return re.sub(rb"(?<!\r)\n", b"\r\n", binascii.b2a_qp(data))
    return data


def bytes_to_text(data: bytes, charset: str | None = None) -> str:
    """Decode without ever failing or losing: the charset named, else UTF-8, else Latin-1."""
    return data.decode(_readable_charset(data, charset))


def text_to_bytes(text: str, original: bytes, charset: str | None = None) -> bytes:
    """The inverse of bytes_to_text for a text made from `original` by putting ASCII into it."""
    return text.encode(_readable_charset(original, charset))


def _readable_charset(data: bytes, charset: str | None) -> str:
    if charset:
        try:
            codec = codecs.lookup(charset.strip().strip("'\""))
            if codec._is_text_encoding and codec.name != "ascii":
                data.decode(codec.name)
                return codec.name
        except (LookupError, UnicodeError, ValueError):
            pass
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def decode_words(text: str) -> str:
    """Decode the encoded words of RFC 2047 in a header value; broken ones stay as they are."""
    if "=?" not in text:
        return text
    return _ENCODED_WORD.sub(_decode_word, _BETWEEN_WORDS.sub(r"\1", text))


def _decode_word(match: re.Match[str]) -> str:
    charset, kind, payload = match.groups()
    data = payload.encode("utf-8", "surrogateescape")
    if kind in "Bb":
        return bytes_to_text(decode_transfer(data, "base64"), charset)
    return bytes_to_text(binascii.a2b_qp(data, header=True), charset)


def encode_words(text: str) -> str:
    """A header value as ASCII: as it is, or folded RFC 2047 encoded words of at most 75 characters."""
    if text.isascii() and "=?" not in text:
        return text
    words, chunk = [], ""
    for char in [*text, ""]:
        # 45 octets are 60 base64 characters, which with the frame stay under 75
        if char == "" or len((chunk + char).encode()) > 45:
            words.append(f"=?utf-8?B?{binascii.b2a_base64(chunk.encode(), newline=False).decode()}?=")
            chunk = char
        else:
            chunk += char
    return "\r\n ".join(words)
