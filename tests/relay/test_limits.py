"""What strangers may use up, shown on the running daemon from several networks of 127.0.0.0/8."""

from __future__ import annotations

import asyncio
import json
import resource
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from hostile import PAGE_BYTES, Client, open_files, open_sockets, processor_s, resident_bytes
from support import BUYER, SELLER, Relay, message

from relay.demo.nameserver import NameServer

Start = Callable[..., Awaitable[Relay]]
FORGED = "0" * 38 + "z@relay.example"
OPEN = {"exempt": [], "greeting_delay": 0}
"""Everybody is a stranger, and nobody waits for the greeting."""
SMALL = {"max_size": 1024 * 1024, "attachments_max": 500_000}


def abuses(relay: Relay) -> list[tuple[str, str]]:
    """(client, what) of the lines that fail2ban reads."""
    lines = [json.loads(line) for line in relay.log.read_text().splitlines() if '"client-abuse"' in line]
    return [(line["client"], line["what"]) for line in lines]


async def test_who_talks_before_the_greeting_gets_none(start_relay: Start) -> None:
    relay = await start_relay(limits={"exempt": [], "greeting_delay": "1s"})
    early, patient = await Client.connect(relay.port, "127.0.5.1"), await Client.connect(relay.port, "127.0.6.1")
    early.send(b"EHLO early.example\r\n")
    assert (await early.closed()).startswith("554 5.5.0")
    assert (await patient.reply()).startswith("220")
    assert (await patient.say("EHLO patient.example")).startswith("250")
    assert abuses(relay) == [("127.0.5.1", "early-talker")]
    for client in (early, patient):
        await client.close()


async def test_connections_are_counted_by_network_and_in_all(start_relay: Start) -> None:
    relay = await start_relay(limits=OPEN | {"connections": 4, "connections_per_network": 2, "connects_per_network": 4})
    kept = [await Client.connect(relay.port, f"127.1.1.{host}") for host in (1, 2)]
    for client in kept:
        assert (await client.reply()).startswith("220")

    async def greeted(source: str) -> str:
        client = await Client.connect(relay.port, source)
        answer = await client.reply()
        kept.append(client)
        return answer

    assert (await greeted("127.1.1.3")).startswith("421 4.7.0")
    assert (await greeted("127.1.2.1")).startswith("220")
    await kept[0].say("QUIT")
    assert await kept[0].closed() == ""
    assert (await greeted("127.1.1.4")).startswith("220")
    await kept[1].say("QUIT")
    await kept[1].closed()
    assert (await greeted("127.1.1.5")).startswith("220")
    await kept[4].say("QUIT")
    await kept[4].closed()
    # two are open, but it was four times within the minute
    assert (await greeted("127.1.1.6")).startswith("421 4.7.0")
    for number in (3, 4):
        assert (await greeted(f"127.1.{number}.1")).startswith("220")
    assert (await greeted("127.1.5.1")).startswith("421 4.3.2")
    assert set(abuses(relay)) == {("127.1.1.3", "connections"), ("127.1.1.6", "connects")}
    for client in kept:
        await client.close()


async def test_a_connection_has_so_many_errors_commands_and_messages(start_relay: Start) -> None:
    relay = await start_relay(limits=OPEN | {"errors": 2, "refusals": 3, "commands": 12, "messages": 2})
    alias = relay.order()["buyer"]["alias"]
    junk = await Client.connect(relay.port, "127.2.1.1")
    await junk.reply()
    assert [(await junk.say("GET / HTTP/1.1"))[:3] for _ in range(3)] == ["500", "500", "421"]
    guesser = await Client.connect(relay.port, "127.2.2.1")
    await guesser.begin(SELLER)
    assert [(await guesser.say(f"RCPT TO:<{FORGED}>"))[:3] for _ in range(4)] == ["550", "550", "550", "421"]
    idler = await Client.connect(relay.port, "127.2.3.1")
    await idler.begin(SELLER)
    assert [(await idler.say("RSET"))[:3] for _ in range(11)] == ["250"] * 10 + ["421"]
    endless = await Client.connect(relay.port, "127.2.5.1")
    await endless.reply()
    endless.send(b"x" * 2_000_000)
    await endless.closed()
    writer = await Client.connect(relay.port, "127.2.4.1")
    await writer.reply()
    await writer.say("HELO client.example")
    for answer in ("250", "250", "421"):
        assert (await writer.say(f"MAIL FROM:<{SELLER}>")).startswith(answer)
        if answer == "250":
            await writer.say(f"RCPT TO:<{alias}>")
            assert (await writer.say("DATA")).startswith("354")
            writer.send(message(SELLER, alias) + b".\r\n")
            assert (await writer.reply()).startswith("250 2.6.0")
    assert set(abuses(relay)) == {("127.2.1.1", "errors"), ("127.2.2.1", "guessing"), ("127.2.3.1", "commands"),
                                  ("127.2.5.1", "endless-line")}
    for client in (junk, guesser, idler, endless, writer):
        await client.close()


