"""Ledger entries for tests that go to the ledger itself, past accept()."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from aliasing.correspondence import Direction
from relay.ledger.sqlite import SqliteLedger
from relay.records import LedgerEntry, State, new_id

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


async def entry(ledger: SqliteLedger, number: int = 1, direction: Direction = Direction.TO_BUYER,
                content: bytes = b"hola", **changes: Any) -> LedgerEntry:
    """A message that waits to be sent, of the correspondence `number`."""
    facts = await ledger.facts(number, direction, NOW)
    assert facts is not None
    made = LedgerEntry(id=new_id(), trace="t", correspondence=facts.correspondence, direction=direction,
                       state=State.QUEUED, received_at=NOW, size=len(content), subject="Asunto secreto",
                       content=content)
    return replace(made, **changes)
