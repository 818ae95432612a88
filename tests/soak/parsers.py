"""What a stranger's octets meet, parser by parser: seeds to begin from, and what must hold whatever is put in."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from pathlib import Path

import filemaker
from filemaker import archive, doc, gif, jpeg, pdf, png, tiff
from passing import FRAME, KNOWN, through
from planting import FRAMES, planted
from shapes import messages
from support import BUYER, SELLER

from aliasing.address import Address, AddressError, single_mailbox
from aliasing.correspondence import Direction, Side
from aliasing.encodings import (
    ENCODINGS,
    bytes_to_text,
    decode_transfer,
    decode_words,
    encode_transfer,
    encode_words,
    parse_parameters,
    unescape,
    write_parameters,
)
from aliasing.leaks import find_leaks, names_secret
from aliasing.message import MAX_HEADER_BYTES, Message, MessageError
from aliasing.readings import readings
from aliasing.redact import INSTEAD, redactor_for
from aliasing.sevenbit import to_seven_bit
from aliasing.token import open_alias
from aliasing.view import view
from policy.files import examine
from policy.html import HtmlSettings, clean
from policy.html.css import filter_style
from relay.dsn.receive import understand
from relay.receive.data import BARE, Incoming
from relay.receive.envelope import parse_path, size_of

GOLDEN = Path(__file__).parent.parent / "golden"
DIALOGS = Path(__file__).parent.parent / "dialogs"
SECRETS = [secret for secret, _ in FRAME.secrets()]
MAX_SEED_BYTES = 16_000
"""Bigger ones cost much and reach nothing that small ones do not."""
MAX_LINE_BYTES = 998
"""RFC 5322 2.1.1, CRLF not counted."""


class Broken(Exception):  # noqa: N818 - what the campaign looks for
    """Something that has to hold does not."""


@dataclass(frozen=True)
class Target:
    """`check` raises when something is wrong with what the product makes of its octets."""

    name: str
    check: Callable[[bytes], None]
    seeds: Callable[[], Sequence[bytes]]
    weight: int
    """How many of a hundred inputs it gets."""
    words: tuple[bytes, ...] = ()
    """What is worth putting anywhere."""


def choice_of(data: bytes) -> random.Random:
    """The same for the same input, so that an input alone shows what was found."""
    return random.Random(blake2b(data, digest_size=8).digest())


def hold(condition: bool, what: str) -> None:
    if not condition:
        raise Broken(what)


def as_received(data: bytes) -> bytes:
    """What the receiver would let in: CRLF line ends, no NUL."""
    lines = data.replace(b"\0", b"").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return lines.replace(b"\n", b"\r\n")


def text_of(data: bytes) -> str:
    """Any text, lone surrogates too, which a decoded name may hold."""
    return data.decode("utf-8", "surrogatepass" if data[:1] > b"\x80" else "replace") if _reads(data) else data.decode("latin-1")


def _reads(data: bytes) -> bool:
    try:
        data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return False
    return True


# --- what must hold ------------------------------------------------------------------------------------------------


def well_formed(raw: bytes, where: str) -> None:
    """What may go to a next hop (RFC 5321 2.3.8, RFC 5322 2.1.1)."""
    crlf = raw.count(b"\r\n")
    hold(raw.count(b"\r") == crlf and raw.count(b"\n") == crlf, f"{where}: a bare CR or LF")
    hold(b"\0" not in raw, f"{where}: a NUL")
    hold(max(map(len, raw.split(b"\r\n"))) <= MAX_LINE_BYTES, f"{where}: a line over {MAX_LINE_BYTES} octets")
    hold(Message.parse(raw).root.body_start <= MAX_HEADER_BYTES, f"{where}: a header over the limit")


def message(data: bytes) -> None:
    """Whatever the octets, the parser reads them or says MessageError; so does what looks into the parts."""
    for raw in (data, as_received(data)):
        try:
            found = Message.parse(raw)
        except MessageError:
            continue
        for part in found.root.walk():
            hold(part.start <= part.body_start <= part.end <= len(raw), "message: a part outside the message")
        str((found.subject, [(part.file_names, part.disposition, part.is_attachment, found.text(part))
                             for part in found.root.leaves()], [one.text for one in found.fields]))
        list(readings(found))
        find_leaks(found, SECRETS)


def passage(data: bytes) -> None:
    """No exception; what goes on is one message that every reader reads the same, and names nobody."""
    chance = choice_of(data)
    direction = chance.choice(list(Direction))
    frame = chance.choice((FRAME, *FRAMES))
    redact = chance.choice(((), ("addresses", "phones", "links")))
    passed = through(as_received(data), direction, frame, footer=chance.random() < 0.5, redact=redact,
                     links=chance.choice(("unlink", "keep")))
    if passed.decision.error is not None:
        raise passed.decision.error
    if passed.outgoing is None:
        return
    well_formed(passed.outgoing.raw, "passage")
    hold(not find_leaks(Message.parse(passed.outgoing.raw), [secret for secret, _ in frame.secrets()]), "passage: a leak")
    narrow = to_seven_bit(passed.outgoing).raw
    hold(narrow.isascii(), "seven bits: not ASCII")
    well_formed(narrow, "seven bits")


def encodings(data: bytes) -> None:
    """Decoding takes anything; what is encoded decodes to what it was."""
    for encoding in ENCODINGS:
        decode_transfer(data, encoding)
    for encoding in ("base64", "quoted-printable"):
        body = as_received(data) if encoding == "quoted-printable" else data
        encoded = encode_transfer(body, encoding)
        hold(encoded.isascii() and encoded.count(b"\r") == encoded.count(b"\n") == encoded.count(b"\r\n"),
             f"{encoding}: not lines of ASCII")
        hold(decode_transfer(encoded, encoding) == body, f"{encoding}: not what it was")
    text = text_of(data)
    name, _, rest = data.partition(b" ")
    bytes_to_text(rest, name.decode("latin-1"))
    unescape(text)
    decode_words(text)
    words = encode_words(text)
    hold(words.isascii(), "encoded words: not ASCII")
    kind, parameters = parse_parameters(text)
    written = write_parameters("text/plain", {"name": text, "x": kind})
    hold(written.isascii() and "\n" not in written.replace("\r\n ", ""), "parameters: a line end")
    again = parse_parameters(written.replace("\r\n", ""))[1]
    hold(again.get("name", "") == "".join(filter(str.isprintable, text)), "parameters: another value")
    hold(len(parameters) <= len(text), "parameters: more than there were")


def texts(data: bytes) -> None:
    """A text that was redacted names nobody, and redacting it again changes nothing."""
    text = text_of(data)
    redactor = redactor_for(FRAME)
    for is_html in (False, True):
        seen = view(text, is_html=is_html)
        hold((seen.under or seen).source == text, "view: another source")
    once = redactor.text(text)
    hold(redactor.text(once) == once, "redaction: not stable")
    for after in (once, redactor.html(text)):
        hold(after == text or any(one in after for one in _PUT), "redaction: changed, and nothing was put in")
    redactor.file_name(text)
    names_secret(text, SECRETS)
    redactor.html(text, ("addresses", "phones", "links"))


_PUT = (INSTEAD, *(str(FRAME.alias(side)) for side in Side))


def html(data: bytes) -> None:
    """Cleaned HTML is what cleaning leaves alone (policy/html)."""
    text, settings = text_of(data), HtmlSettings(links=choice_of(data).choice(("unlink", "keep")))
    cleaned = clean(text, settings).html
    hold(clean(cleaned, settings).html == cleaned, "html: not stable")
    hold("<script" not in cleaned.lower(), "html: a script")
    filter_style(text)


def files(data: bytes) -> None:
    """No exception, and a file without its metadata is as acceptable as it was with them."""
    kind, _, content = data.partition(b"\n")
    name = f"factura.{kind.decode('latin-1')}"
    found = examine(name, "application/octet-stream", content)
    if found.problem is None and found.scrubbed is not None:
        again = examine(name, "application/octet-stream", found.scrubbed, scrub=False)
        hold(again.problem is None, f"files: scrubbed it is refused: {again.problem and again.problem.reason}")


def dsn(data: bytes) -> None:
    try:
        found = Message.parse(as_received(data))
    except MessageError:
        return
    hold(str(understand(found)) != "", "dsn: nothing said")


def paths(data: bytes) -> None:
    """A command's argument becomes an address that reads the same when it is written again, or AddressError."""
    text = data.decode("utf-8", "replace")
    for keyword in ("FROM:", "TO:"):
        found = parse_path(text, keyword)
        for value in [value for _, value in found[1]] if found else []:
            size_of(value)
        _address(found[0] if found else text)
    if box := single_mailbox(text):
        hold(Address.parse(str(box)) == box, "mailbox: another address")


