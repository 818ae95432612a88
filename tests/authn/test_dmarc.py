"""DMARC (RFC 9989): the walk up the tree, the organizational domain, policies; and NXDOMAIN kept apart from no answer."""

from __future__ import annotations

import asyncio

import pytest
import vectors

from relay.authn import dmarc
from relay.demo.nameserver import BROKEN, NameServer
from relay.dns import DnsResolver, DnsUnavailable, NoSuchName

DEEP = "a.b.c.d.e.f.g.h.i.j.mail.example.com"


def resolver(server: NameServer, **records: str | list[str]) -> DnsResolver:
    """Over a zone of DMARC records by domain, with __ for a dot."""
    server.zone = {("_dmarc." + name.replace("__", "."), "TXT"): [vectors.quoted(text) for text in (
        [texts] if isinstance(texts, str) else texts)] for name, texts in records.items()}
    return DnsResolver([("127.0.0.1", server.port)], 2.0)


def test_a_walk_asks_eight_times_at_most() -> None:
    assert dmarc.names("example.com") == ["example.com", "com"]
    assert dmarc.names("a.b.c.d.e.f.g.h") == [
        "a.b.c.d.e.f.g.h", "b.c.d.e.f.g.h", "c.d.e.f.g.h", "d.e.f.g.h", "e.f.g.h", "f.g.h", "g.h", "h"]
    assert dmarc.names(DEEP) == [
        DEEP, "g.h.i.j.mail.example.com", "h.i.j.mail.example.com", "i.j.mail.example.com", "j.mail.example.com",
        "mail.example.com", "example.com", "com"]


@pytest.mark.parametrize(("domain", "records", "expected"), [
    ("mail.shop.example", {}, "mail.shop.example"),
    ("mail.shop.example", {"shop__example": "v=DMARC1; p=none"}, "shop.example"),
    ("mail.shop.example", {"mail__shop__example": "v=DMARC1; p=none"}, "mail.shop.example"),
    ("a.mail.shop.example", {"mail__shop__example": "v=DMARC1; p=none", "shop__example": "v=DMARC1"}, "shop.example"),
    ("a.mail.shop.example", {"mail__shop__example": "v=DMARC1; psd=n", "shop__example": "v=DMARC1"}, "mail.shop.example"),
    ("a.mail.shop.example", {"shop__example": "v=DMARC1; psd=y"}, "mail.shop.example"),
    ("shop.example", {"shop__example": "v=DMARC1; psd=y"}, "shop.example"),
    ("mail.shop.example", {"example": "v=DMARC1; p=reject; psd=y"}, "shop.example"),
    ("mail.shop.example", {"example": "v=DMARC1; p=reject"}, "shop.example"),
    # strangers are neighbours below these, which publish a policy and forgot to say so
    ("ana.github.io", {"github__io": "v=DMARC1; p=reject"}, "ana.github.io"),
    ("mail.shop.co.uk", {"co__uk": "v=DMARC1; p=reject", "uk": "v=DMARC1"}, "shop.co.uk"),
    # not a record, or several
    ("mail.shop.example", {"shop__example": "v=DMARC1 p=none"}, "mail.shop.example"),
    ("mail.shop.example", {"shop__example": "p=none; v=DMARC1"}, "mail.shop.example"),
    ("mail.shop.example", {"shop__example": "v=dmarc1; p=none"}, "mail.shop.example"),
    ("mail.shop.example", {"shop__example": ["v=DMARC1; p=none", "v=DMARC1; p=reject"]}, "mail.shop.example"),
    ("mail.shop.example", {"shop__example": ["v=DMARC1; p=none", "some other text"]}, "shop.example"),
])
async def test_the_organizational_domain(domain: str, records: dict[str, str], expected: str,
                                         nameserver: NameServer) -> None:
    assert (await dmarc.walk(resolver(nameserver, **records), domain)).organizational == expected


