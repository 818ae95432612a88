"""A daemon that requires authentication, over real sockets and a real name server."""

from __future__ import annotations

import asyncio
import email
import email.policy
import re
import smtplib
from collections.abc import Awaitable, Callable

import senders
from submitting import PASSWORD, add_login, listeners, plain, port, session, submit
from support import BUYER, SELLER, Relay, message

from relay.demo.nameserver import BROKEN, NameServer
from relay.demo.outside import OutsideServer

Start = Callable[..., Awaitable[Relay]]


async def required(start_relay: Start, nameserver: NameServer, outside: OutsideServer, mode: str = "require") -> Relay:
    nameserver.zone = senders.zone()
    return await start_relay(
        policy={"authentication": mode}, dns={"resolvers": [f"127.0.0.1:{nameserver.port}"], "timeout": "2s"},
        outbound={"route": f"smtp://127.0.0.1:{outside.port}", "retry": ["1s"]})


async def test_a_forged_seller_does_not_reach_the_buyer_and_a_signed_one_does(
        start_relay: Start, nameserver: NameServer, outside: OutsideServer) -> None:
    relay = await required(start_relay, nameserver, outside)
    alias = relay.order()["buyer"]["alias"]
    forged = message(SELLER, alias, "Pague de nuevo")
    code, text = await relay.send(SELLER, alias, forged)
    assert (code, text[:6]) == (550, "5.7.26")
    assert "tienda.example" in text
    assert SELLER not in text
    real = senders.signed(message(SELLER, alias, "Su pedido"), {"sign": "tienda.example"})
    assert (await relay.send("x@forward.example", alias, real))[0] == 250
    arrived, = await outside.wait_for(1)
    assert b"Su pedido" in arrived.raw
    refused, = (one for one in relay.messages() if one["state"] == "refused")
    assert refused["rule"] == "authentication"
    shown = relay.run("message", "show", refused["id"])
    assert "spf=fail tienda.example" in shown
    assert SELLER not in relay.log.read_text()


async def test_a_stranger_learns_no_address_by_trying(
        start_relay: Start, nameserver: NameServer, outside: OutsideServer) -> None:
    relay = await required(start_relay, nameserver, outside)
    alias = relay.order()["buyer"]["alias"]
    said = {(await relay.send("x@extra.example", alias, message(f"{name}@tienda.example", alias)))[1]
            for name in ("sol", "luna", "old")}
    assert len(said) == 1


async def test_spf_of_the_client_is_enough(
        start_relay: Start, nameserver: NameServer, outside: OutsideServer) -> None:
    relay = await required(start_relay, nameserver, outside)
    nameserver.zone["tienda.example", "TXT"] = ['"v=spf1 ip4:127.0.0.1 -all"']
    alias = relay.order()["buyer"]["alias"]
    assert (await relay.send(SELLER, alias, message(SELLER, alias)))[0] == 250


async def test_a_dns_that_does_not_answer_is_for_later(
        start_relay: Start, nameserver: NameServer, outside: OutsideServer) -> None:
    relay = await required(start_relay, nameserver, outside)
    nameserver.zone["tienda.example", "TXT"] = [BROKEN]
    alias = relay.order()["buyer"]["alias"]
    code, text = await relay.send(SELLER, alias, message(SELLER, alias))
    assert (code, text[:5]) == (451, "4.4.3")


async def test_a_forged_letter_to_a_sealed_action_does_nothing(
        start_relay: Start, nameserver: NameServer, outside: OutsideServer) -> None:
    relay = await required(start_relay, nameserver, outside)
    alias = relay.order()["buyer"]["alias"]
    real = senders.signed(message(SELLER, alias, "Su pedido"), {"sign": "tienda.example"})
    assert (await relay.send("x@forward.example", alias, real))[0] == 250
    arrived, = await outside.wait_for(1)
    found = re.search(rb"(?m)^List-Unsubscribe: <mailto:([^?>]+)", arrived.raw)
    assert found
    action = found.group(1).decode()
    asked = message(BUYER, action)
    assert "[NOT_AUTHENTICATED]" in (await relay.send(BUYER, action, asked))[1]
    elsewhere = senders.signed(message(BUYER, alias), {"sign": "correo.example"})
    assert "[ALIAS_NOT_SIGNED]" in (await relay.send(BUYER, action, elsewhere))[1]
    assert (await relay.send(BUYER, action, senders.signed(asked, {"sign": "correo.example"})))[0] == 250


async def test_loopback_that_only_observes_asks_nobody(
        start_relay: Start, nameserver: NameServer, outside: OutsideServer) -> None:
    relay = await required(start_relay, nameserver, outside, "observe")
    alias = relay.order()["buyer"]["alias"]
    assert (await relay.send(SELLER, alias, message(SELLER, alias)))[0] == 250
    assert not [one for one in nameserver.asked if one[1] == "TXT"]


async def test_a_forged_auto_reply_is_recorded_and_its_content_is_not_kept(
        start_relay: Start, nameserver: NameServer, outside: OutsideServer) -> None:
    relay = await required(start_relay, nameserver, outside)
    alias = relay.order()["buyer"]["alias"]
    forged = message(SELLER, alias, "Ausente", Auto_Submitted="auto-replied", body="Falso.\n")
    real = senders.signed(message(SELLER, alias, "De viaje", Auto_Submitted="auto-replied", body="Vuelvo el lunes.\n"),
                          {"sign": "tienda.example"})
    for data in (forged, real):
        assert (await relay.send("x@extra.example", alias, data))[0] == 250
    kept = {one["subject"]: one["id"] for one in relay.messages() if one["state"] == "auto"}
    assert "Vuelvo el lunes." in relay.run("message", "export", kept["De viaje"])
    assert "Falso" not in relay.run("message", "export", kept["Ausente"], check=2)


