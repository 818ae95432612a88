"""The key ring's file: made once, checked for its permissions, rotated in place, wrapped by a systemd credential.

The ring seals aliases (aliasing.token), wraps each party's data key, and holds the key of the address
look-up hash, which never rotates: with another one no address would be found again. It also keeps the DKIM keys.
"""

from __future__ import annotations

import errno
import functools
import hmac
import json
import os
import pwd
import secrets
import shlex
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from aliasing.address import Address
from aliasing.token import KeyRing, derive
from relay.dkim import DkimKey
from relay.durable import sync_folder, write_durably
from relay.errors import KeyRingFileError, WrongRing

CREDENTIAL = "tradepost-ring"
"""Name of the systemd credential (LoadCredentialEncrypted=) that wraps the file, when there is one."""
MIN_CREDENTIAL_BYTES = 16
KEY_BYTES = 32
_NONCE_BYTES = 12
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_Stamp = tuple[int, ...]


@dataclass(frozen=True)
class _Contents:
    """What the file holds."""

    ring: KeyRing
    address_hash: bytes = field(repr=False)
    made: Mapping[int, str]
    dkim: tuple[DkimKey, ...]

    def is_of(self, other: _Contents) -> bool:
        """Whether both are states of one ring: what they have in common is the same."""
        mine, theirs = self.ring.secrets, other.ring.secrets
        return self.address_hash == other.address_hash and all(
            mine[number] == theirs[number] for number in mine.keys() & theirs.keys())


class Keys:
    """The ring and what is derived from it, as several processes use it.

    `refresh()` picks up what another process did to it. Change it, and seal with its newest key, under the ledger's
    write lock only (Opened.transaction): else two rotations lose a key, or a record hangs on one just retired.
    """

    def __init__(self, path: Path) -> None:
        """Read the ring; raises KeyRingFileError when it is missing, unreadable, too open or not ours."""
        self._path = path
        self._stamp: _Stamp = ()
        self._contents: _Contents | None = None
        self.problem = ""
        """What is wrong with the file that was found last; what was read before it is in use."""
        self._load()

    def refresh(self) -> bool:
        """Read the file again if it was replaced; True when it was.

        Raises KeyRingFileError, once for each state of the file, when it is gone or not this ring any more. What
        was read before goes on being used.
        """
        stamp = _stamp_of(self._path)
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            self._load()
        except KeyRingFileError as error:
            self.problem = str(error)
            raise
        return True

    def hash_address(self, address: Address) -> bytes:
        """The keyed look-up hash of an address: 16 octets that tell nothing without the ring."""
        return hmac.digest(self._address_hash, address.key.encode(), "sha256")[:16]

    def hash_domain(self, domain: str) -> bytes:
        return hmac.digest(self._address_hash, b"domain " + domain.encode(), "sha256")[:16]

    def hash_message(self, correspondence: int, direction: str, identity: bytes) -> bytes:
        """By which the same message of one correspondence is known again."""
        about = b"message %d %s " % (correspondence, direction.encode())
        return hmac.digest(self._address_hash, about + identity, "sha256")[:16]

    @property
    def own(self) -> bytes:
        """The key of addresses that are no party's, 32 octets; like the look-up hash it never rotates."""
        return derive(self._address_hash, b"tradepost own")

    def wrap(self, data_key: bytes, owner: bytes) -> tuple[int, bytes]:
        """A data key encrypted under the newest ring key -> (key id, blob); `owner` must match to unwrap."""
        ring = self.ring
        return ring.newest, seal(derive(ring.secrets[ring.newest], b"tradepost wrap"), data_key, owner)

    def unwrap(self, key_id: int, blob: bytes, owner: bytes) -> bytes:
        if key_id not in self.ring.secrets:
            self._load()
        secret = self.ring.secrets.get(key_id)
        if secret is None:
            raise WrongRing(f"{self._path}: holds no key {key_id}, but the ledger needs it; "
                            "restore the key ring that belongs to this ledger")
        return unseal(derive(secret, b"tradepost wrap"), blob, owner)

    def made(self, key_id: int) -> str:
        """When a key was made, ISO 8601."""
        return self._made[key_id]

    def rotate(self) -> int:
        """Add a new key, which seals from now on; returns its id. Old keys go on opening what they sealed."""
        document = self._load()
        new = self.ring.newest + 1
        document["keys"][str(new)] = _new_key()
        self._replace(document)
        return new

    def remove(self, key_id: int) -> None:
        """Forget an old key for ever: nothing that it sealed opens again. Never the newest (ValueError)."""
        document = self._load()
        if key_id == self.ring.newest:
            raise ValueError("the newest key seals")
        document["keys"].pop(str(key_id), None)
        self._replace(document)

    def protect(self, *, wrapped: bool) -> None:
        """Write the file anew, wrapped by the systemd credential or plain.

        Raises KeyRingFileError when it is to be wrapped and this process was given no credential.
        """
        document = self._load()
        if wrapped and _credential() is None:
            raise KeyRingFileError(f"{self._path}: {_not_given()}")
        self._replace(document, wrapped=wrapped)

    def set_dkim(self, keys: Iterable[DkimKey]) -> None:
        """Keep these DKIM keys and no others. Under the ledger's write lock, as every change of the ring."""
        self._replace(self._load() | {"dkim": [key.to_json() for key in keys]})

    def _replace(self, document: dict[str, Any], *, wrapped: bool = True) -> None:
        _write(self._path, document, wrapped=wrapped)
        self._load()

    def _load(self) -> dict[str, Any]:
        document, self._stamp = _read(self._path)
        contents = _parse(document, self._path)
        if self._contents is not None and not contents.is_of(self._contents):
            raise KeyRingFileError(f"{self._path}: was replaced by another key ring, which does not belong to this "
                                   "ledger; restore the one that was there")
        self._contents, self.problem = contents, ""
        self.ring, self._address_hash, self._made = contents.ring, contents.address_hash, contents.made
        self.dkim = contents.dkim
        return document


