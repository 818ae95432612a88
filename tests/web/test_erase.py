"""Whoever is erased is gone: nobody writes to them, and nothing of them is left to be read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from apiclient import AN_ORDER, Client, new_key
from pysqlite3 import dbapi2 as sqlite
from support import BUYER, ORDER, SELLER, Relay, message

from relay.demo.outside import OutsideServer


@pytest.fixture
async def relay(start_relay: Callable[..., Awaitable[Relay]], outside: OutsideServer) -> Relay:
    return await start_relay(outbound={"route": f"smtp://127.0.0.1:{outside.port}", "retry": ["60s"]},
                             listen={"http": "127.0.0.1:0"})


def stored(relay: Relay) -> bytes:
    """Every octet that is on the disk, but for the key ring and the log."""
    return b"\0".join(path.read_bytes() for path in sorted((relay.folder / "var").rglob("*"))
                      if path.is_file() and path.name != "keys")


def blobs(relay: Relay) -> list[bytes]:
    """What is sealed for or about the buyer."""
    with sqlite.connect(relay.folder / "var/ledger.db", timeout=10) as db:
        rows = [*db.execute("SELECT data_key FROM party WHERE side = 'buyer'"),
                *db.execute("SELECT name_sealed FROM party WHERE side = 'buyer'"),
                *db.execute("SELECT address_sealed FROM address JOIN party p ON p.id = party_id WHERE side = 'buyer'"),
                *db.execute("SELECT key_sealed FROM message"), *db.execute("SELECT subject_sealed FROM message"),
                *db.execute("SELECT body_sealed FROM content WHERE body_sealed IS NOT NULL")]
    return [row[0] for row in rows]


async def test_nothing_is_left_to_be_read(relay: Relay, outside: OutsideServer) -> None:
    call = Client(relay, new_key(relay))
    order = call("POST", "/orders", AN_ORDER).json
    to_buyer, to_seller = order["buyer"]["alias"], order["seller"]["alias"]
    await relay.send(BUYER, to_seller, message(BUYER, to_seller, "Pregunta"))
    await relay.send(SELLER, to_buyer, message(SELLER, to_buyer, "Grande", "Una línea.\n" * 30_000))
    await relay.settle("delivered", 2)
    outside.answers[BUYER] = "450 4.2.0 Later"
    await relay.send(SELLER, to_buyer, message(SELLER, to_buyer, "Más tarde"))
    await relay.settle("deferred")
    before = blobs(relay)
    assert len(list((relay.folder / "var/spool").iterdir())) == 1
    erased = call("POST", "/parties/buyer/B1/erase")
    assert (erased.status, erased.json) == (200, {"party": "buyer:B1", "messages": 3, "addresses": 1})
    left = stored(relay)
    assert not [number for number, blob in enumerate(before) if blob in left]
    assert not list((relay.folder / "var/spool").iterdir())
    for writer, alias in ((SELLER, to_buyer), (BUYER, to_seller)):
        forged = await relay.send(writer, f"{'0' * 39}@relay.example", message(writer, alias))
        assert await relay.send(writer, alias, message(writer, alias, "Otra vez")) == forged
        assert (forged[0], "5.1.1" in forged[1]) == (550, True)
    items = call("GET", f"/messages?order={ORDER}").json["items"]
    assert [(one["subject"], one["state"]) for one in items] == [
        (None, "failed"), (None, "delivered"), (None, "delivered")]
    assert call("GET", f"/messages/{items[0]['id']}").status == 200
    assert call("GET", f"/messages/{items[0]['id']}/raw").status == 404
    assert call("GET", "/parties/buyer/B1").json["name"] is None
    assert call("POST", "/orders", AN_ORDER | {"order": "N-2"}).status == 409
    assert call("POST", "/parties/buyer/B1/addresses", {"address": BUYER, "state": "authorised"}).status == 409
    assert call("POST", "/messages", {"order": ORDER, "subject": "x", "text": "x"}).status == 404
    assert call("POST", "/parties/buyer/B1/erase").json["addresses"] == 0
    assert await relay.stop() == 0
    await relay.start()
    assert relay.json("erase", "--party", "S1", "--yes")[0]["addresses"] == 1
    assert '"crashed"' not in relay.log.read_text()