def _address(text: str) -> None:
    try:
        address = Address.parse(text)
    except AddressError as error:
        hold(not text or len(text) < 12 or text not in str(error), "address: told in the error")
        return
    hold(Address.parse(str(address)) == address, "address: another one when written again")
    hold(not any(char in str(address) for char in "\r\n\0"), "address: a control character")
    open_alias(FRAME.ring, address)


def incoming(data: bytes) -> None:
    """However the octets of DATA come, the message, the answer and what is behind it are the same; and as RFC 5321 says."""
    end = (b"\r\n" + data).find(b"\r\n.\r\n")
    if end < 0:
        data += b"\r\n.\r\n"
        end = (b"\r\n" + data).find(b"\r\n.\r\n")
    content, behind = data[:end], data[end + 3 :]
    crlf = content.count(b"\r\n")
    bare = content.count(b"\r") != crlf or content.count(b"\n") != crlf or b"\0" in content
    lines = content.split(b"\r\n")
    expected = None if bare else b"\r\n".join(line.removeprefix(b".") for line in lines)
    chance = choice_of(data)
    for most in (len(data), 1, chance.randint(1, 9), chance.randint(1, 200)):
        receiver, got, at = Incoming(10 * len(data), lambda _: True), None, 0
        while got is None and at < len(data):
            size = chance.randint(1, most)
            got, at = receiver.feed(data[at : at + size]), at + size
        hold(got is not None and got + data[at:] == behind, "data: another end")
        if expected is None:
            hold(receiver.refusal == BARE, f"data: a bare CR, LF or NUL answered {receiver.refusal}")
        else:
            hold(receiver.refusal is None and receiver.data() == expected, "data: another message")


