"""What planted messages are made of: lines of ordinary mail in several languages, small valid files, trees of parts."""

from __future__ import annotations

import functools
import html
import io
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from spellings import base64_lines, quoted_printable

SUBJECTS = ("Pedido 111-2222222-3333333", "Re: Größe und Farbe", "ご注文について", "Where is my parcel?", "关于订单",
            "Envío", "Заказ", "Fwd: Rechnung")
LINES = (
    "Buenos días, ¿cuándo llega mi pedido?", "Gracias por su respuesta tan rápida.", "The parcel has not arrived yet.",
    "Could you send the invoice again, please?", "Die Größe passt leider nicht.", "Mit freundlichen Grüßen",
    "Le colis est arrivé abîmé, hélas.", "商品はまだ届いていません。", "よろしくお願いいたします。", "请问什么时候发货？",
    "Посылка ещё не пришла.", "Un saludo, Ana", "Il pacco è arrivato ieri.", "Obrigado pela atenção.", "",
    "De kleur is anders dan op de foto.", "El sol sale a las ocho.", "Meet me at the shop at five.", "100 % cotton, 5 & up",
    "See https://shop.example/orders?id=1&x=%20y for more.", "-- ", "> What colour do you want?", "a = b; c < d",
    "Visit us at the market, dot com prices!", "Tel. 600 000 000",
)
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
TEXT_FILES = (
    ("text/plain", b"notas.txt", "contact: {}"), ("application/octet-stream", b"log.txt", "user={};"),
    ("text/csv", b"contactos.csv", "name,mail\nAna,{}"), ("text/csv", b"lista.txt", '"Ana","{}","x"'),
    ("text/x-vcard", b"ana.vcf", "BEGIN:VCARD\nEMAIL;TYPE=HOME:{}\nEND:VCARD"), ("text/plain", b"nota.txt", "{}"),
)
"""Media type, file name, and the line that holds the plant; .csv and .vcf are not accepted, which is an answer too."""


def extension(name: bytes) -> str:
    """Of `; filename="a.pdf"`."""
    found = re.search(rb"\.(\w+)\"?$", name)
    return found[1].decode() if found else "txt"


@functools.lru_cache(maxsize=64)
def docx(text: str = "Hola", author: str = "Nadie") -> bytes:
    kind = "application/vnd.openxmlformats-"
    members = {
        "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/word/document.xml" ContentType="{kind}officedocument.wordprocessingml.document.main+xml"/>'
        f'<Override PartName="/docProps/core.xml" ContentType="{kind}package.core-properties+xml"/></Types>',
        "_rels/.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        '<Relationship Id="a" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" '
        'Target="word/document.xml"/><Relationship Id="b" Type="http://schemas.openxmlformats.org/package/2006/'
        'relationships/metadata/core-properties" Target="docProps/core.xml"/></Relationships>',
        "word/document.xml": '<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">'
        f"<w:body><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:body></w:document>",
        "docProps/core.xml": '<cp:coreProperties xmlns:cp="http://schemas.openxmlformats.org/package/2006/metadata/'
        f'core-properties" xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:creator>{author}</dc:creator></cp:coreProperties>',
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, (2026, 11, 24, 10, 0, 0)), content.encode(), zipfile.ZIP_DEFLATED)
    return out.getvalue()


@functools.lru_cache(maxsize=64)
def pdf(text: str = "Hola", author: str = "Nadie") -> bytes:
    """One page; its content stream is compressed."""
    stream = zlib.compress(f"BT /F1 12 Tf 20 100 Td ({text}) Tj ET".encode())
    objects = [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
               b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 200]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
               b"<</Length %d/Filter/FlateDecode>>stream\n%s\nendstream" % (len(stream), stream),
               b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>", b"<</Author(%s)>>" % author.encode()]
    out, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return out + (b"xref\n0 7\n0000000000 65535 f \n%strailer\n<</Size 7/Root 1 0 R/Info 6 0 R>>\nstartxref\n%d\n%%%%EOF\n"
                  % (table, len(out)))


@functools.lru_cache(maxsize=64)
def png(text: str = "") -> bytes:
    """One grey pixel, with a tEXt chunk where there is a text."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(b"\0\x80")), (b"IEND", b"")]
    if text:
        chunks.insert(1, (b"tEXt", b"Author\0" + text.encode("latin-1")))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks)


FILES: tuple[tuple[str, bytes, Callable[[], bytes]], ...] = (
    ("application/pdf", b"factura.pdf", pdf), (DOCX, b"carta.docx", docx), ("image/png", b"foto.png", png),
    ("application/octet-stream", b"notas.txt", lambda: b"Hola\r\n"),
)


# --- shapes and bytes -----------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Node:
    """An entity in the making. Text is a list of lines (or of HTML blocks), so that a plant finds its place."""

    type: str
    lines: list[str] = field(default_factory=list)
    content: bytes | None = None
    name: bytes = b""
    """`; name=…` and `; filename=…` as they will stand in the two fields."""
    disposition: str = ""
    fields: list[tuple[str, bytes]] = field(default_factory=list)
    children: list[Node] = field(default_factory=list)
    preamble: bytes = b""
    epilogue: bytes = b""
    boundary: bytes = b""
    remark: bytes = b""
    """What follows the media type's parameters."""

    def walk(self) -> list[Node]:
        return [self, *(below for child in self.children for below in child.walk())]

    def set(self, name: str, value: bytes) -> None:
        self.fields = [one for one in self.fields if one[0] != name] + [(name, value)]

    def get(self, name: str) -> bytes:
        return next((value for other, value in self.fields if other == name), b"")


