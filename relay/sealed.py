"""Small files about domains outside, sealed: to whom a relay writes may tell who somebody is."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterator
from pathlib import Path

from aliasing.token import derive
from relay.durable import write_durably
from relay.errors import WrongRing
from relay.keys import Keys, seal, unseal


class SealedFolder:
    """Whole files by secret name, and files of lines by open name; made on first use. Raises OSError when writing."""

    def __init__(self, folder: Path, keys: Keys) -> None:
        self.folder = folder
        self._secret = derive(keys.own, b"tradepost outside")

    def load(self, name: str) -> bytes | None:
        """None where there is none, or none that this ring opens."""
        try:
            return unseal(self._secret, self._path(name).read_bytes(), name.encode())
        except (OSError, WrongRing):
            return None

    def save(self, name: str, content: bytes) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_durably(self._path(name), seal(self._secret, content, name.encode()))

    def append(self, name: str, line: bytes) -> None:
        """One more line of the file `name`; several processes may do so at once."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.folder / name).open("ab", buffering=0) as file:
            file.write(base64.b64encode(seal(self._secret, line, name.encode())) + b"\n")

    def lines(self, name: str) -> Iterator[bytes]:
        try:
            sealed = (self.folder / name).read_bytes().splitlines()
        except OSError:
            return
        for line in sealed:
            try:
                yield unseal(self._secret, base64.b64decode(line), name.encode())
            except (WrongRing, ValueError):
                continue  # a line that a crash cut short

    def _path(self, name: str) -> Path:
        return self.folder / hmac.digest(self._secret, name.encode(), "sha256")[:16].hex()
