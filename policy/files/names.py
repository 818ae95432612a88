"""What a file is called and declared to be: which names and which media types may come with which content."""

from __future__ import annotations

import unicodedata

ACCEPTED = {
    "txt": "text", "pdf": "pdf", "doc": "doc", "docx": "docx", "jpg": "jpeg", "jpeg": "jpeg", "gif": "gif",
    "tiff": "tiff", "tif": "tiff", "bmp": "bmp", "png": "png",
}
"""Extension -> the content it must have."""
FOR_NAMELESS = {
    "image/jpeg": "jpg", "image/jpg": "jpg", "image/pjpeg": "jpg", "image/png": "png", "image/x-png": "png",
    "image/gif": "gif", "image/bmp": "bmp", "image/tiff": "tiff", "application/pdf": "pdf",
    "text/plain": "txt",
}
"""Inline images often come without a name; their media type then says what they must be."""
LIST = "txt, pdf, doc, docx, jpg, gif, tiff, bmp, png"

# Left out on purpose: extensions that are top-level domains as well (com, pl, py, sh, app), since a file is
# often called after a web site, and as the last but one they start nothing.
_RUNS_OR_HIDES = frozenset((
    "7z", "apk", "appx", "arj", "bat", "cab", "chm", "cmd", "cpl", "dll", "dmg", "docm", "dotm", "exe", "gadget", "gz",
    "hlp", "hta", "iso", "jar", "js", "jse", "lnk", "lzh", "msc", "msi", "msp", "mst", "ocx", "php", "pif", "potm",
    "ppam", "ppsm", "pptm", "ps1", "psm1", "rar", "reg", "scf", "scr", "sct", "settingcontent-ms", "shs", "sldm", "swf",
    "tar", "tgz", "vb", "vbe", "vbs", "vhd", "vhdx", "wim", "wsc", "wsf", "wsh", "xlam", "xll", "xlsb", "xlsm", "xltm",
    "xz", "zip",
))
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Unicode's Bidi_Control (UAX 9): with them `gpj.exe` can be shown as `exe.jpg`."""

_ANY = frozenset((
    "", "application/octet-stream", "application/x-octet-stream", "application/octetstream", "application/octet",
    "binary/octet-stream", "application/binary", "application/x-binary", "application/unknown",
    "application/x-unknown", "unknown/unknown", "application/force-download", "application/x-force-download",
    "application/x-forcedownload", "application/download", "application/x-download", "application/save",
))
"""Media types with which mail programs say that they do not know."""
_IMAGES = ("jpeg", "gif", "tiff", "bmp", "png")
_WORD = frozenset((
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document", "application/vnd.ms-office",
    "application/doc", "application/docx", "application/x-doc", "application/x-docx", "application/x-ole-storage",
    "application/cdfv2", "application/vnd.openxmlformats", "application/vnd.openxmlformats-officedocument",
    "application/zip", "application/x-zip-compressed", "application/x-zip",
))
_PLAIN = frozenset(("text/plain", "text/txt", "text/csv", "text/markdown", "text/x-log", "text/x-markdown",
                    "application/txt", "application/text"))
"""Types of text that no mail program runs or renders."""


def extension(name: str | None, declared: str) -> str:
    """The lower-case extension; "" where there is none. A file without a name has that of its media type."""
    if name is None:
        return FOR_NAMELESS.get(declared.lower(), "")
    stem, dot, last = name.rpartition(".")
    if not dot and declared.lower().startswith("image/"):
        return FOR_NAMELESS.get(declared.lower(), "")
    return last.lower() if dot and stem else ""


def bad_name(name: str) -> str | None:
    """What is wrong with a decoded file name, in words for the log; None when nothing is."""
    if any(char in _BIDI for char in name):
        return "the name holds bidirectional control characters"
    if any(unicodedata.category(char) in ("Cc", "Zl", "Zp", "Cs") for char in name):
        return "the name holds control characters"
    if "/" in name or "\\" in name:
        return "the name holds a path separator"
    if name.endswith((".", " ", "\u00a0")):  # Windows drops these, so the extension would be another
        return "the name ends in a dot or space"
    for piece in unicodedata.normalize("NFKC", name).split(".")[1:-1]:
        if piece.strip().lower() in _RUNS_OR_HIDES:
            return "the name has a second, dangerous extension"
    return None


def declaration_fits(kind: str, declared: str) -> bool:
    """Whether a mail program may have meant this content with that Content-Type.

    Tolerant of the many names of one type (image/jpg, application/x-pdf) and of "don't know"; not of another
    family, which some clients would believe rather than the name.
    """
    declared = declared.strip().lower()
    if declared in _ANY or "/" not in declared:
        return True
    family, _, subtype = declared.partition("/")
    if kind in _IMAGES:
        return (family == "image" and "svg" not in subtype) or (family == "application" and _names(subtype, _IMAGES))
    if kind == "pdf":
        return (family in ("application", "text", "image", "applications") and subtype.endswith("pdf")) \
            or subtype in ("acrobat", "x-acrobat")
    if kind in ("doc", "docx"):
        return declared in _WORD or (family == "application" and "word" in subtype and "macro" not in subtype)
    if kind == "text":
        return declared in _PLAIN
    return False


def _names(subtype: str, kinds: tuple[str, ...]) -> bool:
    return subtype.removeprefix("x-") in (*kinds, "jpg", "tif")
