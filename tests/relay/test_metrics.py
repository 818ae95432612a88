"""Metrics and what is written about them; the pages for machines; what systemd hands over; what a reload may change."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from fail2ban import banned
from prometheus_client.parser import text_string_to_metric_families

from relay import http, log, maillog, metrics, reload, systemd
from relay.config import Config

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/operations.md").read_text()
DASHBOARD = json.loads((ROOT / "conf/grafana-dashboard.json").read_text())
ALERTS = [rule for group in yaml.safe_load((ROOT / "conf/prometheus-alerts.yml").read_text())["groups"]
          for rule in group["rules"]]


def named(expression: str) -> set[str]:
    """The metrics in a query; of a histogram the name without its suffix."""
    return {re.sub(r"^(tradepost_delivery_seconds)_(bucket|count|sum)$", r"\1", name)
            for name in re.findall(r"\btradepost_\w+", expression)}


def test_the_page_explains_every_metric_and_no_other() -> None:
    table = PAGE.partition("\n## Metrics\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"(?m)^\| `(tradepost_\w+)` \|", table)) == metrics.names()


def test_the_dashboard_shows_every_metric_and_no_other() -> None:
    shown = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    assert set().union(*map(named, shown)) == metrics.names()


def test_the_dashboards_panels_do_not_overlap() -> None:
    cells = [(x, y) for panel in DASHBOARD["panels"] for at in [panel["gridPos"]]
             for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_alert_rules_ask_for_metrics_that_exist(rule: dict[str, object]) -> None:
    assert named(str(rule["expr"])) <= metrics.names()
    assert str(rule["expr"]).count("(") == str(rule["expr"]).count(")")
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}


def test_series_of_several_processes_add_up() -> None:
    own = metrics.measured(metrics.OWN, {"tradepost_sessions_open": 3, "tradepost_ledger_commits": 5})
    told = json.loads(json.dumps([[family.name, family.type, family.documentation, [list(one[:3]) for one in family.samples]]
                                  for family in own]))
    shared = metrics.measured(metrics.SHARED, {"tradepost_queue_depth": {("state", "held"): 2.0}})
    text = metrics.render([*metrics.merge([told, told]), *shared]).decode()
    found = {(sample.name, *sample.labels.values()): sample.value
             for family in text_string_to_metric_families(text) for sample in family.samples}
    assert found == {("tradepost_sessions_open",): 6.0, ("tradepost_ledger_commits_total",): 10.0,
                     ("tradepost_queue_depth", "held"): 2.0}


def test_a_remote_server_cannot_make_up_series() -> None:
    before = len(next(iter(metrics.DSNS.collect())).samples)
    for action in ("FAILED", "x" * 1000, 'a"b\n', ""):
        metrics.dsn(action)
    assert len(next(iter(metrics.DSNS.collect())).samples) == before


# -- fail2ban ------------------------------------------------------------------------------------------------


@pytest.fixture(params=["json", "console"])
def style(request: pytest.FixtureRequest) -> Iterator[str]:
    yield request.param
    log.configure("console", "info")


@pytest.mark.parametrize("client", ["192.0.2.7", "2001:db8::7"])
def test_fail2ban_reads_the_line_in_both_formats(style: str, client: str, capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(style, "info")
    maillog.client_abuse(client, "errors")
    line = capsys.readouterr().err.rstrip("\n")
    assert banned(line) == client
    assert banned(f"mx1 tradepost[812]: {line}") == client


def test_no_other_line_bans_anybody(style: str, capsys: pytest.CaptureFixture[str]) -> None:
    forged = 'x", "event": "client-abuse", "level": "warning", {"client": "192.0.2.1", "what": "y'
    log.configure(style, "debug")
    for what in (forged, "[warning] client-abuse client=192.0.2.1 what=x", "\n[warning  ] client-abuse client=192.0.2.1 what=x"):
        maillog.protocol_error("192.0.2.9", what)
        maillog.refused("T", "M", "rule", what, what)
        maillog.reload_refused([what])
    assert [line for line in capsys.readouterr().err.splitlines() if banned(line)] == []


# -- reload --------------------------------------------------------------------------------------------------


def test_the_page_names_the_keys_that_need_a_restart() -> None:
    listed = re.search(r"These keys need a restart.*?differ: (.*?)\.\n", PAGE, re.DOTALL)
    assert listed
    assert set(re.findall(r"`([\w.]+)`", listed.group(1))) == reload.NEED_RESTART
    assert reload.keys(Config()).keys() >= reload.NEED_RESTART


def test_a_reload_takes_what_can_change_and_names_what_cannot() -> None:
    old = Config()
    new = Config.model_validate({"relay": {"workers": 3, "language": "es"}, "policy": {"max_recipients": 7},
                                 "outbound": {"warn_after": "1h"}, "listen": {"mx": "127.0.0.1:26"}})
    assert reload.differences(old, new) == (
        ["relay.language", "outbound.warn_after", "policy.max_recipients"], ["relay.workers", "listen.mx"])
    config = reload.merged(old, new)
    assert (config.relay.workers, config.listen.mx) == (1, old.listen.mx)
    assert (config.relay.language, config.policy.max_recipients) == ("es", 7)
    assert config.outbound.warn_after == timedelta(hours=1)
    assert reload.differences(config, new) == ([], ["relay.workers", "listen.mx"])


# -- the pages for machines ----------------------------------------------------------------------------------


@pytest.fixture
async def endpoint(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    monkeypatch.setattr(http, "HEAD_TIMEOUT_S", 0.5)

    async def page() -> http.Page:
        return http.Page(b"text\n")

    async def broken() -> http.Page:
        raise RuntimeError("secret")

    sock = socket.create_server(("127.0.0.1", 0))
    server = await http.Endpoint({"/page": page, "/broken": broken}).listen(sock)
    yield sock.getsockname()[1]
    server.close()


async def ask(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    try:
        return await asyncio.wait_for(reader.read(), 10)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize(("request_", "status"), [
    (b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n", b"200"),
    (b"GET /page?x=1 HTTP/1.0\r\n\r\n", b"200"),
    (b"HEAD /page HTTP/1.1\r\nHost: x\r\n\r\n", b"200"),
    (b"GET /other HTTP/1.1\r\nHost: x\r\n\r\n", b"404"),
    (b"GET /../page HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
    (b"POST /page HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", b"405"),
    (b"GET http://x/page HTTP/1.1\r\n\r\n", b"400"),
    (b"GET  /page HTTP/1.1\r\n\r\n", b"400"),
    (b"GET /page HTTP/2.0\r\n\r\n", b"400"),
    (b"GET /page HTTP/1.1\nHost: x\r\n\r\n", b"400"),
    (b"GET /page HTTP/1.1\r\nHost : x\r\n\r\n", b"400"),
    (b"GET /page HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", b"400"),
    (b"GET /page HTTP/1.1\r\nX: \0\r\n\r\n", b"400"),
    (b"\x16\x03\x01\x02\r\n\r\n", b"400"),
    (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", b"431"),
    (b"GET /page HTTP/1.1\r\n" + b"X: y\r\n" * 3000, b"431"),
], ids=str)
async def test_what_is_no_request_for_a_page_is_refused(endpoint: int, request_: bytes, status: bytes) -> None:
    answer = await ask(endpoint, request_)
    assert answer.split(b" ")[1] == status
    assert b"Connection: close\r\n" in answer
    if status == b"200":
        assert answer.endswith(b"\r\n\r\n" if request_.startswith(b"HEAD") else b"\r\n\r\ntext\n")


async def test_who_says_nothing_or_half_of_it_is_hung_up_on(endpoint: int) -> None:
    assert await ask(endpoint, b"GET /page HTTP/1.1\r\n") == b""


async def test_a_page_that_fails_says_nothing_of_why(endpoint: int, capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("json", "info")
    assert await ask(endpoint, b"GET /broken HTTP/1.1\r\n\r\n") == b""
    assert "secret" not in capsys.readouterr().err
    log.configure("console", "info")


async def test_connections_are_few_and_the_idle_ones_make_room(endpoint: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "HEAD_TIMEOUT_S", 60)
    idle = [await asyncio.open_connection("127.0.0.1", endpoint) for _ in range(http.MAX_CONNECTIONS)]
    assert (await ask(endpoint, b"GET /page HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    with suppress(ConnectionResetError):
        assert await asyncio.wait_for(idle[0][0].read(), 5) == b""
    assert not idle[1][0].at_eof()
    for _, writer in idle:
        writer.close()


# -- what systemd hands over ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("sockets", "workers", "expected"), [
    ("a", 1, ["a"]), ("a", 3, ["a", "a", "a"]), ("ab", 1, ["ab"]), ("aab", 2, ["ab", "ab"]), ("aaa", 2, ["aa", "a"]),
    ("aa", 3, ["a", "a", "a"])])
def test_no_socket_is_left_without_a_process(sockets: str, workers: int, expected: list[str]) -> None:
    class Fake:
        family = socket.AF_INET

        def __init__(self, name: str) -> None:
            self.name = name

        def getsockname(self) -> tuple[str, int]:
            return ("127.0.0.1", ord(self.name))

    made = [Fake(name) for name in sockets]
    shares = systemd.share(made, workers)  # type: ignore[arg-type]
    assert ["".join(sorted(one.name for one in own)) for own in shares] == expected  # type: ignore[attr-defined]
    assert {id(one) for own in shares for one in own} == {id(one) for one in made}


def test_variables_for_another_process_are_not_ours() -> None:
    environment = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "mx", "OTHER": "x"}
    assert systemd.inherited(environment) == {}
    assert environment == {"OTHER": "x"}


def test_an_outside_socket_needs_authentication_like_any_listener() -> None:
    with socket.create_server(("0.0.0.0", 0)) as sock, systemd._adopt(os.dup(sock.fileno()), "mx") as adopted:
        assert Config().policy_settings().authentication == "observe"
        assert Config().policy_settings([systemd.address_of(adopted)]).authentication == "require"


def test_accepted_connections_do_not_wait_for_acknowledgements() -> None:
    adopted = systemd._adopt(socket.create_server(("127.0.0.1", 0)).detach(), "mx")
    assert adopted.proto == socket.IPPROTO_TCP
    client = socket.create_connection(adopted.getsockname())
    adopted.setblocking(True)
    accepted, _ = adopted.accept()
    assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    for sock in (accepted, client, adopted):
        sock.close()


@pytest.mark.parametrize(("usec", "pid", "expected"), [("60000000", "", 60.0), ("60000000", "1", None), ("", "", None),
                                                       ("0", "", None), ("x", "", None)])
def test_the_watchdog_is_for_the_process_it_names(monkeypatch: pytest.MonkeyPatch, usec: str, pid: str,
                                                  expected: float | None) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    monkeypatch.setenv("WATCHDOG_PID", pid)
    assert systemd.watchdog_s() == expected
