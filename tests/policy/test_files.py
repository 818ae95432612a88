"""Attached files: what each format's examiner refuses, what it lets pass, reads and scrubs."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from random import Random

import filemaker as made
import pikepdf
import pypdfium2
import pytest
from filemaker import AUTHOR
from hypothesis import given, settings
from hypothesis import strategies as st
from pikepdf import Array, Dictionary, Name, String
from PIL import Image, ImageChops, ImageSequence

from policy import files
from policy.files import Findings, examine
from policy.files.findings import MAX_TEXT, Inside
from policy.files.names import bad_name
from policy.status import Status

PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"


def status(found: Findings) -> Status | None:
    return found.problem.status if found.problem else None


def look(name: str, content: bytes, declared: str = "", **options: bool) -> Findings:
    return examine(name, declared, content, **options)


# Names

@pytest.mark.parametrize("name", [
    "informe.pdf", "report.v2.final.pdf", "Sr. Lopez.pdf", "www.tienda.example.pdf", "www.tienda.com.pdf", "año 2026.pdf",
    "請求書.pdf", "foto (1).pdf", "a..pdf", "12:30:05.pdf", "factura.xml.pdf", "www.sklep.pl.pdf", "exe.pdf", "zip.pdf"])
def test_ordinary_names_pass(name: str) -> None:
    assert bad_name(name) is None
    assert status(look(name, made.pdf())) is None


@pytest.mark.parametrize("name", [
    "a\u202egpj.pdf", "a\u2066b.pdf", "a\u200fb.pdf", "a\0.pdf", "a\r\nb.pdf", "a\x7f.pdf", "a\u2028b.pdf", "a.pdf.", "a.pdf ",
    "a.pdf\u00a0", "a.exe.pdf", "a.EXE .pdf", "a.zip.pdf", "a.docm.pdf", "a\uff0eexe.pdf", "a/b.pdf", "..\\b.pdf", "a.js.x.pdf"])
def test_names_that_deceive_are_refused(name: str) -> None:
    assert status(look(name, made.pdf())) is Status.ATTACHMENT_NAME


# Name, declared type and content together

@pytest.mark.parametrize(("name", "content", "declared"), [
    ("a.pdf", made.pdf(), "application/pdf"), ("a.pdf", made.pdf(), "application/x-pdf"),
    ("a.pdf", made.pdf(), "application/octet-stream"), ("a.pdf", made.pdf(), ""), ("a.pdf", made.pdf(), "nonsense"),
    ("a.PDF", made.pdf(), "Application/PDF"), ("a.jpg", made.plain_jpeg(), "image/jpg"),
    ("a.jpeg", made.plain_jpeg(), "image/pjpeg"), ("a.jpg", made.plain_jpeg(), "image/png"), ("a.bmp", made.bmp(), "image/x-ms-bmp"),
    ("a.docx", made.docx(), "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("a.docx", made.docx(), "application/msword"), ("a.docx", made.docx(), "application/zip"),
    ("a.doc", made.doc(), "application/msword"), ("a.doc", made.doc(), "application/vnd.ms-word"),
    ("a.txt", b"hola", "text/plain"), ("a.txt", b"hola", "text/csv"), ("a.txt", b"BM es la marca", "text/plain"),
    ("a.txt", b"\xff\xfea\0\xf1\0o\0", "text/plain"), ("a.txt", "año".encode("cp1252"), ""), ("a.txt", b"MZ-12, medida", ""),
    ("a.txt", b"", ""), ("a.txt", b"1 < 2 <b>y</b>", ""), (None, made.png(), "image/png"), (None, made.pdf(), "application/pdf")])
def test_ordinary_files_pass(name: str | None, content: bytes, declared: str) -> None:
    assert examine(name, declared, content).problem is None


@pytest.mark.parametrize(("name", "content", "declared", "expected"), [
    ("a.pdf", made.pdf(), "text/html", Status.ATTACHMENT_CONTENT),
    ("a.pdf", made.pdf(), "application/x-msdownload", Status.ATTACHMENT_CONTENT),
    ("a.pdf", made.pdf(), "application/javascript", Status.ATTACHMENT_CONTENT),
    ("a.pdf", made.pdf(), "image/jpeg", Status.ATTACHMENT_CONTENT), ("a.png", made.png(), "image/svg+xml", Status.ATTACHMENT_CONTENT),
    ("a.docx", made.docx(), "application/vnd.ms-word.document.macroEnabled.12", Status.ATTACHMENT_CONTENT),
    ("a.txt", b"hola", "text/html", Status.ATTACHMENT_CONTENT), ("a.txt", b"hola", "text/calendar", Status.ATTACHMENT_CONTENT),
    ("a.txt", b" \r\n<!DOCTYPE html>", "", Status.ATTACHMENT_CONTENT), ("a.txt", b"\xef\xbb\xbf<script>", "", Status.ATTACHMENT_CONTENT),
    ("a.txt", "<html>".encode("utf-16"), "", Status.ATTACHMENT_CONTENT), ("a.txt", b"{\\rtf1", "", Status.ATTACHMENT_CONTENT),
    ("a.txt", b"#!/bin/sh", "", Status.ATTACHMENT_CONTENT), ("a.txt", made.EXE, "", Status.ATTACHMENT_CONTENT),
    ("a.txt", b"a\0b", "", Status.ATTACHMENT_CONTENT), ("a.txt", made.pdf(), "", Status.ATTACHMENT_CONTENT),
    ("a.pdf", made.EXE, "", Status.ATTACHMENT_CONTENT), ("a.jpg", made.png(), "", Status.ATTACHMENT_CONTENT),
    ("a.pdf", b" " + made.pdf(), "", Status.ATTACHMENT_CONTENT), ("a.pdf", b"", "", Status.ATTACHMENT_CONTENT),
    ("a.docx", made.doc(), "", Status.ATTACHMENT_CONTENT), ("a.doc", made.docx(), "", Status.ATTACHMENT_CONTENT),
    ("a.docx", made.archive({"x": "y"}), "", Status.ATTACHMENT_CONTENT),
    ("a.exe", made.EXE, "", Status.ATTACHMENT_TYPE), (".pdf", made.pdf(), "", Status.ATTACHMENT_TYPE),
    ("pdf", made.pdf(), "application/pdf", Status.ATTACHMENT_TYPE), (None, made.pdf(), "application/zip", Status.ATTACHMENT_TYPE),
    ("a.docm", made.docx(), "", Status.ATTACHMENT_TYPE), ("a.pdf.exe", made.pdf(), "", Status.ATTACHMENT_TYPE)])
def test_name_type_and_content_must_agree(name: str | None, content: bytes, declared: str, expected: Status) -> None:
    found = examine(name, declared, content)
    assert status(found) is expected
    assert found.scrubbed is None
    assert found.text == ""


# Two formats in one file

ZIP = made.archive({"x.exe": made.EXE})


def moved_zip(before: bytes) -> bytes:
    """A zip whose offsets count what stands before it, as a careful polyglot has them."""
    end = bytearray(ZIP)
    at = ZIP.rindex(b"PK\x05\x06")
    struct.pack_into("<I", end, at + 16, struct.unpack_from("<I", ZIP, at + 16)[0] + len(before))
    return before + bytes(end)


@pytest.mark.parametrize(("name", "content"), [
    ("a.pdf", made.pdf() + ZIP), ("a.pdf", moved_zip(made.pdf())), ("a.pdf", made.pdf() + ZIP + b"\n%%EOF\n"),
    ("a.pdf", made.pdf() + made.EXE), ("a.pdf", made.pdf() + b"\n" + made.SCRIPT), ("a.jpg", made.plain_jpeg() + ZIP),
    ("a.jpg", made.plain_jpeg() + b"\0\0" + made.EXE), ("a.jpg", made.plain_jpeg() + b"\n" + made.SCRIPT),
    ("a.jpg", made.plain_jpeg()[:2] + made.segment(0xFE, b"<html>" + made.SCRIPT) + made.plain_jpeg()[2:]),
    ("a.jpg", made.plain_jpeg()[:2] + made.segment(0xEA, made.pdf()) + made.plain_jpeg()[2:]),
    ("a.gif", made.gif() + b"=1;alert(document.domain)"), ("a.gif", b"GIF89a/*" + made.gif()[8:-1] + b"!\xfe\x0f*/=1;alert(1)///\0;"),
    ("a.gif", made.gif() + b"\0" * 9 + b"Rar!\x1a\x07"), ("a.png", made.png() + made.SCRIPT), ("a.png", made.png() + made.pdf()),
    ("a.bmp", made.bmp() + ZIP), ("a.tif", made.tiff() + made.pdf()), ("a.docx", made.docx() + made.SCRIPT),
    ("a.docx", made.docx() + made.docx()), ("a.docx", made.docx().replace(b"PK\x01\x02", b"PK\x03\x04" + made.EXE + b"PK\x01\x02", 1))])
def test_polyglots_are_refused(name: str, content: bytes) -> None:
    assert status(look(name, content)) in (Status.ATTACHMENT_MIXED, Status.ATTACHMENT_UNREADABLE)


@pytest.mark.parametrize("content", [
    made.pdf(info=False) + b"\r\n\0\0\0", made.pdf("<html> y <script> son etiquetas", info=False), made.pdf("PK\x03\x04", info=False)])
def test_what_only_looks_like_a_second_format_passes(content: bytes) -> None:
    assert look("a.pdf", content).problem is None


def test_the_video_of_a_motion_photo_is_cut_off() -> None:
    video = b"\x00\x00\x00\x18ftypmp42" + Random(1).randbytes(500)
    found = look("a.jpg", made.plain_jpeg() + video)
    assert found.problem is None
    assert found.scrubbed == made.plain_jpeg()
    assert found.removed == ("data after the JPEG picture",)


# Pictures

PICTURES = {"a.jpg": made.jpeg(), "a.png": made.png(), "a.gif": made.gif(), "a.tif": made.tiff(), "a.tiff": made.big_endian_tiff()}


def frames(content: bytes) -> list[Image.Image]:
    """Every frame's stored pixels, not turned."""
    with Image.open(io.BytesIO(content)) as image:
        return [frame.convert("RGB") for frame in ImageSequence.Iterator(image)]


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_loses_its_metadata_and_not_a_pixel(name: str) -> None:
    before = PICTURES[name]
    found = look(name, before)
    assert found.problem is None
    assert found.scrubbed is not None
    assert AUTHOR.encode() in before
    assert AUTHOR.encode() not in found.scrubbed
    old, new = frames(before), frames(found.scrubbed)
    assert len(old) == len(new)
    assert not any(ImageChops.difference(*pair).getbbox() for pair in zip(old, new, strict=True))


