"""The short form of ./dev soak io: one point of each kind. Needs strace."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from soak.io import Figures, Lane, Point

POINTS = [
    (Point("small", "writer", "pwrite64", 3, "EIO"), 421, "exit 1"),
    (Point("small", "writer", "pwrite64", 3, "ENOSPC"), 452, "exit 0"),
    (Point("small", "writer", "pwrite64", 3, "EROFS"), 421, "exit 1"),  # as when the kernel remounts read-only
    (Point("small", "writer", "fsync", 1, "EIO"), 421, "exit 1"),
    (Point("small", "writer", "fsync", 1, "SIGKILL"), None, "SIGKILL"),
    (Point("small", "writer", "fsync", 2, "EIO"), 250, "exit 1"),
    (Point("big", "pool", "fsync", 1, "EIO"), 421, "exit 1"),
    (Point("big", "pool", "fsync", 2, "ENOSPC"), 452, "exit 0"),
    (Point("big", "pool", "rename", 1, "SIGKILL"), None, "SIGKILL"),
    (Point("small", "loop", "unlink", 1, "EIO"), 250, "exit 0"),
]


@pytest.fixture
async def lane(tmp_path: Path) -> AsyncIterator[Lane]:
    one = Lane(tmp_path / "lane", Figures())
    await one.set_up()
    yield one
    await one.tear_down()


async def test_a_fault_at_a_write_sync_rename_or_unlink_loses_and_halves_nothing(lane: Lane) -> None:
    for point, answer, end in POINTS:
        lane.found.answers.clear()
        lane.found.exits.clear()
        assert await lane.run(point), f"not reached: {point}"
        assert (dict(lane.found.answers), dict(lane.found.exits)) == ({str(answer or "none"): 1}, {end: 1}), point
    assert lane.found.wrong == []
    assert not await lane.run(Point("small", "loop", "unlink", 50, "EIO")), "a point that is not there"
