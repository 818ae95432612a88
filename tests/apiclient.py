"""The API of a running relay, as a back end calls it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from email.message import Message
from http.client import HTTPConnection
from typing import Any

from operating import logged
from support import Relay

EVERY_SCOPE = ("orders", "messages", "templates", "parties", "blocks", "moderate", "erase", "webhooks")
SELLER_SCOPES = EVERY_SCOPE[:5]


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Message
    body: bytes = field(repr=False)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def where(relay: Relay) -> str:
    """host:port of listen.http, since the last start."""
    return str([line["where"] for line in logged(relay, "listening") if line["kind"] == "http"][-1])


def new_key(relay: Relay, name: str = "shop", scopes: tuple[str, ...] = EVERY_SCOPE, seller: str | None = None) -> str:
    words = [word for scope in scopes for word in ("--scope", scope)]
    return relay.run("apikey", "add", name, *words, *(("--seller", seller) if seller else ())).strip()


@dataclass
class Client:
    where: str
    key: str | None

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """One request to /api/v1 + path on a connection of its own; `body` is JSON, or octets as they are."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.key:
            sent.setdefault("Authorization", f"Bearer {self.key}")
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        connection = HTTPConnection(self.where, timeout=20)
        try:
            connection.request(method, f"/api/v1{path}", body, sent)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()
