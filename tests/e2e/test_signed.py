"""What arrives outside, judged by others (farside.py)."""

from __future__ import annotations

import asyncio
import base64
import re
import ssl
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from email import message_from_bytes, policy
from hashlib import sha256
from pathlib import Path

import pytest
import trustme
from farside import FarSide, both_there
from support import BUYER, SELLER, Relay, message

from relay.demo.nameserver import NameServer
from relay.demo.outside import OutsideServer

Start = Callable[..., Awaitable[Relay]]
PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes.fromhex(
    "0000000d49484452000000010000000108060000001f15c4890000000d4944415478da63f8cfc0f01f00050001ff56c72f0d"
    "0000000049454e44ae426082")).decode()
HTML = f"""--b1
Content-Type: multipart/alternative; boundary="b2"

--b2
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

Ma=C3=B1ana  va el paquete.=20
--b2
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: quoted-printable

<p>Ma=C3=B1ana  va <b>el paquete</b>.</p>
--b2--
--b1
Content-Type: image/png; name="foto.png"
Content-Disposition: attachment; filename="foto.png"
Content-Transfer-Encoding: base64

{PIXEL}
--b1--


"""
CASES = {
    "text": {"body": "Buenas:\n\nSale hoy. \t\n\n.\n..puntos\n\n\n"},
    "html with an attachment": {"body": HTML, "Content-Type": "multipart/mixed; boundary=\"b1\"",
                                "Content-Transfer-Encoding": "7bit"},
    "8-bit": {"body": "El ñandú llegó a Cádiz.\n" * 40},
    "long lines": {"body": ("palabra  y\t" * 89 + "fin.\n") * 3},
    "lines longer than a server takes": {"body": "muchas palabras " * 500 + "fin.\n"},
    "headers in UTF-8": {"subject": "Envío de la caña nº 5, para mañana: " + "ñ" * 80},
    "no body": {"body": "", "Content-Transfer-Encoding": "7bit"},
}


@pytest.fixture
def far_side(relay: Relay) -> FarSide:
    found = FarSide(relay)
    found.publish()
    return found


@both_there
@pytest.mark.parametrize("lacks", [frozenset(), frozenset({"8BITMIME"})], ids=["8BITMIME", "7 bits only"])
async def test_everything_passes_at_the_far_side(far_side: FarSide, outside: OutsideServer, lacks: frozenset[str]) -> None:
    """SPF, DKIM by both keys, DMARC: asked of others than ourselves."""
    relay, outside.lacks = far_side.relay, lacks
    alias = relay.order()["buyer"]["alias"]
    for number, (name, fields) in enumerate(CASES.items(), 1):
        values = {key.replace("-", "_"): value for key, value in fields.items()}
        values.setdefault("subject", f"Pedido: {name}")
        code, text = await relay.send(SELLER, alias, message(SELLER, alias, **values))
        assert code == 250, (name, text)
        await far_side.check((await outside.wait_for(number, BUYER))[-1])
    assert '"unsigned"' not in relay.log.read_text()


@both_there
async def test_an_answer_from_a_name_in_utf_8_passes_as_well(far_side: FarSide, outside: OutsideServer) -> None:
    alias = far_side.relay.order()["seller"]["alias"]
    await far_side.relay.send(BUYER, alias, message(f"Ana López <{BUYER}>", f"Señor Sol <{alias}>", "¿Cuándo llega?"))
    (arrived,) = await outside.wait_for(1, SELLER)
    assert "Ana López" in str(message_from_bytes(arrived.raw, policy=policy.default)["From"])
    await far_side.check(arrived)


@both_there
async def test_a_dsn_is_signed_as_well(far_side: FarSide, outside: OutsideServer) -> None:
    relay = far_side.relay
    alias = relay.order()["buyer"]["alias"]
    outside.answers[BUYER] = "550 5.1.1 No such mailbox"
    await relay.send(SELLER, alias, message(SELLER, alias))
    (dsn,) = await outside.wait_for(1, SELLER)
    assert dsn.reverse_path == "<>"
    assert b"multipart/report" in dsn.raw
    await far_side.check(dsn)


