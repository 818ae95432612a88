"""The envelope of one transaction, and how MAIL and RCPT write it (RFC 5321 4.1.2). No I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from aliasing.address import Address
from aliasing.token import OpenedAction, OpenedAlias

_PATH = re.compile(r"<([^<>]*)>(?: +(.*))?")
_SOURCE_ROUTE = re.compile(r"@[^:<>]*:")


@dataclass
class Envelope:
    """The transaction so far."""

    begun: bool = False
    reverse_path: Address | None = None
    utf8: bool = False
    declared: int = 0
    """Octets that MAIL announced with SIZE (RFC 1870)."""
    recipients: list[OpenedAlias] = field(default_factory=list)
    returns: list[int] = field(default_factory=list)
    actions: list[OpenedAction] = field(default_factory=list)
    count: int = 0
    """RCPT commands that were taken, repetitions included."""
    order: list[OpenedAlias | OpenedAction | int] = field(default_factory=list)
    """What each of them named."""

    def add(self, found: OpenedAlias | OpenedAction | int) -> None:
        """A recipient, once however often it is named."""
        self.count += 1
        self.order.append(found)
        if isinstance(found, OpenedAlias):
            self.recipients += [found] if found not in self.recipients else []
        elif isinstance(found, OpenedAction):
            self.actions += [found] if found not in self.actions else []
        else:
            self.returns += [found] if found not in self.returns else []


def parse_path(argument: str, keyword: str) -> tuple[str, list[tuple[str, str]]] | None:
    """`FROM:<path> name=value …` -> (path without source route, parameters), or None."""
    if argument[: len(keyword)].upper() != keyword:
        return None
    match = _PATH.fullmatch(argument[len(keyword) :].strip())
    if not match:
        return None
    parameters = []
    for word in (match.group(2) or "").split():
        name, _, value = word.partition("=")
        parameters.append((name.upper(), value))
    return _SOURCE_ROUTE.sub("", match.group(1), count=1), parameters


def size_of(value: str) -> int | None:
    """The value of SIZE= (RFC 1870 4: up to twenty digits), or None."""
    return int(value) if value.isascii() and value.isdigit() and len(value) <= 20 else None