# --- seeds ---------------------------------------------------------------------------------------------------------


@cache
def letters() -> tuple[bytes, ...]:
    """Golden cases, clients' shapes, and messages with planted addresses."""
    found = [_filled(path.read_bytes()) for path in sorted(GOLDEN.glob("**/*.in.eml"))]
    found += [data for _, data in messages(80, 4, SELLER, str(FRAME.alias(Side.BUYER)))]
    found += [data for _, data in messages(80, 5, BUYER, str(FRAME.alias(Side.SELLER)))]
    found += [planted(4, number).data for number in range(150)]
    return tuple(as_received(data) for data in found if len(data) <= MAX_SEED_BYTES)


def _filled(data: bytes) -> bytes:
    words = {b"seller": SELLER, b"buyer": BUYER, b"seller-alias": str(FRAME.alias(Side.SELLER)),
             b"buyer-alias": str(FRAME.alias(Side.BUYER)), b"known": KNOWN.decode()}
    for name, value in words.items():
        data = data.replace(b"{" + name + b"}", value.encode())
    return data


@cache
def notices() -> tuple[bytes, ...]:
    return tuple(path.read_bytes() for path in sorted((GOLDEN / "dsn").glob("*.eml")) if path.stat().st_size < MAX_SEED_BYTES)


@cache
def pages() -> tuple[bytes, ...]:
    return tuple(path.read_bytes() for path in sorted((GOLDEN / "html").glob("*.html")))


@cache
def headers() -> tuple[bytes, ...]:
    """Single field values and lines of text."""
    found = {line.partition(b": ")[2] for data in letters() for line in data.partition(b"\r\n\r\n")[0].split(b"\r\n")}
    texts = {line for data in letters() for line in data.partition(b"\r\n\r\n")[2].split(b"\r\n")[:40]}
    return (*sorted(found)[::7], *sorted(texts)[::11], SELLER.encode(), b"=?utf-8?B?w7E=?=", b"a/b; name*0*=utf-8''x; name*1=y")


@cache
def commands() -> tuple[bytes, ...]:
    said = [line[3:] for path in sorted(DIALOGS.glob("*.txt")) for line in path.read_bytes().splitlines() if line[:2] == b"C:"]
    return (*(line.partition(b" ")[2] for line in said), f"FROM:<{SELLER}> SIZE=100 BODY=8BITMIME".encode(),
            b'TO:<"a b\\"c"@[192.0.2.1]>', "TO:<josé@señal.example> SMTPUTF8".encode(), b"FROM:<@a,@b:c@d.example>",
            f"Sol <{SELLER}>".encode(), b'"a, b" <x@y.example> (comment)', f"TO:<{FRAME.alias(Side.BUYER)}>".encode())


