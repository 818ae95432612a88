"""A ledger with very many messages, made in a minute: sealed like real ones, by way of no session and no queue."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from aliasing.correspondence import Side
from relay.ledger.opened import Opened
from relay.ledger.vault import PartyVault, new_message
from relay.records import new_id

SELLERS, BATCH = 500, 20_000
STATES = ["delivered"] * 88 + ["refused"] * 5 + ["failed"] * 3 + ["held"] * 1 + ["queued"] * 2 + ["auto"] * 1
VERDICTS = json.dumps([[rule, "pass", ""] for rule in ("authentication", "authorised", "rate", "attachments")])


@dataclass
class ManyMessages:
    """Grows a ledger. The first seller has a fifth of all messages, the first order of that a hundredth of those."""

    opened: Opened
    seed: int
    total: int = 0
    orders: list[str] = field(default_factory=list)
    _pairs: list[tuple[int, PartyVault, PartyVault]] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._first = time.time() - 365 * 86_400
        self._sellers: list[PartyVault] = []
        self.opened.connection.execute("PRAGMA synchronous = OFF")
        self.opened.connection.execute("PRAGMA cache_size = -400000")

    def grow(self, total: int) -> None:
        """Until there are so many messages."""
        if not self._sellers:
            with self.opened.transaction():
                self._sellers = [self._party(Side.SELLER, f"S{number}") for number in range(SELLERS)]
        while self.total < total:
            with self.opened.transaction() as connection:
                for _ in range(BATCH // 10):
                    self._order()
                rows = list(self._messages(min(BATCH, total - self.total)))
                connection.executemany(
                    "INSERT INTO message (id, public_id, trace, correspondence_id, seller_id, direction, channel, state, "
                    "rule, received_at, dated_at, size, attachments, key_sealed, subject_sealed, reported_at) "
                    "VALUES (?, ?, ?, ?, ?, ?, 'mail', ?, ?, ?, ?, 2000, 0, ?, ?, ?)", rows)
                connection.executemany(
                    "INSERT INTO event (at, message_id, kind, name, detail) VALUES (?, ?, 'verdict', 'rules', ?)",
                    [(row[8], row[0], VERDICTS) for row in rows])
                connection.executemany("UPDATE correspondence SET waiting_message_id = ? WHERE id = ?", [
                    (row[0] if row[5] == "to-seller" and row[6] == "delivered" and row[0] % 3 == 0 else None, row[3])
                    for row in rows])
        self.opened.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _party(self, side: Side, id_: str) -> PartyVault:
        db = self.opened.connection
        number = db.execute("INSERT INTO party (side, external_id, language, created_at) VALUES (?, ?, 'es', ?)",
                            (side, id_, self._first)).lastrowid
        vault, ring_key, wrapped = self.opened.vault.new_party(number)
        db.execute("UPDATE party SET data_key = ?, ring_key = ? WHERE id = ?", (wrapped, ring_key, number))
        return vault

    def _order(self) -> None:
        """Every twentieth pair has a new buyer; the others buy again."""
        count = len(self._pairs)
        seller = self._sellers[0 if count % 5 == 0 else self._random.randrange(SELLERS)]
        buyer = self._party(Side.BUYER, f"B{count}") if count % 20 == 0 or not self._pairs else self._pairs[-1][2]
        order = f"404-{count:07d}-{self._random.randrange(10**7):07d}"
        key = max(self.opened.keys.ring.secrets)
        number = self.opened.connection.execute(
            "INSERT INTO correspondence (seller_id, buyer_id, order_number, domain, ring_key, created_at) "
            "VALUES (?, ?, ?, 'relay.example', ?, ?)",
            (seller.number, buyer.number, order, key, self._first)).lastrowid
        self.orders.append(order)
        self._pairs.append((number, seller, buyer))

    def _messages(self, count: int) -> Iterator[tuple[Any, ...]]:
        for _ in range(count):
            self.total += 1
            pick = 0 if self.total % 500 == 0 else self._random.randrange(len(self._pairs))
            number, seller, buyer = self._pairs[pick]
            public_id, at = new_id(), self._first + self.total * 30.0
            vault, wrapped = new_message(public_id, {Side.SELLER: seller, Side.BUYER: buyer})
            state = self._random.choice(STATES)
            yield (self.total, public_id, new_id(), number, seller.number, self._random.choice(["to-buyer", "to-seller"]),
                   state, "unsolicited" if state == "refused" else None, at, at - 2, wrapped,
                   vault.seal("subject", f"Pedido {self.total}".encode()), at if self.total % 100 == 0 else None)
