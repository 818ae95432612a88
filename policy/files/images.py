"""PNG (ISO/IEC 15948), GIF89a and Windows bitmaps: blocks are kept or dropped whole, pixels are never decoded."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from policy.files import exif
from policy.files.findings import Inside, unreadable
from policy.files.polyglot import refuse_in_image, refuse_tail

_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_METADATA = {b"tEXt": "PNG text", b"zTXt": "PNG text", b"iTXt": "PNG text", b"tIME": "PNG date", b"eXIf": "EXIF"}
_GIF_KEPT = (b"NETSCAPE2.0", b"ANIMEXTS1.0", b"ICCRGBG1012")
"""Application extensions that say how to show it: the loop count and the colour profile."""
_BLOCKS = 500_000


def png(content: bytes, scrub: bool) -> Inside:
    """Raises RefusedError when it shows no image or holds another format."""
    refuse_in_image(content)
    kept, removed, kinds, end = [_PNG_START], dict[str, None](), set[bytes](), len(_PNG_START)
    for kind, start, end in _chunks(content):
        kinds.add(kind)
        chunk = content[start:end]
        new = _small_exif(chunk) if kind == b"eXIf" else b"" if kind in _PNG_METADATA else chunk
        if new != chunk:
            removed |= dict.fromkeys(exif.describe(chunk[8:-4]) if kind == b"eXIf" else [_PNG_METADATA[kind]])
        kept.append(new)
    if not {b"IHDR", b"IDAT"} <= kinds:
        raise unreadable("a png without a picture")
    return _result(content, end, kept, removed, scrub, "PNG")


def _chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    at = len(_PNG_START)
    for _ in range(_BLOCKS):
        if at + 12 > len(content):
            return
        kind = content[at + 4 : at + 8]
        end = at + 12 + int.from_bytes(content[at : at + 4], "big")
        if not kind.isalpha():
            return
        yield kind, at, min(end, len(content))
        if kind == b"IEND" or end >= len(content):
            return
        at = end
    raise unreadable("too many chunks")


def _small_exif(chunk: bytes) -> bytes:
    turn = exif.orientation(chunk[8:-4])
    if turn == 1:
        return b""
    body = b"eXIf" + exif.only_orientation(turn)
    return (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")


def gif(content: bytes, scrub: bool) -> Inside:
    """Raises RefusedError when it shows no image or holds another format."""
    refuse_in_image(content)
    start = 13 + _colours(content[10:11])
    kept, removed, pictures, end = [content[:start]], dict[str, None](), 0, start
    for name, at, end in _gif_blocks(content, start):
        pictures += name == ""
        if name.startswith("GIF"):
            removed[name] = None
        else:
            kept.append(content[at:end])
    if not pictures:
        raise unreadable("a gif without a picture")
    return _result(content, end, kept, removed, scrub, "GIF")


def _colours(flags: bytes) -> int:
    """Octets of the colour table that packed flags announce."""
    return 3 << ((flags[0] & 7) + 1) if flags and flags[0] & 0x80 else 0


def _gif_blocks(content: bytes, at: int) -> Iterator[tuple[str, int, int]]:
    """(name, start, end): "GIF …" for what goes, "" for a picture, a dot for the rest."""
    for _ in range(_BLOCKS):
        kind = content[at : at + 1]
        if kind == b";":
            yield ".", at, at + 1
            return
        if kind == b",":
            data = at + 11 + _colours(content[at + 9 : at + 10])
            name = ""
        elif kind == b"!":
            data, name = at + 2, _extension(content, at)
        else:
            return
        end = _skip_sub_blocks(content, data)
        yield name, at, end
        at = end
    raise unreadable("too many blocks")


def _extension(content: bytes, at: int) -> str:
    label = content[at + 1 : at + 2]
    if label == b"\xfe":
        return "GIF comment"
    if label == b"\x01":
        return "GIF plain text"
    if label == b"\xff" and content[at + 3 : at + 14] not in _GIF_KEPT:
        return "GIF XMP" if content[at + 3 : at + 11] == b"XMP Data" else "GIF application data"
    return "."


def _skip_sub_blocks(content: bytes, at: int) -> int:
    while at < len(content) and content[at]:
        at += content[at] + 1
    return min(at + 1, len(content))


def bmp(content: bytes, scrub: bool) -> Inside:
    """A bitmap has no metadata. Raises RefusedError when its header is none or it holds another format."""
    refuse_in_image(content)
    header = int.from_bytes(content[14:18], "little")
    planes_at, depth_at = (22, 24) if header == 12 else (26, 28)
    planes = int.from_bytes(content[planes_at : planes_at + 2], "little")
    depth = int.from_bytes(content[depth_at : depth_at + 2], "little")
    pixels = int.from_bytes(content[10:14], "little")
    if planes != 1 or depth not in (0, 1, 2, 4, 8, 16, 24, 32) or not 14 + header <= pixels < len(content):
        raise unreadable("a bitmap without a picture")
    return Inside()


def _result(content: bytes, end: int, kept: list[bytes], removed: dict[str, None], scrub: bool, kind: str) -> Inside:
    if end < len(content):
        refuse_tail(content[end:])
        removed[f"data after the {kind} picture"] = None
    if not scrub or not removed:
        return Inside()
    return Inside(scrubbed=b"".join(kept), removed=tuple(removed))
