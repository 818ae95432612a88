"""Mail that goes in circles, machines that answer each other, storms of reports: each ends by itself, and soon."""

from __future__ import annotations

import asyncio
import itertools
import re
import smtplib
from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import Any

import pytest
from pysqlite3 import dbapi2 as sqlite
from support import BUYER, SELLER, Relay, crlf, message

from policy.rules.loop import MAX_EXCHANGE
from relay.demo.outside import OutsideServer
from relay.ledger import MAX_AUTOMATIC, MAX_REFUSED, MAX_REPORTS

Start = Callable[..., Awaitable[Relay]]
Answer = Callable[[bytes, str, str], bytes | None]
"""(what arrived, whose mailbox it was, the alias of the other) -> what that mailbox sends back by itself."""
UNMARKED = itertools.count()


class Mailboxes(OutsideServer):
    """Both parties' server, which sends something back for each message that it takes."""

    def __init__(self, answer: Answer, reverse_path: str | None = None) -> None:
        super().__init__()
        self.answer = answer
        self.reverse_path = reverse_path
        self.replies: list[tuple[int, str]] = []
        self.relay: Relay | None = None
        self.aliases: dict[str, str] = {}
        self.tasks: set[asyncio.Task[None]] = set()

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        content, recipients = envelope.original_content, list(envelope.rcpt_tos)
        said = await super().handle_DATA(server, session, envelope)
        for owner in recipients:
            task = asyncio.create_task(self._send_back(content, owner))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        return said

    async def _send_back(self, content: bytes, owner: str) -> None:
        assert self.relay is not None
        alias = self.aliases[owner]
        if data := self.answer(content, owner, alias):
            mail_from = owner if self.reverse_path is None else self.reverse_path
            self.replies.append(await self.relay.send(mail_from, alias, data))

    async def quiet(self) -> None:
        """Wait until nobody has sent or taken anything for a while."""
        seen = -1
        while seen != len(self.arrived) + len(self.replies) or self.tasks:
            seen = len(self.arrived) + len(self.replies)
            await asyncio.sleep(0.5)


async def between(start_relay: Start, mailboxes: Mailboxes) -> tuple[Relay, str]:
    """A relay whose outside is `mailboxes`; the alias that the seller writes to."""
    await mailboxes.start()
    relay = await start_relay(outbound={"route": f"smtp://127.0.0.1:{mailboxes.port}", "retry": ["1s"]})
    order = relay.order()
    mailboxes.relay = relay
    mailboxes.aliases = {SELLER: order["buyer"]["alias"], BUYER: order["seller"]["alias"]}
    return relay, order["buyer"]["alias"]


def set_field(raw: bytes, name: str, value: str | None) -> bytes:
    """The message with one field replaced (None: taken out), its folded lines included."""
    field = f"{name}: {value}\r\n".encode() if value is not None else b""
    header, _, body = raw.partition(b"\r\n\r\n")
    header = re.sub(rb"(?im)^" + name.encode() + rb":.*\r\n(?:[ \t].*\r\n)*", b"", header + b"\r\n")
    return field + header + b"\r\n" + body


def new_id() -> str:
    return f"<n{next(UNMARKED)}@outside.example>"


def forwarder(*, keeps_trace: bool, keeps_id: bool) -> Answer:
    """A forwarder that writes its owner into From, as some do for SPF's sake, and the other's alias into To."""
    def forward(raw: bytes, owner: str, alias: str) -> bytes:
        raw = set_field(set_field(raw, "From", owner), "To", alias)
        if not keeps_trace:
            raw = set_field(set_field(raw, "X-Tradepost-Trace", None), "Received", None)
        return raw if keeps_id else set_field(raw, "Message-ID", new_id())

    return forward


@pytest.mark.parametrize(("keeps_trace", "keeps_id", "most"), [(True, True, 1), (True, False, 1), (False, True, 1),
                                                               (False, False, MAX_EXCHANGE)])
async def test_a_forwarding_loop_through_an_outside_server_ends(
        start_relay: Start, keeps_trace: bool, keeps_id: bool, most: int) -> None:
    """By our mark; without it by our Message-ID; without either because nobody writes that fast."""
    mailboxes = Mailboxes(forwarder(keeps_trace=keeps_trace, keeps_id=keeps_id))
    relay, alias = await between(start_relay, mailboxes)
    await relay.send(SELLER, alias, message(SELLER, alias))
    await mailboxes.wait_for(most, timeout=30)
    await mailboxes.quiet()
    assert len(mailboxes.arrived) == most
    code, text = mailboxes.replies[-1]
    assert code == 554
    assert text.startswith("5.4.6 ")
    await mailboxes.stop()


