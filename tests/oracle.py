"""Looks for real addresses in a whole message, in every way in which a person or a program could read one.

The judge of the campaigns against leaks: it shares no code with the product and imports none of it. It may be
wrong only by finding too much, so each route decodes leniently and none is trusted to be the only one:

- the bytes as they are, and the same bytes read as quoted-printable, as base64 and as encoded words, wherever that
  may stand (no parser is asked);
- the standard library's tree of parts: every header field and parameter, every body, what lies around the parts;
- every body in the charsets it could be in; HTML with tags and comments gone, its attributes, its comments;
  zip members (docx), PDF streams.

Each reading is percent- and entity-decoded, NFKC-normalised, case-folded and freed of what is invisible before the
address is looked for, also with white space in it and spelt in words.
"""

from __future__ import annotations

import binascii
import bisect
import codecs
import contextlib
import email
import email.header
import functools
import html
import io
import itertools
import re
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from email.message import Message
from typing import NamedTuple
from urllib.parse import unquote

import idna
from lxml import etree  # type: ignore[import-untyped]


class Find(NamedTuple):
    """`address` can be read at `place`: "raw", or the number of a part in reading order and what of it."""

    place: str
    address: str


def find(message: bytes, addresses: Sequence[str]) -> list[str]:
    """The places at which any of `addresses` (local@domain, in either form of the domain) can be read.

    Never raises, whatever the bytes.
    """
    return list(dict.fromkeys(one.place for one in finds(message, addresses)))


def finds(message: bytes, addresses: Sequence[str]) -> list[Find]:
    """As find(), telling which address; each pair once, in reading order."""
    done: dict[Find, None] = {}
    searched: set[tuple[str, str]] = set()
    for place, text in _readings(message):
        missing = [address for address in addresses if Find(place, address) not in done]
        if missing and (place, text) not in searched:
            searched.add((place, text))
            done |= {Find(place, address): None for address in seen(text, missing)}
    return list(done)


def seen(text: str, addresses: Sequence[str]) -> list[str]:
    """Those of `addresses` that a text spells in any way, standing alone."""
    plain = _plain(text)
    squashed = _squash(plain)
    near = [address for address in addresses if _is_near(squashed, _needle(address))]
    if not near:
        return []
    words = list(_KEPT.finditer(plain))
    ends = list(itertools.accumulate(len(word[0]) for word in words))

    def where(at: int) -> int:
        """The place in `plain` of a character of `squashed`."""
        index = bisect.bisect_right(ends, at)
        return words[index].end() - (ends[index] - at)

    return [address for address in near
            if any(_stands_alone(plain, where(match.start()), where(match.end() - 1) + 1)
                   for match in _needle(address).pattern.finditer(squashed))]


# --- one reading ---------------------------------------------------------------------------------------------------

_FILLERS = "\u115f\u1160\u3164\uffa0\u2800"
# two patterns: a class that goes beyond U+FFFF is searched one by one
_INVISIBLE = re.compile("[" + "".join(
    re.escape(chr(code)) for code in range(0x80, 0xFFFF)
    if unicodedata.category(chr(code)) in ("Cf", "Cc", "Mn", "Me") and not chr(code).isspace()) + _FILLERS + "]+")
_INVISIBLE_ABOVE = re.compile("[\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]+")
_PERCENT = re.compile("(?:%[0-9A-Fa-f]{2})+")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f]+")
_CONTROLS = dict.fromkeys((*range(32), 127), " ")


def _plain(text: str) -> str:
    """As the reader's eye or program sees it: decoded, normalised, folded, without what is invisible."""
    text = _unescaped(text)
    if text.isascii():
        return text.translate(_CONTROLS).lower()
    text = unicodedata.normalize("NFKC", _visible(text)).replace("\u3002", ".")
    again = _unescaped(text)  # a full-width %40 is one only now
    return (text if again == text else _visible(again)).casefold()


def _visible(text: str) -> str:
    text = _INVISIBLE.sub("", text)
    if len(text.encode("utf-16-le", "surrogatepass")) > 2 * len(text):
        text = _INVISIBLE_ABOVE.sub("", text)
    return _CONTROL.sub(" ", text)


def _unescaped(text: str) -> str:
    """Percent-encoding and entities undone, up to three layers of them."""
    for _ in range(3):
        before = text
        if "%" in text:
            text = _PERCENT.sub(lambda run: bytes.fromhex(run[0].replace("%", "")).decode("utf-8", "replace"), text)
        if "&" in text:
            text = html.unescape(text)
        if text == before:
            break
    return text


_KEPT = re.compile(r'[^\s"\\]+')


def _squash(plain: str) -> str:
    return "".join(plain.split()).replace('"', "").replace("\\", "")


# --- one address ---------------------------------------------------------------------------------------------------

