-- The hot path's SQL, one named block a query. Everything else goes through sqlite-utils.

-- name: correspondence
-- One correspondence with its two parties, by number: what changes only when the registry does.
SELECT c.id, c.order_number, c.domain, c.ring_key AS sealed_by, c.closed_at,
       s.id AS seller_number, s.external_id AS seller_id, s.language AS seller_language,
       s.name_sealed AS seller_name, s.data_key AS seller_key, s.ring_key AS seller_ring_key,
       b.id AS buyer_number, b.external_id AS buyer_id, b.language AS buyer_language,
       b.name_sealed AS buyer_name, b.data_key AS buyer_key, b.ring_key AS buyer_ring_key
FROM correspondence c JOIN party s ON s.id = c.seller_id JOIN party b ON b.id = c.buyer_id
WHERE c.id = ? AND s.data_key IS NOT NULL AND b.data_key IS NOT NULL;

-- name: addresses
-- Every address of two parties, registered ones first.
SELECT party_id, address_sealed, state, registered FROM address
WHERE party_id IN (?, ?) AND address_sealed IS NOT NULL ORDER BY registered DESC, id;

-- name: party_blocks
-- What one party has blocked, and whether it is blocked itself (all live rows: there are few).
SELECT kind, counterpart_id FROM block WHERE party_id = ? AND removed_at IS NULL;

-- name: relay_blocks
-- The operator's block lists, without parties: those are found with what a party has blocked.
SELECT kind, value, value_sealed FROM block WHERE scope = 'relay' AND kind <> 'party' AND removed_at IS NULL;

-- name: revision
-- Goes up with every change to parties, orders, addresses and blocks: what was read before it is stale.
SELECT value FROM revision WHERE name = 'registry';

-- name: wrapping_keys
-- The ring keys that parties' data keys are wrapped with, without a look at every party.
WITH RECURSIVE used (id) AS (
    SELECT min(ring_key) FROM party UNION ALL
    SELECT (SELECT min(ring_key) FROM party WHERE ring_key > used.id) FROM used WHERE used.id IS NOT NULL)
SELECT id FROM used;

-- name: counts
-- What changes with every message: the buyer's last one, the seller's day, the critical subjects of the day.
SELECT c.last_buyer_message_at,
       (SELECT sent FROM daily WHERE party_id = c.seller_id AND day = :day) AS sent_today,
       (SELECT sum(orders) FROM daily WHERE party_id = c.seller_id AND day >= :month) AS orders,
       (SELECT count(*) FROM message m WHERE m.correspondence_id = c.id AND m.critical = 1
        AND m.received_at >= :midnight AND m.state <> 'refused') AS critical_today
FROM correspondence c WHERE c.id = :id;

-- name: critical_today
SELECT count(*) FROM message WHERE correspondence_id = ? AND critical = 1 AND received_at >= ? AND state <> 'refused';

-- name: by_outgoing_id
-- The message of ours that bears an outgoing Message-ID.
SELECT public_id, direction, state, key_sealed, original_id_sealed FROM message
WHERE outgoing_id = ? AND correspondence_id = ? AND state <> 'refused' LIMIT 1;

-- name: message_of
-- The message that a sealed action is about, with the numbers of its parties.
SELECT m.id, c.seller_id, c.buyer_id FROM message m JOIN correspondence c ON c.id = m.correspondence_id
WHERE m.public_id = ? AND m.correspondence_id = ?;

-- name: report
UPDATE message SET reported_at = ? WHERE id = ? AND reported_at IS NULL;

-- name: no_answer_needed
-- A newer message of the buyer goes on waiting.
UPDATE correspondence SET waiting_message_id = NULL WHERE id = ? AND waiting_message_id = ?;

-- name: stop_unsolicited
INSERT INTO block (scope, party_id, kind, counterpart_id, reason, created_at)
SELECT 'buyer', :buyer, 'unsolicited', :seller, 'by mail', :at
WHERE NOT EXISTS (SELECT 1 FROM block WHERE party_id = :buyer AND kind = 'unsolicited'
                  AND counterpart_id IS :seller AND removed_at IS NULL);

