"""Word 97-2003 documents (MS-DOC in an MS-CFB container, .doc).

Overwriting happens in place: every stream keeps its size and its sectors.
"""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING

from policy.files.findings import MAX_TEXT, Inside, active, locked, unreadable, wrong

if TYPE_CHECKING:
    from olefile import OleFileIO  # type: ignore[import-untyped, unused-ignore]

_MACROS = ("macros", "vba", "_vba_project", "_vba_project_cur")
_PROPERTIES = {
    "\x05SummaryInformation": {2: "title", 3: "subject", 4: "author", 5: "keywords", 6: "comments", 7: "template",
                               8: "author"},
    "\x05DocumentSummaryInformation": {2: "category", 14: "manager", 15: "company"},
}
"""Stream -> property id -> what it tells (MS-OLEPS 2.25)."""
_WORD = 0xA5EC
_ENCRYPTED, _TABLE1 = 0x0100, 0x0200
_NAMES = {36: "comment authors", 51: "reviewers", 71: "saved by"}
"""Index into FibRgFcLcb97 (MS-DOC 2.5.6) -> a table of people's names."""
_ASSOCIATED, _CLX = 32, 33
_MAX_PIECES = 200_000


def examine(content: bytes, scrub: bool) -> Inside:
    """Raises RefusedError for what is no Word document, is encrypted or holds macros or objects."""
    import olefile  # type: ignore[import-untyped, unused-ignore]

    _check_header(content)
    try:
        with olefile.OleFileIO(io.BytesIO(content)) as ole:
            return _examine(content, ole, scrub)
    except (OSError, ValueError, IndexError, TypeError, AttributeError, struct.error, RecursionError) as error:
        raise unreadable("a broken document") from error


def _check_header(content: bytes) -> None:
    """The sizes that the header announces fit the file, so that reading its tables is bounded (MS-CFB 2.2)."""
    if len(content) < 1536:
        raise unreadable("a document cut short")
    shift, mini_shift = struct.unpack_from("<HH", content, 30)
    fat, = struct.unpack_from("<I", content, 44)
    mini, = struct.unpack_from("<I", content, 64)
    difat, = struct.unpack_from("<I", content, 72)
    if shift not in (9, 12) or mini_shift != 6:
        raise unreadable("a document with odd sectors")
    sectors = (len(content) >> shift) + 1
    most = sectors // (1 << (shift - 2)) + 16
    if fat > most or mini > most or difat > most:
        raise unreadable("a document whose tables are larger than itself")


def _examine(content: bytes, ole: OleFileIO, scrub: bool) -> Inside:
    names = [[part.lower() for part in path] for path in ole.listdir(streams=True, storages=True)]
    if ["encryptedpackage"] in names or ["encryptioninfo"] in names:
        raise locked("an encrypted document")
    if any(part in _MACROS for path in names for part in path):
        raise active("macros")
    if any(len(path) > 1 and path[0] == "objectpool" for path in names) or \
            any(path[-1] in ("package", "\x01ole10native") for path in names):
        raise active("an embedded object")
    if not ole.exists("WordDocument") or ole.get_type("WordDocument") != 2:
        raise wrong("an office file of another kind")
    main = ole.openstream("WordDocument").read()
    word = _Word(main, ole)
    text = word.text()
    if not scrub:
        return Inside(text + "\n" + "\n".join(word.told()))
    return _scrub(content, ole, word, text)


