"""The HTML that may pass: accepted tags, attributes and CSS (tables.py, css.py); everything else is removed.

`clean` has two ways. What a strict grammar reads in one way only, and the tables accept whole, stays byte for byte.
All else is parsed and written anew by nh3, and then judged tag by tag against the same tables, so that what leaves
is always text in the strict grammar: no parser can find another document in it.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from html import escape
from html.entities import html5

import nh3

from aliasing.encodings import unescape
from policy.html.css import MAX_STYLE_CHARS, filter_style
from policy.html.tables import (
    ATTRIBUTES,
    CONTENT_DROPPED,
    GLOBAL_ATTRIBUTES,
    MARKERS,
    TAGS,
    TOLD_ATTRIBUTES,
    URL_SCHEMES,
    VALUES,
    tell_attribute,
)
from policy.html.tokens import ATTRIBUTE, NOT_TEXT, TAG, Survey, flatten, read_strict

__all__ = ["Cleaned", "HtmlSettings", "clean"]

MAX_LINE_BYTES = 900
"""Under the 998 of RFC 5322 2.1.1, with room for a client that counts otherwise."""
MAX_STYLES_CHARS = 100_000
"""All different style attributes of one text together; beyond it they are cut, since CSS is read in Python."""
_MAX_IMAGE_PERCENT = 80
_MAX_TOLD = 20
_TRACKING_PIXELS = 3
_OPENING = '<!DOCTYPE html>\r\n<html><head><meta charset="utf-8"></head><body>'
_CLOSING = "</body></html>"


@dataclass(frozen=True)
class HtmlSettings:
    """The operator's choice."""

    links: str = "unlink"
    """"unlink": a link loses its target, its text stays; "keep": http, https, mailto and tel stay."""


@dataclass(frozen=True)
class Cleaned:
    """What may pass, and what a person would miss or a guard would ask about."""

    html: str
    removed: tuple[str, ...]
    """In words, each kind once with its count where it is more than one: "script (2)", "CSS position"."""


def clean(html: str, settings: HtmlSettings) -> Cleaned:
    """The text without what the tables do not accept; the very same string when there is nothing to remove.

    Otherwise a complete document with CRLF line ends, which a second call returns as it is. Never raises;
    linear in the size. Tags, comments and attributes that nobody misses go without a word in `removed`.
    """
    if _is_accepted(html, settings):
        return Cleaned(html, ())
    text = html.encode("utf-8", "replace").decode("utf-8")  # a lone surrogate is no text for nh3
    survey = Survey.of(text)
    if not survey.too_costly:
        cleaned = _write_anew(text, settings, survey.told.copy())
        # what nh3 makes deeper than the grammar allows is flattened too, and anything else it might surprise us with
        if _is_accepted(cleaned.html, settings):
            return cleaned
    survey.told["markup too tangled to keep"] += 1
    return _write_anew(flatten(text), settings, survey.told)


def _write_anew(text: str, settings: HtmlSettings, told: Counter[str]) -> Cleaned:
    judge = _Judge(settings, told)
    body = judge.rewrite(_as_text_lines(_parse(text, told)))
    return Cleaned(_OPENING + _fold(body) + _CLOSING, _in_words(told))


def _is_accepted(html: str, settings: HtmlSettings) -> bool:
    judge = _Judge(settings, Counter())
    frame = read_strict(html, judge.accepts)
    return frame is not None and judge.accepts(f"<body{frame.body_attributes}>")


_CLEANER = nh3.Cleaner(
    tags=set(TAGS),
    clean_content_tags=set(CONTENT_DROPPED),
    # what is told is let through here, so that _Judge meets it, counts it and removes it
    attributes={"*": {*GLOBAL_ATTRIBUTES, *TOLD_ATTRIBUTES}, **{tag: set(names) for tag, names in ATTRIBUTES.items()}},
    generic_attribute_prefixes={"on"},
    url_schemes=set(URL_SCHEMES),
    strip_comments=True,
    link_rel=None,
)


