"""A zip archive as office documents use it (APPNOTE, ECMA-376 part 2), read within limits and written again.

Entries that do not change keep their compressed octets. Only what is asked for is ever unpacked.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from policy.files.findings import MAX_UNPACKED, locked, mixed, unreadable

MAX_ENTRIES = 2_000
MAX_RATIO = 100
_RATIO_FLOOR = 1_000_000
"""Octets up to which any ratio does: a small document may be all repetition."""
_MAX_DIRECTORY = 1_000_000
_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END = struct.Struct("<4sHHHHIIH")
_UTF8_NAME, _ENCRYPTED = 0x800, 0x1
_DOS_EPOCH = 0x21  # 1 January 1980: an archive of ours tells no time, and is the same every time
_DESCRIPTOR = 24
"""Octets that a data descriptor may take behind an entry (APPNOTE 4.3.9)."""


@dataclass
class Package:
    """Raises RefusedError when opened: not readable, encrypted, too large, or not one plain archive."""

    content: bytes
    unpacked: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._check_end()
        self.entries = {entry.filename: entry for entry in self._directory()}
        self._check_sizes()
        self._check_layout()

    def _check_end(self) -> None:
        """One end record, at the very end, no comment, and a directory of bearable size."""
        at = self.content.rfind(b"PK\x05\x06")
        if at < 0 or at + _END.size > len(self.content):
            raise unreadable("a zip archive without an end")
        _, _, _, _, count, size, _, comment = _END.unpack_from(self.content, at)
        if comment or self.content[at + _END.size :].strip(b"\0"):
            raise mixed("data after the end of the archive")
        if count > MAX_ENTRIES or size > _MAX_DIRECTORY:
            raise unreadable(f"an archive of {count} entries")

    def _directory(self) -> list[zipfile.ZipInfo]:
        try:
            with zipfile.ZipFile(io.BytesIO(self.content)) as archive:
                entries = archive.infolist()
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
            raise unreadable("a broken archive") from error
        if len(entries) > MAX_ENTRIES:
            raise unreadable(f"an archive of {len(entries)} entries")
        if len({entry.filename.lower() for entry in entries}) != len(entries):
            raise mixed("an archive with two entries of one name")
        return entries

    def _check_sizes(self) -> None:
        total = 0
        for name, entry in self.entries.items():
            if name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/") or ":" in name:
                raise unreadable("an archive entry outside its folder")
            if entry.flag_bits & _ENCRYPTED:
                raise locked("encrypted archive entries")
            if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise unreadable("an unusual compression")
            total += entry.file_size
        if total > MAX_UNPACKED or total > max(_RATIO_FLOOR, MAX_RATIO * len(self.content)):
            raise unreadable(f"an archive that unpacks to {total} octets")

    def _check_layout(self) -> None:
        """Entries lie one behind the other from octet 0, so that readers of local headers see the same ones."""
        at = 0
        for entry in sorted(self.entries.values(), key=lambda entry: entry.header_offset):
            if not at <= entry.header_offset <= at + _DESCRIPTOR:
                raise mixed("hidden data between the entries of an archive")
            at = self._data_at(entry) + entry.compress_size

    def _data_at(self, entry: zipfile.ZipInfo) -> int:
        try:
            header = _LOCAL.unpack_from(self.content, entry.header_offset)
        except struct.error as error:
            raise unreadable("a broken archive") from error
        at = entry.header_offset + _LOCAL.size
        name = self.content[at : at + header[9]]
        if header[0] != b"PK\x03\x04" or header[3] != entry.compress_type or name != _raw_name(entry):
            raise mixed("an archive with two tables of contents")
        return int(at + header[9] + header[10])

    def read(self, name: str) -> bytes:
        """One entry unpacked; its size and checksum must be those announced."""
        entry = self.entries[name]
        raw = self._raw(entry)
        if entry.compress_type == zipfile.ZIP_DEFLATED:
            unpacker = zlib.decompressobj(-15)
            try:
                raw = unpacker.decompress(raw, entry.file_size + 1)
            except zlib.error as error:
                raise unreadable("a broken archive entry") from error
        if len(raw) != entry.file_size or zlib.crc32(raw) != entry.CRC:
            raise unreadable("an archive entry that is not what its header says")
        self.unpacked += len(raw)
        return raw

    def _raw(self, entry: zipfile.ZipInfo) -> bytes:
        at = self._data_at(entry)
        return self.content[at : at + entry.compress_size]

    @cached_property
    def names(self) -> list[str]:
        return [name for name in self.entries if not name.endswith("/")]

    def rewritten(self, changed: Mapping[str, bytes]) -> bytes:
        """The archive with some entries' content exchanged; no times, no extra fields, the order kept."""
        out, directory = bytearray(), bytearray()
        for name, entry in self.entries.items():
            method, crc, size, raw = entry.compress_type, entry.CRC, entry.file_size, b""
            if name in changed:
                packer = zlib.compressobj(6, zlib.DEFLATED, -15)
                raw = packer.compress(changed[name]) + packer.flush()
                method, crc, size = zipfile.ZIP_DEFLATED, zlib.crc32(changed[name]), len(changed[name])
            else:
                raw = self._raw(entry)
            encoded, flags = _raw_name(entry), entry.flag_bits & _UTF8_NAME
            common = (flags, method, 0, _DOS_EPOCH, crc, len(raw), size, len(encoded), 0)
            directory += _CENTRAL.pack(b"PK\x01\x02", 20, 20, *common, 0, 0, 0, entry.external_attr, len(out)) + encoded
            out += _LOCAL.pack(b"PK\x03\x04", 20, *common) + encoded + raw
        count = len(self.entries)
        return bytes(out + directory + _END.pack(b"PK\x05\x06", 0, 0, count, count, len(directory), len(out), 0))


def _raw_name(entry: zipfile.ZipInfo) -> bytes:
    return entry.orig_filename.encode("utf-8" if entry.flag_bits & _UTF8_NAME else "cp437", "replace")
