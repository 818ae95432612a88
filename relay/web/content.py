"""A kept message as its reader sees it: text, cleaned HTML, files. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from aliasing.footer import cut_html, cut_text
from aliasing.message import Message, MessageError, Part
from policy.left_out import left_out
from policy.rules.attachments import attachments
from relay.errors import NotFound
from relay.passage import markers
from relay.records import State

SHOWN = ("image/png", "image/jpeg", "image/gif", "application/pdf")
"""Types that a browser may be told; anything else is octets to be saved."""
_FORWARDED = (State.QUEUED, State.DEFERRED, State.DELIVERED, State.FAILED)


_Seen = TypeVar("_Seen")


@dataclass(frozen=True)
class File:
    """One attachment."""

    name: str | None
    type: str
    data: bytes


def is_as_sent(message: dict[str, Any]) -> bool:
    """Whether what is kept of it is what went on; what was stopped at the door still names real addresses."""
    return message["state"] in _FORWARDED or (message["state"] == State.HELD and message["direction"] == "to-buyer")


def for_seller(timeline: dict[str, Any]) -> dict[str, Any]:
    """A seller is not told what other servers and the rules' notes say: they speak to administrators, and a remote
    server's reply may quote an address."""
    events = [event | {"remote": None} for event in timeline["events"]
              if event["kind"] not in ("operator", "moderation")]
    for event in events:
        if event["kind"] == "verdict":
            event["detail"] = [one | {"reason": ""} for one in event["detail"]]
    return timeline | {"events": events}


def shown(look: Callable[[], _Seen | None], missing: str) -> _Seen:
    """What `look` finds in a message. Raises NotFound(missing) for nothing, and for evidence that cannot be read."""
    try:
        seen = look()
    except MessageError:
        seen = None
    if seen is None:
        raise NotFound(missing)
    return seen


def rendered(raw: bytes) -> dict[str, Any]:
    """The fields of ContentOut, without the relay's own footer: its addresses and links act for the reader of the
    message, and others look at it here. Raises MessageError for evidence that cannot be read as a message."""
    message = Message.parse(raw)
    files = [{"number": number, "name": part.file_name, "type": part.content_type,
              "size": len(message.decoded(part))} for number, part in enumerate(attachments(message), 1)]
    text, html = _text(message, "text/plain"), _text(message, "text/html")
    return {"text": cut_text(text, markers()) if text else text, "html": cut_html(html, markers()) if html else html,
            "attachments": files}


def attachment(raw: bytes, number: int) -> File | None:
    """The attachment with that number, counted from 1."""
    message = Message.parse(raw)
    found = attachments(message)
    if not 1 <= number <= len(found):
        return None
    part = found[number - 1]
    return File(part.file_name, part.content_type if part.content_type in SHOWN else "application/octet-stream",
                message.decoded(part))


def disposition(name: str | None) -> str:
    """Content-Disposition that saves, under an ASCII name and the real one (RFC 6266 4, RFC 8187)."""
    plain = re.sub(r"[^A-Za-z0-9._ -]", "_", name or "attachment")[:100]
    encoded = "".join(char if re.fullmatch(r"[A-Za-z0-9._-]", char) else
                      "".join(f"%{octet:02X}" for octet in char.encode("utf-8", "replace"))
                      for char in (name or "attachment")[:200])
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}"


def _text(message: Message, kind: str) -> str | None:
    spare = [*left_out(message), *attachments(message)]
    parts: list[Part] = [part for part in message.root.leaves() if part.content_type == kind and part not in spare]
    return "\n".join(message.text(part) for part in parts) if parts else None
