"""A text as its reader sees it, with the way back to the characters it was written with.

Folded case and compatibility forms, no invisible characters, entities and percent signs decoded, tags gone: what is
found in a view is changed in the source.
"""

from __future__ import annotations

import html
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote_to_bytes

TAG = r"""<(?:[^<>"']|"[^"]*"|'[^']*')*>"""
_ENTITY = r"&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});?"
_PERCENT = r"(?:%(?:25){0,4}[0-9A-Fa-f]{2})+"
_HTML = re.compile(f"{TAG}|{_ENTITY}")
_PLAIN = re.compile(_PERCENT)
_INLINE_TAG = re.compile(r"</?(?:a|abbr|b|bdi|bdo|big|code|del|em|font|i|ins|kbd|mark|q|s|small|span|strike|strong|sub|"
                         r"sup|tt|u|wbr)[\s/>]", re.IGNORECASE)


@dataclass(frozen=True)
class View:
    """`text` is what is seen; the three lists give, for each piece of it, where it begins in the view, and the span of
    the source that it was made from. A piece of the same length as its source maps character by character."""

    source: str
    text: str
    starts: Sequence[int]
    sources: Sequence[tuple[int, int]]
    is_html: bool = False
    under: View | None = None
    """The view that `source` is the text of, where percent signs were decoded in what tags and entities left."""

    def replace(self, changes: Sequence[tuple[int, int, str]]) -> str:
        """The source with spans of the view exchanged; (from, to, instead) in order. Tags inside a span stay."""
        if self.under is not None:
            return self.under.replace([(self.source_of(start)[0], self.source_of(end - 1)[1], instead)
                                       for start, end, instead in changes])
        out, position = [], 0
        for start, end, instead in changes:
            first, last = self.source_of(start)[0], self.source_of(end - 1)[1]
            if first < position:
                continue
            out += [self.source[position:first], instead, *self._tags(start, end)]
            position = last
        out.append(self.source[position:])
        return "".join(out)

    @property
    def original(self) -> str:
        """What was written, beneath every view."""
        return self.under.original if self.under is not None else self.source

    def source_of(self, at: int) -> tuple[int, int]:
        """The span of the source that the character at `at` was made from."""
        piece = bisect_right(self.starts, at) - 1
        # pieces that show nothing share their start with the next one, which bisect_right has found
        start, end = self.sources[piece]
        seen = (self.starts[piece + 1] if piece + 1 < len(self.starts) else len(self.text)) - self.starts[piece]
        if seen == end - start:
            return start + at - self.starts[piece], start + at - self.starts[piece] + 1
        return start, end

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The span of what was written that the view's [start, end) was made from."""
        first, last = self.source_of(start)[0], self.source_of(end - 1)[1]
        return self.under.span(first, last) if self.under is not None else (first, last)

    def written(self, at: int) -> str:
        """What the character at `at` was made from."""
        start, end = self.source_of(at)
        return self.under.written(start) if self.under is not None else self.source[start:end]

    def _tags(self, start: int, end: int) -> list[str]:
        if not self.is_html:
            return []
        first, last = bisect_right(self.starts, start) - 1, bisect_right(self.starts, end - 1) - 1
        return [piece for begin, stop in self.sources[first : last + 1]
                if (piece := self.source[begin:stop]).startswith("<") and piece.endswith(">") and stop - begin > 1]


def view(text: str, *, is_html: bool = False) -> View:
    """How `text` reads. Linear; the common case, ASCII without marks, costs a lower()."""
    seen = _view(text, is_html=is_html)
    if is_html and "%" in seen.text:
        again = _view(seen.text, is_html=False)
        return View(again.source, again.text, again.starts, again.sources, under=seen)
    return seen


def _view(text: str, *, is_html: bool) -> View:
    tokens = _HTML if is_html else _PLAIN if "%" in text else None
    odd = "".join(re.escape(char) for char in set(text) if len(fold(char)) != 1)
    if tokens is None and not odd:
        return View(text, _fold_all(text), (0,), ((0, len(text)),))
    pattern = re.compile("|".join(filter(None, (tokens.pattern if tokens else "", f"[{odd}]" if odd else ""))))
    seen, starts, sources = list[str](), list[int](), list[tuple[int, int]]()
    at = position = 0
    for match in pattern.finditer(text):
        if match.start() > position:
            piece = _fold_all(text[position : match.start()])
            at = _add(seen, starts, sources, at, piece, (position, match.start()))
        at = _add(seen, starts, sources, at, _token(match.group(), is_html=is_html), match.span())
        position = match.end()
    if position < len(text) or not starts:
        _add(seen, starts, sources, at, _fold_all(text[position:]), (position, len(text)))
    return View(text, "".join(seen), starts, sources, is_html)


def _add(seen: list[str], starts: list[int], sources: list[tuple[int, int]], at: int, piece: str,
         span: tuple[int, int]) -> int:
    seen.append(piece)
    starts.append(at)
    sources.append(span)
    return at + len(piece)


def _token(token: str, *, is_html: bool) -> str:
    if token.startswith("%"):
        return _fold_any(_unpercent(token))
    if is_html and token.startswith("<"):
        return "" if _INLINE_TAG.match(token) else "\n"
    if is_html and token.startswith("&"):
        decoded = html.unescape(token if token.endswith(";") else token + ";")
        return _fold_any(decoded)
    return fold(token)


def _unpercent(text: str) -> str:
    for _ in range(4):
        if "%" not in text:
            break
        text = unquote_to_bytes(text).decode("utf-8", "replace")
    return text


def _fold_any(text: str) -> str:
    return "".join(map(fold, text))


@lru_cache(maxsize=8192)
def fold(char: str) -> str:
    """One character as it is compared: NFKC, case-folded, nothing for what cannot be seen."""
    if char < "\x80":
        return char.lower()
    if unicodedata.category(char) in ("Cf", "Mn", "Me") or char in "\u115f\u1160\u3164\uffa0\u034f":
        return ""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", char).casefold())


def _fold_all(text: str) -> str:
    """fold() of text in which every character folds to one."""
    if text.isascii():
        return text.lower()
    return text.translate({ord(char): fold(char) for char in set(text)})


def skeleton(text: str) -> str:
    """Letters and digits alone: what every spelling of an address has in common with it."""
    if text.isascii():
        return text.encode().translate(_LOWER, delete=_NOT_ALNUM).decode()
    return "".join(re.findall(r"[^\W_]+", _fold_any_fast(text)))


def _fold_any_fast(text: str) -> str:
    return text.translate({ord(char): fold(char) for char in set(text)})


_LOWER = bytes(range(256)).lower()
_NOT_ALNUM = bytes(byte for byte in range(256) if not (byte < 128 and chr(byte).isalnum()))
