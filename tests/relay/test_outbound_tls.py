"""TLS of what leaves, over real sockets: an SMTP server with a certificate, a DNS server with TLSA records and the AD bit,
an HTTPS server with policies."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from hashlib import sha256, sha512
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from aliasing.address import Address
from relay import keys as key_file
from relay.demo.nameserver import BROKEN, NameServer
from relay.demo.outside import OutsideServer
from relay.dns import DnsResolver
from relay.keys import Keys
from relay.records import Delivery, DeliveryKind, OutcomeKind
from relay.sealed import SealedFolder
from relay.transmit.attempt import ConnectFailed, Connector
from relay.transmit.dane import Tlsa, matches
from relay.transmit.results import Results, reports
from relay.transmit.route import NoRoute, Router
from relay.transmit.security import Level, TlsPolicies
from relay.transmit.sts import Fetcher, Mode, Policies, PolicyError, parse

DOMAIN, MX = "correo.example", "mx.correo.example"
POLICY = f"version: STSv1\r\nmode: enforce\r\nmx: {MX}\r\nmax_age: 86400\r\n"
DELIVERY = Delivery(1, 1, "m", "t", DeliveryKind.MESSAGE, Address.parse(f"ana@{DOMAIN}"), "ret@relay.example", 1,
                    datetime(2026, 11, 24, tzinfo=UTC), warned=False)
TODAY = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(ca: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(str(path))
    return path


def context_for(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def der(certificate: trustme.LeafCert | trustme.CA) -> bytes:
    blob = certificate.cert_pem if isinstance(certificate, trustme.CA) else certificate.cert_chain_pems[0]
    return x509.load_pem_x509_certificate(blob.bytes()).public_bytes(Encoding.DER)


def key_of(certificate: bytes) -> bytes:
    public = x509.load_der_x509_certificate(certificate).public_key()
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


class Web:
    """An HTTPS server that gives every host the same answer; `asked` holds the requests."""

    def __init__(self) -> None:
        self.body, self.status, self.kind, self.more = POLICY, "200 OK", "text/plain; charset=utf-8", ""
        self.asked: list[str] = []
        self.port = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(f"HTTP/1.1 {self.status}\r\nContent-Type: {self.kind}\r\n{self.more}Transfer-Encoding: chunked\r\n\r\n"
                     f"{len(self.body):x}\r\n{self.body}\r\n0\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    @asynccontextmanager
    async def serving(self, context: ssl.SSLContext) -> AsyncIterator[Web]:
        server = await asyncio.start_server(self.answer, "127.0.0.1", 0, ssl=context)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()


class Far(OutsideServer):
    """Also remembers from where it was spoken to."""

    peers: list[str]

    async def handle_EHLO(self, server: Any, session: Any, envelope: Any, hostname: str, responses: list[str]) -> list[str]:
        self.peers = [*getattr(self, "peers", []), session.peer[0]]
        return await super().handle_EHLO(server, session, envelope, hostname, responses)


class World:
    """A destination outside, and the relay's way to it."""

    def __init__(self, nameserver: NameServer, ca_file: Path, folder: Path) -> None:
        self.nameserver, self.ca_file, self.folder = nameserver, ca_file, folder
        nameserver.zone = {(DOMAIN, "MX"): [f"10 {MX}."], (MX, "A"): ["127.0.0.1"]}
        key_file.create(folder / "keys")
        self.keys = Keys(folder / "keys")
        self.results = Results(self.sealed("tls-results"), lambda: TODAY)
        self.now = 1_000_000.0
        self.web = Web()
        self.far: Far | None = None
        self.resolver = DnsResolver([("127.0.0.1", nameserver.port)], 2.0)
        self.restart()

    def sealed(self, name: str) -> SealedFolder:
        return SealedFolder(self.folder / name, self.keys)

    def restart(self) -> None:
        """As a new process would: nothing in memory."""
        async def fetch(domain: str) -> str:
            context = ssl.create_default_context(cafile=self.ca_file)
            return await Fetcher(self.resolver, context, lambda _: True, port=self.web.port)(domain)

        self.failed: list[tuple[str, str]] = []
        self.sts = Policies(self.resolver, fetch, self.sealed("mta-sts"), lambda *seen: self.failed.append(seen),
                            lambda: self.now)

    async def outside(self, certificate: trustme.LeafCert | None) -> Far:
        if self.far:
            await self.far.stop()
        self.far = Far(context_for(certificate) if certificate else None)
        await self.far.start()
        return self.far

    def tlsa(self, *records: str) -> None:
        assert self.far
        self.nameserver.zone[f"_{self.far.port}._tcp.{MX}", "TLSA"] = list(records)
        self.nameserver.secure = {"*"}

    def publish(self, policy_id: str = "1") -> None:
        self.nameserver.zone[f"_mta-sts.{DOMAIN}", "TXT"] = [f'"v=STSv1; id={policy_id};"']
        self.nameserver.zone[f"mta-sts.{DOMAIN}", "A"] = ["127.0.0.1"]

    async def send(self, least: Level = Level.OPPORTUNISTIC, *, sources: tuple[str, ...] = (),
                   destinations: dict[str, Level] | None = None) -> bool:
        """One message on its way; whether it went over TLS. Raises NoRoute, ConnectFailed."""
        assert self.far
        policies = TlsPolicies(self.resolver, least, destinations or {}, self.sts)
        router = Router(self.resolver, "relay.example", self.far.port, True, None, policies,
                        refused=lambda security, host, result: self.results.count(security, host, "", result))
        link = await self.connector(sources)(await router.hops(DOMAIN))
        outcome = await link.send(DELIVERY, b"From: <a@relay.example>\r\n\r\nhola\r\n")
        await link.close()
        assert outcome.kind is OutcomeKind.DELIVERED
        return self.far.arrived[-1].over_tls

    def connector(self, sources: tuple[str, ...]) -> Callable[[Any], Any]:
        async def unsigned(message: bytes) -> bytes:
            return message

        strict = ssl.create_default_context(cafile=self.ca_file)
        return Connector("relay.example", 5.0, unsigned, strict, sources=sources, count=self.results.count)

    def report(self) -> dict[str, Any]:
        self.results.flush()
        (found,) = reports(self.sealed("tls-results"), TODAY.date(), organisation="Mercado", contact="a@relay.example")
        return found

    def seen(self) -> list[tuple[str, str, int]]:
        """(policy type, result type or "", sessions) of the day's report."""
        rows = []
        for one in self.report()["policies"]:
            kind, good = one["policy"]["policy-type"], one["summary"]["total-successful-session-count"]
            rows += [(kind, "", good)] if good else []
            rows += [(kind, detail["result-type"], detail["failed-session-count"])
                     for detail in one.get("failure-details", ())]
        return rows


