"""A back end mints aliases; and what every answer of the API has in common."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from apiclient import AN_ORDER, BUYER_PARTY, SELLER_PARTY, Client, new_key, where
from operating import logged, until
from support import BUYER, ORDER, SELLER, Relay, message

from relay.demo.outside import OutsideServer
from relay.web.guard import Guard

Start = Callable[..., Awaitable[Relay]]
HTTP = {"listen": {"http": "127.0.0.1:0"}}


@pytest.fixture
async def relay(start_relay: Start, outside: OutsideServer) -> Relay:
    return await start_relay(outbound={"route": f"smtp://127.0.0.1:{outside.port}", "retry": ["1s"]}, **HTTP)


async def test_an_order_made_by_api_carries_mail(relay: Relay, outside: OutsideServer) -> None:
    call = Client(relay, new_key(relay))
    made = call("POST", "/orders", AN_ORDER)
    assert made.status == 201
    assert SELLER.encode() not in made.body
    assert call("POST", "/orders", AN_ORDER).status == 200
    assert call("GET", f"/orders/{ORDER}").json == made.json
    code, _ = await relay.send(SELLER, made.json["buyer"]["alias"], message(SELLER, made.json["buyer"]["alias"]))
    assert code == 250
    await relay.settle("delivered")
    assert call("POST", f"/orders/{ORDER}/close").json["closed_at"]
    code, said = await relay.send(SELLER, made.json["buyer"]["alias"], message(SELLER, made.json["buyer"]["alias"], "2"))
    assert (code, "[CLOSED]" in said) == (550, True)


async def test_an_enquiry_becomes_the_order(relay: Relay) -> None:
    call = Client(relay, new_key(relay))
    enquiry = call("POST", "/correspondences", {"seller": SELLER_PARTY, "buyer": BUYER_PARTY})
    assert (enquiry.status, enquiry.json["order"]) == (201, None)
    assert call("POST", "/correspondences", {"seller": SELLER_PARTY, "buyer": BUYER_PARTY}).status == 200
    order = call("POST", "/orders", AN_ORDER)
    assert order.json["buyer"]["alias"] == enquiry.json["buyer"]["alias"]


async def test_what_contradicts_is_said_without_an_address(relay: Relay) -> None:
    call = Client(relay, new_key(relay))
    call("POST", "/orders", AN_ORDER)
    other = call("POST", "/orders", AN_ORDER | {"buyer": BUYER_PARTY | {"address": "otra@correo.example"}})
    assert (other.status, other.json["code"]) == (409, "conflict")
    assert "tradepost" not in other.json["detail"]
    assert b"correo.example" not in other.body
    wrong = call("POST", "/orders", AN_ORDER | {"order": "x y"})
    assert (wrong.status, wrong.json["code"]) == (422, "invalid")
    extra = call("POST", "/orders", AN_ORDER | {"colour": BUYER})
    assert extra.status == 422
    assert BUYER.encode() not in extra.body


async def test_pages_have_cursors_that_count_nothing(relay: Relay) -> None:
    call = Client(relay, new_key(relay))
    for number in range(5):
        assert call("POST", "/orders", AN_ORDER | {"order": f"N-{number}"}).status == 201
    found, cursor = [], ""
    while cursor is not None:
        page = call("GET", f"/orders?limit=2{f'&cursor={cursor}' if cursor else ''}").json
        found += [one["order"] for one in page["items"]]
        cursor = page["next"]
    assert found == [f"N-{number}" for number in (4, 3, 2, 1, 0)]
    assert call("GET", "/orders?cursor=3").status == 422


async def test_the_same_idempotency_key_does_it_once(relay: Relay) -> None:
    call = Client(relay, new_key(relay))
    first = call("POST", "/orders", AN_ORDER, Idempotency_Key="k1")
    again = call("POST", "/orders", AN_ORDER, Idempotency_Key="k1")
    assert (again.status, again.body) == (first.status, first.body) == (201, first.body)
    assert again.headers["Idempotency-Replayed"] == "true"
    other = call("POST", "/orders", AN_ORDER | {"order": "N-2"}, Idempotency_Key="k1")
    assert (other.status, other.json["code"]) == (422, "key-reused")
    assert call("GET", "/orders/N-2").status == 404
    stranger = Client(relay, new_key(relay, "other"))("POST", "/orders", AN_ORDER, Idempotency_Key="k1")
    assert stranger.status == 200  # its own keys are its own


async def test_keys_are_kept_as_hashes_scoped_and_removed(relay: Relay) -> None:
    key = new_key(relay, scopes=("messages",))
    call = Client(relay, key)
    assert (call("GET", "/orders").status, call("GET", "/orders").json["code"]) == (403, "out-of-scope")
    assert key.encode() not in b"".join(path.read_bytes() for path in (relay.folder / "var").glob("ledger.db*"))
    listed = relay.json("apikey", "list")
    assert [(one["name"], one["scopes"]) for one in listed] == [("shop", ["messages"])]
    relay.run("apikey", "remove", "shop")
    assert call("GET", "/orders").status == 401
    for wrong in (None, "x", key[:-1], key.upper() + "0", "tp_" + "0" * 52):
        refused = Client(relay, wrong)("GET", "/orders")
        assert (refused.status, refused.headers["WWW-Authenticate"]) == (401, "Bearer")


async def test_a_key_asks_so_often(start_relay: Start) -> None:
    relay = await start_relay(api={"requests_per_minute": 60, "burst": 3}, **HTTP)
    call, other = Client(relay, new_key(relay)), Client(relay, new_key(relay, "other"))
    answers = [call("GET", "/orders") for _ in range(5)]
    assert {one.status for one in answers[:3]} == {200}
    assert answers[4].status == 429
    assert 1 <= int(answers[4].headers["Retry-After"]) <= 2
    assert other("GET", "/orders").status == 200


WRONG: list[tuple[str, str, Any, int]] = [
    ("GET", "/nothing", None, 404), ("GET", "/orders/none", None, 404), ("DELETE", "/orders", None, 405),
    ("POST", "/orders", b"x" * 70_000, 413), ("POST", "/orders", b"{", 400), ("POST", "/orders", b"\xff", 400),
    ("POST", "/orders", b"[" * 60_000, 400), ("POST", "/orders", {}, 422), ("GET", "/orders?limit=0", None, 422),
    ("GET", "/messages/x/attachments/99999999999999999999", None, 422), ("DELETE", "/blocks/99999999999999999999", None, 422),
]


async def test_every_error_is_problem_details(relay: Relay) -> None:
    call = Client(relay, new_key(relay))
    for method, path, body, status in WRONG:
        answer = call(method, path, body)
        assert answer.status == answer.json["status"] == status, (method, path)
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json["type"] == f"/api/v1/problems/{answer.json['code']}"
        for name in ("X-Content-Type-Options", "Content-Security-Policy", "X-Frame-Options", "Referrer-Policy"):
            assert answer.headers[name]
        assert answer.headers["Access-Control-Allow-Origin"] is None
        text = answer.body.decode()
        assert not [word for word in ("Error", "Traceback", ".py", "relay.", "pydantic") if word in text]


async def test_a_fault_of_ours_tells_nothing() -> None:
    """500 without a class or a path."""
    guarded = Guard(_raises, big_bytes=1, big_paths=frozenset())
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await guarded({"type": "http", "method": "GET", "path": "/", "headers": []}, _nothing, send)
    assert sent[0]["status"] == 500
    assert (b"content-type", b"application/problem+json") in sent[0]["headers"]
    assert b"secret.py" not in sent[1]["body"]
    assert b"ValueError" not in sent[1]["body"]


async def _raises(*_: Any) -> None:
    raise ValueError("/srv/secret.py")


async def _nothing() -> Any:
    return {"type": "http.request", "body": b"", "more_body": False}


async def test_the_access_log_shows_no_address(relay: Relay) -> None:
    call = Client(relay, new_key(relay))
    call("GET", f"/orders/{SELLER}")
    call("GET", f"/orders?seller={SELLER}")
    lines = await until(lambda: len(logged(relay, "http")) > 1 and logged(relay, "http"))  # after the answer
    assert [(line["route"], line["status"], line["caller"]) for line in lines] == [
        ("/orders/{order}", 404, "shop"), ("/orders", 404, "shop")]
    assert SELLER not in relay.log.read_text()


async def test_mail_goes_on_beside_slow_and_broken_requests(relay: Relay, outside: OutsideServer) -> None:
    order = relay.order()
    host, _, port = where(relay).rpartition(":")
    held = []
    for octets in (b"", b"GET /api", b"\0\0\0\r\n\r\n", b"POST /api/v1/orders HTTP/1.1\r\nContent-Length: 50\r\n\r\n{"):
        for _ in range(60):
            sock = socket.create_connection((host, int(port)))
            sock.sendall(octets)
            held.append(sock)
    code, _ = await relay.send(SELLER, order["buyer"]["alias"], message(SELLER, order["buyer"]["alias"]))
    assert code == 250
    await relay.settle("delivered")
    assert await relay.stop() == 0  # within the ten seconds that systemd counts on
    for sock in held:
        sock.close()


async def test_a_stop_finishes_what_is_asked(relay: Relay) -> None:
    call = Client(relay, new_key(relay))
    asked = [asyncio.to_thread(call, "POST", "/orders", AN_ORDER | {"order": f"N-{number}"}) for number in range(8)]
    answers = await asyncio.gather(*asked)
    assert {answer.status for answer in answers} == {201}
    assert await relay.stop() == 0
    assert len(relay.json("order", "list")) == 8
