"""`tradepost backup` under load, and the commands of docs/backup.md, run as they stand there."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from load import Load
from support import BUYER, ORDER, SELLER, TRADEPOST, Relay, crlf, message

from relay.demo.outside import OutsideServer

Start = Callable[..., Awaitable[Relay]]
PAGE = Path(__file__).parents[2] / "docs/backup.md"
STUBS = ("systemctl", "chown")
"""Commands of the page that a test cannot run: it has no service manager and no other user."""


def page(heading: str, folder: Path) -> str:
    """The commands under a heading of the page, with a test's folders for those of an installation."""
    section = PAGE.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    commands = "\n".join(re.findall(r"```sh\n(.*?)```", section, re.DOTALL))
    for there, here in (("/etc/tradepost/tradepost.toml", folder / "tradepost.toml"),
                        ("/var/lib/tradepost", folder / "var"), ("/var/backups/tradepost", folder / "backups"),
                        ("/root/tradepost-keys", folder / "ring"), ("/tmp/look", folder / "look")):
        commands = commands.replace(there, str(here))
    return commands


def sh(commands: str, folder: Path) -> str:
    bin_ = folder / "bin"
    bin_.mkdir(exist_ok=True)
    for stub in STUBS:
        (bin_ / stub).write_text("#!/bin/sh\nexit 0\n")
        (bin_ / stub).chmod(0o755)
    done = subprocess.run(["sh", "-ec", commands], capture_output=True, text=True, cwd=folder, timeout=60,
                          env={"PATH": f"{bin_}:{TRADEPOST.parent}:{os.environ['PATH']}", "HOME": str(folder)})
    assert done.returncode == 0, f"{commands}\n{done.stdout}{done.stderr}"
    return done.stdout


async def queued(start_relay: Start, outside: OutsideServer) -> tuple[Relay, str]:
    """A relay with two messages that have not left, a small and a big one, since the outside is down."""
    relay = await start_relay(outbound={"route": f"smtp://127.0.0.1:{outside.port}", "retry": ["1h"]},
                              policy={"rate_base": 10**9})
    (relay.folder / "backups").mkdir()
    alias = str(relay.order()["buyer"]["alias"])
    await outside.stop()
    await relay.send(SELLER, alias, message(SELLER, alias, "uno"))
    await relay.settle("deferred")
    await relay.send(SELLER, alias, message(SELLER, alias, "dos", "línea\n" * 100_000))
    return relay, alias


async def test_the_pages_commands_bring_back_what_was_queued(start_relay: Start, outside: OutsideServer) -> None:
    relay, alias = await queued(start_relay, outside)
    await asyncio.to_thread(sh, page("Back up", relay.folder), relay.folder)
    (relay.folder / "ring").mkdir()
    shutil.copy(relay.folder / "var/keys", relay.folder / "ring/keys")
    await relay.send(SELLER, alias, message(SELLER, alias, "after the backup"))
    await relay.stop()
    shutil.rmtree(relay.folder / "var")  # the disk is lost
    (relay.folder / "var").mkdir()
    await outside.start(outside.port)
    listed = await asyncio.to_thread(sh, page("Restore", relay.folder), relay.folder)
    assert "no errors" in listed
    assert listed.count(ORDER) == 2
    await relay.start()
    relay.run("queue", "retry", "--all")
    arrived = await outside.wait_for(2, BUYER)
    assert sorted(b"Subject: dos" in one.raw for one in arrived) == [False, True]
    big = next(one.raw for one in arrived if b"Subject: dos" in one.raw)
    assert crlf("línea\n" * 100_000) in big
    await relay.settle("delivered", 2)
    assert (await relay.send(SELLER, alias, message(SELLER, alias, "tres")))[0] == 250
    await outside.wait_for(3, BUYER)


