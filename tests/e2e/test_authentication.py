"""A daemon that requires authentication, over real sockets and a real name server."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

import senders
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
