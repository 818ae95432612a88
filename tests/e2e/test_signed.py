"""What arrives outside, verified by others: dkimpy, and opendkim where it is installed; aligned for DMARC."""

from __future__ import annotations

import asyncio
import base64
import re
import shutil
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from email import message_from_bytes, policy
from hashlib import sha256
from pathlib import Path

import dkim as dkimpy
import pytest
import trustme
from support import BUYER, SELLER, Relay, message

from relay.demo.nameserver import NameServer
from relay.demo.outside import Arrived, OutsideServer
from relay.keys import Keys
from relay.sign import dkim_records

Start = Callable[..., Awaitable[Relay]]
OPENDKIM = shutil.which("opendkim", path="/usr/sbin:/usr/bin")
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
    "headers in UTF-8": {"subject": "Envío de la caña nº 5, para mañana: " + "ñ" * 80},
    "no body": {"body": "", "Content-Transfer-Encoding": "7bit"},
}


def records(relay: Relay) -> dict[str, str]:
    return dict(dkim_records(Keys(relay.folder / "var" / "keys"), "relay.example", datetime.now(UTC)))


def by_dkimpy(relay: Relay, raw: bytes) -> list[bool]:
    known = {f"{name}.".encode(): text.encode() for name, text in records(relay).items()}
    count = len(re.findall(rb"(?m)^DKIM-Signature:", raw))
    return [bool(dkimpy.DKIM(raw, minkey=2048).verify(idx=number, dnsfunc=lambda name, timeout=5: known.get(name, b"")))
            for number in range(count)]


def by_opendkim(relay: Relay, raw: bytes) -> str:
    """What opendkim's test mode prints, with the records given to it in a file."""
    assert OPENDKIM
    folder = relay.folder
    (folder / "dns").write_text("".join(f"{name} {text}\n" for name, text in records(relay).items()))
    (folder / "opendkim.conf").write_text(f"Mode v\nTestDNSData file:{folder}/dns\nAuthservID far.example\n"
                                          "AlwaysAddARHeader yes\nSyslog no\n")
    (folder / "arrived.eml").write_bytes(raw)
    done = subprocess.run([OPENDKIM, "-x", str(folder / "opendkim.conf"), "-vvv", "-t", str(folder / "arrived.eml")],
                          capture_output=True, text=True, timeout=30)
    return done.stdout + done.stderr


def is_aligned(arrived: Arrived) -> bool:
    """RFC 7489 3.1, strictly: From, the d= of both signatures and, unless null, the return path."""
    parsed = message_from_bytes(arrived.raw, policy=policy.default)
    domain = parsed["From"].addresses[0].domain
    signed = {re.search(r"d=([^;]+);", str(value))[1] for value in parsed.get_all("DKIM-Signature", [])}  # type: ignore[index]
    return signed == {domain} and arrived.reverse_path.strip("<>").rpartition("@")[2] in ("", domain)


def check(relay: Relay, arrived: Arrived) -> None:
    assert by_dkimpy(relay, arrived.raw) == [True, True]
    assert is_aligned(arrived)
    algorithms = re.findall(rb"(?m)^DKIM-Signature: v=1; a=([a-z0-9\-]+);", arrived.raw)
    assert algorithms == [b"rsa-sha256", b"ed25519-sha256"]
    if OPENDKIM:
        said = by_opendkim(relay, arrived.raw)
        assert said.count("dkim=pass") == 2, said


@pytest.mark.parametrize("lacks", [frozenset(), frozenset({"8BITMIME"})], ids=["8BITMIME", "7 bits only"])
async def test_both_signatures_verify_at_the_far_side(relay: Relay, outside: OutsideServer, lacks: frozenset[str]) -> None:
    outside.lacks = lacks
    alias = relay.order()["buyer"]["alias"]
    for number, (name, fields) in enumerate(CASES.items(), 1):
        values = {key.replace("-", "_"): value for key, value in fields.items()}
        values.setdefault("subject", f"Pedido: {name}")
        code, text = await relay.send(SELLER, alias, message(SELLER, alias, **values))
        assert code == 250, (name, text)
        check(relay, (await outside.wait_for(number, BUYER))[-1])
    assert '"unsigned"' not in relay.log.read_text()


async def test_a_dsn_is_signed_as_well(relay: Relay, outside: OutsideServer) -> None:
    alias = relay.order()["buyer"]["alias"]
    outside.answers[BUYER] = "550 5.1.1 No such mailbox"
    await relay.send(SELLER, alias, message(SELLER, alias))
    (dsn,) = await outside.wait_for(1, SELLER)
    assert dsn.reverse_path == "<>"
    assert b"multipart/report" in dsn.raw
    check(relay, dsn)


async def test_a_spoilt_message_fails_at_the_far_side(relay: Relay, outside: OutsideServer) -> None:
    """The check above can say no."""
    alias = relay.order()["buyer"]["alias"]
    await relay.send(SELLER, alias, message(SELLER, alias, body="Son 10 euros.\n"))
    (arrived,) = await outside.wait_for(1, BUYER)
    spoilt = arrived.raw.replace(b"10 euros", b"99 euros")
    assert spoilt != arrived.raw
    with pytest.raises(dkimpy.ValidationError):
        by_dkimpy(relay, spoilt)
    if OPENDKIM:
        assert "dkim=pass" not in by_opendkim(relay, spoilt)


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


async def test_a_rotation_while_the_daemon_runs(relay: Relay, outside: OutsideServer) -> None:
    alias = relay.order()["buyer"]["alias"]
    old = {one["selector"] for one in relay.json("key", "list", "--dkim")}

    async def selectors(number: int) -> set[str]:
        await relay.send(SELLER, alias, message(SELLER, alias, f"Hola {number}"))
        arrived = (await outside.wait_for(number, BUYER))[-1]
        check(relay, arrived)
        return {one.decode() for one in re.findall(rb"; s=([a-z0-9]+);", arrived.raw)}

    assert await selectors(1) == old
    new = {one["selector"] for one in relay.json("key", "rotate", "--dkim")}
    assert await selectors(2) == old
    relay.run("key", "rotate", "--dkim", "--activate")
    number = 2
    async with asyncio.timeout(10):
        while True:
            number += 1
            if await selectors(number) == new:
                break


