"""The relay's main job, through the installed command and real sockets."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

from filemaker import pdf
from shape_build import base64_lines
from support import BUYER, ORDER, SELLER, Relay, crlf, message

from relay.demo.nameserver import NameServer
from relay.demo.outside import OutsideServer

Start = Callable[..., Awaitable[Relay]]


def field(raw: bytes, name: str) -> str:
    match = re.search(rb"(?mi)^" + name.encode() + rb": ((?:.*)(?:\r\n[ \t].*)*)", raw)
    return match.group(1).decode().replace("\r\n", "").strip() if match else ""


def no_real_address(relay: Relay, outside: OutsideServer) -> None:
    for secret in (SELLER, BUYER):
        assert not any(secret.encode() in one.raw.lower() for one in outside.arrived)
        assert secret not in relay.log.read_text().lower()


async def test_a_seller_writes_the_buyer_answers_and_the_thread_holds(relay: Relay, outside: OutsideServer) -> None:
    order = relay.order()
    to_buyer, to_seller = order["buyer"]["alias"], order["seller"]["alias"]
    assert (await relay.send(SELLER, to_buyer, message(f"Sol <{SELLER}>", to_buyer, body=f"Soy {SELLER}\n",
                                                       Message_ID="<s1@tienda.example>")))[0] == 250
    first = (await outside.wait_for(1, BUYER))[0].raw
    assert field(first, "From") == f"Tienda Sol <{to_seller}>"
    assert field(first, "X-Tradepost-Order") == ORDER
    answer = message(BUYER, to_seller, "Re: Hola", In_Reply_To=field(first, "Message-ID"), body="Gracias.\n")
    assert (await relay.send(BUYER, to_seller, answer, tls=True))[0] == 250
    second = (await outside.wait_for(1, SELLER))[0].raw
    assert field(second, "In-Reply-To") == "<s1@tienda.example>"
    assert field(second, "From").endswith(f"<{to_buyer}>")
    found = await relay.settle("delivered", 2)
    assert [(one["direction"], one["needs_reply"]) for one in found] == [("to-seller", True), ("to-buyer", False)]
    assert [one["id"] for one in relay.messages("--filter", "needs-reply")] == [found[0]["id"]]
    assert await relay.stop() == 0
    no_real_address(relay, outside)


async def test_what_policy_forbids_is_refused_in_session_and_recorded(relay: Relay, outside: OutsideServer) -> None:
    alias = relay.order()["buyer"]["alias"]

    async def refused(from_: str, code: str, data: bytes | None = None, **fields: str) -> None:
        status, text = await relay.send(from_, alias, data or message(from_, alias, **fields))
        assert status >= 400, text
        assert f"[{code}]" in text, text
        assert text.isascii()
        assert (await asyncio.to_thread(relay.messages))[0]["state"] == "refused"

    await refused("x@stranger.example", "NOT_AUTHORISED")
    assert ORDER not in (await relay.send("x@stranger.example", alias, message("x@stranger.example", alias)))[1]
    await refused(SELLER, "FROM_NOT_SINGLE", message(f"{SELLER}, x@y.example", alias))
    # a stranger's envelope does not matter, their From does; and the other way round
    accepted = message(SELLER, alias, body="Una vez.\n")  # the very same message later would be known again
    assert (await relay.send("bounce@provider.example", alias, accepted))[0] == 250
    await refused(SELLER, "NOT_AUTHORISED", message("x@stranger.example", alias))
    relay.run("block", "add", "--scope", "buyer", "--party", "B1", "--kind", "unsolicited")
    await refused(SELLER, "UNSOLICITED")
    assert (await relay.send(SELLER, alias, message(SELLER, alias, "RE: Información adicional necesaria")))[0] == 250
    relay.run("block", "add", "--scope", "buyer", "--party", "B1", "--kind", "counterpart", "--value", "S1")
    await refused(SELLER, "BLOCKED_BY_COUNTERPART")
    relay.run("block", "remove", "--scope", "buyer", "--party", "B1", "--kind", "counterpart", "--value", "S1")
    relay.run("block", "add", "--scope", "relay", "--kind", "domain", "--value", "tienda.example")
    await refused(SELLER, "BLOCKED_BY_OPERATOR")
    relay.run("block", "remove", "--scope", "relay", "--kind", "domain", "--value", "tienda.example")
    relay.run("address", "block", "S1", SELLER)
    await refused(SELLER, "ADDRESS_BLOCKED")
    relay.run("address", "authorise", "S1", SELLER)
    relay.run("order", "close", ORDER)
    await refused(SELLER, "CLOSED")
    await outside.wait_for(2, BUYER)
    no_real_address(relay, outside)


async def test_a_reply_to_the_buyer_is_never_unsolicited(start_relay: Start, outside: OutsideServer) -> None:
    relay = await start_relay(outbound={"route": f"smtp://127.0.0.1:{outside.port}"}, policy={"reply_window": "1s"})
    order = relay.order()
    alias = order["buyer"]["alias"]
    relay.run("block", "add", "--scope", "buyer", "--party", "B1", "--kind", "unsolicited", "--value", "S1")
    await relay.send(BUYER, order["seller"]["alias"], message(BUYER, order["seller"]["alias"], "¿Cuándo llega?"))
    seen = field((await outside.wait_for(1, SELLER))[0].raw, "Message-ID")
    await asyncio.sleep(1.1)  # beyond the reply window only the thread fields can tell
    assert (await relay.send(SELLER, alias, message(SELLER, alias, "Oferta")))[0] == 550
    assert (await relay.send(SELLER, alias, message(SELLER, alias, "Re: ¿Cuándo llega?", References=seen)))[0] == 250


async def test_the_cap_on_critical_subjects(relay: Relay) -> None:
    alias = relay.order()["buyer"]["alias"]
    codes = [(await relay.send(SELLER, alias, message(SELLER, alias, "Additional Information Required", str(number))))[0]
             for number in range(4)]
    assert codes == [250, 250, 250, 550]


async def test_the_cap_holds_for_messages_that_come_at_once(relay: Relay) -> None:
    alias = relay.order()["buyer"]["alias"]
    answers = await asyncio.gather(*(
        relay.send(SELLER, alias, message(SELLER, alias, "Additional Information Required", body=f"{number}"))
        for number in range(10)))
    assert sorted(code for code, _ in answers) == [250] * 3 + [550] * 7


async def test_a_program_called_pdf_is_refused_and_a_pdf_keeps_its_bytes(relay: Relay, outside: OutsideServer) -> None:
    alias = relay.order()["buyer"]["alias"]

    def mail(content: bytes) -> bytes:
        return crlf(f"From: {SELLER}\nTo: {alias}\nMIME-Version: 1.0\nContent-Type: application/pdf; name=a.pdf\n"
                    "Content-Transfer-Encoding: base64\n\n") + base64_lines(content)

    code, text = await relay.send(SELLER, alias, mail(b"MZ\x90\x01\x03" + b"\x01" * 100))
    assert (code, "a.pdf" in text) == (550, True)
    nothing_to_scrub = pdf(info=False)
    assert (await relay.send(SELLER, alias, mail(nothing_to_scrub)))[0] == 250
    assert (await outside.wait_for(1))[0].raw.endswith(b"\r\n\r\n" + base64_lines(nothing_to_scrub))


async def test_a_message_that_would_leak_stays_with_its_evidence(relay: Relay, outside: OutsideServer) -> None:
    alias = relay.order()["buyer"]["alias"]
    # a boundary is no text that redaction could change; the last look reads it all the same
    data = message(SELLER, alias, body=f"--{SELLER}\n\nHola.\n--{SELLER}--\n",
                   Content_Type=f'multipart/mixed; boundary="{SELLER}"')
    code, text = await relay.send(SELLER, alias, data)
    assert code == 550
    assert "Content-Type" in text
    entry = relay.messages()[0]
    assert (entry["state"], entry["rule"]) == ("refused", "egress")
    rulings = relay.json("message", "show", entry["id"])[0]["events"][0]["detail"]
    assert [ruling["verdict"] for ruling in rulings] == ["pass"] * (len(rulings) - 1) + ["refuse"]
    await relay.send("x@stranger.example", alias, message("x@stranger.example", alias))
    later = relay.json("message", "show", relay.messages()[0]["id"])[0]["events"][0]["detail"]
    assert [ruling["verdict"] for ruling in later] == ["pass"] * 4 + ["refuse"] + ["not run"] * (len(rulings) - 6)
    assert not outside.arrived


async def test_several_recipients_in_one_transaction(relay: Relay, outside: OutsideServer) -> None:
    one = relay.order()["buyer"]["alias"]
    two = relay.order("222-2222222-2222222", buyer="B2", buyer_address="luis@otro.example", buyer_name="Luis")
    both = [one, two["buyer"]["alias"]]
    assert (await relay.send(SELLER, both, message(SELLER, ", ".join(both))))[0] == 250
    await outside.wait_for(2)
    assert {arrived.recipient for arrived in outside.arrived} == {BUYER, "luis@otro.example"}
    for arrived in outside.arrived:  # neither sees the other's alias
        assert sum(alias.encode() in arrived.raw for alias in both) == 1
    relay.run("order", "close", "222-2222222-2222222")
    code, text = await relay.send(SELLER, both, message(SELLER, ", ".join(both), "dos"))
    assert (code, "[CLOSED]" in text) == (550, True)
    assert sorted((entry["rule"], entry["state"]) for entry in relay.messages()[:2]) == [
        ("closed", "refused"), ("companion", "refused")]


async def test_reply_to_all_does_not_come_back_to_its_writer(relay: Relay, outside: OutsideServer) -> None:
    order = relay.order()
    both = [order["seller"]["alias"], order["buyer"]["alias"]]
    assert (await relay.send(BUYER, both, message(BUYER, ", ".join(both))))[0] == 250
    await outside.wait_for(1, SELLER)
    assert sorted(entry["state"] for entry in await relay.settle("self")) == ["self"]
    assert [arrived.recipient for arrived in outside.arrived] == [SELLER]
    # to one's own alias alone, silence would be a loss
    code, text = await relay.send(BUYER, both[1:], message(BUYER, both[1]))
    assert (code, "[OWN_ALIAS]" in text) == (550, True)


async def test_machines_are_recorded_and_never_answered(relay: Relay, outside: OutsideServer) -> None:
    alias = relay.order()["seller"]["alias"]
    assert (await relay.send("", alias, message(BUYER, alias, "Fuera de la oficina")))[0] == 250
    assert (await relay.send(BUYER, alias, message(BUYER, alias, Auto_Submitted="auto-replied")))[0] == 250
    assert [entry["state"] for entry in relay.messages()] == ["auto", "auto"]
    assert not outside.arrived


async def test_a_loop_through_an_outside_server_ends(relay: Relay, outside: OutsideServer) -> None:
    alias = relay.order()["buyer"]["alias"]
    await relay.send(SELLER, alias, message(SELLER, alias))
    came = (await outside.wait_for(1))[0].raw
    code, text = await relay.send(SELLER, alias, re.sub(rb"From: .*\r\n", b"From: " + SELLER.encode() + b"\r\n", came))
    assert (code, "[LOOP]" in text) == (554, True)


async def test_mail_before_there_is_an_order_joins_the_first_one(relay: Relay) -> None:
    words = ["--seller", "S1", "--seller-address", SELLER, "--buyer", "B1", "--buyer-address", BUYER]
    enquiry = relay.json("correspondence", "add", *words)[0]
    await relay.send(BUYER, enquiry["seller"]["alias"], message(BUYER, enquiry["seller"]["alias"]))
    order = relay.json("order", "add", ORDER, "--seller", "S1", "--buyer", "B1")[0]
    assert order["buyer"] == enquiry["buyer"]
    assert len(relay.messages("--order", ORDER)) == 1
    assert relay.json("order", "add", "222-1", "--seller", "S1", "--buyer", "B1")[0]["buyer"] != enquiry["buyer"]


async def test_keys_rotate_while_the_daemon_runs(relay: Relay, outside: OutsideServer) -> None:
    old = relay.order()["buyer"]["alias"]
    relay.run("key", "rotate")
    assert relay.order()["buyer"]["alias"] == old
    new = relay.order("222-2", buyer="B2", buyer_address="luis@otro.example")["buyer"]["alias"]
    for _ in range(50):  # the daemon looks at the ring each second
        if (await relay.send(SELLER, new, message(SELLER, new)))[0] == 250:
            break
        await asyncio.sleep(0.1)
    assert (await relay.send(SELLER, old, message(SELLER, old)))[0] == 250
    await outside.wait_for(2)
    assert [key["correspondences"] for key in relay.json("key", "list")] == [1, 1]


async def test_real_mx_lookup_with_starttls_and_one_connection(
        start_relay: Start, nameserver: NameServer, tmp_path: Any) -> None:
    import ssl

    from relay.tls import make_certificate

    make_certificate(tmp_path / "c.pem", tmp_path / "k.pem", "mx.correo.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "c.pem", tmp_path / "k.pem")
    outside = OutsideServer(context)
    await outside.start()
    nameserver.zone = {("correo.example", "MX"): ["5 gone.correo.example.", "10 mx.correo.example."],
                       ("mx.correo.example", "A"): ["127.0.0.1"], ("gone.correo.example", "A"): ["127.0.0.2"]}
    relay = await start_relay(
        outbound={"route": "mx", "port": outside.port, "allow_loopback": True, "connections_per_host": 1},
        dns={"resolvers": [f"127.0.0.1:{nameserver.port}"]})
    alias = relay.order()["buyer"]["alias"]
    for number in range(3):
        assert (await relay.send(SELLER, alias, message(SELLER, alias, f"n {number}")))[0] == 250
    arrived = await outside.wait_for(3, BUYER)
    assert all(one.over_tls for one in arrived)
    assert len({one.peer_port for one in arrived}) == 1
    assert len({one.reverse_path for one in arrived}) == 3  # a return path each
    await outside.stop()