-- name: action_state
-- What sealed actions about a message have done so far; `reporter` is whose report it is.
SELECT m.reported_at IS NOT NULL AS reported, c.waiting_message_id IS NOT m.id AS settled,
       EXISTS (SELECT 1 FROM block WHERE party_id = c.buyer_id AND kind = 'unsolicited'
               AND counterpart_id = c.seller_id AND removed_at IS NULL) AS seller_stopped,
       EXISTS (SELECT 1 FROM block WHERE party_id = c.buyer_id AND kind = 'unsolicited'
               AND counterpart_id IS NULL AND removed_at IS NULL) AS all_stopped,
       (SELECT detail FROM event WHERE message_id = m.id AND kind = 'action' AND name = 'report'
        ORDER BY id DESC LIMIT 1) AS reporter
FROM message m JOIN correspondence c ON c.id = m.correspondence_id WHERE m.public_id = ? AND m.correspondence_id = ?;

-- name: unreport
UPDATE message SET reported_at = NULL WHERE id = ? AND reported_at IS NOT NULL;

-- name: was_reported
SELECT 1 FROM message m JOIN event e ON e.message_id = m.id
WHERE m.public_id = ? AND e.kind IN ('action', 'moderation') AND e.name IN ('report', 'upheld', 'dismissed', 'warned',
'blocked') LIMIT 1;

-- name: held_of
SELECT id FROM delivery WHERE message_id = ? AND state = 'held';

-- name: block_party
-- By the marketplace: nothing that it writes passes.
INSERT INTO block (scope, party_id, kind, reason, created_at)
SELECT 'relay', :party, 'party', :reason, :at
WHERE NOT EXISTS (SELECT 1 FROM block WHERE party_id = :party AND kind = 'party' AND removed_at IS NULL);

-- name: blocked_parties
SELECT k.id, k.party_id, k.reason, k.created_at, p.side, p.external_id, p.name_sealed, p.data_key, p.ring_key
FROM block k JOIN party p ON p.id = k.party_id WHERE k.kind = 'party' AND k.removed_at IS NULL
ORDER BY k.id DESC LIMIT 500;

-- name: answer_needed
-- Again, if nothing was written since.
UPDATE correspondence SET waiting_message_id = :message WHERE id = :id AND waiting_message_id IS NULL
AND NOT EXISTS (SELECT 1 FROM message WHERE correspondence_id = :id AND id > :message AND state <> 'refused');

-- name: resume_unsolicited
UPDATE block SET removed_at = :at
WHERE party_id = :buyer AND kind = 'unsolicited' AND counterpart_id IS :seller AND removed_at IS NULL;

-- name: registry_changed
-- What the daemons keep in memory is stale.
UPDATE revision SET value = value + 1 WHERE name = 'registry';

-- name: insert_message
INSERT INTO message (public_id, trace, correspondence_id, direction, channel, state, rule, status, received_at,
                     dated_at, size, attachments, solicited, critical, outgoing_id, key_sealed, subject_sealed,
                     reply_sealed, original_id_sealed, digest, seller_id)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
        (SELECT seller_id FROM correspondence WHERE id = ?));

-- name: insert_content
INSERT INTO content (message_id, body_sealed, file, size) VALUES (?, ?, ?, ?);

-- name: insert_delivery
INSERT INTO delivery (message_id, kind, party_id, state, attempts, created_at, next_attempt_at, lease_until,
                      destination_hash, body_sealed)
SELECT ?, ?, CASE ? WHEN 'seller' THEN seller_id ELSE buyer_id END, 'queued', ?, ?, ?, ?, ?, ?
FROM correspondence WHERE id = ?;

-- name: insert_event
INSERT INTO event (at, message_id, delivery_id, party_id, kind, name, detail, remote_sealed)
VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- name: buyer_wrote
-- An accepted message of the buyer waits for the seller's answer.
UPDATE correspondence SET last_buyer_message_at = ?, waiting_message_id = ? WHERE id = ?;

-- name: seller_answered
UPDATE correspondence SET waiting_message_id = NULL WHERE id = ?;

-- name: count_sent
INSERT INTO daily (party_id, day, sent, orders) SELECT seller_id, ?, 1, 0 FROM correspondence WHERE id = ?
ON CONFLICT (party_id, day) DO UPDATE SET sent = sent + 1;

-- name: lanes_due
-- Destinations that may have something due, the one that has waited longest first.
SELECT destination_hash, due_at, failures FROM lane WHERE due_at <= ? ORDER BY due_at LIMIT ?;

-- name: lane_failures
SELECT failures FROM lane WHERE destination_hash = ? AND failures > 0;

