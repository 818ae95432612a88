"""Reading tags: a strict grammar that has one reading only, and a lenient reader that bounds the parser's work.

The strict one decides whether the writer's own bytes may stay. Where it says no, nh3 (html5ever, the parser of
the HTML standard) reads the text instead. The lenient one tokenises as the standard does (13.2.5) and judges
nothing but cost and words: html5ever takes quadratic time on deep nesting and squares the text on formatting tags
that are never closed.
"""

from __future__ import annotations

import html.entities
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from policy.html.tables import META_CHARSETS, TAGS, TOLD_TAGS, VOID, tell_attribute, words

MAX_DEPTH = 400
MAX_ATTRIBUTES = 5_000
MAX_TAGS = 500_000
"""A 10 MB message of nothing but short table rows has fewer; each costs about 4 microseconds."""
_FREE_CLONES = 20_000

TAG = re.compile(r'<(/?)([a-zA-Z][a-zA-Z0-9]*)((?:[ \t\r\n]+[a-zA-Z-]+="[^"<>]*")*)[ \t\r\n]*/?>')
ATTRIBUTE = re.compile(r'([a-zA-Z-]+)="([^"]*)"')
NOT_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_REFERENCE = re.compile(r"&(?:#([0-9]{1,7});|#[xX]([0-9a-fA-F]{1,6});|([a-zA-Z][a-zA-Z0-9]{1,31};))")
_META = (rf'<meta (?:charset="(?:{META_CHARSETS})"'
         rf'|http-equiv="content-type" content="text/html; ?charset=(?:{META_CHARSETS})") ?/?>')
_HEAD = re.compile(r"(?:\s*<!DOCTYPE html>)?\s*<html>\s*(?:<head>\s*"
                   rf"(?:(?:{_META}|<title>[^<]*</title>)\s*)*</head>\s*)?(?=<body[\s>])", re.IGNORECASE)
