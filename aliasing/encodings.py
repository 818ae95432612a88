"""How mail writes text in seven bits and gets it back: transfer encodings, charsets, encoded words, parameters.

Reading is lenient and never raises; writing is strict. Everything is linear in its input.
"""

from __future__ import annotations

import binascii
import codecs
import functools
import html
import re
from collections.abc import Iterator, Mapping
from urllib.parse import quote, unquote_to_bytes

_ENCODED_WORD = re.compile(r"=\?([^?\s*]*)(?:\*[^?\s]*)?\?([BbQq])\?([^?\r\n]*)\?=")
_WORD_OR_GAP = re.compile(r"(=\?[^?\s]*\?[BbQq]\?[^?\r\n]*\?=)(?:[ \t\r\n]+(?==\?))?")
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_NOT_BASE64 = bytes(set(range(256)) - set(_BASE64))
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`{|}~0-9A-Za-z]+")
_IDENTITY = ("7bit", "8bit", "binary")
ENCODINGS = frozenset((*_IDENTITY, "quoted-printable", "base64"))
"""RFC 2045 6.1; what is none of these is read as it stands, as every common client does."""

_NOT_C1 = bytes(set(range(256)) - set(range(0x80, 0xA0)))
_NOT_FOR_TEXT = frozenset(("idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "palmos"))
_WIDER = {"gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932", "euc_kr": "cp949", "iso8859-1": "cp1252",
          "iso8859-9": "cp1254"}
"""What mail calls by the first name is often written in the second, a superset of it."""
_ALSO_KNOWN_AS = {
    "iso-8859-8-i": "iso-8859-8", "iso-8859-6-i": "iso-8859-6", "iso-8859-6-e": "iso-8859-6", "iso88591": "cp1252",
    "iso88592": "iso-8859-2", "iso885915": "iso-8859-15", "cp-850": "cp850", "cp-1252": "cp1252", "ansi": "cp1252",
    "x-ansi": "cp1252", "x-sjis": "cp932", "windows-31j": "cp932", "ms932": "cp932", "ms_kanji": "cp932",
    "x-euc-jp": "euc_jp", "cp50220": "iso2022_jp", "cp50221": "iso2022_jp", "x-gbk": "gb18030",
    "csgb2312": "gb18030", "gb_2312-80": "gb18030", "gb_2312": "gb18030", "iso-ir-58": "gb18030",
    "chinese": "gb18030", "x-cp20936": "gb18030",
    "cn-gb": "gb18030",
    "cn-big5": "big5hkscs", "x-x-big5": "big5hkscs", "csbig5": "big5hkscs", "windows-949": "cp949",
    "ks_c_5601-1987": "cp949", "ks_c_5601-1989": "cp949", "ksc_5601": "cp949", "ksc5601": "cp949",
    "iso-ir-149": "cp949",
    "korean": "cp949", "windows-874": "cp874", "dos-874": "cp874", "x-mac-roman": "mac_roman", "macintosh": "mac_roman",
    "mac": "mac_roman", "x-mac-cyrillic": "mac_cyrillic", "x-mac-ukrainian": "mac_cyrillic", "koi8-ru": "koi8-u",
    "koi": "koi8-r", "koi8": "koi8-r", "unicode": "utf-16-le", "csunicode": "utf-16-le", "ucs-2": "utf-16-le",
    "iso-10646-ucs-2": "utf-16-le", "unicodefeff": "utf-16-le", "unicode-1-1-utf-7": "utf-7",
    "csunicode11utf7": "utf-7",
    "unicode-1-1-utf-8": "utf-8", "unicode11utf8": "utf-8", "unicode20utf8": "utf-8", "x-unicode20utf8": "utf-8",
    "utf8mb4": "utf-8", **{f"x-cp{number}": f"cp{number}" for number in range(1250, 1259)},
}
"""Names that Python does not know, most of them from the WHATWG Encoding Standard's table of labels."""


def effective_encoding(value: str) -> str:
    """What a Content-Transfer-Encoding value means: one of ENCODINGS, or "" for anything else.

    Seen in the wild and understood by everybody: case, comments, quotes, a final semicolon.
    """
    token = value.partition(";")[0].partition("(")[0].strip(" \t\"'").lower()
    return token if token in ENCODINGS else ""


def decode_transfer(body: bytes, encoding: str) -> bytes:
    """Undo a Content-Transfer-Encoding (RFC 2045 6); what is no base64 is skipped.

    Padding ends base64, unless nothing but more of it follows: some programs encode a text in pieces.
    """
    if encoding == "base64":
        data = body.translate(None, delete=_NOT_BASE64_NOR_PAD)
        first, _, rest = data.partition(b"=")
        if rest.strip(b"=") and is_more_base64(body):
            return b"".join(map(_unpadded, _PADS.split(data)))
        return _unpadded(first)
    if encoding == "quoted-printable":
        return binascii.a2b_qp(_PADDED_BREAK.sub(b"=\r\n", body))  # RFC 2045 6.7 (3): white space there is no text
    return body


def is_more_base64(body: bytes) -> bool:
    """Whether all of a body that goes on behind its padding is base64."""
    return not body.translate(None, delete=_BASE64 + b"= \t\r\n")


def _unpadded(digits: bytes) -> bytes:
    return binascii.a2b_base64(digits[: len(digits) - (len(digits) % 4 == 1)] + b"==")


_PADS = re.compile(rb"=+")
_PADDED_BREAK = re.compile(rb"=[ \t]+\r?\n")
_NOT_BASE64_NOR_PAD = bytes(set(_NOT_BASE64) - {ord("=")})


def is_clean_base64(body: bytes) -> bool:
    """Whether every decoder reads the same octets: the alphabet and white space, padding at the end, short lines."""
    padded = body.translate(None, delete=b" \t\r\n")
    data = padded.rstrip(b"=")
    pads = len(padded) - len(data)
    return pads <= 2 and len(padded) % 4 == 0 and not data.translate(None, delete=_BASE64) and has_short_lines(body)


def has_short_lines(body: bytes, limit: int = 998) -> bool:
    """Whether no line is longer than RFC 5322 2.1.1 allows; linear, without making the lines."""
    position, end = 0, len(body)
    while end - position > limit:
        found = body.rfind(b"\r\n", position, position + limit + 2)
        if found < 0:
            return False
        position = found + 2
    return True


def encode_transfer(data: bytes, encoding: str) -> bytes:
    """Apply a Content-Transfer-Encoding, with CRLF line ends and lines of at most 76 characters."""
    if encoding == "base64":
        text = binascii.b2a_base64(data, newline=False)
        return b"".join(text[at : at + 76] + b"\r\n" for at in range(0, len(text), 76))
    if encoding == "quoted-printable":
        # b2a_qp breaks lines with a bare LF when the text has no CRLF of its own, and a line of its making could be
        # a delimiter of the multipart around it
        encoded = re.sub(rb"(?<!\r)\n", b"\r\n", binascii.b2a_qp(data))
        return re.sub(rb"(?m)^--", b"=2D-", encoded)
    return data


# -- charsets ----------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=512)
def codec_of(charset: str) -> str | None:
    """Python's name for a charset as mail names it; None for one that nobody knows."""
    name = charset.strip().strip("'\"").lower()
    try:
        codec = codecs.lookup(_ALSO_KNOWN_AS.get(name, name))
    except (LookupError, ValueError, UnicodeError):
        return None
    if not codec._is_text_encoding or codec.name in _NOT_FOR_TEXT:
        return None
    return codec.name


def bytes_to_text(data: bytes, charset: str | None = None) -> str:
    """Decode without ever failing or losing: the charset named or its superset, else UTF-8, else Latin-1."""
    return decode_text(data, charset)[0]


def decode_text(data: bytes, charset: str | None = None) -> tuple[str, str]:
    """(text, the codec that read it): encoding the text with that codec gives octets of the same meaning."""
    for codec in _candidates(data, charset):
        try:
            text = data.decode(codec)
        except (UnicodeError, ValueError):
            continue
        return text, codec
    return data.decode("latin-1"), "latin-1"


def _candidates(data: bytes, charset: str | None) -> Iterator[str]:
    named = codec_of(charset) if charset else None
    if named == "utf-16" and not data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        named = "utf-16-be" if data[:400:2].count(0) > data[1:400:2].count(0) else "utf-16-le"
    if named in ("iso8859-1", "iso8859-9") and data.translate(None, delete=_NOT_C1):
        yield _WIDER[named]  # no text has the control characters that stand there: a euro sign is meant
    if named and named != "ascii":
        yield named
        if wider := _WIDER.get(named):
            yield wider
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        yield "utf-16"  # a text file says so itself
    yield "utf-8"


def unescape(text: str) -> str:
    """html.unescape() that never raises: a number of thousands of digits is no character."""
    return html.unescape(_HUGE_REFERENCE.sub("\ufffd", text) if "&#" in text else text)


_HUGE_REFERENCE = re.compile(r"&#(?:[0-9]{8,}|[xX][0-9A-Fa-f]{7,});?")


# -- encoded words (RFC 2047) ------------------------------------------------------------------------------


def decode_words(text: str) -> str:
    """Decode the encoded words of a header value; broken ones stay as they are.

    Neighbours of one charset are joined as octets first: many clients split in the middle of a character.
    """
    if "=?" not in text:
        return text
    out: list[str] = []
    held, held_charset, position = b"", "", 0
    for match in _WORD_OR_GAP.finditer(text):
        between = text[position : match.start()]
        word = _ENCODED_WORD.fullmatch(match.group(1))
        if word is None:
            continue
        charset, data = word.group(1).lower(), _word_bytes(word.group(2), word.group(3))
        if between or charset != held_charset:
            out += [bytes_to_text(held, held_charset), between]
            held, held_charset = b"", charset
        held += data
        position = match.end()
    return "".join([*out, bytes_to_text(held, held_charset), text[position:]])


def _word_bytes(kind: str, payload: str) -> bytes:
    data = payload.encode("utf-8", "surrogateescape")
    return decode_transfer(data, "base64") if kind in "Bb" else binascii.a2b_qp(data, header=True)


def encode_words(text: str) -> str:
    """A header value as ASCII: as it is, or folded encoded words of at most 75 characters."""
    if text.isascii() and "=?" not in text and len(text) < 900:
        return text
    words, chunk = [], ""
    for char in [*text, ""]:
        # 45 octets are 60 base64 characters, which with the frame stay under 75
        if char == "" or len((chunk + char).encode("utf-8", "replace")) > 45:
            words.append(f"=?utf-8?B?{binascii.b2a_base64(chunk.encode('utf-8', 'replace'), newline=False).decode()}?=")
            chunk = char
        else:
            chunk += char
    return "\r\n ".join(words)


# -- parameters (RFC 2045 5.1, RFC 2231) -------------------------------------------------------------------


def parse_parameters(text: str) -> tuple[str, dict[str, str]]:
    """`type/subtype; name=value …` -> (lower-case type, decoded parameters); of two by one name the first counts."""
    kind, found = list_parameters(text)
    parameters: dict[str, str] = {}
    for name, value in found:
        parameters.setdefault(name, value)
    return kind, parameters


def list_parameters(text: str) -> tuple[str, list[tuple[str, str]]]:
    """As parse_parameters(), but every reading of every parameter in order: a name may come twice."""
    kind, raw = _split_parameters(text)
    out: list[tuple[str, str]] = []
    pieces: dict[str, list[tuple[int, bool, str]]] = {}
    for name, value in raw:
        base, star, section = name.partition("*")
        if not star:
            out.append((name, decode_words(value) if name in ("name", "filename") else value))
            continue
        encoded = section == "" or section.endswith("*")
        digits = section.rstrip("*")
        number = int(digits) if digits.isdecimal() and len(digits) < 5 else 0
        pieces.setdefault(base, []).append((number, encoded, value))
    # RFC 2231 is the newer way to say it: where a client wrote both, the other is its fallback for old readers
    return kind, [(base, _join_2231(sorted(found))) for base, found in pieces.items()] + out


def pieces_fit(text: str) -> bool:
    """Whether every parameter in pieces (RFC 2231 3) has them numbered from 0 without a gap, and has no other form."""
    sections: dict[str, list[str]] = {}
    for name, _ in _split_parameters(text)[1]:
        base, star, section = name.partition("*")
        if star:
            sections.setdefault(base, []).append(section.removesuffix("*") if section else "")
    return all(found == [""] or sorted(found, key=len) == [str(number) for number in range(len(found))]
               for found in sections.values())


def _split_parameters(text: str) -> tuple[str, list[tuple[str, str]]]:
    """The value before the first semicolon, and name-value pairs as written, comments removed."""
    kind: str | None = None
    found: list[tuple[str, str]] = []
    plain: list[str] = []
    quoted: str | None = None
    position = 0
    while position <= len(text):
        run = _PLAIN.match(text, position)
        if run:
            plain.append(run.group())
            position = run.end()
        special = text[position : position + 1]
        if special == '"':
            value, position = _quoted(text, position + 1)
            quoted = value if quoted is None else quoted
        elif special == "(" and "=" in "".join(plain) and not plain[-1][-1:].isspace():
            plain.append(special)  # photo(1).jpg, unquoted
            position += 1
        elif special == "(":
            position = _after_comment(text, position)
        else:  # a semicolon, or the end
            name, equals, value = "".join(plain).partition("=")
            if kind is None:
                kind = "".join(plain).strip().lower()
            elif equals and name.strip():
                found.append((name.strip().lower(), value.strip() if quoted is None else quoted))
            plain, quoted = [], None
            position += 1
    return kind or "", found


_PLAIN = re.compile(r'[^";(]+')


def _quoted(text: str, position: int) -> tuple[str, int]:
    """A quoted string's value and the position behind it; one that is never closed ends with the text."""
    out = []
    while position < len(text) and text[position] != '"':
        if text[position] == "\\" and position + 1 < len(text):
            position += 1
        out.append(text[position])
        position += 1
    return "".join(out), min(position + 1, len(text))


def _after_comment(text: str, position: int) -> int:
    """The position behind a comment (RFC 5322 3.2.2); what is never closed is no comment."""
    depth = 0
    for at in range(position, min(len(text), position + 1000)):
        depth += (text[at] == "(") - (text[at] == ")")
        if depth == 0:
            return at + 1
    return len(text)


def _join_2231(pieces: list[tuple[int, bool, str]]) -> str:
    charset, out = "utf-8", b""
    for index, (_, encoded, piece) in enumerate(pieces):
        value = piece
        if encoded and index == 0 and piece.count("'") >= 2:
            charset, _, value = piece.split("'", 2)
        out += unquote_to_bytes(value) if encoded else value.encode("utf-8", "surrogateescape")
    return bytes_to_text(out, charset)


def write_parameters(kind: str, parameters: Mapping[str, str]) -> str:
    """A folded ASCII value that every client reads in one way: tokens or quoted strings, RFC 2231 for the rest."""
    out = kind
    for name, value in parameters.items():
        text = "".join(char for char in value if char.isprintable())
        # what looks like an encoded word some clients would decode, and others not
        is_plain = name in ("boundary", "charset") or (len(text) < 70 and "=?" not in text)
        if text.isascii() and is_plain:
            if not _TOKEN.fullmatch(text) or name in ("name", "filename"):
                text = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
            out += f";\r\n {name}={text}"
        else:
            out += "".join(f";\r\n {piece}" for piece in _write_2231(name, text))
    return out


def _write_2231(name: str, text: str) -> Iterator[str]:
    """`name*=utf-8''…`, in numbered sections (RFC 2231 3) where it is long; never splitting a character."""
    chunks = [""]
    for char in text:
        piece = quote(char, safe="")
        if len(chunks[-1]) + len(piece) > 50:
            chunks.append("")
        chunks[-1] += piece
    if len(chunks) == 1:
        yield f"{name}*=utf-8''{chunks[0]}"
        return
    for number, chunk in enumerate(chunks):
        yield f"{name}*{number}*={'utf-8' + chr(39) * 2 if number == 0 else ''}{chunk}"