_WRAP = r"[(\[{<|*_~-]{0,3}"
_UNWRAP = r"[)\]}>|*_~-]{0,3}"
_AT = rf"{_WRAP}(?:@|at|arroba|arobase|chiocciola|klammeraffe|アットマーク|アット){_UNWRAP}"
_DOT = rf"{_WRAP}(?:\.|dot|punto|punkt|punt|point|ponto|ドット){_UNWRAP}"
_EXTENSION = re.compile(r"\.(?:txt|pdf|docx?|jpe?g|gif|tiff?|bmp|png|csv|vcf|html?|eml)(?![a-z0-9])")


class _Needle(NamedTuple):
    pieces: tuple[tuple[str, ...], ...]
    """Alternatives, one of each of which must occur before it is worth to look closer."""
    pattern: re.Pattern[str]
    """Over text without any white space."""


@functools.cache
def _needle(address: str) -> _Needle:
    local, _, domain = address.rpartition("@")
    atoms = _plain(local).split(".")
    labels = [tuple(dict.fromkeys((_plain(one), idna.alabel(one).decode(), _plain(idna.ulabel(one)))))
              for one in domain.split(".")]
    pattern = (_DOT.join(map(re.escape, atoms)) + r"(?:\+[^\s@<>()]{0,64}?)?" + _AT
               + _DOT.join("(?:" + "|".join(map(re.escape, one)) + ")" for one in labels))
    return _Needle((*((atom,) for atom in atoms), *labels), re.compile(pattern))


def _is_near(squashed: str, needle: _Needle) -> bool:
    return (all(any(one in squashed for one in piece) for piece in needle.pieces)
            and needle.pattern.search(squashed) is not None)


def _stands_alone(plain: str, start: int, end: int) -> bool:
    """Not inside mirasol@tienda.example, mira-sol@tienda.example, sol@tienda.example.org or sol@tienda.examples."""
    before, after = plain[max(0, start - 2) : start], plain[end : end + 8]
    if before and (_continues(before[-1]) or (before[-1] in "._-+" and _continues(before[0]))):
        return False
    if after and (_continues(after[0]) or (after[0] in "._-" and _continues(after[1:2]))):
        return _EXTENSION.match(after) is not None  # a file's name: sol@tienda.example.pdf
    return True


def _continues(char: str) -> bool:
    """A letter that could belong to the same address; CJK and the like set no space before one."""
    return char.isalnum() and ord(char) < 0x250


# --- the whole message ---------------------------------------------------------------------------------------------

_QUOTED = re.compile(rb"=(?:[0-9A-Fa-f]{2}|[ \t]*\r?\n)")
_BASE64_RUN = re.compile(rb"(?:^[A-Za-z0-9+/=]+[ \t]*\r?\n)+|[A-Za-z0-9+/]{16,}={0,2}", re.MULTILINE)


def _readings(message: bytes) -> Iterator[tuple[str, str]]:
    """(place, text) of everything that can be read."""
    for text in _texts(message):
        yield "raw", text
        if "=?" in text:
            yield "raw", _words(text)
    if _QUOTED.search(message):
        for text in _texts(_quoted_printable(message)):
            yield "raw", text
    for run in _BASE64_RUN.findall(message):
        for text in _texts(_base64(run)):
            yield "raw", text
    try:
        root = email.message_from_bytes(message)
        parts = list(root.walk())
    except Exception:  # the standard library fails on some mail; the routes above have been taken
        return
    for number, part in enumerate(parts):
        yield from _part(number, part)


def _part(number: int, part: Message) -> Iterator[tuple[str, str]]:
    for name, value in part.raw_items():
        yield f"{number} a field's name", name
        for text in _field(str(value).encode("utf-8", "surrogateescape")):
            yield f"{number} {name.lower()}", text
    for place, around in (("preamble", part.preamble), ("epilogue", part.epilogue)):
        for reading in _texts((around or "").encode("utf-8", "surrogateescape")):
            yield f"{number} {place}", reading
    if part.is_multipart():
        return
    try:
        body = part.get_payload(decode=True)
        charset = str(part.get_param("charset") or "")
    except Exception:
        return
    if isinstance(body, bytes):
        for text in _body(body, charset):
            yield f"{number} body", text


# --- fields --------------------------------------------------------------------------------------------------------

_WORD = re.compile(r"=\?([^?\s]*)\?([bBqQ])\?([^?]*)\?=")
_SECTION = re.compile(r"([\w-]+)\*(\d*)(\*?)\s*=\s*(\"(?:[^\"\\]|\\.)*\"|[^;\s]*)")
_COMMENT = re.compile(r"\([^()]*\)")


def _field(value: bytes) -> Iterator[str]:
    for text in _texts(value):
        yield text
        if "=?" in text:
            yield _words(text)
            yield _standard_words(text)
        if "*" in text:
            yield from _sections(text)
        if "(" in text:
            yield _COMMENT.sub("", _COMMENT.sub("", text))


def _words(text: str) -> str:
    """RFC 2047, each word by itself; white space between two of them is none."""
    return _WORD.sub(lambda word: " | ".join(_texts(_word(word[2], word[3]), word[1])) or " ",
                     re.sub(r"(\?=)\s+(?==\?)", r"\1", text))


