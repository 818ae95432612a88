"""Attachments made in code: sound ones with metadata, and hostile ones. Every name and place in them is invented."""

from __future__ import annotations

import functools
import io
import itertools
import struct
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import pikepdf
from pikepdf import Array, Dictionary, Name, String
from PIL import Image, ImageCms, TiffImagePlugin

AUTHOR = "Sol Ruiz Vega"
EXE = b"MZ\x90\x00\x03\x00\x00\x00\x04\x00\x00\x00\xff\xff" + bytes(200)
SCRIPT = b"<script>alert(document.domain)</script>"


# Pictures

@functools.cache
def picture(width: int = 48, height: int = 32) -> Image.Image:
    image = Image.new("RGB", (width, height))
    image.putdata([(x * 5 % 256, y * 7 % 256, (x * y) % 256) for y in range(height) for x in range(width)])
    return image


@functools.cache
def icc() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def exif(turn: int = 6) -> Image.Exif:
    block = Image.Exif()
    block[0x0112], block[0x013B], block[0x010F] = turn, AUTHOR, "Fabricante"
    block.get_ifd(0x8825).update({1: "N", 2: (40.0, 25.0, 1.5), 3: "W", 4: (3.0, 42.0, 2.1)})
    block.get_ifd(0x8769).update({0x9003: "2026:11:23 18:04:55", 0xA430: AUTHOR})
    return block


def saved(form: str, image: Image.Image | None = None, **options: Any) -> bytes:
    out = io.BytesIO()
    (image or picture()).save(out, form, **options)
    return out.getvalue()


def jpeg(turn: int = 6) -> bytes:
    """EXIF with place, owner and orientation, XMP, IPTC, a comment, and a colour profile."""
    plain = saved("JPEG", exif=exif(turn), icc_profile=icc(), comment=f"by {AUTHOR}".encode())
    xmp = b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta xmlns:x='adobe:ns:meta/'>" + AUTHOR.encode() + b"</x:xmpmeta>"
    return plain[:2] + segment(0xE1, xmp) + segment(0xED, b"Photoshop 3.0\0" + AUTHOR.encode()) + plain[2:]


def segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def plain_jpeg() -> bytes:
    return saved("JPEG", icc_profile=icc())


def png() -> bytes:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("Author", AUTHOR)
    info.add_itxt("XML:com.adobe.xmp", f"<x:xmpmeta>{AUTHOR}</x:xmpmeta>")
    info.add_text("Comment", AUTHOR, zip=True)
    return saved("PNG", pnginfo=info, exif=exif(), icc_profile=icc(), dpi=(96, 96))


def gif() -> bytes:
    """Two frames that loop, and a comment."""
    return saved("GIF", picture().quantize(16), save_all=True, append_images=[picture().rotate(90).quantize(16)], loop=0,
                 comment=AUTHOR.encode())


def tiff() -> bytes:
    """Two pages in strips with the tags of a scanner program, EXIF and a place."""
    info, second = TiffImagePlugin.ImageFileDirectory_v2(), TiffImagePlugin.ImageFileDirectory_v2()
    info[315], info[316], info[305], info[270], info[33432] = AUTHOR, "equipo-sol", "Escáner 3", AUTHOR, AUTHOR
    info[274], info[700], info[34675] = 6, AUTHOR.encode(), icc()
    info[34665], info[34853] = {0xA430: AUTHOR}, {1: "N", 2: (40.0, 25.0, 1.5)}
    second[315] = AUTHOR
    page = picture().copy()
    page.encoderinfo = {"tiffinfo": second}
    return saved("TIFF", tiffinfo=info, save_all=True, append_images=[page])


def big_endian_tiff() -> bytes:
    """The other order of octets, and the directory behind the pixels, as cameras write it."""
    pixels, values = bytes(range(128)), bytearray()
    name, profile, place = AUTHOR.encode() + b"\0", icc(), 8 + 128
    tags: list[tuple[int, int, int, bytes | int]] = [
        (256, 3, 1, 16), (257, 3, 1, 8), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8), (274, 3, 1, 6),
        (277, 3, 1, 1), (278, 3, 1, 8), (279, 4, 1, 128), (315, 2, len(name), name), (34665, 4, 1, b""),
        (34675, 7, len(profile), profile), (34853, 4, 1, b"")]
    rows = b""
    for tag, kind, count, what in tags:
        value = place + len(values) if isinstance(what, bytes) else what
        if what == b"":  # a directory of one entry, with the name in it
            values += struct.pack(">HHHIII", 1, 0xA430 if tag == 34665 else 29, 2, len(name), value + 18, 0) + name
        elif isinstance(what, bytes):
            values += what
        rows += struct.pack(">HHI", tag, kind, count) + (struct.pack(">HH", value, 0) if kind == 3 else struct.pack(">I", value))
    return (b"MM\0*" + struct.pack(">I", place + len(values)) + pixels + values + struct.pack(">H", len(tags)) + rows + bytes(4))


