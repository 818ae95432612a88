"""SPF over a real name server: the conformance suite of RFC 7208, and the limits."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest
import vectors

from relay.authn import spf
from relay.demo.nameserver import NameServer
from relay.dns import DnsResolver

SUITE = vectors.documents("spf/rfc7208-tests.yml")
CASES = [(name, test, scenario.get("zonedata") or {}) for scenario in SUITE
         for name, test in (scenario.get("tests") or {}).items()]


def resolver(server: NameServer) -> DnsResolver:
    return DnsResolver([("127.0.0.1", server.port)], 5.0)


@vectors.none_here(CASES)
@pytest.mark.parametrize(("test", "data"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
async def test_the_suite_of_rfc_7208(test: dict[str, Any], data: dict[str, Any], nameserver: NameServer) -> None:
    nameserver.zone = vectors.spf_zone(data)
    found = await spf.evaluate(ip_address(test["host"]), str(test.get("helo", "")), test["mailfrom"] or "",
                               resolver(nameserver))
    expected = test["result"]
    assert found in (expected if isinstance(expected, list) else [expected])
