"""Could another mail client read something else here? What the tree in message.py is one answer to.

A message that two clients read differently can show the relay one thing and its reader another. What merely is ugly
(a second field that says the same, an odd charset, stray characters in base64) has one reading and is written anew;
what is named here has two that differ in a way that matters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from aliasing.encodings import bytes_to_text, decode_text, effective_encoding, list_parameters, pieces_fit
from aliasing.message import Field, Message, Part

_RARE_ENCODING = re.compile(r"(?:x-?)?uu(?:e|encoded?)|(?:x-)?yenc|mac-?binhex(?:40)?|x-binhex", re.IGNORECASE)
_MATTERS = re.compile(rb"(?:^|\r\n)(?:content-(?:type|transfer-encoding|disposition)|from|mime-version)[ \t]*:",
                      re.IGNORECASE)
_DELIMITED = re.compile(rb"(?:^|\r\n)--[^\r\n]{1,200}\r\n(?:content-[a-z-]+[ \t]*:|\r\n)", re.IGNORECASE)
_LOOK_BYTES = 8_000
_UU = re.compile(rb"(?:^|\n)begin(?:-base64)? [0-7]{3,4} [^\r\n]{1,200}\r?\n[ -`]{1,70}\r?\n")


def readings(message: Message) -> Iterator[tuple[str, str]]:
    """(path of the part, what is ambiguous there) for everything that common clients disagree about."""
    for part in message.root.walk():
        for what in _of_part(message, part):
            yield part.path, what


def _of_part(message: Message, part: Part) -> Iterator[str]:
    if len({_type_of(field) for field in part.all("content-type")}) > 1:
        yield "several Content-Type fields that differ"
    if len({_encoding_of(field) for field in part.all("content-transfer-encoding")}) > 1:
        yield "several Content-Transfer-Encoding fields that differ"
    encodings = [field.value.decode("latin-1") for field in part.all("content-transfer-encoding")]
    if any(map(_RARE_ENCODING.fullmatch, encodings)):
        yield "an encoding that only some mail programs undo"
    boundaries = {value for field in part.all("content-type")
                  for name, value in list_parameters(bytes_to_text(field.value))[1] if name == "boundary"}
    if len(boundaries) > 1:
        yield "several boundaries"
    if any(boundary != boundary.strip() for boundary in boundaries):
        yield "a boundary that ends in a space"
    if not all(pieces_fit(bytes_to_text(field.value))
               for name in ("content-type", "content-disposition") for field in part.all(name)):
        yield "a parameter in pieces that do not fit"
    if len({_extension(name) for name in part.file_names}) > 1:
        yield "file names that differ"
    if part.ragged and _MATTERS.search(_behind(message, part)):
        yield "a header with a line in it that is no field"
    yield from _of_body(message, part)


def _of_body(message: Message, part: Part) -> Iterator[str]:
    if not part.declared_type.startswith("multipart/"):
        return
    body = message.raw[part.body_start : part.end]
    if not part.parts and _DELIMITED.search(body[:_LOOK_BYTES]):
        yield "a multipart without its boundary"
    if not part.parts and part.encoding in ("base64", "quoted-printable"):
        yield "an encoded multipart"
    if part.parts and not _delimiters_agree(message, part):
        yield "a line that some mail programs take for a boundary"


def _delimiters_agree(message: Message, part: Part) -> bool:
    """Whether every line that begins as a delimiter of `part` is one that everybody sees.

    RFC 2046 5.1.1 lets a client compare only the beginning of a line, and some read on behind the closing one.
    """
    raw, boundary = message.raw, _boundary(part)
    nested = {_boundary(inner) for inner in part.walk() if inner is not part and inner.parts}
    others = {b"--" + other + closing for other in nested for closing in (b"", b"--")}
    delimiter, closed = b"--" + boundary, False
    position = part.body_start if raw.startswith(delimiter, part.body_start) else raw.find(
        b"\r\n" + delimiter, part.body_start, part.end) + 2
    while position > 1:
        end = raw.find(b"\r\n", position, part.end)
        line = raw[position : end if end >= 0 else part.end].rstrip(b" \t")
        if line == delimiter + b"--" and not closed:
            closed = True
        elif (line != delimiter or closed) and line not in others:
            return False
        if end < 0:
            break
        position = raw.find(b"\r\n" + delimiter, end, part.end) + 2
    return True


def _boundary(part: Part) -> bytes:
    field = part.field("content-type")
    codec = decode_text(field.value)[1] if field else "utf-8"
    return part.parameters.get("boundary", "").encode(codec, "replace")


def holds_uuencode(body: bytes) -> bool:
    """Whether some clients would show a file here that is typed out in the text."""
    return b"begin" in body and _UU.search(body) is not None


def _behind(message: Message, part: Part) -> bytes:
    """Where a header that broke off goes on, up to the next empty line."""
    if message.raw.startswith(b"\r\n\r\n", max(part.body_start - 4, 0)):
        return b""
    rest = message.raw[part.body_start : min(part.end, part.body_start + _LOOK_BYTES)]
    return rest.partition(b"\r\n\r\n")[0]


def _type_of(field: Field) -> tuple[str, str, str]:
    kind, found = list_parameters(bytes_to_text(field.value))
    parameters = dict(reversed(found))
    return kind, parameters.get("boundary", ""), parameters.get("name", "")


def _encoding_of(field: Field) -> str:
    encoding = effective_encoding(field.value.decode("latin-1"))
    return encoding if encoding in ("base64", "quoted-printable") else ""


def _extension(name: str) -> str:
    stem, dot, extension = name.rstrip(" .").rpartition(".")
    return extension.lower() if dot and stem else ""