def bmp() -> bytes:
    return saved("BMP")


# PDF

@functools.cache
def pdf(text: str = "Factura 2026-114", info: bool = True, pages: int = 1) -> bytes:
    """With an information dictionary and XMP, or without either."""
    document = pikepdf.new()
    for _ in range(pages):
        _write(document, text)
    if info:
        document.docinfo["/Author"], document.docinfo["/Title"] = String(AUTHOR), String("Factura")
        document.docinfo["/Local"] = String(AUTHOR)
        document.Root.Metadata = document.make_stream(
            f"<x:xmpmeta xmlns:x='adobe:ns:meta/'>{AUTHOR}</x:xmpmeta>".encode(), Type=Name.Metadata, Subtype=Name.XML)
    return closed(document)


def _write(document: pikepdf.Pdf, text: str) -> None:
    page = document.add_blank_page(page_size=(300, 400))
    shown = text.encode("latin-1").replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")
    page.obj.Contents = document.make_stream(b"BT /F1 12 Tf 20 300 Td (" + shown + b") Tj ET")
    page.obj.Resources = Dictionary(Font=Dictionary(F1=Dictionary(
        Type=Name.Font, Subtype=Name.Type1, BaseFont=Name.Helvetica)))


def closed(document: pikepdf.Pdf, **options: Any) -> bytes:
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a form field without a form, as some are meant
        document.save(out, **{"static_id": True, **options})
    return out.getvalue()


def pdf_with(**root: Any) -> bytes:
    """A plain PDF with these entries in its catalogue."""
    document = pikepdf.open(io.BytesIO(pdf(info=False)))
    for key, value in root.items():
        document.Root[f"/{key}"] = value
    return closed(document)


def pdf_annotated(**entries: Any) -> bytes:
    """A plain PDF with one annotation."""
    document = pikepdf.open(io.BytesIO(pdf(info=False)))
    document.pages[0].obj.Annots = Array([document.make_indirect(
        Dictionary(Type=Name.Annot, Rect=Array([10, 10, 90, 30]), **entries))])
    return closed(document)


def javascript() -> bytes:
    return pdf_with(OpenAction=Dictionary(S=Name.JavaScript, JS=String("app.alert(1)")))


def javascript_escaped() -> bytes:
    """The action's type is written with an escape; the cross-reference table is off by some octets, too."""
    raw = pdf_with(OpenAction=Dictionary(S=Name("/Placeholder"), JS=String("app.alert(1)")))
    return raw.replace(b"/S /Placeholder", b"/S /Java#53cript")


def javascript_behind_a_reference() -> bytes:
    """The action's type is an object of its own."""
    return (b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R/OpenAction<</S 4 0 R/JS(app.alert\\(1\\))>>>>endobj\n"
            b"2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>endobj\n"
            b"4 0 obj/JavaScript endobj\ntrailer<</Root 1 0 R/Size 5>>\n%%EOF\n")


def embedded() -> bytes:
    document = pikepdf.open(io.BytesIO(pdf(info=False)))
    document.attachments["nota.txt"] = pikepdf.AttachedFileSpec(document, b"hola", filename="nota.txt")
    return closed(document)


def form() -> bytes:
    """An ordinary form with a text field, and a document that opens at a page."""
    document = pikepdf.open(io.BytesIO(pdf(info=False)))
    field = document.make_indirect(Dictionary(
        Type=Name.Annot, Subtype=Name.Widget, FT=Name.Tx, T=String("nombre"), V=String("Valor escrito"), Rect=[10, 10, 90, 30]))
    document.pages[0].obj.Annots = Array([field])
    document.Root.AcroForm = Dictionary(Fields=Array([field]), DA=String("/Helv 0 Tf 0 g"))
    document.Root.OpenAction = Array([document.pages[0].obj, Name.Fit])
    return closed(document)


