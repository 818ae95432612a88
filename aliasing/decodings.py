"""What bytes and texts can be taken for: transfer encodings, charsets, markup and codes undone for the egress check.

For leaks.py alone, and independent of what redaction decodes with. Where a mail program might read the same
octets in several ways, all of them are given. Nothing here raises, and all of it is linear.
"""

from __future__ import annotations

import binascii
import codecs
import functools
import re
from collections.abc import Callable, Iterator
from html.entities import html5

from aliasing.spellings import MARK, as_seen

# Transfer encodings

_PAD = re.compile(rb"=+")
_NOT_BASE64 = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"))
_MAX_PADDED_PIECES = 10_000


def from_base64(data: bytes) -> bytes:
    """Decode what a lenient reader would: stray characters skipped, and on after each padding."""
    pieces = _PAD.split(data, maxsplit=_MAX_PADDED_PIECES) if b"=" in data else [data]
    return b"".join(map(_unpadded, pieces))


def _unpadded(data: bytes) -> bytes:
    digits = data.translate(None, _NOT_BASE64)
    return _groups(digits)


def _groups(digits: bytes) -> bytes:
    return binascii.a2b_base64(digits[: len(digits) - (len(digits) % 4 == 1)] + b"==")


_DIGITS = bytes.maketrans(b"-_", b"+/")
_IS_DIGIT = bytes(ord("x") if byte not in _NOT_BASE64 or byte in b"-_" else 32 for byte in range(256))
_LONG_LINE = 60