async def test_the_slow_are_cut_whatever_they_drip(start_relay: Start) -> None:
    relay = await start_relay(limits=OPEN | {
        "command_timeout": "1s", "data_timeout": "1s", "data_rate": 1000, "commands": 10**9})
    alias = relay.order()["buyer"]["alias"]
    assert relay.process
    sockets = open_sockets(relay.process.pid)
    idle, dripping, data, steady, deaf = [
        await Client.connect(relay.port, f"127.3.{number}.1", receive_bytes=4096 if number == 5 else None)
        for number in range(1, 6)]
    for client in (data, steady):
        await client.begin(SELLER, alias)
        assert (await client.say("DATA")).startswith("354")
    await idle.reply()
    await dripping.reply()
    before = resident_bytes(relay.process.pid)

    async def drip(client: Client, octets: bytes) -> str:
        heard = asyncio.create_task(client.closed())
        while not heard.done():
            client.send(octets)
            await asyncio.sleep(0.05)
        return await heard

    async def never_read() -> None:
        deaf.send(b"RSET\r\n" * 500_000)
        deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]
        while '"slow"' not in "".join(line for line in relay.log.read_text().splitlines() if "127.3.5.1" in line):
            await asyncio.sleep(0.05)

    async def keep_pace() -> str:
        for _ in range(30):  # twice the rate that is asked for, and longer than the others have
            steady.send(b"x" * 98 + b"\r\n")
            await asyncio.sleep(0.05)
        steady.send(b".\r\n")
        return await steady.reply()

    said = await asyncio.wait_for(asyncio.gather(
        idle.closed(), drip(dripping, b"x"), drip(data, b"x\r\n"), keep_pace(), never_read()), 30)
    assert [str(line)[:9] for line in said[:3]] == ["421 4.4.2"] * 3
    assert str(said[3]).startswith("550")
    assert set(abuses(relay)) == {(f"127.3.{number}.1", "slow") for number in (2, 3, 5)}
    assert resident_bytes(relay.process.pid) - before < 8 * 1024 * 1024
    for client in (idle, dripping, data, steady):
        await client.close()
    for _ in range(50):  # nothing is waited for that will never be read
        if open_sockets(relay.process.pid) <= sockets:
            break
        await asyncio.sleep(0.1)
    assert open_sockets(relay.process.pid) <= sockets
    deaf.writer.transport.abort()


async def test_messages_in_memory_are_bounded_in_all_and_by_network(start_relay: Start) -> None:
    """Room for two of the biggest, however little is asked for; one network has one of them."""
    relay = await start_relay(policy=SMALL, limits=OPEN | {"memory": 1, "stress_timeout": "60s", "commands": 2000})
    alias = relay.order()["buyer"]["alias"]
    clients = [await Client.connect(relay.port, f"127.4.{number}.1") for number in (1, 1, 2, 3)]
    for client in clients:
        await client.begin(SELLER, alias)
    first, same, second, third = clients
    for client in (first, second):
        assert (await client.say("DATA")).startswith("354")
        client.send(message(SELLER, alias, body="x" * 70 + "\n") + b"y" * 70 + b"\r\n" + (b"z" * 78 + b"\r\n") * 12_000)
    for _ in range(500):  # until both have been read
        await third.say("RSET")
        if (await third.say(f"MAIL FROM:<{SELLER}> SIZE=200000")).startswith("452 4.3.1"):
            break
    assert (await same.say("DATA")).startswith("354")  # there is still some room,
    same.send(b"z" * 98 + b"\r\n")
    same.send((b"z" * 98 + b"\r\n") * 9_000 + b".\r\n")
    assert (await same.reply()).startswith("452 4.3.1")  # but not enough
    assert (await third.say("RSET")).startswith("250")
    assert (await third.say(f"MAIL FROM:<{SELLER}> SIZE=900000")).startswith("452 4.3.1")
    assert (await third.say(f"MAIL FROM:<{SELLER}> SIZE=9000")).startswith("250")
    for client in (first, second):
        client.send(b".\r\n")
        assert (await client.reply()).startswith("250 2.6.0")
    assert (await third.say("RSET")).startswith("250")
    assert (await third.say(f"MAIL FROM:<{SELLER}> SIZE=900000")).startswith("250")
    # and without end: read on for a while, kept no more, then cut
    endless = await Client.connect(relay.port, "127.4.4.1")
    await endless.begin(SELLER, alias)
    assert (await endless.say("DATA")).startswith("354")
    endless.send((b"x" * 98 + b"\r\n") * 60_000)
    await endless.closed()
    assert abuses(relay) == [("127.4.4.1", "endless-message")]
    for client in (*clients, endless):
        await client.close()


