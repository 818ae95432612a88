"""Bad configurations are files: bad_configs/NAME.toml, whose comment lines `# expect: …` say what must be printed."""

from __future__ import annotations

import os
import re
import tomllib
from datetime import timedelta
from pathlib import Path

import pytest
from support import Relay

from relay import config
from relay.errors import ConfigError

FOLDER = Path(__file__).parent.parent / "bad_configs"
ROOT = FOLDER.parent.parent


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_every_error_at_once_with_key_and_line(path: Path) -> None:
    expected = re.findall(r"# expect: (.*)", path.read_text())
    assert expected
    with pytest.raises(ConfigError) as caught:
        config.load(path)
    for line in expected:
        assert any(line in problem for problem in caught.value.problems), (line, caught.value.problems)
    assert len(caught.value.problems) == len(expected), caught.value.problems


def test_check_prints_them_and_exits_2(tmp_path: Path) -> None:
    relay = Relay(tmp_path)
    relay.file.write_text((FOLDER / "several.toml").read_text())
    printed = relay.run("check", check=2)
    assert len(printed.splitlines()) == printed.count("tradepost.toml:")
    assert "listen.mx" in printed
    assert "Traceback" not in printed
    assert not (tmp_path / "var").exists()


def test_a_pipe_is_no_configuration_to_wait_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "tradepost.toml")
    with pytest.raises(ConfigError, match="not a regular file"):
        config.load(tmp_path / "tradepost.toml")


def test_a_good_one_passes_check(tmp_path: Path) -> None:
    assert "no errors" in Relay(tmp_path).run("check")


def test_the_documented_file_has_every_key_with_its_default() -> None:
    text = (ROOT / "conf" / "tradepost.toml").read_text()
    # defaults stand commented out; switched on, they must change nothing
    switched_on = re.sub(r"^#(?=[a-z_]+ = |\w+ = |  |\])", "", text, flags=re.MULTILINE)
    values = tomllib.loads(switched_on)
    defaults = config.Config()
    for name, section in type(defaults).model_fields.items():
        model = section.annotation
        assert model is not None
        assert set(values[name]) == set(model.model_fields), name
    assert {name: getattr(config.Config(**values), name) for name in values} == {
        name: getattr(defaults, name) for name in values}


def test_the_environment_is_stronger_than_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tradepost.toml"
    path.write_text('[relay]\nhostname = "a.example"\n[outbound]\nwarn_after = "1h"\n')
    monkeypatch.setenv("TRADEPOST_RELAY__HOSTNAME", "b.example")
    loaded = config.load(path)
    assert loaded.relay.hostname == "b.example"
    assert loaded.relay.domains == ["b.example"]
    assert loaded.outbound.warn_after == timedelta(hours=1)


@pytest.mark.parametrize(("text", "expected"), [
    ("", "observe"), ('listen = { mx = ["127.0.0.1:25", "[::1]:25"] }', "observe"),
    ('listen = { mx = ["127.0.0.1:25", "192.0.2.1:25"] }', "require"), ('listen = { mx = "[::]:25" }', "require"),
    ('listen = { proxy_from = ["127.0.0.1/32"] }', "require"),
    ('listen = { mx = "0.0.0.0:25" }\npolicy = { authentication = "observe" }', "observe"),
    ('policy = { authentication = "require" }', "require"),
])
def test_who_writes_must_be_authenticated_where_others_can_reach_us(text: str, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "tradepost.toml"
    path.write_text(text)
    assert config.load(path).policy_settings().authentication == expected


def test_relative_paths_start_at_the_file(tmp_path: Path) -> None:
    path = tmp_path / "tradepost.toml"
    path.write_text('[ledger]\nurl = "sqlite:///deep/ledger.db"\n')
    assert config.load(path).ledger_path == tmp_path / "deep/ledger.db"
    path.write_text('[ledger]\nurl = "sqlite:////srv/ledger.db"\n')
    assert config.load(path).ledger_path == Path("/srv/ledger.db")