@pytest.fixture
async def world(nameserver: NameServer, ca_file: Path, tmp_path: Path) -> AsyncIterator[World]:
    world = World(nameserver, ca_file, tmp_path)
    yield world
    if world.far:
        await world.far.stop()


async def refusal(world: World, *words: Any, **options: Any) -> tuple[str, str]:
    with pytest.raises(ConnectFailed) as caught:
        await world.send(*words, **options)
    assert world.far
    assert world.far.arrived == []
    return caught.value.outcome.code, caught.value.outcome.remote


# -- without a policy ----------------------------------------------------------------------------------------------


async def test_opportunistic_takes_any_certificate(world: World) -> None:
    await world.outside(trustme.CA().issue_cert("other.example"))
    assert await world.send()
    assert world.seen() == [("no-policy-found", "", 1)]


async def test_opportunistic_goes_on_in_plain_text(world: World) -> None:
    await world.outside(None)
    assert not await world.send()
    assert world.seen() == [("no-policy-found", "starttls-not-supported", 1)]


async def test_never_is_never(world: World, ca: trustme.CA) -> None:
    await world.outside(ca.issue_cert(MX))
    assert not await world.send(Level.NEVER)


@pytest.mark.parametrize("by_destination", [False, True])
async def test_required_by_configuration(world: World, ca: trustme.CA, by_destination: bool) -> None:
    def asking(level: Level) -> dict[str, Any]:
        return {"destinations": {DOMAIN: level}} if by_destination else {"least": level}

    await world.outside(None)
    assert await refusal(world, **asking(Level.ENCRYPT)) == ("4.7.4", "starttls-not-supported")
    assert await refusal(world, **asking(Level.VERIFY)) == ("4.7.4", "starttls-not-supported")
    await world.outside(ca.issue_cert("other.example"))
    assert await refusal(world, **asking(Level.VERIFY)) == ("4.7.5", "certificate-host-mismatch")
    assert await world.send(**asking(Level.ENCRYPT))
    await world.outside(trustme.CA().issue_cert(MX))
    assert await refusal(world, **asking(Level.VERIFY)) == ("4.7.5", "certificate-not-trusted")
    await world.outside(ca.issue_cert(MX, not_after=datetime(2026, 1, 1, tzinfo=UTC)))
    assert await refusal(world, **asking(Level.VERIFY)) == ("4.7.5", "certificate-expired")
    await world.outside(ca.issue_cert(MX))
    assert await world.send(**asking(Level.VERIFY))


