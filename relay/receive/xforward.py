"""XFORWARD (Postfix, XFORWARD_README): a mail server in front says who brought it the message. No I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_address

from relay.receive.proxy import plain

NAMES = ("NAME", "ADDR", "PORT", "PROTO", "HELO", "IDENT", "SOURCE")
UNKNOWN = ("[UNAVAILABLE]", "[TEMPUNAVAIL]")
_HEX = re.compile(r"\+([0-9A-Fa-f]{2})")
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-Fa-f]{2})*")


@dataclass(frozen=True)
class Forwarded:
    """Who is behind the mail server; None or "" where it does not know."""

    client: IPv4Address | IPv6Address | None = None
    helo: str = ""


def parse(argument: str, before: Forwarded | None) -> Forwarded | None:
    """What the attributes add to what earlier commands said; None when they are malformed."""
    found = before or Forwarded()
    words = argument.split()
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or name.upper() not in NAMES or not _XTEXT.fullmatch(value):
            return None
        value = _HEX.sub(lambda match: chr(int(match.group(1), 16)), value)
        if not value.isprintable():
            return None
        try:
            found = _with(found, name.upper(), value)
        except ValueError:
            return None
    return found if words else None


def _with(found: Forwarded, name: str, value: str) -> Forwarded:
    known = value.upper() not in UNKNOWN
    if name == "ADDR":
        bare = value[5:] if value.upper().startswith("IPV6:") else value
        return replace(found, client=plain(ip_address(bare)) if known else None)
    return replace(found, helo=value if known else "") if name == "HELO" else found
