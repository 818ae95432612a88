"""The demo's scenes, in order. Each sends real mail and says whether it went as told."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from aliasing.message import Message
from relay.demo.world import BUYER, SELLER, STRANGER, World
from relay.ledger.registry import NewParty, OrderRow

ORDERS = ("404-1234567-7654321", "404-1234567-7654322")
PDF = (
    b"%PDF-1.4\r\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\r\n"
    b"2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\r\n"
    b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 100]/Resources<<>>>>endobj\r\nxref\r\n"
    b"0 4\r\n0000000000 65535 f\r\n0000000010 00000 n\r\n0000000054 00000 n\r\n0000000104 00000 n\r\n"
    b"trailer<</Root 1 0 R/Size 4>>\r\nstartxref\r\n182\r\n%%EOF\r\n"
)
PROGRAM = b"MZ\x90\x00\x03\x00\x00\x00This program cannot be run in DOS mode.\x00\x00"
CRITICAL = "Información adicional necesaria"


@dataclass(frozen=True)
class Scene:
    """What was sent, what was answered, what arrived, and what the ledger says."""

    title: str
    sent: bytes = field(repr=False)
    reply: str
    arrived: bytes | None = field(repr=False)
    ledger: dict[str, Any] | None
    notes: tuple[tuple[str, bool], ...]
    """What should have happened, and whether it did."""

    @property
    def ok(self) -> bool:
        return all(held for _, held in self.notes)


def mint(world: World) -> list[OrderRow]:
    """Two orders between the same two people."""
    from aliasing.correspondence import Side

    seller = NewParty(Side.SELLER, "S-1001", SELLER, "Tienda Sol", "es")
    buyer = NewParty(Side.BUYER, "B-2002", BUYER, "Ana López", "es")
    return [world.registry.add_order(order, "relay.mercado.example", seller, buyer) for order in ORDERS]


async def play(world: World, one: OrderRow, two: OrderRow) -> AsyncIterator[Scene]:
    """Every scene, one after another."""
    first = await _passes(
        world, "A seller writes from their own mail program", SELLER, one.buyer_alias,
        _mail(f"Sol García <{SELLER}>", one.buyer_alias, "Su pedido ha salido",
              f"Hola, Ana:\n\nsu pedido ha salido hoy. Si falta algo, escríbame a {SELLER}.\n\nSol",
              "<envio-1@pc.tienda.example>"),
        lambda raw: (("the buyer sees the seller's alias", one.seller_alias.encode() in raw),
                     ("the address typed in the text became the alias", SELLER.encode() not in raw)))
    yield first

    yield await _passes(
        world, "The buyer answers, and the thread holds", BUYER, one.seller_alias,
        _mail(f"Ana <{BUYER}>", one.seller_alias, "Re: Su pedido ha salido", "¡Gracias!\n", "<r1@movil.correo.example>",
              f"In-Reply-To: {_field(first.arrived, 'Message-ID')}"),
        lambda raw: (("it replies to the seller's own message", b"In-Reply-To: <envio-1@pc.tienda.example>" in raw),))

    yield await _refused(
        world, "A stranger has got hold of the alias", STRANGER, one.buyer_alias,
        _mail(f"<{STRANGER}>", one.buyer_alias, "Hola", "¿Es usted Ana?\n"), "NOT_AUTHORISED", tells_order=False)

    yield await _asks_for_peace(world, first.arrived)

    yield await _refused(
        world, "So an offer of the same seller comes back", SELLER, two.buyer_alias,
        _mail(f"Sol <{SELLER}>", two.buyer_alias, "Oferta especial", "¡Solo hoy!\n"), "UNSOLICITED", tells_order=True)

    yield await _passes(
        world, f"… but \u201c{CRITICAL}\u201d passes", SELLER, two.buyer_alias,
        _mail(f"Sol <{SELLER}>", two.buyer_alias, CRITICAL, "¿Qué talla desea?\n"), lambda raw: ())

    begun = await _passes(
        world, "The buyer begins a thread …", BUYER, two.seller_alias,
        _mail(f"Ana <{BUYER}>", two.seller_alias, "¿Talla 38 o 40?", "¿Cómo tallan?\n", "<q1@movil.correo.example>"),
        lambda raw: ())
    yield begun
    await asyncio.sleep(1.1)  # past policy.reply_window, so that only the thread can tell

    yield await _passes(
        world, "… so the seller's reply in it passes too", SELLER, two.buyer_alias,
        _mail(f"Sol <{SELLER}>", two.buyer_alias, "Re: ¿Talla 38 o 40?", "La 38.\n", "<envio-2@pc.tienda.example>",
              f"References: {_field(begun.arrived, 'Message-ID')}"),
        lambda raw: (("it replies to the buyer's own message", b"References: <q1@movil.correo.example>" in raw),))

    yield await _refused(
        world, "A program renamed to .pdf is refused", BUYER, one.seller_alias,
        _with_file(one.seller_alias, "factura.pdf", PROGRAM), "ATTACHMENT_CONTENT", tells_order=False)

    yield await _passes(
        world, "A real PDF passes, byte for byte", BUYER, one.seller_alias,
        _with_file(one.seller_alias, "factura.pdf", PDF),
        lambda raw: (("its bytes are the same", raw.endswith(_with_file("", "factura.pdf", PDF)[-200:])),))

    yield await _passes(
        world, "A photo tells where it was taken: the picture arrives, the place does not", BUYER, one.seller_alias,
        _with_file(one.seller_alias, "foto.jpg", _photo(), "image/jpeg"),
        lambda raw: (("the picture is there", _files(raw)[0].startswith(b"\xff\xd8")),
                     ("no EXIF, no position", b"Exif" not in _files(raw)[0])))

    forged = "0" * 38 + "7" + one.buyer_alias[39:]
    data = _mail(f"Sol <{SELLER}>", forged, "Hola", "…\n")
    before = world.newest()
    reply = await world.send(SELLER, forged, data)
    yield Scene("A forged alias opens nothing, and costs no look at the ledger", data, reply, None, None, (
        ("550 5.1.1 before any data", reply.startswith("550 5.1.1")),
        ("nothing in the ledger", world.newest() == before)))

    yield await _down_and_up(world, one)


async def _asks_for_peace(world: World, arrived: bytes | None) -> Scene:
    """The buyer writes to the address that the footer offers; nothing but mail is needed."""
    address = _field(arrived, "List-Unsubscribe").partition("mailto:")[2].partition("?")[0]
    data = _mail(f"Ana <{BUYER}>", address, "No más mensajes no solicitados", "\n")
    reply = await world.send(BUYER, address, data)
    blocks = list(world.registry.blocks())
    title = "The buyer has had enough offers, and writes to the sealed address below the message"
    return Scene(title, data, reply, None, None, (
        ("done, and said so", reply.startswith("250") and "Hecho" in reply),
        ("no more unsolicited messages from this seller", len(blocks) == 1),
        ("it is no message: nothing was forwarded", len(world.outside.arrived) == 2)))


async def _down_and_up(world: World, order: OrderRow) -> Scene:
    port = world.outside.port
    await world.outside.stop()
    data = _mail(f"Sol <{SELLER}>", order.buyer_alias, "Re: Su pedido ha salido", "¿Llegó bien?\n")
    reply = await world.send(SELLER, order.buyer_alias, data)
    newest = world.newest() or {"id": ""}
    waiting = await world.settled(newest["id"], "deferred")
    count = len(world.outside.arrived)
    await world.outside.start(port)
    line = await world.settled(newest["id"], "delivered")
    arrived = world.outside.arrived[count].raw if len(world.outside.arrived) > count else None
    attempts = sum(event["kind"] == "attempt" for event in line.get("events", []))
    return Scene("The buyer's server is down, then up again", data, reply, arrived, line, (
        ("accepted with 250", reply.startswith("250")),
        ("deferred while it was down", waiting.get("state") == "deferred"),
        (f"delivered once it was up, after {attempts} attempts", line.get("state") == "delivered" and attempts > 1)))


async def _passes(world: World, title: str, from_: str, to: str, data: bytes,
                  checks: Callable[[bytes], tuple[tuple[str, bool], ...]]) -> Scene:
    count = len(world.outside.arrived)
    reply = await world.send(from_, to, data)
    newest = world.newest() or {"id": ""}
    line = await world.settled(newest["id"], "delivered") if reply.startswith("250") else newest
    arrived = world.outside.arrived[count].raw if len(world.outside.arrived) > count else None
    notes = (("accepted with 250", reply.startswith("250")), ("delivered", line.get("state") == "delivered"))
    return Scene(title, data, reply, arrived, line, notes + (checks(arrived) if arrived is not None else ()))


async def _refused(world: World, title: str, from_: str, to: str, data: bytes, code: str, *,
                   tells_order: bool) -> Scene:
    count = len(world.outside.arrived)
    reply = await world.send(from_, to, data)
    line = world.newest() or {}
    told = any(order in reply for order in ORDERS)
    return Scene(title, data, reply, None, line, (
        (f"refused in session, saying what to do [{code}]", reply.startswith("550") and f"[{code}]" in reply),
        ("the reply names the order" if tells_order else "the reply names no order", told is tells_order),
        ("recorded as refused", line.get("state") == "refused"),
        ("nothing left the relay", len(world.outside.arrived) == count)))


def _mail(from_: str, to: str, subject: str, body: str, message_id: str = "", extra: str = "") -> bytes:
    lines = [f"From: {from_}", f"To: {to}", f"Subject: {subject}", "Date: Tue, 24 Nov 2026 10:00:00 +0100",
             *([f"Message-ID: {message_id}"] if message_id else []), *([extra] if extra else []),
             "MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit",
             "", body]
    return "\n".join(lines).replace("\n", "\r\n").encode()


def _with_file(to: str, name: str, content: bytes, kind: str = "application/pdf") -> bytes:
    import base64

    head = (f"From: Ana <{BUYER}>\nTo: {to}\nSubject: Factura\nMIME-Version: 1.0\n"
            "Content-Type: multipart/mixed; boundary=corte\n\n"
            "--corte\nContent-Type: text/plain\n\nLe adjunto la factura.\n"
            f'--corte\nContent-Type: {kind}; name="{name}"\nContent-Transfer-Encoding: base64\n'
            f'Content-Disposition: attachment; filename="{name}"\n\n')
    return (head + base64.encodebytes(content).decode() + "--corte--\n").replace("\n", "\r\n").encode()


def _field(raw: bytes | None, name: str) -> str:
    match = re.search(rb"(?mi)^" + name.encode() + rb": (.*)", raw or b"")
    return match.group(1).decode().strip() if match else ""


def _photo() -> bytes:
    """A small picture that says where, by whom and with what it was taken."""
    import io

    from PIL import Image

    exif = Image.Exif()
    exif[0x013B] = "Ana López"  # Artist
    exif.get_ifd(0x8825)[1], exif.get_ifd(0x8825)[2] = "N", (40.0, 25.0, 0.0)  # GPS
    out = io.BytesIO()
    Image.new("RGB", (64, 48), (220, 160, 60)).save(out, "JPEG", exif=exif)
    return out.getvalue()


def _files(raw: bytes) -> list[bytes]:
    message = Message.parse(raw)
    return [message.decoded(part) for part in message.root.leaves() if part.is_attachment]