# -- DANE ----------------------------------------------------------------------------------------------------------


async def test_dane_ee_asks_for_nothing_but_the_key(world: World) -> None:
    """An unknown authority, another name: RFC 7672 3.1.1 has no use for either."""
    certificate = trustme.CA().issue_cert("other.example")
    await world.outside(certificate)
    world.tlsa("3 1 1 " + sha256(key_of(der(certificate))).hexdigest())
    assert await world.send()
    assert world.seen() == [("tlsa", "", 1)]


@pytest.mark.parametrize("record", [
    lambda der: "3 0 0 " + der.hex(), lambda der: "3 0 1 " + sha256(der).hexdigest(),
    lambda der: "3 1 0 " + key_of(der).hex(), lambda der: "3 1 2 " + sha512(key_of(der)).hexdigest()])
async def test_every_way_to_name_it(world: World, ca: trustme.CA, record: Callable[[bytes], str]) -> None:
    certificate = ca.issue_cert(MX)
    await world.outside(certificate)
    world.tlsa("3 1 1 " + "00" * 32, record(der(certificate)))  # a second one, as during a rollover
    assert await world.send()
    assert world.seen() == [("tlsa", "", 1)]


async def test_another_key_gets_nothing_even_with_a_good_certificate(world: World, ca: trustme.CA) -> None:
    await world.outside(ca.issue_cert(MX))
    world.tlsa("3 1 1 " + "ab" * 32)
    assert await refusal(world) == ("4.7.5", "validation-failure")
    assert world.seen() == [("tlsa", "validation-failure", 1)]


async def test_a_host_with_tlsa_and_without_starttls_gets_nothing(world: World) -> None:
    await world.outside(None)
    world.tlsa("3 1 1 " + "ab" * 32)
    assert await refusal(world) == ("4.7.4", "starttls-not-supported")


@pytest.mark.parametrize("record", ["1 1 1 " + "ab" * 32, "3 1 9 " + "ab" * 32])
async def test_records_that_nobody_can_use_still_ask_for_tls(world: World, record: str) -> None:
    await world.outside(trustme.CA().issue_cert("other.example"))
    world.tlsa(record)
    assert await world.send()
    await world.outside(None)
    world.tlsa(record)
    assert await refusal(world) == ("4.7.4", "starttls-not-supported")


