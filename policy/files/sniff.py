"""What a file is by its content: the signature at offset 0, else whether it reads as text, else libmagic's word."""

from __future__ import annotations

_SIGNATURES = (
    (b"%PDF-", "pdf"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "doc"),
)
_DIB_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)
"""Sizes of the headers that may follow a bitmap's own; "BM" alone may begin any text."""
_HEAD_BYTES = 64 * 1024
_CONTENT_TYPES = b"[Content_Types].xml"
_NOT_CONTROLS = bytes(byte for byte in range(256) if (byte >= 32 and byte != 127) or byte in b"\t\n\x0b\x0c\r\x1b")
_MARKUP = (("<!doctype html", "text/html"), ("<html", "text/html"), ("<script", "text/html"), ("<head", "text/html"),
           ("<body", "text/html"), ("<iframe", "text/html"), ("<!--", "text/html"), ("<svg", "image/svg+xml"),
           ("<?php", "text/x-php"), ("<%", "text/x-asp"), ("{\\rtf", "text/rtf"), ("#!", "text/x-script"))


def sniff(content: bytes) -> str:
    """One of pdf, jpeg, gif, tiff, bmp, png, doc, docx, text; else a media type. Never raises."""
    for signature, kind in _SIGNATURES:
        if content.startswith(signature):
            return kind
    if content.startswith(b"PK\x03\x04"):
        return "docx" if _CONTENT_TYPES in content else "application/zip"
    if content.startswith(b"BM") and _is_bitmap(content):
        return "bmp"
    text = _text(content)
    if text is not None:
        start = text[:256].lstrip("\ufeff \t\r\n\f\v").lower()
        return next((kind for signature, kind in _MARKUP if start.startswith(signature)), "text")
    return _libmagic(content[:_HEAD_BYTES])


def _is_bitmap(content: bytes) -> bool:
    return len(content) >= 26 and int.from_bytes(content[14:18], "little") in _DIB_HEADERS and content[6:10] == bytes(4)


def _text(content: bytes) -> str | None:
    """The beginning, when all of it is UTF-8, UTF-16 with a byte order mark, or 8-bit without control characters."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            content = content.decode("utf-16").encode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            return None
    if content.translate(None, delete=_NOT_CONTROLS):
        return None
    return content[:1024].decode("utf-8", "replace")


def _libmagic(head: bytes) -> str:
    import pylibmagic  # noqa: F401, I001 - must come before magic: it puts the bundled libmagic where magic looks

    import magic

    try:
        return magic.from_buffer(head, mime=True).lower()
    except magic.MagicException:
        return "application/octet-stream"
