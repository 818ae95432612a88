"""The outside world of authentication: a shop, a stranger, a forwarder, each with a zone and keys; dkimpy signs for them.

A case is a message as somebody sends it: a header and body, signatures put on by dkimpy, then what is done to it on its
way. It goes through the real rules, with the answers of a real name server.
"""

from __future__ import annotations

import base64
import functools
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any

import dkim
import vectors
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from support import BUYER, SELLER, correspondence

from aliasing.address import Address, AddressError
from aliasing.correspondence import Direction
from aliasing.message import Field
from policy.case import AddressState, Case, Facts, PolicySettings, RelayBlocks
from relay import authn
from relay.authn import canonical
from relay.demo.nameserver import BROKEN, NameServer
from relay.dns import DnsResolver
from relay.passage import make_case, read

FRAME = correspondence()
TO_BUYER = Direction.TO_BUYER
ALIAS = str(FRAME.alias(TO_BUYER.reader))
OTHER_ALIAS = str(correspondence(number=8).alias(TO_BUYER.reader))
SHOP, STRANGER, FORWARDER = "192.0.2.10", "198.51.100.66", "203.0.113.5"
WEAK = b"""\
-----BEGIN RSA PRIVATE KEY-----
MIIBzAIBAAJhAPZTM95WKOtMtkxDo4O/Ojx9BuGo10NyJszrm4LqSvzgRC+ykZZV
+cZkI0HdaaXldNgzWda8/uvkXlppmOk2iF7rOD0IoFSgAgh/TAwq9HWzp0HjNAtq
BGMxrIWBKRoapwIDAQABAmEA5yya5zUxXfM2u0hXc1PKke48wRe2PwQoyfTsk+bS
zZSkKaeK3u59ZeWg+TWU6y71rH0XVO853H2jUVzsk+cp6T/kKSLamctnYYDu2BOi
kZ0DcaIhBt6cFj8UIdARLzhxAjEA/Srtd2zkxDFUY1G0Q+ekNZi6GsQ0iDctO3pc
4c1LyZBeMYVc4tMPirznZY/jjfh9AjEA+RStdetsdaJoV84bIj3ggVp+shVjrfNV
/dtvikClS7wbxswgqKUyCvr3SKoglOzzAjEAh0/uZCpbi1EiXYNJ6hFg/xSGQ9Ai
k7uJ/YRFKJrlqvHypl01bDaK1AhrVSk24qaxAjEAvMmwY8UpssuC/LJKHJz7se9u
Qfo2UB00mzGcDBTNdGbCQt5rDogPMwVfMmNISLiDAjByOxOqV/3auQsbww/nqxka
+rpUQdwlfL/7vGEOPlvleTjRIgWzKk0YHLe0vI+6AEI=
-----END RSA PRIVATE KEY-----
"""
"""768 bits: too short to be made, or signed with, by anything but dkimpy."""
WEAK_PUBLIC = (
    "MHwwDQYJKoZIhvcNAQEBBQADawAwaAJhAPZTM95WKOtMtkxDo4O/Ojx9BuGo10NyJszrm4LqSvzgRC+ykZZV+cZkI0HdaaXldNgz"
    "Wda8/uvkXlppmOk2iF7rOD0IoFSgAgh/TAwq9HWzp0HjNAtqBGMxrIWBKRoapwIDAQAB"
)

HEADER = """\
From: {from}
To: {to}
Subject: Su pedido
Date: Tue, 24 Nov 2026 10:00:00 +0100
Message-ID: <1@mail.tienda.example>
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
"""
BODY = "Buenos días:\n\nYa está en camino.\n"
SIGNED = ["from", "to", "cc", "subject", "date", "message-id"]
"""What most providers sign: every one of these that there is, once."""


@functools.cache
def rsa() -> RSAPrivateKey:
    """One key for all who sign properly: the selectors tell them apart."""
    return generate_private_key(65537, 2048)


