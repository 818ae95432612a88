"""Each way that storage can fail has a defined answer and loses nothing: docs/backup.md has the table."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from entries import NOW, entry
from pysqlite3 import dbapi2 as sqlite
from support import BUYER, ORDER, SELLER, TRADEPOST, Relay, message

from aliasing.correspondence import Side
from relay.demo.outside import OutsideServer
from relay.errors import LedgerBusy, LedgerError, StorageFailed, StorageFull
from relay.ledger.opened import Opened, open_ledger
from relay.ledger.registry import NewParty, Registry
from relay.ledger.sqlite import BIG_BYTES, SqliteLedger
from relay.ledger.writer import Connection, Writer
from relay.records import Outcome, OutcomeKind

Start = Callable[..., Awaitable[Relay]]
BIG = "línea\n" * 60_000
root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """The relay's data folder on a file system of 8 MB."""
    where = tmp_path / "var"
    where.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs", str(where)], check=True)
    yield where
    subprocess.run(["umount", "-l", str(where)], check=True)


async def deferring(start_relay: Start, outside: OutsideServer, **outbound: object) -> tuple[Relay, str]:
    settings = {"route": f"smtp://127.0.0.1:{outside.port}", "retry": ["1s"], **outbound}
    relay = await start_relay(outbound=settings, policy={"rate_base": 10**9})
    return relay, relay.order()["buyer"]["alias"]


@root
async def test_a_full_disk_is_452_and_what_was_kept_is_delivered(
        small_disk: Path, start_relay: Start, outside: OutsideServer) -> None:
    relay, alias = await deferring(start_relay, outside)
    (small_disk / "ballast").write_bytes(b"x" * 3_000_000)
    outside.pause = asyncio.Event()
    answers = [(await relay.send(SELLER, alias, message(SELLER, alias, "first")))[0]]
    await outside.paused.wait()
    for number in range(40):  # some fit: the write-ahead log has room that it took earlier
        code, text = await relay.send(SELLER, alias, message(SELLER, alias, f"m{number}", BIG))
        answers.append(code)
        if code != 250:
            assert (code, text[:5]) == (452, "4.3.1")
            break
    assert answers[-1] == 452
    spool = small_disk / "spool"
    assert len(list(spool.iterdir())) == answers.count(250) - 1  # what was refused takes no room
    with (small_disk / "filler").open("wb") as filler, suppress(OSError):
        while True:
            os.write(filler.fileno(), b"x" * 4096)
    assert (await relay.send(SELLER, alias, message(SELLER, alias, "small", "x" * 100_000)))[0] == 452
    outside.pause.set()  # delivered while there is no room to write that down
    await outside.wait_for(1, BUYER)
    for file in ("filler", "ballast"):
        (small_disk / file).unlink()
    kept = answers.count(250)
    await relay.settle("delivered", kept)
    assert (await relay.send(SELLER, alias, message(SELLER, alias, "after")))[0] == 250
    await relay.settle("delivered", kept + 1)
    assert len(outside.arrived) == kept + 1  # each once
    assert relay.process
    assert relay.process.poll() is None


@root
async def test_a_file_system_that_is_read_only_at_the_start_is_exit_1(
        small_disk: Path, start_relay: Start, outside: OutsideServer) -> None:
    relay, alias = await deferring(start_relay, outside)
    port = outside.port
    await outside.stop()
    await relay.send(SELLER, alias, message(SELLER, alias, "before"))
    await relay.stop()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    done = subprocess.run([str(TRADEPOST), "serve", "-c", str(relay.file)], capture_output=True, text=True,
                          env=relay.environment(), cwd=relay.folder, timeout=20)
    assert done.returncode == 1, done.stderr  # not 2, which systemd takes for final
    assert "Traceback" not in done.stderr
    assert "read-only" in done.stderr.lower()
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    await outside.start(port)
    await relay.start()
    await outside.wait_for(1, BUYER)


