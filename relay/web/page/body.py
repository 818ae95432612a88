"""A kept message made ready to be looked at: its text without the relay's own lines, its HTML for the sandbox, its
files. Pure.

The lines that the relay put below a message hold sealed addresses by which the *reader* can have things done: here they
are cut, whoever looks.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from html import unescape

from aliasing.message import Message, Part
from policy.files.sniff import sniff
from policy.rules.attachments import attachments
from relay.web.content import rendered

IMAGES = {"jpeg": "image/jpeg", "png": "image/png", "gif": "image/gif", "bmp": "image/bmp"}
"""What a browser shows, by what the content is and not by what its name says."""
MAX_IMAGES_BYTES = 4_000_000
"""Of the images that stand inside one message's HTML; further ones are left out there, and are files still."""
MAX_TEXT_CHARS = 200_000
_SOURCE = re.compile(r"""(<img\b[^<>]*?\bsrc\s*=\s*)("cid:[^"<>]*"|'cid:[^'<>]*'|cid:[^\s"'<>]*)""", re.IGNORECASE)
_QUOTED = re.compile(r"\s*>")


@dataclass(frozen=True)
class File:
    """One attachment as the thread lists it."""

    number: int
    name: str | None
    size: int
    is_image: bool


@dataclass(frozen=True)
class Body:
    """`text` is what was written, `quoted` the old mail below it; `has_html` when there is a frame to show."""

    text: str
    quoted: str
    has_html: bool
    html_chars: int
    files: tuple[File, ...]


def body_of(raw: bytes) -> Body:
    """Raises MessageError for what cannot be read as a message."""
    found = rendered(raw)
    message = Message.parse(raw)
    parts = attachments(message)
    files = tuple(File(one["number"], one["name"], one["size"], sniff(message.decoded(part)) in IMAGES)
                  for one, part in zip(found["attachments"], parts, strict=True))
    text, quoted = split_quote((found["text"] or "")[:MAX_TEXT_CHARS])
    html = found["html"] or ""
    return Body(text, quoted, bool(html), len(re.sub(r"<[^>]*>", "", html)), files)


def framed(raw: bytes) -> str | None:
    """The HTML for the sandboxed frame, its own images inside it; None where there is none. Raises MessageError."""
    html = rendered(raw)["html"]
    if html is None:
        return None
    message = Message.parse(raw)
    images = {_id(part): part for part in message.root.leaves() if part.field("content-id")}
    return _with_images(html, message, images)


def image(raw: bytes, number: int) -> tuple[str, bytes] | None:
    """(media type, content) of an attachment that is an image a browser shows. Raises MessageError."""
    message = Message.parse(raw)
    found = attachments(message)
    if not 1 <= number <= len(found):
        return None
    data = message.decoded(found[number - 1])
    kind = IMAGES.get(sniff(data))
    return (kind, data) if kind else None


def split_quote(text: str) -> tuple[str, str]:
    """(what was written, the quoted mail at its end with the line that introduces it)."""
    lines = text.replace("\r\n", "\n").rstrip().split("\n")
    start = len(lines)
    while start and (not lines[start - 1].strip() or _QUOTED.match(lines[start - 1])):
        start -= 1
    if not any(_QUOTED.match(line) for line in lines[start:]):
        return "\n".join(lines).strip("\n"), ""
    if start and lines[start - 1].rstrip().endswith(":"):
        start -= 1
    return "\n".join(lines[:start]).strip("\n").rstrip(), "\n".join(lines[start:]).strip("\n")


def _with_images(html: str, message: Message, images: dict[str, Part]) -> str:
    left = MAX_IMAGES_BYTES

    def inside(match: re.Match[str]) -> str:
        nonlocal left
        part = images.get(unescape(match[2].strip("\"'"))[4:])
        data = message.decoded(part) if part else b""
        kind = IMAGES.get(sniff(data)) if data else None
        if kind is None or len(data) > left:
            return f'{match[1]}""'
        left -= len(data)
        return f'{match[1]}"data:{kind};base64,{base64.b64encode(data).decode()}"'

    return _SOURCE.sub(inside, html)


def _id(part: Part) -> str:
    found = part.field("content-id")
    return found.text.strip().removeprefix("<").removesuffix(">") if found else ""
