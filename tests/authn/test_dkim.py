"""DKIM against what others made: the examples of RFC 8463, and dkimpy's signatures of every kind over odd messages."""

from __future__ import annotations

import base64
import time
from datetime import UTC, datetime

import pytest
import senders
import vectors

from aliasing.message import Message
from policy.case import AuthResult, DkimResult
from relay.authn import canonical, dkim, keys, tags
from relay.demo.nameserver import BROKEN, NameServer
from relay.dns import DnsResolver

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
RFC_8463_KEYS = {
    "brisbane._domainkey.football.example.com": "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
    "test._domainkey.football.example.com": (
        "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16"
        "JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/"
        "K4w3QIDAQAB"),
}
RFC_8463 = b"""\
DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=test; t=1528637909; h=from : to : subject :
 date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3
 DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz
 dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game.  Are you hungry yet?

Joe.
""".replace(b"\n", b"\r\n")


async def verify(data: bytes, server: NameServer, author: str = "tienda.example",
                 now: datetime | None = None) -> list[DkimResult]:
    resolver = DnsResolver([("127.0.0.1", server.port)], 2.0)
    return await dkim.verify(Message.parse(data), author, resolver, now or datetime.now(UTC))


async def test_the_message_of_rfc_8463(nameserver: NameServer) -> None:
    nameserver.zone = {(name, "TXT"): [vectors.quoted(text)] for name, text in RFC_8463_KEYS.items()}
    found = await verify(RFC_8463, nameserver, now=NOW)
    assert [(one.result, one.algorithm, one.key_bits) for one in found] == [
        (AuthResult.PASS, "ed25519-sha256", 256), (AuthResult.PASS, "rsa-sha256", 1024)]
    assert found[0].signed == {"from", "to", "subject", "date", "message-id"}
    for old, new in ((b"hungry", b"Hungry"), (b"Suzie Q", b"Suzie R"), (b"t=1528637909", b"t=1528637908")):
        assert AuthResult.PASS not in {one.result for one in await verify(
            RFC_8463.replace(old, new), nameserver, now=NOW)}, old


HEADERS = {
    "plain": b"From: sol@tienda.example\r\nTo: a@b.example\r\nSubject: x\r\n",
    "folded": b"From:  Sol\r\n\t<sol@tienda.example> \r\nTo: a@b.example,\r\n b@b.example\r\nSUBJECT:  a   b\t \r\n",
    "eight-bit": "From: Sol <sol@tienda.example>\r\nTo: a@b.example\r\nSubject: ñandú €\r\n".encode(),
    "empty": b"From: sol@tienda.example\r\nTo: a@b.example\r\nSubject:\r\n",
}
BODIES = {
    "none": b"", "one empty line": b"\r\n", "empty lines": b"\r\n\r\n\r\n", "no last line end": b"hola",
    "trailing": b" a  b\t\tc \r\n \r\n\t\r\n\r\n", "spaces only": b"   \r\n", "eight-bit": "¡ya!\r\n".encode() * 3,
    "big": b"0123456789 abcdef \r\n" * 20_000,
}


@pytest.mark.parametrize("method", ["relaxed/relaxed", "relaxed/simple", "simple/relaxed", "simple/simple"])
@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("selector", ["s1", "ed"])
async def test_what_dkimpy_signs(method: str, header: str, selector: str, nameserver: NameServer) -> None:
    nameserver.zone = senders.zone()
    for name, body in BODIES.items():
        if name == "big" and (header, selector) != ("plain", "ed"):
            continue
        data = HEADERS[header] + b"\r\n" + body
        step = {"sign": "tienda.example", "c": method, "selector": selector, "names": ["from", "to", "subject"]}
        found = await verify(senders.signed(data, step), nameserver)
        assert [one.result for one in found] == [AuthResult.PASS], (name, found)
        found = await verify(senders.signed(data, step) + b"x", nameserver)
        assert [one.result for one in found] == [AuthResult.FAIL], (name, found)


