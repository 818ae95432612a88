"""What an operator and systemd do with the running daemon, through its sockets, signals and log."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import pytest
from fail2ban import banned
from load import Load
from operating import children, logged, page, reload, series, until, watched
from prometheus_client.parser import text_string_to_metric_families
from support import SELLER, TRADEPOST, Relay, message

from relay import metrics
from relay.demo.outside import OutsideServer

ROOT = Path(__file__).parents[2]
Start = Callable[..., Awaitable[Relay]]


class Systemd:
    """A notification socket, and what came on it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.socket.setblocking(False)
        self.heard: list[str] = []

    def listen(self) -> list[str]:
        while True:
            try:
                self.heard.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return self.heard

    def pings(self) -> int:
        return self.listen().count("WATCHDOG=1")


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Systemd]:
    made = Systemd(tmp_path)
    inherited = Relay.environment
    monkeypatch.setattr(Relay, "environment", lambda self: inherited(self) | {
        "NOTIFY_SOCKET": str(made.path), "WATCHDOG_USEC": "600000"})
    yield made
    made.socket.close()


# -- metrics and health --------------------------------------------------------------------------------------


async def test_metrics_count_what_all_processes_did(start_relay: Start, outside: OutsideServer) -> None:
    relay = await start_relay(**watched(outside, relay={"workers": 2}, policy={"rate_base": 10**9}))
    alias = relay.order()["buyer"]["alias"]
    load = Load(relay.port, SELLER, alias, sessions=4, limit=40)
    await load.run()
    await outside.wait_for(40)
    assert (await relay.send("stranger@x.example", alias, message("stranger@x.example", alias)))[0] == 550
    assert (await relay.send(SELLER, "forged@relay.example", message(SELLER, alias)))[0] == 550
    await until(lambda: series(relay)["tradepost_attempts_total", "delivered"] == 40)
    found = series(relay)
    assert found["tradepost_accepted_total", "to-buyer"] == 40
    assert found["tradepost_refused_total", "authorised"] == 1
    assert found["tradepost_rcpt_refused_total", "550 5.1.1"] == 1
    assert found["tradepost_delivery_seconds_count",] == 40
    assert found["tradepost_workers",] == found["tradepost_workers_configured",] == 2
    assert found["tradepost_ledger_writes_total",] >= 81
    assert found["tradepost_ledger_writes_total",] >= found["tradepost_ledger_commits_total",] > 0
    assert found["tradepost_accepted_bytes_total",] > 40 * 1000
    assert found["tradepost_certificate_expires_timestamp_seconds",] > time.time()
    families = {one.name + ("_total" if one.type == "counter" else "")
                for one in text_string_to_metric_families(page(relay, "/metrics")[1])}
    assert families == metrics.names()
    assert SELLER not in page(relay, "/metrics")[1]


async def test_the_queue_is_told_by_state_and_age(start_relay: Start, outside: OutsideServer) -> None:
    relay = await start_relay(**watched(outside) | {"outbound": {"route": "smtp://127.0.0.1:9", "retry": ["1h"]}})
    alias = relay.order()["buyer"]["alias"]
    for number in range(2):
        await relay.send(SELLER, alias, message(SELLER, alias, f"n{number}"))
    waiting = [("tradepost_queue_depth", "queued"), ("tradepost_queue_depth", "deferred")]
    found = await until(lambda: (now := series(relay))[waiting[1]] and sum(map(now.get, waiting)) == 2 and now)
    assert found["tradepost_queue_oldest_seconds",] > 0
    assert found["tradepost_attempts_total", "deferred"] == found[waiting[1]]
    relay.run("queue", "hold", "--all")
    found = await until(lambda: (now := series(relay))["tradepost_queue_depth", "held"] == 2 and now)
    assert sum(found[one] for one in waiting) == 0
    assert found["tradepost_queue_oldest_seconds",] == 0


async def test_a_process_that_hangs_is_seen(start_relay: Start, outside: OutsideServer) -> None:
    relay = await start_relay(**watched(outside, relay={"workers": 2}))
    await until(lambda: page(relay, "/readyz") == (200, "ready\n"))
    assert page(relay, "/healthz") == (200, "ok\n")
    os.kill(children(relay)[1], signal.SIGSTOP)
    try:
        assert page(relay, "/readyz") == (503, "worker 1: does not answer\n")
        assert page(relay, "/healthz")[0] == 503
        assert series(relay)["tradepost_workers",] == 1
    finally:
        os.kill(children(relay)[1], signal.SIGCONT)
    await until(lambda: page(relay, "/readyz")[0] == 200)


async def test_a_ledger_that_cannot_be_written_makes_it_unready(start_relay: Start, outside: OutsideServer) -> None:
    relay = await start_relay(**watched(outside))
    with (relay.folder / "var/ledger.turn").open("a") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        status, text = await asyncio.to_thread(page, relay, "/readyz")
        assert (status, text) == (503, "ledger: cannot be written (TimeoutError)\n")
        assert page(relay, "/healthz")[0] == 200  # a restart would not help
    await until(lambda: page(relay, "/readyz")[0] == 200)


