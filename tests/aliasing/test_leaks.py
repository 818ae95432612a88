from __future__ import annotations

import base64
import quopri
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import BUYER, SELLER, crlf, message

from aliasing.address import Address
from aliasing.leaks import Leak, find_leaks, names_secret
from aliasing.message import Message, MessageError

GOLDEN = Path(__file__).parent.parent / "golden" / "leaks"
SECRETS = [Address.parse(SELLER), Address.parse(BUYER)]
ALIAS = "x@relay.example"


def cases(name: str) -> list[Any]:
    found: list[Any] = tomllib.loads((GOLDEN / f"{name}.toml").read_text())["case"]
    return found


def why(value: dict[str, Any] | str) -> str:
    return value if isinstance(value, str) else str(value["why"])


def secrets(case: dict[str, Any]) -> list[Address]:
    return [Address.parse(case["secret"])] if "secret" in case else SECRETS


FOUND, NOT_FOUND = cases("found"), cases("not-found")


# Containers: each puts a text into a message in its own way


def typed(data: bytes, type_: str = "text/plain; charset=utf-8", encoding: str = "8bit") -> bytes:
    header = f"From: {ALIAS}\r\nContent-Type: {type_}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    return header.encode() + data


def parts(*inner: bytes, around: bytes = b"") -> bytes:
    return (b"From: x@relay.example\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" + around + b"\r\n--b\r\n"
            + b"\r\n--b\r\n".join(inner) + b"\r\n--b--\r\n" + around)


def qp(text: str) -> bytes:
    encoded = quopri.encodestring(text.encode().replace(b"\r\n", b"\n"), quotetabs=True)
    return encoded.replace(b"\n", b"\r\n")


def words(text: str, kind: str, charset: str) -> str:
    """The text as encoded words that are cut anywhere, within characters too."""
    data = text.encode(charset, "replace")
    chunks = [data[at : at + 9] for at in range(0, len(data), 9)]
    if kind == "B":
        payloads = [base64.b64encode(chunk).decode() for chunk in chunks]
    else:
        payloads = ["".join(f"={byte:02X}" for byte in chunk) for chunk in chunks]
    return "\r\n ".join(f"=?{charset}?{kind}?{payload}?=" for payload in payloads)


def parameter(text: str) -> str:
    data = text.encode()
    pieces = [data[at : at + 11] for at in range(0, len(data), 11)]
    return ";\r\n ".join(f"title*{index}*={chr(39) * 2 if not index else ''}" + "".join(f"%{byte:02x}" for byte in piece)
                         for index, piece in enumerate(pieces))


Container = Callable[[str], bytes]
CONTAINERS: dict[str, tuple[Container, str]] = {
    "8bit": (lambda text: typed(text.encode()), "part 1"),
    "html": (lambda text: typed(text.encode(), "text/html; charset=utf-8"), "part 1"),
    "quoted-printable": (lambda text: typed(qp(text), encoding="quoted-printable"), "part 1"),
    "base64": (lambda text: typed(base64.encodebytes(text.encode()).replace(b"\n", b"\r\n"), encoding="Base64"), "part 1"),
    "unknown encoding and charset": (lambda text: typed(text.encode(), "text/plain; charset=x-who", "8-bit"), "part 1"),
    "unknown charset, UTF-16": (lambda text: typed(base64.b64encode(text.encode("utf-16-be")), "text/plain; charset=x-who", "base64"), "part 1"),
    "utf-16 without BOM": (lambda text: typed(base64.b64encode(text.encode("utf-16-be")), "text/plain; charset=utf-16", "base64"), "part 1"),
    "utf-16 undeclared": (lambda text: typed(base64.b64encode(text.encode("utf-16")), "text/plain", "base64"), "part 1"),
    "utf-7": (lambda text: typed(text.encode("utf-7"), "text/plain; charset=utf-7"), "part 1"),
    "wrong charset": (lambda text: typed(text.encode(), "text/plain; charset=iso-8859-1"), "part 1"),
    "text in octets": (lambda text: typed(base64.b64encode(text.encode()), "application/octet-stream", "base64"), "part 1"),
    "message/rfc822": (lambda text: typed(typed(qp(text), encoding="quoted-printable"), "message/rfc822"), "part 1"),
    "second part": (lambda text: parts(b"\r\nHola", b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + text.encode()), "part 2"),
    "preamble": (lambda text: parts(b"\r\nHola", around=text.encode()), "part 1, around its parts"),
    "subject, B": (lambda text: typed(b"Hola").replace(b"From", f"Subject: {words(text, 'B', 'utf-8')}\r\nFrom".encode(), 1), "Subject"),
    "subject, Q": (lambda text: typed(b"Hola").replace(b"From", f"Subject: {words(text, 'q', 'utf-8')}\r\nFrom".encode(), 1), "Subject"),
    "subject, UTF-16": (lambda text: typed(b"Hola").replace(b"From", f"Subject: {words(text, 'B', 'utf-16-be')}\r\nFrom".encode(), 1), "Subject"),
    "unknown charset in words": (lambda text: typed(b"Hola").replace(b"From", f"X-A: {words(text, 'B', 'utf-8')}\r\nFrom".replace("utf-8", "x-who").encode(), 1), "X-A"),
    "RFC 2231": (lambda text: parts(f"Content-Disposition: attachment;\r\n {parameter(text)}\r\n\r\nHola".encode()), "part 1, Content-Disposition"),
}