@pytest.mark.parametrize("secure", [{DOMAIN}, {DOMAIN, MX}, {MX, "tlsa"}, {DOMAIN, "tlsa"}])
async def test_what_dnssec_does_not_vouch_for_counts_for_nothing(world: World, ca: trustme.CA, secure: set[str]) -> None:
    far = await world.outside(ca.issue_cert(MX))
    world.tlsa("3 1 1 " + "ab" * 32)
    world.nameserver.secure = {f"_{far.port}._tcp.{MX}" if one == "tlsa" else one for one in secure}
    assert await world.send()
    assert world.seen() == [("no-policy-found", "", 1)]


async def test_tlsa_records_that_do_not_come_stop_delivery(world: World, ca: trustme.CA) -> None:
    await world.outside(ca.issue_cert(MX))
    world.tlsa(BROKEN)
    with pytest.raises(NoRoute) as caught:
        await world.send()
    assert caught.value.code == "4.7.5"
    assert world.seen() == [("tlsa", "dnssec-invalid", 1)]


async def test_a_resolver_across_the_network_vouches_for_nothing() -> None:
    assert not DnsResolver([("192.0.2.53", 53)], 1.0).validates
    assert not DnsResolver([("127.0.0.1", 53), ("192.0.2.53", 53)], 1.0).validates
    assert DnsResolver([("127.0.0.1", 53), ("::1", 53)], 1.0).validates


def test_a_trust_anchor_vouches_for_the_names_of_mx_and_destination(ca: trustme.CA) -> None:
    now = datetime.now(UTC)
    middle = ca.create_child_ca()
    leaf = middle.issue_cert(MX)
    chain = [x509.load_pem_x509_certificate(one.bytes()).public_bytes(Encoding.DER) for one in leaf.cert_chain_pems]
    chain.append(der(ca))
    for anchor in (der(ca), chain[1]):
        records = [Tlsa(2, 1, 1, sha256(key_of(anchor)).digest())]
        assert matches(records, chain, [MX, DOMAIN], now)
        assert not matches(records, chain, ["other.example"], now)
        assert not matches(records, chain, [MX], datetime(3001, 1, 1, tzinfo=UTC))
    assert not matches([Tlsa(2, 1, 1, sha256(key_of(der(trustme.CA()))).digest())], chain, [MX], now)
    stranger = der(trustme.CA().issue_cert(MX))
    assert not matches([Tlsa(2, 0, 1, sha256(der(ca)).digest())], [stranger, *chain[1:]], [MX], now), "not signed by it"
    assert Tlsa(2, 1, 1, bytes(32)).usable(has_chain=True)
    assert not Tlsa(2, 1, 1, bytes(32)).usable(has_chain=False)
    assert not Tlsa(3, 1, 1, bytes(31)).usable()


# -- MTA-STS -------------------------------------------------------------------------------------------------------


@pytest.fixture
def web_certificate(ca: trustme.CA) -> ssl.SSLContext:
    return context_for(ca.issue_cert(f"mta-sts.{DOMAIN}"))


async def test_enforced_and_fulfilled(world: World, ca: trustme.CA, web_certificate: ssl.SSLContext) -> None:
    await world.outside(ca.issue_cert(MX))
    world.publish()
    async with world.web.serving(web_certificate):
        assert await world.send()
        assert await world.send()
    assert [request.split("\r\n")[:2] for request in world.web.asked] == [
        ["GET /.well-known/mta-sts.txt HTTP/1.1", f"Host: mta-sts.{DOMAIN}"]], "fetched once"
    assert world.seen() == [("sts", "", 2)]
    (policy,) = world.report()["policies"]
    assert policy["policy"] == {"policy-type": "sts", "policy-domain": DOMAIN, "mx-host": [MX], "policy-string": [
        "version: STSv1", "mode: enforce", f"mx: {MX}"]}


