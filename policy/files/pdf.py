"""PDF (ISO 32000): nothing in it may run or carry files; its text; its information and XMP taken out.

qpdf reads and writes, so pages, fonts and pictures keep their compressed octets. A signed document is left as it
is: one octet less and the signature is void.
"""

from __future__ import annotations

import functools
import io
import logging
import warnings
from typing import TYPE_CHECKING

from policy.files import jpeg, pdf_objects, pdf_text
from policy.files.findings import MAX_TEXT, Inside, locked, unreadable
from policy.files.polyglot import refuse_tail, refuse_zip

if TYPE_CHECKING:
    from pikepdf import Object, Pdf

_MAX_OBJECT_STREAM = 8_000_000
"""Octets that qpdf unpacks from one stream; it opens only object and cross-reference streams, which are small."""
_INFO = ("Title", "Author", "Subject", "Keywords", "Creator", "Producer", "CreationDate", "ModDate", "Trapped")
_PICTURE_METADATA = (b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/", b"Photoshop 3.0\0")


def examine(content: bytes, scrub: bool) -> Inside:
    """Raises RefusedError for what is beyond repair, locked, active, two formats at once, or unpacks too far."""
    refuse_zip(content)
    end = content.rfind(b"%%EOF")
    if end >= 0:
        refuse_tail(content[end + 5 :], text=False)
    pdf_objects.check_object_streams(content)
    with _open(content) as pdf:
        seen = pdf_objects.Walk(pdf)
        pages = pdf_text.extract(content, lambda: _save(pdf))
        scrubbing = scrub and not seen.signed
        text = "\n".join([pages, *seen.strings(metadata=not scrubbing)])[:MAX_TEXT]
        if not scrubbing:
            return Inside(text)
        removed = _scrub(pdf, seen, content)
        return Inside(text, _save(pdf) if removed else None, tuple(removed))


@functools.cache
def _limited() -> None:
    """qpdf's limits hold for the whole process; set once, before the first document."""
    from pikepdf import settings

    logging.getLogger("pikepdf").setLevel(logging.CRITICAL)  # its warnings quote the document
    settings.set_qpdf_limits(
        flate_max_memory=_MAX_OBJECT_STREAM, png_max_memory=_MAX_OBJECT_STREAM, tiff_max_memory=_MAX_OBJECT_STREAM,
        run_length_max_memory=_MAX_OBJECT_STREAM, max_stream_filters=4, doc_max_warnings=2_000,
        parser_max_container_size=2_000_000)


def _open(content: bytes) -> Pdf:
    import pikepdf

    _limited()
    try:
        pdf = pikepdf.open(io.BytesIO(content))
        if not len(pdf.pages):
            raise unreadable("a pdf without pages")
    except pikepdf.PasswordError as error:
        raise locked("a pdf with a password") from error
    except (pikepdf.PdfError, pikepdf.DataDecodingError, ValueError, TypeError, KeyError, RuntimeError) as error:
        raise unreadable("a pdf beyond repair") from error
    return pdf


def _save(pdf: Pdf) -> bytes:
    """The document written by qpdf, nothing unpacked or packed anew: the same octets for the same document.

    Only where its owner restricted what readers may do is it encrypted again, which is never the same twice.
    """
    from pikepdf import StreamDecodeLevel

    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of form fields without a form, which were so when the document came
        pdf.save(out, preserve_pdfa=False, fix_metadata_version=False, compress_streams=False,
                 stream_decode_level=None if pdf.is_encrypted else StreamDecodeLevel.none, encryption=pdf.is_encrypted,
                 deterministic_id=not pdf.is_encrypted)
    return out.getvalue()


def _scrub(pdf: Pdf, seen: pdf_objects.Walk, content: bytes) -> dict[str, None]:
    removed = dict[str, None]()
    for key in seen.info:
        name = key.lstrip("/")
        removed[f"PDF {name.lower()}" if name in _INFO else "PDF custom property"] = None
    if "/Info" in pdf.trailer:
        del pdf.trailer["/Info"]
    for holder in seen.metadata:
        del holder["/Metadata"]
        removed["PDF XMP"] = None
    for stream in seen.photographs:
        removed |= dict.fromkeys(_scrub_photograph(stream))
    if content.count(b"startxref") > (2 if pdf.is_linearized else 1):
        removed["PDF earlier versions"] = None  # an update leaves what it replaces in the file
    return removed


def _scrub_photograph(stream: Object) -> list[str]:
    """A camera's picture keeps its Exif block inside a PDF too, where nobody reads its orientation."""
    from pikepdf import Dictionary, Name

    raw = stream.read_raw_bytes()
    if not any(mark in raw for mark in _PICTURE_METADATA):
        return []
    inside = jpeg.scrubbed(raw)
    if inside.scrubbed is None:
        return []
    parameters = stream.get("/DecodeParms")
    stream.write(inside.scrubbed, filter=Name.DCTDecode,
                 decode_parms=parameters if isinstance(parameters, Dictionary) else None)
    return [f"{what} in a picture" for what in inside.removed]
