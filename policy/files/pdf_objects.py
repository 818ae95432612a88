"""All objects of a PDF, looked at once: what acts, what is signed, what is said, and how far it unpacks."""

from __future__ import annotations

import base64
import re
import zlib
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeGuard

from policy.files.findings import MAX_TEXT, active, unreadable

if TYPE_CHECKING:
    from pikepdf import Dictionary, Object, Pdf, Stream

_BATCH = 1_000
_MAX_OBJECTS = 1_000_000
_MAX_STREAMS = 100_000_000
"""Octets of all streams unpacked, pictures aside: those are not unpacked to read text."""
_MAX_OBJECT_STREAMS = 1_000_000_000
_MAX_PAGE = 20_000_000
"""Octets of drawing that one page may come to with all forms that it repeats."""
_MAX_DRAWN = 60_000_000
"""The same for all pages that are read."""
MAX_PAGES = 1_000
_FORM_COST = 500
"""What a form costs a reader besides its own octets."""
_MOST = 1_032
"""Deflate's highest ratio."""
_MAX_LZW = 200_000

_TELLING = re.compile(
    rb"/(?:JavaScript|Launch|ImportData|GoToE|Rendition|RichMedia|Movie|Sound|Screen|FileAttachment|EmbeddedFile|EF|XFA"
    rb"|3D|ByteRange|Metadata)(?![A-Za-z0-9_.#-])")
"""Names that make a closer look worth it; qpdf has undone their #xx escapes."""
_ACTIONS = (b"/JavaScript", b"/Launch", b"/ImportData", b"/GoToE", b"/Rendition", b"/Movie", b"/Sound")
_ANNOTATIONS = (b"/RichMedia", b"/Movie", b"/Sound", b"/Screen", b"/FileAttachment", b"/3D")
_FILES = ("/F", "/UF", "/DOS", "/Mac", "/Unix")
_STRING = re.compile(rb"\(((?:[^()\\]|\\.)*)\)|(?<!<)<([0-9a-fA-F]+)>", re.S)
_ESCAPE = re.compile(rb"\\([0-7]{1,3}|.)", re.S)
_ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}
_USED_UNPACKED = re.compile(rb"/(?:FontFile[23]?|ToUnicode|Encoding|CIDToGIDMap|Contents|CIDSet) (\d+) \d+ R")
_CONTENTS = re.compile(rb"/Contents \[([^\]]*)\]")
_REFERENCE = re.compile(rb"(\d+) \d+ R")
_DO = re.compile(rb"/([^\s/<>\[\](){}%]+)\s+Do(?![A-Za-z0-9*'\"])")
_ENTRY = re.compile(rb"/([^\s/<>\[\](){}%]+) (\d+) (\d+) R")
_HEX = re.compile(rb"#([0-9a-fA-F]{2})")
_STREAM = re.compile(rb"(?<!end)stream[ \t]*(?:\r\n?|\n)")
_PACKED = ("FlateDecode", "Fl", "LZWDecode", "LZW", "RunLengthDecode", "RL")


def check_object_streams(content: bytes) -> None:
    """Raise when what qpdf unpacks to open the file comes to too much; linear, before qpdf sees it."""
    total, before = 0, 0
    for match in _STREAM.finditer(content):
        at = max(content.rfind(b"obj", before, match.start()), before)
        head = content[at : match.start()]
        before = match.end()
        if b"/ObjStm" not in head and b"/XRef" not in head and b"#" not in head:
            continue
        total += _measure_flate(content[match.end() : match.end() + 2_000_000], 10_000_000)
        if total > _MAX_OBJECT_STREAMS // 10:
            raise unreadable("a pdf that unpacks too far")


def _measure_flate(data: bytes, most: int) -> int:
    return len(_inflate(data, most))


def _inflate(data: bytes, most: int) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        return unpacker.decompress(data, most)
    except zlib.error:
        # what was unpacked before the error is what lenient readers go on with; bounded the slow way
        return _inflate_broken(data, most)


def _inflate_broken(data: bytes, most: int) -> bytes:
    unpacker, out = zlib.decompressobj(), bytearray()
    for at in range(0, len(data), 4096):
        try:
            out += unpacker.decompress(data[at : at + 4096], most - len(out))
        except zlib.error:
            break
        if len(out) >= most or unpacker.eof:
            break
    return bytes(out)


