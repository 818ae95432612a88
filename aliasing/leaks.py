"""The egress check: what real address is still in a message that is about to leave?

Written without redact.py's eyes: it decodes every header field and every part again and looks for the
bare text of each secret. It may be wrong only by finding too much.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import NamedTuple
from urllib.parse import unquote

from aliasing.address import Address
from aliasing.message import Message, Part, decode_words


class Leak(NamedTuple):
    """Where a secret was found: a field name or the path of a part. Never the secret itself."""

    place: str


_INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u2060\ufeff"))


def find_leaks(message: Message, secrets: Iterable[Address]) -> list[Leak]:
    """Every place in which one of `secrets` can still be read; empty when the message may leave."""
    needles = {needle for address in secrets for needle in _spellings(address)}
    found = []
    for place, text in _readings(message):
        seen = _plain(text)
        if any(_stands_alone(seen, needle) for needle in needles):
            found.append(Leak(place))
    return list(dict.fromkeys(found))


def _spellings(address: Address) -> set[str]:
    return {_plain(f"{address.local}@{domain}") for domain in (address.domain, address.unicode_domain)}


def _plain(text: str) -> str:
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).translate(_INVISIBLE)
    text = text.casefold()
    if "%" in text:
        text = unquote(text)
    return text


def _stands_alone(text: str, needle: str) -> bool:
    """Whether `needle` occurs with no letter or digit that would make it another address."""
    at = text.find(needle)
    while at >= 0:
        before = text[at - 1] if at else " "
        after = text[at + len(needle) : at + len(needle) + 2]
        part_of_longer = before.isalnum() or before in "_.+-" or after[:1].isalnum() or after[:1] in ("-", "_") or (
            after[:1] == "." and after[1:2].isalnum())
        if not part_of_longer:
            return True
        at = text.find(needle, at + 1)
    return False


def _readings(message: Message) -> Iterator[tuple[str, str]]:
    for part in message.root.walk():
        for field in part.fields:
            # a name can be an address as well as a value can: it is searched, and not shown
            name = field.name if "@" not in field.name else "a header field"
            place = name if not part.path else f"part {part.path}, {name}"
            raw = field.raw.decode("utf-8", "replace").replace("\r\n", "")
            yield place, raw
            if "=?" in raw:
                yield place, decode_words(raw)
        if part.file_name:
            # "ana@example.com.pdf" is an address with an extension, not one of example.com.pdf
            yield f"part {part.path or '1'}, file name", f"{part.file_name} {part.file_name.rpartition('.')[0]}"
        if part.parts:
            yield from _around(message, part)
        elif part.content_type.startswith("text/") or part.content_type == "message/delivery-status":
            place = f"part {part.path or '1'}"
            text = message.text(part)
            yield place, text
            if part.content_type == "text/html":
                yield place, html.unescape(text)
                yield place, html.unescape(re.sub(r"<[^<>]*>", "", text))


def _around(message: Message, part: Part) -> Iterator[tuple[str, str]]:
    """Preamble, epilogue and what else lies between the parts of a multipart."""
    position = part.body_start
    for child in part.parts:
        yield f"part {part.path or '1'}, around its parts", message.raw[position : child.start].decode("latin-1")
        position = child.end
    yield f"part {part.path or '1'}, around its parts", message.raw[position : part.end].decode("latin-1")
