"""The snippets of docs/postfix.md, with a real Postfix on unprivileged ports."""

from __future__ import annotations

import asyncio
import smtplib
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import senders
from postfix_server import IS_THERE, Postfix, snippet
from submitting import port as port_of
from support import BUYER, SELLER, Relay, message

from relay.demo.nameserver import NameServer
from relay.demo.outside import OutsideServer

pytestmark = pytest.mark.skipif(not IS_THERE, reason="needs Debian's postfix, and root to start it")
Start = Callable[..., Awaitable[Relay]]
OTHER_BUYER = "eva@correo.example"
DOMAINS: dict[str, dict[str, Any]] = {"relay": {"hostname": "relay.example", "domains": ["relay.example", "dos.example"]}}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


async def send(port: int, to: str, data: bytes, sender: str = SELLER) -> tuple[str, int, str]:
    """(the command that was answered last, code, text)."""

    def now() -> tuple[str, int, str]:
        with smtplib.SMTP("127.0.0.1", port, local_hostname="client.example", timeout=30) as client:
            client.ehlo()
            client.mail(sender)
            for one in to.split(","):
                code, text = client.rcpt(one)
                if code >= 400:
                    return "RCPT", code, text.decode()
            code, text = client.data(data)
            return "DATA", code, text.decode()

    return await asyncio.to_thread(now)


async def test_in_front_every_refusal_is_told_in_session(start_relay: Start, outside: OutsideServer) -> None:
    relay = await start_relay(**DOMAINS, outbound={"route": f"smtp://127.0.0.1:{outside.port}"})
    alias = relay.order()["buyer"]["alias"]
    port = free_port()
    filter_ = snippet("proxy master.cf", {"192.0.2.25:25": f"127.0.0.1:{port}",
                                          "127.0.0.1:2525": f"127.0.0.1:{relay.port}"})
    with Postfix(snippet("proxy main.cf"), filter_) as front:
        at, code, text = await send(port, alias, message(SELLER, alias))
        assert (at, code) == ("DATA", 250), text + front.log()
        for domain in DOMAINS["relay"]["domains"]:
            at, code, text = await send(port, f"{'0' * 39}@{domain}", b"")
            assert (at, code) == ("RCPT", 550), text
            assert "5.1.1" in text, "Tradepost's own answer"
        at, code, text = await send(port, "ana@correo.example", b"")
        assert (at, code) == ("RCPT", 554), "no open relay"
        at, code, text = await send(port, alias, message("curioso@extra.example", alias), "curioso@extra.example")
        assert at == "DATA"
        assert 500 <= code < 600, text
        assert front.is_empty(1.0), "nothing is kept, so nothing bounces"
    arrived = await outside.wait_for(1)
    assert [one.recipient for one in arrived] == [BUYER]


def bring(number: int, to: list[str], data: bytes, client: str = "") -> None:
    """A message to Postfix, from `client` as it is to believe."""
    with smtplib.SMTP("127.0.0.1", number, local_hostname="mail.tienda.example", timeout=20) as one:
        one.ehlo()
        if client:
            assert one.docmd("XCLIENT", f"ADDR={client} NAME=mail.tienda.example")[0] == 220
            one.ehlo()
        assert one.sendmail(SELLER, to, data) == {}


def fates(front: Postfix) -> list[str]:
    """What became of each delivery by LMTP: one for each attempt."""
    return sorted(line.partition("status=")[2].split()[0] for line in front.log().splitlines()
                  if "/lmtp[" in line and "status=" in line)


def in_both_domains(relay: Relay) -> list[dict[str, Any]]:
    """An order of each relay domain."""
    orders = [relay.order()]
    domains = relay.config["relay"]["domains"]
    relay.config["relay"]["domains"] = domains[::-1]  # the first is the one of new aliases
    relay.write_config()
    orders.append(relay.order("111-2222222-5555555", buyer="B2", buyer_address=OTHER_BUYER, buyer_name="Eva"))
    relay.config["relay"]["domains"] = domains
    relay.write_config()
    assert [one["buyer"]["alias"].rpartition("@")[2] for one in orders] == domains
    return orders


