"""The SQLite ledger itself: group commit, failures of the disk, leases, what is encrypted."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from entries import NOW
from entries import entry as plain_entry
from support import BUYER, ORDER, SELLER

from aliasing.correspondence import Direction, Side
from policy.case import AddressState
from relay.errors import LedgerError, StorageFull, UsageError
from relay.ledger.listing import Listing
from relay.ledger.opened import Opened, open_ledger, release_leases, sweep_spool
from relay.ledger.registry import NewParty, Registry
from relay.ledger.sqlite import BIG_BYTES, SqliteLedger
from relay.records import LedgerEntry, Outcome, OutcomeKind, new_id

PARTIES = (NewParty(Side.SELLER, "S1", SELLER, "Tienda Sol", "es"), NewParty(Side.BUYER, "B1", BUYER, "Ana", "es"))


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    found = open_ledger(tmp_path / "ledger.db", tmp_path / "keys")
    Registry(found).add_order(ORDER, "relay.example", *PARTIES)
    sweep_spool(found)
    return found


@pytest.fixture
async def ledger(opened: Opened) -> AsyncIterator[SqliteLedger]:
    one = SqliteLedger(opened)
    yield one
    one.close()


async def entry(ledger: SqliteLedger, direction: Direction = Direction.TO_BUYER, content: bytes = b"hola") -> LedgerEntry:
    return await plain_entry(ledger, 1, direction, content, original_id=b"original@tienda.example", outgoing_id=b"x@relay.example")


async def test_many_messages_share_a_commit(ledger: SqliteLedger) -> None:
    one = await entry(ledger)
    entries = [LedgerEntry(**{**one.__dict__, "id": new_id()}) for _ in range(100)]
    await asyncio.gather(*(ledger.commit([each], NOW, lease_s=60) for each in entries))
    commits, works = ledger.commits
    assert works == 100
    assert commits < 50


async def test_a_bad_piece_of_work_takes_no_neighbour_along(ledger: SqliteLedger) -> None:
    good, twice = await entry(ledger), await entry(ledger)
    results = await asyncio.gather(
        ledger.commit([good], NOW, lease_s=60), ledger.commit([twice], NOW, lease_s=60),
        ledger.commit([twice], NOW, lease_s=60), return_exceptions=True)
    assert [isinstance(result, LedgerError) for result in results] == [False, False, True]
    assert ledger.broken is None


async def test_a_claimed_delivery_is_nobody_elses_until_its_lease_ends(ledger: SqliteLedger) -> None:
    await ledger.commit([await entry(ledger)], NOW, lease_s=0)
    first = await ledger.claim(NOW, 60, 10)
    assert [str(one.recipient) for one in first] == [BUYER]
    assert await ledger.claim(NOW + timedelta(seconds=59), 60, 10) == []
    again = await ledger.claim(NOW + timedelta(seconds=61), 60, 10)
    assert [one.attempts for one in again] == [2]
    assert await ledger.content(again[0]) == b"hola"


async def test_leases_of_a_dead_process_are_void(opened: Opened, ledger: SqliteLedger) -> None:
    await ledger.commit([await entry(ledger)], NOW, lease_s=3600)
    assert await ledger.claim(NOW, 60, 10) == []
    release_leases(opened, NOW)
    assert len(await ledger.claim(NOW, 60, 10)) == 1


async def test_a_finished_delivery_is_never_due_again(ledger: SqliteLedger) -> None:
    delivery = (await ledger.commit([await entry(ledger)], NOW, lease_s=60))[0]
    await ledger.record(delivery, Outcome(OutcomeKind.DELIVERED, "250 2.0.0", "ok"), NOW)
    assert await ledger.claim(NOW + timedelta(days=10), 60, 10) == []


async def test_what_the_command_line_changes_counts_at_once(opened: Opened, ledger: SqliteLedger) -> None:
    facts = await ledger.facts(1, Direction.TO_BUYER, NOW)
    assert facts
    assert facts.writer_addresses == {SELLER: AddressState.AUTHORISED}
    other = Registry(Opened(opened.path, opened.keys))
    other.set_address("S1", SELLER, AddressState.BLOCKED)
    other.add_block("relay", None, "domain", "spam.example", "")
    other.add_block("buyer", "B1", "unsolicited", "S1", "")
    facts = await ledger.facts(1, Direction.TO_BUYER, NOW)
    assert facts
    assert facts.writer_addresses == {SELLER: AddressState.BLOCKED}
    assert facts.unsolicited_refused == "seller"
    assert (await ledger.relay_blocks()).domains == {"spam.example"}


async def test_the_counters_that_the_caps_rest_on(ledger: SqliteLedger) -> None:
    one = await entry(ledger)
    await ledger.commit([LedgerEntry(**{**one.__dict__, "critical": True})], NOW, lease_s=0)
    await ledger.commit([await entry(ledger, Direction.TO_SELLER)], NOW, lease_s=0)
    facts = await ledger.facts(1, Direction.TO_BUYER, NOW)
    assert facts
    assert (facts.sent_today, facts.critical_today, facts.orders_last_30_days) == (1, 1, 1)
    assert facts.last_buyer_message_at == NOW
    tomorrow = await ledger.facts(1, Direction.TO_BUYER, NOW + timedelta(days=1))
    assert tomorrow
    assert (tomorrow.sent_today, tomorrow.critical_today) == (0, 0)


async def test_our_id_leads_back_to_the_readers_own_message(ledger: SqliteLedger) -> None:
    await ledger.commit([await entry(ledger, Direction.TO_SELLER)], NOW, lease_s=0)
    facts = await ledger.facts(1, Direction.TO_BUYER, NOW)
    assert facts
    found = await ledger.originals(facts.correspondence, Direction.TO_BUYER, [b"x@relay.example", b"y@relay.example"])
    assert found == ({b"x@relay.example": b"original@tienda.example"}, True)
    # in the other direction it is the writer's own message, which the reader knows by our id
    assert await ledger.originals(facts.correspondence, Direction.TO_SELLER, [b"x@relay.example"]) == ({}, False)


async def test_the_listing_never_searches_subjects(opened: Opened, ledger: SqliteLedger) -> None:
    await ledger.commit([await entry(ledger)], NOW, lease_s=0)
    listing = Listing(opened)
    assert [line["subject"] for line in listing.messages(ORDER)] == ["Asunto secreto"]
    with pytest.raises(UsageError):
        list(listing.messages("Asunto"))


async def test_nothing_of_a_message_is_readable_in_the_files(opened: Opened, ledger: SqliteLedger) -> None:
    big = b"cuerpo muy secreto " * (BIG_BYTES // 10)
    delivery = (await ledger.commit([await entry(ledger, content=big)], NOW, lease_s=60))[0]
    await ledger.commit([await entry(ledger, content=b"cuerpo muy secreto")], NOW, lease_s=60)
    await ledger.record(delivery, Outcome(OutcomeKind.DEFERRED, "450", f"<{BUYER}> busy"), NOW, retry_at=NOW)
    files = b"".join(path.read_bytes() for path in opened.path.parent.rglob("*") if path.is_file())
    for secret in (b"cuerpo", b"Asunto", b"original@", BUYER.encode(), SELLER.encode(), b"Tienda"):
        assert secret not in files
    due = await ledger.claim(NOW, 60, 1)
    assert await ledger.content(due[0]) == big


async def test_a_file_that_no_commit_names_is_garbage(opened: Opened, ledger: SqliteLedger) -> None:
    await ledger.commit([await entry(ledger, content=b"x" * (BIG_BYTES + 1))], NOW, lease_s=0)
    (opened.spool / "orphan").write_bytes(b"x")
    (opened.spool / "half.new").write_bytes(b"x")
    assert sweep_spool(opened) == 2
    assert len(list(opened.spool.iterdir())) == 1
    assert await ledger.content((await ledger.claim(NOW, 60, 1))[0]) == b"x" * (BIG_BYTES + 1)


async def test_a_full_disk_is_an_answer_and_loses_nothing(opened: Opened) -> None:
    """SQLite's page limit stands in for the disk's: the same SQLITE_FULL from the same place."""
    ledger = SqliteLedger(opened)
    ledger._writer._connection.execute(
        f"PRAGMA max_page_count = {opened.connection.execute('PRAGMA page_count').fetchone()[0] + 8}")
    kept = 0
    with pytest.raises(StorageFull):  # noqa: PT012 - it is the first that does not fit
        for _ in range(200):
            await ledger.commit([await entry(ledger, content=b"x" * 20_000)], NOW, lease_s=0)
            kept += 1
    assert kept
    assert ledger.broken is None
    ledger._writer._connection.execute("PRAGMA max_page_count = 1000000")
    await ledger.commit([await entry(ledger)], NOW, lease_s=0)
    ledger.close()
    with sqlite3.connect(opened.path) as db:
        assert db.execute("SELECT count(*), (SELECT count(*) FROM delivery), (SELECT count(*) FROM content) FROM message"
                          ).fetchone() == (kept + 1,) * 3
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_who_follows_the_mail_log_misses_nothing(ledger: SqliteLedger, opened: Opened,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        await ledger.commit([await entry(ledger)], NOW, lease_s=60)
    listing = Listing(opened)
    everything = [event["number"] for event in listing.events(after=0, order=None, trace=None, last=None)]
    assert len(everything) > 4
    assert [event["number"] for event in listing.events(after=0, order=None, trace=None, last=2)] == everything[-2:]
    monkeypatch.setattr("relay.ledger.listing.MAX_EVENTS", 2)  # more came between two looks than one look shows
    seen: list[int] = []
    while more := [event["number"] for event in
                   listing.events(after=max(seen, default=0), order=None, trace=None, last=None)]:
        seen += more
    assert seen == everything