class _Word:
    """The main stream's header, the FIB (MS-DOC 2.5), and what it points to in the table stream."""

    def __init__(self, main: bytes, ole: OleFileIO) -> None:
        if len(main) < 154 or struct.unpack_from("<H", main)[0] != _WORD:
            raise wrong("an office file of another kind")
        flags, = struct.unpack_from("<H", main, 10)
        if flags & _ENCRYPTED:
            raise locked("an encrypted document")
        self.main = main
        self.table_name = "1Table" if flags & _TABLE1 else "0Table"
        self.table = bytearray(ole.openstream(self.table_name).read() if ole.exists(self.table_name) else b"")

    def _span(self, index: int) -> tuple[int, int]:
        """Start and end in the table stream of one of the FIB's tables; (0, 0) when there is none."""
        at = 154 + 8 * index
        if at + 8 > len(self.main):
            return 0, 0
        start, size = struct.unpack_from("<II", self.main, at)
        return (start, start + size) if start + size <= len(self.table) else (0, 0)

    def text(self) -> str:
        """All pieces of text in order; where the piece table is broken, the stream read both ways."""
        pieces = self._pieces()
        if pieces is None:
            return (self.main.decode("cp1252", "replace") + "\n" + self.main.decode("utf-16-le", "replace"))[:MAX_TEXT]
        return "".join(pieces).replace("\r", "\n")[:MAX_TEXT]

    def _pieces(self) -> list[str] | None:
        start, end = self._span(_CLX)
        at = start
        while at < end and self.table[at] == 1:  # formatting that precedes the piece table (MS-DOC 2.9.38)
            at += 3 + struct.unpack_from("<H", self.table, at + 1)[0]
        if at + 5 > end or self.table[at] != 2:
            return None
        size, = struct.unpack_from("<I", self.table, at + 1)
        count = (min(size, end - at - 5) - 4) // 12
        if not 0 < count <= _MAX_PIECES:
            return None
        ends = struct.unpack_from(f"<{count + 1}I", self.table, at + 5)
        return self._read_pieces(ends, at + 5 + 4 * (count + 1))

    def _read_pieces(self, ends: tuple[int, ...], at: int) -> list[str]:
        out, left = list[str](), MAX_TEXT
        for index in range(len(ends) - 1):
            length = min(max(ends[index + 1] - ends[index], 0), left)
            place, = struct.unpack_from("<I", self.table, at + 8 * index + 2)
            if place & 0x40000000:  # fCompressed: one octet a character, and the offset doubled (MS-DOC 2.9.73)
                begin = (place & 0x3FFFFFFF) // 2
                out.append(self.main[begin : begin + length].decode("cp1252", "replace"))
            else:
                out.append(self.main[place : place + 2 * length].decode("utf-16-le", "replace"))
            left -= length
        return out

    def told(self) -> list[str]:
        """The names in the tables of people."""
        return [bytes(self.table[at:end]).decode("utf-16-le", "replace") for _, at, end in self._names()]

    def _names(self) -> list[tuple[str, int, int]]:
        found = []
        for index, what in {**_NAMES, _ASSOCIATED: "associated names"}.items():
            start, end = self._span(index)
            at = start if index == 36 else start + 6  # an Xst alone, or an extended STTB (MS-DOC 2.2.4)
            if index != 36 and bytes(self.table[start : start + 2]) != b"\xff\xff":
                continue
            while at + 2 <= end:
                length = 2 * struct.unpack_from("<H", self.table, at)[0]
                if length and at + 2 + length <= end:
                    found.append((what, at + 2, at + 2 + length))
                at += 2 + length
        return found

    def blank_names(self) -> list[str]:
        """Replace the names with spaces; returns which tables held any."""
        changed = dict[str, None]()
        for what, at, end in self._names():
            blank = b" \0" * ((end - at) // 2)
            if self.table[at:end] != blank:
                self.table[at:end] = blank
                changed[f"doc {what}"] = None
        return list(changed)


def _scrub(content: bytes, ole: OleFileIO, word: _Word, text: str) -> Inside:
    import olefile

    changes, removed = dict[str, bytes](), dict[str, None]()
    for stream, told in _PROPERTIES.items():
        if ole.exists(stream):
            old = ole.openstream(stream).read()
            new, what = _blank_properties(old, told)
            if what:
                changes[stream] = new
                removed |= dict.fromkeys(f"doc {one}" for one in what)
    names = word.blank_names()
    if names:
        changes[word.table_name] = bytes(word.table)
        removed |= dict.fromkeys(names)
    if not changes:
        return Inside(text)
    out = io.BytesIO(content)
    with olefile.OleFileIO(out, write_mode=True) as copy:
        for name, data in changes.items():
            copy.write_stream(name, data)
    scrubbed = out.getvalue()
    return Inside(text, scrubbed, tuple(removed)) if len(scrubbed) == len(content) else Inside(text)


def _blank_properties(data: bytes, told: dict[int, str]) -> tuple[bytes, list[str]]:
    """A property set stream with those strings, and all of the user's own, overwritten (MS-OLEPS 2.21)."""
    out, removed = bytearray(data), dict[str, None]()
    count = min(struct.unpack_from("<I", data, 24)[0], 2) if len(data) >= 28 else 0
    for section in range(count):
        start, = struct.unpack_from("<I", data, 28 + 20 * section + 16)
        properties = min(struct.unpack_from("<I", data, start + 4)[0], 500)
        for index in range(properties):
            number, offset = struct.unpack_from("<II", data, start + 8 + 8 * index)
            what = told.get(number) if section == 0 else "custom property"
            if what and number > 1 and _blank_string(out, start + offset):
                removed[what] = None
    return bytes(out), list(removed)


def _blank_string(out: bytearray, at: int) -> bool:
    """Zero a VT_LPSTR or VT_LPWSTR value where it stands; whether there was anything."""
    kind, size = struct.unpack_from("<II", out, at)
    if kind not in (0x1E, 0x1F):
        return False
    size = min(size * (2 if kind == 0x1F else 1), len(out) - at - 8)
    if not any(out[at + 8 : at + 8 + size]):
        return False
    out[at + 8 : at + 8 + size] = bytes(size)
    return True
