"""Sessions of the page: the browser has a random token, the ledger its hash.

A token is 256 random bits, so SHA-256 is enough (as for API keys).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Any

from aliasing.token import decode, encode
from relay.ledger.opened import SQL, Opened
from relay.ledger.registry import iso

TOKEN_BYTES = 32
SEEN_EVERY_S = 60.0
"""How exact the ledger knows when a session was last used: a write each request would be too many."""


@dataclass(frozen=True)
class Session:
    """Who looks at the page. `role` is seller, moderator or operator; `seller` is a seller's own id."""

    number: int
    login: str
    login_number: int
    role: str
    seller: str | None
    seller_number: int | None
    seen_at: float


class Sessions:
    """Each method is one look or one short transaction. Raises LedgerError.

    `idle`, `lifetime`: how long a session lasts without a request, and in any case.
    """

    def __init__(self, opened: Opened, idle: timedelta, lifetime: timedelta,
                 clock: Callable[[], float] = time.time) -> None:
        self._opened = opened
        self._idle_s = idle.total_seconds()
        self._lifetime_s = lifetime.total_seconds()
        self._clock = clock

    def login(self, name: str) -> tuple[int, str] | None:
        """(number, hash of the password) of a login that may see the page."""
        rows = self._opened.query("page_login", name)
        return (rows[0]["id"], rows[0]["hash"]) if rows else None

    def begin(self, login: int, kept: str) -> str | None:
        """A new session's token, kept nowhere; None when the login's password is not that of `kept` any more."""
        token, now = encode(secrets.token_bytes(TOKEN_BYTES)), self._clock()
        with self._opened.transaction() as connection:
            connection.execute(SQL["sessions_forgotten"], (now - self._idle_s,))
            begun = connection.execute(SQL["session_begun"], {
                "hash": _hash(token), "login": login, "kept": kept, "at": now}).rowcount
        return token if begun else None

    def find(self, token: str) -> Session | None:
        """The session with that token, if it has not ended; what cannot be a token costs no look."""
        if decode(token, TOKEN_BYTES) is None:
            return None
        rows = self._opened.query("session", {"hash": _hash(token)} | self._since())
        if not rows:
            return None
        row = rows[0]
        return Session(row["id"], row["name"], row["login_id"], row["role"], row["seller"], row["seller_id"],
                       row["seen_at"])

    def is_stale(self, session: Session) -> bool:
        """Whether it is time for seen()."""
        return self._clock() - session.seen_at >= SEEN_EVERY_S

    def seen(self, session: Session) -> None:
        """It was used just now."""
        with self._opened.transaction() as connection:
            connection.execute(SQL["session_seen"], (self._clock(), session.number))

    def all(self, login: int) -> list[dict[str, Any]]:
        """The open sessions of a login, the one used last first."""
        return [{"number": row["id"], "created_at": iso(row["created_at"]), "seen_at": iso(row["seen_at"])}
                for row in self._opened.query("sessions", {"login": login} | self._since())]

    def end(self, login: int, number: int) -> None:
        """Log out; nothing happens where it is not that login's."""
        with self._opened.transaction() as connection:
            connection.execute(SQL["session_ended"], (number, login))

    def end_all(self, login: int) -> None:
        """Log out everywhere."""
        with self._opened.transaction() as connection:
            connection.execute(SQL["sessions_ended"], (login,))

    def _since(self) -> dict[str, float]:
        now = self._clock()
        return {"begun": now - self._lifetime_s, "seen": now - self._idle_s}


def _hash(token: str) -> bytes:
    return sha256(token.encode()).digest()