def tree(rng: Random) -> Node:
    """Plain, HTML, alternative, related, mixed and nested, as the common clients build them."""
    plain, rich = Node("text/plain", rng.sample(LINES, 5)), Node("text/html", _blocks(rng))
    image = Node("image/png", content=png(), name=b'; filename="logo.png"', disposition="inline",
                 fields=[("Content-ID", b"<logo@mua.example>")])
    shape = rng.choice(("plain", "html", "alternative", "alternative", "related", "mixed", "mixed", "nested", "apple"))
    alternative = _multi(rng, "alternative", plain, rich)
    if shape in ("plain", "html"):
        return plain if shape == "plain" else rich
    if shape == "alternative":
        return alternative
    if shape == "related":
        return _multi(rng, "alternative", plain, _multi(rng, "related", rich, image))
    if shape == "mixed":
        return _multi(rng, "mixed", rng.choice((plain, rich, alternative)), _attachment(rng))
    if shape == "apple":  # text, a picture in place, more text
        return _multi(rng, "mixed", plain, image, Node("text/plain", rng.sample(LINES, 2)))
    return _multi(rng, "mixed", _multi(rng, "related", alternative, image), _attachment(rng), _attachment(rng))


def _blocks(rng: Random) -> list[str]:
    return [f"<p>{html.escape(line)}</p>" for line in rng.sample(LINES, 4)] + ['<img src="cid:logo@mua.example">']


def _attachment(rng: Random) -> Node:
    type_, name, make = rng.choice(FILES)
    return Node(type_, content=make(), name=b'; filename="%s"' % name, disposition="attachment")


def _multi(rng: Random, subtype: str, *children: Node) -> Node:
    mark = b"%016x" % rng.getrandbits(64)
    preamble = rng.choice((b"", b"This is a multi-part message in MIME format.\r\n"))
    return Node(f"multipart/{subtype}", children=list(children), preamble=preamble,
                boundary=rng.choice((b"----=_Part_%s", b"%s", b"Apple-Mail=_%s", b"------------%s", b"_000_%s_")) % mark)


_CHARSETS = ("utf-8", "utf-8", "utf-8", "iso-8859-1", "windows-1252", "iso-2022-jp", "utf-16", "utf-16-le", "us-ascii",
             "gb18030", "koi8-r", "shift_jis", "iso-8859-15")
_UNKNOWN = ("x-unknown", "utf8mb4", "unicode-1-1", "ansi_x3.110-1983", "", "none")


def render(rng: Random, node: Node) -> bytes:
    """Header and body. What Node leaves open (charset, transfer encoding, quoting) is chosen here."""
    kind = node.type.encode()
    if node.children:
        body = node.preamble
        for child in node.children:
            body += b"--" + node.boundary + b"\r\n" + render(rng, child) + b"\r\n"
        body += b"--" + node.boundary + b"--\r\n" + node.epilogue
        fields = [*node.fields, ("Content-Type", kind + b';\r\n boundary="' + node.boundary + b'"' + node.remark)]
        return _header(fields) + body
    data, charset = node.content, b""
    if data is None:
        name, data = _encode(rng, node)
        charset = rng.choice((b"; charset=%s", b'; charset="%s"', b';\r\n\tcharset="%s"')) % name.encode() if name else b""
    encoding = "base64" if node.content is not None else _transfer_encoding(rng, data)
    if encoding == "base64":
        data = base64_lines(rng, data)
    elif encoding == "quoted-printable":
        data = quoted_printable(rng, data)
    fields = [*node.fields, ("Content-Type", kind + charset + node.remark)]
    if encoding:
        fields.append(("Content-Transfer-Encoding", rng.choice((encoding, encoding, encoding.upper())).encode()))
    if node.disposition:
        fields.append(("Content-Disposition", node.disposition.encode() + node.name))
    return _header(fields) + data


def _transfer_encoding(rng: Random, data: bytes) -> str:
    if b"\0" in data or max(map(len, data.split(b"\r\n"))) > 990:
        return "base64"
    ways = ("7bit", "") if data.isascii() else ("8bit", "binary")
    return rng.choice(("base64", "quoted-printable", "quoted-printable", *ways))


def _header(fields: list[tuple[str, bytes]]) -> bytes:
    return b"".join(b"%s: %s\r\n" % (name.encode(), value) for name, value in fields) + b"\r\n"


def _encode(rng: Random, node: Node) -> tuple[str, bytes]:
    """(the charset's name as declared, the bytes): chance proposes, and what cannot hold the text is passed over."""
    text = "\r\n".join(node.lines) + "\r\n"
    if node.type == "text/html":
        text = f"<html><head><meta charset=\"utf-8\"></head><body>\r\n{text}</body></html>\r\n"
    if rng.random() < 0.06:
        return rng.choice(_UNKNOWN), text.encode()
    for charset in rng.sample(_CHARSETS, 4):
        try:
            return charset, text.encode(charset)
        except UnicodeEncodeError:
            continue
    return "utf-8", text.encode()