-- name: due
-- One destination's deliveries whose time has come, oldest first; a lease that ran out is due like any other.
SELECT d.id, d.message_id, d.kind, d.party_id, d.attempts, d.created_at, d.warned_at, d.code, m.public_id, m.trace,
       c.domain, c.ring_key AS sealed_by, a.address_sealed, p.data_key, p.ring_key
FROM delivery d JOIN message m ON m.id = d.message_id JOIN correspondence c ON c.id = m.correspondence_id
JOIN party p ON p.id = d.party_id
LEFT JOIN address a ON a.party_id = d.party_id AND a.registered = 1
WHERE d.destination_hash = ? AND d.next_attempt_at <= ? ORDER BY d.next_attempt_at LIMIT ?;

-- name: overdue
-- Of a destination in trouble: deliveries whose originator is to hear of a delay or of the end, though only a few
-- are ever tried. `warned` is 0 or 1: the index has these apart.
SELECT d.id, d.message_id, d.kind, d.party_id, d.attempts, d.created_at, d.warned_at, d.code, m.public_id, m.trace,
       c.domain, c.ring_key AS sealed_by, a.address_sealed, p.data_key, p.ring_key
FROM delivery d INDEXED BY delivery_age
JOIN message m ON m.id = d.message_id JOIN correspondence c ON c.id = m.correspondence_id
JOIN party p ON p.id = d.party_id
LEFT JOIN address a ON a.party_id = d.party_id AND a.registered = 1
WHERE d.destination_hash = :lane AND (d.warned_at IS NOT NULL) = :warned AND d.created_at <= :before
  AND d.next_attempt_at IS NOT NULL AND d.lease_until IS NULL
ORDER BY d.created_at LIMIT :limit;

-- name: lane_next
SELECT next_attempt_at FROM delivery WHERE destination_hash = ? AND next_attempt_at IS NOT NULL
ORDER BY next_attempt_at LIMIT 1;

-- name: lane_visited
-- It waits its turn behind the others, or for its next delivery.
UPDATE lane SET due_at = max(?, not_before) WHERE destination_hash = ?;

-- name: lane_probed
-- One attempt decides for all: the others wait for its outcome.
UPDATE lane SET due_at = :until, not_before = :until WHERE destination_hash = :lane;

-- name: lane_empty
DELETE FROM lane WHERE destination_hash = ?;

-- name: lane_troubled
INSERT INTO lane (destination_hash, due_at, not_before, failures) VALUES (:lane, :until, :until, :failures)
ON CONFLICT (destination_hash) DO UPDATE SET due_at = :until, not_before = :until, failures = :failures;

-- name: lane_recovered
UPDATE lane SET failures = 0, not_before = 0, due_at = :now WHERE destination_hash = :lane AND failures > 0;

-- name: urged
-- How often an operator has asked for another try of what is deferred.
SELECT value FROM revision WHERE name = 'urged';

-- name: urge
INSERT INTO revision (name, value) VALUES ('urged', 1) ON CONFLICT (name) DO UPDATE SET value = value + 1;

-- name: lane_urged
UPDATE lane SET not_before = 0, due_at = ? WHERE destination_hash = ?;

-- name: lanes_stepped
UPDATE lane SET due_at = due_at + :step, not_before = not_before + :step;

-- name: lanes_rebuilt
-- At start: who was in trouble is, and is tried once at once; what a dead process had in hand is nobody's.
INSERT INTO lane (destination_hash, due_at)
SELECT destination_hash, min(next_attempt_at) FROM delivery
WHERE next_attempt_at IS NOT NULL AND destination_hash IS NOT NULL GROUP BY destination_hash
ON CONFLICT (destination_hash) DO UPDATE SET due_at = excluded.due_at, not_before = 0;

-- name: held
SELECT 1 FROM delivery WHERE id = ? AND state = 'held';

-- name: lease
UPDATE delivery SET attempts = attempts + 1, lease_until = ?, next_attempt_at = ? WHERE id = ?;

-- name: release_leases
-- At start: nobody else runs on this ledger, so every lease is a dead process's.
UPDATE delivery SET lease_until = NULL, next_attempt_at = min(next_attempt_at, ?) WHERE lease_until IS NOT NULL;