@pytest.mark.parametrize("name", [name for name in PICTURES if name != "a.gif"])
def test_orientation_and_colour_profile_stay_place_and_owner_go(name: str) -> None:
    found = look(name, PICTURES[name])
    assert found.scrubbed
    with Image.open(io.BytesIO(PICTURES[name])) as old, Image.open(io.BytesIO(found.scrubbed)) as new:
        assert new.info["icc_profile"] == old.info["icc_profile"]
        block = new.getexif()
        assert block[0x0112] == 6
        assert not block.get_ifd(0x8825)
        assert 0x013B not in block
    words = " ".join(found.removed)
    assert "GPS" in words
    assert "artist" in words


@pytest.mark.parametrize("name", PICTURES)
def test_scrubbing_twice_changes_nothing(name: str) -> None:
    once = look(name, PICTURES[name]).scrubbed
    assert once
    assert look(name, once) == Findings(look(name, once).kind)


@pytest.mark.parametrize("content", [made.plain_jpeg(), made.saved("JPEG"), made.saved("JPEG", progressive=True)])
def test_a_picture_without_metadata_keeps_its_bytes(content: bytes) -> None:
    assert look("a.jpg", content) == Findings("jpeg")


def test_an_upright_picture_needs_no_exif() -> None:
    scrubbed = look("a.jpg", made.jpeg(turn=1)).scrubbed
    assert scrubbed
    assert b"Exif" not in scrubbed


