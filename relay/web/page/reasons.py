"""Why a seller writes: the contact reasons of an order, each with the subject that the buyer will read. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from policy.case import PolicySettings
from policy.subject import is_critical
from relay.texts import FALLBACK
from relay.web.page.words import catalogue, languages

CRITICAL = ("customisation", "delivery", "address")
"""What the order cannot be completed without: all go under the one subject that passes a buyer's refusal."""
PLAIN = ("shipment", "product", "invoice", "return")
OWN = "own"
"""The seller writes the subject."""
MAX_CRITICAL_CHARS = 1000
"""A message that nobody can refuse says what is needed, and no more."""


@dataclass(frozen=True)
class Reason:
    """`name` is also that of its texts, reason.NAME."""

    name: str
    subject: str
    is_critical: bool


def reasons(order: str | None, language: str, settings: PolicySettings) -> list[Reason]:
    """Those for an order whose buyer reads that language; before there is an order every subject is one's own."""
    if order is None:
        return []
    critical = _critical_subject(language, settings.critical_subjects)
    spoken = language.partition("-")[0].lower()
    words = catalogue(spoken if spoken in languages() else FALLBACK)
    found = [Reason(name, critical, is_critical=True) for name in CRITICAL] if critical else []
    return found + [Reason(name, words[f"reason.{name}_subject"].format(order=order), is_critical=False)
                    for name in PLAIN]


def passes_refusal(subject: str, settings: PolicySettings) -> bool:
    """Whether the rules take a message for critical by its subject."""
    every: Iterable[str] = (one for some in settings.critical_subjects.values() for one in some)
    return is_critical(subject, every, settings.subject_markers)


def _critical_subject(language: str, subjects: Mapping[str, tuple[str, ...]]) -> str:
    """In the buyer's language, else in English, else in whatever there is."""
    for known in (language, language.partition("-")[0].lower(), FALLBACK, *subjects):
        if subjects.get(known):
            return subjects[known][0]
    return ""
