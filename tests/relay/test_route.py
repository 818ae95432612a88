"""Routes from a real DNS server on loopback through the real resolver."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from relay.demo.nameserver import BROKEN, NameServer
from relay.dns import DnsResolver
from relay.transmit.route import Hop, NoRoute, Router

ZONE: dict[tuple[str, str], Sequence[str]] = {
    ("two.example", "MX"): ["20 b.two.example.", "10 a.two.example."],
    ("a.two.example", "A"): ["192.0.2.1"],
    ("a.two.example", "AAAA"): ["2001:db8::1"],
    ("b.two.example", "A"): ["192.0.2.2"],
    ("bare.example", "A"): ["192.0.2.3"],
    ("null.example", "MX"): ["0 ."],
    ("local.example", "MX"): ["10 lo.example."],
    ("lo.example", "A"): ["127.0.0.1"],
    ("self.example", "MX"): ["10 relay.example."],
    ("backup.example", "MX"): ["10 a.two.example.", "20 relay.example.", "30 b.two.example."],
    ("broken.example", "MX"): [BROKEN],
    ("dead.example", "MX"): ["10 gone.example."],
    ("half.example", "MX"): ["10 gone.example.", "20 b.two.example."],
    ("relay.example", "A"): ["192.0.2.9"],
}


def router(server: NameServer, **changes: object) -> Router:
    values: dict[str, object] = {"hostname": "relay.example", "port": 25, "allow_loopback": False, "smarthost": None}
    return Router(DnsResolver([("127.0.0.1", server.port)], 2.0), **values | changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(("domain", "hosts"), [
    ("two.example", ["2001:db8::1", "192.0.2.1", "192.0.2.2"]),
    ("bare.example", ["192.0.2.3"]),
    ("half.example", ["192.0.2.2"]),
    ("backup.example", ["2001:db8::1", "192.0.2.1"]),
    ("[192.0.2.77]", ["192.0.2.77"]),
])
async def test_hops_in_order(nameserver: NameServer, domain: str, hosts: list[str]) -> None:
    nameserver.zone = dict(ZONE)
    assert [hop.address for hop in await router(nameserver).hops(domain)] == hosts


@pytest.mark.parametrize(("domain", "code"), [
    ("null.example", "5.1.10"), ("nowhere.example", "5.1.2"), ("broken.example", "4.4.3"), ("local.example", "5.4.4"),
    ("self.example", "5.4.6"), ("dead.example", "5.4.4"),
])
async def test_no_route(nameserver: NameServer, domain: str, code: str) -> None:
    nameserver.zone = dict(ZONE)
    with pytest.raises(NoRoute) as caught:
        await router(nameserver).hops(domain)
    assert caught.value.code == code


async def test_loopback_only_where_it_is_allowed_and_on_the_port_that_is_set(nameserver: NameServer) -> None:
    nameserver.zone = dict(ZONE)
    found = await router(nameserver, allow_loopback=True, port=2626).hops("local.example")
    assert found == [Hop("lo.example", "127.0.0.1", 2626)]


async def test_a_dns_server_that_is_silent_is_a_deferral() -> None:
    with pytest.raises(NoRoute) as caught:
        await Router(DnsResolver([("127.0.0.1", 9)], 0.3), "relay.example", 25, False, None).hops("two.example")
    assert caught.value.code == "4.4.3"


async def test_answers_are_cached_and_asked_for_once(nameserver: NameServer) -> None:
    import asyncio

    nameserver.zone = dict(ZONE)
    one = router(nameserver)
    await asyncio.gather(*(one.hops("bare.example") for _ in range(20)))
    await one.hops("bare.example")
    assert nameserver.asked.count(("bare.example", "MX")) == 1


async def test_a_smarthost_takes_everything(nameserver: NameServer) -> None:
    assert await router(nameserver, smarthost=("127.0.0.1", 2525)).hops("two.example") == [
        Hop("127.0.0.1", "127.0.0.1", 2525)]
