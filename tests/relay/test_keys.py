"""The key ring's file and its life: permissions, rotation, wrapping anew, retiring, and dying in the middle of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support import BUYER, ORDER, SELLER

from aliasing.address import Address
from aliasing.correspondence import Direction, Side
from aliasing.token import Role, open_alias
from policy.case import AddressState
from relay import keys
from relay.errors import KeyRingFileError, LedgerError, UsageError
from relay.keys import CREDENTIAL, Keys
from relay.ledger.opened import Opened, open_ledger
from relay.ledger.registry import NewParty, Registry
from relay.ledger.ring import Holding, holdings, retire, rewrap, rotate
from relay.ledger.sqlite import SqliteLedger

SOMEBODY = 65534
"""A user that the tests do not run as."""
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    keys.create(tmp_path / "keys")
    return tmp_path / "keys"


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    return open_ledger(tmp_path / "ledger.db", tmp_path / "keys")


def add_order(opened: Opened, order: str = ORDER, number: int = 1) -> str:
    """The alias that the seller writes to; each number is another pair."""
    return Registry(opened).add_order(
        order, "relay.example", NewParty(Side.SELLER, f"S{number}", f"{number}{SELLER}", "Tienda Sol", "es"),
        NewParty(Side.BUYER, f"B{number}", f"{number}{BUYER}", "Ana", "es")).buyer_alias


def close(opened: Opened, days_ago: float) -> None:
    opened.connection.execute("UPDATE correspondence SET closed_at = ?", (time.time() - days_ago * 86400,))


def held(opened: Opened, key: int) -> Holding:
    return next(one for one in holdings(opened) if one.id == key)


def reveal(opened: Opened, number: int) -> str:
    """A party's address as the ledger holds it now."""
    row = opened.connection.execute("SELECT p.id, p.ring_key, p.data_key, a.address_sealed FROM party p JOIN address a "
                                    "ON a.party_id = p.id WHERE p.external_id = ?", (f"B{number}",)).fetchone()
    return opened.vault.party(row["id"], row["ring_key"], row["data_key"]).unseal("address", row["address_sealed"])


# -- the file ----------------------------------------------------------------------------------------------------


def test_it_is_made_once_and_for_its_owner_only(path: Path) -> None:
    before = path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(KeyRingFileError, match="already"):
        keys.create(path)
    assert path.read_bytes() == before
    assert [one.name for one in path.parent.iterdir()] == ["keys"]


def open_to_the_group(path: Path) -> None:
    path.chmod(0o640)


def open_to_the_world(path: Path) -> None:
    path.chmod(0o604)


def in_a_folder_of_all(path: Path) -> None:
    path.parent.chmod(0o777)


def in_a_sticky_folder_of_all(path: Path) -> None:
    path.parent.chmod(0o1777)


def in_a_folder_of_the_group(path: Path) -> None:
    path.parent.chmod(0o770)


def a_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def missing(path: Path) -> None:
    path.unlink()


def without_its_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("moved"))


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def a_weak_key(path: Path) -> None:
    document = json.loads(path.read_text())
    document["keys"]["2"] = {"secret": "", "made": "2026-01-01T00:00:00+00:00"}
    path.write_text(json.dumps(document))


def of_a_later_version(path: Path) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": 2}))


