"""The menu: for whom there is what. A view adds its line here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """`name` is a text's; `path` also that of what is below it."""

    name: str
    path: str
    roles: tuple[str, ...]


ENTRIES: Sequence[Entry] = (
    Entry("menu.messages", "/messages", ("seller", "moderator")),
)


def entries(role: str) -> list[Entry]:
    return [entry for entry in ENTRIES if role in entry.roles]
