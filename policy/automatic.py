"""Was this written by a machine? Such mail is recorded and never answered (RFC 3834 2)."""

from aliasing.message import Message

_NEVER_BY_HAND = ("x-autoreply", "x-autorespond", "x-autoresponse")
_PRECEDENCES = ("auto_reply", "bulk", "junk")


def is_automatic(message: Message) -> bool:
    """Auto-replies and DSNs, by the fields that mark them; a null reverse-path is the caller's to see."""
    submitted = message.field("auto-submitted")
    if submitted and submitted.text.partition(";")[0].strip().lower() not in ("", "no"):
        return True
    precedence = message.field("precedence")
    if precedence and precedence.text.strip().lower() in _PRECEDENCES:
        return True
    return message.root.content_type == "multipart/report" or any(map(message.field, _NEVER_BY_HAND))