# some codes stand only in bodies that have no other
RAW = ("8bit", "html", "second part", "unknown encoding and charset")


@pytest.mark.parametrize(("case", "container"), [
    (case, container) for case in FOUND for container in CONTAINERS if container in RAW or not case.get("raw")], ids=why)
def test_every_spelling_is_found_in_every_container(case: dict[str, Any], container: str) -> None:
    wrap, place = CONTAINERS[container]
    raw = wrap(case["text"])
    assert Leak(place) in find_leaks(Message.parse(raw), secrets(case))


# in one of the charsets that are guessed a letter may be a sign
GUESSED = [container for container in CONTAINERS if any(word in container for word in ("unknown", "wrong", "undeclared"))]


@pytest.mark.parametrize(("case", "container"), [
    (case, container) for case in NOT_FOUND for container in CONTAINERS
    if container not in GUESSED or not case.get("as_declared")], ids=why)
def test_what_only_comes_near_is_let_through(case: dict[str, Any], container: str) -> None:
    assert find_leaks(Message.parse(CONTAINERS[container][0](case["text"])), secrets(case)) == []


@pytest.mark.parametrize("case", FOUND, ids=why)
def test_every_spelling_is_found_in_a_plain_text(case: dict[str, Any]) -> None:
    if not case.get("raw"):
        assert names_secret(case["text"], secrets(case))


@pytest.mark.parametrize("case", NOT_FOUND, ids=why)
def test_a_plain_text_that_only_comes_near(case: dict[str, Any]) -> None:
    assert not names_secret(case["text"], secrets(case))


CHARSETS = ["iso-2022-jp", "shift_jis", "euc-jp", "gb18030", "big5", "windows-1252", "utf-32"]


@pytest.mark.parametrize(("charset", "named"), [
    *((charset, True) for charset in [*CHARSETS, "cp037", "hz"]), *((charset, False) for charset in CHARSETS)])
def test_charsets(charset: str, named: bool) -> None:
    wide = charset not in ("windows-1252", "cp037", "utf-32")
    text = "正 ｓｏｌ＠tienda.example 文" if wide else "¿sol@tienda.example?"
    raw = typed(base64.b64encode(text.encode(charset, "replace")), f"text/plain; charset={charset}" if named else "text/plain", "base64")
    assert find_leaks(Message.parse(raw), SECRETS) == [Leak("part 1")]


def header(field: str) -> bytes:
    return crlf(field).replace(b"\xa0", b"\xe9") + typed(b"Hola")


@pytest.mark.parametrize(("field", "place"), [
    ("X-Old: <sol@tienda.example>\n", "X-Old"),
    ("References: <1@x.example> <sol@tienda.example>\n", "References"),
    ("Subject: sol@tienda.\n example\n", "Subject"),
    ("Subject: =?utf-8?q?sol?= =?utf-8?q?=40tienda?=\n =?us-ascii*es?b?LmV4YW1wbGU=?=\n", "Subject"),
    ("Subject: sol=?utf-8?q?=40?=tienda.example\n", "Subject"),
    ('Subject: "=?utf-8?q?sol=40tienda=2Eexample?="\n', "Subject"),
    ("Subject: =?x-who?b?c29sQHRpZW5kYS5leGFtcGxl?=\n", "Subject"),
    ("Subject: =?utf-8?b?c29sQHRpZW5kYS5leGFtcGxl\n", "Subject"),
    ("X-A: a%3Dsol%40tienda.example\n", "X-A"),
    ("X-A: %73ol%40tienda.example\n", "X-A"),
    ("X-A: ｓｏｌ@tienda.example\n", "X-A"),
    ("X-A: c29sQHRpZW5kYS5leGFtcGxl\n", "X-A"),
    ("X-A: s&#111;l@tienda.example\n", "X-A"),
    ("X-A: s<b>ol@tienda.example\n", "X-A"),
    ("X-A: \u00a0sol@tienda.example\n", "X-A"),
    ("Content-Type: text/plain; title*1=tienda.example; title*0=\"sol@\"\n", "Content-Type"),
    ("Content-Type: text/plain; title*=utf-16be''%00s%00o%00l%00@%00t%00i%00e%00n%00d%00a%00.%00e%00x%00a%00m%00p%00l%00e\n", "Content-Type"),
    ('Content-Type: text/plain; title*0="it\'s so"; title*1=" sol@tien"; title*2=da.example\n', "Content-Type"),
    ("sol@tienda.example: x\n", "a header field"),
    ("someone@else.example: sol@tienda.example\n", "a header field"),
    ("sol(at)tienda.example: x\n", "a header field"),
])
def test_header_fields(field: str, place: str) -> None:
    assert find_leaks(Message.parse(header(field)), SECRETS) == [Leak(place)]


