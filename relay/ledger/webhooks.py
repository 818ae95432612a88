"""Webhooks: whom to tell of what happened, and what is still to be told.

What happens is in the ledger's events already. A webhook remembers how far in them it has been told, and its calls are
rows until they are answered: nothing is lost by a crash, and a call may come twice (its id says so).
"""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from aliasing.token import encode
from relay.errors import Conflict, NotFound, UsageError
from relay.keys import seal, unseal
from relay.ledger.opened import SQL, Opened
from relay.ledger.registry import iso
from relay.records import State

TYPES = ("message.received", "message.delivered", "message.failed", "message.refused", "message.reported",
         "buyer.opted-out")
BATCH = 500
MAX_WEBHOOKS = 50
BOTH_S = 24 * 3600.0
"""How long after a rotation the old secret signs as well."""
RETRY_S = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Pauses after each failed call; after the last one it is given up."""
LOOPBACK = ("127.0.0.1", "::1", "localhost")
_URL, _SECRET = b"webhook url", b"webhook secret"


@dataclass(frozen=True)
class Call:
    """One call that is due. `public_id` stays the same however often it is tried."""

    number: int
    webhook: int
    public_id: str
    body: str
    attempts: int
    url: str = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    """Each signs: after a rotation the old one for a while, too."""


class Webhooks:
    """Raises UsageError, LedgerError."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._own = opened.keys.own

    def add(self, url: str, types: Collection[str]) -> tuple[int, str]:
        """(id, secret); the secret is to be shown once. It is told of what happens from now on."""
        check_url(url)
        if set(types) - set(TYPES):
            raise UsageError(f"a webhook is told of some of: {', '.join(TYPES)}")
        secret = _new_secret()
        with self._opened.transaction() as connection:
            if len(self._opened.query("webhooks")) >= MAX_WEBHOOKS:
                raise Conflict(f"there are {MAX_WEBHOOKS} webhooks; remove one first")
            last = connection.execute("SELECT ifnull(max(id), 0) FROM event").fetchone()[0]
            number = connection.execute(
                "INSERT INTO webhook (url_sealed, secret_sealed, types, event_id, created_at) VALUES (?, ?, ?, ?, ?)",
                (seal(self._own, url.encode(), _URL), seal(self._own, secret.encode(), _SECRET),
                 json.dumps(sorted(types or TYPES)), last, time.time())).lastrowid
            self._note("webhook-add", number)
        return int(number), secret

    def rotate(self, number: int) -> str:
        """A new secret, to be shown once; for BOTH_S calls are signed with the old one as well. Raises NotFound."""
        secret, until = _new_secret(), time.time() + BOTH_S
        sealed = seal(self._own, secret.encode(), _SECRET)
        with self._opened.transaction() as connection:
            found = connection.execute(
                "UPDATE webhook SET old_secret_sealed = secret_sealed, old_secret_until = ?, secret_sealed = ? "
                "WHERE id = ? AND removed_at IS NULL", (until, sealed, number))
            _there(found.rowcount, number)
            self._note("webhook-rotate", number)
        return secret

    def remove(self, number: int) -> None:
        """What waits to be told is told no more. Raises NotFound."""
        with self._opened.transaction() as connection:
            _there(connection.execute("UPDATE webhook SET removed_at = ? WHERE id = ? AND removed_at IS NULL",
                                      (time.time(), number)).rowcount, number)
            connection.execute(SQL["webhook_calls_ended"], (number,))
            self._note("webhook-remove", number)

    def one(self, number: int) -> dict[str, Any]:
        """In the form of all(). Raises NotFound."""
        found = next((one for one in self.all() if one["id"] == str(number)), None)
        _there(found is not None, number)
        assert found is not None
        return found

    def all(self) -> Iterator[dict[str, Any]]:
        """Without the secrets; the URL by its host, for its path may hold a secret too."""
        for row in self._opened.query("webhooks"):
            waiting = self._opened.connection.execute(
                "SELECT count(*) AS count, max(status) AS status FROM webhook_call WHERE webhook_id = ? "
                "AND next_attempt_at IS NOT NULL", (row["id"],)).fetchone()
            yield {"id": str(row["id"]), "host": urlsplit(unseal(self._own, row["url_sealed"], _URL).decode()).netloc,
                   "types": json.loads(row["types"]), "waiting": waiting["count"], "last_status": waiting["status"],
                   "created_at": iso(row["created_at"])}

    def collect(self, now: float) -> bool:
        """Turn what happened since into calls; True when there may be more. One transaction where there is news."""
        more = False
        for hook in self._opened.query("webhooks"):
            rows = self._opened.query("events_after", hook["event_id"], BATCH)
            if not rows:
                continue
            types = set(json.loads(hook["types"]))
            told = [told for row in rows if (told := describe(row)) is not None and told["type"] in types]
            with self._opened.transaction() as connection:
                connection.executemany(SQL["webhook_call"], [
                    (hook["id"], f"msg_{encode(secrets.token_bytes(15))}", json.dumps(one, ensure_ascii=False), now)
                    for one in told])
                connection.execute(SQL["webhook_told"], (rows[-1]["id"], hook["id"]))
            more |= len(rows) == BATCH
        return more

    def due(self, now: float, limit: int) -> list[Call]:
        """At most `limit` of each webhook: one that is down does not take the others' turns."""
        found = []
        for hook in self._opened.query("webhooks"):
            sealed = [hook["secret_sealed"]]
            if hook["old_secret_sealed"] is not None and hook["old_secret_until"] > now:
                sealed.append(hook["old_secret_sealed"])
            known = tuple(unseal(self._own, one, _SECRET).decode() for one in sealed)
            url = unseal(self._own, hook["url_sealed"], _URL).decode()
            found += [Call(row["id"], hook["id"], row["public_id"], row["body"], row["attempts"], url, known)
                      for row in self._opened.query("webhook_calls_due", hook["id"], now, limit)]
        return found

    def record(self, results: Sequence[tuple[Call, int]], now: float) -> None:
        """How calls ended: the HTTP status, 0 where there was none."""
        with self._opened.transaction() as connection:
            for call, status in results:
                if 200 <= status < 300:
                    connection.execute(SQL["webhook_call_done"], (call.number,))
                elif status == 410:  # Standard Webhooks: the receiver wants no more of them
                    connection.execute("UPDATE webhook SET removed_at = ? WHERE id = ?", (now, call.webhook))
                    connection.execute(SQL["webhook_calls_ended"], (call.webhook,))
                else:
                    pause = RETRY_S[call.attempts] if call.attempts < len(RETRY_S) else None
                    connection.execute(SQL["webhook_called"], (status, now + pause if pause else None, call.number))

    def _note(self, name: str, number: int) -> None:
        self._opened.connection.execute(SQL["insert_event"], (
            time.time(), None, None, None, "operator", name, str(number), None))