async def test_enforced_and_not_fulfilled(world: World, ca: trustme.CA, web_certificate: ssl.SSLContext) -> None:
    world.publish()
    async with world.web.serving(web_certificate):
        await world.outside(ca.issue_cert("other.example"))
        assert await refusal(world) == ("4.7.5", "certificate-host-mismatch")
        await world.outside(None)
        assert await refusal(world) == ("4.7.4", "starttls-not-supported")
        world.web.body = POLICY.replace(MX, "*.elsewhere.example")
        world.publish("2")
        world.resolver = DnsResolver([("127.0.0.1", world.nameserver.port)], 2.0)  # without what it remembers
        world.restart()
        with pytest.raises(NoRoute) as caught:
            await world.send()
    assert caught.value.code == "4.7.5"
    assert ("sts", "validation-failure", 1) in world.seen()


async def test_testing_counts_and_delivers(world: World, ca: trustme.CA, web_certificate: ssl.SSLContext) -> None:
    world.publish()
    world.web.body = POLICY.replace("enforce", "testing")
    async with world.web.serving(web_certificate):
        await world.outside(ca.issue_cert("other.example"))
        assert await world.send()
    assert ("sts", "certificate-host-mismatch", 1) in world.seen()


async def test_a_policy_outlives_its_server_and_this_process(
        world: World, ca: trustme.CA, web_certificate: ssl.SSLContext) -> None:
    await world.outside(ca.issue_cert("other.example"))
    world.publish()
    async with world.web.serving(web_certificate):
        await refusal(world)
    for path in (world.folder / "mta-sts").iterdir():
        assert b"correo" not in path.read_bytes()
    world.restart()
    del world.nameserver.zone[f"_mta-sts.{DOMAIN}", "TXT"]
    assert (await refusal(world))[0] == "4.7.5"
    world.now += 86_401
    assert await world.send(), "expired"


async def test_a_new_id_is_a_new_policy(world: World, ca: trustme.CA, web_certificate: ssl.SSLContext) -> None:
    world.publish()
    async with world.web.serving(web_certificate):
        assert (await world.sts.of(DOMAIN)) == parse(POLICY, "1", world.now)
        world.web.body = POLICY.replace("enforce", "none")
        world.publish("2")
        world.resolver = DnsResolver([("127.0.0.1", world.nameserver.port)], 2.0)
        world.restart()
        policy = await world.sts.of(DOMAIN)
    assert policy
    assert (policy.mode, policy.id) == (Mode.NONE, "2")
    assert len(world.web.asked) == 2


@pytest.mark.parametrize(("change", "result"), [
    ({"status": "301 Moved", "more": "Location: https://elsewhere.example/\r\n"}, "sts-policy-fetch-error"),
    ({"status": "404 Not Found"}, "sts-policy-fetch-error"), ({"kind": "text/html"}, "sts-policy-fetch-error"),
    ({"body": POLICY + "x: y\r\n" * 12_000}, "sts-policy-invalid"), ({"body": POLICY.replace("STSv1", "STSv2")}, "sts-policy-invalid"),
    ({"body": POLICY.replace("max_age: 86400", "")}, "sts-policy-invalid"),
    ({"body": POLICY.replace(MX, "mx_1.example:25")}, "sts-policy-invalid"),
])
async def test_no_policy_to_be_had(world: World, web_certificate: ssl.SSLContext, change: dict[str, str],
                                   result: str) -> None:
    world.publish()
    for name, value in change.items():
        setattr(world.web, name, value)
    async with world.web.serving(web_certificate):
        assert await world.sts.of(DOMAIN) is None
        assert await world.sts.of(DOMAIN) is None
    assert world.failed == [(DOMAIN, result)]
    assert len(world.web.asked) == 1, "left in peace for a while"


async def test_a_policy_server_with_another_certificate(world: World, ca: trustme.CA) -> None:
    world.publish()
    async with world.web.serving(context_for(ca.issue_cert("other.example"))):
        assert await world.sts.of(DOMAIN) is None
    assert world.failed == [(DOMAIN, "sts-webpki-invalid")]