@pytest.mark.parametrize(("author", "domain", "strict", "expected"), [
    ("shop.example", "shop.example", True, True), ("shop.example", "mail.shop.example", False, True),
    ("shop.example", "mail.shop.example", True, False), ("mail.shop.example", "news.shop.example", False, True),
    ("shop.example", "other.example", False, False), ("shop.example", "shop.example.com", False, False),
    ("shop.example", "notshop.example", False, False), ("shop.example", "", False, False),
    ("shop.example", "example", False, False),
])
async def test_alignment(author: str, domain: str, strict: bool, expected: bool, nameserver: NameServer) -> None:
    asked = resolver(nameserver, shop__example="v=DMARC1; p=reject", example="v=DMARC1; psd=y")
    walk = await dmarc.walk(asked, author)
    assert await dmarc.is_aligned(asked, walk, domain, strict=strict) is expected


@pytest.mark.parametrize(("record", "author", "exists", "expected"), [
    ("v=DMARC1; p=reject", "shop.example", True, "reject"), ("v=DMARC1", "shop.example", True, "none"),
    ("v=DMARC1; p=reject; sp=none", "a.shop.example", True, "none"),
    ("v=DMARC1; p=none; sp=quarantine", "a.shop.example", False, "quarantine"),
    ("v=DMARC1; p=none; sp=quarantine; np=reject", "a.shop.example", False, "reject"),
    ("v=DMARC1; p=none; np=reject", "a.shop.example", True, "none"),
    ("v=DMARC1; p=reject; t=y", "shop.example", True, "quarantine"), ("v=DMARC1; p=sure", "shop.example", True, "none"),
])
async def test_policies(record: str, author: str, exists: bool, expected: str, nameserver: NameServer) -> None:
    walk = await dmarc.walk(resolver(nameserver, shop__example=record), author)
    assert walk.record is not None
    assert walk.record.policy(author, exists=exists) == expected


async def test_a_registry_s_policy_holds_where_nobody_below_has_one(nameserver: NameServer) -> None:
    asked = resolver(nameserver, example="v=DMARC1; p=none; np=reject; psd=y")
    walk = await dmarc.walk(asked, "nobody.example")
    assert walk.record is not None
    assert not await dmarc.exists(asked, "nobody.example")
    assert walk.record.policy("nobody.example", exists=False) == "reject"


async def test_no_answer_is_not_no_record(nameserver: NameServer) -> None:
    asked = resolver(nameserver)
    nameserver.zone = {("_dmarc.shop.example", "TXT"): [BROKEN]}
    with pytest.raises(DnsUnavailable):
        await dmarc.walk(asked, "mail.shop.example")


async def test_the_resolver_asks_once_and_tells_no_name_from_no_answer(nameserver: NameServer) -> None:
    nameserver.zone = {
        ("a.example", "TXT"): [vectors.quoted("x" * 300, "y"), '"z"'], ("b.example", "TXT"): [BROKEN],
        ("a.example", "A"): ["192.0.2.1"], ("a.example", "AAAA"): ["2001:db8::1"],
        ("1.2.0.192.in-addr.arpa", "PTR"): ["A.example."]}
    asked = DnsResolver([("127.0.0.1", nameserver.port)], 2.0)
    answers = await asyncio.gather(*(asked.txt("a.example") for _ in range(20)))
    assert [sorted(one) for one in answers] == [[b"x" * 300 + b"y", b"z"]] * 20
    assert nameserver.asked == [("a.example", "TXT")]
    assert await asked.addresses_of("a.example", 4) == ["192.0.2.1"]
    assert await asked.addresses_of("a.example", 6) == ["2001:db8::1"]
    assert await asked.ptr("1.2.0.192.in-addr.arpa") == ["a.example"]
    assert await asked.ptr("a.example") == []
    with pytest.raises(DnsUnavailable):
        await asked.txt("b.example")
    for name in ("c.example", "x" * 64 + ".example", "a..example"):
        for _ in range(2):
            with pytest.raises(NoSuchName):
                await asked.txt(name)
    assert nameserver.asked.count(("c.example", "TXT")) == 1  # that there is none is remembered as well
