"""The menu: for whom there is what. A view adds its line here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """`name` is a text's; the entry is the current one at `path`, at `also`, and below them."""

    name: str
    path: str
    roles: tuple[str, ...]
    also: tuple[str, ...] = ()

    def leads_to(self, path: str) -> bool:
        return any(path == one or path.startswith(f"{one}/") for one in (self.path, *self.also))


ENTRIES: Sequence[Entry] = (
    Entry("menu.reports", "/reports", ("moderator",), ("/moderation",)),
    Entry("menu.held", "/held", ("moderator",)),
    Entry("menu.blocked", "/blocked", ("moderator",)),
    Entry("menu.queue", "/queue", ("operator",)),
    Entry("menu.throughput", "/throughput", ("operator",)),
    Entry("menu.health", "/health", ("operator",)),
    Entry("menu.messages", "/messages", ("seller", "moderator"), ("/orders",)),
    Entry("menu.write", "/write", ("seller",)),
    Entry("menu.templates", "/templates", ("seller",)),
    Entry("menu.settings", "/settings", ("seller",), ("/sessions",)),
)


SETTINGS: Sequence[Entry] = (
    Entry("settings.response", "/settings", ("seller",)),
    Entry("settings.addresses", "/settings/addresses", ("seller",)),
    Entry("settings.blocked", "/settings/blocked", ("seller",)),
    Entry("settings.password", "/settings/password", ("seller", "moderator", "operator")),
    Entry("settings.sessions", "/sessions", ("seller", "moderator", "operator")),
)
"""The pages of the settings."""


def entries(role: str) -> list[Entry]:
    return [entry for entry in ENTRIES if role in entry.roles]
