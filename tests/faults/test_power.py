"""The short form of ./dev soak power."""

import os
from pathlib import Path

import pytest
from soak.power import run


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting an image needs root")
async def test_what_was_answered_250_survives_a_power_cut(tmp_path: Path) -> None:
    found = await run(tmp_path, times=4, messages=100, seed=1)
    assert found.accepted >= 100
    assert found.clean, "\n".join(found.lines())
    assert found.ends == {"SIGKILL": 2, "exit 1": 2}  # where the disk alone is lost: 421 and an end
