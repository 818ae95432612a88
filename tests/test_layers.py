"""Imports run one way (docs/design.md); this walks them and fails on any other."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = [
    ["aliasing"],
    ["policy"],
    ["relay.dkim", "relay.errors", "relay.durable", "relay.offload", "relay.values"],
    ["relay.texts"],
    ["relay.sections"],
    ["relay.config", "relay.log", "relay.keys", "relay.records", "relay.tls", "relay.passwords"],
    ["relay.metrics"],
    ["relay.maillog"],
    ["relay.dns", "relay.fetch", "relay.http", "relay.clients", "relay.reload", "relay.sealed", "relay.systemd"],
    ["relay.authn"],
    ["relay.sign"],
    ["relay.transmit"],
    ["relay.zone"],
    ["relay.public"],
    ["relay.ledger"],
    ["relay.dsn"],
    ["relay.hooks"],
    ["relay.queue"],
    ["relay.passage"],
    ["relay.examiner", "relay.asking", "relay.judged"],
    ["relay.processes"],
    ["relay.preview"],
    ["relay.accept"],
    ["relay.compose"],
    ["relay.receive"],
    ["relay.web"],
    ["relay.vitals"],
    ["relay.peers"],
    ["relay.health"],
    ["relay.outbound"],
    ["relay.main"],
    ["relay.doctor"],
    ["relay.demo"],
    ["relay.cli"],
]
"""From the ground up. A module may import from its own floor's package and from floors below."""
ONLY = {"aiosmtpd": ("relay.receive", "relay.demo.outside"), "aiosmtplib": ("relay.transmit.attempt",)}
PURE = ("asyncio", "socket", "time", "os", "pathlib", "subprocess", "random", "pysqlite3", "sqlite_utils", "structlog")
SQL = ("SELECT ", "INSERT INTO", "UPDATE ", "DELETE FROM")


def modules() -> dict[str, Path]:
    found = {}
    for package in ("aliasing", "policy", "relay"):
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def floor(name: str) -> tuple[int, str] | None:
    for level, rooms in enumerate(FLOORS):
        for room in rooms:
            if name == room or name.startswith(room + "."):
                return level, room
    return None


MODULES = modules()


def test_every_module_has_a_floor() -> None:
    assert not [name for name in MODULES if name != "relay" and floor(name) is None]


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_run_downwards(name: str) -> None:
    own = floor(name)
    if own is None:
        return
    for target in imports(MODULES[name]):
        other = floor(target)
        if other is not None and other[1] != own[1]:
            assert other[0] < own[0], f"{name} imports {target}, which stands on the same floor or above"


@pytest.mark.parametrize("library", sorted(ONLY))
def test_a_contained_library_has_one_door(library: str) -> None:
    users = [name for name, path in MODULES.items() if any(one.split(".")[0] == library for one in imports(path))]
    assert users
    assert all(user.startswith(ONLY[library]) for user in users), users


@pytest.mark.parametrize("name", [name for name in sorted(MODULES) if name.split(".")[0] in ("aliasing", "policy")])
def test_the_core_is_pure(name: str) -> None:
    assert not {one.split(".")[0] for one in imports(MODULES[name])} & set(PURE)
    calls = [node for node in ast.walk(ast.parse(MODULES[name].read_text())) if isinstance(node, ast.Call)]
    assert not [call for call in calls if isinstance(call.func, ast.Name) and call.func.id in ("open", "exec", "eval")]


def test_sql_stands_only_in_the_ledger() -> None:
    for name, path in MODULES.items():
        if not name.startswith("relay.ledger"):
            assert not any(verb in path.read_text() for verb in SQL), name
