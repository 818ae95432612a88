"""Answers kept for Idempotency-Key: whoever asks the same again within a day hears the same answer.

Answers may quote a subject, so they are sealed; the caller's key and request are kept as hashes only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256

from relay.errors import UsageError
from relay.keys import seal, unseal
from relay.ledger.opened import SQL, Opened

KEPT_S = 24 * 3600.0


class OtherRequest(UsageError):  # noqa: N818 - a state of the world, not a mistake
    """The key was used for another request."""


@dataclass(frozen=True)
class Kept:
    """What is known of a request: when it was first begun (epoch seconds), and its answer once there is one."""

    begun_at: float
    status: int | None = None
    answer: bytes = field(default=b"", repr=False)


class Answers:
    """One API key's answers. Raises LedgerError."""

    def __init__(self, opened: Opened, api_key: int) -> None:
        self._opened = opened
        self._api_key = api_key

    def begin(self, key: str, request: bytes, now: float) -> Kept:
        """Note that a request is under way, or what is known of it already. Raises OtherRequest."""
        with self._opened.transaction() as connection:
            connection.execute(SQL["answers_forgotten"], (now - KEPT_S,))
            found = connection.execute(SQL["answer_kept"], (self._api_key, _hash(key), now - KEPT_S)).fetchone()
            digest = sha256(request).digest()
            if found is None:
                connection.execute(SQL["answer_begun"], (self._api_key, _hash(key), digest, now))
                return Kept(now)
        if found["request_hash"] != digest:
            raise OtherRequest("this Idempotency-Key was used for another request")
        if found["status"] is None:
            return Kept(found["begun_at"])
        own = self._opened.keys.own
        return Kept(found["begun_at"], found["status"], unseal(own, found["answer_sealed"], self._about(key)))

    def finish(self, key: str, status: int, answer: bytes) -> None:
        """Keep the answer."""
        sealed = seal(self._opened.keys.own, answer, self._about(key))
        with self._opened.transaction() as connection:
            connection.execute(SQL["answer_done"], (status, sealed, self._api_key, _hash(key)))

    def _about(self, key: str) -> bytes:
        return b"answer %d " % self._api_key + _hash(key)


def _hash(text: str) -> bytes:
    return sha256(text.encode()).digest()
