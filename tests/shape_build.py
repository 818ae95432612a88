"""The bricks of a message as mail clients lay them: encoded words, parameters, parts; and one letter to be sent."""

from __future__ import annotations

import base64
import binascii
import html
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from shape_files import File, pick
from shape_texts import EMOJI, LANGUAGES, RUSSIAN, SIGNATURES, Language

_PLAIN = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"


class Entity(NamedTuple):
    """One MIME entity: its header lines without line end, and its body."""

    fields: tuple[str, ...]
    body: bytes

    def raw(self) -> bytes:
        return "".join(f"{line}\r\n" for line in self.fields).encode("utf-8", "surrogateescape") + b"\r\n" + self.body


def words(text: str, charset: str = "UTF-8", kind: str = "Q") -> str:
    """A header value: itself if ASCII, else encoded words of at most 75 characters, folded (RFC 2047)."""
    if text.isascii():
        return text
    out, chunk = [], ""
    for char in text:
        if len(_word(chunk + char, charset, kind)) > 75:
            out.append(_word(chunk, charset, kind))
            chunk = ""
        chunk += char
    return "\r\n ".join([*out, _word(chunk, charset, kind)])


def _word(text: str, charset: str, kind: str) -> str:
    data = text.encode(charset, "replace")
    if kind == "B":
        return f"=?{charset}?B?{base64.b64encode(data).decode()}?="
    safe = "".join(chr(byte) if chr(byte).isalnum() and byte < 128 else "_" if byte == 32 else f"={byte:02X}" for byte in data)
    return f"=?{charset}?Q?{safe}?="


def fitting(content: str, *charsets: str) -> str:
    """The first of `charsets` that has every character of `content`, as a client chooses; else UTF-8."""
    for charset in charsets:
        try:
            content.encode(charset)
        except (UnicodeEncodeError, LookupError):
            continue
        return charset
    return "utf-8"


def raw_latin1(text: str) -> str:
    """For header lines that a careless program sends as bare Latin-1 octets."""
    return text.encode("latin-1", "replace").decode("utf-8", "surrogateescape")


def parameter(name: str, value: str, style: str, charset: str = "UTF-8") -> str:
    """`; name=value` in one of the ways clients do it: 2231, 2231-long (continuations), 2047, both, raw, bare."""
    quoted = '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if style == "bare":  # no quotes whatever stands in it: wrong, and common
        return f"; {name}={value}"
    if value.isascii() or style == "raw":
        return f';\r\n {name}={quoted}'
    if style == "2047" or (style == "both" and name == "name"):
        return f';\r\n {name}="{words(value, charset, "B")}"'
    octets = [chr(byte) if chr(byte) in _PLAIN else f"%{byte:02X}" for byte in value.encode(charset, "replace")]
    if style == "2231-long":
        pieces = ["".join(octets[at : at + 20]) for at in range(0, len(octets), 20)]
        return "".join(f";\r\n {name}*{index}*={charset + chr(39) * 2 if not index else ''}{piece}"
                       for index, piece in enumerate(pieces))
    return f";\r\n {name}*={charset}''{''.join(octets)}"


def base64_lines(data: bytes, width: int = 76) -> bytes:
    text = base64.b64encode(data)
    return b"".join(text[at : at + width] + b"\r\n" for at in range(0, len(text), width))


def transfer(data: bytes, encoding: str) -> bytes:
    if encoding == "base64":
        return base64_lines(data)
    if encoding == "quoted-printable":
        return binascii.b2a_qp(data.replace(b"\r\n", b"\n"), istext=True).replace(b"\n", b"\r\n")
    return data


def text(content: str, charset: str, encoding: str, media: str = "text/plain", extra: str = "",
         fields: tuple[str, ...] = ()) -> Entity:
    """A text part; an empty `charset` or `encoding` leaves it unsaid."""
    stated = f"; charset={charset}" if charset else ""
    data = content.encode(charset.strip('"').lower().replace("gb2312", "gb18030") or "utf-8", "replace")
    lines = [f"Content-Type: {media}{stated}{extra}"]
    lines += [f"Content-Transfer-Encoding: {encoding}"] if encoding else []
    return Entity((*lines, *fields), transfer(data, encoding.lower()))


def attachment(file: File, style: str = "2231", disposition: str = "attachment", extra: str = "", charset: str = "UTF-8",
               fields: tuple[str, ...] = (), named: bool = True) -> Entity:
    """A file in base64; `extra` goes on after the file name of Content-Disposition."""
    name = parameter("name", file.name, style if style != "2231" else "both", charset) if named else ""
    filename = parameter("filename", file.name, style, charset)
    return Entity((f"Content-Type: {file.media}{name}", f"Content-Disposition: {disposition}{filename}{extra}",
                   "Content-Transfer-Encoding: base64", *fields), base64_lines(file.content))


