"""ARC chains (RFC 8617): the published validation cases over a real name server."""

from __future__ import annotations

from typing import Any

import pytest
import vectors

from aliasing.message import Message
from policy.case import AuthResult
from relay.authn import arc
from relay.authn.tags import TagError
from relay.demo.nameserver import NameServer
from relay.dns import DnsResolver

SUITE = vectors.documents("arc/arc-draft-validation-tests.yml")
CASES = [(name, test, scenario["txt-records"]) for scenario in SUITE for name, test in scenario["tests"].items()]


@vectors.none_here(CASES)
@pytest.mark.parametrize(("test", "keys"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
async def test_the_published_cases(test: dict[str, Any], keys: dict[str, str], nameserver: NameServer) -> None:
    nameserver.zone = {(name, "TXT"): [vectors.quoted(text)] for name, text in keys.items()}
    message = Message.parse(test["message"].replace("\n", "\r\n").encode())
    resolver = DnsResolver([("127.0.0.1", nameserver.port)], 2.0)
    try:
        found = (await arc.verify(message, arc.read(message), resolver)).result
    except TagError:
        found = AuthResult.FAIL
    # "" is the suite's word for a chain that its newest sealer found broken already (RFC 8617 5.2, step 2)
    assert found == (test["cv"] or "fail").lower()
