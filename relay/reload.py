"""SIGHUP: which keys change while the daemon runs, and which need a restart."""

from __future__ import annotations

from relay.config import Config

NEED_RESTART = frozenset({
    "relay.hostname", "relay.domains", "relay.data_dir", "relay.key_ring", "relay.workers",
    "listen.mx", "listen.submission", "listen.submissions", "listen.lmtp", "listen.metrics", "listen.http",
    "ledger.url",
})
"""What the process was built on. Every other key takes effect at once."""


def keys(config: Config) -> dict[str, object]:
    """"section.key" -> value."""
    return {f"{section}.{key}": getattr(getattr(config, section), key)
            for section in type(config).model_fields
            for key in type(getattr(config, section)).model_fields}


def differences(old: Config, new: Config) -> tuple[list[str], list[str]]:
    """The names of the keys that differ: (what changes now, what only a restart changes)."""
    before, after = keys(old), keys(new)
    different = [name for name in after if before[name] != after[name]]
    return ([name for name in different if name not in NEED_RESTART],
            [name for name in different if name in NEED_RESTART])


def merged(old: Config, new: Config) -> Config:
    """`new`, but with `old`'s values for what only a restart changes."""
    sections = {}
    for section in type(new).model_fields:
        fixed = {key: getattr(getattr(old, section), key) for key in type(getattr(old, section)).model_fields
                 if f"{section}.{key}" in NEED_RESTART}
        sections[section] = getattr(new, section).model_copy(update=fixed)
    return new.model_copy(update=sections)
