"""What the page says: one TOML file a language under texts/, every text by its stable name; dates and sizes by Babel.

A test holds the names and placeholders of the languages together, and the names that templates ask for to the files.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import resources
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_time, format_timedelta
from babel.numbers import format_decimal

from relay.texts import FALLBACK


@functools.cache
def languages() -> tuple[str, ...]:
    """The languages there are texts for."""
    return tuple(sorted(entry.name.removesuffix(".toml") for entry in _folder().iterdir()
                        if entry.name.endswith(".toml")))


@functools.cache
def catalogue(language: str) -> Mapping[str, str]:
    """Name -> text, in one of languages()."""
    tables = tomllib.loads(_folder().joinpath(f"{language}.toml").read_text(encoding="utf-8"))
    return {f"{table}.{name}": text for table, entries in tables.items() for name, text in entries.items()}


def negotiate(wanted: str) -> str:
    """The best of our languages for an Accept-Language field (RFC 9110 12.5.4)."""
    ranked: list[tuple[float, int, str]] = []
    for index, item in enumerate(wanted[:500].split(",")):
        tag, _, weight = item.partition(";")
        try:
            quality = float(weight.strip().removeprefix("q=")) if weight else 1.0
        except ValueError:
            continue
        ranked.append((-quality, index, tag.strip().partition("-")[0].lower()))
    return next((tag for quality, _, tag in sorted(ranked) if quality < 0 and tag in languages()), FALLBACK)


@dataclass(frozen=True)
class Words:
    """A language at work: in templates `t("list.title")`, `t.some("login.throttled", minutes)`, `t.moment(time)` …"""

    language: str
    zone: ZoneInfo
    now: datetime

    def __call__(self, name: str, /, **values: object) -> str:
        """The text of that name; KeyError where there is none, or a placeholder has no value."""
        return catalogue(self.language)[name].format_map(values)

    def has(self, name: str) -> bool:
        return name in catalogue(self.language)

    def some(self, name: str, count: int, /, **values: object) -> str:
        """The text `name_one` or `name_other`, by the language's rule, with {count} filled in."""
        form = self._locale.plural_form(count)
        chosen = f"{name}_{form}" if self.has(f"{name}_{form}") else f"{name}_other"
        return self(chosen, count=self.number(count), **values)

    def number(self, value: float) -> str:
        return format_decimal(value, locale=self._locale)

    def moment(self, at: str | datetime) -> str:
        """Day and time: "24 nov 2026, 10:05"."""
        local = self._local(at)
        return f"{format_date(local, locale=self._locale)}, {format_time(local, 'HH:mm', locale=self._locale)}"

    def short(self, at: str | datetime) -> str:
        """The time today, else the day, with the year where it is another one."""
        local, now = self._local(at), self.now.astimezone(self.zone)
        if local.date() == now.date():
            return format_time(local, "HH:mm", locale=self._locale)
        return format_date(local, "d MMM" if local.year == now.year else "d MMM y", locale=self._locale)

    def clock(self, at: str | datetime) -> str:
        """The time of day: "10:05"."""
        return format_time(self._local(at), "HH:mm", locale=self._locale)

    def span(self, seconds: float) -> str:
        """A duration in its biggest unit: "3 hours"."""
        return format_timedelta(timedelta(seconds=seconds), threshold=1.2, locale=self._locale)

    def octets(self, count: int) -> str:
        """A size: "1.2 MB"."""
        for unit, factor in (("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1000)):
            if count >= factor:
                return f"{format_decimal(round(count / factor, 1), locale=self._locale)} {unit}"
        return f"{self.number(count)} B"

    def since(self, at: str | datetime) -> timedelta:
        """How long ago it was."""
        return self.now - self._local(at)

    @property
    def _locale(self) -> Locale:
        return _locale(self.language)

    def _local(self, at: str | datetime) -> datetime:
        return (datetime.fromisoformat(at) if isinstance(at, str) else at).astimezone(self.zone)


def words(language: str, zone: str) -> Words:
    return Words(language, ZoneInfo(zone), datetime.now(UTC))


@functools.cache
def _locale(language: str) -> Locale:
    try:
        return Locale.parse(language)
    except (UnknownLocaleError, ValueError):
        return Locale.parse(FALLBACK)


def _folder() -> resources.abc.Traversable:
    return resources.files(__package__).joinpath("texts")