def signed() -> bytes:
    document = pikepdf.open(io.BytesIO(pdf()))
    field = document.make_indirect(Dictionary(
        Type=Name.Annot, Subtype=Name.Widget, FT=Name.Sig, T=String("firma"), Rect=[0, 0, 0, 0],
        V=document.make_indirect(Dictionary(Type=Name.Sig, Filter=Name("/Adobe.PPKLite"), ByteRange=[0, 100, 200, 300],
                                            Contents=String(b"\x30\x82" + bytes(40))))))
    document.Root.AcroForm = Dictionary(Fields=Array([field]), SigFlags=3)
    return closed(document)


def locked_pdf(user: str = "secreto") -> bytes:
    document = pikepdf.open(io.BytesIO(pdf()))
    return closed(document, encryption=pikepdf.Encryption(owner="dueño", user=user), static_id=False)


def ugly_pdf() -> bytes:
    """The cross-reference table points nowhere, as after a transfer that changed line ends."""
    raw = pdf(info=False)
    at = raw.rindex(b"startxref")
    return raw[:at] + b"startxref\n7\n%%EOF\n"


def updated_pdf() -> bytes:
    """An incremental update (ISO 32000-1 7.5.6) that took the author away, so that only a look back shows it."""
    raw = pdf()
    size = raw.count(b" obj") + 1
    root = raw[raw.index(b"/Root ") :].split(b"/", 2)[1]
    at = raw.rindex(b"startxref") + 10
    before = raw[at:].split()[0]
    start = len(raw) + 1
    return raw + (b"\nxref\n0 1\n0000000000 65535 f \ntrailer << /%s/Size %d /Prev %s >>\nstartxref\n%d\n%%%%EOF\n"
                  % (root, size, before, start))


def flate_bomb(megabytes: int) -> bytes:
    """So many MiB of zeros (RFC 1950). A full flush forgets what was before it: each MiB packs to the same octets."""
    packer = zlib.compressobj(9)
    head = packer.compress(b"") + packer.flush(zlib.Z_FULL_FLUSH)
    megabyte = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    end = b"\x03\0" + struct.pack(">HH", (megabytes << 20) % 65521, 1)  # an empty last block, and Adler-32 of zeros
    return head + megabyte * megabytes + end


def pdf_bomb(where: str) -> bytes:
    """300 MB of page content, of a font's character map, or of the object stream that holds the page tree."""
    if where != "objects":
        document = pikepdf.open(io.BytesIO(pdf(info=False)))
        page = document.pages[0].obj
        (page if where == "Contents" else page.Resources.Font.F1)[f"/{where}"] = document.make_indirect(
            pikepdf.Stream(document, flate_bomb(300), Filter=Name.FlateDecode, Subtype=Name.Image))
        return closed(document)
    body = flate_bomb(300)
    return (b"%%PDF-1.5\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n3 0 obj<</Type/ObjStm/N 1/First 4/Filter/FlateDecode"
            b"/Length %d>>stream\n" % len(body)) + body + b"\nendstream endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"


def pdf_of_forms(depth: int, pages: int = 1) -> bytes:
    """Each form draws the next one twice: 2^depth of them in a few kilobytes, on each page."""
    document = pikepdf.new()
    form = document.make_stream(b"0 0 m", Type=Name.XObject, Subtype=Name.Form, BBox=[0, 0, 9, 9])
    for _ in range(depth):
        form = document.make_stream(b"/X Do /X Do", Type=Name.XObject, Subtype=Name.Form, BBox=[0, 0, 9, 9],
                                    Resources=Dictionary(XObject=Dictionary(X=form)))
    contents = document.make_stream(b"/X Do")
    for _ in range(pages):
        page = document.add_blank_page()
        page.obj.Contents, page.obj.Resources = contents, Dictionary(XObject=Dictionary(X=form))
    return closed(document)


# Word

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
REL = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
MAIN = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
MACROS = "application/vnd.ms-word.document.macroEnabled.main+xml"


def paragraph(*runs: str) -> str:
    return "<w:p>" + "".join(f"<w:r><w:t>{run}</w:t></w:r>" for run in runs) + "</w:p>"


def relations(*rows: tuple[str, str, bool]) -> str:
    """(type, target, external)."""
    return ('<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">' + "".join(
        f'<Relationship Id="rId{index}" Type="{kind if ":" in kind else f"{REL}/{kind}"}" Target="{target}"'
        f'{" TargetMode=" + chr(34) + "External" + chr(34) if external else ""}/>'
        for index, (kind, target, external) in enumerate(rows, 1)) + "</Relationships>")


