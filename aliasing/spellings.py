"""How a person can spell an address in a text, and whether a text holds such a spelling.

For the egress check alone (leaks.py): redaction has its own eyes, so that one mistake cannot blind both.
A text is looked at twice. First its skeleton, all letters and digits without what stands between them: an
address in any spelling leaves its pieces there, and few texts have them. Only then with regular expressions,
whose repeats are all bounded or possessive, so that no text makes them slow.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from publicsuffixlist import PublicSuffixList

from aliasing.address import Address

MARK = "\x1f"
"""Where markup stood: it neither parts the letters of an address nor joins an address to what is before it."""

_ALNUM = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_LOWER = bytes(range(256)).lower()
_BETWEEN = bytes(set(range(128)) - set(_ALNUM))
_CONTROLS = bytes({*range(9), 11, 12, *range(14, 31), 127})
_INVISIBLE = (
    "\x00-\x08\x0b\x0c\x0e-\x1e\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff"
)
# what is left of these after composition is a stroke or a ring drawn over a letter
_DRAWN = "\u0300-\u036f\u20d0-\u20f0"
_UNSEEN = re.compile(f"[{_INVISIBLE}]+")
_DRAWN_OVER = re.compile(f"[{_DRAWN}]+")
_ODD = re.compile(f"[\u0130{_INVISIBLE}{_DRAWN}]")  # the dotted capital I folds to a letter with a dot drawn over it

_NEAR = rf"""[\s{MARK}<>()\[\]{{}}"'*|]{{0,16}}+"""
_FAR = rf"""[\s{MARK}<>()\[\]{{}}"'*|_~/\\\-=+#]{{1,16}}+"""
_LOOSE = _FAR.replace("{1,", "{0,")


def _said(sign: str, words: str, unspaced: str = "") -> str:
    """The sign itself or a word for it, which stands apart unless its script writes without spaces."""
    choices = [f"{_NEAR}{sign}{_NEAR}", f"{_FAR}(?:{words}){_FAR}"]
    if unspaced:
        choices.append(f"{_LOOSE}(?:{unspaced}){_LOOSE}")
    return f"(?:{'|'.join(choices)})"


_DOT_WORDS, _DOT_UNSPACED = "dot|punto|punkt|point|ponto|punt|kropka|nokta|точка", "ドット|点"
_AT = _said("@", r"at|ät|arroba|arrobase?|arobase|chez|chiocciola|małpa|snabel-a|собака|(?<=[(\[{<])a(?=[)\]}>])",
            "アットマーク|アット")
_SIGNS = {
    ".": _said("[.。]", _DOT_WORDS, _DOT_UNSPACED),
    "-": rf"(?:[\-‐‒–−]|{_FAR}(?:gui[oó]n|dash|hyphen|minus|bindestrich|tiret|trait|hífen){_FAR})",
    "_": rf"(?:_|{_FAR}(?:gui[oó]n bajo|underscore|unterstrich|barra baja|tiret bas|underline|sublinhado){_FAR})",
    " ": rf"[\s{MARK}]{{1,8}}+",
}
_SPACE = rf"[ \t{MARK}*|_/\-]{{1,3}}"
_SPACED_AT = rf"{_SPACE}?[(\[{{<]?(?:@|at|a{_SPACE}t|arroba|{_SPACE.join('arroba')})[)\]}}>]?{_SPACE}?"
_SPACED_SIGNS = {".": rf"[(\[{{<]?(?:\.|dot|punto|punkt|point|{'|'.join(map(_SPACE.join, ('dot', 'punto')))})[)\]}}>]?"}
_SUFFIX = r"\+[\w.+\-=/!#$%&'*?^`{|}~]{0,64}+"
_CONTINUED = re.compile(rf"(?:(?:[.。]|{_FAR}(?:{_DOT_WORDS}){_FAR})[^\W_][\w\-]{{0,62}}+){{1,8}}+")
_LABEL = re.compile(r"[^\W_][\w\-]*+")
_LETTERS_SPACED = re.compile(rf"(?:^|[^\w])\w{_SPACE}\w{_SPACE}$")
_COMMENT = re.compile(r"\([^()]*+\)")
_RESERVED = frozenset(("example", "test", "invalid", "localhost"))
"""RFC 2606: names that no registry has and that continue a domain all the same."""


@dataclass(frozen=True, slots=True)
class _Needle:
    """One way to write one secret: its pieces for the skeleton and its patterns for the text."""

    pieces: tuple[bytes, ...] = field(repr=False)
    whole: re.Pattern[str] = field(repr=False)
    marked: re.Pattern[str] = field(repr=False)
    spaced: re.Pattern[str] = field(repr=False)
    first: str = field(repr=False)
    last: str = field(repr=False)

    def stands_in(self, text: str) -> bool:
        pattern = self.marked if MARK in text else self.whole
        return any(not self._is_longer(text, *span) for span in _spans(pattern, text)) or any(
            not _LETTERS_SPACED.search(text[max(0, start - 12) : start]) for start, _ in _spans(self.spaced, text)
        )

    def _is_longer(self, text: str, start: int, end: int) -> bool:
        """Whether what was found is only a piece of another address, as in `mirasol@…` or `…example.mx`."""
        return _continues_left(text, start, self.first) or _continues_right(text, end, self.last)


def _spans(pattern: re.Pattern[str], text: str) -> Iterator[tuple[int, int]]:
    match = pattern.search(text)
    while match:
        yield match.span()
        match = pattern.search(text, match.start() + 1)


def _continues_left(text: str, start: int, script: str) -> bool:
    at = start
    while at and text[at - 1] in "._+-":
        at -= 1
    if not at or ".." in text[at:start]:  # RFC 5322 3.2.3: no atom has two dots, a sentence may have three
        return False
    before = text[at - 1]
    return before in "0123456789" or _script(before) == script


def _continues_right(text: str, end: int, script: str) -> bool:
    after = text[end : end + 2]
    if after and (_script(after[0]) == script or (after[0] in "-_" and _script(after[1:]) == script)):
        return True
    more = _CONTINUED.match(text, end)
    if not more:
        return False
    labels = [label for label in _LABEL.findall(more.group()) if not re.fullmatch(_DOT_WORDS, label)]
    return bool(labels) and (_is_top_level(labels[0]) or _is_top_level(labels[-1]))


@functools.lru_cache(maxsize=4096)
def _script(char: str) -> str:
    """The script of a letter or digit by its Unicode name; "" for anything else. ASCII digits count as Latin."""
    if not char.isalnum():
        return ""
    return "LATIN" if char.isascii() else unicodedata.name(char, "").partition(" ")[0]


@functools.lru_cache(maxsize=1)
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList(accept_unknown=False)  # reads its list: not before it is needed


def _is_top_level(label: str) -> bool:
    return label in _RESERVED or (len(label) <= 63 and _suffixes().publicsuffix(label) is not None)


class Spellings:
    """Every spelling of some secret addresses, ready to be looked for."""

    def __init__(self, secrets: Iterable[Address]) -> None:
        self._needles = tuple(needle for secret in secrets for needle in _needles(secret))
        self.shortest = min((sum(map(len, needle.pieces)) for needle in self._needles), default=0)
        """Octets of the letters of the shortest secret."""

    def __bool__(self) -> bool:
        return bool(self._needles)

    def may_be_in(self, data: bytes) -> bool:
        """Whether the letters of a secret are in `data`, in ASCII, UTF-8, or ASCII with NULs between (UTF-16)."""
        return bool(self._suspects(data))

    def are_in(self, seen: str) -> bool:
        """Whether a text, given by as_seen, spells one of the secrets. Markup and codes are not undone here."""
        suspects = self._suspects(seen.encode("utf-8", "replace"))
        return bool(suspects) and any(needle.stands_in(text) for text in _readings(seen) for needle in suspects)

    def _suspects(self, data: bytes) -> list[_Needle]:
        skeleton = data.translate(_LOWER, _BETWEEN)
        return [needle for needle in self._needles if all(piece in skeleton for piece in needle.pieces)]


@functools.lru_cache(maxsize=1024)
def spellings_of(secrets: frozenset[Address]) -> Spellings:
    """The compiled spellings, made once for each set of secrets."""
    return Spellings(secrets)


def as_seen(text: str) -> str:
    """The text as a reader sees it: compatible forms made one, case folded, what is invisible left out."""
    if text.isascii():
        return text.encode("ascii").translate(_LOWER, _CONTROLS).decode("ascii")
    odd = _ODD.search(text)
    shown = _UNSEEN.sub("", text) if odd else text
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", shown).casefold())
    return folded if not odd else _DRAWN_OVER.sub("", folded)


def _readings(seen: str) -> Iterator[str]:
    yield seen
    if "\\" in seen:
        yield seen.replace("\\", "")  # quoted pairs: RFC 5322 3.2.1
    if "(" in seen:
        yield _COMMENT.sub("", seen)  # RFC 5322 3.2.2 allows them on both sides of the @


def _needles(secret: Address) -> Iterator[_Needle]:
    # a +suffix leads to the same mailbox, so the bare name gives it away as well
    local = as_seen(secret.local)
    local = local.partition("+")[0] or local
    for domain in {as_seen(domain).strip("[]") for domain in (secret.domain, secret.unicode_domain)}:
        pieces = re.findall(r"[^\W_]+", f"{local} {domain}")
        yield _Needle(
            # the longest is the least likely to be there by chance
            tuple(sorted({piece.encode() for piece in pieces}, key=len, reverse=True)),
            _pattern(local, domain, ""), _pattern(local, domain, f"{MARK}*+"), _spaced_pattern(local, domain),
            _script(local[0]) or "LATIN", _script(domain[-1]),
        )


def _pattern(local: str, domain: str, join: str) -> re.Pattern[str]:
    left, right = (join.join(_SIGNS.get(char) or re.escape(char) for char in half) for half in (local, domain))
    return re.compile(f"{left}(?:{join}{_SUFFIX})?{_AT}{right}")


def _spaced_pattern(local: str, domain: str) -> re.Pattern[str]:
    left, right = (_SPACE.join(_SPACED_SIGNS.get(char) or re.escape(char) for char in half)
                   for half in (local, domain))
    return re.compile(f"{left}{_SPACED_AT}{right}")
