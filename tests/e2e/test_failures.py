"""What happens when delivery fails: retries, warnings, DSNs out and in, the queue's commands."""

from __future__ import annotations

import asyncio
import json
import resource
import smtplib
from collections.abc import Awaitable, Callable
from typing import Any

from support import BUYER, SELLER, Relay, crlf, message

from relay.demo.nameserver import NameServer
from relay.demo.outside import OutsideServer

Start = Callable[..., Awaitable[Relay]]


async def failing(start_relay: Start, outside: OutsideServer, **outbound: Any) -> tuple[Relay, str]:
    relay = await start_relay(outbound={"route": f"smtp://127.0.0.1:{outside.port}", "retry": ["1s"]} | outbound)
    return relay, relay.order()["buyer"]["alias"]


async def test_a_server_that_is_down_gets_the_message_when_it_is_up(start_relay: Start, outside: OutsideServer) -> None:
    relay, alias = await failing(start_relay, outside)
    port = outside.port
    await outside.stop()
    assert (await relay.send(SELLER, alias, message(SELLER, alias)))[0] == 250
    await relay.settle("deferred")
    queued = relay.json("queue", "list")[0]
    assert (queued["to"], queued["state"], queued["code"]) == ("buyer:B1", "deferred", "4.4.1")
    assert BUYER not in relay.run("queue", "list")
    await outside.start(port)
    await outside.wait_for(1, BUYER)
    await relay.settle("delivered")
    events = relay.json("message", "show", relay.messages()[0]["id"])[0]["events"]
    assert [event["kind"] for event in events][:3] == ["verdict", "attempt", "outcome"]
    assert events[-1]["name"] == "delivered"


async def test_a_refusal_becomes_our_own_dsn(start_relay: Start, outside: OutsideServer) -> None:
    relay, alias = await failing(start_relay, outside)
    outside.answers[BUYER] = f"550 5.1.1 <{BUYER}> no such mailbox"
    await relay.send(SELLER, alias, message(SELLER, alias, Message_ID="<s1@tienda.example>"))
    dsn = (await outside.wait_for(1, SELLER))[0]
    assert dsn.reverse_path in ("", "<>")
    assert b"Final-Recipient: rfc822; " + alias.encode() in dsn.raw
    assert b"Status: 5.1.1" in dsn.raw
    assert b"In-Reply-To: <s1@tienda.example>" in dsn.raw
    assert b"no such mailbox" not in dsn.raw
    assert BUYER.encode() not in dsn.raw
    entry = (await relay.settle("failed"))[0]
    remote = [event["remote"] for event in relay.json("message", "show", entry["id"])[0]["events"]]
    assert f"5.1.1 <{BUYER}> no such mailbox" in remote  # the operator sees it; nobody else, and no log
    assert BUYER not in relay.log.read_text()


async def test_a_dsn_that_fails_makes_no_other(start_relay: Start, outside: OutsideServer) -> None:
    relay, alias = await failing(start_relay, outside)
    outside.answers |= {BUYER: "550 5.1.1 no", SELLER: "550 5.1.1 no"}
    await relay.send(SELLER, alias, message(SELLER, alias))
    for _ in range(100):
        if not relay.json("queue", "list"):
            break
        await asyncio.sleep(0.1)
    events = relay.json("message", "show", relay.messages()[0]["id"])[0]["events"]
    assert [event["name"] for event in events if event["kind"] == "outcome"] == ["failed", "failed"]


async def test_the_originator_is_warned_once_and_told_in_the_end(start_relay: Start, outside: OutsideServer) -> None:
    relay, alias = await failing(start_relay, outside, warn_after="1s", give_up_after="4s")
    outside.answers[BUYER] = "451 4.2.1 not now"
    await relay.send(SELLER, alias, message(SELLER, alias))
    notices = await outside.wait_for(2, SELLER, timeout=20)
    assert [b"Action: delayed" in one.raw for one in notices] == [True, False]
    assert b"Status: 5.4.7" in notices[1].raw
    await relay.settle("failed")


