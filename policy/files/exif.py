"""TIFF's directories (TIFF 6.0, Exif 2.32), in a file of their own and inside JPEG and PNG.

Metadata is taken out where it stands: values are overwritten with zeros and the directory's entries close up,
so that no strip of pixels moves.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from policy.files.findings import Inside, unreadable
from policy.files.polyglot import refuse_in_image

ORIENTATION = 274
_IMAGE_WIDTH, _STRIPS, _TILES, _SUB_IFDS = 256, 273, 324, 330
_EXIF, _GPS, _INTEROPERABILITY = 34665, 34853, 40965
_DIRECTORIES = (_EXIF, _GPS, _INTEROPERABILITY)
_METADATA = {
    269: "document name", 270: "image description", 271: "camera make", 272: "camera model", 285: "page name",
    305: "software", 306: "date", 315: "artist", 316: "host computer", 337: "target printer", 700: "XMP",
    33432: "copyright", 33723: "IPTC", 34377: "Photoshop data", 37724: "Photoshop layers", 40091: "title",
    40092: "comment", 40093: "author", 40094: "keywords", 40095: "subject", 42016: "image id", 50341: "print matching",
    _EXIF: "EXIF", _GPS: "GPS position",
}
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_MAX_DIRECTORIES = 2_000
_MAX_ENTRIES = 100_000


@dataclass(frozen=True, slots=True)
class _Entry:
    at: int
    tag: int
    value_at: int
    value_size: int


@dataclass
class _Tiff:
    """The directories of one TIFF structure; entries that point outside are kept with an empty value."""

    data: bytes
    order: str = field(init=False)
    budget: int = _MAX_ENTRIES

    def __post_init__(self) -> None:
        self.order = "<" if self.data[:2] == b"II" else ">"

    def number(self, form: str, at: int) -> int:
        size = struct.calcsize(form)
        if at < 0 or at + size > len(self.data):
            return 0
        return int(struct.unpack_from(self.order + form, self.data, at)[0])

    def directory(self, at: int) -> list[_Entry]:
        count = self.number("H", at)
        if at < 8 or at + 2 + 12 * count > len(self.data):
            return []
        self.budget -= count
        if self.budget < 0:
            raise unreadable(f"more than {_MAX_ENTRIES} directory entries")
        return [self._entry(at + 2 + 12 * index) for index in range(count)]

    def _entry(self, at: int) -> _Entry:
        tag, kind, count = struct.unpack_from(self.order + "HHI", self.data, at)
        size = _SIZES.get(kind, 1) * count
        where = at + 8 if size <= 4 else self.number("I", at + 8)
        if where + size > len(self.data):
            size = max(len(self.data) - where, 0)
        return _Entry(at, tag, where, size)

    def chain(self) -> Iterator[tuple[int, list[_Entry]]]:
        """The image directories from the first, SubIFDs included, each once."""
        waiting, seen = [self.number("I", 4)], set[int]()
        while waiting and len(seen) < _MAX_DIRECTORIES:
            at = waiting.pop()
            if at in seen or at == 0:
                continue
            seen.add(at)
            entries = self.directory(at)
            if not entries:
                continue
            yield at, entries
            waiting.append(self.number("I", at + 2 + 12 * len(entries)))
            for entry in entries:
                if entry.tag == _SUB_IFDS:
                    count = min(entry.value_size // 4, 64)
                    waiting += [self.number("I", entry.value_at + 4 * index) for index in range(count)]


def examine(content: bytes, scrub: bool) -> Inside:
    """A TIFF file. Raises RefusedError when it shows no image or holds another format."""
    refuse_in_image(content)
    tiff = _Tiff(content)
    directories = list(tiff.chain())
    if not _pictures(tiff):
        raise unreadable("a tiff without an image")
    out, removed = bytearray(content), dict[str, None]()
    for at, entries in directories:
        gone = [entry for entry in entries if entry.tag in _METADATA]
        removed |= dict.fromkeys(f"TIFF {_METADATA[entry.tag]}" for entry in gone)
        for entry in gone:
            _erase(tiff, entry, out)
        if gone:
            _close_up(tiff, at, entries, out)
    if not scrub or not removed:
        return Inside()
    if _pictures(_Tiff(bytes(out))) != _pictures(tiff):
        raise unreadable("a tiff whose metadata lies over its image")
    return Inside(scrubbed=bytes(out), removed=tuple(removed))


def _pictures(tiff: _Tiff) -> int:
    """How many directories point to pixels."""
    return sum(bool({entry.tag for entry in entries} & {_STRIPS, _TILES}) for _, entries in tiff.chain())


def _erase(tiff: _Tiff, entry: _Entry, out: bytearray, depth: int = 0) -> None:
    """Zero an entry's value, and what it points to when that is a directory."""
    if entry.tag in _DIRECTORIES and depth < 3:
        at = tiff.number("I", entry.at + 8)
        entries = tiff.directory(at)
        for inner in entries:
            _erase(tiff, inner, out, depth + 1)
        if entries:
            size = 2 + 12 * len(entries) + 4
            out[at : at + size] = bytes(min(size, len(out) - at))
    out[entry.value_at : entry.value_at + entry.value_size] = bytes(entry.value_size)


def _close_up(tiff: _Tiff, at: int, entries: list[_Entry], out: bytearray) -> None:
    """Write the directory again without the metadata; what it no longer needs becomes zeros."""
    kept = [tiff.data[entry.at : entry.at + 12] for entry in entries if entry.tag not in _METADATA]
    end = at + 2 + 12 * len(entries)
    following = tiff.data[end : end + 4]
    new = struct.pack(tiff.order + "H", len(kept)) + b"".join(kept) + following
    out[at : end + len(following)] = new.ljust(2 + 12 * len(entries) + len(following), b"\0")


def orientation(data: bytes) -> int:
    """How an Exif block says to turn the picture: 1 (as it is) to 8; 1 where it says nothing sensible."""
    if data[:4] not in (b"II*\0", b"MM\0*"):
        return 1
    tiff = _Tiff(data)
    for entry in tiff.directory(tiff.number("I", 4)):
        if entry.tag == ORIENTATION:
            value = tiff.number("H", entry.at + 8)
            return value if 1 <= value <= 8 else 1
    return 1


def describe(data: bytes) -> list[str]:
    """What an Exif block tells, for the ledger: "EXIF", "EXIF GPS position", "EXIF artist" …"""
    found = ["EXIF"]
    if data[:4] in (b"II*\0", b"MM\0*"):
        tiff = _Tiff(data)
        for entry in tiff.directory(tiff.number("I", 4)):
            if entry.tag in (_GPS, 315, 33432, 40093):
                found.append(f"EXIF {_METADATA[entry.tag]}")
    return found


def only_orientation(value: int) -> bytes:
    """The smallest Exif block there is: one directory with one entry."""
    return b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, ORIENTATION, 3, 1, value, 0, 0)
