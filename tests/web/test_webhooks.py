"""A back end is told of what happens: signed, once for each event as long as it answers, again until it does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from house import House, World
from operating import until
from receiver import Receiver
from standardwebhooks import Webhook, WebhookVerificationError

from relay.errors import UsageError
from relay.ledger.opened import open_ledger
from relay.ledger.webhooks import RETRY_S, Webhooks, check_url


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    yield server
    server.stop()


def hook(house: House, receiver: Receiver, *types: str) -> str:
    words = [word for one in types for word in ("--type", one)]
    return house.relay.run("webhook", "add", f"http://127.0.0.1:{receiver.port}/hook", *words).strip()


def waiting(house: House, receiver: Receiver) -> dict[str, Any] | None:
    """How the receiver's hook stands; None when it is no more."""
    return next((one for one in Webhooks(house.opened).all() if one["host"] == f"127.0.0.1:{receiver.port}"), None)


def now(house: House) -> None:
    """What waits for another try is due."""
    with house.opened.transaction() as connection:
        connection.execute("UPDATE webhook_call SET next_attempt_at = 0 WHERE next_attempt_at IS NOT NULL")


async def test_what_happens_to_messages_is_told(met: World, receiver: Receiver) -> None:
    await met.to_the_buyer("Antes")
    await met.settle("delivered")
    secret = hook(met.house, receiver)
    await met.to_the_seller()
    await until(lambda: len(receiver.calls) >= 2)
    met.house.outside.answers[met.buyer] = "550 5.1.1 No such user"
    await met.to_the_buyer("Respuesta")
    await until(lambda: len(receiver.calls) >= 4)
    for block in ({"kind": "counterpart", "value": met.seller_id}, {"kind": "unsolicited"}):
        met.shop("POST", "/blocks", block | {"scope": "buyer", "party": met.buyer_id})
    await met.to_the_buyer("Otra")
    await until(lambda: len(receiver.calls) >= 6)
    kinds = sorted((one["type"], one["data"].get("direction")) for one in receiver.told)
    assert kinds == [("buyer.opted-out", None), ("message.delivered", "to-seller"), ("message.failed", "to-buyer"),
                     ("message.received", "to-buyer"), ("message.received", "to-seller"),
                     ("message.refused", "to-buyer")]
    for headers, body in receiver.calls:
        Webhook(secret).verify(body, headers)
        assert b"@" not in body
        assert not [word for word in (b"Pregunta", b"Respuesta", b"Ana") if word in body]
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(receiver.calls[0][1] + b" ", receiver.calls[0][0])
    assert secret not in met.relay.log.read_text()


async def test_a_receiver_that_fails_is_told_again(house: House, met: World, receiver: Receiver) -> None:
    hook(house, receiver, "message.received")
    receiver.answers = [500, 302]
    await met.to_the_buyer()
    for count, status in enumerate((500, 302, None), 1):
        await until(lambda count=count: len(receiver.calls) >= count)
        await until(lambda status=status: (waiting(house, receiver) or {})["last_status"] == status)
        now(house)
    assert (waiting(house, receiver) or {})["waiting"] == 0
    assert len({headers["webhook-id"] for headers, _ in receiver.calls}) == 1
    assert len({body for _, body in receiver.calls}) == 1


async def test_nothing_is_lost_while_nobody_runs(house: House, met: World, receiver: Receiver) -> None:
    hook(house, receiver, "message.received")
    receiver.answers = [503]
    await met.to_the_buyer()
    await until(lambda: (waiting(house, receiver) or {})["last_status"] == 503)
    await house.relay.stop()
    now(house)
    await house.start()
    await until(lambda: len(receiver.calls) == 2)


async def test_a_key_makes_turns_and_ends_one(house: House, met: World, receiver: Receiver) -> None:
    call, url = met.client("hooks", ("webhooks",)), f"http://127.0.0.1:{receiver.port}/hook?secret=1"
    made = call("POST", "/webhooks", {"url": url, "types": ["message.received"]})
    assert made.status == 201
    there = f"/webhooks/{made.json['id']}"
    turned = call("POST", f"{there}/rotate").json["secret"]
    assert turned != made.json["secret"]
    await met.to_the_buyer()
    await until(lambda: receiver.calls)
    headers, body = receiver.calls[0]
    for secret in (turned, made.json["secret"]):
        Webhook(secret).verify(body, headers)
    with house.opened.transaction() as connection:
        connection.execute("UPDATE webhook SET old_secret_until = 0")
    await met.to_the_buyer("Otra")
    await until(lambda: len(receiver.calls) == 2)
    Webhook(turned).verify(receiver.calls[1][1], receiver.calls[1][0])
    with pytest.raises(WebhookVerificationError):
        Webhook(made.json["secret"]).verify(receiver.calls[1][1], receiver.calls[1][0])
    listed = call("GET", "/webhooks")
    assert made.json["id"] in [one["id"] for one in listed.json["items"]]
    assert not [word for word in (b"hook?secret", b"whsec_", turned.encode()) if word in listed.body]
    assert call("DELETE", there).status == 204
    assert [call("DELETE", there).status, call("POST", f"{there}/rotate").status] == [404, 404]
    for wrong in ({"url": "http://tienda.example/"}, {"url": url, "types": ["x"]}, {"url": "https://a b/"}):
        assert call("POST", "/webhooks", wrong).status == 422


async def test_gone_means_gone(house: House, met: World, receiver: Receiver) -> None:
    hook(house, receiver, "message.received")
    receiver.answers = [410]
    await met.to_the_buyer()
    await until(lambda: waiting(house, receiver) is None)


def test_it_is_given_up_after_three_days(tmp_path: Path) -> None:
    opened = open_ledger(tmp_path / "ledger.db", tmp_path / "keys")
    hooks = Webhooks(opened)
    hooks.add("https://tienda.example/hook", ())
    opened.connection.execute("INSERT INTO webhook_call (webhook_id, public_id, body, next_attempt_at) "
                              "VALUES (1, 'msg_1', '{}', 0)")
    at, tries = 0.0, 0
    while calls := hooks.due(at, 10):
        hooks.record([(calls[0], 500)], at)
        tries, at = tries + 1, at + 86_400
    assert tries == len(RETRY_S) + 1
    opened.close()
    assert b"tienda.example" not in (tmp_path / "ledger.db").read_bytes()


@pytest.mark.parametrize("url", ["http://tienda.example/", "ftp://127.0.0.1/", "https://", "https://u:p@tienda.example/",
                                 "http://127.0.0.1.tienda.example/", "http://x@127.0.0.1/", "http://localhost.example:80/",
                                 "https://tienda.example:x/", "https://[::1/", "https://tienda.example/a b"])
def test_only_https_leaves_this_machine(url: str) -> None:
    with pytest.raises(UsageError):
        check_url(url)
