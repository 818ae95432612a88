"""The short form of ./dev soak kill."""

from pathlib import Path

from soak.kill import run


async def test_what_was_answered_250_survives_kill_9(tmp_path: Path) -> None:
    found = await run(tmp_path, times=3, messages=150, seed=1)
    assert found.accepted >= 150
    assert found.clean, "\n".join(found.lines())
    assert found.ends == {"SIGKILL": 3}
