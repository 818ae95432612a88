"""The limits' arithmetic with a clock that is set by hand; proxies' headers; names asked of block lists."""

from __future__ import annotations

import asyncio
import contextlib
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.receive import limits as module
from relay.receive.dnsbl import query_name
from relay.receive.limits import Guard, network_of
from relay.receive.proxy import SIGNATURE, ProxyError, plain, read_header
from relay.sections import LimitsSection

HERE, BESIDE, THERE = (ip_address(text) for text in ("192.0.2.1", "192.0.2.200", "198.51.100.1"))


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def guard(clock: Clock | None = None, *, max_size: int = 100, descriptors: int = 10_000, **limits: Any) -> Guard:
    return Guard(LimitsSection(**limits), max_size=max_size, descriptors=descriptors, clock=clock or Clock())


def test_a_network_is_a_24_or_a_64() -> None:
    for one, other, same in (("192.0.2.1", "192.0.2.255", True), ("192.0.2.1", "192.0.3.1", False),
                             ("2001:db8:0:1::1", "2001:db8:0:1:ffff::", True), ("2001:db8:0:1::", "2001:db8:0:2::", False),
                             ("::c000:201", "192.0.2.1", False)):
        assert (network_of(ip_address(one)) == network_of(ip_address(other))) is same


def test_refused_recipients_are_answered_at_the_allowed_rate() -> None:
    """However fast they come, and from how many addresses of the network."""
    clock = Clock()
    one = guard(clock, refusals_per_network=60)
    assert [one.refused_recipient(HERE) for _ in range(60)] == [0.0] * 60
    assert [one.refused_recipient(BESIDE) for _ in range(3)] == [1.0, 2.0, 3.0]
    assert one.refused_recipient(THERE) == 0.0
    clock.now += 30
    assert one.refused_recipient(HERE) == 0.0
    assert one.refused_recipient(ip_address("127.0.0.1")) == 0.0


def test_connects_drain_away_with_time() -> None:
    clock = Clock()
    one = guard(clock, connects_per_network=60, connections_per_network=1000)
    assert sum(one.admit(HERE) is None for _ in range(70)) == 60
    clock.now += 2
    assert sum(one.admit(HERE) is None for _ in range(70)) == 2
    assert one.admit(THERE) is None


def test_some_descriptors_are_kept_for_the_rest() -> None:
    one = guard(descriptors=200)
    assert sum(one.enter() for _ in range(1000)) == 150
    one.leave()
    assert one.enter()


def test_in_a_crowd_clients_have_to_hurry() -> None:
    one = guard(connections=10, data_rate=500)
    assert (one.command_s(), one.data_s(5000)) == (300, 190)
    for _ in range(9):
        one.enter()
    assert (one.command_s(), one.data_s(5000)) == (10, 10.5)


def test_octets_are_given_back_once() -> None:
    one = guard(memory=1000, max_size=100)
    hold = one.hold(HERE)
    assert [hold.take(100) for _ in range(3)] == [True, True, False]  # a quarter for one network
    other = hold.hand_over()
    hold.release()
    assert one.held == 200
    other.release()
    other.release()
    assert one.held == 0
    loopback = [one.hold(ip_address("127.0.0.1")) for _ in range(11)]
    assert [hold.take(100) for hold in loopback] == [True] * 10 + [False]


def test_networks_are_forgotten_but_not_those_that_are_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_NETWORKS", 100)
    one = guard(connections_per_network=1)
    assert one.admit(HERE) is None
    for number in range(1000):
        one.refused_recipient(ip_address(0x0A000000 + (number << 8)))
    assert len(one._networks) <= 101
    assert one.admit(BESIDE) is not None
    one.dismiss(HERE)
    assert one.admit(BESIDE) is None


def test_one_line_a_network_reason_and_second(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[str, str]] = []
    monkeypatch.setattr(module.maillog, "client_abuse", lambda client, what: said.append((client, what)))
    clock = Clock()
    one = guard(clock)
    for what in ("errors", "errors", "slow"):
        one.abuse(HERE, what)
        one.abuse(THERE, what)
    clock.now += 1
    one.abuse(HERE, "errors")
    assert sorted(said) == sorted([(str(HERE), "errors"), (str(THERE), "errors"), (str(HERE), "slow"),
                                   (str(THERE), "slow"), (str(HERE), "errors")])


@given(st.one_of(st.binary(max_size=300), st.binary(max_size=300).map(SIGNATURE.__add__),
                 st.binary(max_size=100).map(lambda rest: b"PROXY TCP4 " + rest + b"\r\n")))
def test_a_header_is_read_or_refused_and_nothing_else(raw: bytes) -> None:
    async def read() -> None:
        reader = asyncio.StreamReader()
        reader.feed_data(raw)
        reader.feed_eof()
        await read_header(reader.readexactly)

    with contextlib.suppress(ProxyError, asyncio.IncompleteReadError):
        asyncio.run(read())


@pytest.mark.parametrize(("raw", "client"), [
    (b"PROXY UNKNOWN\r\n", None), (b"PROXY UNKNOWN anything at all\r\n", None),
    (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "192.0.2.1"), (b"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", "192.0.2.1"),
    (SIGNATURE + b"\x20\x00\x00\x00", None), (SIGNATURE + b"\x21\x00\x00\x00", None),
    (SIGNATURE + b"\x21\x11\x00\x0f" + bytes([192, 0, 2, 1]) + bytes(11), "192.0.2.1"),
    (SIGNATURE + b"\x21\x21\x00\x24" + ip_address("2001:db8::1").packed + bytes(20), "2001:db8::1"),
])
async def test_headers_as_proxies_send_them(raw: bytes, client: str | None) -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(raw + b"EHLO")
    found = await read_header(reader.readexactly)
    assert found == (ip_address(client) if client else None)
    assert await reader.read(10) == b"EHLO"


def test_block_lists_are_asked_backwards() -> None:
    assert query_name(HERE, "bl.example") == "1.2.0.192.bl.example"
    assert query_name(ip_address("2001:db8::1"), "bl.example") == (
        "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bl.example")
    assert plain(ip_address("::ffff:192.0.2.1")) == HERE