async def test_a_network_has_so_many_octets_a_minute(start_relay: Start) -> None:
    relay = await start_relay(limits=OPEN | {"bytes_per_network": 1000})
    alias = relay.order()["buyer"]["alias"]
    client = await Client.connect(relay.port, "127.5.1.1")
    await client.begin(SELLER, alias)
    await client.say("DATA")
    client.send(message(SELLER, alias, body="x" * 70 + "\n" + "y\n" * 600) + b".\r\n")
    assert (await client.reply()).startswith("250 2.6.0")
    assert (await client.say(f"MAIL FROM:<{SELLER}>")).startswith("451 4.7.1")
    other = await Client.connect(relay.port, "127.5.2.1")
    await other.begin(SELLER, alias)
    assert abuses(relay) == [("127.5.1.1", "octets")]
    for one in (client, other):
        await one.close()


async def test_guessing_slows_the_network_down_and_nobody_else(start_relay: Start) -> None:
    relay = await start_relay(limits=OPEN | {"refusals_per_network": 40})
    alias = relay.order()["buyer"]["alias"]
    guessers = [await Client.connect(relay.port, f"127.6.1.{number}") for number in range(1, 9)]
    honest, elsewhere = await Client.connect(relay.port, "127.6.1.200"), await Client.connect(relay.port, "127.6.2.1")
    for client in (*guessers, honest, elsewhere):
        await client.begin(SELLER)

    async def guess(client: Client) -> float:
        started = time.monotonic()
        assert (await client.say(f"RCPT TO:<{FORGED}>")).startswith("550 5.1.1")
        return time.monotonic() - started

    for _ in range(5):
        await asyncio.gather(*map(guess, guessers))
    late = asyncio.gather(guess(guessers[0]), guess(guessers[1]))
    assert (await honest.say(f"RCPT TO:<{alias}>")).startswith("250")
    await guess(elsewhere)
    assert not late.done()  # nobody else had to wait for them
    assert max(await late) > 2  # one and a half, and three seconds
    for client in (*guessers, honest, elsewhere):
        await client.close()


async def test_a_proxy_of_ours_says_who_is_behind_it(start_relay: Start) -> None:
    relay = await start_relay(listen={"proxy_from": ["127.7.0.0/16"]}, limits=OPEN | {"connections_per_network": 1})
    alias = relay.order()["buyer"]["alias"]
    second = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c" + bytes([192, 0, 2, 7, 192, 0, 2, 9]) + b"\x13\x88\x00\x19"
    headers = {b"PROXY TCP4 198.51.100.7 192.0.2.9 5000 25\r\n": "198.51.100.7", second: "192.0.2.7",
               b"PROXY TCP6 2001:db8::7 2001:db8::9 5000 25\r\n": "2001:db8::7"}
    clients = []
    for header, named in headers.items():
        client = await Client.connect(relay.port, "127.7.0.1")
        client.send(header)
        await client.begin(SELLER, alias)
        assert (await client.say(f"RCPT TO:<{FORGED}>")).startswith("550")
        assert f'"client": "{named}"' in relay.log.read_text()
        again = await Client.connect(relay.port, "127.7.0.1")
        again.send(header)
        assert (await again.reply()).startswith("421 4.7.0")
        clients += [client, again]
    for wrong in (b"EHLO client.example\r\n", b"PROXY TCP4 198.51.100.7\r\n", b"PROXY TCP4 2001:db8::7 ::1 1 2\r\n",
                  b"PROXY " + b"x" * 200, b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff"):
        liar = await Client.connect(relay.port, "127.7.0.1")
        liar.send(wrong)
        assert await liar.closed() == ""
        clients.append(liar)
    stranger = await Client.connect(relay.port, "127.8.0.1")
    await stranger.reply()
    assert (await stranger.say("PROXY TCP4 203.0.113.1 192.0.2.9 5000 25")).startswith("500")
    assert "203.0.113.1" not in relay.log.read_text()
    for client in (*clients, stranger):
        await client.close()


async def test_who_is_on_a_block_list_may_not_write(start_relay: Start, nameserver: NameServer) -> None:
    nameserver.zone = {("1.1.9.127.bl.example", "A"): ["127.0.0.2"], ("1.2.9.127.bl.example", "A"): ["127.255.255.254"],
                       ("1.3.9.127.bl.example", "A"): ["SERVFAIL"]}
    relay = await start_relay(dns={"resolvers": [f"127.0.0.1:{nameserver.port}"], "timeout": "1s"},
                              limits=OPEN | {"dnsbl": ["bl.example"]})
    for number, answer in ((1, "554 5.7.1"), (2, "250"), (3, "250"), (4, "250")):
        client = await Client.connect(relay.port, f"127.9.{number}.1")
        await client.reply()
        await client.say("HELO client.example")
        assert (await client.say(f"MAIL FROM:<{SELLER}>")).startswith(answer), number
        await client.close()
    assert abuses(relay) == [("127.9.1.1", "dnsbl")]


async def test_without_file_descriptors_it_sheds_and_goes_on(start_relay: Start) -> None:
    relay = await start_relay()
    alias = relay.order()["buyer"]["alias"]
    assert relay.process
    pid = relay.process.pid
    hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (open_files(pid) + 10, hard))
    clients = [await Client.connect(relay.port) for _ in range(40)]
    greetings = [await client.reply() for client in clients]
    assert 5 <= sum(line.startswith("220") for line in greetings) <= 10
    assert all(line.startswith(("220", "421 4.3.2")) or not line for line in greetings)
    used = processor_s(pid)
    await asyncio.sleep(1)
    assert processor_s(pid) - used < 0.5  # asyncio's own accept spins here
    assert '"turned-away"' in relay.log.read_text()
    for client in clients:
        await client.close()
    # not even the one that is kept for turning away: who comes waits, and so does the daemon
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, hard))
    clients = [await Client.connect(relay.port) for _ in range(3)]
    used = processor_s(pid)
    await asyncio.sleep(1)
    assert processor_s(pid) - used < 0.5
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (hard, hard))
    assert [(await client.reply())[:3] for client in clients] == ["220"] * 3
    for client in clients:
        await client.close()
    assert (await relay.send(SELLER, alias, message(SELLER, alias)))[0] == 250


