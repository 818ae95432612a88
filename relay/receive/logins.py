"""Passwords are checked here: in a thread, few at a time, in the same time for unknown logins, and not too often."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar

from relay import maillog
from relay.errors import LedgerError
from relay.ledger import Ledger, StoredLogin
from relay.passwords import MAX_BYTES, is_password, nobodys
from relay.receive.limits import Client, Guard, Leak, network_of
from relay.receive.sasl import Credentials

AT_A_TIME = 2
"""Each takes 64 MiB and a processor for about a tenth of a second."""
MAX_WAITING = 64
FORGET_MIN = 15
"""Minutes in which the limit of wrong passwords drains away."""
DELAY_S = 0.25
MAX_DELAY_S = 8.0
MAX_KEPT = 20_000
MAX_NAME_CHARS = 128

WRONG = "535 5.7.8 Login or password is wrong"
TOO_OFTEN = "421 4.7.0 Too many failed logins, try again later"
BUSY = "454 4.7.0 Too many logins at the moment, try again in a minute"
TROUBLE = "454 4.3.0 A problem on our side, try again later"


K = TypeVar("K")
V = TypeVar("V")


class Logins:
    """One instance a process. Times are seconds of a clock that never steps."""

    def __init__(self, ledger: Ledger, guard: Guard, clock: Callable[[], float]) -> None:
        self._ledger = ledger
        self._guard = guard
        self._clock = clock
        self._failures: OrderedDict[Hashable, Leak] = OrderedDict()
        self._places: OrderedDict[tuple[str, int], None] = OrderedDict()
        """(login, network) that went together before: who guesses passwords elsewhere does not lock these out."""
        self._turn = asyncio.Semaphore(AT_A_TIME)
        self._waiting = 0
        nobodys()

    async def check(self, client: Client, given: Credentials) -> StoredLogin | str:
        """Whose login it is, or the reply. An answer that says no is late, later with each one before it."""
        counts = self._counts(client, given.name)
        per_minute = self._guard.limits.failed_logins / FORGET_MIN
        over = [one.now(self._clock(), per_minute) + 1 > self._guard.limits.failed_logins for one in counts]
        if any(over):
            if over[0] and not self._guard.is_exempt(client):  # not the owner of a login that others guess at
                self._guard.abuse(client, "logins")
            maillog.login("throttled", str(client))
            return TOO_OFTEN
        if self._waiting >= MAX_WAITING:
            return BUSY
        # counted before it is known, or a hundred tries at once would all be the first
        tries = max([one.add(1, self._clock(), per_minute) for one in counts], default=1.0)
        self._waiting += 1
        found: StoredLogin | str | None
        try:
            # in a task: a client that hangs up must not free the place while the thread still works
            found = await asyncio.shield(asyncio.create_task(self._find(given)))
        except LedgerError as error:
            maillog.crashed("login", error)
            found = TROUBLE
        if found is None:
            maillog.login("failed", str(client))
            await asyncio.sleep(min(MAX_DELAY_S, DELAY_S * 2 ** (tries - 1)))
            return WRONG
        for one in counts:
            one.level = max(0.0, one.level - 1)
        if isinstance(found, StoredLogin):
            maillog.login("done", str(client), found.party)
            _keep(self._places, (given.name, network_of(client)), None)
        return found

    async def is_still(self, name: str, login: StoredLogin) -> bool:
        """Whether the login is there as it was: neither removed nor with another password. Raises LedgerError."""
        return await self._ledger.login(name) == login

    async def _find(self, given: Credentials) -> StoredLogin | None:
        possible = len(given.name) <= MAX_NAME_CHARS and len(given.password.encode()) <= MAX_BYTES
        try:
            async with self._turn:
                stored = await self._ledger.login(given.name) if possible else None
                kept = stored.hash if stored else nobodys()
                right = await asyncio.to_thread(is_password, kept, given.password[:MAX_BYTES])
                return stored if right else None
        finally:
            self._waiting -= 1

    def _counts(self, client: Client, name: str) -> list[Leak]:
        """What counts the tries of this network, and those for this login from everywhere new."""
        network, found = network_of(client), []
        if not self._guard.is_exempt(client):
            found.append(self._leak(network))
        if (name, network) not in self._places:
            found.append(self._leak(name))
        return found

    def _leak(self, key: Hashable) -> Leak:
        return _keep(self._failures, key, self._failures.get(key) or Leak())


def _keep(kept: OrderedDict[K, V], key: K, value: V) -> V:
    """The newest MAX_KEPT stay."""
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > MAX_KEPT:
        kept.popitem(last=False)
    return value
