from datetime import UTC, datetime, timedelta

import pytest

from relay.queue.schedule import Schedule
from relay.sections import OutboundSection

NOW = datetime(2026, 11, 24, tzinfo=UTC)
DEFAULTS = OutboundSection()
SCHEDULE = Schedule(DEFAULTS.retry, DEFAULTS.warn_after, DEFAULTS.give_up_after)


def test_the_first_retry_comes_within_minutes() -> None:
    for chance in (0.0, 0.5, 1.0):
        at = SCHEDULE.next_attempt(1, NOW, NOW, chance)
        assert at is not None
        assert timedelta(minutes=1) < at - NOW < timedelta(minutes=3)


def test_pauses_grow_and_the_last_one_repeats() -> None:
    pauses = [SCHEDULE.next_attempt(attempts, NOW, NOW, 0.5) for attempts in range(1, 12)]
    assert pauses == sorted(pauses, key=lambda at: at or NOW)
    assert pauses[6:] == [pauses[6]] * 5


def test_a_last_attempt_is_made_when_the_time_is_up_and_none_after() -> None:
    assert SCHEDULE.next_attempt(30, NOW - timedelta(days=4, hours=23), NOW, 0.5) == NOW + timedelta(hours=1)
    assert SCHEDULE.next_attempt(31, NOW - timedelta(days=5), NOW, 0.5) is None


@pytest.mark.parametrize(("age", "warn"), [(timedelta(hours=3), False), (timedelta(hours=4), True)])
def test_the_warning_comes_after_four_hours(age: timedelta, warn: bool) -> None:
    assert SCHEDULE.should_warn(NOW - age, NOW) is warn
