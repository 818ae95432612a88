"""The schema and its history. A migration, once released, is never edited: add another below it.

Every column that ends in _sealed is AES-GCM under a party's data key or a message's key, which in turn are
wrapped (vault.py); _hash columns are keyed. Times are seconds since the epoch (UTC).
"""

from __future__ import annotations

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

migrations = Migrations("tradepost")


@migrations()
def m0001_first(db: Database) -> None:
    """Parties, correspondences, blocks, messages, deliveries, content and events."""
    _first_parties(db)
    _first_messages(db)
    _first_deliveries(db)
    _first_events(db)


def _first_parties(db: Database) -> None:
    db.create_table("party", {
        "id": int, "side": str, "external_id": str, "language": str, "name_sealed": bytes,
        "data_key": bytes, "ring_key": int, "created_at": float,
    }, pk="id", not_null={"side", "external_id", "language", "created_at"}, strict=True)
    db.table("party").create_index(["side", "external_id"], unique=True)

    db.create_table("address", {
        "id": int, "party_id": int, "hash": bytes, "address_sealed": bytes, "state": str, "registered": int,
    }, pk="id", not_null={"party_id", "hash", "state"}, foreign_keys=[("party_id", "party", "id")], strict=True)
    db.table("address").create_index(["party_id", "hash"], unique=True)
    db.table("address").create_index(["hash"])

    db.create_table("correspondence", {
        "id": int, "seller_id": int, "buyer_id": int, "order_number": str, "domain": str, "ring_key": int,
        "created_at": float, "closed_at": float, "last_buyer_message_at": float, "waiting_message_id": int,
    }, pk="id", not_null={"seller_id", "buyer_id", "domain", "ring_key", "created_at"},
        foreign_keys=[("seller_id", "party", "id"), ("buyer_id", "party", "id")], strict=True)
    db.execute("CREATE UNIQUE INDEX correspondence_order ON correspondence (order_number) "
               "WHERE order_number IS NOT NULL")
    db.execute("CREATE UNIQUE INDEX correspondence_enquiry ON correspondence (seller_id, buyer_id) "
               "WHERE order_number IS NULL")
    db.execute("CREATE INDEX correspondence_waiting ON correspondence (waiting_message_id) "
               "WHERE waiting_message_id IS NOT NULL")
    db.table("correspondence").create_index(["seller_id"])
    db.table("correspondence").create_index(["buyer_id"])

    db.create_table("block", {
        "id": int, "scope": str, "party_id": int, "kind": str, "counterpart_id": int, "value": str,
        "value_sealed": bytes, "reason": str, "created_at": float, "removed_at": float,
    }, pk="id", not_null={"scope", "kind", "created_at"}, strict=True)
    db.execute("CREATE INDEX block_party ON block (party_id) WHERE removed_at IS NULL")


def _first_messages(db: Database) -> None:
    db.create_table("message", {
        "id": int, "public_id": str, "trace": str, "correspondence_id": int, "direction": str, "channel": str,
        "state": str, "rule": str, "status": str, "received_at": float, "dated_at": float, "size": int,
        "attachments": int, "solicited": int, "critical": int, "reported_at": float, "outgoing_id": str,
        "key_sealed": bytes, "subject_sealed": bytes, "reply_sealed": bytes, "original_id_sealed": bytes,
    }, pk="id", not_null={"public_id", "trace", "correspondence_id", "direction", "channel", "state",
                          "received_at", "size"},
        foreign_keys=[("correspondence_id", "correspondence", "id")], strict=True)
    db.table("message").create_index(["public_id"], unique=True)
    db.table("message").create_index(["correspondence_id", "id"])
    db.table("message").create_index(["state", "id"])
    db.execute("CREATE INDEX message_outgoing ON message (outgoing_id) WHERE outgoing_id IS NOT NULL")
    db.execute("CREATE INDEX message_critical ON message (correspondence_id, received_at) WHERE critical = 1")
    db.execute("CREATE INDEX message_reported ON message (id) WHERE reported_at IS NOT NULL")

    db.create_table("content", {"message_id": int, "body_sealed": bytes, "file": str, "size": int},
                    pk="message_id", foreign_keys=[("message_id", "message", "id")], strict=True)