@pytest.mark.parametrize(("change", "reason"), [
    (("v=1", "v=2"), "v= is not 1"), (("d=tienda.example", "d=tienda..example"), "not a domain name"),
    (("d=tienda.example", "d=[192.0.2.1]"), "not a domain name"), (("s=s1", "s=s1/../x"), "s= is not a selector"),
    (("a=rsa-sha256", "a=rsa-md5"), "a= names no algorithm that is known"), (("bh=", "bh=*"), "bh= is not base64"),
    (("c=relaxed", "c=loose"), "c= names no canonicalisation"), (("q=dns/txt", "q=finger"), "q= names no way"),
    (("q=dns/txt", "q=dns/txt; q=dns/txt"), "q= comes twice"), (("i=@tienda", "i=@otra"), "i= is outside of d="),
    (("i=@tienda.example", "i=@news.tienda.example"), "the header was changed"),
    (("q=dns/txt", "x=soon"), "x= is not a number"), (("s=s1", "s=s2"), "no key under its selector"),
    (("a=rsa-sha256", "a=ed25519-sha256"), "for another algorithm"), (("; s=s1", "; nothing"), "not a tag list"),
    (("; s=s1", ""), "s= is missing"),
])
async def test_what_is_no_signature(change: tuple[str, str], reason: str, nameserver: NameServer) -> None:
    nameserver.zone = senders.zone()
    data = senders.signed(HEADERS["plain"] + b"\r\nhola\r\n", {"sign": "tienda.example"})
    old, new = (text.encode() for text in change)
    assert old in data
    found, = await verify(data.replace(old, new, 1), nameserver)
    assert found.result in (AuthResult.PERMERROR, AuthResult.FAIL)
    assert reason in found.reason


async def test_a_key_that_cannot_be_looked_up_now_is_no_failure(nameserver: NameServer) -> None:
    nameserver.zone = {("s1._domainkey.tienda.example", "TXT"): [BROKEN]}
    data = senders.signed(HEADERS["plain"] + b"\r\nhola\r\n", {"sign": "tienda.example"})
    assert [one.result for one in await verify(data, nameserver)] == [AuthResult.TEMPERROR]


async def test_many_signatures_cost_few_look_ups_and_the_author_s_own_is_among_them(nameserver: NameServer) -> None:
    nameserver.zone = senders.zone()
    data = senders.signed(HEADERS["plain"] + b"\r\nhola\r\n", {"sign": "tienda.example"})
    junk = b"".join(data.partition(b"\r\nFrom:")[0].replace(b"tienda.example", b"j%d.example" % number) + b"\r\n"
                    for number in range(150))
    found = await verify(junk + data, nameserver)
    assert len(found) == dkim.MAX_SIGNATURES
    assert [one.domain for one in found if one.result is AuthResult.PASS] == ["tienda.example"]
    assert len(nameserver.asked) <= dkim.MAX_SIGNATURES


async def test_the_same_key_is_asked_for_once(nameserver: NameServer) -> None:
    nameserver.zone = senders.zone()
    data = senders.signed(HEADERS["plain"] + b"\r\nhola\r\n", {"sign": "tienda.example"})
    data = senders.signed(data, {"sign": "tienda.example", "names": ["from", "to", "subject"]})
    assert [one.result for one in await verify(data, nameserver)] == [AuthResult.PASS] * 2
    assert len(nameserver.asked) == 1


@pytest.mark.parametrize("body", [b" " * 2_000_000, b" \r\n" * 700_000, b"\r\n" * 1_000_000, b"\t \t" * 700_000 + b"x"],
                         ids=["spaces", "lines of spaces", "empty lines", "tabs"])
def test_canonicalisation_takes_linear_time(body: bytes) -> None:
    before = time.process_time()
    canonical.body_hash(body, "relaxed")
    canonical.header_field(b"Subject: " + body, "relaxed")
    assert time.process_time() - before < 2


def test_a_key_of_rsa_without_its_wrapping_is_read() -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    der = senders.rsa().public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)
    assert keys.read(b"p=" + base64.b64encode(der), "rsa").bits == 2048


@pytest.mark.parametrize("record", [
    "", "v=DKIM2; p=AAAA", "p=AAAA; v=DKIM1", "k=rsa", "v=DKIM1; p=", "p=AAAA", "p=*", "k=ed25519; p=AAAA", "h=sha1; p=AAAA",
    "s=web; p=AAAA", f"p={senders.WEAK_PUBLIC}", f"k=rsa; p={base64.b64encode(bytes(32)).decode()}"])
def test_what_is_no_key(record: str) -> None:
    with pytest.raises((keys.NoKey, tags.TagError)):
        keys.read(record.encode(), "rsa")
