"""DKIM signatures: canonical forms against the RFCs and dkimpy, whole signatures against dkimpy verifying."""

from __future__ import annotations

import base64
import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import dkim as dkimpy
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from dkim.canonicalization import Relaxed
from hypothesis import given, settings
from hypothesis import strategies as st

from aliasing.message import Message
from relay import sign
from relay.authn import canonical
from relay.authn.canonical import RELAXED, header_field, relaxed_body
from relay.dkim import Algorithm, DkimKey, make_pair, records
from relay.sign import OVERSIGNED, Signer, signed_headers

NOW = datetime.now(UTC).replace(microsecond=0)
PAIR = make_pair("relay.example", NOW, (), signs_from=NOW)
DNS = {name.encode() + b".": text.encode() for name, text in records(PAIR, "relay.example", NOW)}
SIGNER = Signer(SimpleNamespace(dkim=tuple(PAIR)), lambda: NOW)  # type: ignore[arg-type]
MESSAGE = (b"From: \"Tienda Sol\" <alias@relay.example>\r\nTo: <b@relay.example>\r\nSubject: =?utf-8?Q?Ma=C3=B1ana?=\r\n"
           b"\t y  pasado\r\nDate: Tue, 24 Nov 2026 10:00:00 +0100\r\nMessage-ID: <1@relay.example>\r\n"
           b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHola,  \t\r\n\r\nma\xc3\xb1ana \t no.\r\n\r\n\r\n")
RFC8463 = (Path(__file__).parent / "vectors" / "rfc8463.eml").read_bytes().replace(b"\n", b"\r\n")
RFC8463_ED25519 = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="
RFC8463_RSA = b"""-----BEGIN RSA PRIVATE KEY-----
MIICXQIBAAKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQi
Y/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqM
KrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB
AoGAH0cxOhFZDgzXWhDhnAJDw5s4roOXN4OhjiXa8W7Y3rhX3FJqmJSPuC8N9vQm
6SVbaLAE4SG5mLMueHlh4KXffEpuLEiNp9Ss3O4YfLiQpbRqE7Tm5SxKjvvQoZZe
zHorimOaChRL2it47iuWxzxSiRMv4c+j70GiWdxXnxe4UoECQQDzJB/0U58W7RZy
6enGVj2kWF732CoWFZWzi1FicudrBFoy63QwcowpoCazKtvZGMNlPWnC7x/6o8Gc
uSe0ga2xAkEA8C7PipPm1/1fTRQvj1o/dDmZp243044ZNyxjg+/OPN0oWCbXIGxy
WvmZbXriOWoSALJTjExEgraHEgnXssuk7QJBALl5ICsYMu6hMxO73gnfNayNgPxd
WFV6Z7ULnKyV7HSVYF0hgYOHjeYe9gaMtiJYoo0zGN+L3AAtNP9huqkWlzECQE1a
licIeVlo1e+qJ6Mgqr0Q7Aa7falZ448ccbSFYEPD6oFxiOl9Y9se9iYHZKKfIcst
o7DUw1/hz2Ck4N5JrgUCQQCyKveNvjzkkd8HjYs0SwM0fPjK16//5qDZ2UiDGnOe
uEzxBDAr518Z8VFbR41in3W4Y3yCDgQlLlcETrS+zYcL
-----END RSA PRIVATE KEY-----
"""
"""The key that the RFC prints for its example; it protects nothing."""


def verify(message: bytes) -> list[bool]:
    """What dkimpy says of each signature, the first one first."""
    def txt(name: bytes, timeout: int = 5) -> bytes:
        return DNS.get(name, b"")

    def one(number: int) -> bool:
        try:
            return bool(dkimpy.DKIM(message, minkey=1024).verify(idx=number, dnsfunc=txt))
        except dkimpy.ValidationError:
            return False

    return [one(number) for number in range(len(re.findall(rb"(?m)^DKIM-Signature:", message)))]


def key_of(algorithm: Algorithm, secret: bytes) -> DkimKey:
    return DkimKey("football.example.com", "test", algorithm, NOW, NOW, secret)


def test_the_canonical_forms_of_rfc_6376_3_4_5() -> None:
    example = Message.parse(b"A: X\r\nB : Y\t\r\n\tZ  \r\n\r\n C \r\nD \t E\r\n\r\n\r\n")
    assert b"".join(header_field(field.raw, RELAXED) for field in example.fields) == b"a:X\r\nb:Y Z\r\n"
    assert relaxed_body(example.body(example.root)) == b" C\r\nD E\r\n"


@pytest.mark.parametrize("number", [0, 1])
def test_the_signatures_of_rfc_8463_appendix_a_come_out_octet_for_octet(number: int) -> None:
    secrets = [ed25519.Ed25519PrivateKey.from_private_bytes(base64.b64decode(RFC8463_ED25519)),
               load_pem_private_key(RFC8463_RSA, None)]
    secret = secrets[number].private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())  # type: ignore[union-attr]
    example = Message.parse(RFC8463)
    signature = example.all("dkim-signature")[number].raw
    body_hash = re.search(rb"bh=([^;]*)", signature)
    wanted = re.search(rb"\bb=([^;]*)\Z", signature)
    assert body_hash
    assert wanted
    assert canonical.body_hash(example.body(example.root), RELAXED) == base64.b64decode(body_hash[1])
    fields = [field.raw for field in example.fields[2:]]  # its h= list is the header's own order
    over = b"".join(header_field(raw, RELAXED) for raw in (*fields, signature[:wanted.start(1)] + b"\r\n"))[:-2]
    key = key_of((Algorithm.ED25519, Algorithm.RSA)[number], secret)
    assert sign._sign(key, over) == base64.b64decode(wanted[1])