-- name: clock_behind
-- At start: when the newest event lies in the future, the clock was set back while nobody ran. Nothing waits for it.
UPDATE delivery SET created_at = min(created_at, :now), next_attempt_at = min(next_attempt_at, :now)
WHERE finished_at IS NULL AND (SELECT at FROM event ORDER BY id DESC LIMIT 1) > :now + :tolerance;

-- name: clock_forget
DELETE FROM revision WHERE name = 'clock';

-- name: clock_offset
-- Wall clock minus boot time, in seconds, as the queue's times count it: the processes of one daemon share it.
SELECT value FROM revision WHERE name = 'clock';

-- name: clock_set
INSERT INTO revision (name, value) VALUES ('clock', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- name: clock_stepped
-- The wall clock was stepped: leases, pauses and ages stay what they were.
UPDATE delivery SET created_at = created_at + :step, next_attempt_at = next_attempt_at + :step,
                    lease_until = lease_until + :step
WHERE finished_at IS NULL;

-- name: spooled_files
SELECT file FROM content WHERE file IS NOT NULL;

-- name: content_gone
-- In a copy of the ledger only: its file was deleted after the copy was taken.
DELETE FROM content WHERE file = ?;

-- name: message_count
SELECT count(*) FROM message;

-- name: probe
-- A real write, fsync and all, that changes nothing.
UPDATE revision SET value = value WHERE name = 'registry';

-- name: queue_state
SELECT state, count(*) AS count, min(created_at) AS oldest FROM delivery WHERE finished_at IS NULL GROUP BY state;

-- name: finish
UPDATE delivery SET state = ?, code = ?, finished_at = ?, next_attempt_at = NULL, lease_until = NULL WHERE id = ?;

-- name: fail
-- Once: whoever comes second, a DSN or the queue, has nothing to tell the originator.
UPDATE delivery SET state = 'failed', code = ?, finished_at = ?, next_attempt_at = NULL, lease_until = NULL
WHERE id = ? AND state <> 'failed';

-- name: dsns
-- How many reports about a message are in its timeline, as far as `limit`.
SELECT count(*) FROM (SELECT 1 FROM event WHERE message_id = ? AND kind = 'dsn' LIMIT ?);

-- name: by_digest
-- A message that is known: accepted since, and not failed (then it is worth another try).
SELECT id, public_id FROM message
WHERE digest = ? AND received_at >= ? AND state IN ('queued', 'deferred', 'delivered', 'held') LIMIT 1;

-- name: of_the_day
-- How many of the newest messages of a correspondence have come one way since a time and are in one state.
SELECT count(*) FROM (
    SELECT direction, state, received_at FROM message WHERE correspondence_id = ? ORDER BY id DESC LIMIT 1000)
WHERE direction = ? AND state = ? AND received_at >= ?;

-- name: exchange
-- The newest messages of a correspondence that went on, to see whether two machines answer each other.
SELECT direction, received_at FROM message
WHERE correspondence_id = ? AND state <> 'refused' ORDER BY id DESC LIMIT ?;

-- name: defer
-- Not if it was held, dropped or finished from the command line meanwhile.
UPDATE delivery SET state = 'deferred', code = ?, next_attempt_at = ?, lease_until = NULL,
                    warned_at = coalesce(?, warned_at)
WHERE id = ? AND lease_until IS NOT NULL;

-- name: message_state
UPDATE message SET state = ? WHERE id = ?;

-- name: delivery_with_message
SELECT d.id, d.kind, d.state, d.body_sealed, m.id AS message_number, m.public_id, m.trace, m.correspondence_id,
       m.direction, m.received_at, m.key_sealed, m.subject_sealed, m.original_id_sealed,
       k.body_sealed AS content_sealed, k.file
FROM delivery d JOIN message m ON m.id = d.message_id LEFT JOIN content k ON k.message_id = m.id
WHERE d.id = ?;

-- name: newest_event
SELECT at FROM event ORDER BY id DESC LIMIT 1;

-- name: login
-- Whose login it is, and what its password is checked against.
SELECT l.hash, p.side || ':' || p.external_id AS party FROM login l JOIN party p ON p.id = l.party_id
WHERE l.name = ? AND p.data_key IS NOT NULL;

-- name: login_by_address
-- The same by an authorised address of the party; two rows are enough to say that it is ambiguous.
SELECT l.hash, p.side || ':' || p.external_id AS party FROM address a JOIN party p ON p.id = a.party_id
JOIN login l ON l.party_id = p.id WHERE a.hash = ? AND a.state = 'authorised' AND p.data_key IS NOT NULL LIMIT 2;

-- name: asked_today
-- Of one party: whether it was asked about this address since, and about how many since then.
SELECT count(*) AS count, coalesce(sum(hash = :hash), 0) AS this FROM asked_address
WHERE party_id = :party AND asked_at > :since;

-- name: ask_address
INSERT INTO asked_address (party_id, hash, address_sealed, message, asked_at)
VALUES (:party, :hash, :address, :message, :at);

-- name: authorise_asked
-- What the party has blocked or removed since stays that.
INSERT INTO address (party_id, hash, address_sealed, state, registered)
SELECT party_id, hash, address_sealed, 'authorised', 0 FROM asked_address WHERE message = :message AND party_id = :party
ON CONFLICT (party_id, hash) DO NOTHING;

-- name: asked_state
SELECT a.state FROM asked_address q JOIN address a ON a.party_id = q.party_id AND a.hash = q.hash
WHERE q.message = :message AND q.party_id = :party;

-- name: api_key
SELECT k.id, k.name, k.scopes, k.seller_id, p.external_id AS seller
FROM api_key k LEFT JOIN party p ON p.id = k.seller_id WHERE k.hash = ? AND k.removed_at IS NULL;

-- name: answer_kept
SELECT request_hash, begun_at, status, answer_sealed FROM idempotency
WHERE api_key_id = ? AND key_hash = ? AND begun_at >= ?;

-- name: answer_begun
INSERT OR REPLACE INTO idempotency (api_key_id, key_hash, request_hash, begun_at) VALUES (?, ?, ?, ?);

-- name: answer_done
UPDATE idempotency SET status = ?, answer_sealed = ? WHERE api_key_id = ? AND key_hash = ?;

-- name: answers_forgotten
DELETE FROM idempotency WHERE begun_at < ?;

-- name: webhooks
SELECT id, url_sealed, secret_sealed, old_secret_sealed, old_secret_until, types, event_id, created_at
FROM webhook WHERE removed_at IS NULL ORDER BY id;

-- name: events_after
-- What happened since, with what a webhook tells of it.
SELECT e.id, e.at, e.kind, e.name, e.detail, d.kind AS delivery, m.public_id, m.state, m.rule, m.direction, m.channel,
       c.order_number, s.external_id AS seller, b.external_id AS buyer, p.side, p.external_id AS party
FROM event e LEFT JOIN message m ON m.id = e.message_id LEFT JOIN correspondence c ON c.id = m.correspondence_id
LEFT JOIN party s ON s.id = c.seller_id LEFT JOIN party b ON b.id = c.buyer_id
LEFT JOIN delivery d ON d.id = e.delivery_id LEFT JOIN party p ON p.id = e.party_id
WHERE e.id > ? ORDER BY e.id LIMIT ?;

-- name: webhook_told
UPDATE webhook SET event_id = max(event_id, ?) WHERE id = ?;

-- name: webhook_call
INSERT INTO webhook_call (webhook_id, public_id, body, next_attempt_at) VALUES (?, ?, ?, ?);

-- name: webhook_calls_due
SELECT id, public_id, body, attempts FROM webhook_call
WHERE webhook_id = ? AND next_attempt_at <= ? ORDER BY next_attempt_at LIMIT ?;

-- name: webhook_called
UPDATE webhook_call SET attempts = attempts + 1, status = ?, next_attempt_at = ? WHERE id = ?;

-- name: webhook_call_done
DELETE FROM webhook_call WHERE id = ?;

-- name: webhook_calls_ended
UPDATE webhook_call SET next_attempt_at = NULL WHERE webhook_id = ? AND next_attempt_at IS NOT NULL;

-- name: page_login
-- Who may look at the page: sellers, and logins with a role of their own.
SELECT l.id, l.hash FROM login l LEFT JOIN party p ON p.id = l.party_id
WHERE l.name = ? AND (l.role IS NOT NULL OR (p.side = 'seller' AND p.data_key IS NOT NULL));

-- name: session_begun
-- Not if the password was changed while the old one was being checked.
INSERT INTO page_session (hash, login_id, created_at, seen_at)
SELECT :hash, id, :at, :at FROM login WHERE id = :login AND hash = :kept;

-- name: session
-- A new password ends what was begun with the old one.
SELECT s.id, s.created_at, s.seen_at, l.id AS login_id, l.name, coalesce(l.role, p.side) AS role,
       p.id AS seller_id, p.external_id AS seller
FROM page_session s JOIN login l ON l.id = s.login_id LEFT JOIN party p ON p.id = l.party_id
WHERE s.hash = :hash AND s.created_at >= l.changed_at AND s.created_at > :begun AND s.seen_at > :seen
  AND (l.role IS NOT NULL OR (p.side = 'seller' AND p.data_key IS NOT NULL));

-- name: sessions
SELECT s.id, s.created_at, s.seen_at FROM page_session s JOIN login l ON l.id = s.login_id
WHERE s.login_id = :login AND s.created_at >= l.changed_at AND s.created_at > :begun AND s.seen_at > :seen
ORDER BY s.seen_at DESC;

-- name: session_seen
UPDATE page_session SET seen_at = ? WHERE id = ?;

-- name: session_ended
DELETE FROM page_session WHERE id = ? AND login_id = ?;

-- name: sessions_ended
DELETE FROM page_session WHERE login_id = ?;

-- name: sessions_forgotten
DELETE FROM page_session WHERE seen_at < ?;

-- name: waiting_count
-- How many messages wait for a seller's answer, as far as `limit`, and how many of those came before `late`.
SELECT count(*) AS waiting, coalesce(sum(m.received_at < :late), 0) AS late
FROM (SELECT waiting_message_id AS id FROM correspondence
      WHERE seller_id = :seller AND waiting_message_id IS NOT NULL LIMIT :limit) c JOIN message m ON m.id = c.id;

-- name: thread_versions
-- Of a correspondence's newest messages: what changes while somebody looks at them. That somebody looked is no change.
SELECT m.public_id, m.state, m.reported_at IS NOT NULL AS reported, m.id IS c.waiting_message_id AS waiting,
       (SELECT max(e.id) FROM event e WHERE e.message_id = m.id AND e.name <> 'content-shown') AS event
FROM message m JOIN correspondence c ON c.id = m.correspondence_id
WHERE m.correspondence_id = ? AND m.state <> 'self' ORDER BY m.id DESC LIMIT ?;

-- name: traffic
-- What came and how attempts ended, by slices of time: all of it from one index.
SELECT CAST((at - :since) / :step AS INTEGER) AS slice, kind, CASE WHEN kind = 'verdict' AND name <> 'pass'
       THEN 'refused' ELSE name END AS outcome, count(*) AS count
FROM event INDEXED BY event_traffic
WHERE kind IN ('verdict', 'outcome') AND at >= :since AND at < :until GROUP BY slice, kind, outcome;

-- name: destinations
-- Those in trouble first, then the longest waiting; without what was dropped.
SELECT destination_hash, failures, not_before FROM lane WHERE destination_hash <> x''
ORDER BY failures DESC, due_at LIMIT ?;

-- name: destinations_held
-- From one to the next in the index, however many deliveries each has.
WITH RECURSIVE held (lane) AS (
    SELECT min(destination_hash) FROM delivery WHERE state = 'held' UNION ALL
    SELECT (SELECT min(destination_hash) FROM delivery WHERE state = 'held' AND destination_hash > held.lane)
    FROM held WHERE held.lane IS NOT NULL)
SELECT lane FROM held WHERE lane IS NOT NULL LIMIT ?;

-- name: destination_depth
-- How much waits for a destination, as far as `limit`.
SELECT state, count(*) AS count, min(created_at) AS oldest FROM (
    SELECT state, created_at FROM delivery INDEXED BY delivery_destination
    WHERE finished_at IS NULL AND destination_hash = :lane LIMIT :limit) GROUP BY state;

-- name: destination_address
-- Any mailbox there, for the name of its domain.
SELECT a.address_sealed, p.id AS party_id, p.data_key, p.ring_key
FROM delivery d INDEXED BY delivery_destination JOIN party p ON p.id = d.party_id
JOIN address a ON a.party_id = p.id AND a.registered = 1
WHERE d.finished_at IS NULL AND d.destination_hash = ? AND p.data_key IS NOT NULL LIMIT 1;

-- name: login_of_subject
-- Of those who may look at the page.
SELECT l.id, l.hash FROM login l LEFT JOIN party p ON p.id = l.party_id
WHERE l.oidc_issuer = ? AND l.oidc_subject = ?
  AND (l.role IS NOT NULL OR (p.side = 'seller' AND p.data_key IS NOT NULL));

-- name: login_of_mailbox
-- Of sellers with that registered address; not a login that was linked to somebody in particular.
SELECT l.id, l.hash FROM address a JOIN party p ON p.id = a.party_id JOIN login l ON l.party_id = p.id
WHERE a.hash = ? AND a.registered = 1 AND a.state = 'authorised' AND p.side = 'seller' AND p.data_key IS NOT NULL
  AND l.oidc_subject IS NULL LIMIT 2;

-- name: party_key
SELECT ring_key, data_key FROM party WHERE id = ? AND data_key IS NOT NULL;

-- name: draft_kept
INSERT INTO draft_file (public_id, login_id, party_id, name_sealed, type, size, body_sealed, created_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- name: draft_file
SELECT public_id, name_sealed, type, size FROM draft_file WHERE public_id = ? AND login_id = ? AND party_id = ?;

-- name: draft_body
SELECT body_sealed FROM draft_file WHERE public_id = ? AND login_id = ? AND party_id = ?;

-- name: drafts_kept
-- One login's, the oldest first.
SELECT public_id, size FROM draft_file WHERE login_id = ? ORDER BY id;

-- name: draft_forgotten
DELETE FROM draft_file WHERE public_id = ? AND login_id = ? AND party_id = ?;

-- name: drafts_forgotten
DELETE FROM draft_file WHERE created_at < ?;

-- name: place_of
-- In which correspondence a message is.
SELECT correspondence_id FROM message WHERE public_id = ?;

-- name: own_addresses
-- A party's addresses as it sees them itself.
SELECT id, hash, address_sealed, state, registered, blocked_by FROM address
WHERE party_id = ? AND address_sealed IS NOT NULL AND state <> 'removed' ORDER BY registered DESC, id;

-- name: asked_here
-- Addresses that a party asked for on the page; the marketplace's answer is the address itself.
SELECT id, hash, address_sealed, asked_at FROM asked_address
WHERE party_id = ? AND message >= 'page:' AND message < 'page;' ORDER BY id;

-- name: asked_waiting
-- Of everybody: who waits for the marketplace's word since when.
SELECT p.side, p.external_id, a.asked_at FROM asked_address a JOIN party p ON p.id = a.party_id
WHERE a.message >= 'page:' AND a.message < 'page;' ORDER BY a.asked_at;

-- name: asked_withdrawn
DELETE FROM asked_address WHERE id = :id AND party_id = :party AND message >= 'page:' AND message < 'page;';

-- name: asked_answered
DELETE FROM asked_address WHERE party_id = ? AND hash = ?;

-- name: address_blocked
UPDATE address SET state = 'blocked', blocked_by = :by WHERE id = :id AND party_id = :party AND state = 'authorised';

-- name: address_unblocked
-- What the marketplace blocked stays blocked.
UPDATE address SET state = 'authorised', blocked_by = NULL
WHERE id = :id AND party_id = :party AND state = 'blocked' AND blocked_by IS NOT NULL;

-- name: address_removed
UPDATE address SET state = 'removed', blocked_by = NULL
WHERE id = :id AND party_id = :party AND registered = 0 AND (state = 'authorised' OR blocked_by IS NOT NULL);

-- name: answered_elsewhere
INSERT OR IGNORE INTO answer (message_id, seller_id, asked_at, answered_at)
SELECT id, seller_id, received_at, max(:at, received_at) FROM message WHERE id = :message AND seller_id IS NOT NULL;

-- name: answer_counts
-- Of one seller: messages of buyers that were answered, and those that were in time.
SELECT count(*) AS answered, coalesce(sum(answered_at - asked_at <= :target), 0) AS in_time FROM answer
WHERE seller_id = :seller AND asked_at >= :since;

-- name: answer_median
SELECT answered_at - asked_at AS wait_s FROM answer
WHERE seller_id = :seller AND asked_at >= :since ORDER BY answered_at - asked_at LIMIT 1 OFFSET :half;

-- name: unanswered_late
SELECT count(*) AS late FROM correspondence c JOIN message m ON m.id = c.waiting_message_id
WHERE c.seller_id = :seller AND c.waiting_message_id IS NOT NULL AND m.received_at >= :since AND m.received_at < :late;