def test_an_animation_still_loops() -> None:
    scrubbed = look("a.gif", made.gif()).scrubbed
    assert scrubbed
    with Image.open(io.BytesIO(scrubbed)) as image:
        assert image.info["loop"] == 0


def test_scrubbing_can_be_switched_off() -> None:
    for name, content in PICTURES.items():
        assert look(name, content, scrub=False).scrubbed is None
    assert look("a.pdf", made.pdf(), scrub=False).scrubbed is None
    assert look("a.docx", made.authored_docx(), scrub=False).scrubbed is None
    assert look("a.doc", made.doc(), scrub=False).scrubbed is None


@pytest.mark.parametrize(("name", "content"), [
    ("a.jpg", b"\xff\xd8\xff\xd9"), ("a.jpg", b"\xff\xd8\xff"), ("a.png", b"\x89PNG\r\n\x1a\n" + PNG_END), ("a.gif", b"GIF89a"),
    ("a.gif", b"GIF89a\x01\0\x01\0\0\0\0;"), ("a.tif", b"II*\0\x08\0\0\0\0\0"), ("a.tif", b"MM\0*"),
    ("a.bmp", b"BM" + bytes(4) + bytes(4) + struct.pack("<II", 54, 40) + bytes(40))])
def test_a_header_alone_is_no_picture(name: str, content: bytes) -> None:
    assert status(look(name, content)) is Status.ATTACHMENT_UNREADABLE


