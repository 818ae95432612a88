"""The Ledger over one SQLite file: reads on the loop's own connection, writes through the one writer thread."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pysqlite3 import dbapi2 as sqlite

from aliasing.address import Address, AddressError
from aliasing.correspondence import Correspondence, Direction, Side
from aliasing.token import Action, OpenedAction, Role
from policy.case import Facts, RelayBlocks
from relay.errors import LedgerError, Overtaken, StorageFailed
from relay.keys import Keys
from relay.ledger import MAX_REPORTS, Notice, ReturnedDelivery, StoredLogin, Terms
from relay.ledger.asked import ask, authorise
from relay.ledger.clock import MIN_STEP_S, Steady, StepWatch
from relay.ledger.lanes import lanes_due, take
from relay.ledger.opened import SQL, Opened, signed
from relay.ledger.registered import Registered
from relay.ledger.spool import Spool
from relay.ledger.vault import MessageVault, new_message, open_message
from relay.ledger.writer import Connection, Writer, ledger_error
from relay.records import Delivery, DeliveryKind, LedgerEntry, Outcome, OutcomeKind, State

BIG_BYTES = 256 * 1024
"""Content above this is a file of its own: a blob that size costs more than a file."""
MAX_KEPT = 20_000
"""Message keys that are kept in memory."""
REPEAT_S = 12 * 3600.0
"""How long the very same message is known again: mail servers that lost our 250 come back within hours."""
EXCHANGE = 240
"""Messages that are looked at to see whether two machines answer each other,"""
EXCHANGE_S = 300.0
"""and how close together these came,"""
EXCHANGE_SLOW_S, EXCHANGE_SLOW = 86400.0, 7
"""or so much farther, where they are as many times more: machines that take their time."""
_FORWARDED = (State.QUEUED, State.HELD)


class SqliteLedger:
    """Keeps the Ledger protocol; one instance a process."""

    def __init__(self, opened: Opened, steady: Steady | None = None) -> None:
        """With a `steady` clock, steps of the wall clock that claim() is told are noticed and made up for."""
        self._opened = opened
        self._writer = Writer(opened.path)
        self._watch = StepWatch(steady) if steady else None
        self._registered = Registered(opened)
        self._spool = Spool(opened.spool)
        self._message_vaults: OrderedDict[int, MessageVault] = OrderedDict()

    @property
    def keys(self) -> Keys:
        return self._opened.keys

    @property
    def broken(self) -> LedgerError | None:
        """Set after an I/O error: nothing can be promised any more, and the process should end."""
        return self._writer.broken

    @property
    def commits(self) -> tuple[int, int]:
        """(commits, pieces of work in them): how well the group commit groups."""
        return self._writer.commits, self._writer.works

    @property
    def busy_s(self) -> float:
        """How long the commit under way has taken by now, in seconds: infinite once nobody writes any more."""
        return self._writer.busy_s

    async def probe(self) -> None:
        """Write something that changes nothing, durably; raises LedgerError when that cannot be done."""
        await self._writer.submit(lambda connection: connection.execute(SQL["probe"]))

    def close(self) -> None:
        self._writer.close()
        self._opened.close()

    # -- reading -------------------------------------------------------------------------------------------

    async def facts(self, correspondence: int, direction: Direction, now: datetime) -> Facts | None:
        known = self._registered.known(correspondence)
        if known is None:
            return None
        day = now.astimezone(UTC).date()
        counts = self._opened.query("counts", {
            "id": signed(correspondence), "day": day.isoformat(), "month": (day - timedelta(days=30)).isoformat(),
            "midnight": _midnight(now)})[0]
        refusals, writer = known.refusals[direction.reader], known.numbers[direction.writer]
        unsolicited = ("all" if ("unsolicited", None) in refusals
                       else "seller" if ("unsolicited", writer) in refusals else None)
        return Facts(
            correspondence=known.frame,
            direction=direction,
            writer_addresses=known.states[direction.writer],
            reader_addresses=frozenset(known.states[direction.reader]),
            closed_at=known.closed_at,
            writer_blocked=("party", None) in known.refusals[direction.writer],
            counterpart_refused=("counterpart", writer) in refusals,
            unsolicited_refused=unsolicited,
            last_buyer_message_at=_time(counts["last_buyer_message_at"]),
            sent_today=counts["sent_today"] or 0,
            orders_last_30_days=counts["orders"] or 0,
            critical_today=counts["critical_today"],
            exchange=self._exchange(correspondence, counts["last_buyer_message_at"], now),
        )

    async def relay_blocks(self) -> RelayBlocks:
        return self._registered.relay_blocks()

    async def login(self, name: str) -> StoredLogin | None:
        if "@" in name:
            try:
                address = Address.parse(name)
            except AddressError:
                return None
            rows = self._opened.query("login_by_address", self.keys.hash_address(address))
        else:
            rows = self._opened.query("login", name)
        return StoredLogin(rows[0]["party"], rows[0]["hash"]) if len(rows) == 1 else None

    async def originals(self, correspondence: Correspondence, direction: Direction,
                        referred: Sequence[bytes]) -> tuple[dict[bytes, bytes], bool]:
        found: dict[bytes, bytes] = {}
        replies_to_buyer = False
        vaults = None
        for id_ in referred:
            if not id_.endswith(b"@" + correspondence.domain.encode()):
                continue
            for row in self._opened.query("by_outgoing_id", id_.decode("ascii", "replace"),
                                          signed(correspondence.number)):
                # an id of ours stands for the reader's own message when that went the other way
                if row["direction"] == direction or row["original_id_sealed"] is None:
                    continue
                vaults = vaults or self._registered.vaults(correspondence.number)
                vault = open_message(row["public_id"], vaults, row["key_sealed"])
                found[id_] = vault.unseal("original_id", row["original_id_sealed"])
                replies_to_buyer |= row["direction"] == Direction.TO_SELLER and row["state"] != State.SELF
        return found, replies_to_buyer

    async def repeated(self, correspondence: Correspondence, direction: Direction, identity: bytes,
                       now: datetime) -> str | None:
        digest = self.keys.hash_message(correspondence.number, direction, identity)
        rows = self._opened.query("by_digest", digest, now.timestamp() - REPEAT_S)
        return rows[0]["public_id"] if rows else None

    async def of_the_day(self, correspondence: Correspondence, direction: Direction, state: State,
                         now: datetime) -> int:
        values = signed(correspondence.number), direction, state, now.timestamp() - 86400
        return int(self._opened.query("of_the_day", *values)[0][0])

    async def is_ours(self, correspondence: Correspondence, message_id: bytes) -> bool:
        return message_id.endswith(b"@" + correspondence.domain.encode()) and bool(self._opened.query(
            "by_outgoing_id", message_id.decode("ascii", "replace"), signed(correspondence.number)))

    async def is_held(self, delivery: Delivery) -> bool:
        return bool(self._opened.query("held", delivery.number))

    async def content(self, delivery: Delivery) -> bytes:
        if delivery.content is not None:
            return delivery.content
        row = self._opened.query("delivery_with_message", delivery.number)[0]
        vault = self._message_vault(row)
        if row["body_sealed"] is not None:
            return vault.unseal("dsn", row["body_sealed"])
        return await asyncio.to_thread(self._read_content, vault, row["content_sealed"], row["file"])

    async def returned(self, number: int) -> ReturnedDelivery | None:
        rows = self._opened.query("delivery_with_message", signed(number))
        if not rows:
            return None
        row = rows[0]
        facts = await self.facts(row["correspondence_id"], Direction(row["direction"]), datetime.now(UTC))
        if facts is None:
            return None
        vault = self._message_vault(row)
        original = row["original_id_sealed"]
        received_at = _time(row["received_at"])
        assert received_at is not None
        return ReturnedDelivery(
            number=row["id"], message_number=row["message_number"], message=row["public_id"], trace=row["trace"],
            kind=DeliveryKind(row["kind"]), state=row["state"], correspondence=facts.correspondence,
            direction=facts.direction, subject=vault.unseal_text("subject", row["subject_sealed"]),
            received_at=received_at,
            original_id=vault.unseal("original_id", original) if original is not None else None,
            reports=self._opened.query("dsns", row["message_number"], MAX_REPORTS)[0][0])

    # -- writing -------------------------------------------------------------------------------------------

    async def commit(self, entries: Sequence[LedgerEntry], now: datetime, *, lease_s: float) -> list[Delivery]:
        files = [await self._spool_if_big(entry) for entry in entries]

        def work(connection: Connection) -> list[Delivery]:
            deliveries = []
            for entry, (vault, wrapped, file) in zip(entries, files, strict=True):
                if entry.repeats is not None:
                    self._insert_repeat(connection, entry, now)
                    continue
                number = self._insert_message(connection, entry, vault, wrapped, file)
                if entry.state is State.QUEUED:
                    deliveries.append(self._insert_delivery(connection, entry, number, now, lease_s))
                self._insert_own_notice(connection, entry, number, vault, now)
                self._remember(number, vault)
            return deliveries

        try:
            return await self._writer.submit(work)
        except StorageFailed:
            raise  # what is on the disk is not known before the next start, which sweeps
        except Exception:
            for _, _, file in files:  # on a full disk they must not pile up until the next start
                if file is not None:
                    self._spool.drop(file)
            raise

    async def claim(self, now: datetime, lease_s: float, limit: int, terms: Terms | None = None) -> list[Delivery]:
        await self._follow_clock(now)
        chosen = terms or Terms()
        room = {self.keys.hash_domain(destination): left for destination, left in chosen.room.items()}

        def work(connection: Connection) -> tuple[list[Delivery], bool]:
            return take(connection, now, lease_s, limit, chosen, room, self._lease)

        taken, more = list[Delivery](), True
        while more and not taken:
            if not self._lanes_due(now, chosen, room):
                break  # the usual answer costs no write
            taken, more = await self._writer.submit(work)
        return taken

    async def troubled(self, destination: str, failures: int, until: datetime) -> None:
        await self._change_lane("lane_troubled", destination, failures=failures, until=until.timestamp())

    async def urged(self) -> int:
        rows = self._opened.query("urged")
        return rows[0]["value"] if rows else 0

    async def recovered(self, destination: str) -> None:
        await self._change_lane("lane_recovered", destination, now=0.0)

    async def record(self, delivery: Delivery, outcome: Outcome, now: datetime, *,
                     retry_at: datetime | None = None, notice: Notice | None = None,
                     warned: bool = False) -> None:
        is_message = delivery.kind is DeliveryKind.MESSAGE

        def work(connection: Connection) -> None:
            self._insert_event(connection, now, delivery.message_number, delivery.number, "outcome",
                               outcome.kind, outcome.code, outcome.remote)
            if retry_at is not None:
                changed = connection.execute(SQL["defer"], (
                    outcome.code, retry_at.timestamp(), now.timestamp() if warned else None,
                    delivery.number)).rowcount
                if changed and is_message:
                    connection.execute(SQL["message_state"], (State.DEFERRED, delivery.message_number))
            elif outcome.kind is OutcomeKind.FAILED:
                self._fail(connection, delivery, outcome, now, notice)
                return
            else:
                connection.execute(SQL["finish"], (outcome.kind, outcome.code, now.timestamp(), delivery.number))
                if is_message:
                    connection.execute(SQL["message_state"], (outcome.kind, delivery.message_number))
            if notice is not None:
                self._insert_notice(connection, notice, now)

        # the attempt is over: forgotten, it would be made again when the lease ends
        await self._writer.submit(work, patient=True)

    async def record_dsn(self, about: ReturnedDelivery, outcome: Outcome, now: datetime, *,
                         action: str, notice: Notice | None) -> None:
        def work(connection: Connection) -> None:
            self._insert_event(connection, now, about.message_number, about.number, "dsn", action, outcome.code,
                               outcome.remote)
            if outcome.kind is OutcomeKind.FAILED:
                self._fail(connection, about, outcome, now, notice)

        await self._writer.submit(work)

    async def act(self, action: OpenedAction, now: datetime) -> bool:
        def work(connection: Connection) -> bool:
            correspondence = signed(action.correspondence)
            row = connection.execute(SQL["message_of"], (action.message, correspondence)).fetchone()
            if row is None:
                return False
            if action.action is Action.REPORT:
                changed = connection.execute(SQL["report"], (now.timestamp(), row["id"])).rowcount
            elif action.action is Action.AUTHORISE:
                changed = authorise(connection, row[f"{action.actor}_id"], action.message)
                if not changed:
                    return False
            elif action.action is Action.NO_ANSWER:
                changed = connection.execute(SQL["no_answer_needed"], (correspondence, row["id"])).rowcount
            else:
                seller = row["seller_id"] if action.action is Action.STOP_SELLER else None
                changed = connection.execute(SQL["stop_unsolicited"], {
                    "buyer": row["buyer_id"], "seller": seller, "at": now.timestamp()}).rowcount
                connection.execute(SQL["registry_changed"])
            if changed:
                self._insert_event(connection, now, row["id"], None, "action", action.action, action.actor)
            return True

        return await self._writer.submit(work)

    # -- pieces --------------------------------------------------------------------------------------------

    async def _follow_clock(self, now: datetime) -> None:
        """Move the queue's times along with a wall clock that was stepped; whichever process sees it first does."""
        offset = self._watch.stepped(now) if self._watch else None
        if self._watch is None or offset is None:
            return

        def work(connection: Connection) -> None:
            row = connection.execute(SQL["clock_offset"]).fetchone()
            if row is not None and abs(offset - row["value"]) >= MIN_STEP_S:
                connection.execute(SQL["lanes_stepped"], {"step": offset - row["value"]})
                connection.execute(SQL["clock_stepped"], {"step": offset - row["value"]})
            connection.execute(SQL["clock_set"], (round(offset),))

        await self._writer.submit(work)
        self._watch.settle(offset)

    def _lanes_due(self, now: datetime, terms: Terms, room: Mapping[bytes, int]) -> bool:
        try:
            lanes, more = lanes_due(self._opened.connection, now, terms, room)
        except sqlite.Error as error:
            raise ledger_error(error, self._opened.path) from None
        return bool(lanes) or more

    async def _change_lane(self, query: str, destination: str, **values: float) -> None:
        named = values | {"lane": self.keys.hash_domain(destination)}
        await self._writer.submit(lambda connection: connection.execute(SQL[query], named), patient=True)

    def _exchange(self, correspondence: int, last_buyer_message_at: float | None, now: datetime) -> int:
        """How many of the newest messages went to and fro. Not in turn: two loops at once, or a machine that answers
        twice, take no turns."""
        at = now.timestamp()
        if last_buyer_message_at is None or last_buyer_message_at < at - EXCHANGE_S:
            return 0  # nearly all mail
        fast, slow = dict.fromkeys(Direction, 0), dict.fromkeys(Direction, 0)
        for row in self._opened.query("exchange", signed(correspondence), EXCHANGE):
            direction, age = Direction(row["direction"]), at - row["received_at"]
            fast[direction] += age <= EXCHANGE_S
            slow[direction] += age <= EXCHANGE_SLOW_S
        return max(2 * min(fast.values()), 2 * min(slow.values()) // EXCHANGE_SLOW)

    def _fail(self, connection: Connection, about: Delivery | ReturnedDelivery, outcome: Outcome, now: datetime,
              notice: Notice | None) -> None:
        """For good, and once: decided here, since two reports may come at the same time."""
        if not connection.execute(SQL["fail"], (outcome.code, now.timestamp(), about.number)).rowcount:
            return
        if about.kind is DeliveryKind.MESSAGE:
            connection.execute(SQL["message_state"], (State.FAILED, about.message_number))
        if notice is not None:
            self._insert_notice(connection, notice, now)

    def _message_vault(self, row: Any) -> MessageVault:
        number = row["message_number"]
        if number not in self._message_vaults:
            vaults = self._registered.vaults(row["correspondence_id"])
            self._remember(number, open_message(row["public_id"], vaults, row["key_sealed"]))
        return self._message_vaults[number]

    def _remember(self, number: int, vault: MessageVault) -> None:
        self._message_vaults[number] = vault
        while len(self._message_vaults) > MAX_KEPT:
            self._message_vaults.popitem(last=False)

    async def _spool_if_big(self, entry: LedgerEntry) -> tuple[MessageVault, bytes, str | None]:
        """The entry's vault, and the name of its content's file when it was big enough for one.

        The file and its folder are synced before the commit that names it; without that commit it is garbage.
        """
        vault, wrapped = new_message(entry.id, self._registered.vaults(entry.correspondence.number))
        if entry.content is None or len(entry.content) <= BIG_BYTES:
            return vault, wrapped, None
        try:
            await asyncio.to_thread(self._spool.write, entry.id, vault, entry.content)
        except StorageFailed as error:
            self._writer.broken = self._writer.broken or error
            raise
        return vault, wrapped, entry.id

    def _read_content(self, vault: MessageVault, blob: bytes | None, file: str | None) -> bytes:
        if file is not None:
            blob = self._spool.read(file)
        if blob is None:
            raise LedgerError("ledger: the content of this message is gone")
        return vault.unseal("content", blob)

    def _insert_message(self, connection: Connection, entry: LedgerEntry, vault: MessageVault, wrapped: bytes,
                        file: str | None) -> int:
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
            signed(entry.correspondence.number), _midnight(entry.received_at))).fetchone()[0]
        if count != entry.critical_today:
            raise Overtaken("ledger: another critical message came first")

    def _digest(self, connection: Connection, entry: LedgerEntry) -> bytes:
        """Two sessions must not both bring the same message."""
        assert entry.identity is not None
        digest = self.keys.hash_message(entry.correspondence.number, entry.direction, entry.identity)
        if connection.execute(SQL["by_digest"], (digest, entry.received_at.timestamp() - REPEAT_S)).fetchone():
            raise Overtaken("ledger: the same message came first")
        return digest

    def _insert_repeat(self, connection: Connection, entry: LedgerEntry, now: datetime) -> None:
        earlier = connection.execute(SQL["message_of"], (entry.repeats, signed(entry.correspondence.number))).fetchone()
        if earlier is not None:
            self._insert_event(connection, now, earlier["id"], None, "repeated", entry.trace, "")

    def _insert_delivery(self, connection: Connection, entry: LedgerEntry, message: int, now: datetime,
                         lease_s: float) -> Delivery:
        correspondence = entry.correspondence
        recipient = correspondence.addresses[entry.direction.reader][0]
        lane = self.keys.hash_domain(recipient.domain)
        if lease_s and connection.execute(SQL["lane_failures"], (lane,)).fetchone():
            lease_s = 0.0  # its destination is in trouble: it waits with the others
        at, until = now.timestamp(), now.timestamp() + lease_s
        attempts = 1 if lease_s else 0
        number: int = connection.execute(SQL["insert_delivery"], (
            message, DeliveryKind.MESSAGE, entry.direction.reader, attempts, at, until, until if lease_s else None,
            lane, None, signed(correspondence.number))).lastrowid
        if lease_s:
            self._insert_event(connection, now, message, number, "attempt", "1", "")
        return Delivery(
            number=number, message_number=message, message=entry.id, trace=entry.trace, kind=DeliveryKind.MESSAGE,
            recipient=recipient, attempts=attempts, created_at=now, warned=False, content=entry.content,
            reverse_path=self._return_path(number, correspondence.domain, correspondence.key_id))

    def _insert_own_notice(self, connection: Connection, entry: LedgerEntry, message: int, vault: MessageVault,
                           now: datetime) -> None:
        if entry.notice is None or (entry.asks is not None and not self._ask(connection, entry, entry.asks, now)):
            return
        writer, correspondence = entry.direction.writer, entry.correspondence
        connection.execute(SQL["insert_delivery"], (
            message, DeliveryKind.DSN, writer, 0, now.timestamp(), now.timestamp(), None,
            self.keys.hash_domain(correspondence.addresses[writer][0].domain), vault.seal("dsn", entry.notice),
            signed(correspondence.number)))

    def _ask(self, connection: Connection, entry: LedgerEntry, address: Address, now: datetime) -> bool:
        """Whether the writer's party is to be asked about an address."""
        known, side = self._registered.known(entry.correspondence.number), entry.direction.writer
        return known is not None and ask(connection, known.vaults[side], known.numbers[side],
                                         self.keys.hash_address(address), address, message=entry.id, now=now)

    def _return_path(self, delivery: int, domain: str, key_id: int) -> str:
        ring = self.keys.ring
        key = key_id if key_id in ring.secrets else None  # closed, and its key retired while a message was under way
        return f"{ring.seal(Role.RETURN, domain, delivery, key)}@{domain}"

    def _lease(self, connection: Connection, row: Any, now: datetime, lease_s: float,
               failures: int = 0) -> Delivery | None:
        until = now.timestamp() + lease_s
        if row["address_sealed"] is None or row["data_key"] is None:
            connection.execute(SQL["finish"], (State.FAILED, "5.1.6", now.timestamp(), row["id"]))
            connection.execute(SQL["message_state"], (State.FAILED, row["message_id"]))
            return None
        connection.execute(SQL["lease"], (until, until, row["id"]))
        attempts = row["attempts"] + 1
        self._insert_event(connection, now, row["message_id"], row["id"], "attempt", str(attempts), "")
        party = self._opened.vault.party(row["party_id"], row["ring_key"], row["data_key"])
        created_at = _time(row["created_at"])
        assert created_at is not None
        kind = DeliveryKind(row["kind"])
        return Delivery(
            number=row["id"], message_number=row["message_id"], message=row["public_id"], trace=row["trace"],
            kind=kind, recipient=Address.parse(party.unseal("address", row["address_sealed"])), attempts=attempts,
            created_at=created_at, warned=row["warned_at"] is not None, dropped=row["code"] == "dropped",
            failures=failures,
            reverse_path=self._return_path(row["id"], row["domain"], row["sealed_by"])
            if kind is DeliveryKind.MESSAGE else "")

    def _insert_notice(self, connection: Connection, notice: Notice, now: datetime) -> None:
        about = notice.about
        correspondence = about.correspondence
        writer = about.direction.writer
        recipient = correspondence.addresses[writer][0]
        vault = self._message_vaults.get(about.message_number) or self._message_vault_by(connection, about)
        connection.execute(SQL["insert_delivery"], (
            about.message_number, notice.kind, writer, 0, now.timestamp(), now.timestamp(), None,
            self.keys.hash_domain(recipient.domain), vault.seal("dsn", notice.content),
            signed(correspondence.number)))

    def _message_vault_by(self, connection: Connection, about: ReturnedDelivery) -> MessageVault:
        row = connection.execute(SQL["delivery_with_message"], (about.number,)).fetchone()
        parties = connection.execute(SQL["correspondence"], (row["correspondence_id"],)).fetchone()
        vaults = {side: self._registered.party_vault(parties, side) for side in Side}
        return open_message(about.message, vaults, row["key_sealed"])

    def _insert_event(self, connection: Connection, at: datetime, message: int, delivery: int | None, kind: str,
                      name: str, detail: str, remote: str = "") -> None:
        sealed = None
        if remote and (vault := self._message_vaults.get(message)):
            sealed = vault.seal("remote", remote.encode("utf-8", "replace"))
        connection.execute(SQL["insert_event"], (
            at.timestamp(), message, delivery, None, kind, name, detail, sealed))


def _midnight(now: datetime) -> float:
    """The beginning of the UTC day, in seconds since the epoch."""
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0).timestamp()


def _time(seconds: float | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds is not None else None
