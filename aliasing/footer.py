"""The relay's own lines at the end of a message: written for the reader, and cut out again when they come back quoted.

They stand between two marker lines, the same for ever in each language, at which help-desk tools can cut as well.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from urllib.parse import quote

from aliasing.address import Address
from aliasing.token import Action
from aliasing.view import TAG, view

Markers = tuple[tuple[str, str], ...]
"""(begin, end) for every language that footers were ever written in."""
MAX_LINES = 60
"""How far behind a begin marker its end is looked for; a footer has about fifteen lines."""
MAX_FOOTER_CHARS = 20_000
"""As MAX_LINES, for HTML with the mark-up that clients put around each line."""
_QUOTE_MARKS = re.compile(r"^[\s>|:]*")
_QUOTES = ("blockquote", "table", "tr", "td")
_VOID = ("br", "hr", "img", "col", "wbr", "input", "meta", "link", "area")


@dataclass(frozen=True)
class Choice:
    """One thing that the reader can have done by writing to a sealed address, or on a page where there is one."""

    action: Action
    text: str
    address: Address
    url: str | None = None

    @property
    def sealed(self) -> frozenset[str]:
        """What of it acts in its reader's name."""
        return frozenset([self.address.local, *([self.url.rpartition("/")[2]] if self.url else [])])

    @property
    def href(self) -> str:
        return self.url or f"mailto:{self.address}?subject={quote(self.text)}"


@dataclass(frozen=True)
class Footer:
    """What is put below one message for its one reader, in the reader's language."""

    begin: str
    intro: str
    choices: tuple[Choice, ...]
    end: str

    @property
    def sealed(self) -> frozenset[str]:
        """The sealed addresses and links that this message may carry."""
        return frozenset[str]().union(*(choice.sealed for choice in self.choices))

    def as_text(self) -> str:
        """Lines with CRLF, an empty one in front."""
        lines = ["", self.begin, *self.intro.splitlines(), ""]
        for choice in self.choices:
            lines += [f"{choice.text}:", f"  {choice.url or choice.address}"]
        return "\r\n".join([*lines, self.end, ""])

    def as_html(self) -> str:
        """A paragraph of the accepted HTML, ASCII with character references, so that any charset can hold it."""
        lines = [escape(self.begin), *(escape(line) for line in self.intro.splitlines())]
        lines += [f'<a href="{escape(choice.href)}">{escape(choice.text)}</a>'
                  for choice in self.choices]
        out = '\r\n<p style="color: #555555">' + "<br>\r\n".join([*lines, escape(self.end)]) + "</p>\r\n"
        return out.encode("ascii", "xmlcharrefreplace").decode()


def cut_text(text: str, markers: Markers) -> str:
    """A plain text without the relay's own footers, quoted or not; the same string when there is none.

    An end belongs to a begin of the same depth of quotation with nothing of lesser depth between: what somebody wrote
    below a footer whose end was trimmed away is theirs.
    """
    begins, ends = _marker_lines(markers)
    if not any(marker.split()[1] in text for marker, _ in markers if len(marker.split()) > 1):
        return text
    lines = text.splitlines(keepends=True)
    out: list[str] = []
    begun: int | None = None
    depth = 0
    for line in lines:
        bare, own = _bare(line), _depth(line)
        if begun is not None and (bare in begins or len(out) - begun > MAX_LINES or (bare and own < depth)):
            begun = None
        if bare in begins:
            begun, depth = len(out), own
        elif bare in ends and begun is not None and own == depth:
            del out[begun:]
            begun = None
        else:
            out.append(line)
    return "".join(out)


def cut_html(text: str, markers: Markers) -> str:
    """The same for well-formed HTML: with its mark-up where that is balanced, else its words alone."""
    if not any(word in text for marker, _ in markers for word in marker.split()[1:2]):
        return text
    seen = view(text, is_html=True)
    out, position = [], 0
    for found in _spans(seen.text, markers):
        start, end = seen.span(*found)
        inner = text[start:end]
        if start < position or len(inner) > MAX_FOOTER_CHARS or not _is_balanced(inner, only=_QUOTES):
            continue
        if _is_balanced(inner):
            start, end, instead = *_widened(text, start, end), ""
        else:
            instead = "".join(re.findall(TAG, inner))
        out += [text[position:start], instead]
        position = max(end, position)
    return "".join([*out, text[position:]])


def _widened(text: str, start: int, end: int) -> tuple[int, int]:
    """The span with the element around it, where that held nothing else."""
    opening, closing = _LAST_OPENING.search(text[max(0, start - 300) : start]), _FIRST_CLOSING.match(text, end)
    if opening and closing and opening.group(1) == closing.group(1):
        return start - len(opening.group()), closing.end()
    return start, end


_LAST_OPENING = re.compile(r"<(p|div|span)(?: [^<>]*)?>\s*\Z")
_FIRST_CLOSING = re.compile(r"\s*</(p|div|span)>")


def _spans(seen: str, markers: Markers) -> Iterator[tuple[int, int]]:
    """From each begin marker to the end marker behind it, unless another one begins before."""
    marks = sorted((match.start(), match.end(), which) for pair in markers for which, marker in enumerate(pair)
                   for match in _marker_pattern(marker).finditer(seen))
    for (start, _, first), (_, end, second) in itertools.pairwise(marks):
        if (first, second) == (0, 1):
            yield start, end


@lru_cache(maxsize=64)
def _marker_pattern(marker: str) -> re.Pattern[str]:
    return re.compile(r"\s+".join(re.escape(word) for word in view(marker).text.split()))


@lru_cache(maxsize=8)
def _marker_lines(markers: Markers) -> tuple[frozenset[str], frozenset[str]]:
    return frozenset(_bare(begin) for begin, _ in markers), frozenset(_bare(end) for _, end in markers)


def _bare(line: str) -> str:
    return " ".join(_QUOTE_MARKS.sub("", line[:400]).casefold().split())


def _depth(line: str) -> int:
    """How deep a line is quoted."""
    marks = _QUOTE_MARKS.match(line[:400])
    return sum(mark in ">|" for mark in marks.group()) if marks else 0


def _is_balanced(html: str, only: Sequence[str] = ()) -> bool:
    """Whether every element (or those named) that begins in `html` ends in it and the other way round."""
    open_: list[str] = []
    for tag in re.findall(TAG, html):
        name = re.match(r"</?([A-Za-z0-9]*)", tag)
        element = name.group(1).lower() if name else ""
        if only and element not in only:
            continue
        if tag.startswith("</"):
            if not open_ or open_.pop() != element:
                return False
        elif element not in _VOID and not tag.endswith("/>"):
            open_.append(element)
    return not open_
