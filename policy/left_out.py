"""Parts that stay behind without loss to the reader."""

from __future__ import annotations

from aliasing.message import Message, Part

SIGNATURES = ("application/pgp-signature", "application/pkcs7-signature", "application/x-pkcs7-signature")
_SHOWN = ("text/plain", "text/html")


def left_out(message: Message) -> frozenset[Part]:
    """Detached signatures (RFC 1847), and text alternatives that stand beside plain text or HTML (RFC 2046 5.1.4)
    and that hardly any client shows: AMP, enriched text, a copy for watches."""
    found: set[Part] = set()
    for parent in message.root.walk():
        if parent.content_type == "multipart/signed":
            found |= {part for part in parent.parts[1:] if part.content_type in SIGNATURES}
        if parent.content_type == "multipart/alternative" and any(_is_shown(part) for part in parent.parts):
            found |= {part for part in parent.parts if part.content_type.startswith("text/")
                      and part.content_type not in (*_SHOWN, "text/calendar")}
    return frozenset(found)


def _is_shown(part: Part) -> bool:
    return part.content_type in _SHOWN or part.content_type.startswith("multipart/")
