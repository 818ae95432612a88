"""JPEG (ITU-T T.81): segments are kept or dropped whole, pixels are never decoded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from policy.files import exif
from policy.files.findings import Inside, unreadable
from policy.files.polyglot import refuse_in_image, refuse_tail

_EOI, _SOS, _COMMENT = 0xD9, 0xDA, 0xFE
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_STANDALONE = frozenset((0x01, *range(0xD0, 0xD9)))
_AFTER_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_MARKER = re.compile(rb"\xff[^\x00\xff]")
_EXIF = b"Exif\0"
_KEPT = {0xE0: b"JFIF\0", 0xE2: b"ICC_PROFILE\0", 0xEE: b"Adobe"}
"""Application segments that a decoder needs to show the right colours (JFIF; ICC.1 B.4; T.872)."""
_KNOWN = ((b"http://ns.adobe.com/x", "XMP"), (b"Photoshop 3.0\0", "IPTC and Photoshop data"),
          (b"MPF\0", "further pictures"))


@dataclass
class _Rewrite:
    kept: list[bytes] = field(default_factory=lambda: [b"\xff\xd8"])
    removed: dict[str, None] = field(default_factory=dict)
    marks: set[int] = field(default_factory=set)


def examine(content: bytes, scrub: bool) -> Inside:
    """Raises RefusedError when it shows no image or holds another format."""
    refuse_in_image(content)
    out = _Rewrite()
    end = 2
    for marker, start, end in _segments(content):
        out.marks.add(marker)
        _take(content[start:end], marker, out)
    if _SOS not in out.marks or not out.marks & _FRAMES:
        raise unreadable("a jpeg without a picture")
    if end < len(content):
        refuse_tail(content[end:])
        out.removed["data after the JPEG picture"] = None
    if not scrub or not out.removed:
        return Inside()
    return Inside(scrubbed=b"".join(out.kept), removed=tuple(out.removed))


def scrubbed(content: bytes) -> Inside:
    """As examine(), for a picture inside another file, where a second format does no harm."""
    out = _Rewrite()
    for marker, start, end in _segments(content):
        out.marks.add(marker)
        _take(content[start:end], marker, out)
    if not out.removed or _SOS not in out.marks:
        return Inside()
    return Inside(scrubbed=b"".join(out.kept), removed=tuple(out.removed))


def _segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, start, end); a scan's coded data belongs to its segment. A picture cut short ends where it ends."""
    at = 2
    while at + 2 <= len(content):
        if content[at] != 0xFF:  # stray octets between segments, which decoders skip as well
            found = _MARKER.search(content, at)
            end = found.start() if found else len(content)
            yield 0, at, end
            at = end
            continue
        marker = content[at + 1]
        if marker == 0xFF:  # a fill byte (T.81 B.1.1.2)
            at += 1
            continue
        end = at + 2
        if marker not in _STANDALONE and marker != _EOI:
            end = min(end + max(int.from_bytes(content[end : end + 2], "big"), 2), len(content))
        if marker == _SOS:
            found = _AFTER_SCAN.search(content, end)
            end = found.start() if found else len(content)
        yield marker, at, end
        if marker == _EOI:
            return
        at = end


def _take(segment: bytes, marker: int, out: _Rewrite) -> None:
    body = segment[4:]
    if marker == _COMMENT:
        out.removed["JPEG comment"] = None
    elif marker == 0xE1 and body.startswith(_EXIF):
        _take_exif(segment, body[6:], out)
    elif 0xE0 <= marker <= 0xEF and not (marker in _KEPT and body.startswith(_KEPT[marker])):
        known = (name for prefix, name in _KNOWN if body.startswith(prefix))
        out.removed[next(known, f"JPEG application data {marker - 0xE0}")] = None
    else:
        out.kept.append(segment)


def _take_exif(segment: bytes, block: bytes, out: _Rewrite) -> None:
    """Of an Exif segment only the orientation stays, since without it a portrait lies on its side."""
    turn = exif.orientation(block)
    smallest = b""
    if turn != 1:
        payload = _EXIF + b"\0" + exif.only_orientation(turn)
        smallest = b"\xff\xe1" + (len(payload) + 2).to_bytes(2, "big") + payload
        out.kept.append(smallest)
    if segment != smallest:
        out.removed |= dict.fromkeys(exif.describe(block))