@functools.cache
def ed25519() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def pem(key: RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def key_record(key: RSAPrivateKey, tags: str = "v=DKIM1; k=rsa") -> str:
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"{tags}; p={base64.b64encode(der).decode()}"


def zone() -> dict[tuple[str, str], list[str]]:
    """Who publishes what. `strict.example` wants its very domain, `plaza.example` is a registry, `open.example` has
    neither policy nor key."""
    raw = ed25519().public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    good = key_record(rsa())
    texts = {
        "tienda.example": f"v=spf1 ip4:{SHOP} -all",
        "news.tienda.example": f"v=spf1 ip4:{FORWARDER} -all",
        "_dmarc.tienda.example": "v=DMARC1; p=reject",
        "s1._domainkey.tienda.example": good,
        "ed._domainkey.tienda.example": f"v=DKIM1; k=ed25519; p={base64.b64encode(raw).decode()}",
        "weak._domainkey.tienda.example": f"v=DKIM1; k=rsa; p={WEAK_PUBLIC}",
        "gone._domainkey.tienda.example": "v=DKIM1; k=rsa; p=",
        "try._domainkey.tienda.example": key_record(rsa(), "v=DKIM1; k=rsa; t=y"),
        "web._domainkey.tienda.example": key_record(rsa(), "v=DKIM1; k=rsa; s=web"),
        "s1._domainkey.news.tienda.example": good,
        "s1._domainkey.correo.example": good,
        "extra.example": f"v=spf1 ip4:{STRANGER} -all",
        "s1._domainkey.extra.example": good,
        "tienda.example.extra.example": f"v=spf1 ip4:{STRANGER} -all",
        "forward.example": f"v=spf1 ip4:{FORWARDER} -all",
        "seal._domainkey.forward.example": good,
        "seal._domainkey.extra.example": good,
        "_dmarc.strict.example": "v=DMARC1; p=reject; aspf=s; adkim=s",
        "news.strict.example": f"v=spf1 ip4:{SHOP} -all",
        "s1._domainkey.news.strict.example": good,
        "_dmarc.plaza.example": "v=DMARC1; p=none; psd=y",
        "ana.plaza.example": f"v=spf1 ip4:{SHOP} -all",
        "eva.plaza.example": f"v=spf1 ip4:{STRANGER} -all",
        "open.example": f"v=spf1 ip4:{SHOP} ~all",
        "mail.open.example": f"v=spf1 ip4:{STRANGER} -all",
        "many.example": "v=spf1 " + " ".join(f"include:i{number}.many.example" for number in range(11)) + " -all",
        **{f"i{number}.many.example": "v=spf1 -all" for number in range(11)},
    }
    found: dict[tuple[str, str], list[str]] = {(name, "TXT"): [vectors.quoted(text)] for name, text in texts.items()}
    for name in ("down.example", "_dmarc.down.example"):
        found[name, "TXT"] = [BROKEN]
    return found


async def judged(case: Mapping[str, Any], server: NameServer) -> Case:
    """The case as the rules see it, once it has come."""
    data = written(case)
    letter, now = read(data), datetime.now(UTC)
    client = ip_address(case.get("client", SHOP))
    path = case.get("mail_from", SELLER)
    try:
        reverse_path = Address.parse(path) if path else None
    except AddressError:
        raise AssertionError(f"{path} is no address") from None
    sealers = frozenset(case.get("sealers", ()))
    writers = (*FRAME.addresses[TO_BUYER.writer], *(Address.parse(one) for one in case.get("authorised", ())))
    facts = Facts(correspondence=FRAME, direction=TO_BUYER,
                  writer_addresses={one.key: AddressState.AUTHORISED for one in writers},
                  reader_addresses=frozenset({BUYER}))
    results = None
    if letter.message is not None and letter.header_from is not None and "login" not in case:
        origin = authn.Origin(client, case.get("helo", "client.example"), reverse_path, letter.header_from)
        resolver = DnsResolver([("127.0.0.1", server.port)], 2.0)
        results = await authn.check(letter.message, origin, resolver, now, sealers)
    settings = PolicySettings(authentication="require", arc_sealers=sealers,
                              authentication_domains=case.get("domains", {}))
    return replace(make_case(letter, facts, client=client, reverse_path=reverse_path, settings=settings,
                             blocks=RelayBlocks(), now=now, files={}, authentication=results),
                   login=case.get("login"))


def written(case: Mapping[str, Any]) -> bytes:
    """The octets that arrive."""
    words = {"from": case.get("from", f"Tienda Sol <{SELLER}>"), "to": case.get("to", ALIAS)}
    header = filled(case["header"]) if "header" in case else HEADER.format_map(words)
    data = _crlf(header + "\n" + case.get("body", BODY))
    for step in case.get("steps", ()):
        data = _step(data, step)
    return data


def filled(text: str) -> str:
    for name, value in (("{alias}", ALIAS), ("{other-alias}", OTHER_ALIAS), ("{seller}", SELLER), ("{buyer}", BUYER)):
        text = text.replace(name, value)
    return text


def _step(data: bytes, step: Mapping[str, Any]) -> bytes:
    """One thing that somebody does: "sign", "seal", put a field on "top", at the "end" of the header, below the "body",
    or "replace" a text by "with"."""
    if "sign" in step:
        return signed(data, step)
    if "seal" in step:
        return sealed(data, step)
    if "top" in step:
        return _crlf(filled(step["top"])) + data
    if "end" in step:
        header, _, body = data.partition(b"\r\n\r\n")
        return header + b"\r\n" + _crlf(filled(step["end"])) + b"\r\n" + body
    if "body" in step:
        return data + _crlf(step["body"])
    old, new = _crlf(filled(step["replace"])), _crlf(filled(step["with"]))
    assert old in data, step
    return data.replace(old, new, 1)


def signed(data: bytes, step: Mapping[str, Any]) -> bytes:
    """`data` below a DKIM-Signature of the domain step["sign"]; with "tags" by our own hand, for what dkimpy never makes."""
    domain, selector = step["sign"], step.get("selector", "s1")
    present = [field.name for field in read(data).message.fields]  # type: ignore[union-attr]
    names = step.get("names") or [name for name in SIGNED if name in present]
    if "tags" in step:
        return _by_hand(data, domain, selector, names, step["tags"]) + data
    key: bytes = {"weak": WEAK, "ed": base64.b64encode(bytes(range(32)))}.get(selector) or pem(rsa())
    methods = tuple(word.encode() for word in step.get("c", "relaxed/relaxed").split("/"))
    algorithm = step.get("algorithm", "ed25519-sha256" if selector == "ed" else "rsa-sha256")
    return bytes(dkim.sign(data, selector.encode(), domain.encode(), key, canonicalize=methods,
                           signature_algorithm=algorithm.encode(), include_headers=[name.encode() for name in names],
                           length=step.get("l", False))) + data


def sealed(data: bytes, step: Mapping[str, Any]) -> bytes:
    """`data` below an ARC set of the domain step["seal"], which saw step["saw"]."""
    domain = step["seal"]
    data = f"Authentication-Results: {domain}; {step['saw']}\r\n".encode() + data
    names = [name.encode() for name in step.get("names", [*SIGNED, "dkim-signature"])
             if any(field.name == name for field in read(data).message.fields)]  # type: ignore[union-attr]
    sealer = dkim.ARC(data)
    sealer.should_not_sign.discard(b"dkim-signature")  # RFC 8617 4.1.2 wants it covered
    return b"".join(sealer.sign(b"seal", domain.encode(), pem(rsa()), domain.encode(), include_headers=names)) + data


def _by_hand(data: bytes, domain: str, selector: str, names: list[str], tags: Mapping[str, Any]) -> bytes:
    message = read(data).message
    assert message is not None
    digest = base64.b64encode(canonical.body_hash(message.body(message.root), "relaxed")).decode()
    said = {"v": "1", "a": "rsa-sha256", "c": "relaxed/relaxed", "d": domain, "s": selector, "h": ":".join(names),
            "bh": digest} | {name: _time(value) for name, value in tags.items()}
    text = "; ".join(f"{name}={value}" for name, value in said.items()) + "; b="
    own = Field.make("DKIM-Signature", text)
    octets = canonical.signed_octets(message.fields, names, own, "relaxed")
    value = base64.b64encode(rsa().sign(octets, PKCS1v15(), SHA256())).decode()
    return Field.make("DKIM-Signature", text + value).raw


def _time(value: object) -> str:
    """A number is seconds from now."""
    return str(int(datetime.now(UTC).timestamp()) + value) if isinstance(value, int) else str(value)


def _crlf(text: str) -> bytes:
    return text.replace("\r\n", "\n").replace("\n", "\r\n").encode()
