"""Real addresses typed into a message become aliases, however they are spelled."""

from __future__ import annotations

import re
import unicodedata
import weakref
from collections.abc import Iterator, Sequence
from functools import lru_cache
from html import escape
from typing import TYPE_CHECKING

from aliasing.address import Address
from aliasing.correspondence import Correspondence
from aliasing.encodings import unescape
from aliasing.token import ACTION_CHARS, LINK_PATH
from aliasing.view import TAG, View, skeleton, view

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

INSTEAD = "[...]"
"""Stands for what is taken out without an alias to put in its place: somebody else's address, a number, a link."""
MASKS = ("addresses", "phones", "links")
"""What an operator can have taken out besides the parties' own addresses (policy.redact)."""

_GAP = r"[\s>]{0,12}"
_AT_WORDS = "at|arroba|chiocciola|arrobas|\u00e4t|klammeraffe|chez"
_DOT_WORDS = "dot|punto|punkt|point|ponto"
_AT = rf"{_GAP}(?:@|[(\[{{<]\s?(?:{_AT_WORDS}|a|@)\s?[)\]}}>]){_GAP}"
_AT_SPOKEN = rf"(?:\s{{1,3}}(?:{_AT_WORDS})\s{{1,3}}|\s?[(\[{{<]\s?(?:{_AT_WORDS}|a|@)\s?[)\]}}>]\s?)"
_DOT_MARKS = rf"[(\[{{]\s?(?:{_DOT_WORDS}|\.)\s?[)\]}}]"
_DOT = rf"{_GAP}(?:[.\u3002]|{_DOT_MARKS}|(?<=\s)(?:{_DOT_WORDS})(?=\s)){_GAP}"
_DOT_SPOKEN = rf"(?:[.\u3002]|\s[.]\s|\s?{_DOT_MARKS}\s?|\s{{1,3}}(?:{_DOT_WORDS})\s{{1,3}})"
_SPOKEN = {".": _DOT_SPOKEN, "-": r"(?:-|\s{1,3}(?:guion|guión|dash|hyphen|tiret|trattino|bindestrich|minus)\s{1,3})",
           "_": r"(?:_|\s{1,3}(?:guion bajo|guión bajo|underscore|unterstrich)\s{1,3})"}
_PLUS = r"(?:\+[^\s@<>\"']{1,64})?"

_KEPT: weakref.WeakKeyDictionary[Correspondence, Redactor] = weakref.WeakKeyDictionary()
_ATTRIBUTE = re.compile(r"""(=\s*)("[^"]*"|'[^']*')""")
_ANY_ADDRESS = re.compile(r"(?<![\w.+%-])[\w.+%'-]{1,64}@(?:[\w-]{1,63}\.){1,6}[^\W\d_]{2,24}(?![\w-])")
_ANY_LINK = re.compile(r"(?:\bhttps?://|\bwww\.)[^\s<>\"']{1,2000}", re.IGNORECASE)
_ANY_PHONE = re.compile(r"(?<![\w.,/-])(?:\+|00)?[(]?\d[\d ()./-]{6,18}\d(?![\w-])")


def redactor_for(correspondence: Correspondence) -> Redactor:
    """The correspondence's redactor, made once and kept as long as the correspondence is."""
    redactor = _KEPT.get(correspondence)
    if redactor is None:
        redactor = _KEPT[correspondence] = Redactor(correspondence)
    return redactor


class Redactor:
    """Knows how to find the real addresses of one correspondence in a text, and what to put there instead."""

    def __init__(self, correspondence: Correspondence) -> None:
        self._domain = correspondence.domain
        self._order = skeleton(correspondence.order or "")
        self._aliases: list[str] = []
        self._pieces: list[tuple[str, ...]] = []
        patterns = []
        for address, alias in correspondence.secrets():
            for domain in dict.fromkeys((address.domain, address.unicode_domain)):
                patterns.append(f"({_pattern(address, domain)})")
                self._aliases.append(str(alias))
                self._pieces.append(_pieces(address, domain))
        patterns.append(rf"([0-9a-z]{{{ACTION_CHARS}}}@{re.escape(correspondence.domain)})")
        patterns.append(rf"((?:https?://[\w.:-]{{1,255}})?{LINK_PATH}[0-9a-z]{{{ACTION_CHARS}}})")
        self._aliases += [INSTEAD, INSTEAD]
        self._pieces += [(skeleton(correspondence.domain),), (skeleton(LINK_PATH),)]
        self._pattern = re.compile("|".join(patterns))

    def text(self, text: str, masks: Sequence[str] = ()) -> str:
        """`text` with each real address, and each sealed link of our own, replaced; the same string when none."""
        if self._may_hold(text):
            text = self._replace(view(text))
        if ("<" in text or "&" in text) and self._may_hold(_without_marks(text)):
            text = self._replace(view(text, is_html=True))  # mark-up typed into a plain text reads as well as any
        return self._mask(text, masks) if masks else text

    def html(self, text: str, masks: Sequence[str] = ()) -> str:
        """The same for well-formed HTML: in its text, across tags, and in the values of attributes."""
        if self._may_hold(_without_marks(text)) or self._may_hold(unescape(text)):
            text = self._replace(view(text, is_html=True))
            text = re.sub(TAG, self._tag, text)
        if masks:
            text = "".join(piece if piece.startswith("<") else self._mask(piece, masks)
                           for piece in re.split(f"({TAG})", text))
        return text

    def file_name(self, name: str) -> str:
        """A file name: its extension is no part of an address in it."""
        stem, dot, extension = name.rpartition(".")
        return self.text(stem) + dot + extension if dot and len(extension) < 8 else self.text(name)

    def _may_hold(self, text: str) -> bool:
        """Whether a look is worth while: every spelling holds the letters of all pieces of the address."""
        for _ in range(2):
            bare = skeleton(text)
            if any(all(piece in bare for piece in pieces) for pieces in self._pieces):
                return True
            if "%" not in text:
                return False
            text = view(text).text
        return False

    def _replace(self, seen: View) -> str:
        changes = []
        for start, end, group in self._matches(seen):
            changes.append((start, end, self._aliases[group]))
        return seen.replace(changes) if changes else seen.original

    def _matches(self, seen: View) -> Iterator[tuple[int, int, int]]:
        position = 0
        while match := self._pattern.search(seen.text, position):
            group = next(index for index, found in enumerate(match.groups()) if found is not None)
            start, end = match.span()
            if begins(seen.text, start) and ends(seen, end):
                yield start, end, group
                position = end
            else:
                position = start + 1

    def _tag(self, match: re.Match[str]) -> str:
        tag = match.group()
        return _ATTRIBUTE.sub(self._attribute, tag) if "=" in tag else tag

    def _attribute(self, match: re.Match[str]) -> str:
        value = unescape(match.group(2)[1:-1])
        clean = self.text(value)
        return match.group() if clean == value else f'{match.group(1)}"{escape(clean)}"'

    def _mask(self, text: str, masks: Sequence[str]) -> str:
        if "links" in masks:
            text = _ANY_LINK.sub(INSTEAD, text)
        if "addresses" in masks and "@" in text:
            text = _ANY_ADDRESS.sub(
                lambda match: match.group() if match.group().lower().endswith("@" + self._domain) else INSTEAD, text)
        if "phones" in masks:
            text = _ANY_PHONE.sub(self._phone, text)
        return text

    def _phone(self, match: re.Match[str]) -> str:
        digits = skeleton(match.group())
        return INSTEAD if 9 <= len(digits) <= 15 and digits not in self._order else match.group()