class Walk:
    """Raises RefusedError for anything that acts, carries a file, or draws without end."""

    def __init__(self, pdf: Pdf) -> None:
        self._pdf = pdf
        self.signed = False
        self.metadata: list[Object] = []
        """Dictionaries and streams with an XMP stream of their own."""
        self.photographs: list[Object] = []
        self._strings: list[str] = []
        self._metadata_strings: list[str] = []
        self._said = 0
        self._drawn: dict[tuple[int, int], tuple[int, Counter[bytes]]] = {}
        self._costs: dict[tuple[tuple[int, int], int], int] = {}
        self._unpacked = 0
        info = pdf.trailer.get("/Info")
        self.info = sorted(info.keys()) if _is_dictionary(info) else []
        key = pdf.trailer.get("/Encrypt")
        self._info_raw = info.unparse(resolved=True) if _is_dictionary(info) else b"-"
        self._key_raw = key.unparse(resolved=True) if _is_dictionary(key) else b"-"
        self._streams: list[tuple[Stream, bytes]] = []
        self._look_at_all()
        self._check_pages()

    def strings(self, metadata: bool) -> list[str]:
        """Every text string outside the pages: links, field values, bookmarks, comments; metadata if asked for."""
        return self._strings + (self._metadata_strings if metadata else [])

    def _look_at_all(self) -> None:
        from pikepdf import Object

        used, streams = set[int](), self._streams
        self._inspect(self._pdf.trailer)
        batch: list[tuple[object, bytes]] = []
        things: Iterable[object] = self._pdf.objects
        for index, thing in enumerate(things):
            if index > _MAX_OBJECTS:
                raise unreadable("a pdf of too many objects")
            raw = thing.unparse(resolved=True) if isinstance(thing, Object) else b""  # numbers come as Python's own
            if raw.endswith(b" R") and _is_stream(thing):
                raw = thing.stream_dict.unparse(resolved=True)
                streams.append((thing, raw))
            batch.append((thing, raw))
            if len(batch) == _BATCH:
                used |= self._look(batch)
                batch = []
        used |= self._look(batch)
        for stream, raw in streams:
            self._unpack(stream, raw, stream.objgen[0] in used)

    def _look(self, batch: list[tuple[object, bytes]]) -> set[int]:
        """Look at many objects as one text, and at those that tell something one by one; returns what fonts use."""
        both = b"\n".join(raw for _, raw in batch)
        if _TELLING.search(both):
            for thing, raw in batch:
                if _TELLING.search(raw):
                    self._inspect(thing)
        self._listen([raw for _, raw in batch])
        used = {int(match.group(1)) for match in _USED_UNPACKED.finditer(both)}
        return used | {int(one) for match in _CONTENTS.finditer(both) for one in _REFERENCE.findall(match.group(1))}

    def _listen(self, raws: list[bytes]) -> None:
        """Take the text strings, but not the keys of the Encrypt dictionary nor a signature's octets."""
        if self._said >= MAX_TEXT:
            return
        if self._info_raw in raws:
            self._metadata_strings += map(_text, _STRING.finditer(self._info_raw))
        both = b"\n".join(raw for raw in raws
                          if raw not in (self._info_raw, self._key_raw) and b"/ByteRange" not in raw)
        said = [_text(match) for match in _STRING.finditer(both)]
        self._strings += said
        self._said += sum(map(len, said)) + len(said)

    def _inspect(self, thing: object) -> None:
        """One object with its direct children; those that are referred to have their own turn."""
        from pikepdf import Array, Dictionary, Stream

        waiting: list[object] = [thing]
        while waiting:
            one = waiting.pop()
            if one is thing and _word(one) in _ACTIONS:
                raise active("an action hidden behind a reference")
            if isinstance(one, Array):
                waiting += [child for child in one if not _refers(child)]
            elif isinstance(one, (Dictionary, Stream)):
                self._inspect_dictionary(one)
                waiting += [child for child in one.values() if not _refers(child)]

    def _inspect_dictionary(self, one: Object) -> None:
        action, subtype = _word(one.get("/S")), _word(one.get("/Subtype"))
        if action in _ACTIONS:
            raise active(f"a pdf action {action[1:].decode()}")
        if subtype in _ANNOTATIONS:
            raise active(f"a pdf annotation {subtype[1:].decode()}")
        files = one.get("/EF")
        carries = _is_dictionary(files) and any(key in files for key in _FILES)
        if carries or _word(one.get("/Type")) == b"/EmbeddedFile":
            raise active("a file inside a pdf")
        if one.get("/XFA") is not None:
            raise active("a form with scripts (XFA)")
        if "/ByteRange" in one:
            self.signed = True
        metadata = one.get("/Metadata")
        if _is_stream(metadata):
            self.metadata.append(one)
            self._metadata_strings.append(self._read(metadata).decode("utf-8", "replace"))

    def _read(self, stream: Object) -> bytes:
        data, _ = _decode(stream.read_raw_bytes(), _filters(stream), MAX_TEXT)
        return data

    def _unpack(self, stream: Object, raw: bytes, used: bool) -> None:
        """Count what it unpacks to; note photographs, and which forms it draws."""
        filters = _filters(stream)
        if b"/Subtype /Image" in raw and not used:
            if filters == ["DCTDecode"]:
                self.photographs.append(stream)
            return
        data, size = _decode(stream.read_raw_bytes(), filters, _MAX_STREAMS - self._unpacked + 1)
        self._unpacked += size
        if self._unpacked > _MAX_STREAMS:
            raise unreadable("a pdf that unpacks too far")
        uses = Counter(match.group(1) for match in _DO.finditer(data)) if b"Do" in data else Counter[bytes]()
        self._drawn[stream.objgen] = (size, uses)

    def _check_pages(self) -> None:
        from pikepdf import Array

        left = _MAX_DRAWN
        for index, page in enumerate(self._pdf.pages):
            if index >= MAX_PAGES:
                return
            contents, resources = page.obj.get("/Contents"), page.obj.get("/Resources")
            parts = list(contents) if isinstance(contents, Array) else [contents]
            for part in parts:
                left -= self._cost(part, resources, index, 0) if _is_stream(part) else 0
            if left < 0:
                raise unreadable("a pdf that draws too much")

    def _cost(self, stream: Object, inherited: object, page: int, depth: int) -> int:
        """Octets to be drawn for a stream with all that it draws; forms may repeat forms, which multiplies."""
        own = stream.get("/Resources")
        resources = own if _is_dictionary(own) else inherited
        key = (stream.objgen, -1 if resources is own else page)
        if key in self._costs:
            return self._costs[key]
        self._costs[key] = 0  # a form inside itself is drawn once
        size, uses = self._drawn.get(stream.objgen, (0, Counter[bytes]()))
        total = size + _FORM_COST
        forms = resources.get("/XObject") if _is_dictionary(resources) else None
        table = _references(forms) if _is_dictionary(forms) and uses and depth < 30 else {}
        for name, count in uses.items():
            form = self._pdf.get_object(table.get(_unhex(name), (0, 0)))
            if _is_stream(form) and _word(form.get("/Subtype")) == b"/Form":
                total += count * self._cost(form, resources, page, depth + 1)
        if total > _MAX_PAGE:
            raise unreadable("a pdf page that draws too much")
        self._costs[key] = total
        return total


