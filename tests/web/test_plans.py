"""Lists stay flat as the ledger grows: an index gives the order, nothing is sorted, and nothing is looked through."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from manymessages import ManyMessages

from relay.ledger.listing import FILTERS
from relay.ledger.opened import Opened, open_ledger
from relay.ledger.pages import Pages
from relay.ledger.registry import Registry

IN_ORDER = {"SCAN m", "SCAN m USING INDEX message_reported", "SCAN correspondence", "SCAN k"}
"""Read from the newest on, until the page is full."""


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ManyMessages]:
    folder = tmp_path_factory.mktemp("many")
    opened = open_ledger(folder / "ledger.db", folder / "keys")
    made = ManyMessages(opened, seed=1)
    made.grow(2000)
    yield made
    opened.close()


def steps(opened: Opened, work: Callable[[], Any]) -> list[str]:
    """What SQLite does for it, from the plans of its statements."""
    asked: list[str] = []
    opened.connection.set_trace_callback(asked.append)
    work()
    opened.connection.set_trace_callback(None)
    plans = [opened.connection.execute(f"EXPLAIN QUERY PLAN {sql}") for sql in asked if "SELECT" in sql]
    return [row[3] for plan in plans for row in plan]


def cost(opened: Opened, work: Callable[[], Any]) -> int:
    """Tens of SQLite's instructions."""
    count = 0

    def tick() -> None:
        nonlocal count
        count += 1

    opened.connection.set_progress_handler(tick, 10)
    work()
    opened.connection.set_progress_handler(None, 0)
    return count


@pytest.mark.parametrize("seller", [None, 1], ids=["marketplace", "seller"])
@pytest.mark.parametrize("which", [None, 0], ids=["all", "order"])
@pytest.mark.parametrize("chosen", FILTERS)
def test_no_list_is_sorted(many: ManyMessages, chosen: str, which: int | None, seller: int | None) -> None:
    order, pages = None if which is None else many.orders[which], Pages(many.opened)
    found = steps(many.opened, lambda: pages.message_page(order=order, chosen=chosen, seller=seller, cursor=None, limit=50))
    _assert_flat(found)


def test_searches_look_nothing_through(many: ManyMessages) -> None:
    pages, registry, opened = Pages(many.opened), Registry(many.opened), many.opened
    message = pages.message_page(order=None, chosen="all", seller=None, cursor=None, limit=1).items[0]["id"]
    for work in (lambda: registry.row(registry.number_of(many.orders[7])), lambda: pages.timeline(message),
                 *(lambda seller=seller: pages.order_page(seller=seller, buyer=None, cursor=None, limit=50) for seller in (None, 1)),
                 *(lambda seller=seller: pages.block_page(seller=seller, cursor=None, limit=50) for seller in (None, 1))):
        _assert_flat(steps(opened, work))


def test_a_page_costs_the_same_as_the_ledger_grows(many: ManyMessages) -> None:
    pages = Pages(many.opened)

    def costs() -> dict[str, int]:
        return {chosen: cost(many.opened, partial(pages.message_page, order=None, chosen=chosen, seller=None, cursor=None,
                                                  limit=10)) for chosen in FILTERS}

    before = costs()
    many.grow(15_000)
    after = costs()
    assert not [chosen for chosen, count in after.items() if count > 1.5 * before[chosen]], (before, after)


def _assert_flat(found: list[str]) -> None:
    assert found
    assert not [step for step in found if "TEMP B-TREE" in step or (step.startswith("SCAN") and step not in IN_ORDER)], found