@pytest.mark.parametrize(("spoil", "message"), [
    (open_to_the_group, "others can read it; run: chmod 600 "),
    (open_to_the_world, "others can read it; run: chmod 600 "),
    (in_a_folder_of_all, "others can write to its folder; run: chmod go-w "),
    (in_a_sticky_folder_of_all, "others can write to its folder; run: chmod go-w "),
    (in_a_folder_of_the_group, "others can write to its folder; run: chmod go-w "),
    (a_link, "is a symbolic link.*; name the file itself"),
    (a_folder, "is not a file"),
    (a_pipe, "is not a file"),
    (missing, "there is no key ring.*; restore it"),
    (without_its_folder, "there is no key ring.*; restore it"),
    (cut_short, "is not a key ring of Tradepost; restore it"),
    (a_weak_key, "is not a key ring of Tradepost; restore it"),
    (of_a_later_version, "newer version; use that version"),
])
def test_what_is_wrong_with_the_file_is_said_with_the_mend(
        path: Path, spoil: Callable[[Path], None], message: str) -> None:
    spoil(path)
    with pytest.raises(KeyRingFileError, match=message) as raised:
        Keys(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def as_somebody(path: Path) -> str:
    """What another user than the file's is told."""
    code = ("import os\nfrom pathlib import Path\nfrom relay.keys import Keys\n"
            f"os.setgroups([]); os.setgid({SOMEBODY}); os.setuid({SOMEBODY})\ntry:\n    Keys(Path({str(path)!r}))\nexcept Exception as error:\n"
            "    print(type(error).__name__, error)")
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30,
                          check=True).stdout


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder that another user gets to: pytest's own are closed to all others."""
    folder = Path(tempfile.mkdtemp(prefix="tradepost-keys-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@as_root
def test_another_user_is_told_whose_it_is(reachable: Path) -> None:
    keys.create(reachable / "keys")
    assert "KeyRingFileError" in as_somebody(reachable / "keys")
    assert "cannot be read (Permission denied): it belongs to root; run the command as that user" in (
        as_somebody(reachable / "keys"))
    (reachable / "keys").chmod(0o604)  # readable, and then another's all the same
    assert "belongs to root, but this is" in as_somebody(reachable / "keys")


@as_root
def test_a_folder_of_another_user_is_refused(reachable: Path) -> None:
    keys.create(reachable / "keys")
    os.chown(reachable / "keys", SOMEBODY, SOMEBODY)
    os.chown(reachable, SOMEBODY - 1, SOMEBODY)
    assert "its folder belongs to" in as_somebody(reachable / "keys")
    os.chown(reachable, SOMEBODY, SOMEBODY)
    assert as_somebody(reachable / "keys") == ""


@as_root
def test_root_rotates_for_the_user_that_the_ring_belongs_to(path: Path) -> None:
    os.chown(path, SOMEBODY, SOMEBODY)
    Keys(path).rotate()
    assert (path.stat().st_uid, path.stat().st_gid) == (SOMEBODY, SOMEBODY)


def test_a_ring_that_cannot_be_written_is_still_the_old_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ring_, before = Keys(path), path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(KeyRingFileError, match="cannot be written"):
        ring_.rotate()
    assert path.read_bytes() == before
    assert ring_.ring.newest == 1
    assert [one.name for one in path.parent.iterdir()] == ["keys"]


# -- the credential ----------------------------------------------------------------------------------------------


@pytest.fixture
def credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / CREDENTIAL).write_bytes(b"x" * 32)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    return folder / CREDENTIAL


def test_a_systemd_credential_wraps_the_file(credential: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "keys"
    keys.create(path)
    secrets = Keys(path).ring.secrets
    assert b"secret" not in path.read_bytes()
    Keys(path).rotate()
    assert b"secret" not in path.read_bytes()
    assert Keys(path).ring.secrets[1] == secrets[1]
    credential.write_bytes(b"y" * 32)
    with pytest.raises(KeyRingFileError, match="another credential"):
        Keys(path)
    credential.write_bytes(b"short")
    with pytest.raises(KeyRingFileError, match="has 5 octets"):
        Keys(path)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    with pytest.raises(KeyRingFileError, match=f"was not given {CREDENTIAL}; run the command with: systemd-run"):
        Keys(path)


def test_the_credential_can_be_changed(credential: Path, path: Path) -> None:
    Keys(path).protect(wrapped=True)
    assert b"secret" not in path.read_bytes()
    Keys(path).protect(wrapped=False)
    credential.write_bytes(b"z" * 32)
    Keys(path).protect(wrapped=True)
    assert Keys(path).ring.newest == 1
    credential.unlink()
    with pytest.raises(KeyRingFileError, match="was not given"):
        Keys(path)


# -- rotation as other processes see it --------------------------------------------------------------------------


def test_rotation_is_seen_by_a_process_that_has_it_open(path: Path) -> None:
    mine, theirs = Keys(path), Keys(path)
    old = mine.ring.seal(Role.BUYER, "relay.example", 1)
    assert not mine.refresh()
    assert theirs.rotate() == 2
    assert mine.refresh()
    assert mine.ring.newest == 2
    assert mine.ring.open(Role.BUYER, "relay.example", old) == 1
    assert mine.hash_address(Address.parse("a@b.example")) == theirs.hash_address(Address.parse("A@B.example"))


def test_two_rotations_at_one_time_of_the_clock_are_both_seen(path: Path) -> None:
    mine, theirs = Keys(path), Keys(path)
    for _ in range(2):
        theirs.rotate()
        os.utime(path, ns=(1, 1))
        assert mine.refresh()
    assert mine.ring.newest == 3


def test_a_ring_gone_or_spoilt_is_told_once_and_the_old_one_goes_on(path: Path) -> None:
    mine, content = Keys(path), path.read_bytes()
    for spoil in (missing, cut_short):
        path.write_bytes(content)
        path.chmod(0o600)
        mine.refresh()
        spoil(path)
        with pytest.raises(KeyRingFileError):
            mine.refresh()
        assert not mine.refresh()
        assert mine.ring.newest == 1
    path.write_bytes(content)
    assert mine.refresh()


def test_another_ring_in_its_place_is_not_taken(path: Path, tmp_path: Path) -> None:
    mine = Keys(path)
    before = mine.ring
    (tmp_path / "other").mkdir(mode=0o700)
    keys.create(tmp_path / "other/keys")
    (tmp_path / "other/keys").replace(path)
    with pytest.raises(KeyRingFileError, match="another key ring"):
        mine.refresh()
    assert mine.ring is before


def test_a_wrapped_key_opens_for_its_owner_only_and_after_rotation(path: Path) -> None:
    ring_ = Keys(path)
    number, blob = ring_.wrap(b"k" * 32, b"party 1")
    ring_.rotate()
    assert ring_.unwrap(number, blob, b"party 1") == b"k" * 32
    with pytest.raises(KeyRingFileError):
        ring_.unwrap(number, blob, b"party 2")
    with pytest.raises(LedgerError):  # what the daemon answers 4xx
        ring_.unwrap(number, b"", b"party 1")
    with pytest.raises(KeyRingFileError, match="holds no key 9"):
        ring_.unwrap(9, blob, b"party 1")


# -- the ring and the ledger -------------------------------------------------------------------------------------


def test_a_key_retires_when_nothing_hangs_on_it(opened: Opened) -> None:
    alias = add_order(opened)
    assert "it is the newest" in " ".join(retire(opened, 1))
    assert rotate(opened) == 2
    assert (held(opened, 1).parties, held(opened, 1).open, held(opened, 2).parties) == (2, 1, 0)
    assert "tradepost key rewrap" in " ".join(retire(opened, 1))
    assert list(rewrap(opened)) == [2]
    assert held(opened, 1).parties == 0
    assert "1 open correspondences" in " ".join(retire(opened, 1))
    close(opened, days_ago=6)
    assert "less than 7 days" in " ".join(retire(opened, 1))
    close(opened, days_ago=8)
    assert retire(opened, 1) == []
    assert [one.id for one in holdings(opened)] == [2]
    assert open_alias(opened.keys.ring, Address.parse(alias)) is None
    with pytest.raises(UsageError, match="no key 1"):
        retire(opened, 1)
    assert reveal(opened, 1) == f"1{BUYER}"


def test_the_aliases_of_a_correspondence_outlive_rotation(opened: Opened) -> None:
    alias = add_order(opened)
    rotate(opened)
    list(rewrap(opened))
    assert add_order(opened) == alias
    assert open_alias(opened.keys.ring, Address.parse(alias)) is not None
    assert add_order(opened, "111-2222222-4444444", 2) != alias


def test_what_waits_in_the_queue_holds_its_key(opened: Opened) -> None:
    add_order(opened)
    rotate(opened)
    list(rewrap(opened))
    close(opened, days_ago=30)
    opened.connection.execute(
        "INSERT INTO message (public_id, trace, correspondence_id, direction, channel, state, received_at, size) "
        "VALUES ('m', 't', 1, 'to-buyer', 'mail', 'queued', 0, 1)")
    opened.connection.execute("INSERT INTO delivery (message_id, kind, party_id, state, attempts, created_at) "
                              "VALUES (1, 'message', 2, 'queued', 0, 0)")
    assert "1 deliveries wait in the queue" in " ".join(retire(opened, 1))
    opened.connection.execute("UPDATE delivery SET finished_at = 1")
    assert retire(opened, 1) == []


def test_erased_parties_hold_no_key(opened: Opened) -> None:
    add_order(opened)
    rotate(opened)
    opened.connection.execute("UPDATE party SET data_key = NULL WHERE side = 'buyer'")
    assert list(rewrap(opened)) == [1]
    assert retire(opened, 1) == []


def test_orders_of_a_retired_key_are_listed_without_aliases(opened: Opened) -> None:
    add_order(opened)
    rotate(opened)
    list(rewrap(opened))
    close(opened, days_ago=8)
    retire(opened, 1)
    assert [(row.order, row.buyer_alias) for row in Registry(opened).orders()] == [(ORDER, "")]
    assert Registry(opened).order(ORDER).as_json()["buyer"] == {"id": "B1", "alias": None}


def test_a_command_that_has_read_the_old_ring_seals_with_the_new_one(opened: Opened, tmp_path: Path) -> None:
    """Else its party would hang on a key that is retired a moment later, and be lost."""
    slow = open_ledger(tmp_path / "ledger.db", tmp_path / "keys")
    rotate(opened)
    retire(opened, 1)
    add_order(slow)
    assert (held(opened, 2).parties, held(opened, 2).correspondences) == (2, 1)
    assert reveal(opened, 1) == f"1{BUYER}"


def test_rotations_at_the_same_time_lose_no_key(opened: Opened, tmp_path: Path) -> None:
    others = [open_ledger(tmp_path / "ledger.db", tmp_path / "keys") for _ in range(4)]
    threads = [threading.Thread(target=lambda one=one: [rotate(one) for _ in range(5)]) for one in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(Keys(tmp_path / "keys").ring.secrets) == list(range(1, 22))


async def test_a_daemon_goes_on_with_what_it_has_in_memory(opened: Opened, tmp_path: Path) -> None:
    """It has read parties under key 1; they are wrapped anew and key 1 retires behind its back."""
    now = datetime.now(UTC)
    add_order(opened)
    ledger = SqliteLedger(open_ledger(tmp_path / "ledger.db", tmp_path / "keys"))
    try:
        before = await ledger.facts(1, Direction.TO_BUYER, now)
        rotate(opened)
        list(rewrap(opened))
        assert await ledger.facts(1, Direction.TO_BUYER, now) == before
        close(opened, days_ago=8)
        assert retire(opened, 1) == []
        ledger.keys.refresh()
        after = await ledger.facts(1, Direction.TO_BUYER, now)
        assert after is not None
        assert after.correspondence.ring.secrets.keys() == {2}
        Registry(opened).set_address("buyer:B1", "otra@correo.example", AddressState.AUTHORISED)  # all is read anew
        again = await ledger.facts(1, Direction.TO_BUYER, now)
        assert again is not None
        assert len(again.reader_addresses) == 2
    finally:
        ledger.close()


def test_a_ledger_brought_back_beside_a_later_ring_is_refused(opened: Opened, tmp_path: Path) -> None:
    add_order(opened)
    rotate(opened)
    opened.connection.execute("UPDATE correspondence SET closed_at = 1")
    list(rewrap(opened))
    retire(opened, 1)
    opened.connection.execute("UPDATE party SET ring_key = 1 WHERE id = 2")
    with pytest.raises(KeyRingFileError, match=r"holds no key 1.*restore the key ring"):
        open_ledger(tmp_path / "ledger.db", tmp_path / "keys")


# -- killed in the middle ----------------------------------------------------------------------------------------

PAIRS = 6
_KILLED = """
import os, shutil, signal, sys
from pathlib import Path
from relay.ledger import ring
from relay.ledger.opened import open_ledger
from relay.ledger.vault import Vault

rewrapped, replaced, left = Vault.rewrap, Path.replace, 0

def step():
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

def rewrap(self, *arguments):
    step()
    return rewrapped(self, *arguments)

def replace(self, target):
    step()
    found = replaced(self, target)
    step()
    return found

def work(folder):
    opened = open_ledger(folder / "ledger.db", folder / "keys")
    ring.rotate(opened)
    for done in ring.rewrap(opened, batch=5):
        step()
    ring.retire(opened, 1)

Vault.rewrap, Path.replace = rewrap, replace
status = -1
while status:
    left = at = globals().get("at", 0) + 1
    folder = Path(sys.argv[1], str(at))
    shutil.copytree(Path(sys.argv[1], "0"), folder)
    pid = os.fork()
    if pid == 0:
        work(folder)
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    assert status in (0, signal.SIGKILL), status
"""


def test_killed_at_any_step_of_rotate_rewrap_and_retire_every_record_opens(tmp_path: Path) -> None:
    first = open_ledger(tmp_path / "0/ledger.db", tmp_path / "0/keys")
    for number in range(PAIRS):
        add_order(first, f"111-2222222-{number:07}", number)
    first.connection.execute("UPDATE correspondence SET closed_at = 1")
    first.close()
    done = subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found, everybody = set(), [f"{number}{BUYER}" for number in range(PAIRS)]
    for folder in tmp_path.iterdir():
        opened = open_ledger(folder / "ledger.db", folder / "keys")
        found.add(tuple((one.id, one.parties) for one in holdings(opened)))
        assert [reveal(opened, number) for number in range(PAIRS)] == everybody
        list(rewrap(opened))
        assert all(one.parties == 0 for one in holdings(opened) if not one.seals_new)
        assert [reveal(opened, number) for number in range(PAIRS)] == everybody
        opened.close()
    assert len(list(tmp_path.iterdir())) > 18
    assert found == {((1, 12),), ((1, 12), (2, 0)), ((1, 7), (2, 5)), ((1, 2), (2, 10)), ((1, 0), (2, 12)), ((2, 12),)}
