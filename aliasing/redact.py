"""Real addresses typed into a message become aliases."""

from __future__ import annotations

import re
import weakref

from aliasing.correspondence import Correspondence
from aliasing.message import Field, Message, Part, encode_transfer, encode_words, text_to_bytes

_KEPT: weakref.WeakKeyDictionary[Correspondence, Redactor] = weakref.WeakKeyDictionary()


def redactor_for(correspondence: Correspondence) -> Redactor:
    """The correspondence's redactor, made once and kept as long as the correspondence is."""
    redactor = _KEPT.get(correspondence)
    if redactor is None:
        redactor = _KEPT[correspondence] = Redactor(correspondence)
    return redactor


class Redactor:
    """Knows how to find the real addresses of one correspondence in a text, and what to put there instead."""

    def __init__(self, correspondence: Correspondence) -> None:
        self._instead: dict[str, str] = {}
        for address, alias in correspondence.secrets():
            for domain in {address.domain, address.unicode_domain}:
                self._instead[f"{address.local}@{domain}".casefold()] = str(alias)
        # the alternation is of literals, so no input can make it backtrack
        alternatives = "|".join(re.escape(text) for text in sorted(self._instead, key=len, reverse=True))
        # not inside a longer address: "ana@example.com" must not be cut out of "joana@example.com.mx"
        self._pattern = re.compile(rf"(?<![\w.+%-])(?:{alternatives})(?![\w-]|\.\w)", re.IGNORECASE)

    def text(self, text: str) -> str:
        if "@" not in text:
            return text
        return self._pattern.sub(lambda match: self._instead.get(match.group().casefold(), "…"), text)


def redact_subject(field: Field, redactor: Redactor) -> Field:
    """The Subject with real addresses replaced; the very same field when there was none."""
    clean = redactor.text(field.text)
    return field if clean == field.text else Field.make("Subject", encode_words(clean))


def redact_parts(message: Message, redactor: Redactor) -> dict[Part, bytes]:
    """New bodies for the text parts in which a real address stood, in their own charset and encoding."""
    bodies = {}
    for part in message.root.walk():
        if part.parts or not part.content_type.startswith("text/"):
            continue
        decoded = message.decoded(part)
        charset = part.parameters.get("charset")
        text = message.text(part)
        clean = redactor.text(text)
        if clean != text:
            bodies[part] = encode_transfer(text_to_bytes(clean, decoded, charset), part.encoding)
    return bodies
