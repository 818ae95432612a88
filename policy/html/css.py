"""The accepted CSS: what may stand in a style attribute. Style sheets are not accepted at all."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

import tinycss2  # type: ignore[import-untyped]  # ships no type information

from policy.html.tables import words

MAX_STYLE_CHARS = 2_000
"""No client writes a longer style attribute; tinycss2 reads about 0.3 MB a second."""

_Check = Callable[[str], bool]
_PX = {"": 1.0, "px": 1.0, "pt": 4 / 3, "pc": 16.0, "em": 16.0, "rem": 16.0, "ex": 8.0, "ch": 8.0, "in": 96.0,
       "cm": 37.8, "mm": 3.78}
_LENGTH = re.compile(r"\+?([0-9]{1,5}(?:\.[0-9]{0,12})?|\.[0-9]{1,12})([a-z]{0,3}|%)")
_N = r"[0-9.]{1,12}%?[, ]"
_COLOUR = re.compile(r"#[0-9a-f]{3}|#[0-9a-f]{6}|[a-z]{3,30}"
                     rf"|(?:rgb|hsl)\((?:{_N}){{2}}[0-9.]{{1,12}}%?\)"
                     rf"|(?:rgb|hsl)a\((?:{_N}){{3}}(?:1(?:\.0*)?|0?\.[3-9][0-9]*|[3-9][0-9]%|100%)\)")
_INVISIBLE = re.compile(r"transparent|(?:rgb|hsl)a?\(.*[,/] ?0?(?:\.[0-2][0-9]*)?\)"
                        r"|#[0-9a-f]{3}0|#[0-9a-f]{6}[0-4][0-9a-f]")
_INHERIT = ("inherit", "initial", "unset", "revert")
_LINES = ("none", "hidden", "dotted", "dashed", "solid", "double", "groove", "ridge", "inset", "outset")
_PLAIN = re.compile(r"[A-Za-z0-9#%.,:;()+\- \t\r\n]*")
_SIMPLE = re.compile(r"[ \t\r\n;]*(?:[A-Za-z-]++[ \t\r\n]*+:"
                     r"(?:[A-Za-z0-9#%., \t\r\n-]++|\([0-9., ]*+\))*+(?:;[ \t\r\n;]*+|$))*+")
"""No quote, escape or comment, no bracket but a colour's: splitting is all of parsing, at ten times the speed."""
_SILENT = re.compile(r"-|mso-(?!hide)|page|orphans|widows|break-|font-(?!family|size$)|text-(?:decoration|size|combine)"
                     r"|caret-color|cursor|outline|tab-size|color-scheme")
"""Harmless properties that nobody misses: a client's own, print layout, what only a pointer or caret shows."""


def _in_pixels(value: str) -> tuple[float, str] | None:
    """A length as CSS pixels, or a percentage: (number, "" or "%")."""
    match = _LENGTH.fullmatch(value)
    if match is None or (match[2] != "%" and match[2] not in _PX):
        return None
    return (float(match[1]), "%") if match[2] == "%" else (float(match[1]) * _PX[match[2]], "")


def _length(value: str, px: float, percent: float) -> bool:
    found = _in_pixels(value)
    return found is not None and found[0] <= (percent if found[1] else px)


def _words(*allowed: str) -> _Check:
    words = {*allowed, *_INHERIT}
    return lambda value: value in words


def _lengths(px: float, percent: float, *words: str) -> _Check:
    """Up to four lengths of at most so many pixels or per cent, none negative."""
    allowed = {*words, *_INHERIT}
    return lambda value: all(one in allowed or _length(one, px, percent) for one in value.split()[:5]) \
        and value.count(" ") < 4


def _colour(value: str) -> bool:
    return _COLOUR.fullmatch(value) is not None


def _ink(value: str) -> bool:
    return _colour(value) and value != "transparent"


def _line(value: str) -> bool:
    """border and its like: width, style and colour in any order."""
    return value.count(" ") < 4 and all(one in ("thin", "medium", "thick", *_LINES, *_INHERIT) or _length(one, 40, 0)
                                        or _colour(one) for one in value.split())


def _decoration(value: str) -> bool:
    words = ("none", "underline", "overline", "line-through", *_LINES)
    return value.count(" ") < 4 and all(one in words or _colour(one) for one in value.split())


def _font_size(value: str) -> bool:
    named = ("xx-small", "x-small", "small", "medium", "large", "x-large", "xx-large", "smaller", "larger", *_INHERIT)
    found = _in_pixels(value)
    if value in named or found is None:
        return value in named
    return (70 if found[1] else 8) <= found[0] <= (300 if found[1] else 48)


