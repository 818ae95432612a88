"""The snippets of docs/postfix.md, with a real Postfix on unprivileged ports."""

from __future__ import annotations

import asyncio
import smtplib
import socket
from collections.abc import Awaitable, Callable

import pytest
from postfix_server import IS_THERE, Postfix, snippet
from support import BUYER, SELLER, Relay, message

from relay.demo.outside import OutsideServer

pytestmark = pytest.mark.skipif(not IS_THERE, reason="needs Debian's postfix, and root to start it")
Start = Callable[..., Awaitable[Relay]]
DOMAINS = {"relay": {"hostname": "relay.example", "domains": ["relay.example", "dos.example"]}}


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


class LmtpServer:
    """Takes mail for recipients that begin with "good", refuses the others after the data: one reply each (RFC 2033)."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.tried: list[str] = []
        self.xforward = ""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        recipients: list[str] = []
        writer.write(b"220 stub LMTP\r\n")
        while line := (await reader.readline()).decode():
            verb = line[:4].upper()
            if verb == "LHLO":
                writer.write(b"250-stub\r\n250 XFORWARD NAME ADDR PROTO HELO SOURCE PORT\r\n")
            elif verb == "XFOR":
                self.xforward += line
                writer.write(b"250 2.0.0 Ok\r\n")
            elif verb == "DATA":
                writer.write(b"354 Go\r\n")
                await reader.readuntil(b"\r\n.\r\n")
                for one in recipients:
                    good = one.startswith("good")
                    self.tried.append(one)
                    self.taken += [one] if good else []
                    writer.write(b"250 2.6.0 Kept\r\n" if good else b"550 5.7.1 Write about your order instead\r\n")
                recipients = []
            elif verb == "QUIT":
                writer.write(b"221 2.0.0 Bye\r\n")
                break
            else:
                if verb == "RCPT":
                    recipients.append(line.partition("<")[2].partition(">")[0])
                writer.write(b"250 2.1.0 Ok\r\n")
        writer.close()


async def test_by_lmtp_one_is_delivered_and_the_other_bounced_by_postfix(outside: OutsideServer) -> None:
    lmtp, port = LmtpServer(), free_port()
    server = await asyncio.start_server(lmtp.handle, "127.0.0.1", 0)
    there = f"{server.sockets[0].getsockname()[1]}"
    table = snippet("lmtp transport", {"2424": there})
    main = snippet("lmtp main.cf") + f"relayhost = [127.0.0.1]:{outside.port}\n"
    with Postfix(main, f"127.0.0.1:{port} inet n - n - - smtpd\n", {"transport": table}) as front:
        assert (await send(port, "good@relay.example,bad@dos.example,bad@relay.example", message(SELLER, "x@y.example")))[1] == 250
        bounces = await outside.wait_for(1)
        assert await asyncio.to_thread(front.is_empty), "none is deferred"
        log = front.log()
    server.close()
    assert lmtp.taken == ["good@relay.example"]
    assert sorted(lmtp.tried) == ["bad@dos.example", "bad@relay.example", "good@relay.example"], "each once"
    assert "status=deferred" not in log
    assert log.count("status=bounced") == 2
    assert {one.recipient for one in bounces} == {SELLER}
    assert b"Write about your order instead" in bounces[0].raw
    assert "ADDR=127.0.0.1" in lmtp.xforward


async def test_as_smarthost_nothing_is_rewritten(start_relay: Start, outside: OutsideServer) -> None:
    port = free_port()
    smarthost = snippet("smarthost master.cf", {"127.0.0.1:10025": f"127.0.0.1:{port}"})
    # a Postfix that would rewrite whatever else it takes
    main = (f"relayhost = [127.0.0.1]:{outside.port}\nheader_checks = regexp:/etc/postfix/checks\n"
            "canonical_maps = regexp:/etc/postfix/canonical\nvirtual_alias_maps = regexp:/etc/postfix/canonical\n"
            "virtual_alias_domains =\n")
    relay = await start_relay(outbound={"route": f"smtp://127.0.0.1:{port}", "retry": ["1s"]})
    order = relay.order()
    postfix = Postfix(main, smarthost)
    with postfix:
        (postfix.etc / "checks").write_text("/^Subject:/ REPLACE Subject: changed\n")
        (postfix.etc / "canonical").write_text("/.*/ changed@elsewhere.example\n")
        postfix.run("postfix", "reload")
        assert (await relay.send(SELLER, order["buyer"]["alias"], message(SELLER, order["buyer"]["alias"])))[0] == 250
        (arrived,) = await outside.wait_for(1)
    assert arrived.recipient == BUYER
    assert arrived.reverse_path.endswith("@relay.example")
    assert b"Subject: Hola\r\n" in arrived.raw
    assert order["seller"]["alias"].encode() in arrived.raw