def test_dkimpy_verifies_both_signatures() -> None:
    assert verify(SIGNER.sign(MESSAGE)) == [True, True]


def test_rsa_stands_first_and_both_name_the_relay_domain_of_from() -> None:
    first, second = re.findall(rb"(?ms)^DKIM-Signature:.*?\r\n(?![ \t])", SIGNER.sign(MESSAGE))
    assert b"a=rsa-sha256; c=relaxed/relaxed;\r\n\td=relay.example; s=" + PAIR[0].selector.encode() in first
    assert b"a=ed25519-sha256; c=relaxed/relaxed;\r\n\td=relay.example; s=" + PAIR[1].selector.encode() in second
    assert all(len(line) <= 78 for line in (first + second).splitlines())
    assert b"l=" not in re.sub(rb"(?s)\b(b|bh)=[^;]*", b"", first)


@pytest.mark.parametrize("name", [name.encode() for name in OVERSIGNED])
def test_a_field_that_somebody_adds_breaks_both(name: bytes) -> None:
    assert verify(name + b": <other@example.com>\r\n" + SIGNER.sign(MESSAGE)) == [False, False]


@pytest.mark.parametrize("field", [b"Received: by mx.example; Tue, 24 Nov 2026 10:00:00 +0100\r\n",
                                   b"Return-Path: <>\r\n", b"Authentication-Results: mx.example; none\r\n"])
def test_what_servers_on_the_way_add_breaks_none(field: bytes) -> None:
    assert verify(field + SIGNER.sign(MESSAGE)) == [True, True]


@pytest.mark.parametrize(("old", "new"), [(b"no.", b"si."), (b"Tienda Sol", b"Tienda Luna"), (b"charset=utf-8", b"charset=x"),
                                          (b"ma\xc3\xb1ana", b"mana"), (b"no.\r\n", b"no.\r\nMas\r\n")])
def test_a_change_breaks_both(old: bytes, new: bytes) -> None:
    assert verify(SIGNER.sign(MESSAGE).replace(old, new)) == [False, False]


def test_white_space_at_line_ends_and_empty_lines_at_the_end_break_none() -> None:
    assert verify(SIGNER.sign(MESSAGE).replace(b"\r\n\r\n\r\n", b" \r\n\r\n\r\n\r\n")) == [True, True]


def test_without_a_key_of_its_domain_a_message_leaves_as_it_is() -> None:
    foreign = MESSAGE.replace(b"alias@relay.example", b"alias@other.example")
    assert SIGNER.sign(foreign) == foreign
    twice = b"From: <x@relay.example>\r\n" + MESSAGE
    assert SIGNER.sign(twice) == twice


def test_a_signature_expires_while_its_key_is_still_published() -> None:
    late = Signer(SimpleNamespace(dkim=tuple(PAIR)), lambda: NOW + timedelta(days=30))  # type: ignore[arg-type]
    times = re.search(rb"t=(\d+); x=(\d+);", late.sign(MESSAGE))
    assert times
    assert int(times[2]) - int(times[1]) == 7 * 86400


_text = st.text(alphabet=st.sampled_from("aB:=;. \t\u00f1<>\"@"), max_size=60).map(str.encode)
_lines = st.lists(st.binary(max_size=40).map(lambda data: re.sub(rb"[\r\n\0]", b" ", data)), max_size=12)
_names = st.sampled_from([b"Subject", b"To", b"CC", b"References", b"X-Other", b"Content-Type", b"x-OTHER"])
_values = st.lists(_text.map(lambda text: b"v" + text), min_size=1, max_size=3).map(b"\r\n\t ".join)


@given(_lines, st.integers(0, 4), st.booleans())
@settings(max_examples=300, deadline=None)
def test_the_canonical_body_is_dkimpys(lines: list[bytes], blank: int, ended: bool) -> None:
    body = b"\r\n".join(lines) + b"\r\n" * blank
    arrives = body if body.endswith(b"\r\n") or not body else body + b"\r\n"  # what SMTP makes of it
    assert relaxed_body(body if not ended else arrives) == Relaxed.canonicalize_body(arrives)


@given(_names, _values)
@settings(max_examples=300, deadline=None)
def test_a_canonical_field_is_dkimpys(name: bytes, value: bytes) -> None:
    (expected,) = Relaxed.canonicalize_headers([(name, b" " + value + b"\r\n")])
    assert header_field(name + b": " + value + b"\r\n", RELAXED) == b":".join(expected)


@given(st.lists(st.tuples(_names, _values), max_size=8), _lines, st.integers(0, 3))
@settings(max_examples=100, deadline=None)
def test_whatever_is_signed_dkimpy_verifies(fields: list[tuple[bytes, bytes]], lines: list[bytes], blank: int) -> None:
    header = b"From: <alias@relay.example>\r\n" + b"".join(b"%s: %s\r\n" % field for field in fields)
    body = b"\r\n".join(lines) + b"\r\n" * (blank + 1)
    assert verify(SIGNER.sign(header + b"\r\n" + body)) == [True, True]


def test_each_instance_of_a_field_is_signed_from_the_bottom_up() -> None:
    names, octets = signed_headers(Message.parse(b"X-A: 1\r\nReceived: x\r\nX-A: 2\r\n\r\n").fields)
    assert names == (*OVERSIGNED, "x-a", "x-a", "x-a")
    assert octets == b"x-a:2\r\nx-a:1\r\n"


@pytest.mark.parametrize("body", [b"\r\n" * 4_000_000, b" " * 8_000_000, b"\t \r\n" * 2_000_000, b" \t" * 4_000_000 + b"x"])
def test_eight_megabytes_of_nothing_take_no_time(body: bytes) -> None:
    started = time.process_time()
    relaxed_body(body)
    assert time.process_time() - started < 2
