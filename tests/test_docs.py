"""The documents are held to the truth."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from relay.cli import tradepost
from relay.sections import LimitsSection

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "CHANGELOG.md"]


def commands() -> set[str]:
    found, context = set(), click.Context(tradepost)
    for name in tradepost.list_commands(context):
        command = tradepost.get_command(context, name)
        found |= {f"{name} {sub}" for sub in command.commands} if isinstance(command, click.Group) else {name}
    return found


def test_the_readme_names_every_command_and_no_other() -> None:
    text = (ROOT / "README.md").read_text()
    named = set()
    for row in re.findall(r"(?m)^\| (`.*?) \|", text):
        for words in re.findall(r"`(?:tradepost )?([a-z]+)((?: [a-z|\\]+)?)`", row):
            subs = [sub for sub in words[1].strip().replace("\\", "").split("|") if sub]
            named |= {f"{words[0]} {sub}" for sub in subs} or {words[0]}
    assert named == commands()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_that_are_named_exist(page: Path) -> None:
    for path in re.findall(r"`((?:aliasing|policy|relay|conf|systemd|tests|docs)/[\w./-]+\.\w+)`", page.read_text()):
        assert (ROOT / path).exists(), path


def test_the_installation_page_matches_the_unit() -> None:
    unit, page = (ROOT / "systemd/tradepost.service").read_text(), (ROOT / "docs/installation.md").read_text()
    assert "/opt/tradepost/bin/tradepost serve -c /etc/tradepost/tradepost.toml" in unit
    for shared in ("/opt/tradepost", "/etc/tradepost/tradepost.toml", "/etc/tradepost/ring.cred", "tradepost-ring"):
        assert shared in unit
        assert shared in page


def test_every_design_floor_is_a_package() -> None:
    for name in re.findall(r"(?m)^    (relay\.\w+|aliasing|policy)\b", (ROOT / "docs/design.md").read_text()):
        path = ROOT / name.replace(".", "/")
        assert path.is_dir() or path.with_suffix(".py").exists(), name


def test_the_page_of_limits_names_every_limit_and_every_abuse() -> None:
    page = (ROOT / "docs/limits.md").read_text()
    for name in LimitsSection.model_fields:
        assert f"`{name}`" in page, name
    sources = "".join(path.read_text() for path in (ROOT / "relay/receive").glob("*.py"))
    said = set(re.findall(r"(?:abuse\([\w.]*client, |\.cut\()\"([\w-]+)\"", sources))
    assert set(re.findall(r"(?m)^\| .*\| `([\w-]+)` \|$", page)) == said
