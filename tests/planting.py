"""Messages in the shapes of real clients' with real addresses planted in them, and where each was planted.

Everything follows from a seed and a number, so that any message can be made again: `planted(seed, number)`.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple
from urllib.parse import quote

import idna
import plantable
from plantable import Node, render, tree
from spellings import (
    SURROUNDINGS,
    attribution,
    encoded_words,
    file_name,
    header_text,
    raw_text,
    spell,
)
from support import BUYER, SELLER, correspondence

from aliasing.address import Address
from aliasing.correspondence import Correspondence, Direction, Side

PEOPLE: tuple[dict[Side, tuple[str, ...]], ...] = (
    {Side.SELLER: (SELLER, "ventas@sol-moda.example"), Side.BUYER: (BUYER,)},
    {Side.SELLER: ("pedidos@señal.example",), Side.BUYER: ("jorg.muller@bücher.example", "jm77@post.example")},
)
"""Two correspondences, the second with internationalised domains; each party's registered address first."""
FRAMES: tuple[Correspondence, ...] = tuple(
    correspondence(addresses={side: tuple(map(Address.parse, people[side])) for side in Side}) for people in PEOPLE)


class Plant(NamedTuple):
    """`place` is what the oracle calls it: the number of the part in reading order, and what of it."""

    kind: str
    spelling: str
    place: str
    address: str


@dataclass(frozen=True)
class Planted:
    """A message of the party that writes in `direction`, in the frame FRAMES[frame]."""

    frame: int
    direction: Direction
    plants: tuple[Plant, ...]
    data: bytes = field(repr=False)

    @property
    def secrets(self) -> list[str]:
        return [address for addresses in PEOPLE[self.frame].values() for address in addresses]


def planted(seed: int, number: int) -> Planted:
    """The message of that number in the campaign of that seed."""
    maker = _Maker(Random(f"{seed}:{number}"))
    wanted = maker.rng.randint(1, 4)
    for _ in range(12):
        if len(maker.plants) < wanted:
            group = maker.rng.choice(GROUPS)
            group[maker.rng.choice(tuple(group))](maker)
    nodes = maker.root.walk()
    plants = tuple(Plant(kind, spelling, f"{nodes.index(node)} {place}", address)
                   for node, place, kind, spelling, address in maker.plants)
    return Planted(maker.frame, maker.direction, plants, render(maker.rng, maker.root))


