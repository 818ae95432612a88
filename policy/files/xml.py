"""XML as office documents hold it: read without DTDs and entities, edited tag by tag so that the rest stays."""

from __future__ import annotations

import re
from collections.abc import Callable
from xml.etree import ElementTree

from policy.files.findings import unreadable

MAX_TAGS = 2_000_000
_DECLARATION = re.compile(r"\s*<\?xml[^>]{0,200}\?>")
_ENCODING = re.compile(r"""encoding\s*=\s*["']([^"']*)""")
_TAG = re.compile(rb"""[^"'>]*(?:"[^"]*"[^"'>]*|'[^']*'[^"'>]*)*""")
_ATTRIBUTE = re.compile(rb"""(\s(?:[\w.-]+:)?([\w.-]+)\s*=\s*)("[^"]*"|'[^']*')""")


def utf8(data: bytes) -> bytes:
    """The document without its declaration, as UTF-8. Raises RefusedError for other encodings and for a DTD.

    ECMA-376 part 2, 8.2.5 allows UTF-8 and UTF-16 only, and no DTD: that leaves no room for entities.
    """
    try:
        text = data.decode("utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise unreadable("XML in an unusual encoding") from error
    declaration = _DECLARATION.match(text)
    if declaration:
        encoding = _ENCODING.search(declaration.group())
        if encoding and encoding.group(1).lower() not in ("utf-8", "utf8", "utf-16", "us-ascii", "ascii"):
            raise unreadable("XML in an unusual encoding")
        text = text[declaration.end() :]
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise unreadable("XML with a DTD")
    if "\0" in text or text.count("<") > MAX_TAGS:
        raise unreadable("XML with too many tags")
    return text.encode("utf-8", "replace")


def parse(data: bytes) -> ElementTree.Element:
    """The root of what utf8() gave. Raises RefusedError when it is not well-formed."""
    try:
        return ElementTree.fromstring(data)  # noqa: S314 - utf8() let no DTD pass, and memory is bounded by MAX_TAGS
    except (ElementTree.ParseError, ValueError) as error:
        raise unreadable("XML that is not well-formed") from error


def local(name: str) -> str:
    """The name without its namespace."""
    return name.rpartition("}")[2]


def edit(data: bytes, change: Callable[[bytes, bytes], bytes]) -> bytes:
    """Well-formed UTF-8 XML with `change(name, tag)` applied to each start tag (name without prefix, tag without <).

    A raw `<` is mark-up wherever it stands (XML 1.0 2.4), so the document splits there.
    """
    pieces = data.split(b"<")
    for index, piece in enumerate(pieces):
        if index and piece[:1] not in b"!?/":
            match = _TAG.match(piece)
            assert match is not None, "the pattern matches the empty string"
            tag = match.group()
            name = tag.split(None, 1)[0].rstrip(b"/").rpartition(b":")[2] if tag.strip() else b""
            new = change(name, tag)
            if new is not tag:
                pieces[index] = new + piece[len(tag) :]
    return b"<".join(pieces)


def set_attributes(tag: bytes, values: dict[bytes, bytes]) -> bytes:
    """A start tag with other values for the attributes of these names, whatever their prefix."""
    def replace(match: re.Match[bytes]) -> bytes:
        value = values.get(match.group(2))
        return match.group() if value is None else match.group(1) + b'"' + value + b'"'

    new = _ATTRIBUTE.sub(replace, tag)
    return tag if new == tag else new
