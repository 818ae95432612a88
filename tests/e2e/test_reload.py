"""SIGHUP: what changes without a session dropped, and what does not."""

from __future__ import annotations

import asyncio
import signal
import smtplib
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from operating import children, logged, reload, series, until, watched
from support import BUYER, SELLER, Relay, message

from relay.demo.outside import OutsideServer
from relay.tls import make_certificate

Start = Callable[..., Awaitable[Relay]]


def certificate(relay: Relay) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with smtplib.SMTP("127.0.0.1", relay.port, local_hostname="c.example", timeout=20) as client:
        client.starttls(context=context)
        found = client.sock.getpeercert(binary_form=True)  # type: ignore[union-attr]
        assert found
        return bytes(found)


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_session_lives_through_a_reload_and_goes_by_the_new_settings(start_relay: Start, outside: OutsideServer,
                                                                             workers: int) -> None:
    relay = await start_relay(**watched(outside, relay={"workers": workers}))
    alias = relay.order()["buyer"]["alias"]
    with smtplib.SMTP("127.0.0.1", relay.port, local_hostname="c.example", timeout=20) as client:
        client.ehlo()
        assert client.mail(SELLER)[0] == 250
        relay.config["policy"] = {"max_recipients": 1}
        relay.write_config()
        told = await reload(relay, count=workers)
        assert {one["changed"] for one in told} == {"policy.max_recipients"}
        assert client.rcpt(alias)[0] == 250
        assert client.rcpt(alias)[0] == 452
        assert client.data(message(SELLER, alias))[0] == 250
    await outside.wait_for(1, BUYER)


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_reload_while_it_starts_is_not_lost(tmp_path: Path, workers: int) -> None:
    relay = Relay(tmp_path, {"relay": {"workers": workers}})
    with relay.log.open("ab") as log:
        daemon = relay.popen("serve", stdout=log, stderr=log)
    await until((tmp_path / "var" / "ledger.lock").exists)
    daemon.send_signal(signal.SIGHUP)
    await until(lambda: len(logged(relay, "reloaded")) == workers)
    daemon.terminate()
    assert await asyncio.to_thread(daemon.wait, 20) == 0


async def test_a_new_certificate_is_shown_without_a_restart(start_relay: Start) -> None:
    relay = await start_relay()
    before = await asyncio.to_thread(certificate, relay)
    for name in ("certificate.pem", "key.pem"):
        (relay.folder / "var/tls" / name).unlink()
    make_certificate(relay.folder / "var/tls/certificate.pem", relay.folder / "var/tls/key.pem", "relay.example")
    assert await asyncio.to_thread(certificate, relay) == before
    await reload(relay)
    assert await asyncio.to_thread(certificate, relay) != before


@pytest.mark.parametrize("text", ["a = " + "[" * 5000, "[limits]\nconnections = " + "9" * 5000,
                                  "[policy]\nreply_window = inf", '[outbound]\nretry = ["999999999d"]'])
async def test_a_file_that_confuses_its_reader_is_refused_as_well(start_relay: Start, outside: OutsideServer,
                                                                  text: str) -> None:
    relay = await start_relay(**watched(outside))
    relay.file.write_text(text)
    [refused] = await reload(relay, "reload-refused")
    assert refused["problem"].startswith("tradepost.toml:")
    assert (await asyncio.to_thread(series, relay))[("tradepost_reload_refused",)] == 1
    assert relay.run("check", check=2).startswith("tradepost.toml:")


async def test_a_key_ring_that_others_can_read_is_told_until_it_is_mended(start_relay: Start,
                                                                          outside: OutsideServer) -> None:
    relay = await start_relay(**watched(outside))
    ring = relay.folder / "var/keys"
    ring.chmod(0o644)
    await until(lambda: series(relay)[("tradepost_key_ring_failed",)] == 1)
    for _ in range(2):
        [refused] = await reload(relay, "reload-refused")
        assert "chmod 600" in refused["problem"]
    ring.chmod(0o600)
    await until(lambda: series(relay)[("tradepost_key_ring_failed",)] == 0)
    await reload(relay)


async def test_a_configuration_with_errors_changes_nothing(start_relay: Start, outside: OutsideServer) -> None:
    relay = await start_relay(**watched(outside))
    relay.config["policy"] = {"max_recipients": 1, "order_pattern": "("}
    relay.config["log"]["level"] = "loud"
    relay.write_config()
    told = await reload(relay, "reload-refused", 2)
    assert {one["problem"].split(": ")[1] for one in told} == {"policy.order_pattern", "log.level"}
    assert series(relay)["tradepost_reload_refused",] == 1
    with smtplib.SMTP("127.0.0.1", relay.port, local_hostname="c.example", timeout=20) as client:
        assert b"SIZE" in client.ehlo()[1]
    del relay.config["policy"]["order_pattern"]
    relay.config["log"]["level"] = "info"
    (relay.folder / "var/tls/key.pem").write_text("no key")
    relay.write_config()
    told = await reload(relay, "reload-refused")
    assert "PEM" in told[-1]["problem"]
    assert relay.process
    assert relay.process.poll() is None
    assert not logged(relay, "reloaded")


async def test_keys_that_need_a_restart_are_named(start_relay: Start) -> None:
    relay = await start_relay()
    relay.config["relay"]["workers"] = 2
    relay.config["log"]["level"] = "warning"
    relay.write_config()
    assert relay.process
    relay.process.send_signal(signal.SIGHUP)
    # the line about what changed is below the new level
    assert (await until(lambda: logged(relay, "restart-needed")))[0]["keys"] == "relay.workers"
    assert not logged(relay, "reloaded")
    assert children(relay) == []


async def test_mail_takes_the_new_way_out_at_once(start_relay: Start, outside: OutsideServer) -> None:
    relay = await start_relay(**watched(outside))
    other = OutsideServer()
    await other.start()
    try:
        alias = relay.order()["buyer"]["alias"]
        await relay.send(SELLER, alias, message(SELLER, alias, "old way"))
        await outside.wait_for(1)  # the connection to it stays open for a while
        relay.config["outbound"]["route"] = f"smtp://127.0.0.1:{other.port}"
        relay.write_config()
        await reload(relay)
        await relay.send(SELLER, alias, message(SELLER, alias, "new way"))
        assert b"new way" in (await other.wait_for(1))[0].raw
        assert len(outside.arrived) == 1
    finally:
        await relay.stop()
        await other.stop()


async def test_a_key_made_meanwhile_seals_and_the_old_one_opens(start_relay: Start, outside: OutsideServer) -> None:
    relay = await start_relay(**watched(outside))
    old = relay.order()["buyer"]["alias"]
    relay.run("key", "rotate")
    await reload(relay)
    new = relay.order("222-2222222-2222222", buyer="B2", buyer_address="eva@correo.example")["buyer"]["alias"]
    for alias in (old, new):
        assert (await relay.send(SELLER, alias, message(SELLER, alias)))[0] == 250