async def test_a_ledger_that_others_hold_for_long_is_451_and_forgets_no_delivery(
        start_relay: Start, outside: OutsideServer) -> None:
    relay, alias = await deferring(start_relay, outside)
    outside.pause = asyncio.Event()
    await relay.send(SELLER, alias, message(SELLER, alias, "uno"))
    await outside.paused.wait()
    with foreign_writer(relay):
        outside.pause.set()  # delivered, and cannot be recorded
        await outside.wait_for(1, BUYER)
        code, text = await relay.send(SELLER, alias, message(SELLER, alias, "dos"))
        assert (code, text[:5]) == (451, "4.3.0")
    await relay.settle("delivered")
    assert (await relay.send(SELLER, alias, message(SELLER, alias, "tres")))[0] == 250
    await relay.settle("delivered", 2)
    assert len(outside.arrived) == 2
    events = relay.json("message", "show", relay.messages()[1]["id"])[0]["events"]
    assert [(event["kind"], event["name"]) for event in events][1:] == [("attempt", "1"), ("outcome", "delivered")]


@contextmanager
def foreign_writer(relay: Relay) -> Iterator[None]:
    db = sqlite.connect(str(relay.folder / "var/ledger.db"), isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    yield
    db.execute("ROLLBACK")
    db.close()


async def test_a_log_that_a_crash_left_with_a_torn_end_is_read_up_to_there(
        start_relay: Start, outside: OutsideServer) -> None:
    import signal

    relay, alias = await deferring(start_relay, outside)
    port = outside.port
    await outside.stop()
    await relay.send(SELLER, alias, message(SELLER, alias, "uno"))
    await relay.send(SELLER, alias, message(SELLER, alias, "dos", BIG))
    await relay.stop(signal.SIGKILL)
    log = relay.folder / "var/ledger.db-wal"
    frames = log.read_bytes()
    assert len(frames) > 8192
    with log.open("ab") as file:
        file.write(frames[32:4000])  # a frame of before, cut off
    await outside.start(port)
    await relay.start()
    await outside.wait_for(2, BUYER)
    await relay.settle("delivered", 2)


@pytest.mark.parametrize("damage", ["garbage", "folder"])
async def test_a_ring_that_cannot_be_read_stops_nobody_until_the_next_start(
        start_relay: Start, outside: OutsideServer, damage: str) -> None:
    relay, alias = await deferring(start_relay, outside)
    ring = relay.folder / "var/keys"
    kept = ring.rename(relay.folder / "kept")
    if damage == "garbage":
        ring.write_bytes(b"\0 not a ring")
        ring.chmod(0o600)
    else:
        ring.mkdir(mode=0o700)
    for _ in range(100):
        if '"key-ring-failed"' in relay.log.read_text():
            break
        await asyncio.sleep(0.05)
    assert '"key-ring-failed"' in relay.log.read_text()
    assert (await relay.send(SELLER, alias, message(SELLER, alias)))[0] == 250
    await outside.wait_for(1, BUYER)
    await relay.stop()
    done = subprocess.run([str(TRADEPOST), "serve", "-c", str(relay.file)], capture_output=True, text=True,
                          env=relay.environment(), cwd=relay.folder, timeout=20)
    assert done.returncode == 2
    assert str(ring.relative_to(relay.folder)) in done.stderr
    assert "Traceback" not in done.stderr
    ring.unlink() if ring.is_file() else ring.rmdir()
    kept.rename(ring)
    await relay.start()
    assert (await relay.send(SELLER, alias, message(SELLER, alias, "dos")))[0] == 250
    await outside.wait_for(2, BUYER)


async def test_a_thread_that_cannot_go_on_says_so_to_all_who_wait(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = open_ledger(tmp_path / "ledger.db", tmp_path / "keys")
    writer = Writer(opened.path)

    def no_memory(connection: Connection) -> None:
        raise MemoryError

    with pytest.raises(MemoryError):  # one piece's trouble is its own
        await writer.submit(no_memory)
    assert writer.broken is None
    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", _no_locks)
        with pytest.raises(StorageFailed):
            await asyncio.wait_for(writer.submit(lambda _: None), 5)
    with pytest.raises(StorageFailed):
        await asyncio.wait_for(writer.submit(lambda _: None), 5)
    writer.close()


def _no_locks(*_: object) -> None:
    raise OSError(37, "No locks available")


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    found = open_ledger(tmp_path / "ledger.db", tmp_path / "keys")
    Registry(found).add_order(ORDER, "relay.example", NewParty(Side.SELLER, "S1", SELLER, "Tienda Sol", "es"),
                              NewParty(Side.BUYER, "B1", BUYER, "Ana", "es"))
    found.spool.mkdir()
    return found


def fill(ledger: SqliteLedger) -> None:
    """SQLite's page limit stands in for the disk's."""
    connection = ledger._writer._connection
    connection.execute(f"PRAGMA max_page_count = {connection.execute('PRAGMA page_count').fetchone()[0]}")


async def test_no_file_is_left_of_a_message_that_found_no_room(opened: Opened) -> None:
    ledger = SqliteLedger(opened)
    fill(ledger)
    with pytest.raises(StorageFull):  # noqa: PT012 - it is the first that does not fit
        for _ in range(200):
            await ledger.commit([await entry(ledger, content=b"x" * (BIG_BYTES + 1))], NOW, lease_s=0)
    named = {row["file"] for row in opened.query("spooled_files")}
    assert {path.name for path in opened.spool.iterdir()} == named
    ledger.close()


async def test_an_outcome_waits_for_room_and_is_told_when_the_daemon_stops(opened: Opened) -> None:
    ledger = SqliteLedger(opened)
    one, two = [(await ledger.commit([await entry(ledger)], NOW, lease_s=60))[0] for _ in range(2)]
    fill(ledger)
    outcome = Outcome(OutcomeKind.DELIVERED, "250 2.0.0", "x" * 100_000)
    waiting = asyncio.ensure_future(ledger.record(one, outcome, NOW))
    with pytest.raises(StorageFull):  # who can ask again is told at once
        await ledger.commit([await entry(ledger, content=b"x" * 100_000)], NOW, lease_s=0)
    assert not waiting.done()
    ledger._writer._connection.execute("PRAGMA max_page_count = 1000000")
    await asyncio.wait_for(waiting, 5)
    fill(ledger)
    waiting = asyncio.ensure_future(ledger.record(two, outcome, NOW))
    with pytest.raises(StorageFull):
        await ledger.commit([await entry(ledger, content=b"x" * 100_000)], NOW, lease_s=0)
    await asyncio.to_thread(ledger.close)
    with pytest.raises(LedgerBusy):
        await waiting


async def test_content_that_is_gone_is_an_error_and_never_an_empty_message(opened: Opened) -> None:
    ledger = SqliteLedger(opened)
    for content in (b"x" * (BIG_BYTES + 1), b"hola"):
        await ledger.commit([await entry(ledger, content=content)], NOW, lease_s=0)
    big, small = await ledger.claim(NOW, 60, 10)
    next(opened.spool.iterdir()).unlink()
    opened.connection.execute("DELETE FROM content WHERE file IS NULL")
    for delivery in (big, small):
        with pytest.raises(LedgerError):
            await ledger.content(delivery)
        assert await ledger.returned(delivery.number)  # its DSN can still be written
    ledger.close()


async def test_a_spool_that_is_gone_is_421_and_the_next_start_makes_it(start_relay: Start, outside: OutsideServer) -> None:
    relay, alias = await deferring(start_relay, outside)
    (relay.folder / "var/spool").rmdir()
    code, _ = await relay.send(SELLER, alias, message(SELLER, alias, "dos", BIG))
    assert code == 421  # a spool that is gone is an I/O error like any other
    assert relay.process
    assert await asyncio.to_thread(relay.process.wait, 15) == 1
    events = [json.loads(line)["event"] for line in relay.log.read_text().splitlines()]
    assert "storage-failed" in events
    assert BUYER not in relay.log.read_text()
    await relay.start()
    assert (await relay.send(SELLER, alias, message(SELLER, alias, "dos", BIG)))[0] == 250
