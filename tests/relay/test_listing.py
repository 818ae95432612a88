"""Listings on a terminal: what a command prints of many rows."""

from __future__ import annotations

import time

import pytest

from relay.cli.common import TABLE_ROWS, show


def test_a_hundred_thousand_rows_are_listed_in_line_with_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    rows = ({"id": str(200_000 + number), "code": None, "to": "seller:S1"} for number in range(100_000))
    since = time.process_time()
    assert show(rows, ("id", "to", "code"), False, empty="none") == 100_000
    assert time.process_time() - since < 20
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert len([line for line in lines if "seller:S1" in line]) == 100_000
    assert {line.index("seller") for line in (lines[1], lines[TABLE_ROWS], lines[TABLE_ROWS + 1])} == {8}
    assert lines[-1].split() == ["299999", "seller:S1", "-"]
