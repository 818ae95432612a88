"""Lists stay flat as the ledger grows: an index gives the order, nothing is sorted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from aliasing.correspondence import Side
from relay.ledger.listing import FILTERS
from relay.ledger.opened import Opened, open_ledger
from relay.ledger.pages import Pages
from relay.ledger.registry import NewParty, Registry


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    ledger = open_ledger(tmp_path / "ledger.db", tmp_path / "keys")
    Registry(ledger).add_order("N-1", "relay.example", NewParty(Side.SELLER, "S1", "sol@tienda.example"),
                               NewParty(Side.BUYER, "B1", "ana@correo.example"))
    yield ledger
    ledger.close()


@pytest.mark.parametrize("seller", [None, 1], ids=["marketplace", "seller"])
@pytest.mark.parametrize("order", [None, "N-1"], ids=["all", "order"])
@pytest.mark.parametrize("chosen", FILTERS)
def test_no_list_is_sorted(opened: Opened, chosen: str, order: str | None, seller: int | None) -> None:
    asked: list[str] = []
    opened.connection.set_trace_callback(asked.append)
    Pages(opened).message_page(order=order, chosen=chosen, seller=seller, cursor=None, limit=50)
    opened.connection.set_trace_callback(None)
    [sql] = [one for one in asked if "FROM message m" in one]
    plan = [row[3] for row in opened.connection.execute(f"EXPLAIN QUERY PLAN {sql}")]
    assert not [step for step in plan if "TEMP B-TREE" in step], plan
