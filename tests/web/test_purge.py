"""What is over its age is destroyed, and what is not stays: looked for in every octet on the disk."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from entries import NOW, entry

from aliasing.correspondence import Side
from relay.ledger import destroy
from relay.ledger.destroy import holds
from relay.ledger.erase import Erase
from relay.ledger.opened import Opened, open_ledger
from relay.ledger.purge import Ages, Purge, Purged
from relay.ledger.registry import NewParty, Registry
from relay.ledger.sqlite import SqliteLedger
from relay.records import State

DAY = timedelta(days=1)
AGES = Ages(messages=30 * DAY, refused=5 * DAY, content=10 * DAY)
BIG = b"Una linea.\r\n" * 30_000


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    ledger = open_ledger(tmp_path / "ledger.db", tmp_path / "keys")
    ledger.spool.mkdir()
    yield ledger
    ledger.close()


def order(opened: Opened, number: int = 1) -> int:
    registry = Registry(opened)
    registry.add_order(f"N-{number}", "relay.example", NewParty(Side.SELLER, "S1", "sol@tienda.example", "Tienda Sol"),
                       NewParty(Side.BUYER, f"B{number}", f"ana{number}@correo.example", f"Ana {number}"))
    return registry.number_of(f"N-{number}")


async def made(opened: Opened, age: timedelta, state: State = State.DELIVERED, **more: Any) -> str:
    """A message of that age; its public id."""
    ledger = SqliteLedger(Opened(opened.path, opened.keys))
    one = await entry(ledger, order(opened), received_at=NOW - age, state=state, **more)
    await ledger.commit([one], NOW, lease_s=60)
    ledger.close()
    return one.id


def kept(opened: Opened) -> dict[str, tuple[bool, bool]]:
    """Public id -> whether there is content, whether there is a key."""
    return {row["public_id"]: (row["content"] is not None, row["key_sealed"] is not None) for row in
            opened.connection.execute("SELECT m.public_id, m.key_sealed, k.message_id AS content FROM message m "
                                      "LEFT JOIN content k ON k.message_id = m.id")}


def blobs(opened: Opened, public_id: str) -> list[bytes]:
    row = opened.connection.execute(
        "SELECT key_sealed, subject_sealed, reply_sealed, original_id_sealed, body_sealed FROM message m "
        "LEFT JOIN content k ON k.message_id = m.id WHERE public_id = ?", (public_id,)).fetchone()
    return [blob for blob in row if blob is not None]


def on_disk(opened: Opened) -> bytes:
    paths = [path for path in sorted(opened.path.parent.rglob("*")) if path.is_file() and path.name != "keys"]
    return subprocess.run(["cat", *paths], capture_output=True, check=True).stdout  # this process would lose its locks


async def test_what_is_over_its_age_goes_and_the_rest_stays(opened: Opened) -> None:
    young = await made(opened, DAY)
    middle = await made(opened, 11 * DAY, content=BIG)
    old = await made(opened, 31 * DAY, original_id=b"<secreto@correo.example>")
    refused = [await made(opened, age * DAY, State.REFUSED) for age in (4, 6)]
    waiting = [await made(opened, 400 * DAY, state) for state in (State.QUEUED, State.HELD)]
    before = {one: blobs(opened, one) for one in kept(opened)}
    assert len(list(opened.spool.iterdir())) == 1
    work = Purge(opened)
    assert work.count(AGES, NOW.timestamp()) == Purged(3, 2)
    assert work.run(AGES, NOW.timestamp()) == Purged(3, 2)
    assert work.run(AGES, NOW.timestamp()) == Purged()
    assert kept(opened) == {young: (True, True), middle: (False, True), old: (False, False), refused[0]: (True, True),
                            refused[1]: (False, False), waiting[0]: (True, True), waiting[1]: (True, True)}
    assert not list(opened.spool.iterdir())
    left = on_disk(opened)
    for gone in (old, refused[1]):
        assert len(before[gone]) >= 3
        assert not [number for number, blob in enumerate(before[gone]) if blob in left]
    for stays in (young, *waiting):
        assert all(blob in left for blob in before[stays])
    for text in (b"sol@tienda.example", b"correo.example", b"Ana 1", b"Asunto secreto", b"hola", b"secreto@"):
        assert text not in left


async def test_for_ever_is_for_ever_and_a_limit_leaves_more(opened: Opened) -> None:
    for _ in range(3):
        await made(opened, 4000 * DAY)
    work = Purge(opened)
    assert work.run(Ages(None, None, None), NOW.timestamp()) == Purged()
    assert work.run(AGES, NOW.timestamp(), limit=0) == Purged(more=True)
    assert work.run(AGES, NOW.timestamp(), limit=100) == Purged(3, 3)


def test_a_key_in_the_unused_part_of_a_page_is_found_and_cleared(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a version left it that did not overwrite what it freed."""
    for number in (1, 2):
        order(opened, number)
    sql = "SELECT data_key FROM party WHERE side = 'buyer' ORDER BY id"
    first, second = (row[0] for row in opened.connection.execute(sql))
    for sql in ("PRAGMA secure_delete = OFF", "CREATE TABLE copy AS SELECT data_key FROM party", "DROP TABLE copy"):
        opened.connection.execute(sql)
    with monkeypatch.context() as patched:
        patched.setattr("relay.ledger.erase.make_sure", lambda *_: None)
        Erase(opened).erase("buyer:B1")
    assert holds(opened.path, first), "the test makes no remnant"
    Erase(opened).erase("buyer:B2")
    assert not [key for key in (first, second) if holds(opened.path, key)]
    assert opened.connection.execute("PRAGMA secure_delete").fetchone()[0] == 2
    assert opened.connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


def test_looking_for_a_key_loses_no_lock(opened: Opened) -> None:
    """Or a command that ends could take the write-ahead log away from under the daemon."""
    order(opened)
    inode = f":{opened.path.stat().st_ino} "
    assert inode in Path("/proc/locks").read_text()
    assert Erase(opened).erase("buyer:B1").addresses == 1
    assert inode in Path("/proc/locks").read_text()


def test_a_reader_who_holds_the_log_is_told_of(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    order(opened)
    monkeypatch.setattr(destroy, "TRIES", 2)
    opened.connection.execute("PRAGMA busy_timeout = 1")
    reader = Opened(opened.path, opened.keys)
    reader.connection.execute("BEGIN")
    reader.connection.execute("SELECT count(*) FROM party").fetchone()
    with pytest.raises(Exception, match="ask again"):
        Erase(opened).erase("buyer:B1")
    reader.connection.execute("ROLLBACK")
    reader.close()
    assert Erase(opened).erase("buyer:B1").addresses == 0