class _Maker:
    """One message in the making: chance, who writes to whom, the tree, and what has been planted."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.frame = rng.randrange(len(FRAMES))
        self.direction = rng.choice(tuple(Direction))
        people = PEOPLE[self.frame]
        self.writer = people[self.direction.writer][0]
        self.others = [one for addresses in people.values() for one in addresses if one != self.writer]
        self.addresses = [self.writer, *self.others]
        self.plants: list[tuple[Node, str, str, str, str]] = []
        self.root = tree(rng)
        self.root.fields[:0] = self._header()

    def _header(self) -> list[tuple[str, bytes]]:
        rng = self.rng
        reader = str(FRAMES[self.frame].alias(self.direction.reader)).encode()
        local, _, domain = self.writer.rpartition("@")
        writer = f"{local}@{idna.encode(domain).decode()}".encode()
        number = rng.getrandbits(64)
        return [("Date", b"Tue, 24 Nov 2026 10:00:00 +0100"),
                ("From", rng.choice((b"<%s>", b"Sol <%s>", b'"L\xc3\xb3pez, A." <%s>', b"=?utf-8?Q?=C3=91?= <%s>", b"%s"))
                 % writer),
                ("To", rng.choice((b"<%s>", b"%s", b'"Shop, The" <%s>')) % reader),
                ("Subject", header_text(rng, rng.choice(plantable.SUBJECTS))),
                ("Message-ID", b"<%016x@mua.example>" % number), ("MIME-Version", b"1.0")]

    def free(self, node: Node, place: str) -> bool:
        return all((node, place) != (other[0], other[1]) for other in self.plants)

    def spell(self, node: Node, place: str, kind: str, *, compact: bool = False, other: bool = False) -> str | None:
        """An address in some spelling, noted as planted; None where that place has one already."""
        if not self.free(node, place):
            return None
        address = self.rng.choice(self.others if other else self.addresses)
        spelling, spelt = spell(self.rng, address, compact)
        self.plants.append((node, place, kind, spelling, address))
        return spelt

    def leaf(self, type_: str) -> Node | None:
        nodes = [node for node in self.root.walk() if node.type == type_ and not node.children]
        return self.rng.choice(nodes) if nodes else None


Planter = Callable[[_Maker], None]


# --- header fields -------------------------------------------------------------------------------------------------

_TEXT_FIELDS = {
    "Subject": ("Re: {}", "Pedido {} urgente", "{}"), "Comments": ("{}", "seen by {}"), "Keywords": ("shop, {}",),
    "Organization": ("Tienda {}",), "X-Mailer": ("Mailer 1.0 ({})",), "User-Agent": ("Agent/2 {}",),
    "X-Originating-Email": ("[{}]",), "X-Custom-Note": ("note {}",), "Thread-Topic": ("Pedido {}",),
    "Content-Description": ("Message from {}",), "X-Face": ("face {}",), "OpenPGP": ("id=0x1; url=mailto:{}",),
}
_BOX_FIELDS = {
    "Reply-To": ("Sol <{}>", "{}", "<{}>, x@example.net"), "Sender": ("{}",), "Return-Path": ("<{}>",),
    "Disposition-Notification-To": ("Sol <{}>",), "Return-Receipt-To": ("{}",), "X-Confirm-Reading-To": ("<{}>",),
    "Errors-To": ("{}",), "Bcc": ("{}",), "Resent-From": ("<{}>",), "Delivered-To": ("{}",), "X-Sender": ("{}",),
    "Received": ("from a.example by b.example for <{}>; Tue, 24 Nov 2026 10:00:00 +0100",
                 "from a.example (Authenticated sender: {}) by b.example; Tue, 24 Nov 2026 10:00:00 +0100"),
    "Received-SPF": ("pass envelope-from=<{}>",), "Authentication-Results": ("mx.example; spf=pass smtp.mailfrom={}",),
    "DKIM-Signature": ("v=1; d=example.net; i={}; b=AAAA",), "Autocrypt": ("addr={}; keydata=AAAA",),
    "List-Unsubscribe": ("<mailto:{}?subject=unsubscribe>",), "List-Post": ("<mailto:{}>",), "List-Owner": ("{}",),
    "In-Reply-To": ('Message from "Sol" <{}> of "Tue, 24 Nov 2026" <1@mua.example>',),
    "MIME-Version": ("1.0 ({})",), "X-Priority": ("3 ({})",), "Importance": ("normal ({})",), "Priority": ("{}",),
    "Auto-Submitted": ("no ({})",), "Content-Language": ("es ({})", "{}"), "X-Tradepost-Order": ("{}",),
    "X-Tradepost-Message": ("{}",), "X-Tradepost-Trace": ("{}",),
}
_ID_FIELDS = {
    "Message-ID": ("<{}>", "<2026$1={}>"), "In-Reply-To": ("<{}>", "<abc={}>"),
    "References": ("<1@mua.example>\r\n <{}>", "<x={}> <2@mua.example>"), "Content-ID": ("<{}>",),
    "Resent-Message-ID": ("<{}>",), "Thread-Index": ("{}",), "Content-Location": ("{}",),
}


def _field_planter(name: str, ways: tuple[str, ...], how: str) -> Planter:
    def plant(maker: _Maker) -> None:
        spelt = maker.spell(maker.root, name.lower(), f"header {name}", compact=how == "id")
        if spelt is not None:
            text = maker.rng.choice(ways).replace("{}", spelt)
            maker.root.set(name, header_text(maker.rng, text) if how == "text" else
                           raw_text(maker.rng, text) if how == "box" else text.encode())

    return plant


def _display_name(maker: _Maker) -> None:
    spelt = maker.spell(maker.root, "from", "From, display name", other=True)
    if spelt is not None:
        box = re.search(rb"[^\s<>]+@[^\s<>]+", maker.root.get("From"))
        assert box
        name = (encoded_words(maker.rng, spelt) if maker.rng.random() < 0.5 else
                b'"' + raw_text(maker.rng, spelt) + b'"')
        maker.root.set("From", name + b" <" + box[0] + b">")


def _recipient(name: str) -> Planter:
    def plant(maker: _Maker) -> None:
        spelt = maker.spell(maker.root, name.lower(), f"{name}, another recipient")
        if spelt is not None:
            way = maker.rng.choice(("Ana <{}>, x@example.net", "{}", '"{}" <y@example.net>', "friends: Ana <{}>, z@example.net;"))
            old = maker.root.get("To") if name == "To" else b"w@example.net"
            both = [old, raw_text(maker.rng, way.replace("{}", spelt))]
            maker.rng.shuffle(both)
            maker.root.set(name, b",\r\n ".join(both))

    return plant


def _field_name(maker: _Maker) -> None:
    spelt = maker.spell(maker.root, "a field's name", "header, a field's name", compact=True)
    if spelt is not None:
        maker.root.set(spelt, b"1")


HEADERS: dict[str, Planter] = {
    **{f"text {name}": _field_planter(name, ways, "text") for name, ways in _TEXT_FIELDS.items()},
    **{f"box {name}": _field_planter(name, ways, "box") for name, ways in _BOX_FIELDS.items()},
    **{f"id {name}": _field_planter(name, ways, "id") for name, ways in _ID_FIELDS.items()},
    "from": _display_name, "to": _recipient("To"), "cc": _recipient("Cc"), "name": _field_name,
}


# --- text ----------------------------------------------------------------------------------------------------------


def _text(kind: str, around: Callable[[Random, str], str]) -> Planter:
    def plant(maker: _Maker) -> None:
        node = maker.leaf("text/plain")
        spelt = maker.spell(node, "body", kind) if node else None
        if node and spelt is not None:
            lines = around(maker.rng, spelt).split("\n")
            at = maker.rng.randint(0, len(node.lines))
            node.lines[at:at] = lines if maker.rng.random() < 0.7 else ["> " + " ".join(lines)]

    return plant


def _surround(rng: Random, spelt: str) -> str:
    words = rng.choice(plantable.LINES).split(" ")
    words.insert(rng.randint(0, len(words)), rng.choice(SURROUNDINGS).replace("{}", spelt))
    return " ".join(words)


def _html(kind: str, block: Callable[[Random, str], str]) -> Planter:
    def plant(maker: _Maker) -> None:
        node = maker.leaf("text/html")
        spelt = maker.spell(node, "body", f"HTML, {kind}") if node else None
        if node and spelt is not None:
            node.lines.insert(maker.rng.randint(0, len(node.lines)), block(maker.rng, spelt))

    return plant


def _html_text(rng: Random, spelt: str) -> str:
    return rng.choice(("<p>{}</p>", "<td>{}</td><td>x</td>", "<b>{}</b>", "Sol &lt;{}&gt;<br>", "<title>{}</title>")
                      ).replace("{}", html.escape(spelt))


def _entities(rng: Random, spelt: str) -> str:
    often, named = rng.random(), {"@": "&commat;", ".": "&period;", "+": "&plus;"}
    out = []
    for char in spelt:
        ways = [f"&#{ord(char)};", f"&#x{ord(char):x};", f"&#X{ord(char):05X};", *([named[char]] if char in named else [])]
        out.append(rng.choice(ways) if char in "@." or rng.random() < often else html.escape(char))
    return f"<p>{''.join(out)}</p>"


def _tags_inside(rng: Random, spelt: str) -> str:
    tags = ("<b>{}</b>", '<span style="color:red">{}</span>', "<wbr>{}", "<i></i>{}", '<font face="a">{}</font>')
    return f"<p>{_broken_by(rng, spelt, tags)}</p>"


def _comments_inside(rng: Random, spelt: str) -> str:
    return f"<p>{_broken_by(rng, spelt, ('<!-- -->{}', '<!--x@y.example-->{}', '{}<!---->'))}</p>"


def _broken_by(rng: Random, spelt: str, marks: tuple[str, ...]) -> str:
    cuts = sorted(rng.sample(range(1, len(spelt)), rng.randint(1, 3)))
    pieces = [html.escape(spelt[a:b]) for a, b in zip([0, *cuts], [*cuts, len(spelt)], strict=True)]
    return pieces[0] + "".join(rng.choice(marks).replace("{}", piece) for piece in pieces[1:])


_ATTRIBUTES = ('<a href="mailto:{}">Sol</a>', "<a href='mailto:{}?subject=Hola'>x</a>", '<p title="{}">x</p>',
               '<img src="cid:x" alt="{}">', '<a href="https://shop.example/?m={}">x</a>', '<td data-mail="{}">x</td>',
               '<span class="x {}">x</span>', '<a name="{}"></a>', '<meta name="author" content="{}">',
               '<input value="{}">', '<p style="background:url(\'mailto:{}\')">x</p>', '<div id="{}">x</div>')


def _attribute(rng: Random, spelt: str) -> str:
    return rng.choice(_ATTRIBUTES).replace("{}", html.escape(spelt))


def _mailto(rng: Random, spelt: str) -> str:
    return f'<a href="mailto:{quote(spelt, safe="" if rng.random() < 0.5 else "@")}">Sol</a>'


def _comment(rng: Random, spelt: str) -> str:
    return rng.choice(("<!-- {} -->", "<!--[if mso]><p>{}</p><![endif]-->", "<style>/* {} */ p {color: red}</style>",
                       "<script>var m = '{}';</script>")).replace("{}", spelt)


BODIES: dict[str, Planter] = {
    "text": _text("text", _surround),
    "attribution": _text("attribution", attribution),
    "html text": _html("text", _html_text),
    "html attribution": _html("attribution", lambda rng, spelt: "<div>" + html.escape(
        attribution(rng, spelt)).replace("\n", "<br>\r\n") + "</div><blockquote>x</blockquote>"),
    "html entities": _html("entities", _entities),
    "html tags": _html("tags inside", _tags_inside),
    "html comments": _html("comments inside", _comments_inside),
    "html attribute": _html("attribute", _attribute),
    "html mailto": _html("percent-encoded mailto", _mailto),
    "html comment": _html("comment or style", _comment),
}


# --- parts ---------------------------------------------------------------------------------------------------------


def _between(where: str) -> Planter:
    def plant(maker: _Maker) -> None:
        nodes = [node for node in maker.root.walk() if node.children]
        node = maker.rng.choice(nodes) if nodes else None
        spelt = maker.spell(node, where, where) if node else None
        if node and spelt is not None:
            setattr(node, where, spelt.replace("\n", "\r\n").encode() + b"\r\n")

    return plant


def _part_field(name: str, ways: tuple[str, ...], how: str) -> Planter:
    def plant(maker: _Maker) -> None:
        nodes = maker.root.walk()[1:]
        node = maker.rng.choice(nodes) if nodes else None
        spelt = maker.spell(node, name.lower(), f"part header {name}", compact=how == "id") if node else None
        if node and spelt is not None:
            text = maker.rng.choice(ways).replace("{}", spelt)
            node.set(name, text.encode() if how == "id" else header_text(maker.rng, text))

    return plant


def _file_name(way: str, key: str) -> Planter:
    place = "content-disposition" if key == "filename" else "content-type"

    def plant(maker: _Maker) -> None:
        nodes = [node for node in maker.root.walk() if node.name]
        node = maker.rng.choice(nodes) if nodes else None
        spelt = maker.spell(node, place, f"file name, {way}") if node else None
        if node and spelt is not None:
            old = plantable.extension(node.name)
            name = maker.rng.choice(("{}.{e}", "factura {}.{e}", "{} 2026.{e}", "[{}].{e}")).replace("{}", spelt)
            spelt_name = file_name(maker.rng, way, key, name.replace("{e}", old))
            if key == "filename":
                node.name = spelt_name
            else:
                node.remark += spelt_name

    return plant


def _boundary(maker: _Maker) -> None:
    nodes = [node for node in maker.root.walk() if node.children]
    node = maker.rng.choice(nodes) if nodes else None
    spelt = maker.spell(node, "content-type", "boundary", compact=True) if node else None
    if node and spelt is not None:
        node.boundary = b"----=" + spelt.encode() + b"=" + node.boundary[:8]


def _attached_text(maker: _Maker) -> None:
    type_, name, line = maker.rng.choice(plantable.TEXT_FILES)
    node = Node(type_, name=b'; filename="%s"' % name, disposition="attachment")
    if _attach(maker, node):
        spelt = maker.spell(node, "body", f"attached {type_}") or ""
        node.lines = ["Hola", *line.replace("{}", spelt).split("\n"), "fin"]


def _inside_file(kind: str, make: Callable[[str], bytes], type_: str, name: bytes) -> Planter:
    def plant(maker: _Maker) -> None:
        node = Node(type_, name=b'; filename="%s"' % name, disposition="attachment")
        if _attach(maker, node):
            node.content = make(maker.spell(node, "body", kind, compact=True) or "")

    return plant


def _attach(maker: _Maker, node: Node) -> bool:
    if maker.root.type != "multipart/mixed":
        return False
    maker.root.children.append(node)
    return True


PARTS: dict[str, Planter] = {
    "preamble": _between("preamble"), "epilogue": _between("epilogue"),
    "description": _part_field("Content-Description", ("{}", "Photo of {}"), "text"),
    "content id": _part_field("Content-ID", ("<{}>", "<logo={}>"), "id"),
    "part x-": _part_field("X-Attachment-Id", ("{}",), "text"),
    "part location": _part_field("Content-Location", ("mailto:{}", "{}"), "id"),
    **{f"{key} {way}": _file_name(way, key) for key in ("filename", "name")
       for way in ("quoted or raw 8-bit", "RFC 2047", "RFC 2231", "RFC 2231 continuations")},
    "boundary": _boundary,
    **{f"attached text {n}": _attached_text for n in range(4)},
    "docx text": _inside_file("docx, text", plantable.docx, plantable.DOCX, b"a.docx"),
    "docx author": _inside_file("docx, author", lambda spelt: plantable.docx("x", spelt), plantable.DOCX, b"b.docx"),
    "pdf text": _inside_file("pdf, text", plantable.pdf, "application/pdf", b"a.pdf"),
    "pdf author": _inside_file("pdf, author", lambda spelt: plantable.pdf("x", spelt), "application/pdf", b"b.pdf"),
    "png text": _inside_file("png, text", plantable.png, "image/png", b"a.png"),
}
GROUPS = (HEADERS, BODIES, BODIES, PARTS)
