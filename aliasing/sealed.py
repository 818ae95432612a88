"""Our own sealed links as secrets: in the other party's hands they would act in the first one's name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote

from aliasing.correspondence import Correspondence
from aliasing.encodings import unescape
from aliasing.message import Message
from aliasing.token import ACTION_CHARS

_SEALED = re.compile(rf"(?<![0-9a-z])[0-9a-z]{{{ACTION_CHARS}}}(?![0-9a-z])")


def sealed_inside(message: Message, correspondence: Correspondence, offered: frozenset[str]) -> list[str]:
    """The places of a message in which a sealed action can be read that is not one of `offered`."""
    texts = [("Subject", message.subject)]
    texts += [(f"part {part.path or '1'}", message.text(part)) for part in message.root.leaves() if part.is_text]
    places = []
    for place, text in texts:
        found = {local for reading in _readings(text.lower()) for local in _SEALED.findall(reading)} - offered
        ring, domain = correspondence.ring, correspondence.domain
        if any(ring.open_action(domain, local) or ring.open_link(local) for local in found):
            places.append(f"{place}, a link of the relay's own")
    return places


def _readings(text: str) -> Iterator[str]:
    """As it is, and with what a client's quoting or a clever writer puts inside undone."""
    yield text
    if "%" in text or "&" in text:
        text = unquote(unescape(text))
        yield text
    yield _BROKEN.sub("", text)


_BROKEN = re.compile("\r?\n[ \t>|]*|<[^<>]{0,200}>|[\u00ad\u200b-\u200f\u2060-\u2064\ufeff]")
