"""What a look at the zone found: each fault with a name of its own, what is there, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Level(StrEnum):
    """RIGHT: as it should be. WARNING: works, but could be better. WRONG: mail is or will be lost or refused.
    UNKNOWN: could not be looked up now."""

    RIGHT = "right"
    WARNING = "warning"
    WRONG = "wrong"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Finding:
    """`fault` is a name that scripts may rely on, "" when all is right; `about` the DNS name or server looked at."""

    level: Level
    about: str
    fault: str
    what: str
    mend: str = ""

    def as_json(self) -> dict[str, Any]:
        return {"level": self.level.value, "about": self.about, "fault": self.fault, "what": self.what,
                "mend": self.mend}


def right(about: str, what: str) -> Finding:
    return Finding(Level.RIGHT, about, "", what)


def wrong(about: str, fault: str, what: str, mend: str) -> Finding:
    return Finding(Level.WRONG, about, fault, what, mend)


def warning(about: str, fault: str, what: str, mend: str) -> Finding:
    return Finding(Level.WARNING, about, fault, what, mend)


def unknown(about: str, what: str) -> Finding:
    return Finding(Level.UNKNOWN, about, "not-known", what, "try again later; nothing is said about the record itself")


def shown(text: str, most: int = 160) -> str:
    """What somebody else wrote, on one line and without control characters."""
    clean = "".join(letter if letter.isprintable() else "?" for letter in text)
    return clean if len(clean) <= most else clean[:most] + "…"
