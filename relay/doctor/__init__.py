"""One look at everything that an installation needs. Each check is a function that never raises; nothing is changed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

from relay.config import Config
from relay.doctor import machine, service
from relay.zone.finding import Finding, Level, right, unknown
from relay.zone.plan import Plan
from relay.zone.verify import Surroundings, verify


def examine(config: Config, plan: Plan, around: Surroundings | None) -> Iterator[Finding]:
    """Everything but the configuration's own errors, which config.load() tells. `around` None leaves the DNS out."""
    now = datetime.now(UTC)
    yield from service.certificate(config, plan, now)
    yield from service.key_ring(config, now)
    yield from machine.disk(config.data_dir)
    yield from service.queue(config, now)
    yield from machine.clock(now)
    yield from service.ledger_time(config, now)
    yield from service.authentication(config)
    yield from service.listeners(config)
    yield from machine.descriptors(config)
    if around is not None:
        yield zone(asyncio.run(verify(plan, around)))


def zone(found: list[Finding]) -> Finding:
    """What `tradepost dns --verify` finds, in one line."""
    faults = Counter(one.fault for one in found if one.level is Level.WRONG)
    more = sum(one.level is Level.WARNING for one in found)
    mend = "tradepost dns --verify"
    if faults:
        return Finding(Level.WRONG, "dns", "dns", f"{faults.total()} of {len(found)} wrong: {', '.join(faults)}", mend)
    if any(one.level is Level.UNKNOWN for one in found):
        return unknown("dns", "not everything could be looked up")
    if more:
        return Finding(Level.WARNING, "dns", "dns", f"{more} of {len(found)} could be better", mend)
    return right("dns", f"all {len(found)} in order")
