"""Attachments as people send them, made in code: photographs with EXIF, scans, invoices, documents, notes.

Each is made once and kept. None names a party's address: such a file is refused by design.
"""

from __future__ import annotations

import functools
import io
import zipfile
from collections.abc import Callable
from random import Random
from typing import NamedTuple

import pikepdf
from PIL import Image, ImageDraw, ImageFilter


class File(NamedTuple):
    name: str
    media: str
    content: bytes


def _saved(image: Image.Image, form: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


@functools.cache
def _picture(width: int, height: int, seed: int) -> Image.Image:
    """Soft shapes with a little grain: compresses like a photograph."""
    rng = Random(seed)
    coarse = Image.frombytes("RGB", (16, 12), rng.randbytes(16 * 12 * 3)).resize((width, height), Image.Resampling.BICUBIC)
    grain = Image.frombytes("L", (width // 2, height // 2), rng.randbytes(width * height // 4)).resize((width, height))
    return Image.blend(coarse, grain.filter(ImageFilter.GaussianBlur(1)).convert("RGB"), 0.15)


@functools.cache
def jpeg(size: int) -> bytes:
    """A photograph with the EXIF of a telephone: maker, time, owner, orientation and place. Size 0 to 2."""
    width, height = ((640, 480), (1024, 768), (1280, 960))[size]
    picture = _picture(width, height, size)
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0112], exif[0x013B] = "Fabricante", "Modelo 12", (1, 6, 3)[size], "Ana"
    exif[0x0132] = "2026:11:23 18:04:55"
    exif.get_ifd(0x8825).update({1: "N", 2: (40.0, 25.0, 1.5), 3: "W", 4: (3.0, 42.0, 2.1)})
    return _saved(picture, "JPEG", quality=(70, 80, 85)[size], exif=exif, dpi=(72, 72), progressive=size == 1)


@functools.cache
def png(kind: str) -> bytes:
    """A logo with transparency, a screenshot, or a palette image."""
    if kind == "logo":
        image = Image.new("RGBA", (180, 60), (0, 0, 0, 0))
        ImageDraw.Draw(image).ellipse((4, 4, 56, 56), fill=(250, 180, 0, 255))
        return _saved(image, "PNG", dpi=(96, 96))
    image = Image.new("RGB", (1100, 700), "white")
    draw = ImageDraw.Draw(image)
    for row in range(30):
        draw.text((20, 20 + row * 22), f"{row:02d}  Pedido 111-2222222-333{row:04d}   24,90", fill="black")
    return _saved(image.convert("P") if kind == "palette" else image, "PNG")


@functools.cache
def gif(frames: int) -> bytes:
    images = [_picture(160, 120, 9 + index).convert("P") for index in range(frames)]
    return _saved(images[0], "GIF", save_all=True, append_images=images[1:], duration=120, loop=0)


@functools.cache
def tiff(pages: int) -> bytes:
    """What a scanner sends: black and white, Group 4, several pages."""
    images = []
    for page in range(pages):
        image = Image.new("1", (1240, 1754), 1)
        for row in range(60):
            ImageDraw.Draw(image).text((100, 100 + row * 25), f"{page}.{row} Lorem ipsum dolor sit amet", fill=0)
        images.append(image)
    return _saved(images[0], "TIFF", save_all=True, append_images=images[1:], compression="group4", dpi=(150, 150),
                  software="Scanner 4.1")


@functools.cache
def bmp() -> bytes:
    return _saved(_picture(120, 90, 4), "BMP")


@functools.cache
def pdf(kind: str) -> bytes:
    """An invoice with text, or a scan: a photograph on each of two pages."""
    with pikepdf.new() as document:
        font = pikepdf.Dictionary(Type=pikepdf.Name.Font, Subtype=pikepdf.Name.Type1, BaseFont=pikepdf.Name.Helvetica)
        for page in range(2):
            document.add_blank_page(page_size=(595, 842))
            if kind == "scan":
                image = pikepdf.Stream(document, jpeg(1), Type=pikepdf.Name.XObject, Subtype=pikepdf.Name.Image,
                                       Width=1024, Height=768, ColorSpace=pikepdf.Name.DeviceRGB, BitsPerComponent=8,
                                       Filter=pikepdf.Name.DCTDecode)
                document.pages[page].Resources = pikepdf.Dictionary(XObject=pikepdf.Dictionary(Im0=image))
                content = b"q 595 0 0 446 0 200 cm /Im0 Do Q"
            else:
                document.pages[page].Resources = pikepdf.Dictionary(Font=pikepdf.Dictionary(F1=font))
                lines = b"".join(b"(Linea %d: taza azul, 24,90 EUR, tel. 600 123 456) Tj 0 -16 Td " % row for row in range(40))
                content = b"BT /F1 10 Tf 60 780 Td " + lines + b"ET"
            document.pages[page].Contents = pikepdf.Stream(document, content)
        document.docinfo["/Title"], document.docinfo["/Author"] = "Factura 2026-0117", "Ana"
        document.docinfo["/Producer"] = "Impresora PDF"
        out = io.BytesIO()
        document.save(out, deterministic_id=True, linearize=kind == "linearized",
                      object_stream_mode=pikepdf.ObjectStreamMode.generate)
        return out.getvalue()


_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_TYPES = "application/vnd.openxmlformats-"
_XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\r\n'


@functools.cache
def docx(kind: str) -> bytes:
    """A letter as a word processor writes it; "link" has a hyperlink out, "picture" an image inside."""
    paragraphs = "".join(f"<w:p><w:r><w:t xml:space=\"preserve\">Cláusula {row}: la garantía es de 24 meses. </w:t></w:r></w:p>"
                         for row in range(120))
    extra = ""
    if kind == "link":
        paragraphs += '<w:p><w:hyperlink r:id="rId2"><w:r><w:t>www.tienda.example</w:t></w:r></w:hyperlink></w:p>'
        extra = f'<Relationship Id="rId2" Type="{_OFFICE}/hyperlink" Target="https://www.tienda.example/" TargetMode="External"/>'
    if kind == "picture":
        extra = f'<Relationship Id="rId3" Type="{_OFFICE}/image" Target="media/image1.jpeg"/>'
    files: dict[str, str | bytes] = {
        "[Content_Types].xml": f'{_XML}<Types xmlns="{_PACKAGE}/content-types"><Default Extension="rels" ContentType="{_TYPES}package.relationships+xml"/>'
        '<Default Extension="xml" ContentType="application/xml"/><Default Extension="jpeg" ContentType="image/jpeg"/>'
        f'<Override PartName="/word/document.xml" ContentType="{_TYPES}officedocument.wordprocessingml.document.main+xml"/>'
        f'<Override PartName="/word/styles.xml" ContentType="{_TYPES}officedocument.wordprocessingml.styles+xml"/>'
        f'<Override PartName="/docProps/core.xml" ContentType="{_TYPES}package.core-properties+xml"/>'
        f'<Override PartName="/docProps/app.xml" ContentType="{_TYPES}officedocument.extended-properties+xml"/></Types>',
        "_rels/.rels": f'{_XML}<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="rId1" Type="{_OFFICE}/officeDocument" Target="word/document.xml"/>'
        f'<Relationship Id="rId2" Type="{_PACKAGE}/relationships/metadata/core-properties" Target="docProps/core.xml"/>'
        f'<Relationship Id="rId3" Type="{_OFFICE}/extended-properties" Target="docProps/app.xml"/></Relationships>',
        "word/document.xml": f'{_XML}<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main" xmlns:r="{_OFFICE}"><w:body>{paragraphs}'
        '<w:sectPr><w:pgSz w:w="11906" w:h="16838"/></w:sectPr></w:body></w:document>',
        "word/_rels/document.xml.rels": f'{_XML}<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="rId1" Type="{_OFFICE}/styles" Target="styles.xml"/>{extra}</Relationships>',
        "word/styles.xml": f'{_XML}<w:styles xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"/>',
        "docProps/core.xml": f'{_XML}<cp:coreProperties xmlns:cp="{_PACKAGE}/metadata/core-properties" xmlns:dc="http://purl.org/dc/elements/1.1/">'
        "<dc:creator>Ana</dc:creator><cp:lastModifiedBy>Ana</cp:lastModifiedBy></cp:coreProperties>",
        "docProps/app.xml": f'{_XML}<Properties xmlns="http://schemas.openxmlformats.org/officeDocument/2006/extended-properties"><Company>Correo</Company></Properties>',
    }
    if kind == "picture":
        files["word/media/image1.jpeg"] = jpeg(0)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
    return out.getvalue()


@functools.cache
def note(charset: str) -> bytes:
    """A text file: `utf-16` is what a Windows editor calls Unicode, with its byte order mark."""
    lines = [f"{row}\tArtículo {row}\t{row * 3},90" for row in range(200)]
    return ("Lista de artículos\r\n" + "\r\n".join(lines) + "\r\n").encode(charset)


_JPEG, _PDF = "image/jpeg", "application/pdf"
_DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
_MENU: tuple[tuple[str, str, Callable[[], bytes]], ...] = (
    ("IMG_2034.JPG", _JPEG, lambda: jpeg(2)),
    ("WhatsApp Image 2026-11-23 at 18.04.55.jpeg", _JPEG, lambda: jpeg(1)),
    ("foto (1).jpg", _JPEG, lambda: jpeg(0)),
    ("20261123_180455.jpg", "image/jpg", lambda: jpeg(1)),
    ("Captura de pantalla 2026-11-24 a las 10.11.12.png", "image/png", lambda: png("screen")),
    ("Screenshot 2026-11-24 at 10.11.12\u202fAM.png", "image/png", lambda: png("palette")),
    ("logo.png", "image/png", lambda: png("logo")),
    ("animación.gif", "image/gif", lambda: gif(4)),
    ("sonrisa.gif", "image/gif", lambda: gif(1)),
    ("scan0001.tif", "image/tiff", lambda: tiff(2)),
    ("Escaneo_20261124.tiff", "image/tiff", lambda: tiff(1)),
    ("dibujo.bmp", "image/bmp", bmp),
    ("factura 111-2222222-3333333.pdf", _PDF, lambda: pdf("invoice")),
    ("Factura_nº_12.v2.final.pdf", _PDF, lambda: pdf("linearized")),
    ("Rechnung Müller & Söhne.PDF", "application/octet-stream", lambda: pdf("invoice")),
    ("An\u0303o 2026, albarán; copia.pdf", _PDF, lambda: pdf("scan")),
    ("請求書_2026年11月.pdf", _PDF, lambda: pdf("invoice")),
    ("发票 12.pdf", "application/octet-stream", lambda: pdf("scan")),
    ("Счёт №12.docx", _DOCX, lambda: docx("plain")),
    ("Condiciones de garantía.docx", _DOCX, lambda: docx("link")),
    ("O'Brien 50% off.docx", "application/octet-stream", lambda: docx("picture")),
    ("lista.txt", "text/plain", lambda: note("utf-8")),
    ("Stückliste.txt", "text/plain", lambda: note("utf-16")),
    ("notas.txt", "application/octet-stream", lambda: note("iso-8859-1")),
)


def pick(rng: Random, count: int) -> list[File]:
    """That many different files."""
    return [File(name, media, make()) for name, media, make in rng.sample(_MENU, count)]