def _without_marks(text: str) -> str:
    return re.sub(TAG, "", unescape(text))


def _pattern(address: Address, domain: str) -> str:
    """One address in every spelling, for a folded view; no part of it can match the same text in two ways at length."""
    local, labels = _base(address), view(domain).text.split(".")
    written = re.escape(local)
    if not local.replace(".", "").replace("_", "").replace("-", "").isalnum():
        written = f'{written}|"{written}"'
    plain = rf'"?(?:{written}){_PLUS}"?{_AT}' + _DOT.join(map(re.escape, labels))
    spoken = "".join(_SPOKEN.get(char, re.escape(char)) for char in local)
    spoken_domain = "".join(_SPOKEN.get(char, re.escape(char)) for char in ".".join(labels))
    apart = r"\s".join(re.escape(char) for char in f"{local}@{'.'.join(labels)}")
    return f"{plain}|{spoken}{_AT_SPOKEN}{spoken_domain}|{apart}"


def _base(address: Address) -> str:
    """The local part without its +suffix, which names the same mailbox."""
    base = address.local.partition("+")[0] or address.local
    return view(base).text


def _pieces(address: Address, domain: str) -> tuple[str, ...]:
    labels = view(domain).text.split(".")[:-1] or [domain]
    return tuple(filter(None, (skeleton(piece) for label in (_base(address), *labels)
                               for piece in re.split(r"[^\w]|_", label))))


# -- where an address ends ---------------------------------------------------------------------------------


def begins(text: str, start: int) -> bool:
    """Whether an address found at `start` is not the end of a longer one, such as joana@ for ana@."""
    at = start - 1
    while at >= 0 and text[at] in "._+-":
        at -= 1
    return at < 0 or not _continues(text[at], text[start])


def ends(seen: View, end: int) -> bool:
    """Whether an address found up to `end` does not go on, as example.com does in example.com.mx."""
    text, last = seen.text, seen.text[end - 1]
    after = text[end : end + 1]
    if not after or last == "]":
        return True
    if _continues(after, last):
        return False
    following = text[end + 1 : end + 2]
    if not following or not _continues(following, last):
        return True
    return after not in "-_." or (after == "." and not _is_label(seen, end + 1))


def _continues(char: str, edge: str) -> bool:
    """A neighbour makes an address longer when it is a digit, or a letter of the script the address is written in:
    Japanese set close around a Latin address is no part of it."""
    return char.isdecimal() or (char.isalpha() and (edge.isdecimal() or _script(char) == _script(edge)))


@lru_cache(maxsize=2048)
def _script(char: str) -> str:
    return unicodedata.name(char, "?").partition(" ")[0] if char.isalpha() else "?"


def _is_label(seen: View, start: int) -> bool:
    """Whether what follows a dot could go on as a domain name: up to a top-level domain, and no new sentence."""
    more = re.match(r"[\w-]{1,63}(?:\.[\w-]{1,63}){0,8}", seen.text[start : start + 256])
    if more is None:
        return False
    labels = more.group().split(".")
    if len(labels) == 1 and seen.written(start).isupper():
        return False
    return _is_top_level(labels[-1])


@lru_cache(maxsize=1024)
def _is_top_level(label: str) -> bool:
    return label in ("example", "test", "invalid", "localhost") or _suffixes().publicsuffix(f"x.{label}") is not None


@lru_cache(maxsize=1)
def _suffixes() -> PublicSuffixList:
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList(accept_unknown=False)