def _new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def _there(found: object, number: int) -> None:
    if not found:
        raise NotFound(f"there is no webhook {number}", "list them with: tradepost webhook list")


def check_url(url: str) -> None:
    """Raises UsageError for what is not to be called: plain HTTP leaves this machine never."""
    with contextlib.suppress(ValueError):
        parts = urlsplit(url)
        named = parts.hostname and "@" not in parts.netloc and parts.port != 0 and url.isprintable() and " " not in url
        if named and (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)):
            return
    raise UsageError("a webhook's address is https://…; http:// only on this machine itself")


def describe(row: Mapping[str, Any]) -> dict[str, Any] | None:
    """An event as a webhook tells it, None for what it does not tell of: ids only, the rest is for the API."""
    kind, name = row["kind"], row["name"]
    if kind == "operator" and name == "block-add" and row["detail"] == "buyer unsolicited":
        return _told("buyer.opted-out", row["at"], {"buyer": row["party"]})
    if row["public_id"] is None:
        return None
    data = {"message": row["public_id"], "order": row["order_number"], "seller": row["seller"], "buyer": row["buyer"],
            "direction": row["direction"], "channel": row["channel"]}
    if kind == "action" and name in ("stop-seller", "stop-all"):
        return _told("buyer.opted-out", row["at"], data)
    if kind == "action" and name == "report":
        return _told("message.reported", row["at"], data)
    if kind == "verdict":
        if row["state"] == State.REFUSED:
            return _told("message.refused", row["at"], data | {"rule": row["rule"]})
        return None if row["state"] in (State.AUTO, State.SELF) else _told("message.received", row["at"], data)
    if kind in ("outcome", "dsn") and row["delivery"] == "message" and name in ("delivered", "failed"):
        return None if (kind, name) == ("dsn", "delivered") else _told(f"message.{name}", row["at"], data)
    return None


def _told(type_: str, at: float, data: dict[str, Any]) -> dict[str, Any]:
    return {"type": type_, "timestamp": iso(at), "data": data}
