"""DKIM keys: states that follow from times, the ring that keeps them, and the commands."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support import Relay

from relay.dkim import RETIRING, WAIT, Algorithm, KeyState, make_pair, records, signing, state
from relay.errors import KeyRingFileError, UsageError
from relay.keys import Keys
from relay.ledger.opened import Opened, open_ledger
from relay.ledger.ring import activate_dkim, ensure_dkim, rotate_dkim
from relay.sign import dkim_records

DAY = timedelta(days=1)
NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
DOMAIN = "relay.example"


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    return open_ledger(tmp_path / "ledger.db", tmp_path / "keys")


def states(opened: Opened, at: datetime) -> dict[str, KeyState]:
    keys = opened.keys.dkim
    return {key.selector: state(key, keys, at) for key in keys}


def test_selectors_tell_the_day_and_the_algorithm_and_never_meet() -> None:
    first = make_pair(DOMAIN, NOW, (), signs_from=NOW)
    second = make_pair(DOMAIN, NOW, [key.selector for key in first], signs_from=NOW)
    assert [key.selector for key in (*first, *second)] == ["tp20261124r", "tp20261124e", "tp20261124r2", "tp20261124e2"]


def test_a_key_goes_through_its_states_by_the_clock_alone(opened: Opened) -> None:
    rotate_dkim(opened, [DOMAIN], NOW)
    assert set(states(opened, NOW).values()) == {KeyState.SIGNING}, "the first pair has nothing to wait for"
    later = NOW + 100 * DAY
    rotate_dkim(opened, [DOMAIN], later)
    old, new = [f"tp20261124{kind}" for kind in "re"], [f"tp20270304{kind}" for kind in "re"]
    changeover = later + WAIT
    for at, of_old, of_new in ((later, KeyState.SIGNING, KeyState.PUBLISHED),
                               (changeover - DAY, KeyState.SIGNING, KeyState.PUBLISHED),
                               (changeover, KeyState.RETIRING, KeyState.SIGNING),
                               (changeover + RETIRING - DAY, KeyState.RETIRING, KeyState.SIGNING),
                               (changeover + RETIRING, KeyState.RETIRED, KeyState.SIGNING)):
        assert states(opened, at) == dict.fromkeys(old, of_old) | dict.fromkeys(new, of_new)
        published = {name.partition(".")[0] for name, _ in dkim_records(opened.keys, DOMAIN, at)}
        assert published == {*new, *(old if of_old is not KeyState.RETIRED else ())}
        expected = new if of_new is KeyState.SIGNING else old
        assert [key.selector for key in signing(opened.keys.dkim, DOMAIN, at)] == expected


def test_activation_ends_the_wait(opened: Opened) -> None:
    rotate_dkim(opened, [DOMAIN], NOW)
    assert activate_dkim(opened, [DOMAIN], NOW) == []
    rotate_dkim(opened, [DOMAIN], NOW + DAY)
    with pytest.raises(UsageError, match="--activate"):
        rotate_dkim(opened, [DOMAIN], NOW + DAY)
    assert len(activate_dkim(opened, [DOMAIN], NOW + DAY)) == 2
    assert [key.selector for key in signing(opened.keys.dkim, DOMAIN, NOW + DAY)] == ["tp20261125r", "tp20261125e"]


def test_the_next_rotation_forgets_what_is_retired_and_no_more(opened: Opened) -> None:
    for day in (0, 20, 40):
        rotate_dkim(opened, [DOMAIN], NOW + day * DAY)
    assert {key.selector[2:10] for key in opened.keys.dkim} == {"20261214", "20270103"}


def test_domains_are_rotated_apart(opened: Opened) -> None:
    ensure_dkim(opened, [DOMAIN, "other.example"])
    before = opened.keys.dkim
    ensure_dkim(opened, [DOMAIN, "other.example"])
    assert opened.keys.dkim == before
    now = datetime.now(UTC)
    rotate_dkim(opened, ["other.example"], now)
    assert len(records(opened.keys.dkim, DOMAIN, now)) == 2
    assert len(records(opened.keys.dkim, "other.example", now)) == 4


def test_the_ring_brings_them_back_and_another_process_sees_a_new_one(opened: Opened, tmp_path: Path) -> None:
    other = Keys(tmp_path / "keys")
    rotate_dkim(opened, [DOMAIN], NOW)
    assert other.refresh()
    assert other.dkim == opened.keys.dkim
    assert other.dkim[0].secret.hex() not in repr(other.dkim)
    assert "dkim" in json.loads((tmp_path / "keys").read_text())


def test_rotating_the_ring_leaves_them(opened: Opened) -> None:
    rotate_dkim(opened, [DOMAIN], NOW)
    before = opened.keys.dkim
    with opened.transaction():
        opened.keys.rotate()
    assert opened.keys.dkim == before


@pytest.mark.parametrize("change", [{"algorithm": "dsa"}, {"secret": "zz"}, {"made": "2026-11-24T09:00:00"}])
def test_a_spoilt_key_is_a_spoilt_ring(opened: Opened, tmp_path: Path, change: dict[str, str]) -> None:
    rotate_dkim(opened, [DOMAIN], NOW)
    document = json.loads((tmp_path / "keys").read_text())
    document["dkim"][0] |= change
    (tmp_path / "keys").write_text(json.dumps(document))
    with pytest.raises(KeyRingFileError, match="not a key ring"):
        Keys(tmp_path / "keys")


def test_the_records_hold_the_public_keys(opened: Opened) -> None:
    rotate_dkim(opened, [DOMAIN], NOW)
    (rsa, text), (edwards, short) = dkim_records(opened.keys, DOMAIN, NOW)
    assert (rsa, edwards) == (f"tp20261124r._domainkey.{DOMAIN}", f"tp20261124e._domainkey.{DOMAIN}")
    assert text.startswith("v=DKIM1; k=rsa; p=MIIBIjANBgkq")
    assert short.startswith("v=DKIM1; k=ed25519; p=")
    assert len(short.partition("p=")[2]) == 44
    assert opened.keys.dkim[1].algorithm is Algorithm.ED25519


def test_the_commands(tmp_path: Path) -> None:
    relay = Relay(tmp_path, {"relay": {"domains": ["relay.example", "segundo.example"]}})
    first = relay.json("key", "list", "--dkim")
    assert [(one["domain"], one["algorithm"], one["state"]) for one in first] == [
        (domain, kind, "signing") for domain in ("relay.example", "segundo.example") for kind in ("rsa", "ed25519")]
    made = relay.json("key", "rotate", "--dkim", "--domain", "segundo.example")
    assert [one["name"].partition(".")[2] for one in made] == ["_domainkey.segundo.example"] * 2
    assert [one["txt"][:14] for one in made] == ["v=DKIM1; k=rsa", "v=DKIM1; k=ed2"]
    assert [one["state"] for one in relay.json("key", "list", "--dkim")] == ["signing"] * 4 + ["published"] * 2
    assert "--activate" in relay.run("key", "rotate", "--dkim", check=2)
    assert "signs from now on" in relay.run("key", "rotate", "--dkim", "--activate")
    assert [one["state"] for one in relay.json("key", "list", "--dkim")] == [
        "signing", "signing", "retiring", "retiring", "signing", "signing"]
    assert "no DKIM key waits" in relay.run("key", "rotate", "--dkim", "--activate", check=1)
    relay.run("key", "rotate", "--dkim", "--domain", "foreign.example", check=2)
    relay.run("key", "rotate", "--activate", check=2)
    assert "BEGIN" not in relay.run("key", "list", "--dkim")