async def test_a_policy_server_that_is_ourselves_is_not_asked(world: World, web_certificate: ssl.SSLContext) -> None:
    world.publish()
    async with world.web.serving(web_certificate):
        fetch = Fetcher(world.resolver, ssl.create_default_context(), lambda address: address != "127.0.0.1",
                        port=world.web.port)
        with pytest.raises(PolicyError):
            await fetch(DOMAIN)
    assert world.web.asked == []


async def test_dane_goes_before_mta_sts(world: World, web_certificate: ssl.SSLContext) -> None:
    certificate = trustme.CA().issue_cert("other.example")
    await world.outside(certificate)
    world.publish()
    world.tlsa("3 1 1 " + sha256(key_of(der(certificate))).hexdigest())
    async with world.web.serving(web_certificate):
        assert await world.send()
    assert world.seen() == [("tlsa", "", 1)]


async def test_a_setting_for_the_destination_goes_before_both(
        world: World, ca: trustme.CA, web_certificate: ssl.SSLContext) -> None:
    await world.outside(ca.issue_cert("other.example"))
    world.publish()
    world.tlsa("3 1 1 " + "ab" * 32)
    async with world.web.serving(web_certificate):
        assert await world.send(destinations={DOMAIN: Level.OPPORTUNISTIC})
    assert world.web.asked == []


@pytest.mark.parametrize(("pattern", "host", "allowed"), [
    ("mx.a.example", "MX.a.example.", True), ("*.a.example", "mx.a.example", True), ("*.a.example", "a.example", False),
    ("*.a.example", "x.mx.a.example", False), ("mx.a.example", "mx.b.example", False),
    ("*.a.example", "mx.aa.example", False)])
def test_patterns(pattern: str, host: str, allowed: bool) -> None:
    policy = parse(f"version: STSv1\nmode: enforce\nmx: {pattern}\nmax_age: 1\n", "1", 0)
    assert policy.allows(host) is allowed


# -- source addresses, reports -------------------------------------------------------------------------------------


async def test_connections_come_from_the_address_that_is_set(world: World, ca: trustme.CA) -> None:
    far = await world.outside(ca.issue_cert(MX))
    await world.send(sources=("127.0.0.9", "2001:db8::1"))
    assert set(far.peers) == {"127.0.0.9"}


async def test_an_ip_version_without_a_source_address_is_not_used(nameserver: NameServer) -> None:
    nameserver.zone = {(DOMAIN, "MX"): [f"10 {MX}."], (MX, "A"): ["192.0.2.1"], (MX, "AAAA"): ["2001:db8::1"]}
    resolver = DnsResolver([("127.0.0.1", nameserver.port)], 2.0)
    for families, expected in ((frozenset((4, 6)), ["2001:db8::1", "192.0.2.1"]), (frozenset((4,)), ["192.0.2.1"])):
        hops = await Router(resolver, "relay.example", 25, False, None, families=families).hops(DOMAIN)
        assert [hop.address for hop in hops] == expected


async def test_a_report_adds_up_what_all_processes_wrote(world: World, ca: trustme.CA) -> None:
    await world.outside(ca.issue_cert(MX))
    await world.send()
    world.results.flush()
    other = Results(world.sealed("tls-results"), lambda: TODAY)
    world.results, _ = other, world.results
    await world.send()
    await world.outside(None)
    await world.send()
    report = world.report()
    assert report["date-range"] == {"start-datetime": "2026-11-24T00:00:00Z", "end-datetime": "2026-11-24T23:59:59Z"}
    assert report["policies"] == [{
        "policy": {"policy-type": "no-policy-found", "policy-domain": DOMAIN},
        "summary": {"total-successful-session-count": 2, "total-failure-session-count": 1},
        "failure-details": [{"result-type": "starttls-not-supported", "receiving-mx-hostname": MX,
                             "receiving-ip": "127.0.0.1", "failed-session-count": 1}]}]
    assert not list(reports(world.sealed("tls-results"), date(2026, 11, 23), organisation="", contact=""))
    assert b"correo" not in (world.folder / "tls-results" / "2026-11-24").read_bytes()
