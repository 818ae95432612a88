"""The API does what its own document says, whatever comes: requests made from it, right ones and wrong ones."""

from __future__ import annotations

import asyncio
from typing import Any

import schemathesis
from house import World
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from relay.ledger.webhooks import Webhooks

EXAMPLES = 3
"""For each operation three times; `./dev soak api` makes more."""
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_headers_conformance,
          response_schema_conformance, unsupported_method, ignored_auth]
"""All but those that take the schema for the whole of the rules: an address or an order number may be as the document
says and still be none, and that is 422."""


async def test_requests_made_from_the_document(met: World) -> None:
    sent = met.shop("POST", "/messages", met.text)
    known = {"/orders/{order}": {"order": met.order}, "/messages/{id}": {"id": sent.json["id"]},
             "/parties/": {"side": "seller", "id": met.seller_id}}
    assert met.shop.key
    failures = await asyncio.to_thread(campaign, f"http://{met.house.where}/api/v1/openapi.json", met.shop.key, known)
    for hook in Webhooks(met.house.opened).all():
        Webhooks(met.house.opened).remove(int(hook["id"]))
    assert not failures, "\n\n".join(failures)
    assert met.relay.process
    assert met.relay.process.poll() is None
    met.house.assert_sound()


def campaign(url: str, key: str, known: dict[str, dict[str, str]]) -> list[str]:
    """What went wrong, one text an operation at most."""
    schema = schemathesis.openapi.from_url(url)
    failures = []
    for found in schema.get_all_operations():
        operation = found.ok()
        there = next((values for path, values in known.items() if path in operation.path), {})
        for mode, values in ((GenerationMode.POSITIVE, {}), (GenerationMode.POSITIVE, there), (GenerationMode.NEGATIVE, {})):
            try:
                tried(operation, mode, key, values)
            except Exception as error:
                failures.append(f"{operation.label} {mode}: {error}")
    return failures


def tried(operation: Any, mode: GenerationMode, key: str, values: dict[str, str]) -> None:
    """`values` are path parameters of something that is there."""
    @settings(max_examples=EXAMPLES, derandomize=True, deadline=None, database=None, phases=[Phase.explicit, Phase.generate],
              suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def test(case: Any) -> None:
        case.path_parameters.update(values)
        case.call_and_validate(headers={"Authorization": f"Bearer {key}"}, checks=CHECKS)

    test()
