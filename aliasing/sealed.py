"""Our own sealed links as secrets: in the other party's hands they would act in the first one's name."""

from __future__ import annotations

import re
from urllib.parse import unquote

from aliasing.correspondence import Correspondence
from aliasing.encodings import unescape
from aliasing.message import Message
from aliasing.token import ACTION_CHARS

_SEALED = re.compile(rf"(?<![0-9a-z])[0-9a-z]{{{ACTION_CHARS}}}(?![0-9a-z])")


def sealed_inside(message: Message, correspondence: Correspondence, offered: frozenset[str]) -> list[str]:
    """The places of a message in which a sealed action address can be read that is not one of `offered`."""
    may = {address.partition("@")[0] for address in offered}
    places = []
    for part in message.root.leaves():
        if not part.is_text:
            continue
        text = message.text(part).lower()
        readings = {text, unquote(unescape(text))} if "%" in text or "&" in text else {text}
        found = {local for reading in readings for local in _SEALED.findall(reading)} - may
        if any(correspondence.ring.open_action(correspondence.domain, local) for local in found):
            places.append(f"part {part.path or '1'}, a link of the relay's own")
    return places