def base64_inside(data: bytes, shortest: int) -> bytes:
    """What stretches of base64 inside a text say, begun at each of the four digits of a group, NULs between.

    `shortest` is the number of octets below which they are of no interest.
    """
    run = b"x" * max(16, shortest * 4 // 3)
    digits = data.translate(_IS_DIGIT)
    said = []
    start = digits.find(run)
    while start >= 0:
        end = _run_end(data, digits, start)
        stretch = data[start:end].translate(_DIGITS, b"\r\n")
        said += [_groups(stretch), _groups(stretch[1:]), _groups(stretch[2:]), _groups(stretch[3:])]
        start = digits.find(run, end)
    return b"\0\0".join(said)


def _run_end(data: bytes, digits: bytes, start: int) -> int:
    while True:
        end = digits.find(b" ", start)
        if end < 0:
            return len(data)
        following = end + 2 if data.startswith(b"\r\n", end) else end + 1 if data.startswith(b"\n", end) else 0
        if end - start < _LONG_LINE or not digits.startswith(b"x", following or len(data)):
            return end
        start = following


# Charsets

_WIDE = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
_PLAUSIBLE = ("utf-8", "cp1252", "iso2022_jp_ext", "shift_jis", "euc_jp", "gb18030", "big5", "euc_kr", "iso2022_kr",
              "cp1251", "koi8-r", *_WIDE)
_NOT_CHARSETS = frozenset(("punycode", "idna", "undefined", "unicode-escape", "raw-unicode-escape", "mbcs", "oem"))
"""Codecs that no mail is written in; the first takes quadratic time."""


def readings(data: bytes, charset: str | None) -> Iterator[str]:
    """The texts that `data` may be meant for; at least one."""
    codec = _codec(charset) if charset else "ascii"
    if data.isascii() and b"\0" not in data and b"\x1b" not in data and codec and _keeps_ascii(codec):
        yield data.decode("ascii")
        return
    seen: list[str] = []
    for candidate, errors in _candidates(data, codec, named=bool(charset)):
        try:
            text = data.decode(candidate, errors)
        except (UnicodeError, LookupError, ValueError):
            continue
        if text not in seen:
            seen.append(text)
            yield text


def _candidates(data: bytes, codec: str | None, *, named: bool) -> Iterator[tuple[str, str]]:
    if not named and data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        yield from ((wide, "replace") for wide in ("cp1252", *_WIDE))
        return
    if codec is None or (not named and not _is_utf8(data)):
        yield from ((candidate, "replace") for candidate in _PLAUSIBLE)
        return
    if codec != "ascii":
        yield codec, "replace"
    yield "utf-8", "strict"
    if codec not in ("ascii", "utf-8") or not _is_utf8(data):
        yield "cp1252", "replace"
    if b"\0" in data or codec.startswith(("utf-16", "utf-32")):
        yield from ((wide, "replace") for wide in _WIDE)
    if b"\x1b" in data:
        yield from (("iso2022_jp_ext", "replace"), ("iso2022_kr", "replace"))


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


@functools.lru_cache(maxsize=256)
def _codec(charset: str) -> str | None:
    """Python's name for a charset; None where it has none that can be used."""
    try:
        plain = charset.strip("\"' \t").lower()
        name = codecs.lookup("utf-7" if plain in ("unicode-1-1-utf-7", "csunicode11utf7") else plain).name
        b"a".decode(name, "replace")
    except (LookupError, UnicodeError, ValueError):
        return None
    return None if name.replace("_", "-") in _NOT_CHARSETS else name


@functools.lru_cache(maxsize=256)
def _keeps_ascii(codec: str) -> bool:
    printable = bytes(range(32, 127))
    return printable.decode(codec, "replace") == printable.decode("ascii")


# Markup and codes

_PERCENT = re.compile("((?:%[0-9a-f]{2})++)")
_TAG = re.compile(
    r"""<[a-z/!?](?:[^>=]++|=\s*+(?:"[^"]*+(?:"|\Z)|'[^']*+(?:'|\Z)|[^\s>"'][^\s>]*+)?+)*+(?:>|\Z)"""
)
_ANGLES = re.compile("<[^<>]*+>")


_ENTITY = re.compile("(&(?:#x[0-9a-f]++|#[0-9]++|[a-z][a-z0-9]{1,31}+);?)")
# a bracket or quote written as a code opens no tag and ends no attribute: kept apart until tags are out
_GUARDS = {"<": "\x11", ">": "\x12", '"': "\x13", "'": "\x14"}


def views(text: str) -> Iterator[str]:
    """The text as it is seen (spellings.as_seen), and with what HTML and links can hide in it undone."""
    seen = as_seen(text)
    yield seen
    readable = _decode(_ENTITY, _entity_read, seen) if "&" in seen else seen
    if readable is not seen:
        yield _unguarded(readable)
    yield from _without_tags(readable)
    for _ in range(2):  # RFC 3986 2.1; some programs do it twice
        plainer = _decode(_PERCENT, _percent_read, readable) if "%" in readable else readable
        if plainer is readable:
            return
        readable = plainer
        yield _unguarded(readable)
        yield from _without_tags(readable)


def _without_tags(readable: str) -> Iterator[str]:
    """The text with its tags taken out in two ways; nothing when it has none.

    _TAG ends a tag where HTML does (a quoted value may hold ">"; one without an end goes on to the end of the
    text), _ANGLES where a simpler program would, and so it shows what stands in conditional comments.
    """
    if "<" in readable:
        yield _unguarded(_TAG.sub(MARK, _without_comments(readable)))
        yield _unguarded(_ANGLES.sub(MARK, readable))


def _decode(codes: re.Pattern[str], read: Callable[[str], str], text: str) -> str:
    """`text` with every match of `codes` (one group around it all) read; the very same text without any."""
    pieces = codes.split(text)
    if len(pieces) == 1:
        return text
    # a megabyte of codes is mostly the same few, and as_seen is dear for single characters: all at once
    different = list(set(pieces[1::2]))
    seen = as_seen(MARK.join(read(code).replace(MARK, "") for code in different))
    for sign, guard in _GUARDS.items():
        seen = seen.replace(sign, guard)
    meaning = dict(zip(different, seen.split(MARK), strict=True))
    pieces[1::2] = [meaning[code] for code in pieces[1::2]]
    return "".join(pieces)


def _percent_read(octets: str) -> str:
    return bytes.fromhex(octets.replace("%", "")).decode("utf-8", "replace")


_NAMED = {name.lower(): text for name, text in sorted(html5.items())}  # where case tells two apart, the lower wins
_LONGEST_UNENDED = 6
"""Letters of the longest name that HTML reads without its semicolon, and in front of other letters."""


def _entity_read(entity: str) -> str:
    name = entity[1:]
    if name[0] == "#":
        return _numbered(name[1:].rstrip(";"))
    if name in _NAMED:
        return _NAMED[name]
    for length in range(_LONGEST_UNENDED, 1, -1):
        if name[:length] in _NAMED:
            return _NAMED[name[:length]] + name[length:]
    return entity


def _numbered(digits: str) -> str:
    # int() raises past 4,300 digits, and leading zeros are free
    number = int(digits.lstrip("x0")[:8] or "0", 16 if digits[0] == "x" else 10)
    if 0x80 <= number <= 0x9F:
        return bytes([number]).decode("cp1252", "replace")
    return "" if number > 0x10FFFF or 0xD800 <= number <= 0xDFFF else chr(number)


def _unguarded(text: str) -> str:
    for sign, guard in _GUARDS.items():
        text = text.replace(guard, sign)
    return text


def _without_comments(text: str) -> str:
    if "<!--" not in text:
        return text
    *closed, rest = text.split("-->")
    return MARK.join([*(piece.partition("<!--")[0] for piece in closed), rest])
