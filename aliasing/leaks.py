"""The egress check: what real address is still in a message that is about to leave?

The last look, and it fails closed: it may be wrong only by finding too much. It shares no decoder and no
pattern with redaction. Every header field and every part is decoded here again, under what the message
declares and under what a mail program might take it for (decodings.py), and each reading is searched
(spellings.py).
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from aliasing.address import Address
from aliasing.decodings import base64_inside, from_base64, readings, views
from aliasing.message import Field, Message, MessageError, Part
from aliasing.spellings import Spellings, as_seen, spellings_of


class Leak(NamedTuple):
    """Where a secret was found: a field, a part, a file. Never the secret itself."""

    place: str


def find_leaks(message: Message, secrets: Iterable[Address],
               texts: Mapping[str, str] = MappingProxyType({})) -> list[Leak]:
    """Every place in which one of `secrets` can still be read; empty when the message may leave.

    `texts` are what was extracted from attached files, by the place to report. Never raises; linear in the size.
    """
    spellings = spellings_of(frozenset(secrets))
    if not spellings:
        return []
    places = [place for part in message.root.walk() for place in _places(message, part, spellings)]
    places += [place for place, text in texts.items() if _in_text(text, spellings)]
    return [Leak(place) for place in dict.fromkeys(places)]


def names_secret(text: str, secrets: Iterable[Address]) -> bool:
    """Whether one of `secrets` can be read in a plain text, in any spelling, markup and codes undone."""
    spellings = spellings_of(frozenset(secrets))
    return bool(spellings) and _in_text(text, spellings)


def _places(message: Message, part: Part, spellings: Spellings) -> Iterator[str]:
    path = part.path or "1"
    if not _is_innocent(message.raw[part.start : part.body_start], spellings):
        for field in part.fields:
            if _in_field(field.raw, spellings):
                name = _shown_name(field, spellings)
                yield f"part {path}, {name}" if part.path else name
    if part.file_name and _in_file_name(part.file_name, spellings):
        yield f"part {path}, file name"
    if part.parts:
        if any(_in_data(gap, None, spellings) for gap in _around(message, part)):
            yield f"part {path}, around its parts"
    elif _in_body(message.body(part), part, spellings):
        yield f"part {path}"


# Header fields


def _is_innocent(header: bytes, spellings: Spellings) -> bool:
    """True when no field can name a secret: the letters are not there, and nothing is encoded. Saves most work."""
    return (header.isascii() and not any(sign in header for sign in (b"=?", b"%", b"&", b"*", b"\x1b", b"\0"))
            and not any(piece[-1:].isalnum() for piece in header.split(b"<")[:-1])
            and not spellings.may_be_in(header)
            and not spellings.may_be_in(base64_inside(header, spellings.shortest)))


def _shown_name(field: Field, spellings: Spellings) -> str:
    name = field.raw.partition(b":")[0].strip().decode("latin-1")
    return "a header field" if "@" in name or _in_text(name, spellings) else name


def _in_field(raw: bytes, spellings: Spellings) -> bool:
    if _is_innocent(raw, spellings):
        return False
    if _in_data(raw, None, spellings):
        return True
    text = raw.decode("utf-8", "surrogateescape")
    readings = list(_word_readings(text)) if "=?" in text else []
    readings += [reading for line in (text, *readings) for reading in _parameter_readings(line)]
    return any(_in_text(reading, spellings) for reading in readings)


def _in_file_name(name: str, spellings: Spellings) -> bool:
    # "ana@correo.example.zip" is an address with an extension, though .zip is a top-level domain too
    return any(_in_text(reading, spellings) for reading in (name, name.rpartition(".")[0]))


_WORD = re.compile(r"=\?([^?\s]*)\?([BbQq])\?([^?]*+)\?=")
_WORD_GAP = re.compile(r"(\?=)\s++(?==\?)")


def _word_readings(text: str) -> Iterator[str]:
    """The value with its encoded words decoded (RFC 2047), once for each way their charsets can be taken."""
    pieces = _WORD.split(_WORD_GAP.sub(r"\1", text))
    words = list(zip(pieces[1::4], pieces[2::4], pieces[3::4], pieces[4::4], strict=True))
    runs: list[tuple[str, bytes]] = [("", _to_bytes(pieces[0]))]
    for charset, kind, payload, literal in words:
        data = _word_bytes(kind, payload)
        if runs[-1][0] == charset:  # a character may be split between two words, against RFC 2047 5
            runs[-1] = charset, runs[-1][1] + data
        else:
            runs.append((charset, data))
        if literal:
            runs.append(("", _to_bytes(literal)))
    choices = [list(readings(data, charset.partition("*")[0] or None)) for charset, data in runs]
    for index in range(max(map(len, choices))):
        yield "".join(choice[min(index, len(choice) - 1)] for choice in choices)


def _word_bytes(kind: str, payload: str) -> bytes:
    data = _to_bytes(payload)
    return from_base64(data) if kind in "Bb" else binascii.a2b_qp(data, header=True)


_PARAMETER_PIECE = re.compile(r""";\s*+([^\s;=*"]++)\*(\d{0,4})\*?\s*+=\s*+("(?:[^"\\]++|\\.)*+"?|[^;]*+)""")


def _parameter_readings(text: str) -> Iterator[str]:
    """The values of parameters that are encoded or continued (RFC 2231)."""
    pieces = sorted((name.lower(), int(index or 0), value) for name, index, value in _PARAMETER_PIECE.findall(text))
    for _, group in groupby(pieces, key=lambda piece: piece[0]):
        value = "".join(re.sub(r"\\(.)", r"\1", piece.strip().strip('"')) for _, _, piece in group)
        charset, quote, rest = value.partition("'")
        data = unquote_to_bytes(_to_bytes(rest.partition("'")[2] if quote else value))
        yield value
        yield from readings(data, charset if quote else None)


def _to_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape" if not text.isascii() else "strict")


# Bodies

_DECLARED = re.compile(rb"^content-transfer-encoding[ \t]*:(.*)", re.IGNORECASE | re.DOTALL)
_QUOTED_PRINTABLE = re.compile(rb"=(?:40|2[eE]|[ \t]{0,8}\r?\n)")
"""What an address in quoted-printable has in it: its sign, a dot, or a line broken in the middle."""


_LOOSE_BREAK = re.compile(rb"=[ \t]+\r?\n")


def _in_body(body: bytes, part: Part, spellings: Spellings) -> bool:
    declared = b" ".join(match.group(1) for field in part.fields if (match := _DECLARED.match(field.raw))).lower()
    decoded = []
    if b"base64" in declared:
        decoded.append(from_base64(body))
    if b"quoted" in declared:
        decoded.append(binascii.a2b_qp(_LOOSE_BREAK.sub(b"=\n", body)))
    elif b"base64" not in declared and _QUOTED_PRINTABLE.search(body) and _in_views(
            binascii.a2b_qp(body).decode("utf-8", "replace"), spellings):
        return True  # no program decodes what is not declared, but a person may
    if b"base64" in declared:
        if _in_binary(body, spellings):
            return True
    else:
        decoded.append(body)
    if part.parameters.get("delsp", "").lower() == "yes":
        decoded += [data.replace(b" \r\n", b"") for data in decoded]
    return any(_in_content(data, part, spellings) for data in decoded)


def _in_content(data: bytes, part: Part, spellings: Spellings) -> bool:
    if part.content_type.startswith("message/") and _in_message(data, spellings):
        return True
    if part.content_type.startswith(("text/", "message/", "multipart/")) or _looks_like_text(data):
        return _in_data(data, part.parameters.get("charset"), spellings)
    return _in_binary(data, spellings)


def _in_message(data: bytes, spellings: Spellings) -> bool:
    """An embedded message or blocks of fields (RFC 2046 5.2, RFC 3464): there may be encoded words anywhere in it."""
    if _in_field(data, spellings):
        return True
    try:
        parts = list(Message.parse(data).root.walk())
    except MessageError:
        return False
    # one level: what is embedded deeper is searched as it stands
    return any(_in_body(data[part.body_start : part.end], part, spellings) for part in parts
               if not part.parts and not part.content_type.startswith("message/"))


def _around(message: Message, part: Part) -> Iterator[bytes]:
    """Preamble, delimiters, epilogue: what lies outside the parts of a multipart."""
    position = part.body_start
    for child in part.parts:
        yield message.raw[position : child.start]
        position = child.end
    yield message.raw[position : part.end]


_PRINTABLE = bytes({9, 10, 12, 13, 27, *range(32, 256)} - {127})


def _looks_like_text(data: bytes) -> bool:
    """By samples: compressed data has a control character in every ten, text none, UTF-16 every other one NUL."""
    middle = len(data) // 2
    for sample in (data[:1024], data[middle : middle + 1024], data[-1024:]) if len(data) > 3072 else (data,):
        controls = len(sample.translate(None, _PRINTABLE))
        if controls * 20 > len(sample) and not (controls == sample.count(0) and controls * 3 > len(sample)):
            return False
    return True


# Bytes and texts


def _in_data(data: bytes, charset: str | None, spellings: Spellings) -> bool:
    """Bytes that are text, or may be: under every charset they could be read in."""
    return any(_in_views(text, spellings) for text in readings(data, charset)) or _in_base64_inside(
        data.replace(b"\0", b""), spellings)


def _in_binary(data: bytes, spellings: Spellings) -> bool:
    """Bytes that are no text: strings in ASCII, UTF-8 or UTF-16 at any offset."""
    if not spellings.may_be_in(data):
        return False
    codecs = ["latin-1", "utf-8", *(("utf-16-le", "utf-16-be") if b"\0" in data else ())]
    return any(spellings.are_in(as_seen(data[offset:].decode(codec, "replace")))
               for codec in codecs for offset in ((0, 1) if codec.startswith("utf-16") else (0,)))


def _in_text(text: str, spellings: Spellings) -> bool:
    return _in_views(text, spellings) or _in_base64_inside(text.encode("utf-8", "replace"), spellings)


def _in_views(text: str, spellings: Spellings) -> bool:
    if _REVERSES.search(text) and any(spellings.are_in(view) for view in views(text[::-1])):
        return True  # what is set from right to left is read so (Unicode Standard Annex 9)
    return any(spellings.are_in(view) for view in views(text))


_REVERSES = re.compile("[\u202d\u202e]|&#(?:823[78]|x202[de])|<bdo", re.IGNORECASE)


def _in_base64_inside(data: bytes, spellings: Spellings) -> bool:
    return _in_binary(base64_inside(data, spellings.shortest), spellings)
