"""DMARC (RFC 9989): the policy of a domain, and which domains stand for each other, by a walk up the DNS tree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from relay.authn import tags
from relay.authn.tags import TagError
from relay.dns import NoSuchName, Resolver

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

MAX_QUERIES = 8
"""RFC 9989 4.10: the name itself, then from seven labels up."""
POLICIES = ("none", "quarantine", "reject")


@dataclass(frozen=True)
class Record:
    """A DMARC policy record and the domain that publishes it."""

    domain: str
    tags: Mapping[str, str]

    def policy(self, author: str, *, exists: bool) -> str:
        """What it asks for mail of `author`: p=, below it sp=, and np= for names that do not exist (4.7)."""
        order = ("p",) if author == self.domain else ("sp", "p") if exists else ("np", "sp", "p")
        found = next((self.tags[name].lower() for name in order if name in self.tags), "none")
        policy = found if found in POLICIES else "none"
        if self.tags.get("t", "n").lower() == "y":  # testing: one step less
            policy = {"reject": "quarantine"}.get(policy, "none")
        return policy

    def strict(self, method: str) -> bool:
        """Whether `method` ("adkim", "aspf") has to show the very domain."""
        return self.tags.get(method, "r").lower() == "s"


@dataclass(frozen=True)
class Walk:
    """What a walk found, from the domain upwards."""

    domain: str
    records: tuple[Record, ...]

    @property
    def organizational(self) -> str:
        """The organizational domain (4.10.2)."""
        chosen = self.domain
        for record in self.records:
            psd = record.tags.get("psd", "u").lower()
            if psd == "n":
                return record.domain
            if record.domain != self.domain and (psd == "y" or _is_public_suffix(record.domain)):
                return _below(record.domain, self.domain)
            chosen = record.domain
        return chosen

    @property
    def record(self) -> Record | None:
        """The record that holds for mail of the domain (4.10.1): its own, else the organizational domain's, else that
        of the public suffix above."""
        own = {record.domain: record for record in self.records}
        return own.get(self.domain) or own.get(self.organizational) or next(
            (record for record in self.records if record.tags.get("psd", "u").lower() == "y"), None)


async def walk(resolver: Resolver, domain: str) -> Walk:
    """Ask for the DMARC records of `domain` and of what is above it. Raises DnsUnavailable."""
    found: list[Record] = []
    for name in names(domain):
        record = await _record(resolver, name)
        if record is not None:
            found.append(record)
            if record.tags.get("psd", "u").lower() in ("y", "n"):
                break
    return Walk(domain, tuple(found))


def names(domain: str) -> list[str]:
    """The domains to ask about, at most MAX_QUERIES (4.10)."""
    labels = domain.split(".")
    above = labels[1:] if len(labels) < MAX_QUERIES else labels[-(MAX_QUERIES - 1):]
    return [domain, *(".".join(above[index:]) for index in range(len(above)))]


async def is_aligned(resolver: Resolver, author: Walk, domain: str, *, strict: bool) -> bool:
    """Whether `domain` stands for the author's (4.4). Raises DnsUnavailable."""
    if domain == author.domain:
        return True
    if strict or not domain or not _may_be_related(author.domain, domain):
        return False
    return (await walk(resolver, domain)).organizational == author.organizational


async def exists(resolver: Resolver, domain: str) -> bool:
    """Whether there is anything under the name (RFC 9989 3.2.13). Raises DnsUnavailable."""
    for ask in (resolver.addresses, resolver.mx):
        try:
            if await ask(domain):
                return True
        except NoSuchName:
            return False
    return False


async def _record(resolver: Resolver, domain: str) -> Record | None:
    try:
        texts = await resolver.txt(f"_dmarc.{domain}")
    except NoSuchName:
        return None
    found = []
    for text in texts:
        try:
            read = tags.parse(text.decode("utf-8", "replace"))
        except TagError:
            continue
        if read.get("v") == "DMARC1" and next(iter(read)) == "v":
            found.append(Record(domain, read))
    return found[0] if len(found) == 1 else None  # several are as good as none (4.10)


def _may_be_related(one: str, other: str) -> bool:
    """No look-up can make one organization of names that share no two labels."""
    return one.split(".")[-2:] == other.split(".")[-2:]


def _below(suffix: str, domain: str) -> str:
    """The name one label longer than `suffix` on the way to `domain`."""
    return ".".join(domain.split(".")[-(suffix.count(".") + 2):])


def _is_public_suffix(domain: str) -> bool:
    """Under such a name strangers are neighbours, whatever it publishes: a registry that forgot its psd=y must not make
    them one organization. RFC 9989 needs no list; this one only takes away."""
    return bool(_suffixes().is_public(domain))


@cache
def _suffixes() -> PublicSuffixList:
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList()
