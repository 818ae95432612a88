"""Wrong use: one line that names the thing and the mend, exit 2, nothing half-written."""

from __future__ import annotations

import socket
import sqlite3
import subprocess
from pathlib import Path

import pytest
from support import BUYER, ORDER, SELLER, TRADEPOST, Relay

PARTIES = ["--seller", "S1", "--seller-address", SELLER, "--buyer", "B1", "--buyer-address", BUYER]


def one_line(printed: str) -> str:
    assert len(printed.strip().splitlines()) == 1, printed
    assert "Traceback" not in printed
    return printed


@pytest.fixture(scope="module")
def minted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Relay, str]:
    """A relay with one order, and what its lists say; for commands that change nothing."""
    relay = Relay(tmp_path_factory.mktemp("minted"))
    relay.order()
    return relay, lists(relay)


def lists(relay: Relay) -> str:
    return relay.run("order", "list", "--json") + relay.run("block", "list", "--json")


@pytest.mark.parametrize(("words", "said"), [
    (["order", "show", "999"], "there is no order 999"),
    (["order", "close", "999"], "there is no order 999"),
    (["messages", "--order", "999"], "there is no order 999"),
    (["message", "show", "nope"], "there is no message nope"),
    (["address", "list", "NOBODY"], "there is no party NOBODY"),
    (["address", "authorise", "S1", "not an address"], "not an e-mail address"),
    (["address", "remove", "S1", SELLER], "registered with"),
    (["order", "add", ORDER, "--seller", "S2", "--seller-address", "x@y.example", "--buyer", "B1"], "other parties"),
    (["order", "add", "2", "--seller", "S1", "--seller-address", "x@y.example", "--buyer", "B1"], "address authorise"),
    (["order", "add", "2", "--seller", "S9", "--buyer", "B1"], "--seller-address"),
    (["order", "add", "2", "--seller", "S1", "--buyer", "B9", "--buyer-address", "nope"], "not an e-mail address"),
    (["order", "add", "not valid!", *PARTIES], "policy.order_pattern"),
    (["order", "add", "2", *PARTIES, "--seller-name", "x@y.example"], "display name"),
    (["block", "add", "--scope", "relay", "--kind", "network", "--value", "nope"], "192.0.2.0/24"),
    (["block", "add", "--scope", "buyer", "--kind", "unsolicited"], "--party"),
    (["block", "remove", "--scope", "relay", "--kind", "domain", "--value", "x.example"], "no such block"),
    (["queue", "drop"], "--all"),
    (["queue", "drop", "x"], "queue list"),
])
def test_each_mistake_is_one_line(minted: tuple[Relay, str], words: list[str], said: str) -> None:
    relay, before = minted
    assert said in one_line(relay.run(*words, check=2))
    assert lists(relay) == before


def test_the_same_order_again_is_the_same_aliases(tmp_path: Path) -> None:
    relay = Relay(tmp_path)
    assert relay.order() == relay.order()
    assert len(relay.json("order", "list")) == 1


def test_a_missing_configuration(tmp_path: Path) -> None:
    done = subprocess.run([TRADEPOST, "-c", tmp_path / "none.toml", "serve"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "none.toml: cannot be read (No such file or directory)" in one_line(done.stderr)


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        relay = Relay(tmp_path, {"listen": {"mx": f"127.0.0.1:{port}"}})
        assert f"127.0.0.1:{port}: Address already in use" in one_line(relay.run("serve", check=2))


async def test_a_second_daemon_on_the_same_ledger(tmp_path: Path) -> None:
    relay = Relay(tmp_path)
    await relay.start()
    assert "another tradepost serve" in one_line(relay.run("serve", check=2))
    await relay.stop()


@pytest.mark.parametrize(("damage", "said"), [
    (lambda ring: ring.unlink(), "there is no key ring"),
    (lambda ring: ring.chmod(0o644), "chmod 600"),
    (lambda ring: ring.write_text("{}"), "not a key ring of Tradepost"),
    (lambda ring: ring.write_bytes(b"\x00\xff"), "not a key ring of Tradepost"),
    (lambda ring: (ring.unlink(), ring.mkdir()), "is not a file"),
])
def test_an_unusable_key_ring(tmp_path: Path, damage: object, said: str) -> None:
    relay = Relay(tmp_path)
    relay.order()
    damage(tmp_path / "var" / "keys")  # type: ignore[operator]
    for words in (["serve"], ["check"], ["order", "list"]):
        assert said in one_line(relay.run(*words, check=2))


def test_another_ring_than_the_ledgers(tmp_path: Path) -> None:
    relay, other = Relay(tmp_path), Relay(tmp_path / "other") if (tmp_path / "other").mkdir() is None else None
    relay.order()
    assert other is not None
    other.order()
    (other.folder / "var" / "keys").replace(tmp_path / "var" / "keys")
    assert "another key ring" in one_line(relay.run("address", "reveal", "S1", check=2))


def test_a_ledger_of_a_newer_schema(tmp_path: Path) -> None:
    relay = Relay(tmp_path)
    relay.order()
    with sqlite3.connect(tmp_path / "var" / "ledger.db") as db:
        db.execute("INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('tradepost', 'm9999_later', '')")
    for words in (["serve"], ["order", "list"]):
        assert "made by a newer version" in one_line(relay.run(*words, check=2))


@pytest.mark.parametrize("content", [b"not a database at all, but long enough to look at" * 40, b""])
def test_a_file_that_is_no_ledger(tmp_path: Path, content: bytes) -> None:
    relay = Relay(tmp_path)
    relay.order()
    (tmp_path / "var" / "ledger.db").write_bytes(content)
    (tmp_path / "var" / "ledger.db-wal").unlink(missing_ok=True)
    if content:
        assert "not a ledger of Tradepost" in one_line(relay.run("order", "list", check=2))
    else:
        assert relay.json("order", "list") == []


def test_a_revealed_address_is_on_record(tmp_path: Path) -> None:
    relay = Relay(tmp_path)
    relay.order()
    assert SELLER not in relay.run("address", "list", "S1")
    assert relay.json("address", "reveal", "S1")[0]["address"] == SELLER
    with sqlite3.connect(tmp_path / "var" / "ledger.db") as db:
        assert db.execute("SELECT count(*) FROM event WHERE name = 'reveal'").fetchone() == (1,)
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            db.execute("DELETE FROM event")


def test_nothing_readable_at_rest(tmp_path: Path) -> None:
    relay = Relay(tmp_path)
    relay.order()
    for path in (tmp_path / "var").rglob("*"):
        if path.is_file():
            content = path.read_bytes().lower()
            assert SELLER.encode() not in content
            assert BUYER.encode() not in content
            assert b"tienda sol" not in content
            assert path.stat().st_mode & 0o077 == 0, path
