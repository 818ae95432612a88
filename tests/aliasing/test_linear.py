"""No input makes the relay stall: shapes that invite backtracking or quadratic work, each within a bound of CPU time.

A mail of 130 octets once killed another relay's worker 1,200 times a day; every pattern on a message's way is here.
"""

from __future__ import annotations

import random
import time
from contextlib import suppress

import pytest
from passing import FRAME, through
from support import SELLER

from aliasing.correspondence import Direction, Side
from aliasing.encodings import decode_words, list_parameters
from aliasing.message import Message, MessageError
from aliasing.token import ACTION_CHARS
from relay.dsn.receive import understand
from relay.passage import markers

HEAD = f"From: {SELLER}\r\nTo: {FRAME.alias(Side.BUYER)}\r\nSubject: x\r\nMIME-Version: 1.0\r\n"
LIMIT_S = 2.0
"""Of CPU time; each takes a tenth to a half of it on the machine this was written on."""
SIZE = 150_000
BEGIN, END = markers()[0]

TEXTS = {
    "near misses": "sol@tienda.", "local part alone": "sol ", "percent": "%73%6", "percent of percent": "%25", "entities": "&#115;",
    "unended entities": "&#115", "huge entity": "&#" + "1" * 5000, "less than": "<", "opened tags": '<a "', "quotes": "<'\"",
    "attributes": "<a b=\"c' d='e\" ", "comments": "<!-- ", "full width": "ｓｏｌ＠", "invisible": "s\u200b", "plus": "sol+",
    "at words": "sol arroba ", "dots": "sol@tienda . ", "spaces": "sol @ ", "markers": "> -------- Tradepost: ", "begin lines": "begin 644 a\r\n",
    "armour": "-----BEGIN PGP ", "begin markers": "-------- Tradepost: sobre este mensaje -------- ", "digits": "+34 600 ", "base64": "c29sQHRpZW5kYS5leGFtcGxl", "urls": "http://a",
    "longer addresses": f"mira{SELLER} ", "the address": f"{SELLER} ", "letters apart": " ".join(SELLER) + " ", "comments (": "sol(",
    "dots before": "." * 400 + f"{SELLER} ", "plus tails": "example tienda sol+" + "a" * 63, "gaps": "example sol          @          tienda          ",
}
MEGABYTE = {
    # what shows only the square of itself needs room for it, in one text or attribute
    "inverted question marks": "<script></script><p>" + "\xbf" * 500_000, "one attribute": '<p onclick="" title="' + "\xbf" * 500_000 + '">',
    "ampersands": "<script></script>" + "a&b " * 250_000, "ligatures": "\ufdfa" * 150_000,
    "unended footers": f"<p>{BEGIN}\r\n" * 18_000,
    "footers among marks": f"<p>{BEGIN}<br>x<br>{END}</p>" * 60 + "<b>hola</b> &eacute;\r\n" * 40_000,
}
REPORTS = {
    "actions": "Action: failed\r\n", "names": "a" * 50 + " " * 8, "codes": "550 5.1.", "words": "status  ", "pairs": "550 (#5", "digits": "5.",
    "folds": "Final-Recipient: x\r\n \t\r\n", "tags": "<a", "lines without a colon": "error\r\n",
}


