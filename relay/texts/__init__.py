"""What Tradepost says to people: one TOML catalogue a language, every text by its stable name.

To add a language, copy en.toml and translate the values; a test holds names and placeholders together.
"""

from __future__ import annotations

import functools
import tomllib
import unicodedata
from collections.abc import Mapping
from importlib import resources

from policy.status import Status
from policy.verdict import Reply

FALLBACK = "en"
MAX_REPLY_LINE = 470
"""RFC 5321 4.5.3.1.5 allows 512 octets with code and CRLF."""
_ASCII = str.maketrans({"«": '"', "»": '"', "“": '"', "”": '"', "’": "'", "‘": "'", "–": "-", "—": "-", "…": "...",
                        "¿": "", "¡": "", "ß": "ss", "æ": "ae", "ø": "o", "ł": "l", "·": "-"})


@functools.cache
def languages() -> tuple[str, ...]:
    """The languages there are catalogues for."""
    return tuple(sorted(entry.name.removesuffix(".toml") for entry in resources.files(__name__).iterdir()
                        if entry.name.endswith(".toml")))


@functools.cache
def catalogue(language: str) -> Mapping[str, str]:
    """Name -> text; the region is ignored (es-MX is es), an unknown language is English."""
    base = language.replace("_", "-").partition("-")[0].lower()
    chosen = base if base in languages() else FALLBACK
    tables = tomllib.loads(resources.files(__name__).joinpath(f"{chosen}.toml").read_text(encoding="utf-8"))
    return {f"{table}.{name}": text for table, entries in tables.items() for name, text in entries.items()}


def text(language: str, name: str, values: Mapping[str, str] | None = None) -> str:
    """The text `name` ("status.CLOSED", "dsn.failed_subject") with its placeholders filled in."""
    return catalogue(language)[name].format_map(_Values(values or {}))


def explain(reply: Reply, language: str) -> str:
    """A reply's sentence in full UTF-8, for DSNs, the page and the ledger."""
    return " ".join(text(language, f"status.{reply.status.name}", reply.values).split())


def smtp_line(reply: Reply, language: str) -> str:
    """A reply as it goes on the wire: code, enhanced code, stable name, ASCII text (RFC 5321 4.2)."""
    return _line(reply, language) if reply.values else _plain_line(reply.status, language)


def _line(reply: Reply, language: str) -> str:
    said = to_ascii(explain(reply, language))
    if said is None:
        said = to_ascii(explain(reply, FALLBACK)) or reply.status.name
    line = f"{reply.status.code} {reply.status.enhanced} {said}"[:MAX_REPLY_LINE]
    return line if reply.status is Status.ACCEPTED else f"{line} [{reply.status.name}]"


@functools.cache
def _plain_line(status: Status, language: str) -> str:
    return _line(Reply(status), language)


def to_ascii(text: str) -> str | None:
    """Letters without their accents; None when the script has no such thing (Japanese, Arabic …)."""
    plain = unicodedata.normalize("NFKD", text.translate(_ASCII))
    kept = "".join(char for char in plain if not unicodedata.combining(char))
    return "".join(char if " " <= char <= "~" else "?" for char in kept) if _mostly_ascii(kept) else None


def _mostly_ascii(text: str) -> bool:
    return sum(not char.isascii() for char in text) * 20 <= len(text)


class _Values(dict[str, str]):
    """Placeholders without a value vanish: a text must never fail to be said."""

    def __missing__(self, key: str) -> str:
        return ""
