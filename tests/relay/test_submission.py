"""Submission with a password over real sockets: what is offered, what is asked, what is refused (RFC 4954, 6409)."""

from __future__ import annotations

import asyncio
import smtplib
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiosmtplib
import pytest
from operating import logged, until
from submitting import (
    OTHERS_PASSWORD,
    PASSWORD,
    add_login,
    coded,
    connect,
    listeners,
    plain,
    port,
    session,
    submit,
    trusting,
    type_in,
)
from support import BUYER, ORDER, SELLER, Relay, message

from relay.demo.outside import OutsideServer
from relay.receive.logins import DELAY_S

Start = Callable[..., Awaitable[Relay]]


@pytest.fixture
async def relay(start_relay: Start, outside: OutsideServer) -> Relay:
    relay = await start_relay(**listeners(outside))
    relay.order()
    add_login(relay)
    return relay


def login(client: smtplib.SMTP, name: str = "S1", password: str = PASSWORD) -> tuple[int, bytes]:
    return client.docmd("AUTH", f"PLAIN {plain(name, password)}")


def alias(relay: Relay, order: str = ORDER) -> str:
    return str(relay.json("order", "show", order)[0]["buyer"]["alias"])


# -- the dialogue --------------------------------------------------------------------------------------------


async def test_a_password_is_asked_for_over_tls_only(relay: Relay) -> None:
    def plainly(client: smtplib.SMTP) -> None:
        assert "auth" not in client.esmtp_features
        assert "starttls" in client.esmtp_features
        code, text = login(client)
        assert (code, text[:6]) == (538, b"5.7.11")
        code, text = client.mail(SELLER)
        assert (code, text[:5]) == (530, b"5.7.0")

    def encrypted(client: smtplib.SMTP) -> None:
        assert client.esmtp_features["auth"].split() == ["PLAIN", "LOGIN"]
        assert "starttls" not in client.esmtp_features
        assert client.docmd("STARTTLS")[0] == 502
        assert client.mail(SELLER)[0] == 530
        assert login(client) == (235, b"2.7.0 Welcome")

    await session(await port(relay, "submission"), plainly, tls=False)
    await session(await port(relay, "submission"), encrypted)
    await session(await port(relay, "submissions"), encrypted, implicit=True)
    assert PASSWORD not in relay.log.read_text()


async def test_the_mx_offers_no_auth(relay: Relay) -> None:
    def work(client: smtplib.SMTP) -> None:
        assert "auth" not in client.esmtp_features
        assert login(client)[0] == 502

    await session(relay.port, work)


