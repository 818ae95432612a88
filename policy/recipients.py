"""Whom a To or Cc names (RFC 5322 3.4): addresses only, never what merely looks like one in a display name."""

from __future__ import annotations

from aliasing.address import Address, AddressError
from aliasing.message import Field

MAX_ADDRESSES = 500


def addresses(field: Field) -> list[Address]:
    """The addresses of the field, the first MAX_ADDRESSES; none where its quotes or comments do not end.

    A reply's To quotes the name that the other side chose, so `"alias" <somebody@else.example>` names somebody else.
    """
    plain = _without_strings(field.value.decode("utf-8", "replace"))
    found = []
    for item in plain.replace(";", ",").split(",")[:MAX_ADDRESSES] if plain is not None else ():
        try:
            found.append(Address.parse(_mailbox(item)))
        except AddressError:
            continue
    return found


def _mailbox(item: str) -> str:
    """What stands in the angle brackets, or else all of it behind the name of a group."""
    if "<" not in item and ">" not in item:
        return item.rpartition(":")[2].strip()
    _, _, behind = item.partition("<")
    inner, _, rest = behind.partition(">")
    return inner.strip() if not rest.strip() else ""


def _without_strings(text: str) -> str | None:
    """The text with comments left out and each quoted string, which no alias needs, made a space in quotes."""
    out: list[str] = []
    depth, quoted, escaped = 0, False, False
    for char in text:
        if escaped:
            escaped = False
        elif char == "\\" and (quoted or depth):
            escaped = True
        elif quoted:
            quoted = char != '"'
        elif char == '"' and not depth:
            quoted = True
            out.append('" "')
        elif char == "(":
            depth += 1
        elif char == ")" and depth:
            depth -= 1
        elif not depth:
            out.append(char)
    return None if quoted or depth else "".join(out)