# -- with other ways in ----------------------------------------------------------------------------------------


async def everywhere(start_relay: Start, nameserver: NameServer, outside: OutsideServer) -> Relay:
    """Every listener, and nothing said of authentication: mail that a server in front brings is anybody's."""
    nameserver.zone = senders.zone()
    config = listeners(outside, dns={"resolvers": [f"127.0.0.1:{nameserver.port}"], "timeout": "2s"})
    return await start_relay(**{name: values for name, values in config.items() if name != "policy"})


async def by_lmtp(relay: Relay, to: str, data: bytes, client: str = "") -> str:
    number = await port(relay, "lmtp")

    def run() -> str:
        with smtplib.LMTP("127.0.0.1", number, local_hostname="mx.example") as one:
            one.ehlo()
            if client:
                assert one.docmd("XFORWARD", f"ADDR={client} HELO=mail.example")[0] == 250
            assert one.mail(SELLER)[0] == one.rcpt(to)[0] == 250
            code, text = one.data(data)
            return f"{code} {text.decode()}"

    return await asyncio.to_thread(run)


async def test_a_login_is_enough_and_all_other_mail_is_asked_where_it_comes_from(
        start_relay: Start, nameserver: NameServer, outside: OutsideServer) -> None:
    relay = await everywhere(start_relay, nameserver, outside)
    to = relay.order()["buyer"]["alias"]
    add_login(relay)

    def work(client: smtplib.SMTP) -> list[tuple[int, str]]:
        assert client.docmd("AUTH", f"PLAIN {plain('S1', PASSWORD)}")[0] == 235
        return submit(client, SELLER, [to], message(SELLER, to, "uno"))

    assert (await session(await port(relay, "submissions"), work, implicit=True))[-1][0] == 250
    assert not [one for one in nameserver.asked if one[1] == "TXT"], "a login says who writes: nobody else is asked"
    assert (await relay.send(SELLER, to, message(SELLER, to, "dos")))[1].endswith("[NOT_AUTHENTICATED]")
    assert (await by_lmtp(relay, to, message(SELLER, to, "tres"))).endswith("[NOT_AUTHENTICATED]")
    assert (await by_lmtp(relay, to, message(SELLER, to, "cuatro"), senders.STRANGER)).endswith("[NOT_AUTHENTICATED]")
    assert (await by_lmtp(relay, to, message(SELLER, to, "cinco"), senders.SHOP)).startswith("250")
    signed = senders.signed(message(SELLER, to, "seis"), {"sign": "tienda.example"})
    assert (await by_lmtp(relay, to, signed, senders.FORWARDER)).startswith("250")
    assert {one.raw.partition(b"Subject: ")[2][:3] for one in await outside.wait_for(3, BUYER)} == {b"uno", b"cin", b"sei"}


async def test_who_signs_with_a_new_address_is_asked_for_at_the_registered_one(
        start_relay: Start, nameserver: NameServer, outside: OutsideServer) -> None:
    """Only if it is certain whose the address is, and only if it cannot be a buyer's reply to all."""
    relay = await everywhere(start_relay, nameserver, outside)
    order = relay.order()
    to, own = order["buyer"]["alias"], order["seller"]["alias"]

    async def write(number: int, header: str, *recipients: str, signs: bool = True) -> str:
        data = message(f"sol{number}@extra.example", header)
        data = senders.signed(data, {"sign": "extra.example"}) if signs else data
        return (await relay.send("x@forward.example", list(recipients), data))[1].rpartition("[")[2].strip("]")

    assert await write(1, to, to, signs=False) == "NOT_AUTHENTICATED"
    assert await write(2, f"{to}, {own}", to, own) == "NOT_AUTHORISED"
    assert await write(3, f"{own}, {to}", to) == "NOT_AUTHORISED"
    assert await write(4, f"{to}, x@{own.partition('@')[2]}", to) == "CONFIRM_ADDRESS"
    [asked] = await outside.wait_for(1)
    assert asked.recipient == SELLER
    action = email.message_from_bytes(asked.raw, policy=email.policy.default)["from"].addresses[0].addr_spec
    answer = message(SELLER, action)
    assert "[NOT_AUTHENTICATED]" in (await relay.send(SELLER, action, answer))[1]
    assert "[ALIAS_NOT_SIGNED]" in (await relay.send(SELLER, action, senders.signed(
        message(SELLER, to), {"sign": "tienda.example"})))[1]
    assert (await relay.send(SELLER, action, senders.signed(answer, {"sign": "tienda.example"})))[0] == 250
    assert (await write(4, to, to)).startswith("2.6.0")
    assert (await write(3, to, to)) == "CONFIRM_ADDRESS"


async def test_an_authenticated_writer_hears_of_each_recipient(
        start_relay: Start, nameserver: NameServer, outside: OutsideServer) -> None:
    """Of two recipients one is refused: who is known gets 250 and a DSN, anybody else the refusal for both."""
    relay = await everywhere(start_relay, nameserver, outside)
    to = [relay.order()["buyer"]["alias"],
          relay.order("111-2222222-5555555", buyer="B2", buyer_address="eva@correo.example", buyer_name="Eva")["buyer"]["alias"]]
    relay.run("block", "add", "--scope", "buyer", "--party", "B2", "--kind", "unsolicited")
    data = message(SELLER, ", ".join(to))
    assert (await relay.send(SELLER, to, data))[0] == 550
    assert (await relay.send(SELLER, to, senders.signed(data, {"sign": "tienda.example"})))[0] == 250
    await outside.wait_for(1, BUYER)
    [told] = await outside.wait_for(1, SELLER)
    assert told.reverse_path == "<>"
    assert to[1].encode() in told.raw
    assert len(outside.arrived) == 2