def _first_deliveries(db: Database) -> None:
    db.create_table("delivery", {
        "id": int, "message_id": int, "kind": str, "party_id": int, "state": str, "attempts": int,
        "created_at": float, "next_attempt_at": float, "lease_until": float, "warned_at": float,
        "finished_at": float, "destination_hash": bytes, "body_sealed": bytes, "code": str,
    }, pk="id", not_null={"message_id", "kind", "party_id", "state", "attempts", "created_at"},
        foreign_keys=[("message_id", "message", "id"), ("party_id", "party", "id")], strict=True)
    db.table("delivery").create_index(["message_id"])
    db.execute("CREATE INDEX delivery_due ON delivery (next_attempt_at) WHERE next_attempt_at IS NOT NULL")
    db.execute("CREATE INDEX delivery_leased ON delivery (id) WHERE lease_until IS NOT NULL")
    db.execute("CREATE INDEX delivery_destination ON delivery (destination_hash) WHERE finished_at IS NULL")


def _first_events(db: Database) -> None:
    db.create_table("event", {
        "id": int, "at": float, "message_id": int, "delivery_id": int, "party_id": int, "kind": str,
        "name": str, "detail": str, "remote_sealed": bytes,
    }, pk="id", not_null={"at", "kind", "name"}, strict=True)
    db.table("event").create_index(["message_id", "id"])
    for verb in ("UPDATE", "DELETE"):
        db.execute(f"CREATE TRIGGER event_no_{verb.lower()} BEFORE {verb} ON event "
                   "BEGIN SELECT RAISE(ABORT, 'events are append-only'); END")

    db.create_table("daily", {"party_id": int, "day": str, "sent": int, "orders": int},
                    pk=("party_id", "day"), strict=True)
    db.create_table("revision", {"name": str, "value": int}, pk="name", strict=True)
    db.table("revision").insert({"name": "registry", "value": 0})


@migrations()
def m0002_lanes(db: Database) -> None:
    """Destinations take turns: one row for each that may have something due; and how to know a message again.

    `lane.due_at` is never later than the earliest next_attempt_at of the destination's deliveries, unless the
    destination is in trouble: then nothing of it is due before `not_before`. It may be earlier; claiming mends it.
    """
    db.execute("CREATE TABLE lane (destination_hash BLOB PRIMARY KEY, due_at REAL NOT NULL, "
               "not_before REAL NOT NULL DEFAULT 0, failures INTEGER NOT NULL DEFAULT 0) STRICT, WITHOUT ROWID")
    db.execute("CREATE INDEX lane_due ON lane (due_at)")
    db.execute("DROP INDEX delivery_due")
    db.execute("CREATE INDEX delivery_lane ON delivery (destination_hash, next_attempt_at) "
               "WHERE next_attempt_at IS NOT NULL")
    db.execute("CREATE INDEX delivery_age ON delivery (destination_hash, (warned_at IS NOT NULL), created_at) "
               "WHERE next_attempt_at IS NOT NULL")
    db.execute("CREATE INDEX delivery_open ON delivery (id) WHERE finished_at IS NULL")
    earlier = ("(new.next_attempt_at < ifnull(old.next_attempt_at, 9e999) "
               "OR new.destination_hash IS NOT old.destination_hash)")
    for name, event, changed in (("insert", "INSERT", "1"),
                                 ("update", "UPDATE OF next_attempt_at, destination_hash", earlier)):
        db.execute(f"CREATE TRIGGER delivery_lane_{name} AFTER {event} ON delivery "  # noqa: S608
                   f"WHEN new.next_attempt_at IS NOT NULL AND new.destination_hash IS NOT NULL AND {changed} "
                   "BEGIN INSERT INTO lane (destination_hash, due_at) "
                   "VALUES (new.destination_hash, new.next_attempt_at) "
                   "ON CONFLICT (destination_hash) DO UPDATE SET due_at = max(excluded.due_at, not_before) "
                   "WHERE due_at > max(excluded.due_at, not_before); END")
    db.execute("INSERT INTO lane (destination_hash, due_at) SELECT destination_hash, min(next_attempt_at) "
               "FROM delivery WHERE next_attempt_at IS NOT NULL AND destination_hash IS NOT NULL "
               "GROUP BY destination_hash")
    db.execute("ALTER TABLE message ADD COLUMN digest BLOB")
    db.execute("CREATE INDEX message_digest ON message (digest) WHERE digest IS NOT NULL")


@migrations()
def m0003_ring_keys(db: Database) -> None:
    """What hangs on a ring key is found without a look at everything."""
    db.table("party").create_index(["ring_key"])
    db.table("correspondence").create_index(["ring_key", "closed_at"])