def _is_dictionary(thing: object) -> TypeGuard[Dictionary]:
    from pikepdf import Dictionary

    return isinstance(thing, Dictionary)


def _is_stream(thing: object) -> TypeGuard[Stream]:
    from pikepdf import Stream

    return isinstance(thing, Stream)


def _refers(child: object) -> bool:
    return bool(getattr(child, "is_indirect", True))


def _word(thing: object) -> bytes:
    """A name as qpdf writes it; b"" for anything else. Not str(): names need not be UTF-8."""
    from pikepdf import Name

    return thing.unparse(resolved=True) if isinstance(thing, Name) else b""


def _references(table: Object) -> dict[bytes, tuple[int, int]]:
    """The entries of a dictionary that refer to objects, by the octets of their names."""
    return {_unhex(name): (int(number), int(generation))
            for name, number, generation in _ENTRY.findall(table.unparse(resolved=True))}


def _unhex(name: bytes) -> bytes:
    return _HEX.sub(lambda match: bytes((int(match.group(1), 16),)), name)


def _text(match: re.Match[bytes]) -> str:
    """A string object as text (ISO 32000-1 7.9.2.2): UTF-16BE or UTF-8 by its mark, else near enough Latin-1."""
    data = _ESCAPE.sub(_unescape, match.group(1)) if match.group(1) is not None \
        else bytes.fromhex(match.group(2).decode() + "0" * (len(match.group(2)) % 2))
    if data.startswith(b"\xfe\xff"):
        return data[2:].decode("utf-16-be", "replace")
    if data.startswith(b"\xef\xbb\xbf"):
        return data[3:].decode("utf-8", "replace")
    return data.decode("latin-1")


def _unescape(match: re.Match[bytes]) -> bytes:
    code = match.group(1)
    if code[:1].isdigit():
        return bytes((int(code, 8) & 255,))
    return _ESCAPES.get(code, code)


def _filters(stream: Object) -> list[str]:
    from pikepdf import Array

    found = stream.get("/Filter")
    names = list(found) if isinstance(found, Array) else [found] if found is not None else []
    return [_word(name).lstrip(b"/").decode("latin-1") for name in names]


def _decode(raw: bytes, filters: list[str], most: int) -> tuple[bytes, int]:
    """What a stream unpacks to, at most `most` octets, and how many there are or may be.

    Raises RefusedError for packing within packing: no program writes it, and its ratios multiply.
    """
    if sum(name in _PACKED for name in filters) > 1:
        raise unreadable("a pdf stream packed twice")
    data, size = raw, len(raw)
    for name in filters:
        if name in ("FlateDecode", "Fl"):
            data = _inflate(data, most)
            size = len(data)
        elif name in ("LZWDecode", "LZW"):
            if len(data) > _MAX_LZW:
                raise unreadable("a pdf stream in an old packing")
            size = 10 * len(data)
        elif name in ("RunLengthDecode", "RL"):
            size = 64 * len(data)
        elif name in ("ASCII85Decode", "A85", "ASCIIHexDecode", "AHx"):
            data = _from_ascii(data, name)
            size = len(data)
    return data, size


def _from_ascii(data: bytes, name: str) -> bytes:
    try:
        if name in ("ASCII85Decode", "A85"):
            data = data.strip().removeprefix(b"<~").partition(b"~")[0]
            return base64.a85decode(data)
        return bytes.fromhex(data.partition(b">")[0].decode("latin-1"))
    except ValueError:
        return data
