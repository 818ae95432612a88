"""ARC of what arrives (RFC 8617): is the chain whole, and what did each sealer say that it saw?

Whether a sealer may be believed is for the rule to say; a whole chain alone proves nothing, for anybody can seal.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aliasing.message import Field, Message
from policy.case import ArcResult, AuthResult
from relay.authn import canonical, dkim, keys, tags
from relay.authn.dkim import Signature, Untrusted
from relay.authn.keys import NoKey
from relay.authn.tags import TagError
from relay.dns import DnsUnavailable, Resolver

MAX_SETS = 50
"""RFC 8617 5.1: a chain that is longer has failed."""
AAR, AMS, SEAL = "arc-authentication-results", "arc-message-signature", "arc-seal"
_INSTANCE = re.compile(r"[ \t]*i[ \t]*=[ \t]*([0-9]{1,3})[ \t]*;(.*)", re.DOTALL)
_METHOD = re.compile(r"[ \t]*([a-z][a-z0-9-]*)(?:/1)?[ \t]*=[ \t]*([a-z]+)", re.IGNORECASE)
_PROPERTY = re.compile(r"(smtp\.mailfrom|smtp\.mfrom|header\.(?:d|i|s))[ \t]*=[ \t]*([^ \t;]+)", re.IGNORECASE)
_REASON = re.compile(r'reason[ \t]*=[ \t]*"[^"\\();]*"', re.IGNORECASE)


@dataclass(frozen=True)
class Claim:
    """One result that a sealer recorded (RFC 8601): `domain` is of smtp.mailfrom, or of header.d (else header.i)."""

    method: str
    domain: str
    selector: str = ""


@dataclass(frozen=True)
class ArcSet:
    """The three fields of one instance, and their seal as read."""

    results: Field
    message: Field
    seal: Field
    tags: Mapping[str, str]

    @property
    def sealer(self) -> str:
        return tags.domain(self.tags["d"])


def read(message: Message) -> list[ArcSet]:
    """The sets by instance, as far as their shape goes (RFC 8617 5.2 steps 1 to 3); raises TagError where the chain
    cannot be whole."""
    by_kind = {kind: _by_instance(message, kind) for kind in (AAR, AMS, SEAL)}
    count = max(map(len, by_kind.values()))
    if count > MAX_SETS or any(sorted(found) != list(range(1, count + 1)) for found in by_kind.values()):
        raise TagError("its sets are not complete")
    sets = []
    for instance in range(1, count + 1):
        seal = by_kind[SEAL][instance]
        found = tags.parse(seal.value.decode("utf-8", "replace"))
        tags.required(found, "a", "b", "cv", "d", "s")
        if "h" in found:  # RFC 8617 4.1.3: it covers the sets and nothing else
            raise TagError("a seal has h=")
        if found["cv"].lower() != ("none" if instance == 1 else "pass"):
            raise TagError("a seal says that the chain was broken")
        sets.append(ArcSet(by_kind[AAR][instance], by_kind[AMS][instance], seal, found))
    return sets


async def verify(message: Message, sets: Sequence[ArcSet], resolver: Resolver) -> ArcResult:
    """Whether the newest message signature and every seal hold (RFC 8617 5.2). `hops` is left to whoever knows what is
    aligned. Never raises."""
    if not sets:
        return ArcResult()
    try:
        signature = dkim.read(sets[-1].message, c="relaxed/relaxed")
        if SEAL in signature.names:  # RFC 8617 4.1.2
            raise TagError("h= names seals")
        body_hashes = await dkim.hash_bodies(message, [signature.body])
        # the key look-ups of all run at once; the first that fails ends it
        await asyncio.gather(dkim.check(signature, message.fields, body_hashes, resolver),
                             *(_check_seal(sets[:number], resolver) for number in range(1, len(sets) + 1)))
    except DnsUnavailable:
        return ArcResult(AuthResult.TEMPERROR, reason="a key cannot be looked up at the moment")
    except (TagError, NoKey, Untrusted) as error:
        return ArcResult(AuthResult.FAIL, reason=str(error))
    others = [field for field in message.fields if field is not signature.field]
    whole = "l" not in signature.tags and canonical.added(others, signature.names) is None
    return ArcResult(AuthResult.PASS, signed=canonical.covered(others, signature.names) if whole else frozenset())


async def _check_seal(sets: Sequence[ArcSet], resolver: Resolver) -> None:
    last = sets[-1]
    algorithm = last.tags["a"].lower()
    if algorithm != "rsa-sha256":  # RFC 8617 4.1.3 knows no other
        raise TagError("a= names no algorithm that is known")
    key = await keys.fetch(resolver, last.sealer, tags.selector(last.tags), "rsa")
    raws = [field.raw for one in sets for field in (one.results, one.message, one.seal)]
    octets = b"".join(canonical.header_field(raw, canonical.RELAXED) for raw in raws[:-1])
    octets += canonical.header_field(canonical.without_signature(raws[-1]) + b"\r\n", canonical.RELAXED)[:-2]
    if not key.verify(tags.octets(last.tags, "b"), octets):
        raise Untrusted(AuthResult.FAIL, "a seal does not hold")


def claims(one: ArcSet) -> list[Claim]:
    """The passes of SPF and DKIM among the results that a sealer recorded.

    None where anything is quoted or parentheses do not match: a reverse-path such as `"; dkim=pass …"@example.com`,
    copied there by a careless sealer, must not speak in its name.
    """
    text = _plain(one.results.value.decode("utf-8", "replace"))
    match = _INSTANCE.fullmatch(text) if text is not None else None
    found = []
    for result in match.group(2).split(";")[1:] if match else ():
        method = _METHOD.match(result)
        if method is None or method.group(2).lower() != "pass":
            continue
        properties = {name.lower(): value for name, value in _PROPERTY.findall(result)}
        kind = method.group(1).lower()
        names = {"spf": ("smtp.mailfrom", "smtp.mfrom"), "dkim": ("header.d", "header.i")}.get(kind, ())
        said = next((properties[name] for name in names if name in properties), "")
        try:
            found.append(Claim(kind, tags.domain(said.rpartition("@")[2]), properties.get("header.s", "").lower()))
        except TagError:
            continue
    return found


def original(message: Message, claim: Claim) -> Signature | None:
    """The signature that a DKIM claim is about; None where there is none, or several that cannot be told apart."""
    found = []
    for field in message.all("dkim-signature"):
        try:
            signature = dkim.read(field)
        except (TagError, Untrusted):
            continue
        if signature.domain == claim.domain and claim.selector in ("", signature.selector):
            found.append(signature)
    return found[0] if len(found) == 1 else None


def _by_instance(message: Message, kind: str) -> dict[int, Field]:
    found: dict[int, Field] = {}
    for field in message.all(kind):
        text = field.value.decode("utf-8", "replace")
        if kind == AAR:
            match = _INSTANCE.fullmatch(text)
            instance = int(match.group(1)) if match else None
        else:
            instance = tags.number(tags.parse(text), "i")
        if instance is None or instance in found:
            raise TagError("its instances are not in order")
        found[instance] = field
    return found


def _plain(text: str) -> str | None:
    """The text without comments and reasons; None where its structure is not beyond doubt."""
    text = _REASON.sub("", text)
    if '"' in text or "\\" in text:
        return None
    out, depth = [], 0
    for char in text:
        depth += char == "("
        if not depth:
            out.append(char)
        depth -= char == ")"
        if depth < 0:
            return None
    return None if depth else "".join(out)
