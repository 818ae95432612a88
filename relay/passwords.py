"""Passwords at rest: argon2id (RFC 9106) by argon2-cffi."""

from __future__ import annotations

import functools

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

MIN_CHARS = 8
"""NIST SP 800-63B 5.1.1.2."""
MAX_BYTES = 1024

_HASHER = PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)
"""RFC 9106 4, the second recommended choice: t=3, p=4, 64 MiB. The first one's 2 GiB would let a few strangers who try
passwords take all the memory of the machine."""


class WeakPassword(ValueError):  # noqa: N818 - the field's word
    """A password that is refused, with what is wrong with it."""


def hash_password(password: str) -> str:
    """The PHC string to keep. Takes about a tenth of a second and 64 MiB. Raises WeakPassword."""
    if len(password) < MIN_CHARS:
        raise WeakPassword(f"a password has at least {MIN_CHARS} characters")
    if len(password.encode()) > MAX_BYTES or any(char in password for char in "\r\n\0"):
        raise WeakPassword(f"a password has at most {MAX_BYTES} octets, in one line")
    return _HASHER.hash(password)


def is_password(kept: str, password: str) -> bool:
    """Whether it is the one that `kept` was made from. As slow as hash_password()."""
    try:
        return _HASHER.verify(kept, password)
    except (VerificationError, InvalidHashError):
        return False


@functools.cache
def nobodys() -> str:
    """What the password of an unknown login is checked against, with the same parameters: it takes the same time."""
    return _HASHER.hash("")
