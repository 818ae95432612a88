"""A back end is told of what happens: signed, once for each event as long as it answers, again until it does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from operating import until
from pysqlite3 import dbapi2 as sqlite
from receiver import Receiver
from standardwebhooks import Webhook, WebhookVerificationError
from support import BUYER, SELLER, Relay, message

from relay.demo.outside import OutsideServer
from relay.errors import UsageError
from relay.ledger.opened import open_ledger
from relay.ledger.webhooks import RETRY_S, Webhooks, check_url


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    yield server
    server.stop()


@pytest.fixture
async def relay(start_relay: Callable[..., Awaitable[Relay]], outside: OutsideServer) -> Relay:
    return await start_relay(outbound={"route": f"smtp://127.0.0.1:{outside.port}", "retry": ["1s"]})


def hook(relay: Relay, receiver: Receiver, *types: str) -> str:
    words = [word for one in types for word in ("--type", one)]
    return relay.run("webhook", "add", f"http://127.0.0.1:{receiver.port}/hook", *words).strip()


def now(relay: Relay) -> None:
    """What waits for another try is due."""
    with sqlite.connect(relay.folder / "var/ledger.db", timeout=10) as db:
        db.execute("UPDATE webhook_call SET next_attempt_at = 0 WHERE next_attempt_at IS NOT NULL")


async def test_what_happens_to_messages_is_told(relay: Relay, receiver: Receiver, outside: OutsideServer) -> None:
    order = relay.order()
    to_buyer, to_seller = order["buyer"]["alias"], order["seller"]["alias"]
    await relay.send(SELLER, to_buyer, message(SELLER, to_buyer, "Antes"))
    await relay.settle("delivered")
    secret = hook(relay, receiver)
    await relay.send(BUYER, to_seller, message(BUYER, to_seller, "Pregunta"))
    await until(lambda: len(receiver.calls) >= 2)
    outside.answers[BUYER] = "550 5.1.1 No such user"
    await relay.send(SELLER, to_buyer, message(SELLER, to_buyer, "Respuesta"))
    await until(lambda: len(receiver.calls) >= 4)
    relay.run("block", "add", "--scope", "buyer", "--party", "B1", "--kind", "counterpart", "--value", "S1")
    await relay.send(SELLER, to_buyer, message(SELLER, to_buyer, "Otra"))
    relay.run("block", "add", "--scope", "buyer", "--party", "B1", "--kind", "unsolicited")
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
    assert secret not in relay.log.read_text()


async def test_a_receiver_that_fails_is_told_again(relay: Relay, receiver: Receiver) -> None:
    alias = relay.order()["buyer"]["alias"]
    hook(relay, receiver, "message.received")
    receiver.answers = [500, 302]
    await relay.send(SELLER, alias, message(SELLER, alias))
    for count in (1, 2, 3):
        await until(lambda count=count: len(receiver.calls) >= count)
        await until(lambda: not relay.json("webhook", "list")[0]["waiting"]
                    or relay.json("webhook", "list")[0]["last_status"] in (500, 302))
        now(relay)
    await until(lambda: relay.json("webhook", "list")[0]["waiting"] == 0)
    assert len({headers["webhook-id"] for headers, _ in receiver.calls}) == 1
    assert len({body for _, body in receiver.calls}) == 1


async def test_nothing_is_lost_while_nobody_runs(relay: Relay, receiver: Receiver) -> None:
    alias = relay.order()["buyer"]["alias"]
    hook(relay, receiver, "message.delivered")
    receiver.answers = [503]
    await relay.send(SELLER, alias, message(SELLER, alias))
    await until(lambda: len(receiver.calls) == 1)
    await relay.stop()
    now(relay)
    await relay.start()
    await until(lambda: len(receiver.calls) == 2)


async def test_gone_means_gone(relay: Relay, receiver: Receiver) -> None:
    alias = relay.order()["buyer"]["alias"]
    hook(relay, receiver, "message.received")
    receiver.answers = [410]
    await relay.send(SELLER, alias, message(SELLER, alias))
    await until(lambda: relay.json("webhook", "list") == [])


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
    assert b"tienda.example" not in (tmp_path / "ledger.db").read_bytes()
    opened.close()


@pytest.mark.parametrize("url", ["http://tienda.example/", "ftp://127.0.0.1/", "https://", "https://u:p@tienda.example/",
                                 "http://127.0.0.1.tienda.example/", "http://x@127.0.0.1/", "http://localhost.example:80/",
                                 "https://tienda.example:x/", "https://[::1/", "https://tienda.example/a b"])
def test_only_https_leaves_this_machine(url: str) -> None:
    with pytest.raises(UsageError):
        check_url(url)
