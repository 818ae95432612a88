"""The relay's own lines at the end of a message: written for the reader, and cut out again when they come back quoted.

They stand between two marker lines, the same for ever in each language, at which help-desk tools can cut as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
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
_QUOTE_MARKS = re.compile(r"^[\s>|:]*")
_VOID = ("br", "hr", "img", "col", "wbr", "input", "meta", "link", "area")


@dataclass(frozen=True)
class Choice:
    """One thing that the reader can have done by writing to a sealed address."""

    action: Action
    text: str
    address: Address


@dataclass(frozen=True)
class Footer:
    """What is put below one message for its one reader, in the reader's language."""

    begin: str
    intro: str
    choices: tuple[Choice, ...]
    end: str

    @property
    def sealed(self) -> frozenset[str]:
        """The sealed addresses that this message may carry."""
        return frozenset(str(choice.address) for choice in self.choices)

    def as_text(self) -> str:
        """Lines with CRLF, an empty one in front."""
        lines = ["", self.begin, *self.intro.splitlines(), ""]
        for choice in self.choices:
            lines += [f"{choice.text}:", f"  {choice.address}"]
        return "\r\n".join([*lines, self.end, ""])

    def as_html(self) -> str:
        """A paragraph of the accepted HTML, ASCII with character references, so that any charset can hold it."""
        lines = [escape(self.begin), *(escape(line) for line in self.intro.splitlines())]
        lines += [f'<a href="mailto:{choice.address}?subject={quote(choice.text)}">{escape(choice.text)}</a>'
                  for choice in self.choices]
        out = '\r\n<p style="color: #555555">' + "<br>\r\n".join([*lines, escape(self.end)]) + "</p>\r\n"
        return out.encode("ascii", "xmlcharrefreplace").decode()


def cut_text(text: str, markers: Markers) -> str:
    """A plain text without the relay's own footers, quoted or not; the same string when there is none."""
    begins, ends = _marker_lines(markers)
    if not any(marker.split()[1] in text for marker, _ in markers if len(marker.split()) > 1):
        return text
    out, lines = [], text.splitlines(keepends=True)
    number = 0
    while number < len(lines):
        if _bare(lines[number]) in begins:
            behind = range(number, min(number + MAX_LINES, len(lines)))
            number = next((at for at in behind if _bare(lines[at]) in ends), number) + 1
            continue
        out.append(lines[number])
        number += 1
    return "".join(out)


def cut_html(text: str, markers: Markers) -> str:
    """The same for well-formed HTML: with its mark-up where that is balanced, else its words alone."""
    if not any(word in text for marker, _ in markers for word in marker.split()[1:2]):
        return text
    for _ in range(50):
        seen = view(text, is_html=True)
        found = next(_spans(seen.text, markers), None)
        if found is None:
            break
        start, end = seen.span(*found)
        inner = text[start:end]
        cut = _joined(text[:start], text[end:]) if _is_balanced(inner) else seen.replace([(*found, "")])
        if cut == text:
            break
        text = cut
    return text


def _joined(before: str, after: str) -> str:
    """The two, without the element that held nothing but what stood between them."""
    opening, closing = _LAST_OPENING.search(before[-300:]), _FIRST_CLOSING.match(after)
    if opening and closing and opening.group(1) == closing.group(1):
        before, after = before[: len(before) - len(opening.group())], after[closing.end() :]
    return before + after


_LAST_OPENING = re.compile(r"<(p|div|span)(?: [^<>]*)?>\s*\Z")
_FIRST_CLOSING = re.compile(r"\s*</(p|div|span)>")


def _spans(seen: str, markers: Markers) -> Iterator[tuple[int, int]]:
    for begin, end in markers:
        first = _marker_pattern(begin).search(seen)
        if first:
            last = _marker_pattern(end).search(seen, first.end(), first.end() + 10_000)
            yield first.start(), last.end() if last else first.end()


@lru_cache(maxsize=64)
def _marker_pattern(marker: str) -> re.Pattern[str]:
    return re.compile(r"\s+".join(re.escape(word) for word in view(marker).text.split()))


@lru_cache(maxsize=8)
def _marker_lines(markers: Markers) -> tuple[frozenset[str], frozenset[str]]:
    return frozenset(_bare(begin) for begin, _ in markers), frozenset(_bare(end) for _, end in markers)


def _bare(line: str) -> str:
    return " ".join(_QUOTE_MARKS.sub("", line[:400]).casefold().split())


def _is_balanced(html: str) -> bool:
    """Whether every element that begins in `html` ends in it and the other way round."""
    open_: list[str] = []
    for tag in re.findall(TAG, html):
        name = re.match(r"</?([A-Za-z0-9]*)", tag)
        element = name.group(1).lower() if name else ""
        if tag.startswith("</"):
            if not open_ or open_.pop() != element:
                return False
        elif element not in _VOID and not tag.endswith("/>"):
            open_.append(element)
    return not open_
