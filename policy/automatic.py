"""Is this an automatic reply? Such mail is recorded, shown, and neither forwarded nor answered (RFC 3834 2).

Narrow on purpose: what is recorded only, with a 250, must not be a message that somebody meant to send. Mail that a
program *began* (auto-generated, bulk) is judged by the rules like any other.
"""

from aliasing.message import Message

_NEVER_BY_HAND = ("x-autoreply", "x-autorespond", "x-autoresponse")


def is_automatic(message: Message) -> bool:
    """Auto-replies and DSNs, by the fields that mark them; a null reverse-path is the caller's to see."""
    submitted = message.field("auto-submitted")
    if submitted and submitted.text.partition(";")[0].strip().lower() == "auto-replied":
        return True
    precedence = message.field("precedence")
    if precedence and precedence.text.strip().lower() == "auto_reply":
        return True
    return message.root.content_type == "multipart/report" or any(map(message.field, _NEVER_BY_HAND))