def text_of(unit: str, subtype: str) -> bytes:
    body = "\r\n".join([unit * (900 // max(1, len(unit.encode())) or 1)] * (SIZE // 900))
    return f"{HEAD}Content-Type: text/{subtype}; charset=utf-8\r\n\r\n{body}\r\n".encode()


def spent(data: bytes) -> float:
    begun = time.process_time()
    through(data, Direction.TO_BUYER, footer=True, redact=("addresses", "phones", "links"))
    return time.process_time() - begun


@pytest.mark.parametrize("name", TEXTS)
def test_a_long_text(name: str) -> None:
    assert spent(text_of(TEXTS[name], "plain")) < LIMIT_S


@pytest.mark.parametrize("name", TEXTS)
def test_a_long_html(name: str) -> None:
    assert spent(text_of(TEXTS[name], "html")) < LIMIT_S


@pytest.mark.parametrize("name", MEGABYTE)
def test_a_megabyte_of_html(name: str) -> None:
    lines = "\r\n".join(MEGABYTE[name][at : at + 900] for at in range(0, len(MEGABYTE[name]), 900))
    assert spent(f"{HEAD}Content-Type: text/html; charset=utf-8\r\n\r\n{lines}\r\n".encode()) < LIMIT_S


def test_many_different_links_that_could_be_ours() -> None:
    chosen = random.Random(1)
    links = ["".join(chosen.choices("0123456789abcdefghjkmnpqrstvwxyz", k=ACTION_CHARS)) for _ in range(SIZE // ACTION_CHARS)]
    assert spent(text_of("hola ", "plain") + "\r\n".join(links).encode()) < LIMIT_S


def test_text_in_no_charset_is_read_in_all_of_them() -> None:
    chosen = random.Random(1)
    junk = b"\r\n".join(bytes(chosen.choices(range(0x80, 0x100), k=900)) for _ in range(SIZE // 900))
    assert spent(f"{HEAD}Content-Type: text/plain; charset=x-unknown\r\n\r\n".encode() + junk) < LIMIT_S


@pytest.mark.parametrize("subtype", ["message/delivery-status", "text/plain", "text/html", "message/rfc822"])
def test_what_comes_back_to_a_return_path(subtype: str) -> None:
    for unit in REPORTS.values():
        head = f"From: MAILER-DAEMON@a.example\r\nSubject: Undelivered\r\nContent-Type: {subtype}\r\n\r\n"
        message = Message.parse((head + unit * (SIZE // len(unit))).encode())
        begun = time.process_time()
        understand(message)
        assert time.process_time() - begun < LIMIT_S


@pytest.mark.parametrize("writer", [
    '"' + '\\"' * 16_000, '"' + '\\"' * 12_000 + f"<{SELLER}>", '"' + "\\" * 40_000, '"a' * 20_000, "<a" * 20_000, "(" * 40_000 + SELLER, "a@" * 20_000,
], ids=["escapes", "escapes and an address", "backslashes", "quotes", "brackets", "comments", "signs"])
def test_a_long_from(writer: str) -> None:
    assert spent(HEAD.replace(SELLER, writer).encode() + b"\r\nx\r\n") < LIMIT_S


@pytest.mark.parametrize("header", [
    "Content-Type: a/b" + ';a="' * 20_000, "Content-Type: a/b" + "(" * 80_000, "Content-Type: a/b; x*0*=''" + "; x*1=a" * 10_000,
    "Subject: " + "=?utf-8?Q?" * 9_000, "Subject: " + "=?" * 40_000, "Subject: " + "=?a?b?YQ==?= " * 6_000,
    "Content-Type: text/plain" + "; name=a" * 11_000, "Content-Disposition: inline" + "; filename=a.txt" * 5_500,
    "To: " + "<" * 80_000, "To: " + "a@b.example, " * 6_000, "References: " + "<a@b> " * 14_000, "In-Reply-To: " + "<" * 80_000,
    "Message-ID: " + "<>" * 40_000, "Date: " + " " * 80_000 + "x", "X-Tradepost-Trace: " + "0" * 80_000,
    "Subject: x" + "\r\n y" * 20_000, "Subject: " + '"' * 80_000,
    "Date: " + "1:" * 40_000, "Date: " + "(a " * 30_000, "Content-Type: text/plain" + "; name=a.txt" * 7_000,
    "Content-Disposition: attachment" + "".join(f"; filename*{at}*=a" for at in range(4_000)),
], ids=lambda header: header[:24])
def test_a_header_as_long_as_it_may_be(header: str) -> None:
    assert spent(f"{HEAD}{header}\r\n\r\nx\r\n".encode()) < LIMIT_S


@pytest.mark.parametrize("body", [
    b"--b" * 3_000_000, b"--b\r\n" * 2_000_000, b"--b--\r\n" * 1_400_000, b"\r\n" * 5_000_000, b"--bb\r\n" * 1_500_000, b"--b\r\n\r\n" + b"x" * 10_000_000,
], ids=lambda body: repr(body[:8]))
def test_ten_megabytes_of_delimiters(body: bytes) -> None:
    data = HEAD.encode() + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + body
    begun = time.process_time()
    with suppress(MessageError):
        Message.parse(data)
    assert time.process_time() - begun < 1.5


def test_nested_multiparts_are_split_once_a_level() -> None:
    opening = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (level, level) for level in range(19))
    begun = time.process_time()
    Message.parse(HEAD.encode() + opening + b"\r\n" + b"x\r\n" * 3_000_000)
    assert time.process_time() - begun < 1.5


def test_codecs_of_headers_are_linear() -> None:
    begun = time.process_time()
    for text in ("=?utf-8?B?" * 50_000, "=?utf-8?Q?a?= " * 50_000, "?==?" * 100_000):
        decode_words(text)
    for text in ('a/b; x="' + "\\" * 500_000, "a/b" + ";" * 500_000, "a/b;" + "x" * 500_000):
        list_parameters(text)
    assert time.process_time() - begun < LIMIT_S
