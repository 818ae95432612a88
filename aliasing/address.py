"""Mailbox addresses: parsed once at the edge, compared by meaning, never passed about as bare strings."""

from __future__ import annotations

import functools
import re
import unicodedata
from dataclasses import dataclass

import idna

_ATEXT = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\-"
_PLAIN = re.compile(rf"([{_ATEXT}.]+)@([A-Za-z0-9\-]+(?:\.[A-Za-z0-9\-]+)+)")
_DOT_ATOM = re.compile(rf"[{_ATEXT}\u0080-\U0010ffff]+(?:\.[{_ATEXT}\u0080-\U0010ffff]+)*")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_LITERAL = re.compile(r"\[(IPv6:)?([0-9a-f:.]+)\]", re.IGNORECASE | re.ASCII)
"""RFC 5321 4.1.3."""

MAX_LOCAL_BYTES = 64
"""RFC 5321 4.5.3.1.1."""
MAX_ADDRESS_BYTES = 254
"""RFC 5321 4.5.3.1.3: a path is at most 256 octets with its angle brackets."""


class AddressError(ValueError):
    """The text is no address. The message says why and holds no part of the text."""


@dataclass(frozen=True, slots=True)
class Address:
    """One mailbox (RFC 5321 4.1.2, RFC 6531).

    `local` is the local part unquoted and NFC-normalised, in the case it was written; `domain` is lower
    case in A-labels (or an address literal in brackets). Two addresses are equal when mail providers treat
    them as one mailbox: the local part is compared NFKC-normalised and case-folded, because no provider
    that sellers or buyers use tells `Ana@` from `ana@`, and an authorised address must match either way.
    """

    local: str
    domain: str

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read `local@domain`; raises AddressError for anything else, display names included."""
        plain = _PLAIN.fullmatch(text)
        if plain and ".." not in text and text[0] != "." and text[plain.end(1) - 1] != ".":
            address = cls(plain.group(1), _domain(plain.group(2)))
        else:
            local, at, domain = text.rpartition("@")
            if not at or not local or not domain:
                raise AddressError("an address has the form name@domain")
            address = cls(_local(local), _domain(domain))
        if len(address.local.encode()) > MAX_LOCAL_BYTES:
            raise AddressError(f"the part before the @ is longer than {MAX_LOCAL_BYTES} octets")
        if len(str(address).encode()) > MAX_ADDRESS_BYTES:
            raise AddressError(f"the address is longer than {MAX_ADDRESS_BYTES} octets")
        return address

    @property
    def key(self) -> str:
        """What makes two addresses the same mailbox; also what the ledger's look-up hash is made over."""
        return unicodedata.normalize("NFKC", self.local).casefold() + "@" + self.domain

    @property
    def unicode_domain(self) -> str:
        """The domain in U-labels, as a person would type it."""
        if "xn--" not in self.domain:
            return self.domain
        try:
            return idna.decode(self.domain)
        except idna.IDNAError:
            return self.domain

    @property
    def is_ascii(self) -> bool:
        """True when the address can travel without SMTPUTF8 (RFC 6531)."""
        return self.local.isascii()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Address) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __str__(self) -> str:
        """The addr-spec as it stands in an envelope or a header field, quoted where it must be."""
        if _DOT_ATOM.fullmatch(self.local):
            return f"{self.local}@{self.domain}"
        quoted = self.local.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}"@{self.domain}'

    def __repr__(self) -> str:
        """Tells a developer that this is an address without telling whose: reprs end up in tracebacks."""
        return "Address(…)"


def _local(text: str) -> str:
    if quoted := _QUOTED.fullmatch(text):
        text = re.sub(r"\\(.)", r"\1", quoted.group(1))
    elif not _DOT_ATOM.fullmatch(text):
        raise AddressError("the part before the @ has a character that is not allowed there, or a misplaced dot")
    text = unicodedata.normalize("NFC", text)
    if not text or any(unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") for char in text):
        raise AddressError("the part before the @ is empty or has an invisible character")
    return text


@functools.lru_cache(maxsize=4096)
def _domain(text: str) -> str:
    if literal := _LITERAL.fullmatch(text):
        return f"[{'IPv6:' if literal[1] else ''}{literal[2].lower()}]"
    try:
        ascii_domain = text.lower() if text.isascii() else idna.encode(text, uts46=True).decode()
        labels = ascii_domain.split(".")
        if ascii_domain.startswith("xn--") or ".xn--" in ascii_domain:
            idna.decode(ascii_domain)
    except (idna.IDNAError, UnicodeError) as error:
        raise AddressError("the domain is not a valid internationalised name") from error
    if len(ascii_domain) > 253 or len(labels) < 2 or not all(
        re.fullmatch(r"[a-z0-9](?:[a-z0-9\-]{0,61}[a-z0-9])?", label) for label in labels
    ):
        raise AddressError("the domain is not a host name (letters, digits and hyphens between dots)")
    return ascii_domain


_QUOTED_STRING = re.compile(r'"(?:[^"\\]|\\.?)*+(?:"|\Z)')
MAX_FROM_CHARS = 4_000
"""A From longer than this names nobody: the longest mailbox has 254 octets, and a name is a name."""
_ANGLE = re.compile(r"<([^<>]*)>")


def single_mailbox(value: str) -> Address | None:
    """The address of a From value (RFC 5322 3.4) when it names exactly one mailbox, else None.

    `value` is unfolded and *not* decoded: an encoded word may not add an address. Quoted local parts in angle
    brackets are read; an unquoted comma in a name is forgiven, for the other half names nobody; an address as
    an unquoted display name is forgiven only when it is the same one.
    """
    if len(value) > MAX_FROM_CHARS:
        return None
    angles = _ANGLE.findall(_QUOTED_STRING.sub(lambda quoted: "x" if "<" in quoted.group() else quoted.group(), value))
    if len(angles) > 1:
        return None
    outside = _ANGLE.sub(" ", value) if angles else value
    bare = _without_comments(_QUOTED_STRING.sub("", outside)) if angles else _without_comments(outside)
    try:
        if not angles:
            return Address.parse(bare.strip())
        address = Address.parse(angles[0].strip())
        if ";" in bare:
            return None
        return address if "@" not in bare or Address.parse(bare.strip()) == address else None
    except AddressError:
        return None


def _without_comments(text: str) -> str:
    out, depth = [], 0
    for char in text:
        if char == "(":
            depth += 1
        elif char == ")" and depth:
            depth -= 1
        elif not depth:
            out.append(char)
    return "".join(out)
