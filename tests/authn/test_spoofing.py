"""spoofing.toml: who may write as the seller and who may not, through the real rules over a real name server."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
import senders

from policy.chain import WRITER_RULES, decide
from policy.status import Status
from relay.demo.nameserver import NameServer
from relay.texts import smtp_line

CASES = tomllib.loads((Path(__file__).parent / "spoofing.toml").read_text())["case"]


def filled(value: Any) -> Any:
    if isinstance(value, str):
        return senders.filled(value.replace("{ALIAS}", senders.ALIAS.upper()))
    return value


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
async def test_spoofing(case: dict[str, Any], nameserver: NameServer) -> None:
    nameserver.zone = senders.zone()
    found = await senders.judged({key: filled(value) for key, value in case.items()}, nameserver)
    verdict = decide(found, WRITER_RULES).verdict
    status = verdict.reply.status if verdict.reply else None
    assert (status.name if status else "pass") == case["expect"], verdict
    if verdict.reply is not None:
        for language in ("es", "en"):
            line = smtp_line(verdict.reply, language)
            assert senders.SELLER not in line
            assert "111-2222222-3333333" not in line  # a stranger hears of no order
            assert "{" not in line


def test_there_are_enough_cases_and_no_name_twice() -> None:
    assert sum(case["expect"] != "pass" for case in CASES) >= 25
    assert len({case["name"] for case in CASES}) == len(CASES)
    assert {case["expect"] for case in CASES} >= {"pass", *(status.name for status in (
        Status.NOT_AUTHENTICATED, Status.SIGNATURE_BROKEN, Status.SIGNATURE_TOO_WEAK, Status.ALIAS_NOT_SIGNED,
        Status.AUTHENTICATION_UNAVAILABLE))}