def vacation(**fields: str) -> Answer:
    def answer(raw: bytes, owner: str, alias: str) -> bytes:
        found = re.search(rb"(?im)^Message-ID: (\S+)", raw)
        assert found
        return message(owner, alias, "Re: Hola", "Estoy de vacaciones.\n", Message_ID=new_id(),
                       In_Reply_To=found.group(1).decode(), **fields)

    return answer


@pytest.mark.parametrize("reverse_path", ["", None])
async def test_two_vacation_responders_say_nothing_to_each_other(start_relay: Start, reverse_path: str | None) -> None:
    """RFC 3834: an auto-reply is recorded in either direction, never passed on and never answered."""
    mailboxes = Mailboxes(vacation(Auto_Submitted="auto-replied"), reverse_path)
    relay, alias = await between(start_relay, mailboxes)
    await relay.send(SELLER, alias, message(SELLER, alias))
    seller_alias = mailboxes.aliases[BUYER]
    await relay.send(BUYER, seller_alias, message(BUYER, seller_alias, "Otra cosa"))
    await mailboxes.wait_for(1, BUYER)
    await mailboxes.wait_for(1, SELLER)
    await mailboxes.quiet()
    assert len(mailboxes.arrived) == 2
    assert mailboxes.replies == [(250, mailboxes.replies[0][1])] * 2
    automatic = [one["direction"] for one in relay.messages() if one["state"] == "auto"]
    assert sorted(automatic) == ["to-buyer", "to-seller"]
    await mailboxes.stop()


async def test_two_responders_without_any_mark_are_told_apart_from_people(start_relay: Start) -> None:
    mailboxes = Mailboxes(vacation())
    relay, alias = await between(start_relay, mailboxes)
    await relay.send(SELLER, alias, message(SELLER, alias))
    await mailboxes.wait_for(MAX_EXCHANGE, timeout=30)
    await mailboxes.quiet()
    assert len(mailboxes.arrived) == MAX_EXCHANGE
    assert [code for code, _ in mailboxes.replies if code != 250] == [554]
    await mailboxes.stop()


@pytest.mark.parametrize(("begun", "answers"), [(2, 1), (5, 1), (1, 2)])
async def test_responders_that_take_no_turns_are_found_as_well(start_relay: Start, begun: int, answers: int) -> None:
    """Several loops at once, or a machine that answers each message twice: a storm that grows by itself."""
    class Twice(Mailboxes):
        async def _send_back(self, content: Any, owner: str) -> None:
            for _ in range(answers if owner == BUYER else 1):
                await super()._send_back(content, owner)

    mailboxes = Twice(vacation())
    relay, alias = await between(start_relay, mailboxes)
    for number in range(begun):
        await relay.send(SELLER, alias, message(SELLER, alias, f"Hola {number}"))
    await mailboxes.quiet()
    assert len(mailboxes.arrived) <= 3 * MAX_EXCHANGE
    assert {code for code, _ in mailboxes.replies} == {250, 554}
    await mailboxes.stop()


@pytest.mark.parametrize("writer", [SELLER, "who@elsewhere.example"])
async def test_a_storm_of_machines_does_not_fill_the_ledger(relay: Relay, writer: str) -> None:
    """Anyone may say <> or Auto-Submitted, and then no rule is asked."""
    alias = relay.order()["buyer"]["alias"]
    data = message(writer, alias, "Respuesta", "x" * 70 + "\n")
    with smtplib.SMTP("127.0.0.1", relay.port, local_hostname="client.example", timeout=20) as client:
        codes = [client.sendmail("", alias, data) for _ in range(MAX_AUTOMATIC)]
        assert codes == [{}] * MAX_AUTOMATIC
        client.mail("")
        client.rcpt(alias)
        assert client.data(data)[0] == 452
    assert len(relay.messages("--limit", "1000")) == MAX_AUTOMATIC
    assert (await relay.send(SELLER, alias, message(SELLER, alias)))[0] == 250


async def test_what_is_refused_over_and_over_does_not_fill_the_ledger(relay: Relay) -> None:
    alias = relay.order()["buyer"]["alias"]
    stranger = "who@elsewhere.example"
    assert (await relay.send(stranger, alias, message(stranger, alias)))[0] == 550
    copy_message(relay, MAX_REFUSED - 1)
    assert (await relay.send(stranger, alias, message(stranger, alias)))[0] == 452
    assert len(relay.messages("--limit", "1000")) == MAX_REFUSED
    assert (await relay.send(SELLER, alias, message(SELLER, alias)))[0] == 250