_AMPERSAND = "\ufdd0"
_STANDS_FOR = {_AMPERSAND: "&amp;", "\ufdd1": "&lt;", "\ufdd2": "&gt;", "\u00a0": "&nbsp;"}
"""Noncharacters of Unicode in the place of the common references: html5ever takes 2 to 7 microseconds for each."""
_SPARE = [*range(0xFDD3, 0xFDF0), 0xFFFE, 0xFFFF, 0x1FFFE]
_SLOW = dict(zip(range(0xA0, 0xC0), _SPARE, strict=True))
_QUICK = {there: here for here, there in _SLOW.items()}
"""More noncharacters, for Latin-1's signs: nh3 looks through all the text before it once for each of these."""
_STRIPPED = re.compile("[" + "".join(map(chr, (0xFDD0, 0xFDD1, 0xFDD2, *_SPARE))) + "\x80-\x9f]")
"""No text, and C1 controls are as slow."""
_LEGACY = "|".join(sorted(name for name in html5 if not name.endswith(";")))
_NO_REFERENCE = re.compile(rf"&(?!#[0-9xX]|[a-zA-Z][a-zA-Z0-9]{{1,31}};|{_LEGACY})")
MAX_REFERENCES = 50_000


def _parse(text: str, told: Counter[str]) -> str:
    """nh3's text; the count of references that cost time is bounded."""
    text = _STRIPPED.sub("", text)
    for character, reference in _STANDS_FOR.items():
        text = text.replace(reference, character)
    text = _NO_REFERENCE.sub(_AMPERSAND, text)
    if text.count("&") > MAX_REFERENCES:
        told["too many character references"] += 1
        text = text.replace("&", _AMPERSAND)
    text = _CLEANER.clean(text.translate(_SLOW)).translate(_QUICK)
    for character, reference in _STANDS_FOR.items():
        text = text.replace(character, reference)
    return text


@dataclass
class _Judge:
    """Judges tags against the tables, each different tag once."""

    settings: HtmlSettings
    told: Counter[str]
    _seen: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    _styles: set[str] = field(default_factory=set)
    _styles_left: int = MAX_STYLES_CHARS

    def accepts(self, raw: str) -> bool:
        """Does this tag pass as it is?"""
        return self._judged(raw) == (raw, ())

    def rewrite(self, text: str) -> str:
        """nh3's text with each tag judged; what was removed is added to `told`."""
        pieces, position = [], 0
        for match in TAG.finditer(text):
            pieces.append(text[position : match.start()])
            position = match.end()
            new, told = self._judged(match[0])
            if told:
                self.told.update(told)
            pieces.append(new)
        pieces.append(text[position:])
        return "".join(pieces)

    def _judged(self, raw: str) -> tuple[str, tuple[str, ...]]:
        known = self._seen.get(raw)
        if known is None:
            match = TAG.fullmatch(raw)
            assert match is not None
            known = (raw, ()) if match[1] or (not match[3] and match[2] != "img") else self._judge(match)
            self._seen[raw] = known
        return known

    def _judge(self, match: re.Match[str]) -> tuple[str, tuple[str, ...]]:
        tag, told = match[2].lower(), list[str]()
        given = ATTRIBUTE.findall(match[3])
        kept: dict[str, str] = {}
        same = True
        for spelling, written in given:
            name, value = spelling.lower(), unescape(written)
            new = self._attribute(tag, name, value, told) if name not in kept else None
            same = same and new == value
            if new is not None:
                kept[name] = new
        if tag == "a" and "href" not in kept and kept.keys() & {"target", "rel"}:
            same = False
            kept = {name: value for name, value in kept.items() if name not in ("target", "rel")}
        if tag == "img" and "src" not in kept:
            return _without_image({name.lower(): unescape(value) for name, value in given}, told)
        if same:
            return match[0], tuple(told)
        return f"<{tag}{''.join(f' {name}={_quoted(value)}' for name, value in kept.items())}>", tuple(told)

    def _attribute(self, tag: str, name: str, value: str, told: list[str]) -> str | None:
        """The value that may stay, None for none; what is worth telling goes to `told`."""
        if name not in GLOBAL_ATTRIBUTES and name not in ATTRIBUTES.get(tag, ()):
            told += tell_attribute(name)
            return None
        if name == "style":
            return self._style(tag, value, told)
        if name in ("class", "id"):
            return " ".join(one for one in value.split() if one in MARKERS) or None
        if name == "href":
            return self._link(value, told)
        if not VALUES[name].fullmatch(value):
            return None
        if tag == "img" and name == "width" and value.endswith("%") and float(value[:-1]) > _MAX_IMAGE_PERCENT:
            told.append(f"image wider than {_MAX_IMAGE_PERCENT} %")
            return None
        return value

    def _style(self, tag: str, value: str, told: list[str]) -> str | None:
        if value not in self._styles:
            self._styles.add(value)
            self._styles_left -= min(len(value), MAX_STYLE_CHARS)
        if self._styles_left < 0:
            told.append("oversized style")
            return None
        style, cut = filter_style(value, tag == "img")
        told += cut
        return style or None

    def _link(self, value: str, told: list[str]) -> str | None:
        if self.settings.links == "keep" and VALUES["href"].fullmatch(value):
            return value
        if not value.startswith("#"):
            told.append("script link" if "script:" in value.lower() else "link")
        return None


