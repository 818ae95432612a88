"""One file, two formats: what would let an attachment be a picture to us and a program to somebody else."""

from __future__ import annotations

import re
import struct

from policy.files.findings import mixed

_MARKUP = re.compile(rb"<(?:script[\s>]|html[\s>]|!doctype\s+html|body[\s>]|iframe[\s>]|\?php|svg\s[^>]{0,64}xmlns)",
                     re.I)
_EOCD = b"PK\x05\x06"
_EOCD_REACH = 65_557
"""A zip's end record may have 65,535 octets of comment behind its own 22 (APPNOTE 4.3.16)."""
_SECOND = (
    (b"PK\x03\x04", "zip"), (b"MZ", "program"), (b"\x7fELF", "program"), (b"%PDF-", "pdf"), (b"Rar!", "rar"),
    (b"7z\xbc\xaf\x27\x1c", "7z"), (b"\x1f\x8b\x08", "gzip"), (b"\xd0\xcf\x11\xe0", "OLE"),
    (b"\xca\xfe\xba\xbe", "class"),
    (b"#!", "script"), (b"{\\rtf", "rtf"), (b"GIF8", "gif"), (b"\x89PNG", "png"),
)
_PADDING = b"\x00\xff \t\r\n\x1a"


def refuse_zip(content: bytes) -> None:
    """Raise when an unpacker that searches from the end, as all do, would find an archive."""
    tail_at = max(len(content) - _EOCD_REACH, 0)
    at = content.rfind(_EOCD, tail_at)
    while at >= 0:
        if _is_archive(content, at):
            raise mixed("a zip archive inside")
        at = content.rfind(_EOCD, tail_at, at)


def _is_archive(content: bytes, at: int) -> bool:
    """Whether a central directory stands where the end record says, or is empty because it counts nothing."""
    if at + 22 > len(content):
        return False
    entries, size, offset = struct.unpack_from("<HII", content, at + 10)
    starts = (at - size, offset)
    return bool(entries) and any(0 <= start < at and content[start : start + 4] == b"PK\x01\x02" for start in starts)


def refuse_in_image(content: bytes) -> None:
    """Raise when an image holds mark-up, a PDF or an archive.

    Seven octets of one case-folded pattern do not come about by chance in compressed pixels; XMP, which is
    XML, has none of these tags.
    """
    refuse_zip(content)
    found = _MARKUP.search(content)
    if found:
        raise mixed("mark-up inside an image")
    if b"%PDF-1." in content or b"%PDF-2." in content:
        raise mixed("a pdf inside an image")
    # GIF89a/* … */=1;alert(): both a picture and a script, its size field being the comment's beginning
    start = content[6:8] if content.startswith(b"GIF8") else content[2:4] if content.startswith(b"BM") else b""
    if start == b"/*" and b"*/" in content[8:]:
        raise mixed("an image that begins a script comment")


def refuse_tail(tail: bytes, text: bool = True) -> None:
    """Raise when what follows a file's own end is another format (`text` counts as one); padding is none."""
    tail = tail.lstrip(_PADDING)
    for signature, kind in _SECOND:
        if tail.startswith(signature):
            raise mixed(f"{kind} after the end of the file")
    start = tail[:256].rstrip(_PADDING)
    if text and len(start) >= 8 and all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in start):
        raise mixed("text after the end of the file")
    if _MARKUP.search(tail):
        raise mixed("mark-up after the end of the file")