def test_directories_in_a_circle_end() -> None:
    circle = b"II*\0\x08\0\0\0" + struct.pack("<HHHIII", 1, 273, 4, 1, 8, 8)
    assert look("a.tif", circle).problem is None


# PDF

@pytest.mark.parametrize(("content", "expected"), [
    (made.javascript(), Status.ATTACHMENT_ACTIVE), (made.javascript_escaped(), Status.ATTACHMENT_ACTIVE),
    (made.javascript_behind_a_reference(), Status.ATTACHMENT_ACTIVE), (made.embedded(), Status.ATTACHMENT_ACTIVE),
    (made.pdf_annotated(Subtype=Name.Link, A=Dictionary(S=Name.Launch, F=String("a.exe"))), Status.ATTACHMENT_ACTIVE),
    (made.pdf_annotated(Subtype=Name.RichMedia), Status.ATTACHMENT_ACTIVE),
    (made.pdf_annotated(Subtype=Name.Widget, AA=Dictionary(K=Dictionary(S=Name.JavaScript, JS=String("x")))), Status.ATTACHMENT_ACTIVE),
    (made.pdf_with(AcroForm=Dictionary(Fields=Array(), XFA=String("<x/>"))), Status.ATTACHMENT_ACTIVE),
    (made.locked_pdf(), Status.ATTACHMENT_LOCKED), (made.pdf_bomb("Contents"), Status.ATTACHMENT_UNREADABLE),
    (made.pdf_bomb("ToUnicode"), Status.ATTACHMENT_UNREADABLE),
    (made.pdf_bomb("objects"), Status.ATTACHMENT_UNREADABLE), (made.pdf_of_forms(30), Status.ATTACHMENT_UNREADABLE),
    (made.pdf_of_forms(12, pages=100), Status.ATTACHMENT_UNREADABLE),
    (b"%PDF-1.4\n", Status.ATTACHMENT_UNREADABLE), (b"%PDF-1.4\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF", Status.ATTACHMENT_UNREADABLE),
    (made.form(), None), (made.signed(), None), (made.ugly_pdf(), None), (made.pdf()[:-30], None), (made.pdf_of_forms(4), None),
    (made.pdf_annotated(Subtype=Name.Link, A=Dictionary(S=Name.URI, URI=String("https://tienda.example/JavaScript"))), None),
    (made.pdf_annotated(Subtype=Name.Text, Contents=String("/S /JavaScript /Launch")), None)])
def test_pdf(content: bytes, expected: Status | None) -> None:
    assert status(look("a.pdf", content)) is expected