@both_there
async def test_a_spoilt_message_fails_at_the_far_side(far_side: FarSide, outside: OutsideServer) -> None:
    """The checks above can say no."""
    relay = far_side.relay
    alias = relay.order()["buyer"]["alias"]
    await relay.send(SELLER, alias, message(SELLER, alias, body="Son 10 euros.\n"))
    (arrived,) = await outside.wait_for(1, BUYER)
    spoilt = arrived.raw.replace(b"10 euros", b"99 euros")
    assert spoilt != arrived.raw
    assert far_side.by_dkimpy(spoilt) == [("relay.example", False)] * 2
    assert "dkim=pass" not in far_side.by_opendkim(spoilt)
    assert far_side.by_dmarc(arrived, ("relay.example", "fail"), [("relay.example", False)] * 2)[0] == "fail"
    assert far_side.by_dmarc(arrived, ("tienda.example", "pass"), [("other.example", True)])[0] == "fail"
    far_side.zone["relay.example", "A"] = ["192.0.2.1"]
    server = NameServer(far_side.zone)
    await server.start()
    assert await asyncio.to_thread(far_side.by_mail_spf, arrived, server.port) == ("relay.example", "fail")
    server.stop()


async def test_dane_and_a_required_certificate_under_the_daemon(
        start_relay: Start, nameserver: NameServer, tmp_path: Path) -> None:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = ca.issue_cert("mx.correo.example")
    certificate.configure_cert(context)
    outside = OutsideServer(context)
    await outside.start()
    der = ssl.PEM_cert_to_DER_cert(certificate.cert_chain_pems[0].bytes().decode())
    tlsa = (f"_{outside.port}._tcp.mx.correo.example", "TLSA")
    nameserver.secure = {"*"}
    nameserver.zone = {("correo.example", "MX"): ["10 mx.correo.example."], ("mx.correo.example", "A"): ["127.0.0.1"],
                       tlsa: ["3 0 1 " + sha256(der).hexdigest()]}
    relay = await start_relay(
        outbound={"route": "mx", "port": outside.port, "allow_loopback": True, "retry": ["1s"], "tls": "verify",
                  "ca_file": "ca.pem", "source_addresses": ["127.0.0.5"]},
        dns={"resolvers": [f"127.0.0.1:{nameserver.port}"]})
    alias = relay.order()["buyer"]["alias"]
    await relay.send(SELLER, alias, message(SELLER, alias, "dane"))
    assert (await outside.wait_for(1, BUYER))[0].over_tls
    await relay.stop()
    nameserver.zone[tlsa] = ["3 0 1 " + "ab" * 32]
    await relay.start()
    await relay.send(SELLER, alias, message(SELLER, alias, "otro"))
    (waiting,) = await relay.settle("deferred")
    assert "4.7.5" in relay.run("message", "show", waiting["id"])
    await relay.stop()
    del nameserver.zone[tlsa]
    await relay.start()
    assert (await outside.wait_for(2, BUYER))[1].over_tls
    await relay.stop()
    (report,) = relay.json("tls", "report", "--day", f"{datetime.now(UTC):%Y-%m-%d}")
    counts = {one["policy"]["policy-type"]: one["summary"]["total-successful-session-count"] for one in report["policies"]}
    assert counts["no-policy-found"] == 1
    assert "validation-failure" in relay.run("tls", "report", "--day", f"{datetime.now(UTC):%Y-%m-%d}")
    await outside.stop()


def test_authorities_that_cannot_be_read_end_the_start(tmp_path: Path) -> None:
    relay = Relay(tmp_path, {"outbound": {"route": "mx", "ca_file": "gone.pem"}})
    assert "outbound.ca_file: gone.pem: No such file" in relay.run("serve", check=2).replace(f"{tmp_path}/", "")
    (tmp_path / "gone.pem").write_text("nothing\n")
    assert "is no PEM file" in relay.run("serve", check=2)


@both_there
async def test_a_rotation_while_the_daemon_runs(far_side: FarSide, outside: OutsideServer) -> None:
    relay = far_side.relay
    alias = relay.order()["buyer"]["alias"]
    old = {one["selector"] for one in relay.json("key", "list", "--dkim")}

    async def selectors(number: int) -> set[str]:
        await relay.send(SELLER, alias, message(SELLER, alias, f"Hola {number}"))
        arrived = (await outside.wait_for(number, BUYER))[-1]
        await far_side.check(arrived)
        return {one.decode() for one in re.findall(rb"; s=([a-z0-9]+);", arrived.raw)}

    assert await selectors(1) == old
    new = {one["selector"] for one in relay.json("key", "rotate", "--dkim")}
    far_side.publish()
    assert await selectors(2) == old
    relay.run("key", "rotate", "--dkim", "--activate")
    number = 2
    async with asyncio.timeout(10):
        while True:
            number += 1
            if await selectors(number) == new:
                break