def multipart(subtype: str, boundary: str, parts: Iterable[Entity], extra: str = "", preamble: str = "",
              fields: tuple[str, ...] = ()) -> Entity:
    between = f"--{boundary}\r\n".encode()
    body = preamble.encode() + b"".join(between + part.raw() + b"\r\n" for part in parts) + f"--{boundary}--\r\n".encode()
    return Entity((f'Content-Type: multipart/{subtype};\r\n boundary="{boundary}"{extra}', *fields), body)


def mixed(body: Entity, files: list[Entity], boundary: str, extra: str = "", preamble: str = "") -> Entity:
    """The body alone, or with its files around it."""
    return multipart("mixed", boundary, [body, *files], extra, preamble) if files else body


@dataclass
class Letter:
    """What somebody has to say, before a client gives it its shape."""

    rng: Random
    sender: str
    to: str
    language: Language
    code: str
    name: str
    subject: str
    paragraphs: list[str]
    files: list[File]
    reply: bool
    signature: str

    @classmethod
    def write(cls, rng: Random, sender: str, to: str, codes: tuple[str, ...] = (), files: int | None = None) -> Letter:
        """A letter in one of `codes`' languages, with so many files (None: as it happens)."""
        code = rng.choice(codes or tuple(LANGUAGES))
        language = RUSSIAN if code == "ru" else LANGUAGES[code]
        paragraphs = rng.sample(language.sentences, rng.randint(1, len(language.sentences)))
        if rng.random() < 0.2 and not codes:
            paragraphs.append(" ".join(rng.sample(EMOJI, 3)))
        reply = rng.random() < 0.5
        signature = rng.choice(SIGNATURES) if rng.random() < 0.4 and not codes else ""
        if signature and rng.random() < 0.4:
            signature += f"\n{sender}"
        count = rng.choice((0, 0, 1, 1, 2)) if files is None else files
        subject = (language.answer if reply else "") + rng.choice(language.subjects)
        return cls(rng, sender, to, language, code, rng.choice(("Ana López", "Sol", "Tienda Sol")), subject, paragraphs,
                   pick(rng, count), reply, signature)

    def hex(self, digits: int = 16) -> str:
        return f"{self.rng.getrandbits(digits * 4):0{digits}x}"

    def uuid(self) -> str:
        value = self.hex(32).upper()
        return "-".join((value[:8], value[8:12], value[12:16], value[16:20], value[20:]))

    @property
    def day(self) -> str:
        return ("24/11/2026 10:15", "mar, 24 nov 2026 a las 10:15", "Nov 24, 2026, at 10:15")[len(self.subject) % 3]

    @property
    def attribution(self) -> str:
        return self.language.attribution.format(when=self.day, name="Marta", alias=self.to)

    @property
    def labels(self) -> list[tuple[str, str]]:
        """Outlook's head of a quoted message."""
        values = (f"Marta <{self.to}>", self.day, f"{self.name} <{self.sender}>", self.subject.partition(": ")[2] or self.subject)
        return list(zip(self.language.labels, values, strict=True))

    def plain(self, quote: bool = True, mobile: bool = False) -> str:
        """The letter in plain text with CRLF."""
        lines = [self.language.greeting, "", *(line for paragraph in self.paragraphs for line in (paragraph, "")), self.language.closing]
        lines += [self.language.mobile] if mobile else []
        lines += ["", "-- ", *self.signature.split("\n")] if self.signature else []
        if self.reply and quote:
            lines += ["", self.attribution, "", *(f"> {sentence}" for sentence in self.language.sentences[:2]), ">"]
        return "".join(f"{line}\r\n" for line in lines)

    def markup(self, block: str = "<p>{}</p>", quote: str = "<blockquote>{}</blockquote>", mobile: bool = False,
               newline: str = "\r\n") -> str:
        """The letter in HTML: each paragraph in `block`, what it answers in `quote`."""
        rows = [self.language.greeting, *self.paragraphs, self.language.closing, *([self.language.mobile] if mobile else []),
                *(self.signature.split("\n") if self.signature else [])]
        out = newline.join(block.format(self._linked(row)) for row in rows)
        if self.reply and quote:
            out += newline + quote.format(html.escape(self.attribution) + "<br>" + "<br>".join(
                html.escape(sentence) for sentence in self.language.sentences[:2]))
        return out + newline

    def _linked(self, row: str) -> str:
        escaped = html.escape(row, quote=False)
        if row == self.sender:
            return f'<a href="mailto:{row}">{row}</a>'
        start = escaped.find("https://")
        if start < 0:
            return escaped
        link = escaped[start:].split()[0]
        return escaped.replace(link, f'<a href="{link}" target="_blank">{link}</a>')
