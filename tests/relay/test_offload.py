"""What is big leaves the event loop."""

from __future__ import annotations

import threading

import pytest

from relay.offload import BIG_BYTES, off_loop


@pytest.mark.parametrize(("size", "stays"), [(0, True), (BIG_BYTES, True), (BIG_BYTES + 1, False)])
async def test_only_big_work_goes_to_a_thread(size: int, stays: bool) -> None:
    assert (await off_loop(size, threading.get_ident) == threading.get_ident()) is stays


async def test_its_errors_come_back() -> None:
    with pytest.raises(ZeroDivisionError):
        await off_loop(BIG_BYTES + 1, lambda: 1 // 0)
