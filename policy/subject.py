"""Is a subject critical? DOMAIN's wording: decoded, NFKC, case-folded, white space squeezed, after any
number of reply and forward prefixes in any language; never a mere substring of another subject."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable

# Re/Fwd as the common clients write them, bare or counted (Re[2]:, RE(3):), with an ASCII or full-width colon
_PREFIX = re.compile(
    r"(?:re|res|rv|aw|antw|antwort|sv|vs|vl|rif|ref|odp|ynt|ilt|atb|bls|továbbítás|vá|wg|tr|fw|fwd|enc|i|pd|doorst|"
    r"rép|réf|r|в|отв|на|переслать|回复|回覆|答复|转发|轉寄|轉發|返信|転送|رد|إعادة توجيه|הב|תשובה)"
    r"(?:\s*[\[(]\d{1,3}[\])])?\s*:\s*")
_SPACE = re.compile(r"\s+")
_TRAILING = " .!:;,。！"


def is_critical(subject: str, subjects: Iterable[str], markers: Iterable[str] = ()) -> bool:
    """Whether `subject` (decoded) is one of `subjects`, or begins with one of the bracketed `markers`."""
    plain = strip_prefixes(normalise(subject))
    if any(plain.startswith(normalise(marker)) for marker in markers):
        return True
    return plain.strip(_TRAILING) in _normalised(tuple(subjects))


@functools.lru_cache(maxsize=8)
def _normalised(subjects: tuple[str, ...]) -> frozenset[str]:
    return frozenset(normalise(text).strip(_TRAILING) for text in subjects)


def normalise(text: str) -> str:
    """NFKC, case-folded, white space squeezed, invisible characters gone."""
    visible = "".join(char for char in unicodedata.normalize("NFKC", text) if unicodedata.category(char) != "Cf")
    return unicodedata.normalize("NFKC", _SPACE.sub(" ", visible).strip().casefold())


def strip_prefixes(normalised: str) -> str:
    """The subject behind its `re:` and `fwd:`, however many there are."""
    position = 0
    while match := _PREFIX.match(normalised, position):
        position = match.end()
    return normalised[position:]
