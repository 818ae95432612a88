"""What a file is by its content: a signature at offset 0, and libmagic's opinion of the rest."""

from __future__ import annotations

import io
import zipfile

import pylibmagic  # noqa: F401 - must come before magic: it puts the bundled libmagic where magic looks

import magic  # isort: skip

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_SIGNATURES = (
    (b"%PDF-", "pdf"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"BM", "bmp"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (_OLE, "doc"),
    (b"PK\x03\x04", "docx"),
)
_MAGIC = {
    "pdf": ("application/pdf",),
    "jpeg": ("image/jpeg",),
    "gif": ("image/gif",),
    "tiff": ("image/tiff",),
    "bmp": ("image/bmp", "image/x-ms-bmp"),
    "png": ("image/png",),
    "doc": ("application/msword", "application/cdfv2", "application/x-ole-storage", "application/cdfv2-corrupt"),
    "docx": ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "application/zip",
             "application/octet-stream"),
}
_HEAD_BYTES = 64 * 1024


def sniff(content: bytes) -> str:
    """One of pdf, jpeg, gif, tiff, bmp, png, doc, docx, text; else the media type that libmagic gives."""
    head = content[:_HEAD_BYTES]
    opinion = magic.from_buffer(head, mime=True).lower() if head else "text/plain"
    for signature, kind in _SIGNATURES:
        if head.startswith(signature) and opinion in _MAGIC[kind]:
            return kind if kind != "docx" or _is_docx(content) else "application/zip"
    if _is_text(content):
        return "text"
    return opinion


def _is_docx(content: bytes) -> bool:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = set(archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RecursionError):
        return False
    return "[Content_Types].xml" in names and "word/document.xml" in names and "word/vbaProject.bin" not in names


def _is_text(content: bytes) -> bool:
    """Readable as UTF-8 or UTF-16 with BOM, or 8-bit without control characters other than white space."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            content = content.decode("utf-16").encode("utf-8", "replace")
        except UnicodeDecodeError:
            return False
    return not content.translate(None, delete=_NOT_CONTROLS)


_NOT_CONTROLS = bytes(byte for byte in range(256) if (byte >= 32 and byte != 127) or byte in b"\t\n\x0b\x0c\r\x1b")