def _without_image(given: dict[str, str], told: list[str]) -> tuple[str, tuple[str, ...]]:
    """An image that is not part of the message is replaced by its alternative text."""
    sizes = [given.get(side, "") for side in ("width", "height")]
    sizes += re.findall(r"(?:^|[;\s])(?:width|height)\s?:\s?(\d{1,4})(?:px)?(?![\d.%])", given.get("style", ""))
    if any(size.removesuffix("px").isdecimal() and int(size.removesuffix("px")) <= _TRACKING_PIXELS for size in sizes):
        return "", (*told, "tracking pixel")
    kind = "embedded image" if given.get("src", "").lower().startswith("data:") else "external image"
    return escape(given.get("alt", ""), quote=False), (*told, kind)


def _quoted(value: str) -> str:
    return '"' + escape(value).replace("&#x27;", "'") + '"'


def _as_text_lines(text: str) -> str:
    """nh3's text with CRLF line ends, and without the control characters that references may have spelt."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return NOT_TEXT.sub("", text).replace("\n", "\r\n")


def _in_words(told: Counter[str]) -> tuple[str, ...]:
    words = [f"{what} ({count})" if count > 1 else what for what, count in told.items()]
    return (*words[:_MAX_TOLD], *(["more of other kinds"] if len(words) > _MAX_TOLD else []))


_TAG_OR_TEXT = re.compile(r"<[^>]*>|[^<]+")


def _fold(text: str) -> str:
    """Lines of at most MAX_LINE_BYTES where a break changes nothing: inside tags, and at spaces that collapse."""
    if len(text) <= MAX_LINE_BYTES // 4:
        return text
    collapses = "<pre" not in text and "white-space" not in text
    first = len(_OPENING) - _OPENING.rindex("\n")
    return "\r\n".join(_fold_line(line, first if index == 0 else 0, collapses)
                       for index, line in enumerate(text.split("\r\n")))


def _fold_line(line: str, column: int, collapses: bool) -> str:
    if len(line.encode()) + column <= MAX_LINE_BYTES - len(_CLOSING):
        return line
    out = []
    for piece in _TAG_OR_TEXT.findall(line):
        if not piece.startswith("<"):
            text, column = _fold_text(piece, column) if collapses else (piece, column + len(piece.encode()))
            out.append(text)
            continue
        size = len(piece.encode())
        # 60 leaves room for a short text between two tags
        if column + size <= MAX_LINE_BYTES - 60:
            column += size
        else:
            name = re.match(r"</?\w+", piece)
            assert name is not None
            piece, column = f"{name[0]}\r\n{piece[name.end():].lstrip(' ')}", size - name.end()  # noqa: PLW2901
        out.append(piece)
    return "".join(out)


def _fold_text(text: str, column: int) -> tuple[str, int]:
    out = []
    for index, word in enumerate(text.split(" ")):
        size = len(word.encode())
        if index and column + size >= MAX_LINE_BYTES - 60:
            out.append("\r\n")
            column = 0
        elif index:
            out.append(" ")
            column += 1
        out.append(word)
        column += size
    return "".join(out), column