# -- systemd -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
async def test_ready_when_all_listen_and_pinged_while_all_live(start_relay: Start, systemd: Systemd,
                                                               workers: int) -> None:
    relay = await start_relay(relay={"workers": workers})
    await until(lambda: systemd.pings() > 1)
    assert systemd.heard[0] == "READY=1"
    assert systemd.heard.count("READY=1") == 1
    assert len(logged(relay, "listening")) == workers
    await relay.stop()
    assert systemd.listen()[-1] == "STOPPING=1"


async def silence(systemd: Systemd) -> bool:
    """Whether there comes to be no ping for twice as long as the watchdog would wait."""
    for _ in range(10):
        before = systemd.pings()
        await asyncio.sleep(1.2)
        if systemd.pings() == before:
            return True
    return False


async def test_no_ping_while_the_writer_hangs(start_relay: Start, systemd: Systemd) -> None:
    relay = await start_relay()
    alias = relay.order()["buyer"]["alias"]
    await until(lambda: systemd.pings() > 1)
    with (relay.folder / "var/ledger.turn").open("a") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        sending = asyncio.create_task(relay.send(SELLER, alias, message(SELLER, alias)))
        assert await silence(systemd)
    assert (await sending)[0] == 250
    before = systemd.pings()
    await until(lambda: systemd.pings() > before)


async def test_no_ping_while_a_worker_hangs(start_relay: Start, systemd: Systemd) -> None:
    relay = await start_relay(relay={"workers": 2})
    await until(lambda: systemd.pings() > 1)
    os.kill(children(relay)[1], signal.SIGSTOP)
    try:
        assert await silence(systemd)
    finally:
        os.kill(children(relay)[1], signal.SIGCONT)
    before = systemd.pings()
    await until(lambda: systemd.pings() > before)


AS_SYSTEMD = """
import os, sys
sockets, names, *words = sys.argv[1:]
copies = [os.dup2(int(fd), 100 + number) for number, fd in enumerate(sockets.split(","))]
for number, fd in enumerate(copies, 3):
    os.dup2(fd, number)
os.closerange(3 + len(copies), 200)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(copies)), "LISTEN_FDNAMES": names}
os.execv(words[0], words)
"""


def activated(relay: Relay, sockets: Sequence[socket.socket], names: str) -> None:
    """Start the daemon as systemd would: the sockets are descriptors from 3 on, the variables name its pid."""
    numbers = [sock.fileno() for sock in sockets]
    with relay.log.open("ab") as log:
        relay.process = subprocess.Popen(
            [sys.executable, "-c", AS_SYSTEMD, ",".join(map(str, numbers)), names, str(TRADEPOST), "serve", "-c",
             str(relay.file)], stderr=log, stdout=log, pass_fds=numbers, env=relay.environment(), cwd=relay.folder)


@pytest.fixture
async def stopped_relay(tmp_path: Path, outside: OutsideServer) -> AsyncIterator[Relay]:
    relay = Relay(tmp_path, watched(outside, policy={"rate_base": 10**9}))
    yield relay
    await relay.stop()


@pytest.mark.parametrize(("workers", "count"), [(1, 1), (2, 1), (2, 2)])
async def test_listens_on_the_sockets_that_systemd_opened(stopped_relay: Relay, outside: OutsideServer, workers: int,
                                                          count: int) -> None:
    relay = stopped_relay
    relay.config["relay"]["workers"] = workers
    relay.config["listen"]["mx"] = "127.0.0.1:1"  # would fail, was it opened
    relay.write_config()
    first = socket.create_server(("127.0.0.1", 0), reuse_port=True)
    port = first.getsockname()[1]
    more = [socket.create_server(("127.0.0.1", port), reuse_port=True) for _ in range(count - 1)]
    machines = socket.create_server(("127.0.0.1", 0))
    sockets = [first, *more, machines]
    activated(relay, sockets, ":".join(["mx"] * count + ["metrics"]))
    where = machines.getsockname()
    for sock in sockets:
        sock.close()
    await relay.listening(0)
    assert relay.port == port
    load = Load(port, SELLER, relay.order()["buyer"]["alias"], sessions=8, limit=24)
    await load.run()
    assert len(load.accepted) == 24
    await until(lambda: page(relay, "/readyz")[0] == 200)
    assert f"127.0.0.1:{where[1]}" in [line["where"] for line in logged(relay, "listening")]


@pytest.mark.parametrize(("names", "listening", "said"), [
    ("imap", True, "FileDescriptorName=imap"), ("mx", False, "does not listen on TCP")])
