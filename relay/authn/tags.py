"""Tag lists (RFC 6376 3.2), as they stand in signatures, keys and DMARC records."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping

from aliasing.address import Address, AddressError

_TAG = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_SPACE = re.compile(r"[ \t\r\n]+")
_SELECTOR = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*)(?:\.[A-Za-z0-9_-]+)*")
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")
_NUMBER = re.compile(r"[0-9]{1,12}")


class TagError(ValueError):
    """The text is no tag list, or a tag has no usable value. The message names the tag, never its value."""


def parse(text: str) -> dict[str, str]:
    """Name -> value with white space at both ends removed. A name that comes twice makes all of it invalid."""
    found: dict[str, str] = {}
    specs = text.split(";")
    if not specs[-1].strip(" \t\r\n"):
        specs.pop()
    for spec in specs:
        name, equals, value = spec.partition("=")
        name = name.strip(" \t\r\n")
        if not equals or not _TAG.fullmatch(name):
            raise TagError("not a tag list")
        if name in found:
            raise TagError(f"{name}= comes twice")
        found[name] = value.strip(" \t\r\n")
    return found


def required(tags: Mapping[str, str], *names: str) -> None:
    for name in names:
        if name not in tags:
            raise TagError(f"{name}= is missing")


def octets(tags: Mapping[str, str], name: str) -> bytes:
    """The value of a base64 tag, in which white space may stand anywhere."""
    text = _SPACE.sub("", tags[name])
    if not _BASE64.fullmatch(text):
        raise TagError(f"{name}= is not base64")
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise TagError(f"{name}= is not base64") from None


def number(tags: Mapping[str, str], name: str) -> int | None:
    """Seconds since 1970 or an instance; None where there is no such tag."""
    if name not in tags:
        return None
    if not _NUMBER.fullmatch(tags[name]):
        raise TagError(f"{name}= is not a number")
    return int(tags[name])


def words(tags: Mapping[str, str], name: str, default: str = "") -> list[str]:
    """A colon-separated list, in lower case, white space removed."""
    return [found for word in tags.get(name, default).split(":") if (found := word.strip(" \t\r\n").lower())]


def domain(text: str) -> str:
    """A domain name as it is compared: lower case, A-labels. Raises TagError for anything else."""
    try:
        found = Address.parse(f"postmaster@{text}").domain
    except AddressError:
        raise TagError("not a domain name") from None
    if found.startswith("["):
        raise TagError("not a domain name")
    return found


def selector(tags: Mapping[str, str]) -> str:
    found = tags["s"].lower()
    if len(found) > 200 or not _SELECTOR.fullmatch(found):
        raise TagError("s= is not a selector")
    return found
