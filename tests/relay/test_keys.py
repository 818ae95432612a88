"""The key ring's file."""

from __future__ import annotations

from pathlib import Path

import pytest

from aliasing.address import Address
from aliasing.token import Role
from relay import keys
from relay.errors import KeyRingFileError
from relay.keys import CREDENTIAL, Keys


@pytest.fixture
def path(tmp_path: Path) -> Path:
    keys.create(tmp_path / "keys")
    return tmp_path / "keys"


def test_it_is_made_once_and_for_its_owner_only(path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(KeyRingFileError, match="already"):
        keys.create(path)


def test_rotation_is_seen_by_a_process_that_has_it_open(path: Path) -> None:
    mine, theirs = Keys(path), Keys(path)
    old = mine.ring.seal(Role.BUYER, "relay.example", 1)
    assert not mine.refresh()
    assert theirs.rotate() == 2
    assert mine.refresh()
    assert mine.ring.newest == 2
    assert mine.ring.open(Role.BUYER, "relay.example", old) == 1
    assert mine.hash_address(Address.parse("a@b.example")) == theirs.hash_address(Address.parse("A@B.example"))


def test_a_wrapped_key_opens_for_its_owner_only_and_after_rotation(path: Path) -> None:
    ring = Keys(path)
    number, blob = ring.wrap(b"k" * 32, b"party 1")
    ring.rotate()
    assert ring.unwrap(number, blob, b"party 1") == b"k" * 32
    with pytest.raises(KeyRingFileError):
        ring.unwrap(number, blob, b"party 2")
    with pytest.raises(KeyRingFileError, match="holds no key 9"):
        ring.unwrap(9, blob, b"party 1")


def test_a_systemd_credential_wraps_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / CREDENTIAL).write_bytes(b"x" * 32)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    keys.create(tmp_path / "keys")
    assert b"secret" not in (tmp_path / "keys").read_bytes()
    secrets = Keys(tmp_path / "keys").ring.secrets
    Keys(tmp_path / "keys").rotate()
    assert Keys(tmp_path / "keys").ring.secrets[1] == secrets[1]
    (credentials / CREDENTIAL).write_bytes(b"y" * 32)
    with pytest.raises(KeyRingFileError):
        Keys(tmp_path / "keys")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    with pytest.raises(KeyRingFileError, match="was not given"):
        Keys(tmp_path / "keys")