@migrations()
def m0004_logins(db: Database) -> None:
    """Who may submit mail; addresses that wait for their party's word; addresses that are a group's."""
    db.create_table("login", {
        "id": int, "name": str, "party_id": int, "hash": str, "created_at": float, "changed_at": float,
    }, pk="id", not_null={"name", "party_id", "hash", "created_at", "changed_at"},
        foreign_keys=[("party_id", "party", "id")], strict=True)
    db.table("login").create_index(["name"], unique=True)
    db.create_table("asked_address", {
        "id": int, "party_id": int, "hash": bytes, "address_sealed": bytes, "message": str, "asked_at": float,
    }, pk="id", not_null={"party_id", "hash", "address_sealed", "message", "asked_at"},
        foreign_keys=[("party_id", "party", "id")], strict=True)
    db.table("asked_address").create_index(["party_id", "asked_at"])
    db.table("asked_address").create_index(["message"], unique=True)
    db.execute("ALTER TABLE address ADD COLUMN is_group INTEGER NOT NULL DEFAULT 0")


@migrations()
def m0005_api(db: Database) -> None:
    """API keys, answers kept for Idempotency-Key, templates; and a seller's own messages without a look at all."""
    db.execute("CREATE TABLE api_key (id INTEGER PRIMARY KEY, name TEXT NOT NULL, hash BLOB NOT NULL UNIQUE, "
               "scopes TEXT NOT NULL, seller_id INTEGER REFERENCES party(id), created_at REAL NOT NULL, "
               "removed_at REAL) STRICT")
    db.execute("CREATE UNIQUE INDEX api_key_name ON api_key (name) WHERE removed_at IS NULL")
    db.execute("CREATE TABLE idempotency (api_key_id INTEGER NOT NULL REFERENCES api_key(id), key_hash BLOB NOT NULL, "
               "request_hash BLOB NOT NULL, begun_at REAL NOT NULL, status INTEGER, answer_sealed BLOB, "
               "PRIMARY KEY (api_key_id, key_hash)) STRICT, WITHOUT ROWID")
    db.execute("CREATE INDEX idempotency_age ON idempotency (begun_at)")
    db.execute("CREATE TABLE template (id INTEGER PRIMARY KEY, seller_id INTEGER REFERENCES party(id), "
               "name TEXT NOT NULL, subject TEXT NOT NULL, text TEXT NOT NULL, updated_at REAL NOT NULL) STRICT")
    db.execute("CREATE UNIQUE INDEX template_name ON template (ifnull(seller_id, 0), name)")
    db.execute("ALTER TABLE message ADD COLUMN seller_id INTEGER")
    db.execute("UPDATE message SET seller_id = (SELECT seller_id FROM correspondence c WHERE c.id = correspondence_id)")
    db.execute("CREATE INDEX message_seller ON message (seller_id, id)")
    db.execute("CREATE INDEX message_seller_state ON message (seller_id, state, id)")
    db.execute("CREATE INDEX message_seller_reported ON message (seller_id, id) WHERE reported_at IS NOT NULL")
    db.execute("CREATE INDEX correspondence_seller_waiting ON correspondence (seller_id, waiting_message_id) "
               "WHERE waiting_message_id IS NOT NULL")


@migrations()
def m0006_webhooks(db: Database) -> None:
    """Who is told of what happens, how far each has been told, and what waits to be told."""
    db.execute("CREATE TABLE webhook (id INTEGER PRIMARY KEY, url_sealed BLOB NOT NULL, secret_sealed BLOB NOT NULL, "
               "types TEXT NOT NULL, event_id INTEGER NOT NULL, created_at REAL NOT NULL, removed_at REAL, "
               "old_secret_sealed BLOB, old_secret_until REAL) STRICT")
    db.execute("CREATE TABLE webhook_call (id INTEGER PRIMARY KEY, webhook_id INTEGER NOT NULL REFERENCES webhook(id), "
               "public_id TEXT NOT NULL UNIQUE, body TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, "
               "next_attempt_at REAL, status INTEGER) STRICT")
    db.execute("CREATE INDEX webhook_call_due ON webhook_call (webhook_id, next_attempt_at) "
               "WHERE next_attempt_at IS NOT NULL")


