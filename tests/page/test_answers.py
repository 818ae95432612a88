"""How soon sellers answered, of messages that were there before anybody counted."""

from __future__ import annotations

from sqlite_utils import Database

from relay.ledger.migrations import migrations


def test_what_was_answered_before_is_counted() -> None:
    db = Database(memory=True)
    migrations.apply(db, stop_before="m0009_writing")
    for side, id_ in (("seller", "S1"), ("buyer", "B1")):
        db.execute("INSERT INTO party (side, external_id, language, created_at) VALUES (?, ?, 'es', 0)", (side, id_))
    db.execute("INSERT INTO correspondence (id, seller_id, buyer_id, domain, ring_key, created_at) VALUES (7, 1, 2, 'x', 1, 0)")
    for at, direction, state in ((10, "to-seller", "delivered"), (20, "to-seller", "delivered"), (30, "to-buyer", "refused"),
                                 (40, "to-buyer", "delivered"), (50, "to-buyer", "delivered"), (60, "to-seller", "auto"),
                                 (70, "to-buyer", "queued"), (80, "to-seller", "delivered")):
        db.execute("INSERT INTO message (public_id, trace, correspondence_id, direction, channel, state, received_at, size, "
                   "seller_id) VALUES (?, '', 7, ?, 'mail', ?, ?, 1, 1)", (str(at), direction, state, at))
    migrations.apply(db)
    assert list(db.query("SELECT seller_id, asked_at, answered_at FROM answer")) == [
        {"seller_id": 1, "asked_at": 20.0, "answered_at": 40.0}]
