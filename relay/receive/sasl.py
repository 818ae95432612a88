"""The mechanisms of AUTH (RFC 4954): PLAIN (RFC 4616), and LOGIN, which Outlook wants. No I/O."""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field


class SaslError(Exception):
    """The exchange cannot go on; `line` is the reply."""

    def __init__(self, line: str) -> None:
        super().__init__(line)
        self.line = line


@dataclass(frozen=True)
class Credentials:
    name: str
    password: str = field(repr=False)


Exchange = Generator[bytes, bytes, Credentials]
"""Yields challenges, takes responses, both as they are before base64."""


def plain() -> Exchange:
    """[authzid] NUL authcid NUL passwd, in one response."""
    parts = (yield b"").split(b"\0")
    if len(parts) != 3:
        raise SaslError("501 5.5.2 PLAIN takes an identity, a login and a password (RFC 4616)")
    identity, name, password = (_text(part) for part in parts)
    if identity not in ("", name):
        raise SaslError("535 5.7.8 A login cannot write in the name of another")
    return Credentials(name, password)


def login() -> Exchange:
    """Name and password apart; what the challenges say is a custom that clients rely on."""
    name = _text((yield b"Username:"))
    return Credentials(name, _text((yield b"Password:")))


MECHANISMS: Mapping[str, Callable[[], Exchange]] = {"PLAIN": plain, "LOGIN": login}


def initial(word: str) -> bytes | None:
    """The initial response of the AUTH command, None without one; "=" is an empty one (RFC 4954 4).

    Raises SaslError.
    """
    return None if not word else b"" if word == "=" else response(word.encode("utf-8", "surrogateescape"))


def response(line: bytes) -> bytes:
    """What a line of the client holds. Raises SaslError, also when it cancels with "*"."""
    if line == b"*":
        raise SaslError("501 5.7.0 Authentication cancelled")
    try:
        return b64decode(line, validate=True)
    except binascii.Error:
        raise SaslError("501 5.5.2 Not base64 (RFC 4648 4)") from None


def _text(octets: bytes) -> str:
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        raise SaslError("501 5.5.2 Not UTF-8 (RFC 4616 2)") from None