async def test_a_copy_under_load_is_of_one_moment(start_relay: Start, outside: OutsideServer, tmp_path: Path) -> None:
    relay = await start_relay(outbound={"route": f"smtp://127.0.0.1:{outside.port}"}, policy={"rate_base": 10**9})
    load = Load(relay.port, SELLER, relay.order()["buyer"]["alias"], sessions=6, limit=100_000)
    loading = asyncio.create_task(load.run())
    counted = []
    for number in range(3):
        while len(load.accepted) < 30 * (number + 1):
            await asyncio.sleep(0.01)
        before, archive = len(load.accepted), tmp_path / f"{number}.tar"
        await asyncio.to_thread(relay.run, "backup", str(archive))
        counted.append((before, await asyncio.to_thread(_look, archive, tmp_path / str(number)),
                        len(load.accepted | load.unknown)))
    load.stop = True
    await loading
    for before, held, after in counted:
        assert before <= held <= after  # all that was answered 250 when it began


def _look(archive: Path, folder: Path) -> int:
    """The number of messages in an archive, each of them whole."""
    from pysqlite3 import dbapi2 as sqlite

    folder.mkdir()
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    subprocess.run(["tar", "-xf", str(archive), "-C", str(folder)], check=True)
    subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], check=True, cwd=folder)
    db = sqlite.connect(str(folder / "ledger.db"))
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    messages, contents = db.execute("SELECT count(*), (SELECT count(*) FROM content) FROM message").fetchone()
    db.close()
    assert messages == contents
    return int(messages)


async def test_what_is_there_is_not_overwritten_and_nothing_is_left_of_a_failure(
        start_relay: Start, outside: OutsideServer) -> None:
    relay, _ = await queued(start_relay, outside)
    folder = relay.folder / "backups"
    archive = folder / "one.tar"
    archive.write_bytes(b"precious")
    assert "is there already" in relay.run("backup", str(archive), check=2)
    assert archive.read_bytes() == b"precious"
    assert "No such file" in relay.run("backup", str(folder / "no/such"), check=2)
    assert [path.name for path in folder.iterdir()] == ["one.tar"]


async def test_a_damaged_store_is_backed_up_but_does_not_pass_for_whole(start_relay: Start, outside: OutsideServer) -> None:
    relay, _ = await queued(start_relay, outside)
    next((relay.folder / "var/spool").iterdir()).unlink()
    archive = relay.folder / "backups/two.tar"
    assert "is not there" in relay.run("backup", str(archive), check=1)
    with tarfile.open(archive) as members:
        assert members.getnames() == ["ledger.db", "SHA256SUMS"]


async def test_there_must_be_a_ledger(tmp_path: Path) -> None:
    relay = Relay(tmp_path)
    assert "there is no ledger" in relay.run("backup", str(tmp_path / "x.tar"), check=2)
    assert not (tmp_path / "var").exists()
    assert not (tmp_path / "x.tar").exists()


def test_content_that_is_purged_while_the_archive_is_written_is_left_out(tmp_path: Path) -> None:
    """The file goes between the copy of the ledger and its own: the copy must not name what is not in the archive."""
    from pysqlite3 import dbapi2 as sqlite

    from relay.ledger import backup
    from relay.ledger.opened import open_ledger

    opened = open_ledger(tmp_path / "ledger.db", tmp_path / "keys")
    for number in (1, 2):
        opened.connection.execute("PRAGMA foreign_keys = OFF")
        opened.connection.execute("INSERT INTO content (message_id, file, size) VALUES (?, ?, 1)", (number, f"f{number}"))
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool/f1").write_bytes(b"x")
    copy = backup._copied(opened.connection, tmp_path / "copy.db")
    opened.connection.execute("DELETE FROM content WHERE file = 'f2'")
    with (tmp_path / "archive").open("wb") as file:
        assert backup._fill(file, opened.connection, copy, tmp_path / "spool", tmp_path / "copy.db") == (1, ())
    copy.close()
    with tarfile.open(tmp_path / "archive") as archive:
        assert archive.getnames() == ["spool/f1", "ledger.db", "SHA256SUMS"]
        archive.extract("ledger.db", tmp_path / "out", filter="data")
    db = sqlite.connect(str(tmp_path / "out/ledger.db"))
    assert db.execute("SELECT file FROM content").fetchall() == [("f1",)]
