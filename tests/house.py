"""One running relay with an API for many tests, each of which has parties and an order of its own in it."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import threading
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

from apiclient import EVERY_SCOPE, SELLER_SCOPES, Client, where
from operating import until
from support import Relay, message

from relay.demo.outside import OutsideServer
from relay.ledger.apikeys import ApiKeys
from relay.ledger.opened import Opened, open_ledger

STRICT = "estricta.example"
"""Who writes from here has to be authenticated."""
_numbers = itertools.count(1)


class House:
    """A running relay, the mail server of everybody else, and the ledger for what would cost a command each."""

    def __init__(self, folder: Path) -> None:
        self.outside = OutsideServer()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        port = asyncio.run_coroutine_threadsafe(self.outside.start(), self._loop).result()
        self.relay = Relay(folder, {
            "listen": {"mx": "127.0.0.1:0", "http": "127.0.0.1:0"},
            "policy.authentication_domains": {f'"{STRICT}"': "require"},
            "outbound": {"route": f"smtp://127.0.0.1:{port}", "retry": ["1s"]},
            "api": {"burst": 1_000_000, "requests_per_minute": 1_000_000}})
        asyncio.run(self.start())
        self.opened: Opened = open_ledger(folder / "var/ledger.db", folder / "var/keys")
        self.shop_key = self.new_key("house", EVERY_SCOPE)

    def new_key(self, name: str, scopes: tuple[str, ...], seller: str | None = None) -> str:
        return ApiKeys(self.opened).add(name, scopes, seller)

    def stored(self) -> bytes:
        """Every octet that is on the disk, but for the key ring and the log. Read by another process: this one has the
        ledger open, and would lose its locks."""
        paths = [path for path in sorted((self.relay.folder / "var").rglob("*")) if path.is_file() and path.name != "keys"]
        return subprocess.run(["cat", *paths], capture_output=True, check=True).stdout

    async def start(self) -> None:
        await self.relay.start()
        self.where = where(self.relay)

    def close(self) -> None:
        self.opened.close()
        status = asyncio.run(self.relay.stop())
        asyncio.run_coroutine_threadsafe(self.outside.stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        assert status == 0
        self.assert_sound()

    def assert_sound(self) -> None:
        log = self.relay.log.read_text()
        assert '"crashed"' not in log, log
        assert '"unhandled"' not in log, log


@dataclass
class World:
    """What one test has for itself."""

    house: House
    number: int = field(default_factory=lambda: next(_numbers))

    def __post_init__(self) -> None:
        n = self.number
        self.relay, self.order = self.house.relay, f"111-{n:07d}-0000000"
        self.seller_id, self.buyer_id = f"S{n}w", f"B{n}w"
        self.seller, self.buyer = f"sol{n}@tienda.example", f"ana.lopez{n}@correo.example"
        self.shop = Client(self.house.where, self.house.shop_key)
        self.parties = {"seller": {"id": self.seller_id, "address": self.seller, "name": "Tienda Sol", "language": "es"},
                        "buyer": {"id": self.buyer_id, "address": self.buyer, "name": "Ana López", "language": "es"}}
        self.an_order = self.parties | {"order": self.order}
        self.text = {"order": self.order, "subject": "Su pedido", "text": "Sale mañana.\n"}

    def mint(self) -> World:
        """Make the order; its aliases."""
        made = self.shop("POST", "/orders", self.an_order).json
        self.to_buyer, self.to_seller = made["buyer"]["alias"], made["seller"]["alias"]
        return self

    def client(self, name: str = "shop", scopes: tuple[str, ...] = EVERY_SCOPE, seller: str | None = None) -> Client:
        """Somebody with a new key."""
        return Client(self.house.where, self.house.new_key(f"{name}-{self.number}", scopes, seller))

    def own(self) -> Client:
        """The seller's own key."""
        return self.client("own", SELLER_SCOPES, self.seller_id)

    async def to_the_buyer(self, subject: str = "Hola", **more: str) -> tuple[int, str]:
        return await self.relay.send(self.seller, self.to_buyer, message(self.seller, self.to_buyer, subject, **more))

    async def to_the_seller(self, subject: str = "Pregunta", **more: str) -> tuple[int, str]:
        return await self.relay.send(self.buyer, self.to_seller, message(self.buyer, self.to_seller, subject, **more))

    def messages(self, chosen: str = "all") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.shop("GET", f"/messages?order={self.order}&filter={chosen}").json["items"]
        return found

    async def settle(self, state: str, count: int = 1) -> None:
        await until(lambda: [one["state"] for one in self.messages()].count(state) >= count)

    @property
    def arrived(self) -> list[bytes]:
        own = {self.seller, self.buyer}
        return [one.raw for one in self.house.outside.arrived if one.recipient in own]

    async def mails(self, count: int = 1) -> list[Any]:
        await until(lambda: len(self.arrived) >= count)
        return [message_from_bytes(raw, policy=default) for raw in self.arrived]