async def test_a_socket_that_is_of_no_use_is_named(stopped_relay: Relay, names: str, listening: bool,
                                                   said: str) -> None:
    sock = socket.create_server(("127.0.0.1", 0)) if listening else socket.socket()
    activated(stopped_relay, [sock], names)
    sock.close()
    assert stopped_relay.process
    assert await asyncio.to_thread(stopped_relay.process.wait, 15) == 2
    assert said in stopped_relay.log.read_text()


def test_the_unit_is_hardened() -> None:
    assert shutil.which("systemd-analyze"), "install Debian's package systemd"
    done = subprocess.run(["systemd-analyze", "security", "--offline=yes", "--no-pager",
                           str(ROOT / "systemd/tradepost.service")], capture_output=True, text=True)
    level = re.search(r"Overall exposure level for tradepost.service: ([\d.]+)", done.stdout)
    assert level, done.stderr
    assert float(level.group(1)) <= 1.5


def test_the_units_are_understood(tmp_path: Path) -> None:
    for name in ("tradepost.service", "tradepost.socket"):
        text = (ROOT / "systemd" / name).read_text().replace("/opt/tradepost/bin/tradepost", str(TRADEPOST))
        (tmp_path / name).write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", str(tmp_path / "tradepost.service"),
                           str(tmp_path / "tradepost.socket")], capture_output=True, text=True)
    assert "tradepost" not in done.stderr, done.stderr


async def test_systemd_hears_when_a_reload_begins_and_ends(start_relay: Start, systemd: Systemd) -> None:
    relay = await start_relay()
    await until(lambda: systemd.pings() > 0)
    await reload(relay)
    said = [one for one in systemd.listen() if one != "WATCHDOG=1"]
    assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", said[1])
    assert said[2:] == ["READY=1"]


# -- stop, log, core dumps -----------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_stop_under_load_ends_within_ten_seconds_and_loses_nothing(start_relay: Start, outside: OutsideServer,
                                                                           workers: int) -> None:
    relay = await start_relay(**watched(outside, relay={"workers": workers}, policy={"rate_base": 10**9}))
    load = Load(relay.port, SELLER, relay.order()["buyer"]["alias"], sessions=20, limit=10**9)
    running = asyncio.create_task(load.run())
    await until(lambda: len(load.accepted) > 50)
    begun = time.monotonic()
    assert await relay.stop() == 0
    assert time.monotonic() - begun < 10
    load.stop = True
    await running
    await relay.start()
    # more may arrive than were known to be accepted: the answer to some was cut off
    await until(lambda: load.accepted <= {found.group(1).decode() for one in list(outside.arrived)
                                          if (found := re.search(rb"(?m)^Subject: (m\d+)\r?$", one.raw))}, 30)


async def test_nothing_but_the_log_is_written_and_that_to_standard_error(tmp_path: Path) -> None:
    relay = Relay(tmp_path, {"log": {"format": "json"}})
    with (tmp_path / "out").open("wb") as out, relay.log.open("wb") as err:
        relay.process = subprocess.Popen([str(TRADEPOST), "serve", "-c", str(relay.file)], stdout=out, stderr=err,
                                         env=relay.environment(), cwd=tmp_path)
    await relay.listening(0)
    await relay.stop()
    assert (tmp_path / "out").read_bytes() == b""
    assert all(json.loads(line)["event"] for line in relay.log.read_text().splitlines())


@pytest.mark.parametrize("style", ["json", "console"])
async def test_fail2ban_reads_the_daemons_own_lines(start_relay: Start, style: str, tmp_path: Path) -> None:
    relay = Relay(tmp_path, {"log": {"format": style}})
    with relay.log.open("wb") as err:
        relay.process = subprocess.Popen([str(TRADEPOST), "serve", "-c", str(relay.file)], stdout=err, stderr=err,
                                         env=relay.environment(), cwd=tmp_path)
    try:
        found = await until(lambda: re.search(r"127\.0\.0\.1:(\d+)", relay.log.read_text()))
        with socket.create_connection(("127.0.0.1", int(found.group(1))), timeout=20) as client:
            client.recv(1000)
            client.sendall(b"RUBBISH\r\n" * 30)
            while client.recv(1000):
                pass
        await until(lambda: "client-abuse" in relay.log.read_text())
        assert {banned(line) for line in relay.log.read_text().splitlines()} == {None, "127.0.0.1"}
    finally:
        await relay.stop()


def test_no_core_dumps() -> None:
    code = ("import ctypes, resource; from relay.processes import no_core_dumps; no_core_dumps(); "
            "print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3))")  # PR_GET_DUMPABLE
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "(0, 0) 0\n", done.stderr


async def test_the_daemon_has_no_core_dumps(start_relay: Start) -> None:
    relay = await start_relay()
    assert relay.process
    limits = Path(f"/proc/{relay.process.pid}/limits").read_text()
    assert re.search(r"Max core file size +0 +0 ", limits)