@cache
def attached() -> tuple[bytes, ...]:
    """`extension LF content`, each small."""
    made = [("pdf", pdf()), ("pdf", filemaker.form()), ("pdf", filemaker.updated_pdf()), ("docx", filemaker.docx()),
            ("docx", filemaker.authored_docx()), ("doc", doc()), ("jpg", jpeg()), ("png", png()), ("gif", gif()), ("tif", tiff()),
            ("tif", filemaker.big_endian_tiff()), ("bmp", filemaker.bmp()), ("txt", b"hola\r\n"),
            ("docx", archive({"[Content_Types].xml": filemaker.content_types()})), ("pdf", filemaker.javascript_escaped())]
    return tuple(extension.encode() + b"\n" + content for extension, content in made)


@cache
def streams() -> tuple[bytes, ...]:
    """What follows DATA, with its end."""
    plain = (b"Subject: x\r\n\r\nhola\r\n..\r\n.x\r\nadi\xc3\xb3s", b"", b".", b"a\r\n\r\n")
    ends = (b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\n.\r", b"\r.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\r\n.\0\r\n", b"\r\n\0.\r\n")
    return tuple(text + b"\r\n.\r\nNOOP\r\n" for text in plain) + tuple(plain[0] + end + b"y\r\n.\r\nQUIT\r\n" for end in ends)


_MIME = (b"\r\n", b"\r\n ", b"\r\n\r\n", b"--", b";", b'"', b"=?utf-8?Q?", b"?=", b"=?utf-8?B?w7E=?=", b"Content-Type: ", b"\r\nFrom: ",
         b"Content-Transfer-Encoding: base64\r\n", b"Content-Transfer-Encoding: quoted-printable\r\n", b"multipart/mixed; boundary=b",
         b"\r\n--b\r\n", b"\r\n--b--\r\n", b"text/html", b"message/rfc822", b"filename*0*=utf-8''%0d%0a", b"charset=utf-16",
         b"charset=iso-2022-jp", b"charset=utf-7", b"=0D=0A", b"=0A.=0A", b"=\r\n", b"\x1b$B", b"\xff", b"\xc3", SELLER.encode(),
         BUYER.encode(), b"%40", b"&#64;", b"(", b")", b"<", b">", b"begin 644 a\r\n", b"(at)", b"-----BEGIN PGP MESSAGE-----")
_HTML = (b"<", b">", b"</", b"<!--", b"-->", b"<style>", b"<svg>", b"<math>", b"<template>", b"<noscript>", b"<table>", b"<p ", b'="',
         b"'", b"&#x", b"&lt;", b"&Tab;", b"javascript:", b" onerror=", b"<![CDATA[", b"]]>", b"<a href=", b"url(", b"expression(",
         b"\\", b"/*", b"*/", b"@import", b"{", b"}", b"\0", b"<plaintext>", b"<select>", b"<title>", "\ufdd0".encode(), b"\xed\xa0\x80")
_SMTP = (b"<", b">", b"@", b'"', b"\\", b",", b":", b" ", b"[IPv6:::1]", b"SIZE=", b"SMTPUTF8", b"BODY=", b"\xc3\xb1", b"xn--", b"..",
         b"\x00", b"\r", b"\n", b"+", b"(", b")", b"\xe2\x80\xae", b"FROM:", b"TO:")
_ENDS = (b"\r", b"\n", b".", b"\r\n", b"\0", b"\r\n.", b".\r\n", b"\r\n.\r\n", b"\n.\n", b"\r\n..\r\n")
_FILES = (b"\0", b"\xff\xff\xff\xff", b"PK\x03\x04", b"PK\x05\x06", b"%PDF-", b"endobj", b"stream\r\n", b"<<", b">>", b"obj", b"%%EOF",
          b"\xff\xd8\xff", b"\xff\xe1", b"IHDR", b"IEND", b"<html>", b"<script>", b"/JS", b"/OpenAction", b"II*\0", b"MM\0*", b"<?xml")

TARGETS = {target.name: target for target in (
    Target("message", message, letters, 8, _MIME), Target("passage", passage, letters, 8, _MIME),
    Target("encodings", encodings, headers, 22, _MIME), Target("texts", texts, headers, 14, _MIME),
    Target("html", html, pages, 6, _HTML), Target("files", files, attached, 4, _FILES), Target("dsn", dsn, notices, 6, _MIME),
    Target("paths", paths, commands, 20, _SMTP), Target("data", incoming, streams, 12, _ENDS))}
