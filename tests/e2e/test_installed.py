"""Each command as a user starts it: a Python of its own, which imports that command and no other."""

from __future__ import annotations

from pathlib import Path

import pytest
import support
from support import BUYER, ORDER, SELLER, Relay, message

from relay.cli import MODULES

COMMANDS = {
    "daemon": "check", "order": "order show " + ORDER, "address": "address list S1", "block": "block list",
    "messages": "messages", "preview": f"preview mail --mail-from {SELLER} --rcpt-to", "queue": "queue list",
    "key": "key list", "backup": "backup copy.tar", "zone": "dns",
    "login": "login list", "tls": "tls report", "apikey": "apikey list", "template": "template list", "webhook": "webhook list",
    "erase": "erase --help", "purge": "purge --help",
}
"""One of each module. What is forked for the other tests has imported them all, in another order."""


@pytest.fixture(scope="module")
def minted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Relay, str]:
    relay = Relay(tmp_path_factory.mktemp("installed"))
    alias = relay.order()["buyer"]["alias"]
    (relay.folder / "mail").write_bytes(message(SELLER, alias))
    return relay, alias


def test_every_module_has_its_command_here() -> None:
    assert {file: words.split()[0] for file, words in COMMANDS.items()}.items() <= {
        (file, command) for command, file in MODULES.items()}
    assert COMMANDS.keys() == set(MODULES.values())


@pytest.mark.parametrize("file", COMMANDS)
def test_a_command_says_what_it_says_when_forked(minted: tuple[Relay, str], file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    relay, alias = minted
    words = [*COMMANDS[file].split(), *([alias] if file == "preview" else [])]
    forked = relay.run(*words)
    Path(relay.folder / "copy.tar").unlink(missing_ok=True)
    monkeypatch.setattr(support, "FORKS", None)
    assert relay.run(*words) == forked
    assert BUYER not in forked
