"""Whoever is erased is gone: nobody writes to them, and nothing of them is left to be read."""

from __future__ import annotations

from house import World
from pysqlite3 import dbapi2 as sqlite
from support import message


def blobs(world: World) -> list[bytes]:
    """What is sealed for or about the buyer."""
    party = "(SELECT id FROM party WHERE external_id = :buyer)"
    messages = (f"(SELECT m.id FROM message m JOIN correspondence c ON c.id = m.correspondence_id "
                f"WHERE c.buyer_id = {party})")
    with sqlite.connect(world.relay.folder / "var/ledger.db", timeout=10) as db:
        rows = [row for sql in (
            f"SELECT data_key FROM party WHERE id = {party}", f"SELECT name_sealed FROM party WHERE id = {party}",
            f"SELECT address_sealed FROM address WHERE party_id = {party}",
            f"SELECT key_sealed FROM message WHERE id IN {messages}",
            f"SELECT subject_sealed FROM message WHERE id IN {messages}",
            f"SELECT body_sealed FROM content WHERE message_id IN {messages} AND body_sealed IS NOT NULL",
        ) for row in db.execute(sql, {"buyer": world.buyer_id})]
    return [row[0] for row in rows]


def spooled(world: World) -> set[str]:
    return {path.name for path in (world.relay.folder / "var/spool").iterdir()}


async def test_nothing_is_left_to_be_read(met: World) -> None:
    call, house, already = met.shop, met.house, spooled(met)
    await met.to_the_seller()
    large = message(met.seller, met.to_buyer, "Grande", "Una línea.\n" * 30_000)
    await met.relay.send(met.seller, met.to_buyer, large)
    await met.settle("delivered", 2)
    house.outside.answers[met.buyer] = "450 4.2.0 Later"
    await met.to_the_buyer("Más tarde")
    await met.settle("deferred")
    before = blobs(met)
    assert len(before) > 10
    assert len(spooled(met) - already) == 1
    erased = call("POST", f"/parties/buyer/{met.buyer_id}/erase")
    assert (erased.status, erased.json) == (200, {"party": f"buyer:{met.buyer_id}", "messages": 3, "addresses": 1})
    left = house.stored()
    assert not [number for number, blob in enumerate(before) if blob in left]
    assert not [text for text in (met.buyer, "Ana L", "Más tarde") if text.encode() in left]
    assert spooled(met) == already
    for writer, alias in ((met.seller, met.to_buyer), (met.buyer, met.to_seller)):
        forged = await met.relay.send(writer, f"{'0' * 39}@relay.example", message(writer, alias))
        assert await met.relay.send(writer, alias, message(writer, alias, "Otra vez")) == forged
        assert (forged[0], "5.1.1" in forged[1]) == (550, True)
    items = met.messages()
    assert [(one["subject"], one["state"]) for one in items] == [
        (None, "failed"), (None, "delivered"), (None, "delivered")]
    assert call("GET", f"/messages/{items[0]['id']}").status == 200
    assert call("GET", f"/messages/{items[0]['id']}/raw").status == 404
    assert call("GET", f"/parties/buyer/{met.buyer_id}").json["name"] is None
    assert call("POST", "/orders", met.an_order | {"order": f"N-{met.number}"}).status == 409
    address = {"address": met.buyer, "state": "authorised"}
    assert call("POST", f"/parties/buyer/{met.buyer_id}/addresses", address).status == 409
    assert call("POST", "/messages", met.text).status == 404
    assert call("POST", f"/parties/buyer/{met.buyer_id}/erase").json["addresses"] == 0
    assert met.relay.json("erase", "--party", met.seller_id, "--yes")[0]["addresses"] == 1