def content_types(main: str = MAIN) -> str:
    return ('<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
            '<Default Extension="xml" ContentType="application/xml"/><Default Extension="bin" ContentType="application/x"/>'
            f'<Override PartName="/word/document.xml" ContentType="{main}"/></Types>')


def docx(body: str = paragraph("Condiciones de la entrega"), parts: Mapping[str, str | bytes] | None = None,
         main: str = MAIN, links: tuple[tuple[str, str, bool], ...] = ()) -> bytes:
    """The smallest document that Word opens; `parts` are added or exchanged."""
    files: dict[str, str | bytes] = {
        "[Content_Types].xml": content_types(main),
        "_rels/.rels": relations(("officeDocument", "word/document.xml", False)),
        "word/document.xml": f'<?xml version="1.0" encoding="UTF-8"?>\n<w:document {W}><w:body>{body}</w:body></w:document>',
        "word/_rels/document.xml.rels": relations(*links), **(parts or {})}
    return archive(files)


def archive(files: Mapping[str, str | bytes], stored: bool = False) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED) as target:
        for name, data in files.items():
            target.writestr(zipfile.ZipInfo(name, (2026, 11, 23, 18, 4, 54)), data,
                            zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED)
    return out.getvalue()


def authored_docx(**changes: Any) -> bytes:
    """Properties of all three kinds, a comment, a tracked change, an editor, and a photograph."""
    body = (paragraph("Hola") + f'<w:p><w:ins w:id="1" w:author="{AUTHOR}" w:date="2026-11-23T18:04:00Z"><w:r><w:t>nuevo'
            "</w:t></w:r></w:ins></w:p>")
    parts = {
        "_rels/.rels": relations(
            ("officeDocument", "word/document.xml", False), ("extended-properties", "docProps/app.xml", False),
            ("http://schemas.openxmlformats.org/package/2006/relationships/metadata/core-properties",
             "docProps/core.xml", False),
            ("custom-properties", "docProps/custom.xml", False)),
        "docProps/core.xml": '<cp:coreProperties xmlns:cp="http://schemas.openxmlformats.org/package/2006/metadata/core-'
            f'properties" xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:creator>{AUTHOR}</dc:creator>'
            f"<cp:lastModifiedBy>{AUTHOR}</cp:lastModifiedBy><cp:revision>3</cp:revision></cp:coreProperties>",
        "docProps/app.xml": '<Properties xmlns="http://schemas.openxmlformats.org/officeDocument/2006/extended-properties">'
            f"<Pages>1</Pages><Company>{AUTHOR} S.L.</Company><Manager>{AUTHOR}</Manager></Properties>",
        "docProps/custom.xml": '<Properties xmlns="http://schemas.openxmlformats.org/officeDocument/2006/custom-properties">'
            f'<property name="Cliente">{AUTHOR}</property></Properties>',
        "word/comments.xml": f'<w:comments {W}><w:comment w:id="0" w:author="{AUTHOR}" w:initials="SRV">'
            f"{paragraph('revisar')}</w:comment></w:comments>",
        "word/people.xml": '<w15:people xmlns:w15="http://schemas.microsoft.com/office/word/2012/wordml"><w15:person '
            f'w15:author="{AUTHOR}"/></w15:people>',
        "word/media/image1.jpg": jpeg(),
    }
    links = (("comments", "comments.xml", False), ("image", "media/image1.jpg", False),
             ("http://schemas.microsoft.com/office/2011/relationships/people", "people.xml", False))
    return docx(body, {**parts, **changes.pop("parts", {})}, links=links, **changes)


def docx_bomb(megabytes: int = 60) -> bytes:
    return docx(parts={"word/media/image1.bmp": bytes(megabytes << 20)})


# OLE (MS-CFB), written plainly: one sector chain a stream, all of at least 4096 octets, no mini stream

_FREE, _END, _FAT = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD


def ole(streams: Mapping[str, bytes], storages: Mapping[str, Mapping[str, bytes]] | None = None) -> bytes:
    """Streams at the root, and storages with streams of their own."""
    entries: list[dict[str, Any]] = [{"name": "Root Entry", "kind": 5, "data": b"", "children": []}]
    for name, data in streams.items():
        entries[0]["children"].append(len(entries))
        entries.append({"name": name, "kind": 2, "data": data.ljust(4096, b"\0"), "children": []})
    for storage, inner in (storages or {}).items():
        at = len(entries)
        entries[0]["children"].append(at)
        entries.append({"name": storage, "kind": 1, "data": b"", "children": []})
        for name, data in inner.items():
            entries[at]["children"].append(len(entries))
            entries.append({"name": name, "kind": 2, "data": data.ljust(4096, b"\0"), "children": []})
    return _ole_file(entries)


