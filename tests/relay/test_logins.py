"""Checking a password: the same work for unknown logins, few at a time, late answers. No sockets, no real waiting."""

from __future__ import annotations

import asyncio
import threading
from ipaddress import ip_address
from typing import Any

import argon2
import pytest

from relay import passwords
from relay.ledger import StoredLogin
from relay.receive import logins as module
from relay.receive.limits import Guard
from relay.receive.logins import AT_A_TIME, BUSY, FORGET_MIN, MAX_DELAY_S, TOO_OFTEN, WRONG, Logins
from relay.receive.sasl import Credentials
from relay.sections import LimitsSection

HERE, THERE = ip_address("192.0.2.1"), ip_address("198.51.100.1")
RIGHT = Credentials("S1", "right")


class Bench:
    """Logins with a clock set by hand, a ledger with one login, and passwords that cost nothing."""

    now = 1000.0

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **limits: Any) -> None:
        self.checked: list[tuple[str, str]] = []
        self.slept: list[float] = []
        self.gate: threading.Event | None = None
        self.running = self.most = 0
        self._lock = threading.Lock()
        monkeypatch.setattr(module, "is_password", self._is_password)
        monkeypatch.setattr(module, "nobodys", lambda: "nobody's")
        monkeypatch.setattr(module.asyncio, "sleep", self._sleep)
        guard = Guard(LimitsSection(**limits), max_size=100, descriptors=1000, clock=lambda: self.now)
        self.logins = Logins(self, guard, lambda: self.now)  # type: ignore[arg-type]

    async def login(self, name: str) -> StoredLogin | None:
        return StoredLogin("seller:S1", "S1's") if name == "S1" else None

    def _is_password(self, kept: str, password: str) -> bool:
        with self._lock:
            self.checked.append((kept, password))
            self.running += 1
            self.most = max(self.most, self.running)
        if self.gate is not None:
            assert self.gate.wait(10)
        with self._lock:
            self.running -= 1
        return password == "right"

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch, failed_logins=6)


async def test_an_unknown_login_costs_what_a_wrong_password_costs(bench: Bench) -> None:
    assert await bench.logins.check(HERE, Credentials("S1", "wrong")) == WRONG
    assert await bench.logins.check(THERE, Credentials("S2", "wrong")) == WRONG
    assert await bench.logins.check(THERE, Credentials("S3", "right")) == WRONG
    assert bench.checked == [("S1's", "wrong"), ("nobody's", "wrong"), ("nobody's", "right")]
    assert bench.slept[0] == bench.slept[1]


def test_nobodys_hash_has_the_parameters_of_the_others() -> None:
    kept = passwords.hash_password("correct horse")
    assert argon2.extract_parameters(kept) == argon2.extract_parameters(passwords.nobodys())
    assert passwords.is_password(kept, "correct horse")
    assert not passwords.is_password(kept, "correct horsf")
    assert not passwords.is_password("nonsense", "correct horse")


async def test_each_answer_is_later_and_then_there_is_none(bench: Bench) -> None:
    for _ in range(6):
        assert await bench.logins.check(HERE, Credentials("S1", "wrong")) == WRONG
    assert bench.slept == [0.25, 0.5, 1.0, 2.0, 4.0, MAX_DELAY_S]
    assert await bench.logins.check(HERE, RIGHT) == TOO_OFTEN
    assert await bench.logins.check(THERE, RIGHT) == TOO_OFTEN  # the login's own limit
    assert await bench.logins.check(HERE, Credentials("S2", "wrong")) == TOO_OFTEN  # the network's
    assert len(bench.checked) == 6
    bench.now += FORGET_MIN * 60 / 6
    assert isinstance(await bench.logins.check(THERE, RIGHT), StoredLogin)


async def test_right_passwords_are_not_counted(bench: Bench) -> None:
    for _ in range(20):
        assert isinstance(await bench.logins.check(HERE, RIGHT), StoredLogin)
    assert bench.slept == []


async def test_the_limit_of_a_login_is_not_for_where_it_has_come_from(bench: Bench) -> None:
    await bench.logins.check(HERE, RIGHT)
    for number in range(6):
        await bench.logins.check(ip_address(f"203.0.{number}.1"), Credentials("S1", "wrong"))
    assert await bench.logins.check(THERE, RIGHT) == TOO_OFTEN
    assert isinstance(await bench.logins.check(HERE, RIGHT), StoredLogin)


async def test_tries_at_one_moment_are_all_counted(bench: Bench) -> None:
    answers = await asyncio.gather(*(bench.logins.check(HERE, Credentials("S1", "wrong")) for _ in range(20)))
    assert (answers.count(WRONG), answers.count(TOO_OFTEN)) == (6, 14)


async def test_few_are_checked_at_a_time_even_when_clients_hang_up(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, failed_logins=1000)
    monkeypatch.setattr(module, "MAX_WAITING", 8)
    bench.gate = threading.Event()
    tasks = [asyncio.create_task(bench.logins.check(ip_address(f"203.0.{number}.1"), Credentials(f"S{number}", "wrong")))
             for number in range(10)]
    while bench.running < AT_A_TIME:
        await asyncio.wait(tasks, timeout=0.001)
    assert [task.result() for task in tasks if task.done()] == [BUSY, BUSY]
    for task in tasks[:4]:
        task.cancel()
    await asyncio.wait(tasks[:4])
    bench.gate.set()
    assert [await task for task in tasks[4:8]] == [WRONG] * 4
    assert bench.most == AT_A_TIME