@pytest.mark.parametrize("field", ["Subject: mirasol@tienda.example\n", "Sol: tienda.example\n", "X: sol\nY: @tienda.example\n",
                                   "Subject: =?utf-8*es?q?=C3=A9sol=40tienda=2Eexample?=\n", "Subject: =?utf-8?q?mira?= =?utf-8?q?sol=40tienda=2Eexample?=\n"])
def test_header_fields_that_only_come_near(field: str) -> None:
    assert find_leaks(Message.parse(header(field)), SECRETS) == []


@pytest.mark.parametrize("name", ["sol@tienda.example.pdf", "sol@tienda.example.zip", "sol@tienda.example"])
def test_file_names_have_extensions_that_may_be_domains_too(name: str) -> None:
    raw = parts(f'Content-Disposition: attachment; filename="{name}"\r\n\r\nHola'.encode())
    assert Leak("part 1, file name") in find_leaks(Message.parse(raw), SECRETS)


@pytest.mark.parametrize("data", ["sol@tienda.example".encode(codec) for codec in ("ascii", "utf-16-le", "utf-16-be")]
                         + [b"\0" + "メールはSOL@tienda.exampleまで".encode("utf-16-le")])
def test_strings_in_binary_files(data: bytes) -> None:
    noise = bytes(range(256)) * 40
    raw = parts(b"Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(noise + b"\0\0" + data + b"\0\0" + noise).replace(b"\n", b"\r\n"))
    assert find_leaks(Message.parse(raw), SECRETS) == [Leak("part 1")]


@pytest.mark.parametrize("body", [b"c29sQHRpZW5k!YS5leGFtcGxl", b"c29sQHRpZW5k!!YS5leG\r\nFtcGxl", b"SG9sYSA=\r\nc29sQHRpZW5kYS5leGFtcGxl"],
                         ids=["a stray character", "stray characters", "on after a padding"])
def test_base64_that_only_a_lenient_reader_reads(body: bytes) -> None:
    assert find_leaks(Message.parse(typed(body, encoding="base64")), SECRETS) == [Leak("part 1")]


def test_a_body_is_searched_as_it_stands_whatever_its_encoding_claims() -> None:
    assert find_leaks(Message.parse(typed(b"sol@tienda.example", encoding="base64")), SECRETS) == [Leak("part 1")]


def test_both_of_two_declared_encodings_are_tried() -> None:
    raw = typed(b"c29sQHRp\r\nZW5kYS5leGFtcGxl", encoding="7bit\r\nContent-Transfer-Encoding: base64")
    assert find_leaks(Message.parse(raw), SECRETS) == [Leak("part 1")]


def test_a_delivery_status_has_fields_of_its_own() -> None:
    raw = typed(b"Reporting-MTA: dns; x.example\r\n\r\nDiagnostic-Code: smtp; 550 =?utf-8?q?s=6Fl?=@tienda.example\r\n", "message/delivery-status")
    assert find_leaks(Message.parse(raw), [Address.parse("sol@tienda.example")]) == [Leak("part 1")]


def test_base64_lines_inside_a_text_go_on_over_the_line_end() -> None:
    lines = base64.encodebytes(b"Hola y gracias por escribir a nuestra casa de Sevilla; sol@tienda.example").replace(b"\n", b"\r\n")
    assert b"c29sQ" not in lines.partition(b"\r\n")[2]
    assert find_leaks(Message.parse(typed(b"Adjunto:\r\n" + lines + b"\r\n")), SECRETS) == [Leak("part 1")]


def test_what_follows_the_last_part_is_searched() -> None:
    assert find_leaks(Message.parse(parts(b"\r\nHola") + b"sol@tienda.example"), SECRETS) == [Leak("part 1, around its parts")]


def test_texts_of_files_are_reported_by_their_place() -> None:
    texts = {"part 2 (a.pdf)": "de sol @ tienda.example", "part 3 (b.pdf)": "mirasol@tienda.example"}
    assert find_leaks(Message.parse(typed(b"Hola")), SECRETS, texts) == [Leak("part 2 (a.pdf)")]


def test_without_secrets_nothing_is_found() -> None:
    assert find_leaks(Message.parse(typed(b"sol@tienda.example")), []) == []
    assert not names_secret("sol@tienda.example", iter(()))


SPELLINGS = [case for case in FOUND if not case.get("raw")]
FREE = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@given(st.sampled_from(SPELLINGS), FREE, FREE, st.sampled_from(sorted(CONTAINERS)))
@settings(max_examples=300, deadline=None)
def test_a_spelling_is_found_wherever_it_is_planted(case: dict[str, Any], before: str, after: str, container: str) -> None:
    # markup and codes that random text opens could swallow what follows; a line apart it stands by itself
    # (and much of what is below a space makes octets that are no text)
    before, after = (text.translate(dict.fromkeys([*range(32), *map(ord, "<&%=\\(")])) for text in (before, after))
    raw = CONTAINERS[container][0](f"{before}\r\n\r\n{case['text']}\r\n\r\n{after}")
    try:
        planted = Message.parse(raw)
    except MessageError:
        return
    assert find_leaks(planted, secrets(case))


@given(FREE, st.sampled_from(sorted(CONTAINERS)))
@settings(max_examples=200, deadline=None)
def test_random_text_names_nobody(text: str, container: str) -> None:
    try:
        parsed = Message.parse(CONTAINERS[container][0](text))
    except MessageError:
        return
    assert find_leaks(parsed, SECRETS) == []


@given(st.lists(st.sampled_from([b"sol", b"@", b"tienda", b".", b"example", b"<", b">", b"=?utf-8?q?", b"?=", b"&#", b"&", b"64;", b"%", b"40",
                                 b"\r\n", b" ", b"\xff", b"\x00", b"\x1b$B", b"+AEA-", b"=", b"*0*=", b"''", b"\x1f", b"\"", b"filename", b";", b"c29s"]), max_size=40),
       st.sampled_from(["utf-8", "utf-16", "iso-2022-jp", "punycode", "idna", "unicode_escape", "hex", "\x00", "x" * 300, "utf-7", "é"]))
@settings(max_examples=400, deadline=None)
def test_no_input_raises(pieces: list[bytes], charset: str) -> None:
    data = b"".join(pieces)
    for type_ in (f"text/html; charset={charset}", "message/rfc822", "application/x"):
        raw = typed(data, type_).replace(b"From", b"Subject: " + data.replace(b"\r\n", b"") + b"\r\nFrom", 1)
        try:
            parsed = Message.parse(raw)
        except MessageError:
            continue
        find_leaks(parsed, SECRETS, {"x": data.decode("utf-8", "surrogateescape")})


HOSTILE = ["<", "&", "%", "<b>", '<b a="">', '<a "', "<a =", "<!--", "-->", "&#64;", "%41x", "A", "QUJD" * 6 + " ", "(", "=41", "sol+", "sol@", "sol at ",
           "s o l @ ", "sol        >>>>>>> ", "sol@tienda.", "ｓｏｌ＠", "\u200b", "sol...", "=?utf-8?q?", "xsol@tienda.example.", "&#" + "0" * 5000]


@pytest.mark.parametrize("piece", HOSTILE, ids=[piece[:12] for piece in HOSTILE])
def test_hostile_text_takes_linear_time(piece: str) -> None:
    def seconds(size: int) -> float:
        text = (piece * (size // len(piece) + 1))[:size] + " sol tienda example"
        raw = Message.parse(typed(text.encode(), "text/html; charset=utf-8"))
        best = 9.0
        for _ in range(3):
            start = time.process_time()
            find_leaks(raw, SECRETS)
            best = min(best, time.process_time() - start)
        return best

    small, large = seconds(50_000), seconds(400_000)
    assert large < 0.02 + 20 * small, "eight times the text took over twenty times as long"
    assert large < 0.5


def test_a_small_message_costs_little() -> None:
    raw = Message.parse(message(ALIAS, ALIAS, body="El pedido llego ayer; gracias por todo.\n" * 100))
    find_leaks(raw, SECRETS)
    start = time.process_time()
    for _ in range(100):
        find_leaks(raw, SECRETS)
    assert time.process_time() - start < 0.1