DIALOGUES = [
    ([f"AUTH PLAIN {plain('S1', PASSWORD)}"], ["235 2.7.0"]),
    ([f"auth plain {plain('S1', PASSWORD, 'S1')}"], ["235 2.7.0"]),
    ([f"AUTH PLAIN {plain('S1', PASSWORD, 'S2')}"], ["535 5.7.8"]),
    (["AUTH PLAIN", plain("S1", PASSWORD)], ["334 ", "235 2.7.0"]),
    (["AUTH LOGIN", coded("S1"), coded(PASSWORD)], ["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "235 2.7.0"]),
    ([f"AUTH LOGIN {coded('S1')}", coded(PASSWORD)], ["334 UGFzc3dvcmQ6", "235 2.7.0"]),
    (["AUTH PLAIN ="], ["501 5.5.2"]),
    (["AUTH PLAIN", "*"], ["334 ", "501 5.7.0"]),
    (["AUTH LOGIN", coded("S1"), "*"], ["334 ", "334 ", "501 5.7.0"]),
    (["AUTH PLAIN !!!!"], ["501 5.5.2"]),
    (["AUTH PLAIN", "AGE"], ["334 ", "501 5.5.2"]),
    ([f"AUTH PLAIN {coded('S1')}"], ["501 5.5.2"]),
    (["AUTH PLAIN gICAgA=="], ["501 5.5.2"]),
    (["AUTH PLAIN", "A" * 6000, "NOOP"], ["334 ", "500 5.5.6", "250 "]),
    ([f"AUTH PLAIN {'A' * 6000}", "NOOP"], ["500 5.5.", "250 "]),
    ([f"AUTH PLAIN {plain('S1', 'x' * 2000)}"], ["535 5.7.8"]),
    (["AUTH"], ["504 5.5.4"]),
    (["AUTH CRAM-MD5"], ["504 5.5.4"]),
    ([f"AUTH PLAIN {plain('S1', 'wrong')}"], ["535 5.7.8"]),
    ([f"AUTH PLAIN {plain('S9', PASSWORD)}"], ["535 5.7.8"]),
    ([f"AUTH PLAIN {plain(SELLER, PASSWORD)}"], ["235 2.7.0"]),
    ([f"AUTH PLAIN {plain(BUYER, PASSWORD)}"], ["535 5.7.8"]),
    ([f"AUTH PLAIN {plain('@', PASSWORD)}"], ["535 5.7.8"]),
    ([f"AUTH PLAIN {plain('', '')}"], ["535 5.7.8"]),
    ([f"AUTH PLAIN {plain('S1', PASSWORD)}", "AUTH PLAIN"], ["235 ", "503 5.5.1"]),
    ([f"AUTH PLAIN {plain('S1', PASSWORD)}", "EHLO x", "AUTH PLAIN"], ["235 ", "250", "503 5.5.1"]),
    ([f"AUTH PLAIN {plain('S1', PASSWORD)}", f"MAIL FROM:<{SELLER}> AUTH=<>", "RSET",
      f"MAIL FROM:<{SELLER}> AUTH=e+3Dmc2@example.com SIZE=100"], ["235 ", "250 ", "250 ", "250 "]),
    (["AUTH PLAIN " + plain("S1", "wrong")] * 3, ["535 ", "535 ", "421 4.7.0"]),
    (["HELO x", "AUTH PLAIN"], ["250 ", "503 5.5.1"]),
]


async def test_the_dialogues_of_auth(relay: Relay) -> None:
    def play(client: smtplib.SMTP, lines: list[str], replies: list[str]) -> None:
        for line, expected in zip(lines, replies, strict=True):
            client.putcmd(line)
            code, text = client.getreply()
            assert f"{code} {text.decode()}".startswith(expected), (lines, line[:60], code, text)

    number = await port(relay, "submission")
    for lines, replies in DIALOGUES:
        await session(number, lambda client, lines=lines, replies=replies: play(client, lines, replies))
    assert '"crashed"' not in relay.log.read_text()


async def test_octets_that_are_no_text_are_not_base64(relay: Relay) -> None:
    def work(client: smtplib.SMTP) -> int:
        client.send(b"AUTH PLAIN \xff\xfe\r\n")
        return client.getreply()[0]

    assert await session(await port(relay, "submissions"), work, implicit=True) == 501


async def test_an_address_stands_for_its_partys_only_login(relay: Relay) -> None:
    """Autoconfig makes a client send the address. With two logins it could be either; blocked, it is nobody's."""
    number = await port(relay, "submissions")

    async def code(name: str) -> int:
        return int((await session(number, lambda client: login(client, name), implicit=True))[0])

    other = "ventas@tienda.example"
    assert await code(other) == 535
    relay.run("address", "authorise", "S1", other)
    assert await code(other.upper()) == 235
    relay.run("address", "block", "S1", other)
    assert await code(other) == 535
    assert await code(SELLER) == 235
    add_login(relay, "desk2", PASSWORD, "--party", "seller:S1")
    assert await code(SELLER) == 535
    assert await code("desk2") == 235
    assert SELLER not in relay.log.read_text()
    assert other not in relay.log.read_text().lower()


# -- passwords -----------------------------------------------------------------------------------------------


async def test_guesses_are_slowed_down_and_then_refused_unseen(start_relay: Start, outside: OutsideServer) -> None:
    relay = await start_relay(**listeners(outside, limits={"failed_logins": 4, "exempt": [], "greeting_delay": "0s"}))
    relay.order()
    add_login(relay)
    number = await port(relay, "submissions")
    took = []
    for _ in range(4):
        started = time.perf_counter()
        assert (await session(number, lambda client: login(client, "S1", "wrong"), implicit=True))[0] == 535
        took.append(time.perf_counter() - started)
    assert took[3] > DELAY_S * 2 ** 3
    code, text = await session(number, login, implicit=True)
    assert (code, text[:5]) == (421, b"4.7.0")
    assert [line["what"] for line in logged(relay, "client-abuse")] == ["logins"]
    assert [line["result"] for line in logged(relay, "login")] == ["failed"] * 4 + ["throttled"]


async def test_who_guesses_does_not_lock_out_whom_it_guesses_at(start_relay: Start, outside: OutsideServer) -> None:
    """The limit of a login is not for a network that it has come from."""
    relay = await start_relay(**listeners(outside, limits={"failed_logins": 2}))
    relay.order()
    add_login(relay)
    add_login(relay, "B1", OTHERS_PASSWORD)
    number = await port(relay, "submission")
    assert (await session(number, login))[0] == 235
    for name in ("S1", "B1", "S1", "B1", "S1"):
        await session(number, lambda client, name=name: login(client, name, "wrong"))
    assert (await session(number, login))[0] == 235
    assert (await session(number, lambda client: login(client, "B1", OTHERS_PASSWORD)))[0] == 421


async def test_a_changed_or_removed_login_counts_no_more_in_an_open_session(relay: Relay) -> None:
    number = await port(relay, "submission")

    def work(client: smtplib.SMTP) -> None:
        assert login(client)[0] == 235
        assert client.mail(SELLER)[0] == 250
        client.rset()
        assert type_in(relay, "login", "password", "S1", line="another password").returncode == 0
        code, text = client.mail(SELLER)
        assert (code, text[:5]) == (421, b"4.7.0")

    await session(number, work)
    assert (await session(number, login))[0] == 535
    assert (await session(number, lambda client: login(client, "S1", "another password")))[0] == 235


def test_the_command_line_of_logins(tmp_path: Path) -> None:
    relay = Relay(tmp_path, {})
    relay.order()
    relay.order("111-2222222-4444444", seller="X", seller_address="x@tienda.example", buyer="X", buyer_address="x@correo.example")
    assert type_in(relay, "login", "add", "S1", line="short").returncode == 2
    assert "@" in type_in(relay, "login", "add", SELLER, line=PASSWORD).stderr
    assert type_in(relay, "login", "add", "nobody", line=PASSWORD).returncode == 2
    assert "seller:X or buyer:X" in type_in(relay, "login", "add", "X", line=PASSWORD).stderr
    add_login(relay)
    add_login(relay, "x2", PASSWORD, "--party", "seller:X")
    assert "tradepost login password S1" in type_in(relay, "login", "add", "S1", line=PASSWORD).stderr
    assert [(one["login"], one["party"]) for one in relay.json("login", "list")] == [("S1", "seller:S1"), ("x2", "seller:X")]
    relay.run("login", "remove", "S1")
    relay.run("login", "remove", "S1", check=2)
    kept = b"".join(path.read_bytes() for path in (tmp_path / "var").glob("ledger.db*"))
    assert b"$argon2id$v=19$m=65536,t=3,p=4$" in kept
    assert PASSWORD.encode() not in kept


# -- who may write as whom -----------------------------------------------------------------------------------


async def test_a_login_writes_as_its_own_party_only(relay: Relay, outside: OutsideServer) -> None:
    relay.order("111-2222222-9999999", seller="S2", seller_address="luna@otra.example", buyer="B2",
                buyer_address="eva@correo.example")
    to, number = alias(relay), await port(relay, "submission")

    def try_(from_: str, recipient: str, mail_from: str = SELLER) -> tuple[int, str]:
        client = connect(number)
        try:
            login(client)
            return submit(client, mail_from, [recipient], message(from_, recipient, body=f"{time.time()}\n"))[-1]
        finally:
            client.close()

    replies = await asyncio.to_thread(lambda: [
        try_(SELLER, to), try_(SELLER, to, "anything@else.example"), try_(BUYER, to),
        try_("luna@otra.example", to), try_(SELLER, alias(relay, "111-2222222-9999999")),
        try_(SELLER, str(relay.json("order", "show", ORDER)[0]["seller"]["alias"]))])
    assert [(code, text.rpartition("[")[2].strip("]")) for code, text in replies[2:]] == [
        (550, "LOGIN_FROM"), (550, "CONFIRM_ADDRESS"), (550, "LOGIN_NOT_PARTY"), (550, "OWN_ALIAS")]
    assert [code for code, _ in replies[:2]] == [250, 250]
    await outside.wait_for(2, BUYER)


async def test_what_stands_between_the_parties_is_said_at_rcpt(relay: Relay) -> None:
    to = alias(relay)
    relay.run("order", "close", ORDER)

    def work(client: smtplib.SMTP) -> list[tuple[int, str]]:
        login(client)
        return submit(client, SELLER, [to], b"")

    replies = await session(await port(relay, "submission"), work)
    assert len(replies) == 2
    assert replies[1][0] == 550
    assert replies[1][1].endswith("[CLOSED]")
    assert "correspondencia" in replies[1][1]  # in the language of the party, not of the relay
    assert relay.messages() == []


async def test_blocking_an_address_takes_effect_in_an_open_session(relay: Relay) -> None:
    to = alias(relay)

    def work(client: smtplib.SMTP) -> list[tuple[int, str]]:
        login(client)
        first = submit(client, SELLER, [to], message(SELLER, to, "uno"))[-1]
        client.mail(SELLER)
        client.rcpt(to)
        relay.run("address", "block", "S1", SELLER)
        second = client.data(message(SELLER, to, "dos"))
        return [first, (second[0], second[1].decode())]

    first, second = await session(await port(relay, "submission"), work)
    assert first[0] == 250
    assert second[1].endswith("[ADDRESS_BLOCKED]")


async def test_of_several_recipients_the_refused_one_comes_back_by_dsn(relay: Relay, outside: OutsideServer) -> None:
    relay.order("111-2222222-5555555", buyer="B2", buyer_address="eva@correo.example", buyer_name="Eva")
    relay.run("block", "add", "--scope", "buyer", "--party", "B2", "--kind", "unsolicited")
    to = [alias(relay), alias(relay, "111-2222222-5555555")]
    data = message(SELLER, ", ".join(to))

    def work(client: smtplib.SMTP) -> list[tuple[int, str]]:
        login(client)
        return submit(client, SELLER, to, data) + submit(client, SELLER, to, data)

    replies = await session(await port(relay, "submission"), work)
    assert [code for code, _ in replies] == [250] * 8
    await outside.wait_for(1, BUYER)
    [dsn] = await outside.wait_for(1, SELLER)
    assert (dsn.reverse_path, b"UNSOLICITED" in dsn.raw) == ("<>", False)
    assert b"Action: failed" in dsn.raw
    assert f"Final-Recipient: rfc822; {to[1]}".encode() in dsn.raw
    assert b"111-2222222-5555555" in dsn.raw
    assert b"eva@correo.example" not in dsn.raw
    await until(lambda: [one for one in relay.messages() if one["state"] == "delivered"])
    states = sorted((one["buyer"], one["state"]) for one in relay.messages())
    assert states == [("B1", "delivered"), ("B2", "refused"), ("B2", "refused")]
    assert len(outside.arrived) == 2  # the same message again is neither delivered nor reported again


async def test_with_nobody_to_pass_the_refusal_is_said_and_no_dsn_is_sent(relay: Relay, outside: OutsideServer) -> None:
    relay.run("block", "add", "--scope", "buyer", "--party", "B1", "--kind", "unsolicited")
    to = alias(relay)

    def work(client: smtplib.SMTP) -> list[tuple[int, str]]:
        login(client)
        return submit(client, SELLER, [to], message(SELLER, to))

    replies = await session(await port(relay, "submission"), work)
    assert replies[-1][1].endswith("[UNSOLICITED]")
    await asyncio.to_thread(relay.run, "queue", "list")
    assert not relay.json("queue", "list")
    assert not outside.arrived


async def test_without_a_login_the_strictest_verdict_is_everybodys(relay: Relay, outside: OutsideServer) -> None:
    relay.order("111-2222222-5555555", buyer="B2", buyer_address="eva@correo.example", buyer_name="Eva")
    relay.run("block", "add", "--scope", "buyer", "--party", "B2", "--kind", "unsolicited")
    to = [alias(relay), alias(relay, "111-2222222-5555555")]
    _, text = await relay.send(SELLER, to, message(SELLER, ", ".join(to)))
    assert text.endswith("[UNSOLICITED]")
    assert {one["state"] for one in relay.messages()} == {"refused"}
    assert not relay.json("queue", "list")


async def test_aiosmtplib_submits(relay: Relay, outside: OutsideServer) -> None:
    to = alias(relay)
    for number, options in ((await port(relay, "submission"), {"start_tls": True}), (await port(relay, "submissions"), {"use_tls": True})):
        errors, reply = await aiosmtplib.send(
            message(SELLER, to, body=f"{number}\n"), sender=SELLER, recipients=[to], hostname="127.0.0.1", port=number,
            username="S1", password=PASSWORD, tls_context=trusting(), **options)
        assert (errors, reply[:6]) == ({}, "2.6.0 ")
    await outside.wait_for(2, BUYER)


async def test_behind_a_proxy_its_header_comes_before_tls(start_relay: Start, outside: OutsideServer) -> None:
    relay = await start_relay(**listeners(outside, listen={
        "submissions": "127.0.0.1:0", "submission": "127.0.0.1:0", "proxy_from": ["127.0.0.0/8"]}))
    relay.order()
    add_login(relay)

    def work(number: int, header: bytes) -> tuple[bytes, bytes]:
        with socket.create_connection(("127.0.0.1", number), 20) as plainly:
            plainly.sendall(header)
            with trusting().wrap_socket(plainly) as sock, sock.makefile("rwb") as file:
                greeting = file.readline()
                file.write(b"EHLO x\r\n")
                file.flush()
                while not file.readline().startswith(b"250 "):
                    continue
                file.write(f"AUTH PLAIN {plain('S1', PASSWORD)}\r\n".encode())
                file.flush()
                return greeting, file.readline()

    number = await port(relay, "submissions")
    greeting, welcome = await asyncio.to_thread(work, number, b"PROXY TCP4 203.0.113.5 127.0.0.1 4000 465\r\n")
    assert (greeting[:4], welcome[:4]) == (b"220 ", b"235 ")
    assert [(one["client"], one["party"]) for one in logged(relay, "login")] == [("203.0.113.5", "seller:S1")]
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.to_thread(work, number, b"")  # without a header nobody is let in


async def test_every_process_takes_submissions(start_relay: Start, outside: OutsideServer) -> None:
    relay = await start_relay(**listeners(outside, relay={"workers": 2}))
    relay.order()
    add_login(relay)
    await until(lambda: len([one for one in logged(relay, "listening") if one["kind"] == "submissions"]) == 2)
    number = await port(relay, "submissions")
    for _ in range(12):
        assert (await session(number, login, implicit=True))[0] == 235
    assert await relay.stop() == 0
