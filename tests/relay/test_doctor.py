"""`tradepost doctor`: right on a sound installation; each fault, made for real where that can be, is named."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trustme
from operating import logged, until
from support import Relay

from relay.config import Config, load
from relay.doctor import machine, service, zone
from relay.zone.finding import Finding, Level, right, unknown, warning, wrong
from relay.zone.plan import plan_of

Start = Callable[..., Awaitable[Relay]]
NOW = datetime.now(UTC)


def faults(found: list[Finding]) -> list[str]:
    return [one.fault for one in found if one.fault]


async def test_a_sound_installation_and_then_a_stopped_one(start_relay: Start) -> None:
    relay = await start_relay()
    relay.config["listen"]["mx"] = f"127.0.0.1:{relay.port}"
    relay.write_config()
    relay.order()
    found = relay.json("doctor", "--no-dns")
    assert {one["level"] for one in found} <= {"right", "warning"}, found
    about = " ".join(one["about"] for one in found if one["level"] == "right")
    for place in ("configuration", "var/keys", "queue", "listen.mx", "files"):
        assert place in about, found
    assert relay.process
    assert f"process {relay.process.pid} may open" in json.dumps(found)
    await relay.stop()
    said = relay.run("doctor", "--no-dns", check=1)
    assert "listener-closed" in said
    assert "systemctl status" in said


def test_a_wrong_configuration_is_a_finding(tmp_path: Path) -> None:
    relay = Relay(tmp_path, {"outbound": {"route": "carrier pigeon"}})
    said = relay.run("doctor", "--no-dns", check=1)
    assert "outbound.route" in said
    assert "Traceback" not in said


def test_before_the_first_start_nothing_is_made(tmp_path: Path) -> None:
    Relay(tmp_path, {"listen": {"mx": "127.0.0.1:9"}}).run("doctor", "--no-dns", check=1)
    assert not (tmp_path / "var").exists()


def installed(folder: Path, **sections: Any) -> Config:
    """An installation that was never started but has a ledger and a key ring."""
    relay = Relay(folder, sections)
    relay.order()
    return load(relay.file)


def test_a_key_ring_that_others_may_read(tmp_path: Path) -> None:
    config = installed(tmp_path)
    assert faults(list(service.key_ring(config, NOW))) == []
    assert faults(list(service.key_ring(config, NOW + timedelta(days=800)))) == ["key-old"]
    config.key_ring.chmod(0o644)
    found = list(service.key_ring(config, NOW))
    assert faults(found) == ["key-ring"]
    assert "chmod" in found[0].what


@pytest.mark.parametrize(("names", "days", "expected"), [
    (["relay.example"], 90, []),
    (["*.example"], 90, []),
    (["www.example"], 90, ["certificate-name"]),
    (["relay.example"], 5, ["certificate-expires"]),
    (["relay.example"], -1, ["certificate-expired"]),
])
def test_the_certificate(tmp_path: Path, names: list[str], days: float, expected: list[str]) -> None:
    pair = trustme.CA().issue_cert(*names, not_before=NOW - timedelta(days=100), not_after=NOW + timedelta(days=days))
    file = tmp_path / "pair.pem"
    pair.private_key_and_cert_chain_pem.write_to_path(file)
    certificate = tmp_path / "certificate.pem"
    pair.cert_chain_pems[0].write_to_path(certificate)
    config = Config(relay={"hostname": "relay.example"}, tls={"certificate": str(certificate), "key": str(file)})
    file.chmod(0o640)
    assert faults(list(service.certificate(config, plan_of(config), NOW))) == expected
    file.chmod(0o644)
    assert faults(list(service.certificate(config, plan_of(config), NOW))) == ["certificate-key-open", *expected]


def test_a_certificate_without_its_key_and_one_of_our_own(tmp_path: Path) -> None:
    config = Config(tls={"certificate": str(tmp_path / "a.pem"), "key": str(tmp_path / "b.pem")})
    assert faults(list(service.certificate(config, plan_of(config), NOW))) == ["certificate-unusable"]
    assert faults(list(service.certificate(Config(), plan_of(Config()), NOW))) == ["certificate-own"]


@pytest.mark.parametrize(("blocks", "inodes", "expected"), [
    (0.5, 0.5, []), (0.04, 0.5, ["disk-low"]), (0.005, 0.5, ["disk-full"]), (0.5, 0.03, ["inodes-low"]),
])
def test_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blocks: float, inodes: float,
                  expected: list[str]) -> None:
    total = 2**28
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(
        f_bavail=int(total * blocks), f_frsize=4096, f_blocks=total, f_files=1000, f_favail=int(1000 * inodes)))
    assert faults(list(machine.disk(tmp_path))) == expected


def test_a_clock_from_before_the_installation() -> None:
    assert "clock-behind" not in faults(list(machine.clock(NOW)))
    assert "clock-behind" in faults(list(machine.clock(datetime(2001, 1, 1, tzinfo=UTC))))


def test_mail_that_waits_too_long(tmp_path: Path) -> None:
    config = installed(tmp_path)
    assert faults(list(service.queue(config, NOW))) == []
    config.ledger_path.write_bytes(b"not a ledger any more" * 100)
    assert faults(list(service.queue(config, NOW))) == ["ledger"]


async def test_a_delivery_that_waits_and_a_clock_that_was_set_back(start_relay: Start) -> None:
    relay = await start_relay()  # its smarthost does not answer
    order = relay.order()
    await relay.send("sol@tienda.example", order["buyer"]["alias"],
                     b"From: sol@tienda.example\r\nSubject: Hola\r\n\r\nHola\r\n")
    found = list(service.queue(load(relay.file), datetime.now(UTC) + timedelta(hours=5)))
    assert faults(found) == ["queue-old"]
    assert "1 wait, the oldest for 5:00" in found[0].what
    assert faults(list(service.ledger_time(load(relay.file), datetime.now(UTC)))) == []
    past = datetime.now(UTC) - timedelta(days=1)
    assert faults(list(service.ledger_time(load(relay.file), past))) == ["clock-and-ledger"]


def test_too_few_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config(ledger={"url": f"sqlite:///{tmp_path}/none.db"})
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    assert faults(list(machine.descriptors(config))) == ["files-few"]
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, resource.RLIM_INFINITY))
    assert faults(list(machine.descriptors(config))) == []


@pytest.mark.parametrize(("found", "level"), [
    ([right("a", "b")], Level.RIGHT),
    ([right("a", "b"), warning("a", "b", "c", "d")], Level.WARNING),
    ([warning("a", "b", "c", "d"), unknown("a", "b")], Level.UNKNOWN),
    ([unknown("a", "b"), wrong("a", "mx-missing", "c", "d")], Level.WRONG),
])
def test_the_zone_in_one_line(found: list[Finding], level: Level) -> None:
    line = zone(found)
    assert line.level is level
    assert level is not Level.WRONG or "mx-missing" in line.what


@pytest.mark.parametrize(("listen", "policy", "named"), [
    ({}, {"authentication": "observe"}, []),
    ({"mx": "0.0.0.0:2525"}, {}, []),
    ({"mx": "0.0.0.0:2525"}, {"authentication": "observe"}, ["policy.authentication"]),
    ({"lmtp": "127.0.0.1:2424"}, {"authentication": "observe"}, ["policy.authentication"]),
    ({"xforward_from": ["192.0.2.1"]}, {"authentication_domains": {"tienda.example": "observe", "correo.example": "require"}},
     ["policy.authentication_domains.tienda.example"])])
def test_who_lets_strangers_write_is_warned(listen: dict[str, Any], policy: dict[str, Any], named: list[str]) -> None:
    found = list(service.authentication(Config(listen=listen, policy=policy)))
    assert [one.about for one in found if one.fault == "only-observed"] == named
    assert {one.level for one in found} == ({Level.WARNING} if named else {Level.RIGHT})


async def test_the_daemon_warns_of_it_at_its_start(start_relay: Start) -> None:
    relay = await start_relay(listen={"lmtp": "127.0.0.1:0"}, policy={"authentication": "observe"})
    [warned] = await until(lambda: logged(relay, "only-observed"))
    assert (warned["level"], warned["keys"]) == ("warning", ["policy.authentication"])