def test_names_that_are_no_utf8_are_ordinary() -> None:
    raw = (b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R/X<</Caf#e9 1/S/Caf#e9>>/Metadata 4 0 R>>endobj\n"
           b"2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n4 0 obj<</Length 3/Filter/Caf#e9>>stream\nabc\nendstream endobj\n"
           b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Resources<</XObject<</X\xe9 5 0 R>>>>/Contents 6 0 R>>endobj\n"
           b"5 0 obj<</Type/XObject/Subtype/Form/BBox[0 0 9 9]/Length 3>>stream\n0 g\nendstream endobj\n"
           b"6 0 obj<</Length 6>>stream\n/X\xe9 Do\nendstream endobj\ntrailer<</Root 1 0 R/Size 7/Info<</Caf#e9(x)>>>>\n%%EOF\n")
    found = look("a.pdf", raw)
    assert found.problem is None
    assert found.removed == ("PDF custom property", "PDF XMP")


def drawn(content: bytes) -> bytes:
    with pypdfium2.PdfDocument(content) as document:
        return document[0].render().to_pil().tobytes()


def test_a_pdf_loses_its_metadata_and_not_a_page() -> None:
    found = look("a.pdf", made.pdf(pages=3))
    assert found.scrubbed
    assert set(found.removed) == {"PDF author", "PDF title", "PDF custom property", "PDF XMP"}
    with pikepdf.open(io.BytesIO(found.scrubbed)) as after:
        assert "/Info" not in after.trailer
        assert "/Metadata" not in after.Root
        assert len(after.pages) == 3
    assert AUTHOR.encode() not in found.scrubbed
    assert drawn(found.scrubbed) == drawn(made.pdf())
    assert look("a.pdf", made.pdf(pages=3)).scrubbed == found.scrubbed
    assert look("a.pdf", found.scrubbed).scrubbed is None


def test_what_an_update_hid_goes() -> None:
    found = look("a.pdf", made.updated_pdf())
    assert AUTHOR.encode() in made.updated_pdf()
    assert found.scrubbed
    assert AUTHOR.encode() not in found.scrubbed
    assert "PDF earlier versions" in found.removed


def test_a_pdf_without_metadata_keeps_its_bytes() -> None:
    assert look("a.pdf", made.pdf(info=False)).scrubbed is None


def test_a_signed_pdf_is_left_as_it_is_and_its_metadata_is_read() -> None:
    found = look("a.pdf", made.signed())
    assert found.scrubbed is None
    assert AUTHOR in found.text


def test_owners_restrictions_survive() -> None:
    found = look("a.pdf", made.locked_pdf(user=""))
    assert found.scrubbed
    with pikepdf.open(io.BytesIO(found.scrubbed)) as after:
        assert after.is_encrypted
        assert "/Info" not in after.trailer


def test_a_photograph_inside_a_pdf_loses_its_place() -> None:
    document = pikepdf.open(io.BytesIO(made.pdf(info=False)))
    image = pikepdf.Stream(document, made.jpeg(), Type=Name.XObject, Subtype=Name.Image, Width=48, Height=32,
                           ColorSpace=Name.DeviceRGB, BitsPerComponent=8, Filter=Name.DCTDecode)
    document.pages[0].obj.Resources.XObject = Dictionary(Im=document.make_indirect(image))
    document.pages[0].contents_add(b"q 96 0 0 64 20 20 cm /Im Do Q")
    before = made.closed(document)
    found = look("a.pdf", before)
    assert "EXIF GPS position in a picture" in found.removed
    assert found.scrubbed
    assert AUTHOR.encode() not in found.scrubbed
    assert drawn(found.scrubbed) == drawn(before)


@pytest.mark.parametrize("content", [
    made.pdf("escriba a ana@correo.example", info=False),
    made.pdf_annotated(Subtype=Name.Link, A=Dictionary(S=Name.URI, URI=String("mailto:ana@correo.example"))),
    made.pdf_annotated(Subtype=Name.Text, Contents=String("ana@correo.example (año)")),
    made.pdf_with(Outlines=Dictionary(First=Dictionary(Title=String("ana@correo.example ñ 請"))))])
