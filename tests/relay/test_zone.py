"""The zone printed is the zone verified; each planted fault (zone_faults.toml) is named, with what to do."""

from __future__ import annotations

import asyncio
import json
import ssl
import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dns.zone
import pytest
import trustme
from click.testing import CliRunner
from support import Relay

from relay.cli.zone import show_finding
from relay.config import Config
from relay.demo.nameserver import BROKEN, NameServer
from relay.dns import DnsResolver
from relay.zone.finding import Finding, Level
from relay.zone.knock import Knocker
from relay.zone.plan import Plan, plan_of
from relay.zone.records import NO_SUBMISSION, bind, files, quoted, records
from relay.zone.verify import Surroundings, verify

CASES: list[dict[str, Any]] = tomllib.loads((Path(__file__).parent.parent / "zone_faults.toml").read_text())["case"]
KEY = "v=DKIM1; k=ed25519; p=dGhlIGtleSBvZiB0aGUgdGVzdHMsIDMyIG9jdGV0cyE="
CA = trustme.CA()
LISTEN = {"submission": "127.0.0.1:5587", "submissions": "127.0.0.1:5465"}
Records = dict[tuple[str, str], list[str]]


def plan(**zone: Any) -> Plan:
    config = Config(relay={"hostname": "mail.example", "domains": ["relay.example"]}, listen=LISTEN,
                    zone={"reports": "reports@tienda.example"} | zone)
    return plan_of(config, lambda domain: [(f"s1._domainkey.{domain}", KEY)])


def printed(of: Plan) -> Records:
    """What `tradepost dns` prints, read by dnspython's reader of zone files; and what it tells to do elsewhere."""
    text = "\n".join(bind(records(of), files(of)))
    zone = dns.zone.from_text(text, origin=".", check_origin=False, relativize=False)
    found: Records = {("mail.example", "A"): ["127.0.0.1"], ("1.0.0.127.in-addr.arpa", "PTR"): ["mail.example."]}
    for name, rdataset in zone.iterate_rdatasets():
        key = (name.to_text(omit_final_dot=True), rdataset.rdtype.name)
        found.setdefault(key, []).extend(record.to_text() for record in rdataset)
    return found


def changed(zone: Records, changes: dict[str, list[str]]) -> Records:
    zone = dict(zone)
    for words, values in changes.items():
        name, _, kind = words.partition(" ")
        zone.pop((name, kind), None)
        if values:
            zone[name, kind] = values
    return zone


def context(host: str = "mail.example", days: float = 90, ca: trustme.CA = CA) -> ssl.SSLContext:
    now = datetime.now(UTC)
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(host, not_before=now - timedelta(days=100), not_after=now + timedelta(days=days)).configure_cert(made)
    return made


def trust() -> ssl.SSLContext:
    made = ssl.create_default_context()
    CA.configure_trust(made)
    return made


@asynccontextmanager
async def listening(handle: Callable[..., Awaitable[None]], tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, EOFError, asyncio.CancelledError):
            await handle(reader, writer)
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def mail_server(behaviour: str) -> Callable[..., Awaitable[None]]:
    """An MX that goes as far as STARTTLS; `behaviour` is the table's word for what it does wrong."""
    match behaviour.split():
        case ["certificate", "of", host]:
            tls = context(host)
        case ["certificate", "for", days, "days"]:
            tls = context(days=float(days))
        case ["certificate", "by", "itself"]:
            tls = context(ca=trustme.CA())
        case _:
            tls = context()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if behaviour == "silent":
            await reader.read()
        greeting = behaviour if behaviour[:3] in ("220", "554") else "220 mail.example ESMTP"
        writer.write(f"{greeting}\r\n".encode())
        while line := (await reader.readline()).upper():
            if line.startswith(b"EHLO"):
                writer.write(b"250-mail.example\r\n250 " + (b"HELP" if behaviour == "no TLS" else b"STARTTLS") + b"\r\n")
            elif line.startswith(b"STARTTLS") and behaviour.startswith("454"):
                writer.write(f"{behaviour}\r\n".encode())
            elif line.startswith(b"STARTTLS"):
                writer.write(b"220 2.0.0 Go ahead\r\n")
                await writer.drain()
                await writer.start_tls(tls)
            else:
                writer.write(b"221 2.0.0 Bye\r\n")
                return
            await writer.drain()

    return handle


