"""LMTP (RFC 2033) by smtplib.LMTP, and XFORWARD from who may say it."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import Any

import pytest
from submitting import listeners, port
from support import BUYER, SELLER, Relay, message

from relay.demo.outside import OutsideServer
from relay.receive.xforward import Forwarded, parse

Start = Callable[..., Awaitable[Relay]]
OPTED_OUT = "111-2222222-5555555"


async def lmtp(relay: Relay, work: Callable[[smtplib.LMTP], Any]) -> Any:
    number = await port(relay, "lmtp")

    def run() -> Any:
        client = smtplib.LMTP("127.0.0.1", number, local_hostname="mx.example")
        client.sock.settimeout(20)
        try:
            client.ehlo()  # it says LHLO
            return work(client)
        finally:
            client.close()

    return await asyncio.to_thread(run)


def two_orders(relay: Relay) -> list[str]:
    """Aliases of a buyer who takes everything, and of one who takes nothing unsolicited."""
    to = [str(relay.order()["buyer"]["alias"]),
          str(relay.order(OPTED_OUT, buyer="B2", buyer_address="eva@correo.example", buyer_name="Eva")["buyer"]["alias"])]
    relay.run("block", "add", "--scope", "buyer", "--party", "B2", "--kind", "unsolicited")
    return to


def hand_over(client: smtplib.LMTP, mail_from: str, to: list[str], data: bytes) -> list[str]:
    """The replies after the data: as many as recipients were taken."""
    assert client.mail(mail_from, ["BODY=8BITMIME"])[0] == 250
    taken = [client.rcpt(one)[0] for one in to].count(250)
    replies = [client.data(data)] + [client.getreply() for _ in range(taken - 1)]
    return [f"{code} {text.decode()}" for code, text in replies]


async def test_each_recipient_has_a_reply_of_its_own(start_relay: Start, outside: OutsideServer) -> None:
    relay = await start_relay(**listeners(outside))
    to = two_orders(relay)

    def work(client: smtplib.LMTP) -> list[str]:
        replies = hand_over(client, SELLER, [to[1], to[0], "forged@relay.example", to[0]], message(SELLER, ", ".join(to)))
        client.sock.settimeout(0.3)
        with pytest.raises((TimeoutError, OSError)):
            client.sock.recv(1)  # not one reply more
        return replies

    replies = await lmtp(relay, work)
    assert [reply[:9] for reply in replies] == ["550 5.7.1", "250 2.6.0", "250 2.6.0"]
    assert replies[0].endswith("[UNSOLICITED]")
    await outside.wait_for(1, BUYER)
    states = sorted((one["buyer"], one["state"]) for one in relay.messages())
    assert [buyer for buyer, _ in states] == ["B1", "B2"]
    assert states[1][1] == "refused"
    assert len(outside.arrived) == 1  # the mail server in front tells the originator, not we


async def test_a_message_that_cannot_be_taken_is_refused_for_each(start_relay: Start, outside: OutsideServer) -> None:
    relay = await start_relay(**listeners(outside))
    to = two_orders(relay)
    replies = await lmtp(relay, lambda client: hand_over(client, SELLER, to, b"Subject: x\r\n\r\n\0\r\n"))
    assert [reply[:9] for reply in replies] == ["550 5.6.0"] * 2


async def test_the_words_of_lmtp(start_relay: Start, outside: OutsideServer) -> None:
    relay = await start_relay(**listeners(outside))

    def work(client: smtplib.LMTP) -> list[int]:
        assert client.docmd("HELO", "x")[0] == client.docmd("EHLO", "x")[0] == 500
        client.mail(SELLER)
        client.rcpt("forged@relay.example")
        return [client.docmd("DATA")[0], client.rset()[0], client.quit()[0]]

    assert await lmtp(relay, work) == [503, 250, 221]


async def test_only_peers_may_come(start_relay: Start, outside: OutsideServer) -> None:
    relay = await start_relay(**listeners(outside, lmtp={"peers": ["192.0.2.0/24"]}))
    with pytest.raises(smtplib.SMTPConnectError, match=r"554.*5\.7\.1"):
        await lmtp(relay, lambda client: None)


async def test_the_client_behind_is_who_is_judged(start_relay: Start, outside: OutsideServer) -> None:
    """A blocked network is found behind the mail server; of the next message nothing is known any more."""
    relay = await start_relay(**listeners(outside))
    to = two_orders(relay)[0]
    relay.run("block", "add", "--scope", "relay", "--kind", "network", "--value", "203.0.113.0/24")
    relay.run("block", "add", "--scope", "relay", "--kind", "network", "--value", "2001:db8::/32")

    def work(client: smtplib.LMTP) -> list[int]:
        assert "xforward" in client.esmtp_features
        codes = []
        for line in ("ADDR=203.0.113.7 NAME=mail.example HELO=mail.example PROTO=ESMTP", "ADDR=IPV6:2001:db8::1",
                     "ADDR=[UNAVAILABLE]", "ADDR=198.51.100.1"):
            assert client.docmd("XFORWARD", line)[0] == 250
            client.mail(SELLER)
            codes.append(client.rcpt(to)[0])
            client.rset()
        client.docmd("XFORWARD", "ADDR=203.0.113.7")
        client.rset()
        client.mail(SELLER)
        codes += [client.rcpt(to)[0], client.docmd("XFORWARD", "ADDR=203.0.113.7")[0]]
        client.rset()
        return [*codes, client.docmd("XFORWARD", "ADDR=nowhere")[0], client.docmd("XFORWARD", "COLOUR=red")[0]]

    assert await lmtp(relay, work) == [550, 550, 250, 250, 250, 503, 501, 501]


@pytest.mark.parametrize(("listed", "code"), [([], 550), (["127.0.0.0/8"], 250)])
async def test_on_the_mx_only_listed_servers_are_believed(start_relay: Start, listed: list[str], code: int) -> None:
    relay = await start_relay(listen={"xforward_from": listed})

    def work() -> tuple[bool, int]:
        with smtplib.SMTP("127.0.0.1", relay.port, timeout=20) as client:
            client.ehlo()
            return "xforward" in client.esmtp_features, client.docmd("XFORWARD", "ADDR=203.0.113.7")[0]

    assert await asyncio.to_thread(work) == (bool(listed), code)


@pytest.mark.parametrize(("said", "found"), [
    ("ADDR=192.0.2.1", Forwarded(ip_address("192.0.2.1"))),
    ("addr=::ffff:192.0.2.1 helo=a+2Bb", Forwarded(ip_address("192.0.2.1"), "a+b")),
    ("ADDR=IPv6:2001:db8::1 HELO=[UNAVAILABLE]", Forwarded(ip_address("2001:db8::1"))),
    ("NAME=x PORT=1 PROTO=SMTP IDENT=q SOURCE=LOCAL ADDR=[TEMPUNAVAIL]", Forwarded()),
    ("", None), ("ADDR", None), ("ADDR=1.2.3", None), ("HELO=a+0D+0Ab", None), ("HELO=a+4", None), ("X=y", None),
])
def test_what_xforward_says(said: str, found: Forwarded | None) -> None:
    assert parse(said, None) == found


def test_attributes_add_up() -> None:
    first = parse("HELO=mail.example", None)
    assert parse("ADDR=192.0.2.1", first) == Forwarded(ip_address("192.0.2.1"), "mail.example")