async def test_a_dsn_that_comes_back_is_tied_to_its_message(relay: Relay, outside: OutsideServer) -> None:
    alias = relay.order()["buyer"]["alias"]
    await relay.send(SELLER, alias, message(SELLER, alias))
    sent = (await outside.wait_for(1, BUYER))[0]
    await relay.settle("delivered")
    bounce = crlf(f"From: MAILER-DAEMON@correo.example\nTo: {sent.reverse_path}\nMIME-Version: 1.0\n"
                  "Content-Type: multipart/report; report-type=delivery-status; boundary=x\n\n"
                  "--x\nContent-Type: text/plain\n\nno\n"
                  "--x\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx\n\n"
                  f"Final-Recipient: rfc822; {BUYER}\nAction: failed\nStatus: 5.2.2\n--x--\n")
    assert (await relay.send("", sent.reverse_path, bounce))[0] == 250
    dsn = (await outside.wait_for(1, SELLER))[0]
    assert b"Status: 5.2.2" in dsn.raw
    assert BUYER.encode() not in dsn.raw
    assert relay.messages()[0]["state"] == "failed"
    assert (await relay.send("", sent.reverse_path, bounce))[0] == 250  # again: recorded, not told twice
    vacation = message(BUYER, sent.reverse_path, Auto_Submitted="auto-replied")
    assert (await relay.send("", sent.reverse_path, vacation))[0] == 250
    await asyncio.sleep(0.5)
    assert len(outside.arrived) == 2


async def test_hold_release_retry_and_drop(start_relay: Start, outside: OutsideServer) -> None:
    relay, alias = await failing(start_relay, outside, retry=["1h"])
    outside.answers[BUYER] = "451 4.2.1 not now"
    await relay.send(SELLER, alias, message(SELLER, alias, "uno"))
    await relay.settle("deferred")
    assert relay.run("queue", "hold", "--all") == "hold: 1\n"
    assert relay.messages("--filter", "held")
    assert relay.run("queue", "retry", "--all", check=1) == "retry: 0\n"
    del outside.answers[BUYER]
    assert relay.run("queue", "release", "--destination", "correo.example") == "release: 1\n"
    await outside.wait_for(1, BUYER)
    outside.answers[BUYER] = "451 4.2.1 not now"
    await relay.send(SELLER, alias, message(SELLER, alias, "dos"))
    await relay.settle("deferred")
    relay.run("queue", "drop", relay.json("queue", "list")[0]["id"])
    dsn = (await outside.wait_for(1, SELLER))[0]
    assert b"Action: failed" in dsn.raw
    await relay.settle("failed")


async def test_big_content_is_a_file_that_survives_a_restart(start_relay: Start, outside: OutsideServer) -> None:
    relay, alias = await failing(start_relay, outside)
    port = outside.port
    await outside.stop()
    body = "línea\n" * 100_000
    await relay.send(SELLER, alias, message(SELLER, alias, body=body))
    await relay.settle("deferred")
    spooled = list((relay.folder / "var" / "spool").iterdir())
    assert len(spooled) == 1
    assert b"l\xc3\xadnea" not in spooled[0].read_bytes()
    await relay.stop()
    await outside.start(port)
    await relay.start()
    assert crlf(body) in (await outside.wait_for(1))[0].raw


async def test_an_io_error_is_421_ends_the_process_and_loses_nothing(start_relay: Start, outside: OutsideServer) -> None:
    """A file size limit makes the kernel refuse the write (EFBIG): a real I/O error under the running daemon."""
    relay, alias = await failing(start_relay, outside)
    port = outside.port
    await outside.stop()
    assert (await relay.send(SELLER, alias, message(SELLER, alias, "antes")))[0] == 250
    assert relay.process
    pid = relay.process.pid
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1024, 1024))
    code, text = await relay.send(SELLER, alias, message(SELLER, alias, "durante"))
    assert code == 421, text
    assert await asyncio.to_thread(relay.process.wait, 15) == 1
    await outside.start(port)
    await relay.start()
    await outside.wait_for(1, BUYER)
    assert [line["subject"] for line in relay.messages()] == ["antes"]


async def test_tls_that_fails_falls_back_to_plain_text(start_relay: Start, outside: OutsideServer) -> None:
    """A server that offers STARTTLS and then cannot speak it: RFC 7435 prefers the mail to the encryption."""
    async def offer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", outside.port)

        async def pump() -> None:
            while line := await there.readline():
                writer.write(line.replace(b"250 HELP", b"250 STARTTLS"))
            writer.close()

        pumping = asyncio.create_task(pump())
        while line := await reader.readline():
            if line.upper().startswith(b"STARTTLS"):
                writer.write(b"220 go ahead\r\n")
                writer.write(b"not TLS at all\r\n")
                await writer.drain()
                break
            back.write(line)
        back.close()
        writer.close()
        await asyncio.gather(pumping, return_exceptions=True)

    front = await asyncio.start_server(offer, "127.0.0.1", 0)
    port = front.sockets[0].getsockname()[1]
    relay = await start_relay(outbound={"route": f"smtp://127.0.0.1:{port}", "retry": ["1h"]})
    alias = relay.order()["buyer"]["alias"]
    await relay.send(SELLER, alias, message(SELLER, alias))
    assert not (await outside.wait_for(1, BUYER))[0].over_tls
    await relay.settle("delivered")
    front.close()