def web_server(behaviour: str, policy: str) -> Callable[..., Awaitable[None]]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        status = behaviour if behaviour.isdecimal() else "200"
        kind = behaviour if behaviour == "text/html" else "Text/Plain; charset=utf-8"
        body = (behaviour if behaviour not in ("", "other certificate", "text/html") else policy).encode()
        writer.write(f"HTTP/1.1 {status} -\r\nLocation: https://elsewhere.example/\r\nContent-Type: {kind}\r\n"
                     f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()

    return handle


async def verified(of: Plan, zone: Records, mx: str = "", web: str = "", timeout_s: float = 5.0) -> list[Finding]:
    server = NameServer(zone)
    port = await server.start()
    web_tls = context("www.example" if web == "other certificate" else "mta-sts.relay.example")
    try:
        async with listening(mail_server(mx)) as smtp, listening(web_server(web, of.policy), web_tls) as https:
            knocker = Knocker("mail.example", 9 if mx == "closed" else smtp, 9 if web == "closed" else https, trust,
                              0.2 if mx == "silent" else timeout_s)
            return await verify(of, Surroundings(DnsResolver([("127.0.0.1", port)], 2.0), knocker))
    finally:
        server.stop()


def lines(found: list[Finding]) -> str:
    with CliRunner().isolation() as streams:
        for one in found:
            show_finding(one, as_json=False)
        return streams[0].getvalue().decode()


async def test_what_is_printed_is_in_order() -> None:
    found = await verified(plan(), printed(plan()))
    assert {one.level for one in found} == {Level.RIGHT}, lines(found)
    assert len(found) >= 12


@pytest.fixture(scope="module")
def in_order() -> Records:
    return printed(plan())


@pytest.mark.parametrize("case", CASES, ids=[f"{number}-{case['fault']}" for number, case in enumerate(CASES)])
async def test_a_planted_fault_is_named(case: dict[str, Any], in_order: Records) -> None:
    of = plan(**case.get("set", {}))
    zone = printed(of) if "set" in case else in_order
    found = await verified(of, changed(zone, case.get("zone", {})), case.get("mx", ""), case.get("web", ""))
    named = [one for one in found if one.fault == case["fault"]]
    assert named, lines(found)
    assert {one.level.value for one in named} == {case.get("level", "wrong")}
    assert case["says"] in lines(named)
    assert all(one.mend for one in named)


async def test_a_service_that_nobody_configured_is_not_published() -> None:
    of = replace(plan(), submits=frozenset({465}))
    assert ("_submissions._tcp.relay.example", "SRV") in printed(of)
    assert ("_submission._tcp.relay.example", "SRV") not in printed(of)
    found = await verified(of, printed(plan()))
    assert [(one.about, one.fault) for one in found if one.fault] == [("_submission._tcp.relay.example", "srv-not-served")]
    assert 'listen.submission = "0.0.0.0:587"' in lines(found)
    none = replace(of, submits=frozenset())
    assert not [name for name, _ in printed(none) if "auto" in name or "_submission" in name]
    assert NO_SUBMISSION in [one.purpose for one in records(none)]
    assert {one.level for one in await verified(none, printed(none))} == {Level.RIGHT}


def test_the_table_plants_many_distinct_faults() -> None:
    assert len({case["fault"] for case in CASES}) >= 50


async def test_a_dead_resolver_makes_nothing_missing() -> None:
    """A temporary failure is not "missing"."""
    zone = {key: [BROKEN] for key in printed(plan())}
    found = await verified(plan(), zone)
    assert {one.level for one in found} <= {Level.UNKNOWN, Level.RIGHT, Level.WARNING}, lines(found)
    assert not [one for one in found if "missing" in one.fault], lines(found)


async def test_two_domains_are_both_looked_at() -> None:
    both = plan_of(Config(relay={"hostname": "mail.example", "domains": ["relay.example", "dos.example"]},
                          zone={"reports": "reports@tienda.example"}))
    zone = changed(printed(both), {"dos.example MX": [], "relay.example MX": []})
    found = await verified(both, zone)
    assert [one.about for one in found if one.fault == "mx-missing"] == ["relay.example", "dos.example"]


async def test_what_others_wrote_is_printed_without_control_characters() -> None:
    zone = changed(printed(plan()), {"_dmarc.relay.example TXT": ['"v=DMARC1; p=\\027[31mred"']})
    assert "\x1b" not in lines([one for one in await verified(plan(), zone) if one.fault == "dmarc-syntax"])


def test_a_long_text_is_split_and_read_back_whole() -> None:
    text = "v=DKIM1; p=" + 'A"\\é' * 150
    made = quoted(text)
    zone = dns.zone.from_text(f"a.example. 1 IN TXT {made}", origin=".", check_origin=False, relativize=False)
    (_, rdataset), = zone.iterate_rdatasets()
    assert b"".join(rdataset[0].strings).decode() == text
    assert max(map(len, rdataset[0].strings)) == 255


@pytest.mark.parametrize(("outgoing", "route", "spf"), [
    ([], "mx", "v=spf1 a:mail.example -all"),
    (["192.0.2.7", "2001:db8::/32", "spf.smart.example"], "mx",
     "v=spf1 ip4:192.0.2.7 ip6:2001:db8::/32 include:spf.smart.example -all"),
    ([], "smtp://smart.example:587", "v=spf1 a:smart.example -all"),
    ([], "smtp://192.0.2.9:25", "v=spf1 ip4:192.0.2.9 -all"),
    ([], "smtp://127.0.0.1:25", "v=spf1 a:mail.example -all"),
])
def test_spf_follows_where_mail_leaves_from(outgoing: list[str], route: str, spf: str) -> None:
    of = plan_of(Config(relay={"hostname": "mail.example", "domains": ["relay.example"]}, zone={"outgoing": outgoing},
                        outbound={"route": route}))
    assert of.spf("relay.example") == spf


def test_the_commands(tmp_path: Path) -> None:
    relay = Relay(tmp_path, {"relay": {"hostname": "mail.example", "domains": ["relay.example"]}, "listen": LISTEN,
                             "dns": {"resolvers": ["127.0.0.1:9"], "timeout": "0.3s"}})
    assert "relay.example. 3600 IN MX 10 mail.example." in relay.run("dns")
    kinds = [line["type"] for line in relay.json("dns")]
    assert {"MX", "TXT", "CNAME", "SRV", "file"} == set(kinds)
    said = [json.loads(line) for line in relay.run("dns", "--verify", "--json", check=1).splitlines()]
    assert {"level", "about", "fault", "what", "mend"} == set(said[0])
    assert "unknown" in {line["level"] for line in said}
    assert not [line for line in said if line["fault"].endswith("-missing")]


async def test_the_signing_keys_are_printed_and_looked_up(tmp_path: Path) -> None:
    """From the ring to the zone file, to a name server, and back; a rotation adds a pair to be published."""
    server = NameServer({})
    port = await server.start()
    relay = Relay(tmp_path, {"relay": {"hostname": "mail.example", "domains": ["relay.example"]},
                             "dns": {"resolvers": [f"127.0.0.1:{port}"]}, "outbound": {"port": 9}})
    assert "; no DKIM key yet" in relay.run("dns")
    relay.run("key", "rotate", "--dkim")
    relay.run("key", "rotate", "--dkim")
    selectors = {line["selector"] for line in relay.json("key", "list", "--dkim")}
    assert len(selectors) == 4
    text = relay.run("dns")
    zone = dns.zone.from_text(text, origin=".", check_origin=False, relativize=False)
    server.zone = {(name.to_text(omit_final_dot=True), "TXT"): [one.to_text() for one in rdataset]
                   for name, rdataset in zone.iterate_rdatasets("TXT")}
    assert {name.partition("._domainkey")[0] for name, _ in server.zone if "_domainkey" in name} == selectors

    async def found() -> dict[str, dict[str, str]]:
        said = await asyncio.to_thread(relay.run, "dns", "--verify", "--json", check=1)
        lines = [json.loads(line) for line in said.splitlines()]
        return {line["about"].partition(".")[0]: line for line in lines if "_domainkey" in line["about"]}

    assert {name: line["level"] for name, line in (await found()).items()} == dict.fromkeys(selectors, "right")
    lost, swapped, *_ = sorted(name for name, _ in server.zone if "_domainkey" in name)
    del server.zone[lost, "TXT"]
    server.zone[swapped, "TXT"] = server.zone[next(name for name, _ in server.zone if "_dmarc" in name), "TXT"]
    faults = {line["fault"] for line in (await found()).values()}
    assert faults == {"", "dkim-missing", "dkim-syntax"}
    server.stop()
