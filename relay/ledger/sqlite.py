"""The Ledger over one SQLite file: reads on the loop's own connection, writes through the one writer thread."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from pysqlite3 import dbapi2 as sqlite

from aliasing.address import Address, AddressError
from aliasing.correspondence import Correspondence, Direction
from aliasing.token import Action, OpenedAction
from policy.case import Facts, RelayBlocks
from relay.errors import LedgerError, StorageFailed
from relay.keys import Keys
from relay.ledger import MAX_REPORTS, Notice, ReturnedDelivery, StoredLogin, Terms
from relay.ledger.asked import authorise
from relay.ledger.clock import MIN_STEP_S, Steady, StepWatch
from relay.ledger.lanes import lanes_due, take
from relay.ledger.opened import SQL, Opened, signed
from relay.ledger.registered import Registered
from relay.ledger.rows import REPEAT_S, Rows, midnight, time_of
from relay.ledger.spool import Spool
from relay.ledger.vault import MessageVault, new_message, open_message
from relay.ledger.writer import Connection, Writer, ledger_error
from relay.records import Delivery, DeliveryKind, LedgerEntry, Outcome, OutcomeKind, State

BIG_BYTES = 256 * 1024
"""Content above this is a file of its own: a blob that size costs more than a file."""
EXCHANGE = 240
"""Messages that are looked at to see whether two machines answer each other,"""
EXCHANGE_S = 300.0
"""and how close together these came,"""
EXCHANGE_SLOW_S, EXCHANGE_SLOW = 86400.0, 7
"""or so much farther, where they are as many times more: machines that take their time."""


class SqliteLedger:
    """Keeps the Ledger protocol; one instance a process."""

    def __init__(self, opened: Opened, steady: Steady | None = None) -> None:
        """With a `steady` clock, steps of the wall clock that claim() is told are noticed and made up for."""
        self._opened = opened
        self._writer = Writer(opened.path)
        self._watch = StepWatch(steady) if steady else None
        self._registered = Registered(opened)
        self._spool = Spool(opened.spool)
        self._rows = Rows(opened, self._registered)

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
            "midnight": midnight(now)})[0]
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
            last_buyer_message_at=time_of(counts["last_buyer_message_at"]),
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
        vault = self._rows.vault(row)
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
        vault = self._rows.vault(row)
        original = row["original_id_sealed"]
        received_at = time_of(row["received_at"])
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
                    self._rows.repeat(connection, entry, now)
                    continue
                number = self._rows.message(connection, entry, vault, wrapped, file)
                if entry.state is State.QUEUED:
                    deliveries.append(self._rows.delivery(connection, entry, number, now, lease_s))
                self._rows.own_notice(connection, entry, number, vault, now)
                self._rows.remember(number, vault)
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
            return take(connection, now, lease_s, limit, chosen, room, self._rows.lease)

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
            self._rows.event(connection, now, delivery.message_number, delivery.number, "outcome",
                               outcome.kind, outcome.code, outcome.remote)
            if retry_at is not None:
                changed = connection.execute(SQL["defer"], (
                    outcome.code, retry_at.timestamp(), now.timestamp() if warned else None,
                    delivery.number)).rowcount
                if changed and is_message:
                    connection.execute(SQL["message_state"], (State.DEFERRED, delivery.message_number))
            elif outcome.kind is OutcomeKind.FAILED:
                self._rows.fail(connection, delivery, outcome, now, notice)
                return
            else:
                connection.execute(SQL["finish"], (outcome.kind, outcome.code, now.timestamp(), delivery.number))
                if is_message:
                    connection.execute(SQL["message_state"], (outcome.kind, delivery.message_number))
            if notice is not None:
                self._rows.notice(connection, notice, now)

        # the attempt is over: forgotten, it would be made again when the lease ends
        await self._writer.submit(work, patient=True)

    async def record_dsn(self, about: ReturnedDelivery, outcome: Outcome, now: datetime, *,
                         action: str, notice: Notice | None) -> None:
        def work(connection: Connection) -> None:
            self._rows.event(connection, now, about.message_number, about.number, "dsn", action, outcome.code,
                               outcome.remote)
            if outcome.kind is OutcomeKind.FAILED:
                self._rows.fail(connection, about, outcome, now, notice)

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
                self._rows.event(connection, now, row["id"], None, "action", action.action, action.actor)
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
