"""Lists and threads stay flat as the ledger grows: an index gives the order, nothing is sorted or read through."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from aliasing.correspondence import Side
from relay.ledger.inbox import Inbox
from relay.ledger.listing import FILTERS
from relay.ledger.opened import Opened, open_ledger
from relay.ledger.registry import NewParty, Registry
from relay.ledger.sessions import Sessions


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    folder: Path = tmp_path_factory.mktemp("plans")
    ledger = open_ledger(folder / "ledger.db", folder / "keys")
    Registry(ledger).add_order("N-1", "relay.example", NewParty(Side.SELLER, "S1", "sol@tienda.example"),
                               NewParty(Side.BUYER, "B1", "ana@correo.example"))
    yield ledger
    ledger.close()


def plans(opened: Opened, work: Callable[[], Any]) -> list[str]:
    asked: list[str] = []
    opened.connection.set_trace_callback(asked.append)
    work()
    opened.connection.set_trace_callback(None)
    return [row[3] for sql in asked if sql.lstrip().startswith(("SELECT", "--"))
            for row in opened.connection.execute(f"EXPLAIN QUERY PLAN {sql}")]


@pytest.mark.parametrize("seller", [None, 1], ids=["everybody", "seller"])
@pytest.mark.parametrize("paged", [False, True], ids=["first", "next"])
@pytest.mark.parametrize("chosen", FILTERS)
def test_no_list_is_sorted(opened: Opened, chosen: str, seller: int | None, paged: bool) -> None:
    from aliasing.token import Role

    name = {"needs-reply": "inbox waiting", "all": "inbox last"}.get(chosen, "messages")
    cursor = opened.keys.ring.seal(Role.RETURN, f"cursor {name}", 1000) if paged else None
    steps = plans(opened, lambda: Inbox(opened).page(chosen, seller, cursor, 30))
    assert steps
    assert not [step for step in steps if "TEMP B-TREE" in step], steps
    assert not [step for step in steps if step.startswith("SCAN") and "USING" not in step and step != "SCAN m"], steps


def test_threads_counts_and_sessions_read_nothing_through(opened: Opened) -> None:
    number = Registry(opened).number_of("N-1")
    inbox = Inbox(opened)
    sessions = Sessions(opened, timedelta(hours=1), timedelta(days=1))
    works: list[Callable[[], Any]] = [
        lambda: inbox.thread_of_order("N-1"), lambda: inbox.thread_page(number, None),
        lambda: inbox.thread_page(number, None, "x"), lambda: inbox.versions(number), lambda: inbox.waiting(1, 0.0),
        lambda: sessions.find("0" * 52), lambda: sessions.login("sol"), lambda: sessions.all(1)]
    for work in works:
        steps = plans(opened, work)
        assert steps
        assert not [step for step in steps if "SCAN" in step and "CONSTANT" not in step and step != "SCAN c"], steps