def _word(kind: str, payload: str) -> bytes:
    data = payload.encode("utf-8", "surrogateescape")
    return _base64(data) if kind in "bB" else _quoted_printable(data.replace(b"_", b" "))


def _standard_words(text: str) -> str:
    """The standard library's reading, which joins the octets of neighbours before it decodes them."""
    try:
        chunks = email.header.decode_header(text)
    except Exception:
        return ""
    return "".join(chunk if isinstance(chunk, str) else next(_texts(chunk, charset or ""))
                   for chunk, charset in chunks)


def _sections(text: str) -> Iterator[str]:
    """RFC 2231: the sections of each parameter put together."""
    values: dict[str, list[tuple[int, str]]] = {}
    for name, number, _, value in _SECTION.findall(text):
        values.setdefault(name.lower(), []).append((int(number or 0), value.strip('"')))
    for sections in values.values():
        whole = "".join(value for _, value in sorted(sections))
        charset, _, rest = whole.partition("'")
        yield whole
        try:
            yield unquote(rest.partition("'")[2], charset)
        except LookupError:
            continue


# --- bodies --------------------------------------------------------------------------------------------------------


def _body(body: bytes, charset: str) -> Iterator[str]:
    if body.startswith(b"PK\x03\x04"):
        body += b"\n".join(_members(body))
    elif body.startswith(b"%PDF"):
        body += b"\n".join(_streams(body))
    elif body.startswith(b"\x89PNG"):
        body += b"\n".join(_chunks(body))
    for text in _texts(body, charset):
        yield text
        if "<" in text:
            yield from _html(text)


def _html(source: str) -> Iterator[str]:
    """Without tags, by pattern and by a parser (they disagree on broken HTML); attributes; comments.

    A space where a tag stood sets cells apart, and white space inside an address hides nothing here; but within an
    entity or a percent-encoding it would.
    """
    for space in (" ", ""):
        yield re.sub(r"<[^<>]*>", space, re.sub(r"<!--.*?-->", space, source, flags=re.DOTALL))
    try:
        tree = etree.HTML(source.encode("utf-8", "replace"), etree.HTMLParser(encoding="utf-8"))
        if tree is not None:
            yield " ".join(map(str, tree.xpath("//text()")))
            yield " | ".join(map(str, tree.xpath("//@*")))
            yield " | ".join(str(comment.text) for comment in tree.xpath("//comment()"))
    except (etree.LxmlError, ValueError, AssertionError):
        return


def _members(data: bytes) -> Iterator[bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for info in archive.infolist()[:100]:
                with archive.open(info) as member:
                    yield member.read(1 << 20)
    except Exception:
        return


def _streams(data: bytes) -> Iterator[bytes]:
    """The inflated streams of a PDF, and its hexadecimal strings."""
    for stream in re.findall(rb"stream\r?\n(.*?)endstream", data, re.DOTALL)[:100]:
        try:
            yield zlib.decompressobj().decompress(stream, 1 << 20)
        except zlib.error:
            continue
    for digits in re.findall(rb"<([0-9A-Fa-f]{8,})>", data):
        yield bytes.fromhex(digits[: len(digits) & ~1].decode())


def _chunks(data: bytes) -> Iterator[bytes]:
    """What each chunk of a PNG holds, without the checksum behind it."""
    at = 8
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        chunk = data[at + 8 : at + 8 + size]
        yield chunk
        if data[at + 4 : at + 8] in (b"zTXt", b"iTXt", b"iCCP"):
            for start in (one.end() for one in re.finditer(rb"\0", chunk)):
                with contextlib.suppress(zlib.error):
                    yield zlib.decompressobj().decompress(chunk[start:], 1 << 20)
        at += size + 12


# --- octets --------------------------------------------------------------------------------------------------------


def _texts(data: bytes, charset: str = "") -> Iterator[str]:
    """The bytes in the charset named and in every other that they could be in."""
    names = [charset.strip("'\" ")] if charset else []
    if b"\x1b" in data:
        names += ["iso-2022-jp", "iso-2022-kr"]
    if b"\x00" in data[:4096]:
        names += ["utf-16-le", "utf-16-be"]
    names += ["utf-8"] if _is_utf8(data) else ["utf-8", "latin-1"]
    given: set[str] = set()
    for name in names:
        text = _decoded(data, name)
        if text is not None and text not in given:
            given.add(text)
            yield text


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _decoded(data: bytes, name: str) -> str | None:
    try:
        if not codecs.lookup(name)._is_text_encoding:
            return None
        return data.decode(name, "replace")
    except (LookupError, ValueError):
        return None


def _quoted_printable(data: bytes) -> bytes:
    return binascii.a2b_qp(data)


def _base64(data: bytes) -> bytes:
    digits = re.sub(rb"[^A-Za-z0-9+/]", b"", data)
    return binascii.a2b_base64(digits[: len(digits) - (len(digits) % 4 == 1)] + b"==")