def test_text_and_link_targets_of_a_pdf_are_read(content: bytes) -> None:
    assert "ana@correo.example" in look("a.pdf", content).text


# docx

DOCX_REFUSED: list[tuple[bytes, Status]] = [
    (made.docx(main=made.MACROS), Status.ATTACHMENT_ACTIVE), (made.docx(parts={"word/vbaProject.bin": b"x"}), Status.ATTACHMENT_ACTIVE),
    (made.docx(parts={"otra/VbaProject.bin": b"x"}), Status.ATTACHMENT_ACTIVE),
    (made.docx(links=(("http://schemas.microsoft.com/office/2006/relationships/vbaProject", "x.bin", False),)), Status.ATTACHMENT_ACTIVE),
    (made.docx(links=(("attachedTemplate", "https://evil.example/t.dotm", True),)), Status.ATTACHMENT_ACTIVE),
    (made.docx(links=(("attachedTemplate", r"file:///\\evil.example\t.dotm", True),)), Status.ATTACHMENT_ACTIVE),
    (made.docx(links=(("oleObject", "https://evil.example/x", True),)), Status.ATTACHMENT_ACTIVE),
    (made.docx(links=(("image", "https://evil.example/pixel.png", True),)), Status.ATTACHMENT_ACTIVE),
    (made.docx(links=(("aFChunk", "x.html", False),)), Status.ATTACHMENT_ACTIVE),
    (made.docx(parts={"word/embeddings/oleObject1.bin": b"x"}), Status.ATTACHMENT_ACTIVE),
    (made.docx(parts={"word/activeX/activeX1.bin": b"x"}), Status.ATTACHMENT_ACTIVE),
    (made.docx("<w:p><w:r><w:instrText>DDE</w:instrText></w:r><w:r><w:instrText>AUTO c:\\\\x</w:instrText></w:r></w:p>"),
     Status.ATTACHMENT_ACTIVE),
    (made.docx_bomb(), Status.ATTACHMENT_UNREADABLE), (made.docx(parts={"word/a.bmp": bytes(40 << 20)}), Status.ATTACHMENT_UNREADABLE),
    (made.docx(parts={f"word/{n}.xml": "<x/>" for n in range(2000)}), Status.ATTACHMENT_UNREADABLE),
    (made.docx(parts={"../x.xml": "<x/>"}), Status.ATTACHMENT_UNREADABLE), (made.docx(parts={"/x.xml": "<x/>"}), Status.ATTACHMENT_UNREADABLE),
    (made.docx(parts={"word/x.xml": '<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>'}), Status.ATTACHMENT_UNREADABLE),
    (made.docx(parts={"word/x.xml": '<!DOCTYPE x SYSTEM "https://evil.example/x.dtd"><x/>'}), Status.ATTACHMENT_UNREADABLE),
    (made.docx(parts={"word/x.xml": '<?xml version="1.0" encoding="cp037"?><x/>'}), Status.ATTACHMENT_UNREADABLE),
    (made.docx("<w:p>"), Status.ATTACHMENT_UNREADABLE),
    (made.docx(main="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"), Status.ATTACHMENT_CONTENT),
    (made.docx().replace(b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01"), Status.ATTACHMENT_LOCKED),
    (made.ole({"EncryptedPackage": b"x", "EncryptionInfo": b"x"}), Status.ATTACHMENT_LOCKED)]


@pytest.mark.parametrize(("content", "expected"), DOCX_REFUSED)
def test_docx_that_runs_fetches_or_overflows(content: bytes, expected: Status) -> None:
    assert status(look("a.docx", content)) is expected


def test_an_archive_that_lies_about_its_sizes() -> None:
    bomb = made.docx(parts={"word/x.xml": "<x>" + "a" * 5_000_000 + "</x>"})
    lying = bomb.replace(struct.pack("<I", 5_000_007), struct.pack("<I", 900))
    assert lying != bomb
    assert status(look("a.docx", lying)) is Status.ATTACHMENT_UNREADABLE


@pytest.mark.parametrize("content", [
    made.docx(), made.docx(links=(("hyperlink", "https://tienda.example/", True),)),
    made.docx(links=(("attachedTemplate", r"file:///C:\Users\sol\Plantillas\carta.dotx", True),))])
def test_an_ordinary_docx_passes(content: bytes) -> None:
    assert look("a.docx", content).problem is None


def test_a_docx_loses_the_names_of_its_authors_everywhere() -> None:
    before = made.authored_docx()
    found = look("a.docx", before)
    assert found.scrubbed
    with zipfile.ZipFile(io.BytesIO(found.scrubbed)) as after, zipfile.ZipFile(io.BytesIO(before)) as old:
        assert after.testzip() is None
        assert after.namelist() == old.namelist()
        assert not [name for name in after.namelist() if AUTHOR.encode() in after.read(name)]
        assert b'w:author="Author"' in after.read("word/document.xml")
        assert b">nuevo<" in after.read("word/document.xml")
        assert b"<Pages>1</Pages>" in after.read("docProps/app.xml")
        assert after.read("[Content_Types].xml") == old.read("[Content_Types].xml")
    assert {"docx creator", "docx lastModifiedBy", "docx names in comments and changes", "EXIF GPS position in a picture"} \
        <= set(found.removed)
    assert look("a.docx", before).scrubbed == found.scrubbed
    assert look("a.docx", found.scrubbed).scrubbed is None


def test_text_that_looks_like_an_author_stays() -> None:
    body = made.paragraph('w:author="Sol" &lt;w:ins w:author="x"&gt;') + f'<w:p><w:ins w:author="{AUTHOR}"/></w:p>'
    scrubbed = look("a.docx", made.docx(body)).scrubbed
    assert scrubbed
    with zipfile.ZipFile(io.BytesIO(scrubbed)) as after:
        assert b'w:author="Sol" &lt;w:ins w:author="x"&gt;' in after.read("word/document.xml")


def test_a_docx_without_metadata_keeps_its_bytes() -> None:
    assert look("a.docx", made.docx()).scrubbed is None


def test_a_local_templates_folder_goes() -> None:
    found = look("a.docx", made.docx(links=(("attachedTemplate", r"file:///C:\Users\sol\carta.dotx", True),)))
    assert found.removed == ("docx template path",)


FOOTNOTES = {"word/footnotes.xml": f"<w:footnotes {made.W}>{made.paragraph('ana@correo', '.example')}</w:footnotes>"}


@pytest.mark.parametrize("content", [
    made.docx(made.paragraph("escriba a an", "a@cor", "reo.exam", "ple")), made.docx(parts=FOOTNOTES),
    made.docx(links=(("hyperlink", "mailto:ana%40correo.example", True),)),
    made.docx('<w:p><w:r><w:instrText>HYPERLINK "mailto:ana@</w:instrText></w:r><w:r><w:instrText>correo.example"'
              "</w:instrText></w:r></w:p>"),
    made.docx('<w:p><w:fldSimple w:instr="HYPERLINK &quot;mailto:ana@correo.example&quot;"/></w:p>'),
    made.docx(parts={"word/x.xml": '<?xml version="1.0" encoding="UTF-16"?><x>ana@correo.example</x>'.encode("utf-16")})])
def test_text_of_a_docx_is_read_across_runs(content: bytes) -> None:
    found = look("a.docx", content)
    assert found.problem is None
    assert "ana@correo.example" in found.text


def test_text_is_bounded() -> None:
    assert len(look("a.docx", made.docx(made.paragraph("a" * (MAX_TEXT + 9)), parts={"word/n.bin": Random(1).randbytes(50_000)})).text) \
        == MAX_TEXT


# doc

@pytest.mark.parametrize(("content", "expected"), [
    (made.doc(), None), (made.doc(storages={"ObjectPool": {}}), None), (made.doc(storages={"Macros": {"PROJECT": b"x"}}), Status.ATTACHMENT_ACTIVE),
    (made.doc(storages={"_VBA_PROJECT_CUR": {"x": b"x"}}), Status.ATTACHMENT_ACTIVE),
    (made.doc(storages={"ObjectPool": {"_1": b"x"}}), Status.ATTACHMENT_ACTIVE),
    (made.doc(Package=b"x"), Status.ATTACHMENT_ACTIVE), (made.doc(flags=0x0100), Status.ATTACHMENT_LOCKED),
    (made.ole({"EncryptedPackage": b"x"}), Status.ATTACHMENT_LOCKED), (made.ole({"Workbook": b"x"}), Status.ATTACHMENT_CONTENT),
    (made.ole({"__properties_version1.0": b"x"}), Status.ATTACHMENT_CONTENT), (made.ole({"WordDocument": b"x"}), Status.ATTACHMENT_CONTENT),
    (made.doc()[:512], Status.ATTACHMENT_UNREADABLE),
    (made.doc()[:44] + b"\xff\xff\xff\x00" + made.doc()[48:], Status.ATTACHMENT_UNREADABLE)])
def test_doc(content: bytes, expected: Status | None) -> None:
    assert status(look("a.doc", content)) is expected


def test_a_doc_loses_its_authors_and_keeps_its_size() -> None:
    before = made.doc("Texto que queda")
    found = look("a.doc", before)
    assert found.scrubbed
    assert len(found.scrubbed) == len(before)
    for encoding in ("latin-1", "utf-16-le"):
        assert AUTHOR.encode(encoding) in before
        assert AUTHOR.encode(encoding) not in found.scrubbed
    assert {"doc author", "doc saved by", "doc comment authors"} <= set(found.removed)
    assert found.text == "Texto que queda" == look("a.doc", found.scrubbed).text
    assert look("a.doc", found.scrubbed).scrubbed is None


# Anything at all

SAMPLES: list[tuple[str, Callable[[], bytes]]] = [
    ("a.pdf", made.pdf), ("a.pdf", made.form), ("a.pdf", made.signed), ("a.docx", made.authored_docx), ("a.doc", made.doc),
    ("a.jpg", made.jpeg), ("a.png", made.png), ("a.gif", made.gif), ("a.tif", made.tiff), ("a.bmp", made.bmp)]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(SAMPLES), st.integers(0, 2**32), st.integers(1, 20), st.booleans())
def test_damage_of_any_kind_raises_nothing(sample: tuple[str, Callable[[], bytes]], seed: int, hits: int, scrub: bool) -> None:
    name, make = sample
    found = examine(name, "", damaged(make(), Random(seed), hits), scrub=scrub)
    assert len(found.text) <= MAX_TEXT
    assert found.problem is None or (found.scrubbed is None and found.text == "")


def damaged(content: bytes, rng: Random, hits: int) -> bytes:
    """Octets changed, runs cut out, doubled or filled in, and the end lost now and then."""
    out = bytearray(content)
    for _ in range(hits):
        at, size = rng.randrange(len(out) + 1), rng.choice((1, 1, 1, 2, 4, 64))
        match rng.randrange(5):
            case 0 | 1:
                out[at : at + size] = rng.randbytes(size)
            case 2:
                del out[at : at + size]
            case 3:
                out[at:at] = out[at : at + size]
            case _:
                out[at : at + size] = rng.choice((b"\0", b"\xff", b"\x7f")) * size
    return bytes(out[: rng.randrange(len(out) + 1)] if rng.random() < 0.1 else out)


def test_a_library_that_chokes_fails_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    def choke(content: bytes, scrub: bool) -> Inside:
        raise RuntimeError(f"cannot read {content!r}")

    monkeypatch.setitem(files._EXAMINERS, "pdf", choke)
    found = look("a.pdf", made.pdf())
    assert status(found) is Status.ATTACHMENT_UNREADABLE
    assert found.problem is not None
    assert found.problem.reason == "RuntimeError"


@settings(max_examples=100, deadline=None)
@given(st.none() | st.text(max_size=30), st.text(max_size=30), st.binary(max_size=200))
def test_anything_at_all_raises_nothing(name: str | None, declared: str, content: bytes) -> None:
    examine(name, declared, content)