async def test_without_memory_for_one_message_the_others_go_on(start_relay: Start) -> None:
    relay = await start_relay(policy={"max_size": "512MiB"}, limits={"memory": "2GiB"})
    alias = relay.order()["buyer"]["alias"]
    assert relay.process
    pid = relay.process.pid
    assert (await relay.send(SELLER, alias, message(SELLER, alias)))[0] == 250
    bound = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * PAGE_BYTES + 64 * 1024 * 1024
    resource.prlimit(pid, resource.RLIMIT_AS, (bound, resource.RLIM_INFINITY))
    client = await Client.connect(relay.port)
    await client.begin(SELLER, alias)
    assert (await client.say("DATA")).startswith("354")
    client.send(message(SELLER, alias))
    for _ in range(1000):
        client.send((b"x" * 98 + b"\r\n") * 800)
        await client.writer.drain()
    client.send(b".\r\n")
    assert (await client.reply()).startswith("451 4.3.0")
    assert (await client.say("NOOP")).startswith("250")
    assert (await relay.send(SELLER, alias, message(SELLER, alias)))[0] == 250
    assert (await relay.send(BUYER, relay.order()["seller"]["alias"], message(BUYER, alias)))[0] == 250
    await client.close()




async def test_who_is_cut_only_since_the_relay_is_full_is_not_to_be_banned(start_relay: Start) -> None:
    """With four fifths of the places taken clients have to hurry, and with all of them nobody comes in."""
    relay = await start_relay(limits=OPEN | {"connections": 5, "stress_timeout": "1s"})
    alias = relay.order()["buyer"]["alias"]
    clients = [await Client.connect(relay.port, f"127.10.{number}.1") for number in range(5)]
    for client in clients[:2]:
        await client.begin(SELLER, alias)
        assert (await client.say("DATA")).startswith("354")
        client.send(b"x")
    for client in clients[2:]:
        assert (await client.reply()).startswith("220")
        client.send(b"NOO")
    late = await Client.connect(relay.port, "127.10.9.1")
    assert (await late.closed()).startswith("421 4.3.2")
    said = [(await clients[0].closed())[:9], (await clients[2].closed())[:9]]
    assert said == ["421 4.4.2"] * 2
    assert abuses(relay) == []
    assert '"turned-away"' in relay.log.read_text()
    for client in (*clients, late):
        await client.close()


async def test_a_proxy_that_names_nobody_is_cut_and_not_banned(start_relay: Start) -> None:
    relay = await start_relay(listen={"proxy_from": ["127.7.0.0/16"]}, limits=OPEN | {"command_timeout": "1s"})
    proxy = await Client.connect(relay.port, "127.7.0.1")
    proxy.send(b"PROXY TCP4 198.51")
    assert (await proxy.closed()).startswith("421 4.4.2")
    assert abuses(relay) == []
    await proxy.close()