async def test_by_lmtp_one_is_delivered_and_the_other_bounced_by_postfix(
        start_relay: Start, outside: OutsideServer, nameserver: NameServer) -> None:
    nameserver.zone = senders.zone()
    relay = await start_relay(**DOMAINS, listen={"lmtp": "127.0.0.1:0"}, dns={"resolvers": [f"127.0.0.1:{nameserver.port}"]},
                              outbound={"route": f"smtp://127.0.0.1:{outside.port}"})
    to = [order["buyer"]["alias"] for order in in_both_domains(relay)]
    relay.run("block", "add", "--scope", "buyer", "--party", "B2", "--kind", "unsolicited")
    table = snippet("lmtp transport", {"2424": str(await port_of(relay, "lmtp"))})
    main = snippet("lmtp main.cf") + f"relayhost = [127.0.0.1]:{outside.port}\nsmtpd_authorized_xclient_hosts = 127.0.0.1\n"
    number = free_port()
    with Postfix(main, f"127.0.0.1:{number} inet n - n - - smtpd\n", {"transport": table}) as front:
        await asyncio.to_thread(bring, number, to, message(SELLER, ", ".join(to)), senders.SHOP)
        [delivered] = await outside.wait_for(1, BUYER, timeout=30)
        [bounce] = await outside.wait_for(1, SELLER, timeout=30)
        assert await asyncio.to_thread(front.is_empty)
        assert fates(front) == ["bounced", "sent"], "each once"
        assert bounce.reverse_path == "<>"
        assert b"[UNSOLICITED]" in bounce.raw.replace(b"\r\n    ", b" ")
        assert f"Final-Recipient: rfc822; {to[1]}".encode() in bounce.raw
        assert OTHER_BUYER.encode() not in bounce.raw
        assert SELLER.encode() not in delivered.raw
        # whom Postfix had it from is whose SPF is asked about, and an alias that is none is refused at once
        await asyncio.to_thread(bring, number, to[:1], message(SELLER, to[0], "dos"), senders.STRANGER)
        await asyncio.to_thread(bring, number, [f"{'0' * 39}@dos.example"], message(SELLER, to[0], "tres"), senders.SHOP)
        bounces = await outside.wait_for(3, SELLER, timeout=30)
        assert await asyncio.to_thread(front.is_empty)
        assert fates(front) == ["bounced"] * 3 + ["sent"]
    texts = b"".join(one.raw.replace(b"\r\n    ", b" ") for one in bounces)
    assert texts.count(b"[NOT_AUTHENTICATED]") >= 1
    assert texts.count(b"[NO_SUCH_ALIAS]") >= 1
    assert sorted(one["state"] for one in relay.messages()) == ["delivered", "refused", "refused"]


async def test_the_proxy_filter_says_whose_spf_is_asked_about(
        start_relay: Start, outside: OutsideServer, nameserver: NameServer) -> None:
    nameserver.zone = senders.zone()
    relay = await start_relay(**DOMAINS, listen={"xforward_from": ["127.0.0.0/8"]},
                              dns={"resolvers": [f"127.0.0.1:{nameserver.port}"]},
                              outbound={"route": f"smtp://127.0.0.1:{outside.port}"})
    alias = relay.order()["buyer"]["alias"]
    number = free_port()
    filter_ = snippet("proxy master.cf", {"192.0.2.25:25": f"127.0.0.1:{number}",
                                          "127.0.0.1:2525": f"127.0.0.1:{relay.port}"})
    main = snippet("proxy main.cf") + "smtpd_authorized_xclient_hosts = 127.0.0.1\n"
    with Postfix(main, filter_):
        with pytest.raises(smtplib.SMTPDataError, match="NOT_AUTHENTICATED"):
            await asyncio.to_thread(bring, number, [alias], message(SELLER, alias), senders.STRANGER)
        await asyncio.to_thread(bring, number, [alias], message(SELLER, alias, "dos"), senders.SHOP)
    await outside.wait_for(1, BUYER)


async def test_as_smarthost_nothing_is_rewritten(start_relay: Start, outside: OutsideServer) -> None:
    port = free_port()
    smarthost = snippet("smarthost master.cf", {"127.0.0.1:10025": f"127.0.0.1:{port}"})
    # a Postfix that would rewrite whatever else it takes
    main = (f"relayhost = [127.0.0.1]:{outside.port}\nheader_checks = regexp:/etc/postfix/checks\n"
            "canonical_maps = regexp:/etc/postfix/canonical\nvirtual_alias_maps = regexp:/etc/postfix/canonical\n"
            "virtual_alias_domains =\n")
    relay = await start_relay(**DOMAINS, outbound={"route": f"smtp://127.0.0.1:{port}", "retry": ["1s"]})
    orders = in_both_domains(relay)
    postfix = Postfix(main, smarthost)
    with postfix:
        (postfix.etc / "checks").write_text("/^Subject:/ REPLACE Subject: changed\n")
        (postfix.etc / "canonical").write_text("/.*/ changed@elsewhere.example\n")
        postfix.run("postfix", "reload")
        for order in orders:
            to = order["buyer"]["alias"]
            assert (await relay.send(SELLER, to, message(SELLER, to)))[0] == 250
        both = await outside.wait_for(2)
    for order, buyer in zip(orders, (BUYER, OTHER_BUYER), strict=True):
        [arrived] = [one for one in both if one.recipient == buyer]
        assert arrived.reverse_path.rpartition("@")[2] == order["seller"]["alias"].rpartition("@")[2]
        assert b"Subject: Hola\r\n" in arrived.raw
        assert order["seller"]["alias"].encode() in arrived.raw
