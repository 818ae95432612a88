"""The key ring's file: made once, checked for its permissions, rotated in place, wrapped by a systemd credential.

The ring seals aliases (aliasing.token), wraps each party's data key, and holds the key of the address
look-up hash, which never rotates: with another one no address would be found again.
"""

from __future__ import annotations

import functools
import hmac
import json
import os
import secrets
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from aliasing.address import Address
from aliasing.token import KeyRing, derive
from relay.durable import write_durably
from relay.errors import KeyRingFileError

CREDENTIAL = "tradepost-ring"
"""Name of the systemd credential (LoadCredentialEncrypted=) that wraps the file, when there is one."""
_NONCE_BYTES = 12


class Keys:
    """The ring and what is derived from it. `refresh()` picks up a rotation made by the command line."""

    def __init__(self, path: Path) -> None:
        """Read the ring; raises KeyRingFileError when it is missing, unreadable, too open or not ours."""
        self._path = path
        self._load()

    def refresh(self) -> bool:
        """Read the file again if it was replaced; True when it was."""
        try:
            if self._path.stat().st_mtime_ns == self._mtime_ns:
                return False
        except OSError:
            return False  # what is in memory goes on being used; the watch says that the file is gone
        self._load()
        return True

    def hash_address(self, address: Address) -> bytes:
        """The keyed look-up hash of an address: 16 octets that tell nothing without the ring."""
        return hmac.digest(self._address_hash, address.key.encode(), "sha256")[:16]

    def hash_domain(self, domain: str) -> bytes:
        return hmac.digest(self._address_hash, b"domain " + domain.encode(), "sha256")[:16]

    def wrap(self, data_key: bytes, owner: bytes) -> tuple[int, bytes]:
        """A data key encrypted under the newest ring key -> (key id, blob); `owner` must match to unwrap."""
        key_id = self.ring.newest
        return key_id, seal(derive(self.ring.secrets[key_id], b"tradepost wrap"), data_key, owner)

    def unwrap(self, key_id: int, blob: bytes, owner: bytes) -> bytes:
        if key_id not in self.ring.secrets:
            self._load()
        if key_id not in self.ring.secrets:
            raise KeyRingFileError(f"{self._path}: holds no key {key_id}, but the ledger needs it; "
                                   "restore the key ring that belongs to this ledger")
        return unseal(derive(self.ring.secrets[key_id], b"tradepost wrap"), blob, owner)

    def made(self, key_id: int) -> str:
        """When a key was made, ISO 8601."""
        return str(self._document["keys"][str(key_id)]["made"])

    def rotate(self) -> int:
        """Add a new key, which seals from now on; returns its id. Old keys go on opening what they sealed."""
        self._load()
        new = self.ring.newest + 1
        self._document["keys"][str(new)] = _new_key()
        _write(self._path, self._document)
        self._load()
        return new

    def _load(self) -> None:
        self._document, self._mtime_ns = _read(self._path)
        try:
            self.ring = KeyRing({int(number): bytes.fromhex(key["secret"])
                                 for number, key in self._document["keys"].items()})
            self._address_hash = bytes.fromhex(self._document["address_hash"])
        except (KeyError, ValueError, TypeError, AttributeError):
            raise KeyRingFileError(f"{self._path}: is not a key ring of Tradepost; restore it from a backup") from None


def create(path: Path) -> None:
    """Make a new ring with one key. Never replaces a file: raises KeyRingFileError when there is one."""
    document = {"version": 1, "address_hash": secrets.token_hex(32), "keys": {"1": _new_key()}}
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.exists():
        raise KeyRingFileError(f"{path}: there is a key ring already")
    _write(path, document)


def seal(key: bytes, data: bytes, associated: bytes) -> bytes:
    """AES-256-GCM with a random nonce in front. `key` is 32 octets."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + _gcm(key).encrypt(nonce, data, associated)


def unseal(key: bytes, blob: bytes, associated: bytes) -> bytes:
    """The inverse; raises KeyRingFileError when the key is not the one that sealed."""
    try:
        return _gcm(key).decrypt(blob[:_NONCE_BYTES], blob[_NONCE_BYTES:], associated)
    except InvalidTag:
        raise KeyRingFileError("a record was sealed with another key ring; restore the one that belongs to "
                               "this ledger") from None


@functools.lru_cache(maxsize=4096)
def _gcm(key: bytes) -> AESGCM:
    return AESGCM(key)


def _new_key() -> dict[str, str]:
    return {"secret": secrets.token_hex(32), "made": datetime.now(UTC).isoformat(timespec="seconds")}


def _credential() -> bytes | None:
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    path = Path(folder) / CREDENTIAL if folder else None
    return derive(path.read_bytes(), b"tradepost ring file") if path and path.is_file() else None


def _read(path: Path) -> tuple[dict[str, Any], int]:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            text = file.read()
    except FileNotFoundError:
        raise KeyRingFileError(f"{path}: there is no key ring, but there is a ledger that needs it; "
                               "restore it from a backup") from None
    except OSError as error:
        raise KeyRingFileError(f"{path}: cannot be read ({error.strerror}); it must belong to the user "
                               "that runs Tradepost") from None
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise KeyRingFileError(f"{path}: others can read it; run: chmod 600 {path}")
    try:
        document = json.loads(text)
        if "wrapped" in document:
            key = _credential()
            if key is None:
                raise KeyRingFileError(f"{path}: is wrapped by the systemd credential {CREDENTIAL}, which this "
                                       "process was not given")
            document = json.loads(unseal(key, bytes.fromhex(document["wrapped"]), b"ring"))
        if document["version"] != 1:
            raise KeyRingFileError(f"{path}: was made by a newer version; use that version")
    except (ValueError, KeyError, TypeError):
        raise KeyRingFileError(f"{path}: is not a key ring of Tradepost; restore it from a backup") from None
    return document, status.st_mtime_ns


def _write(path: Path, document: dict[str, Any]) -> None:
    """Replace the file in one step, synced with its folder, so that a crash leaves the old one or the new one."""
    text = json.dumps(document, indent=1).encode()
    if key := _credential():
        text = json.dumps({"version": 1, "wrapped": seal(key, text, b"ring").hex()}).encode()
    try:
        write_durably(path, text)
    except OSError as error:
        raise KeyRingFileError(f"{path}: cannot be written ({error.strerror})") from None