def copy_message(relay: Relay, times: int) -> None:
    """As if the one message in the ledger had come so often."""
    with closing(sqlite.connect(relay.folder / "var" / "ledger.db", timeout=20)) as db:
        columns = [row[1] for row in db.execute("PRAGMA table_info(message)") if row[1] != "id"]
        values = ", ".join("hex(randomblob(8))" if name == "public_id" else name for name in columns)
        for _ in range(times):
            db.execute(f"INSERT INTO message ({', '.join(columns)}) SELECT {values} FROM message WHERE id = 1")
        db.commit()


async def test_many_messages_one_way_are_no_loop(relay: Relay, outside: OutsideServer) -> None:
    alias = relay.order()["buyer"]["alias"]
    for number in range(MAX_EXCHANGE + 5):
        assert (await relay.send(SELLER, alias, message(SELLER, alias, f"{number}")))[0] == 250
    await outside.wait_for(MAX_EXCHANGE + 5, BUYER)


# -- reports -----------------------------------------------------------------------------------------------


def report(to: str, recipient: str = BUYER, status: str = "5.2.2") -> bytes:
    return crlf(f"From: MAILER-DAEMON@correo.example\nTo: {to}\nMIME-Version: 1.0\n"
                "Content-Type: multipart/report; report-type=delivery-status; boundary=x\n\n"
                "--x\nContent-Type: text/plain\n\nno\n"
                "--x\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx\n\n"
                f"Final-Recipient: rfc822; {recipient}\nAction: failed\nStatus: {status}\n--x--\n")


async def test_a_server_that_bounces_our_dsns_gets_no_more_of_them(start_relay: Start) -> None:
    """It sends its bounces wherever a DSN of ours names an address: to its From, and to the alias in its To."""
    bounced: list[bytes] = []

    def bounce(raw: bytes, owner: str, alias: str) -> bytes | None:
        bounced.append(raw)
        return report(alias, owner)

    mailboxes = Mailboxes(bounce, reverse_path="")
    relay, alias = await between(start_relay, mailboxes)
    mailboxes.answers[BUYER] = "550 5.1.1 no"
    await relay.send(SELLER, alias, message(SELLER, alias))
    dsn = (await mailboxes.wait_for(1, SELLER))[0]
    await mailboxes.quiet()
    from_ = re.search(rb"(?m)^From: .*<(mailer-daemon@[^>]+)>", dsn.raw)
    assert from_
    assert (await relay.send("", from_.group(1).decode(), report("x@relay.example", SELLER)))[0] == 550
    await mailboxes.quiet()
    assert len(mailboxes.arrived) == 1
    assert relay.json("queue", "list") == []
    await mailboxes.stop()


async def test_thousands_of_forged_dsns_to_one_return_path_make_one_notice(
        relay: Relay, outside: OutsideServer) -> None:
    alias = relay.order()["buyer"]["alias"]
    await relay.send(SELLER, alias, message(SELLER, alias))
    path = (await outside.wait_for(1, BUYER))[0].reverse_path
    await relay.settle("delivered")

    def storm(count: int) -> set[int]:
        codes = set()
        with smtplib.SMTP("127.0.0.1", relay.port, local_hostname="client.example", timeout=20) as client:
            client.ehlo()
            for number in range(count):
                client.mail("")
                client.rcpt(path)
                codes.add(client.data(report(path, status=f"5.{number % 8}.{number % 10}"))[0])
        return codes

    before = (relay.folder / "var" / "ledger.db").stat().st_size
    answers = await asyncio.gather(*(asyncio.to_thread(storm, 250) for _ in range(4)))
    assert set().union(*answers) == {250}
    await outside.wait_for(1, SELLER)
    while relay.json("queue", "list"):
        await asyncio.sleep(0.1)
    assert len([one for one in outside.arrived if one.recipient == SELLER]) == 1
    shown = relay.json("message", "show", relay.messages()[0]["id"])[0]
    assert shown["state"] == "failed"
    recorded = [event for event in shown["events"] if event["kind"] == "dsn"]
    assert MAX_REPORTS <= len(recorded) <= MAX_REPORTS + 4  # one a session may be on its way
    assert (relay.folder / "var" / "ledger.db").stat().st_size - before < 1_000_000