@migrations()
def m0007_page(db: Database) -> None:
    """Moderators and operators: logins with a role and no party. Sessions of the page; correspondences by their last
    message."""
    db.execute("CREATE TABLE new_login (id INTEGER PRIMARY KEY, name TEXT NOT NULL, role TEXT, "
               "party_id INTEGER REFERENCES party(id), hash TEXT NOT NULL, created_at REAL NOT NULL, "
               "changed_at REAL NOT NULL, CHECK ((role IS NULL) <> (party_id IS NULL))) STRICT")
    db.execute("INSERT INTO new_login (id, name, party_id, hash, created_at, changed_at) "
               "SELECT id, name, party_id, hash, created_at, changed_at FROM login")
    db.execute("DROP TABLE login")
    db.execute("ALTER TABLE new_login RENAME TO login")
    db.execute("CREATE UNIQUE INDEX login_name ON login (name)")
    db.execute("CREATE TABLE page_session (id INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, "
               "login_id INTEGER NOT NULL REFERENCES login(id) ON DELETE CASCADE, created_at REAL NOT NULL, "
               "seen_at REAL NOT NULL) STRICT")
    db.execute("CREATE INDEX page_session_login ON page_session (login_id)")
    db.execute("CREATE INDEX page_session_seen ON page_session (seen_at)")
    db.execute("ALTER TABLE correspondence ADD COLUMN last_message_id INTEGER")
    db.execute("UPDATE correspondence SET last_message_id = (SELECT max(id) FROM message "
               "WHERE correspondence_id = correspondence.id AND state <> 'self')")
    db.execute("CREATE INDEX correspondence_last ON correspondence (last_message_id) WHERE last_message_id IS NOT NULL")
    db.execute("CREATE INDEX correspondence_seller_last ON correspondence (seller_id, last_message_id) "
               "WHERE last_message_id IS NOT NULL")
    db.execute("CREATE TRIGGER message_last AFTER INSERT ON message WHEN new.state <> 'self' BEGIN "
               "UPDATE correspondence SET last_message_id = new.id WHERE id = new.correspondence_id; END")


@migrations()
def m0008_desk(db: Database) -> None:
    """What operators look at: throughput over time, destinations with something on hold. Who a login is to an OpenID
    Connect provider."""
    db.execute("CREATE INDEX event_traffic ON event (at, kind, name) WHERE kind IN ('verdict', 'outcome')")
    db.execute("CREATE INDEX delivery_held ON delivery (destination_hash) WHERE state = 'held'")
    db.execute("ALTER TABLE login ADD COLUMN oidc_issuer TEXT")
    db.execute("ALTER TABLE login ADD COLUMN oidc_subject TEXT")
    db.execute("CREATE UNIQUE INDEX login_subject ON login (oidc_issuer, oidc_subject) WHERE oidc_subject IS NOT NULL")


@migrations()
def m0009_writing(db: Database) -> None:
    """Files of messages that are being written on the page; how soon sellers answered; who blocked an address."""
    db.execute("CREATE TABLE draft_file (id INTEGER PRIMARY KEY, public_id TEXT NOT NULL UNIQUE, "
               "login_id INTEGER NOT NULL REFERENCES login(id) ON DELETE CASCADE, "
               "party_id INTEGER NOT NULL REFERENCES party(id), name_sealed BLOB NOT NULL, type TEXT NOT NULL, "
               "size INTEGER NOT NULL, body_sealed BLOB NOT NULL, created_at REAL NOT NULL) STRICT")
    db.execute("CREATE INDEX draft_file_login ON draft_file (login_id, id)")
    db.execute("CREATE INDEX draft_file_age ON draft_file (created_at)")
    db.execute("ALTER TABLE address ADD COLUMN blocked_by TEXT")
    db.execute("CREATE TABLE answer (message_id INTEGER PRIMARY KEY, seller_id INTEGER NOT NULL, "
               "asked_at REAL NOT NULL, answered_at REAL NOT NULL) STRICT")
    db.execute("CREATE INDEX answer_seller ON answer (seller_id, asked_at, answered_at)")
    db.execute("INSERT INTO answer (message_id, seller_id, asked_at, answered_at) "
               "SELECT id, seller_id, asked_at, received_at FROM (SELECT id, seller_id, direction, received_at, "
               "lag(received_at) OVER thread AS asked_at, lag(direction) OVER thread AS before FROM message "
               "WHERE state NOT IN ('refused', 'self', 'auto') "
               "WINDOW thread AS (PARTITION BY correspondence_id ORDER BY id)) "
               "WHERE direction = 'to-buyer' AND before = 'to-seller' AND seller_id IS NOT NULL")
    db.execute("CREATE TRIGGER message_answer AFTER INSERT ON message "
               "WHEN new.direction = 'to-buyer' AND new.state IN ('queued', 'held') BEGIN "
               "INSERT INTO answer (message_id, seller_id, asked_at, answered_at) "
               "SELECT new.id, c.seller_id, m.received_at, max(new.received_at, m.received_at) FROM correspondence c "
               "JOIN message m ON m.id = c.waiting_message_id WHERE c.id = new.correspondence_id; END")