async def test_the_mail_log_is_readable(relay: Relay, outside: OutsideServer) -> None:
    alias = relay.order()["buyer"]["alias"]
    await relay.send(SELLER, alias, message(SELLER, alias))
    trace = (await relay.settle("delivered"))[0]["trace"]
    events = relay.json("tail", "--no-follow", "--trace", trace)
    assert [(event["kind"], event["name"]) for event in events] == [
        ("verdict", "pass"), ("attempt", "1"), ("outcome", "delivered")]
    assert {event["trace"] for event in events} == {trace}
    # the same trace runs through the daemon's log, from accept to delivery
    logged = [json.loads(line) for line in relay.log.read_text().splitlines()]
    assert [line["event"] for line in logged if line.get("trace") == trace] == ["accepted", "delivered"]


async def test_ipv6_both_ways(start_relay: Start, nameserver: NameServer) -> None:
    outside = OutsideServer()
    await outside.start(host="::1")
    nameserver.zone = {("correo.example", "MX"): ["10 mx.correo.example."], ("mx.correo.example", "AAAA"): ["::1"]}
    relay = await start_relay(listen={"mx": ["127.0.0.1:0", "[::1]:0"]},
                              outbound={"route": "mx", "port": outside.port, "allow_loopback": True},
                              dns={"resolvers": [f"127.0.0.1:{nameserver.port}"]})
    alias = relay.order()["buyer"]["alias"]
    while '"[::1]:' not in relay.log.read_text():  # start() waits for the first listener
        await asyncio.sleep(0.02)
    listening = [json.loads(line)["where"] for line in relay.log.read_text().splitlines() if '"listening"' in line]
    port = int(next(where for where in listening if where.startswith("[::1]")).rpartition(":")[2])

    def over_ipv6() -> None:
        with smtplib.SMTP("::1", port, local_hostname="client.example", timeout=20) as client:
            client.sendmail(SELLER, alias, message(SELLER, alias))

    await asyncio.to_thread(over_ipv6)
    await outside.wait_for(1, BUYER)
    await outside.stop()


async def test_a_next_hop_of_seven_bits_gets_seven_bits(relay: Relay, outside: OutsideServer) -> None:
    outside.lacks = frozenset({"8BITMIME"})
    alias = relay.order()["buyer"]["alias"]
    await relay.send(SELLER, alias, message(SELLER, alias, "ñandú", body="mañana\n"))
    arrived = (await outside.wait_for(1, BUYER))[0].raw
    assert arrived.isascii()
    assert b"ma=C3=B1ana" in arrived
    assert b"Subject: =?utf-8?B?" in arrived


async def test_an_address_beyond_ascii_needs_a_hop_that_can(relay: Relay, outside: OutsideServer) -> None:
    alias = relay.order(buyer="B9", buyer_address="josé@correo.example")["buyer"]["alias"]
    await relay.send(SELLER, alias, message(SELLER, alias))
    assert (await outside.wait_for(1))[0].recipient == "josé@correo.example"
    outside.lacks = frozenset({"SMTPUTF8"})
    await relay.stop()
    await relay.start()
    await relay.send(SELLER, alias, message(SELLER, alias, "dos"))
    dsn = (await outside.wait_for(1, SELLER))[0]
    assert b"Status: 5.6.7" in dsn.raw


async def test_hold_stops_what_waits_in_memory_and_retry_leaves_what_is_being_sent(
        start_relay: Start, outside: OutsideServer) -> None:
    """A destination that is slow: one message is being sent, the next waits behind it, leased as well."""
    relay, alias = await failing(start_relay, outside, connections_per_host=1)
    outside.pause = asyncio.Event()
    await relay.send(SELLER, alias, message(SELLER, alias, "uno"))
    await relay.send(SELLER, alias, message(SELLER, alias, "dos"))
    await outside.paused.wait()
    assert relay.run("queue", "retry", "--all", check=1) == "retry: 0\n"
    second = relay.json("queue", "list")[1]["id"]
    assert relay.run("queue", "hold", second) == "hold: 1\n"
    outside.pause.set()
    await relay.settle("delivered")
    assert [line["state"] for line in relay.messages()] == ["held", "delivered"]
    relay.run("queue", "release", "--all")
    await relay.settle("delivered", 2)
    assert len(outside.arrived) == 2


async def test_sigterm_does_not_wait_for_a_destination_that_hangs(start_relay: Start, outside: OutsideServer) -> None:
    relay, alias = await failing(start_relay, outside)
    outside.pause = asyncio.Event()
    await relay.send(SELLER, alias, message(SELLER, alias))
    await outside.paused.wait()
    started = asyncio.get_running_loop().time()
    assert await relay.stop() == 0
    assert asyncio.get_running_loop().time() - started < 10
    outside.pause.set()
    await relay.start()
    await relay.settle("delivered")
