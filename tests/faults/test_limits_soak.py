"""The short forms of ./dev soak loris and ./dev soak flood."""

from __future__ import annotations

from pathlib import Path

from soak import flood, loris


async def test_a_crowd_takes_little_memory_and_nobodys_place(tmp_path: Path) -> None:
    found = await loris.run(tmp_path, connections=200, hostile=2, megabytes=4, seconds=1, seed=1)
    assert found.held == 200
    assert found.idle_mb < loris.IDLE_BOUND_MB / 10
    assert found.fresh.took_s
    assert set(found.answers["endless line"]) == set(found.answers["empty lines"]) == {"550 5.6.0"}
    assert found.good, found


async def test_forged_aliases_read_nothing_and_hold_nobody_up(tmp_path: Path) -> None:
    found = await flood.run(tmp_path, count=600, sessions=20, slowed_s=1, seed=1)
    assert found.refused == 600
    assert found.good, found