def _ole_file(entries: list[dict[str, Any]]) -> bytes:
    directory_sectors = (len(entries) + 3) // 4
    chain: list[int] = [_FAT] + [index + 2 for index in range(directory_sectors - 1)] + [_END]
    body = bytearray()
    for entry in entries:
        entry["start"] = len(chain) if entry["data"] else _END if entry["kind"] == 5 else 0
        if entry["data"]:
            count = -(-len(entry["data"]) // 512)
            chain += [len(chain) + 1 + index for index in range(count - 1)] + [_END]
            body += entry["data"].ljust(count * 512, b"\0")
    assert len(chain) <= 128, "one FAT sector is enough for a test"
    header = struct.pack("<8s16sHHHHHHLLLLLLLLLL", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", bytes(16), 62, 3, 0xFFFE, 9, 6, 0, 0,
                         0, 1, 1, 0, 4096, _END, 0, _END, 0) + struct.pack("<L", 0) + b"\xff" * 432
    fat = struct.pack("<128L", *chain, *[_FREE] * (128 - len(chain)))
    directory = b"".join(map(_ole_entry, _linked(entries))).ljust(directory_sectors * 512, b"\0")
    return header + fat + directory + bytes(body)


def _linked(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Siblings as a chain to the right, which is a (poor) search tree."""
    for entry in entries:
        entry.setdefault("right", _FREE)
        order = sorted(entry["children"], key=lambda index: (len(entries[index]["name"]), entries[index]["name"].upper()))
        entry["child"] = order[0] if order else _FREE
        for here, there in itertools.pairwise(order):
            entries[here]["right"] = there
    return entries


def _ole_entry(entry: dict[str, Any]) -> bytes:
    name = entry["name"].encode("utf-16-le")
    return (name.ljust(64, b"\0") + struct.pack("<HBBLLL", len(name) + 2, entry["kind"], 1, _FREE, entry["right"], entry["child"])
            + bytes(36) + struct.pack("<LQ", entry["start"], len(entry["data"])))


def properties(**values: str) -> bytes:
    """A SummaryInformation stream; names are title, author, last (saved by), template."""
    numbers = {"title": 2, "author": 4, "template": 7, "last": 8}
    bodies = []
    for name, value in values.items():
        data = value.encode("latin-1") + b"\0"
        bodies.append((numbers[name], struct.pack("<II", 0x1E, len(data)) + data.ljust(-(-len(data) // 4) * 4, b"\0")))
    at, index, section = 8 + 8 * len(bodies), b"", b""
    for number, body in bodies:
        index += struct.pack("<II", number, at + len(section))
        section += body
    section = struct.pack("<II", at + len(section), len(bodies)) + index + section
    return struct.pack("<HHI16sI", 0xFFFE, 0, 0, bytes(16), 1) + bytes(16) + struct.pack("<I", 48) + section


def word(text: str = "Condiciones", flags: int = 0) -> tuple[bytes, bytes]:
    """A WordDocument stream and its table stream: one piece of 8-bit text, and the tables of names."""
    main, table = bytearray(4096), bytearray(b"\0" * 16)
    struct.pack_into("<HH", main, 0, 0xA5EC, 193)
    struct.pack_into("<H", main, 10, 0x0200 | flags)
    main += text.encode("cp1252")
    pieces = struct.pack("<II", 0, len(text)) + struct.pack("<HIH", 0, 0x40000000 | 2 * 4096, 0)
    spoken = AUTHOR.encode("utf-16-le")
    name = struct.pack("<H", len(AUTHOR)) + spoken
    for number, data in ((33, b"\x02" + struct.pack("<I", len(pieces)) + pieces), (36, name),
                         (71, struct.pack("<HHH", 0xFFFF, 2, 0) + name + name)):
        struct.pack_into("<II", main, 154 + 8 * number, len(table), len(data))
        table += data
    return bytes(main), bytes(table)


def doc(text: str = "Condiciones", flags: int = 0, author: str = AUTHOR, storages: Mapping[str, Mapping[str, bytes]] | None = None,
        **more: bytes) -> bytes:
    main, table = word(text, flags)
    return ole({"WordDocument": main, "1Table": table, "\x05SummaryInformation": properties(title="Condiciones", author=author),
                **more}, storages)
