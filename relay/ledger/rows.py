"""What one transaction writes: a message, its deliveries, notices and events; and the keys of messages in memory."""

from __future__ import annotations

import json
from collections import OrderedDict
from datetime import UTC, datetime
from typing import Any

from aliasing.address import Address
from aliasing.correspondence import Correspondence, Direction, Side
from aliasing.token import Role
from relay.errors import Overtaken
from relay.ledger import Notice, ReturnedDelivery
from relay.ledger.asked import ask
from relay.ledger.opened import SQL, Opened, signed
from relay.ledger.registered import Registered
from relay.ledger.vault import MessageVault, open_message
from relay.ledger.writer import Connection
from relay.records import Delivery, DeliveryKind, LedgerEntry, Outcome, State

MAX_KEPT = 20_000
"""Message keys that are kept in memory."""
REPEAT_S = 12 * 3600.0
"""How long the very same message is known again: mail servers that lost our 250 come back within hours."""
_FORWARDED = (State.QUEUED, State.HELD)


class Rows:
    """Inside the writer's transactions; one instance a process."""

    def __init__(self, opened: Opened, registered: Registered) -> None:
        self._opened = opened
        self._registered = registered
        self._vaults: OrderedDict[int, MessageVault] = OrderedDict()

    def vault(self, row: Any) -> MessageVault:
        """That of a message, by a row with its number, correspondence, id and sealed key."""
        number = row["message_number"]
        if number not in self._vaults:
            vaults = self._registered.vaults(row["correspondence_id"])
            self.remember(number, open_message(row["public_id"], vaults, row["key_sealed"]))
        return self._vaults[number]

    def remember(self, number: int, vault: MessageVault) -> None:
        """Keep it for what will be asked of the message soon."""
        self._vaults[number] = vault
        while len(self._vaults) > MAX_KEPT:
            self._vaults.popitem(last=False)

    def message(self, connection: Connection, entry: LedgerEntry, vault: MessageVault, wrapped: bytes,
                file: str | None) -> int:
        """With its content, verdicts and notes; its number. Raises Overtaken."""
        if entry.critical and entry.state in _FORWARDED:
            self._check_count(connection, entry)
        digest = self._digest(connection, entry) if entry.identity and entry.state in _FORWARDED else None
        status = entry.reply.status.name if entry.reply else None
        number: int = connection.execute(SQL["insert_message"], (
            entry.id, entry.trace, signed(entry.correspondence.number), entry.direction, entry.channel, entry.state,
            entry.rule, status, entry.received_at.timestamp(),
            entry.dated_at.timestamp() if entry.dated_at else None, entry.size, entry.attachments,
            entry.solicited, entry.critical, entry.outgoing_id.decode() if entry.outgoing_id else None, wrapped,
            vault.seal("subject", entry.subject.encode("utf-8", "replace")),
            vault.seal("reply", entry.reply_text.encode()) if entry.reply_text else None,
            vault.seal("original_id", entry.original_id) if entry.original_id else None, digest,
            signed(entry.correspondence.number))).lastrowid
        if entry.content is not None:
            blob = None if file else vault.seal("content", entry.content)
            connection.execute(SQL["insert_content"], (number, blob, file, len(entry.content)))
        verdicts: list[list[str]] = [[ruling.rule, ruling.verdict.kind, ruling.verdict.reason]
                                     for ruling in entry.rulings]
        verdicts += [[rule, "not run", ""] for rule in entry.not_run]
        at = entry.received_at.timestamp()
        connection.execute(SQL["insert_event"], (
            at, number, None, None, "verdict", entry.rule or "pass", json.dumps(verdicts), None))
        if entry.notes:
            connection.execute(SQL["insert_event"], (
                at, number, None, None, "cleaned", "", json.dumps(entry.notes, ensure_ascii=False), None))
        correspondence = signed(entry.correspondence.number)
        if entry.state in _FORWARDED:
            if entry.direction is Direction.TO_SELLER:
                connection.execute(SQL["buyer_wrote"], (at, number, correspondence))
            else:
                connection.execute(SQL["seller_answered"], (correspondence,))
                connection.execute(SQL["count_sent"], (
                    entry.received_at.astimezone(UTC).date().isoformat(), correspondence))
        return number

    def _check_count(self, connection: Connection, entry: LedgerEntry) -> None:
        """Two sessions must not both be the third message of the day."""
        count = connection.execute(SQL["critical_today"], (
            signed(entry.correspondence.number), midnight(entry.received_at))).fetchone()[0]
        if count != entry.critical_today:
            raise Overtaken("ledger: another critical message came first")

    def _digest(self, connection: Connection, entry: LedgerEntry) -> bytes:
        """Two sessions must not both bring the same message."""
        assert entry.identity is not None
        digest = self._opened.keys.hash_message(entry.correspondence.number, entry.direction, entry.identity)
        if connection.execute(SQL["by_digest"], (digest, entry.received_at.timestamp() - REPEAT_S)).fetchone():
            raise Overtaken("ledger: the same message came first")
        return digest

    def repeat(self, connection: Connection, entry: LedgerEntry, now: datetime) -> None:
        """The same message came again: an event of the first one, and no more."""
        earlier = connection.execute(SQL["message_of"], (entry.repeats, signed(entry.correspondence.number))).fetchone()
        if earlier is not None:
            self.event(connection, now, earlier["id"], None, "repeated", entry.trace, "")

    def delivery(self, connection: Connection, entry: LedgerEntry, message: int, now: datetime,
                 lease_s: float) -> Delivery:
        """To the reader, leased to whoever commits it where `lease_s` is not 0."""
        correspondence = entry.correspondence
        recipient = correspondence.addresses[entry.direction.reader][0]
        lane = self._opened.keys.hash_domain(recipient.domain)
        if lease_s and connection.execute(SQL["lane_failures"], (lane,)).fetchone():
            lease_s = 0.0  # its destination is in trouble: it waits with the others
        at, until = now.timestamp(), now.timestamp() + lease_s
        attempts = 1 if lease_s else 0
        number: int = connection.execute(SQL["insert_delivery"], (
            message, DeliveryKind.MESSAGE, entry.direction.reader, attempts, at, until, until if lease_s else None,
            lane, None, signed(correspondence.number))).lastrowid
        if lease_s:
            self.event(connection, now, message, number, "attempt", "1", "")
        return Delivery(
            number=number, message_number=message, message=entry.id, trace=entry.trace, kind=DeliveryKind.MESSAGE,
            recipient=recipient, attempts=attempts, created_at=now, warned=False, content=entry.content,
            reverse_path=self._return_path(number, correspondence.domain, correspondence.key_id))

    def own_notice(self, connection: Connection, entry: LedgerEntry, message: int, vault: MessageVault,
                   now: datetime) -> None:
        """What its own writer is told at once, if anything."""
        if entry.notice is None or (entry.asks is not None and not self._ask(connection, entry, entry.asks, now)):
            return
        self._dsn(connection, message, DeliveryKind.DSN, entry.correspondence, entry.direction.writer,
                  vault.seal("dsn", entry.notice), now)

    def _ask(self, connection: Connection, entry: LedgerEntry, address: Address, now: datetime) -> bool:
        """Whether the writer's party is to be asked about an address."""
        known, side = self._registered.known(entry.correspondence.number), entry.direction.writer
        return known is not None and ask(connection, known.vaults[side], known.numbers[side],
                                         self._opened.keys.hash_address(address), address, message=entry.id, now=now)

    def notice(self, connection: Connection, notice: Notice, now: datetime) -> None:
        """What the writer of a message is told of its delivery."""
        about = notice.about
        vault = self._vaults.get(about.message_number) or self._message_vault_by(connection, about)
        self._dsn(connection, about.message_number, notice.kind, about.correspondence, about.direction.writer,
                  vault.seal("dsn", notice.content), now)

    def _dsn(self, connection: Connection, message: int, kind: DeliveryKind, correspondence: Correspondence,
             writer: Side, sealed: bytes, now: datetime) -> None:
        lane = self._opened.keys.hash_domain(correspondence.addresses[writer][0].domain)
        connection.execute(SQL["insert_delivery"], (
            message, kind, writer, 0, now.timestamp(), now.timestamp(), None, lane, sealed,
            signed(correspondence.number)))

    def _message_vault_by(self, connection: Connection, about: ReturnedDelivery) -> MessageVault:
        row = connection.execute(SQL["delivery_with_message"], (about.number,)).fetchone()
        parties = connection.execute(SQL["correspondence"], (row["correspondence_id"],)).fetchone()
        vaults = {side: self._registered.party_vault(parties, side) for side in Side}
        return open_message(about.message, vaults, row["key_sealed"])

    def event(self, connection: Connection, at: datetime, message: int, delivery: int | None, kind: str,
              name: str, detail: str, remote: str = "") -> None:
        """One line of a message's timeline; `remote` is sealed, left out where the message's key is not at hand."""
        sealed = None
        if remote and (vault := self._vaults.get(message)):
            sealed = vault.seal("remote", remote.encode("utf-8", "replace"))
        connection.execute(SQL["insert_event"], (
            at.timestamp(), message, delivery, None, kind, name, detail, sealed))

    def fail(self, connection: Connection, about: Delivery | ReturnedDelivery, outcome: Outcome, now: datetime,
             notice: Notice | None) -> None:
        """For good, and once: decided here, since two reports may come at the same time."""
        if not connection.execute(SQL["fail"], (outcome.code, now.timestamp(), about.number)).rowcount:
            return
        if about.kind is DeliveryKind.MESSAGE:
            connection.execute(SQL["message_state"], (State.FAILED, about.message_number))
        if notice is not None:
            self.notice(connection, notice, now)

    def lease(self, connection: Connection, row: Any, now: datetime, lease_s: float,
              failures: int = 0) -> Delivery | None:
        """The delivery of a row that is due, with one attempt more; None, and failed, where its party was erased."""
        until = now.timestamp() + lease_s
        if row["address_sealed"] is None or row["data_key"] is None:
            connection.execute(SQL["finish"], (State.FAILED, "5.1.6", now.timestamp(), row["id"]))
            connection.execute(SQL["message_state"], (State.FAILED, row["message_id"]))
            return None
        connection.execute(SQL["lease"], (until, until, row["id"]))
        attempts = row["attempts"] + 1
        self.event(connection, now, row["message_id"], row["id"], "attempt", str(attempts), "")
        party = self._opened.vault.party(row["party_id"], row["ring_key"], row["data_key"])
        created_at = time_of(row["created_at"])
        assert created_at is not None
        kind = DeliveryKind(row["kind"])
        return Delivery(
            number=row["id"], message_number=row["message_id"], message=row["public_id"], trace=row["trace"],
            kind=kind, recipient=Address.parse(party.unseal("address", row["address_sealed"])), attempts=attempts,
            created_at=created_at, warned=row["warned_at"] is not None, dropped=row["code"] == "dropped",
            failures=failures,
            reverse_path=self._return_path(row["id"], row["domain"], row["sealed_by"])
            if kind is DeliveryKind.MESSAGE else "")

    def _return_path(self, delivery: int, domain: str, key_id: int) -> str:
        ring = self._opened.keys.ring
        key = key_id if key_id in ring.secrets else None  # closed, and its key retired while a message was under way
        return f"{ring.seal(Role.RETURN, domain, delivery, key)}@{domain}"


def midnight(now: datetime) -> float:
    """The beginning of the UTC day, in seconds since the epoch."""
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0).timestamp()


def time_of(seconds: float | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds is not None else None