_SPACE = _lengths(120, 20, "auto")
_BOX = _lengths(2_000, 100, "auto", "none", "fit-content", "max-content", "min-content")
_SIDES = ("top", "right", "bottom", "left")
PROPERTIES: dict[str, _Check] = {
    "color": _ink, "background-color": _colour, "background": _colour,
    "text-align": _words("left", "right", "center", "justify", "start", "end"),
    "text-decoration": _decoration, "text-decoration-line": _decoration, "text-decoration-color": _colour,
    "text-indent": _lengths(120, 20), "text-transform": _words("none", "uppercase", "lowercase", "capitalize"),
    "font-weight": _words("normal", "bold", "bolder", "lighter", *(str(n) for n in range(100, 1000, 100))),
    "font-style": _words("normal", "italic", "oblique"), "font-variant": _words("normal", "small-caps"),
    "font-size": _font_size,
    "letter-spacing": _lengths(10, 0, "normal"), "word-spacing": _lengths(10, 0, "normal"),
    "margin": _SPACE, "padding": _SPACE,
    **{f"{box}-{side}": _SPACE for box in ("margin", "padding") for side in _SIDES},
    "border": _line, **{f"border-{side}": _line for side in _SIDES},
    **{f"border{side}-{what}": _line for side in ("", *(f"-{one}" for one in _SIDES))
       for what in ("width", "style", "color")},
    "border-radius": _lengths(50, 50), "border-collapse": _words("collapse", "separate"),
    "border-spacing": _lengths(40, 0),
    "width": _BOX, "max-width": _BOX, "min-width": _BOX, "height": _BOX, "max-height": _BOX, "min-height": _BOX,
    "box-sizing": _words("border-box", "content-box"), "table-layout": _words("auto", "fixed"),
    "vertical-align": _words("baseline", "sub", "super", "top", "middle", "bottom", "text-top", "text-bottom"),
    "white-space": _words("normal", "nowrap", "pre", "pre-wrap", "pre-line", "break-spaces"),
    "list-style-type": _words("none", "disc", "circle", "square", "decimal", "lower-alpha", "upper-alpha",
                              "lower-roman", "upper-roman", "lower-latin", "upper-latin"),
    "list-style-position": _words("inside", "outside"),
    "direction": _words("ltr", "rtl"), "float": _words("left", "right", "none"),
    "clear": _words("left", "right", "both", "none"),
    "display": _words("block", "inline", "inline-block", "list-item", "table", "inline-table", "table-row",
                      "table-cell"),
    "word-break": _words("normal", "break-all", "keep-all", "break-word"), "word-wrap": _words("normal", "break-word"),
    "overflow-wrap": _words("normal", "break-word", "anywhere"), "hyphens": _words("none", "manual", "auto"),
    "line-break": _words("auto", "normal", "strict", "loose", "anywhere", "after-white-space"),
    "-webkit-nbsp-mode": _words("normal", "space"), "-webkit-line-break": _words("after-white-space"),
}
"""Lower-case property -> may this value (lower case, single spaces, no comments) pass?"""

IMAGE_PERCENT = 80.0
_TOLD = words(
    "font font-family line-height position left right top bottom z-index overflow overflow-x overflow-y transform "
    "filter content clip clip-path animation transition behavior -moz-binding background-image background-position "
    "background-repeat background-size list-style list-style-image cursor opacity visibility box-shadow text-shadow "
    "flex gap grid zoom unicode-bidi writing-mode text-orientation") | PROPERTIES.keys()


@lru_cache(maxsize=4_096)
def filter_style(style: str, image: bool = False) -> tuple[str, tuple[str, ...]]:
    """The style without what is not accepted, and what was cut in words ("CSS position", "hidden text").

    The very same string comes back when nothing was cut. Never raises; what is longer than MAX_STYLE_CHARS is
    cut whole. `image`: the style of an img, which may not be wider than 80 %.
    """
    if len(style) > MAX_STYLE_CHARS:
        return "", ("oversized style",)
    kept: dict[str, str] = {}
    told: list[str] = []
    same = _PLAIN.fullmatch(style) is not None
    for name, value, important in _declarations(style):
        # var(), custom properties and the like never match a check, since each says what it wants
        if name in PROPERTIES and PROPERTIES[name](value) and not (image and _too_wide(name, value)):
            kept.pop(name, None)  # the later of two wins, in its own place (CSS cascade 6)
            kept[name] = value
            same = same and not important
        else:
            same = False
            told += _tell(name, value) if name else []
    if "color" in kept and kept["color"] in (kept.get("background-color"), kept.get("background")):
        del kept["color"]
        told.append("hidden text")
        same = False
    return (style if same else "; ".join(f"{name}: {value}" for name, value in kept.items())), tuple(told)


def _declarations(style: str) -> list[tuple[str, str, bool]]:
    """(lower-case property, value, important?) in order; the name of what is no declaration is empty."""
    if _SIMPLE.fullmatch(style):
        pairs = [one.partition(":") for one in style.lower().split(";")]
        return [(name.strip(), _normalise(value), False) for name, _, value in pairs if name.strip()]
    nodes = tinycss2.parse_declaration_list(style, skip_comments=True, skip_whitespace=True)
    return [(node.lower_name, _normalise(_without_comments(node.value)), node.important)
            if node.type == "declaration" else ("", "", False) for node in nodes]


def _without_comments(value: list[tinycss2.ast.Node]) -> str:
    text: str = tinycss2.serialize([token for token in value if token.type != "comment"])
    return text


def _normalise(text: str) -> str:
    # white space is single after the join, so that these patterns look at most one character back
    return re.sub(r" ?(,) ?|(\() | (\))", r"\1\2\3", " ".join(text.split())).lower()


def _too_wide(name: str, value: str) -> bool:
    found = _in_pixels(value)
    return name in ("width", "min-width") and found is not None and found[1] == "%" and found[0] > IMAGE_PERCENT


def _tell(name: str, value: str) -> list[str]:
    if _hides(name, value):
        return ["hidden text"]
    if "url(" in value and name.startswith("background"):
        return ["background image"]
    if name in _TOLD:
        return [f"CSS {name}"]
    return [] if _SILENT.match(name) else ["other CSS"]


def _hides(name: str, value: str) -> bool:
    """Would this have kept a reader from seeing the text?"""
    if name in ("display", "visibility", "opacity", "mso-hide", "color"):
        return {"display": value == "none", "visibility": value in ("hidden", "collapse"), "mso-hide": value == "all",
                "opacity": value.startswith(("0", ".")), "color": _INVISIBLE.fullmatch(value) is not None}[name]
    if name == "font-size":
        found = _in_pixels(value)
        return found is not None and found[0] < (70 if found[1] else 8)
    return name == "text-indent" and value.startswith("-")
