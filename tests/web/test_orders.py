"""A back end mints aliases; and what every answer of the API has in common."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from apiclient import Client, new_key, where
from house import World
from operating import logged, until
from support import BUYER, SELLER, Relay, message

from relay.demo.outside import OutsideServer
from relay.web.guard import Guard


async def test_an_order_made_by_api_carries_mail(world: World) -> None:
    made = world.shop("POST", "/orders", world.an_order)
    assert made.status == 201
    assert b"tienda.example" not in made.body
    assert world.shop("POST", "/orders", world.an_order).status == 200
    assert world.shop("GET", f"/orders/{world.order}").json == made.json
    assert (await world.mint().to_the_buyer())[0] == 250
    await world.settle("delivered")
    assert world.shop("POST", f"/orders/{world.order}/close").json["closed_at"]
    code, said = await world.to_the_buyer("2")
    assert (code, "[CLOSED]" in said) == (550, True)


def test_an_enquiry_becomes_the_order(world: World) -> None:
    enquiry = world.shop("POST", "/correspondences", world.parties)
    assert (enquiry.status, enquiry.json["order"]) == (201, None)
    assert world.shop("POST", "/correspondences", world.parties).status == 200
    assert world.shop("POST", "/orders", world.an_order).json["buyer"]["alias"] == enquiry.json["buyer"]["alias"]


def test_what_contradicts_is_said_without_an_address(met: World) -> None:
    call, buyer = met.shop, met.parties["buyer"]
    other = call("POST", "/orders", met.an_order | {"buyer": buyer | {"address": "otra@correo.example"}})
    assert (other.status, other.json["code"]) == (409, "conflict")
    assert "tradepost" not in other.json["detail"]
    assert b"correo.example" not in other.body
    wrong = call("POST", "/orders", met.an_order | {"order": "x y"})
    assert (wrong.status, wrong.json["code"]) == (422, "invalid")
    extra = call("POST", "/orders", met.an_order | {"colour": BUYER})
    assert extra.status == 422
    assert BUYER.encode() not in extra.body


def test_pages_have_cursors_that_count_nothing(world: World) -> None:
    orders = [f"N-{world.number}-{number}" for number in range(5)]
    for order in orders:
        assert world.shop("POST", "/orders", world.an_order | {"order": order}).status == 201
    found, cursor = [], ""
    while cursor is not None:
        there = f"/orders?seller={world.seller_id}&limit=2{f'&cursor={cursor}' if cursor else ''}"
        page = world.shop("GET", there).json
        found += [one["order"] for one in page["items"]]
        cursor = page["next"]
    assert found == orders[::-1]
    assert world.shop("GET", "/orders?cursor=3").status == 422


def test_the_same_idempotency_key_does_it_once(world: World) -> None:
    call = world.client()
    first = call("POST", "/orders", world.an_order, Idempotency_Key="k1")
    again = call("POST", "/orders", world.an_order, Idempotency_Key="k1")
    assert (again.status, again.body) == (first.status, first.body) == (201, first.body)
    assert again.headers["Idempotency-Replayed"] == "true"
    other = call("POST", "/orders", world.an_order | {"order": f"N-{world.number}"}, Idempotency_Key="k1")
    assert (other.status, other.json["code"]) == (422, "key-reused")
    assert call("GET", f"/orders/N-{world.number}").status == 404
    stranger = world.client("other")("POST", "/orders", world.an_order, Idempotency_Key="k1")
    assert stranger.status == 200  # its own keys are its own


def test_keys_are_kept_as_hashes_scoped_and_removed(world: World) -> None:
    relay = world.relay
    key = new_key(relay, "plain", ("messages",))
    call = Client(world.house.where, key)
    assert (call("GET", "/orders").status, call("GET", "/orders").json["code"]) == (403, "out-of-scope")
    assert key.encode() not in world.house.stored()
    listed = [one for one in relay.json("apikey", "list") if one["name"] == "plain"]
    assert [one["scopes"] for one in listed] == [["messages"]]
    relay.run("apikey", "remove", "plain")
    assert call("GET", "/orders").status == 401
    for wrong in (None, "x", key[:-1], key.upper() + "0", "tp_" + "0" * 52):
        refused = Client(world.house.where, wrong)("GET", "/orders")
        assert (refused.status, refused.headers["WWW-Authenticate"]) == (401, "Bearer")


WRONG: list[tuple[str, str, Any, int]] = [
    ("GET", "/nothing", None, 404), ("GET", "/orders/none", None, 404), ("DELETE", "/orders", None, 405),
    ("POST", "/orders", b"x" * 70_000, 413), ("POST", "/orders", b"{", 400), ("POST", "/orders", b"\xff", 400),
    ("POST", "/orders", b"[" * 60_000, 400), ("POST", "/orders", {}, 422), ("GET", "/orders?limit=0", None, 422),
    ("GET", "/messages/x/attachments/99999999999999999999", None, 422), ("DELETE", "/blocks/99999999999999999999", None, 422),
]


def test_every_error_is_problem_details(world: World) -> None:
    call = world.shop
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


async def test_the_access_log_shows_no_address(world: World) -> None:
    call = world.client("logged")
    call("GET", f"/orders/{SELLER}")
    call("GET", f"/orders?seller={SELLER}")

    def lines() -> list[tuple[str, int]]:
        name = f"logged-{world.number}"
        return [(line["route"], line["status"]) for line in logged(world.relay, "http") if line["caller"] == name]

    await until(lambda: len(lines()) == 2)  # after the answer
    assert lines() == [("/orders/{order}", 404), ("/orders", 404)]
    assert SELLER not in world.relay.log.read_text()


async def test_a_key_has_its_pace_slow_clients_hold_nothing_up_and_a_stop_finishes_what_is_asked(
        start_relay: Callable[..., Awaitable[Relay]], outside: OutsideServer) -> None:
    relay = await start_relay(listen={"http": "127.0.0.1:0"}, api={"requests_per_minute": 60, "burst": 8},
                              outbound={"route": f"smtp://127.0.0.1:{outside.port}", "retry": ["1s"]})
    order, held = relay.order(), _held(where(relay))
    code, _ = await relay.send(SELLER, order["buyer"]["alias"], message(SELLER, order["buyer"]["alias"]))
    assert code == 250
    await outside.wait_for(1)
    call, other = Client(where(relay), new_key(relay)), Client(where(relay), new_key(relay, "other"))
    parties = {"seller": {"id": "S1", "address": SELLER}, "buyer": {"id": "B1", "address": BUYER}}
    asked = [asyncio.to_thread(call, "POST", "/orders", parties | {"order": f"N-{number}"}) for number in range(12)]
    answers = await asyncio.gather(*asked)
    assert sorted({answer.status for answer in answers}) == [201, 429]
    late = next(one for one in answers if one.status == 429)
    assert 1 <= int(late.headers["Retry-After"]) <= 2
    assert other("GET", "/orders").status == 200
    assert await relay.stop() == 0  # within the ten seconds that systemd counts on
    assert len(relay.json("order", "list")) == 1 + [answer.status for answer in answers].count(201)
    for sock in held:
        sock.close()


def _held(there: str) -> list[socket.socket]:
    """Connections that never say what they want, or not as it should be said."""
    host, _, port = there.rpartition(":")
    held = []
    for octets in (b"", b"GET /api", b"\0\0\0\r\n\r\n", b"POST /api/v1/orders HTTP/1.1\r\nContent-Length: 50\r\n\r\n{"):
        for _ in range(60):
            sock = socket.create_connection((host, int(port)))
            sock.sendall(octets)
            held.append(sock)
    return held