_BODY = re.compile(r'<body((?:[ \t\r\n]+[a-zA-Z-]+="[^"<>]*")*)[ \t\r\n]*>', re.IGNORECASE)
_TAIL = re.compile(r"</body>\s*</html>\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Strict:
    """A text in the strict grammar: where its body's content stands, and the body's attributes."""

    start: int
    end: int
    body_attributes: str


def read_strict(text: str, accepts: Callable[[str], bool]) -> Strict | None:
    """The text's frame when every tag and reference in it has one reading for every parser, else None.

    Accepted tags only, double-quoted attributes, balanced; no comment, no stray `<`, nothing that switches a
    tokeniser's state (raw text elements, foreign content, CDATA). `accepts` is asked once for each different tag.
    """
    if NOT_TEXT.search(text) or not _references_are_plain(text):
        return None
    start, end, attributes = 0, len(text), ""
    if head := _HEAD.match(text):
        body = _BODY.match(text, head.end())
        tail = _TAIL.match(text, max(0, text.rfind("</body>"), text.rfind("</BODY>")))
        if body is None or tail is None or tail.end() != len(text):
            return None
        start, end, attributes = body.end(), tail.start(), body[1]
    if not _is_balanced(text, start, end, accepts):
        return None
    return Strict(start, end, attributes)


def _references_are_plain(text: str) -> bool:
    found = set(_REFERENCE.findall(text))
    if "&" in text and text.count("&") != sum(1 for _ in _REFERENCE.finditer(text)):
        return False
    return all(name in html.entities.html5 if name else _is_text(int(decimal) if decimal else int(hexadecimal, 16))
               for decimal, hexadecimal, name in found)


def _is_text(code: int) -> bool:
    return code in (9, 10) or (32 <= code <= 0x10FFFF and NOT_TEXT.match(chr(code)) is None)


def _is_balanced(text: str, start: int, end: int, accepts: Callable[[str], bool]) -> bool:
    seen: set[str] = set()
    stack: list[str] = []
    found = 0
    for match in TAG.finditer(text, start, end):
        found += 1
        name = match[2].lower()
        if match[0] not in seen:
            if name not in TAGS or not accepts(match[0]):
                return False
            seen.add(match[0])
        if match[1]:
            if match[3] or not stack or stack.pop() != name:
                return False
        elif name not in VOID:
            stack.append(name)
            if len(stack) > MAX_DEPTH or match[0].endswith("/>"):
                return False
    return not stack and text.count("<", start, end) == found


_SPACE = r"[\t\n\f\r ]"
_ATTRIBUTES = (rf"(?:[\t\n\f\r /]*+[^\t\n\f\r />][^\t\n\f\r />=]*+"
               rf"""(?:{_SPACE}*+={_SPACE}*+(?:"[^"]*+"|'[^']*+'|(?!["'])[^\t\n\f\r >]*+)|(?!{_SPACE}*+=)))*+"""
               r"[\t\n\f\r /]*+>")
_MARKUP = re.compile(rf"<(?:(/?)([a-zA-Z][^\t\n\f\r />]*+)((?:{_ATTRIBUTES})?)|(!--)|[!?/])")
_ONE_ATTRIBUTE = re.compile(rf"""[^\t\n\f\r />][^\t\n\f\r />=]*+(?:{_SPACE}*+={_SPACE}*+"""
                            r"""(?:"[^"]*+"|'[^']*+'|[^\t\n\f\r >]*+))?+""")
_COMMENT_END = re.compile(r"--!?>")
_RAW = {name: re.compile(rf"</{name}(?=[\t\n\f\r />])", re.IGNORECASE)
        for name in words("script style title textarea xmp iframe noembed noframes noscript")}
_FOREIGN = frozenset({"svg", "math", "select", "frameset", "template"})


class Markup(NamedTuple):
    """One tag (or, with an empty name, a comment or declaration) and the raw text that belongs to it."""

    start: int
    end: int
    name: str
    closing: bool
    raw: str
    content: str = ""


def read_leniently(text: str) -> Iterator[Markup]:
    """The tags as a browser's tokeniser meets them. Linear; an unfinished tag or comment ends the text."""
    position, size = 0, len(text)
    while match := _MARKUP.search(text, position):
        start, position = match.span()
        name = (match[2] or "").lower()
        if not name:
            position = _comment_end(text, position) if match[4] else text.find(">", start + 2) + 1 or size
            yield Markup(start, position, "", False, match[0])
            continue
        if not match[3]:
            yield Markup(start, size, "", False, "")
            return
        content = ""
        if name in _RAW and not match[1]:
            closing = _RAW[name].search(text, position)
            stop = closing.start() if closing else size
            content, position = text[position:stop], stop
        yield Markup(start, position, name, bool(match[1]), match[0], content)
        if name == "plaintext":
            return


def _comment_end(text: str, position: int) -> int:
    if text.startswith((">", "->"), position):
        return text.index(">", position) + 1
    found = _COMMENT_END.search(text, position)
    return found.end() if found else len(text)


_FORMATTING = words("a b big code em font i nobr s small strike strong tt u")
_NO_CONTENT = VOID | words("area base basefont bgsound embed frame image input keygen link meta param source "
                           "track html head body plaintext") | frozenset(_RAW)
_IMPLIED_END = words("p li dd dt td th tr tbody thead tfoot option")
_ROW_ENDS = frozenset({"td", "th", "tr", "tbody", "thead", "p"})
_ENDED_BY = {
    "li": frozenset({"li", "p"}), "dd": frozenset({"dd", "dt", "p"}), "dt": frozenset({"dd", "dt", "p"}),
    "option": frozenset({"option"}), "td": frozenset({"td", "th", "p"}), "th": frozenset({"td", "th", "p"}),
    "tr": frozenset({"td", "th", "tr", "p"}), "tbody": _ROW_ENDS, "tfoot": _ROW_ENDS,
}
_PARAGRAPH = frozenset({"p"})
_CLOSES_ITSELF = frozenset({"a", "nobr", "button"})
_TABLE = words("table caption colgroup col thead tbody tfoot tr td th")
_HEADINGS = words("h1 h2 h3 h4 h5 h6")
_ENDED_BY |= dict.fromkeys(_HEADINGS, _HEADINGS | _PARAGRAPH)
_KEEPS_P = _FORMATTING | (VOID - {"hr"}) | words("span sub sup del ins kbd samp var abbr q cite bdi label")


@dataclass(slots=True)
class Survey:
    """What lies in a text before the parser sees it: the words for the ledger, and whether it costs too much."""

    told: Counter[str] = field(default_factory=Counter)
    too_costly: bool = False
    _stack: list[str] = field(default_factory=list)
    _open: Counter[str] = field(default_factory=Counter)
    _formatting: int = 0
    _orphans: bool = False  # may the parser have closed something around an open formatting tag, to reopen it later?
    _clones_left: int = _FREE_CLONES
    _foreign: bool = False
    _unread: int = 0

    @classmethod
    def of(cls, text: str) -> Survey:
        """Survey the whole text. An end tag counts only where it closes the innermost tag, so that the depth
        found is never less than the parser's, whatever scopes hold an end tag back from it (13.2.4.2)."""
        # a tag that is opened again is about 25 octets: the text may grow threefold and half a megabyte, not more
        survey = cls(too_costly=text.count("<") > MAX_TAGS, _clones_left=_FREE_CLONES + len(text) // 10)
        for markup in read_leniently(text):
            survey._take(markup)
            if survey.too_costly:
                break
        return survey

    def _take(self, markup: Markup) -> None:
        name = markup.name
        if not name:
            # a real CDATA section exists in foreign content only, and there hides whatever it likes
            self.too_costly |= self._foreign and markup.raw == "<!"
            return
        if markup.closing:
            self._close(name)
            return
        if name in TOLD_TAGS:
            self.told[TOLD_TAGS[name]] += 1
        elif name == "meta" and "refresh" in markup.raw.lower():
            self.told["page redirect"] += 1
        elif name == "body":  # nh3 reads a fragment and drops this tag unseen
            self.told.update(word for one in _ONE_ATTRIBUTE.findall(markup.raw, 5)
                             for word in tell_attribute(one.partition("=")[0].strip().lower()))
        if len(markup.raw) > 4 * MAX_ATTRIBUTES and len(_ONE_ATTRIBUTE.findall(markup.raw)) > MAX_ATTRIBUTES:
            self.too_costly = True  # the parser compares each attribute's name with all before it
        if markup.content:
            self._raw_text(markup)
        self._start(name)
        self.too_costly |= len(self._stack) + self._unread > MAX_DEPTH or self._clones_left < 0

    def _raw_text(self, markup: Markup) -> None:
        if self._foreign:  # there these are ordinary tags
            self._unread += markup.content.count("<")
            self._orphans = True
        if markup.name == "script" and "<!--" in markup.content and "<script" in markup.content.lower():
            self.too_costly = True  # script data double escaped (13.2.5.27): its end is elsewhere

    def _start(self, name: str) -> None:
        self._foreign |= name in _FOREIGN
        enders = _ENDED_BY.get(name) or (() if name in _KEEPS_P or ":" in name else _PARAGRAPH)
        if self._formatting and not self._orphans:
            self._orphans = self._foreign or any(self._open[one] for one in enders) \
                or (name in _CLOSES_ITSELF and self._open[name] > 0) or (name in _TABLE and self._open["table"] > 0)
        if self._orphans:
            self._clones_left -= self._formatting + self._unread
        if name in _NO_CONTENT:
            return
        while self._stack and self._stack[-1] in enders:
            self._pop()
        self._stack.append(name)
        self._open[name] += 1
        self._formatting += name in _FORMATTING

    def _close(self, name: str) -> None:
        if not self._open[name]:
            self._orphans |= self._formatting > 0
            return
        while self._stack[-1] != name and self._stack[-1] in _IMPLIED_END and name not in _FORMATTING \
                and not self._foreign:
            self._pop()
        if self._stack[-1] == name:
            self._pop()
        else:
            self._orphans = True

    def _pop(self) -> None:
        name = self._stack.pop()
        self._open[name] -= 1
        self._formatting -= name in _FORMATTING


def flatten(text: str) -> str:
    """The text alone, a line break where a block or cell began: for what would cost the parser too much."""
    if text.count("<") > MAX_TAGS:
        return re.sub(r"<[^<>]*>", " ", text).replace("<", "&lt;")
    pieces, position = [], 0
    for markup in read_leniently(text):
        pieces.append(text[position : markup.start].replace("<", "&lt;"))
        if markup.name and (markup.name == "br" or (not markup.closing and markup.name not in _KEEPS_P)):
            pieces.append("<br>")
        position = markup.end
    pieces.append(text[position:].replace("<", "&lt;"))
    return "".join(pieces)
