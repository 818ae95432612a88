"""A relay with two sellers, a moderator and an operator, looked at from within this process: a command line each time
would cost a second."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from operating import logged
from support import BUYER, ORDER, SELLER, Relay, message

from aliasing.correspondence import Side
from relay.config import load
from relay.ledger.inbox import Inbox
from relay.ledger.logins import Logins
from relay.ledger.opened import Opened, open_ledger
from relay.ledger.registry import NewParty, Registry
from relay.passwords import hash_password

PASSWORD = "una contraseña larga"
OTHER_ORDER, LATE_ORDER = "222-2222222-2222222", "333-3333333-3333333"
OTHER_BUYER = "eva.ruiz@correo.example"


@dataclass
class Shop(Relay):
    """Logins: sol (seller S1), luna (seller S2), mod (moderator), ops (operator). Orders: ORDER and LATE_ORDER are
    Sol's with Ana, OTHER_ORDER is Luna's with Eva."""

    @cached_property
    def opened(self) -> Opened:
        config = load(self.file)
        return open_ledger(config.ledger_path, config.key_ring)

    def found(self) -> None:
        sol, luna = (NewParty(Side.SELLER, *one, "es") for one in (("S1", SELLER, "Tienda Sol"),
                                                                    ("S2", "luna@bazar.example", "Bazar Luna")))
        ana, eva = (NewParty(Side.BUYER, *one, "es") for one in (("B1", BUYER, "Ana López"), ("B2", OTHER_BUYER, "Eva Ruiz")))
        for order, seller, buyer in ((ORDER, sol, ana), (LATE_ORDER, sol, ana), (OTHER_ORDER, luna, eva)):
            Registry(self.opened).add_order(order, "relay.example", seller, buyer)
        hashed = hash_password(PASSWORD)
        for login, party in (("sol", "seller:S1"), ("luna", "seller:S2")):
            Logins(self.opened).add(login, party, hashed)
        for login, role in (("mod", "moderator"), ("ops", "operator")):
            Logins(self.opened).add_role(login, role, hashed)

    def alias(self, side: str, order: str = ORDER) -> str:
        """That stands for that side; the other side writes to it."""
        row = Registry(self.opened).order(order)
        return row.buyer_alias if side == "buyer" else row.seller_alias

    def write(self, from_: str, subject: str, body: str = "Buenos días.\n", order: str = ORDER, code: int = 250,
              **fields: str) -> str:
        """A mail to the other side of an order, answered with `code`; the message's id."""
        to = self.alias("buyer" if from_ in (SELLER, "luna@bazar.example") else "seller", order)
        answer = self.send_now(from_, to, message(from_, to, subject, body, **fields))
        assert answer[0] == code, answer
        return self.id_of(subject)

    def all(self) -> list[dict[str, Any]]:
        """Every message with its timeline, the newest first."""
        inbox = Inbox(self.opened)
        return [inbox.timeline(one["id"]) for one in inbox.messages()]

    def id_of(self, subject: str) -> str:
        """Of the newest message with that subject."""
        return str(next(one["id"] for one in Inbox(self.opened).messages() if one["subject"] == subject))

    def told(self, id_: str) -> dict[str, Any]:
        """A message with its timeline."""
        return Inbox(self.opened).timeline(id_)


@contextmanager
def open_shop(folder: Path, **config: dict[str, Any]) -> Iterator[Shop]:
    """It runs until the end. Its mail goes nowhere, unless the configuration says where."""
    shop = Shop(folder, {"listen": {"http": "127.0.0.1:0"}, **config})
    shop.found()
    asyncio.run(_start(shop))
    try:
        yield shop
    finally:
        asyncio.run(shop.stop())
        shop.opened.close()


async def _start(shop: Shop) -> None:
    await shop.start()
    while not any(line["kind"] == "http" for line in logged(shop, "listening")):
        await asyncio.sleep(0.02)