def create(path: Path) -> None:
    """Make a new ring with one key. Never replaces a file: raises KeyRingFileError when there is one."""
    document = {"version": 1, "address_hash": secrets.token_hex(KEY_BYTES), "keys": {"1": _new_key()}}
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    first = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    _write(first, document)
    try:
        path.hardlink_to(first)  # unlike a renaming, this fails where there is one
    except FileExistsError:
        raise KeyRingFileError(f"{path}: there is a key ring already") from None
    finally:
        first.unlink()
    sync_folder(path.parent)


def seal(key: bytes, data: bytes, associated: bytes) -> bytes:
    """AES-256-GCM with a random nonce in front. `key` is 32 octets."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + _gcm(key).encrypt(nonce, data, associated)


def unseal(key: bytes, blob: bytes, associated: bytes) -> bytes:
    """The inverse; raises WrongRing when the key is not the one that sealed."""
    try:
        return _gcm(key).decrypt(blob[:_NONCE_BYTES], blob[_NONCE_BYTES:], associated)
    except (InvalidTag, ValueError):
        raise WrongRing("a record was sealed with another key ring; restore the one that belongs to "
                        "this ledger") from None


@functools.lru_cache(maxsize=4096)
def _gcm(key: bytes) -> AESGCM:
    return AESGCM(key)


def _new_key() -> dict[str, str]:
    return {"secret": secrets.token_hex(KEY_BYTES), "made": datetime.now(UTC).isoformat(timespec="seconds")}


# -- the file ----------------------------------------------------------------------------------------------------


def _read(path: Path) -> tuple[dict[str, Any], _Stamp]:
    try:
        _check_folder(path)
        # not through a link, and without waiting where a pipe was put in its place
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            status = os.fstat(file.fileno())
            _check_file(path, status)
            text = file.read()
    except FileNotFoundError:
        raise KeyRingFileError(f"{path}: there is no key ring, but there is a ledger that needs it; "
                               "restore it from a backup") from None
    except OSError as error:
        raise KeyRingFileError(f"{path}: {_why_not(path, error)}") from None
    return _unwrapped(path, text), _stamp(status)


def _unwrapped(path: Path, text: bytes) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(text)
        if "wrapped" in document:
            key = _credential()
            if key is None:
                raise KeyRingFileError(f"{path}: is wrapped by a systemd credential; {_not_given()}")
            blob = bytes.fromhex(document["wrapped"])
            document = json.loads(_gcm(key).decrypt(blob[:_NONCE_BYTES], blob[_NONCE_BYTES:], b"ring"))
        if document["version"] != 1:
            raise KeyRingFileError(f"{path}: was made by a newer version; use that version")
    except InvalidTag:
        raise KeyRingFileError(f"{path}: was wrapped by another credential than the {CREDENTIAL} that this process "
                               "was given; restore that credential") from None
    except (ValueError, KeyError, TypeError):
        raise _not_a_ring(path) from None
    return document


def _parse(document: dict[str, Any], path: Path) -> _Contents:
    try:
        ring = KeyRing({int(number): bytes.fromhex(key["secret"]) for number, key in document["keys"].items()})
        contents = _Contents(ring, bytes.fromhex(document["address_hash"]),
                             {int(number): str(key["made"]) for number, key in document["keys"].items()},
                             tuple(DkimKey.from_json(one) for one in document.get("dkim", ())))
    except (KeyError, ValueError, TypeError, AttributeError):
        raise _not_a_ring(path) from None
    if any(len(secret) != KEY_BYTES for secret in (*ring.secrets.values(), contents.address_hash)):
        raise _not_a_ring(path)
    return contents


def _write(path: Path, document: dict[str, Any], *, wrapped: bool = True) -> None:
    """Replace the file in one step, synced with its folder, so that a crash leaves the old one or the new one."""
    text = json.dumps(document, indent=1).encode()
    if wrapped and (key := _credential()):
        text = json.dumps({"version": 1, "wrapped": seal(key, text, b"ring").hex()}).encode()
    try:
        _check_folder(path)
        write_durably(path, text, owner=_owner(path))
    except OSError as error:
        raise KeyRingFileError(f"{path}: cannot be written ({error.strerror}); what was there is still there") from None


def _not_a_ring(path: Path) -> KeyRingFileError:
    return KeyRingFileError(f"{path}: is not a key ring of Tradepost; restore it from a backup")


def _credential() -> bytes | None:
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        return None
    path = Path(folder) / CREDENTIAL
    try:
        secret = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KeyRingFileError(f"{path}: cannot be read ({error.strerror})") from None
    if len(secret) < MIN_CREDENTIAL_BYTES:
        raise KeyRingFileError(f"{path}: has {len(secret)} octets; make one of {KEY_BYTES} random octets")
    return derive(secret, b"tradepost ring file")


def _not_given() -> str:
    return (f"this process was not given {CREDENTIAL}; run the command with: "
            f"systemd-run --pipe --wait -p LoadCredentialEncrypted={CREDENTIAL}:FILE …")


# -- whom the file system lets at it -------------------------------------------------------------------------------


def _check_file(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise KeyRingFileError(f"{path}: is not a file; name the key ring's own file in relay.key_ring")
    me = os.geteuid()
    if me not in (0, status.st_uid):
        raise KeyRingFileError(f"{path}: belongs to {_name(status.st_uid)}, but this is {_name(me)}; "
                               f"run as root: chown {_name(me)} {shlex.quote(str(path))}")
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise KeyRingFileError(f"{path}: others can read it; run: chmod 600 {shlex.quote(str(path))}")


def _check_folder(path: Path) -> None:
    """Who can write to the folder can put another ring there; raises OSError when there is no folder."""
    folder = path.absolute().parent
    status = folder.stat()
    if status.st_mode & _OTHERS_WRITE:
        raise KeyRingFileError(f"{path}: others can write to its folder; run: chmod go-w {shlex.quote(str(folder))}")
    me = os.geteuid()
    if me and status.st_uid not in (0, me):
        raise KeyRingFileError(f"{path}: its folder belongs to {_name(status.st_uid)}; "
                               f"run as root: chown {_name(me)} {shlex.quote(str(folder))}")


def _why_not(path: Path, error: OSError) -> str:
    if error.errno == errno.EISDIR:
        return "is not a file; name the key ring's own file in relay.key_ring"
    if error.errno == errno.ELOOP:
        return "is a symbolic link, which a rotation would replace; name the file itself in relay.key_ring"
    try:
        owner = path.lstat().st_uid
    except OSError:
        owner = os.geteuid()
    if owner != os.geteuid():
        return (f"cannot be read ({error.strerror}): it belongs to {_name(owner)}; run the command as that user, "
                f"for instance with: sudo -u {_name(owner)}")
    return f"cannot be read ({error.strerror}); it must belong to the user that runs Tradepost"


def _owner(path: Path) -> tuple[int, int] | None:
    """Whose the file shall be: root works for the user that the ring, or else its folder, belongs to."""
    if os.geteuid() != 0:
        return None
    status = path.stat(follow_symlinks=False) if path.exists() else path.absolute().parent.stat()
    return status.st_uid, status.st_gid


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _stamp(status: os.stat_result) -> _Stamp:
    """What changes when a file is replaced or its permissions change; two replacements may share a time."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _stamp_of(path: Path) -> _Stamp:
    try:
        return _stamp(path.lstat())
    except OSError:
        return ()
