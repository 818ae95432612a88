import tomllib
from pathlib import Path

import pytest

from policy.subject import is_critical
from relay.sections import PolicySection

CASES = tomllib.loads(Path(__file__).with_name("subjects.toml").read_text())
SUBJECTS = [text for texts in PolicySection().critical_subjects.values() for text in texts]


@pytest.mark.parametrize("subject", CASES["critical"])
def test_critical(subject: str) -> None:
    assert is_critical(subject, SUBJECTS)


@pytest.mark.parametrize("subject", CASES["not_critical"])
def test_not_critical(subject: str) -> None:
    assert not is_critical(subject, SUBJECTS)


def test_markers_only_when_switched_on_and_only_in_front() -> None:
    assert is_critical("Re: [Importante] Su envío", SUBJECTS, ["[Importante]"])
    assert not is_critical("Su envío [Importante]", SUBJECTS, ["[Importante]"])


def test_many_prefixes_cost_no_time() -> None:
    assert not is_critical("re:" * 100_000 + "x", SUBJECTS)
