"""Parties, addresses, blocks; and that another seller's data is not there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from apiclient import SELLER_SCOPES, Client, new_key
from support import BUYER, ORDER, SELLER, Relay, message

from relay.demo.outside import OutsideServer

Start = Callable[..., Awaitable[Relay]]
OTHER = "404-9999999-9999999"


@pytest.fixture
async def relay(start_relay: Start, outside: OutsideServer) -> Relay:
    relay = await start_relay(outbound={"route": f"smtp://127.0.0.1:{outside.port}", "retry": ["1s"]},
                              listen={"http": "127.0.0.1:0"}, api={"burst": 1000})
    relay.order()
    return relay


async def test_an_address_is_authorised_blocked_and_removed(relay: Relay) -> None:
    call = Client(relay, new_key(relay))
    alias, second = relay.order()["buyer"]["alias"], "ventas@tienda.example"
    for state, code in (("authorised", 250), ("blocked", 550), ("removed", 550)):
        found = call("POST", "/parties/seller/S1/addresses", {"address": second, "state": state})
        assert [one["state"] for one in found.json["addresses"]] == ["authorised", state]
        assert b"@" not in found.body
        assert (await relay.send(second, alias, message(second, alias, state)))[0] == code
    party = call("GET", "/parties/seller/S1").json
    assert (party["name"], party["language"]) == ("Tienda Sol", "es")
    assert call("GET", "/parties/buyer/S1").status == 404
    assert call("POST", "/parties/seller/S1/addresses", {"address": SELLER, "state": "removed"}).status == 409
    assert call("POST", "/parties/seller/S1/addresses", {"address": "no", "state": "removed"}).status == 422


async def test_blocks_hold_until_lifted(relay: Relay) -> None:
    call = Client(relay, new_key(relay))
    alias = relay.order()["buyer"]["alias"]
    opt_out = {"scope": "buyer", "party": "B1", "kind": "unsolicited", "reason": "por teléfono"}
    made = call("POST", "/blocks", opt_out)
    assert (made.status, made.json["party"], made.json["value"]) == (201, "B1", None)
    assert call("POST", "/blocks", opt_out).json["id"] == made.json["id"]
    assert (await relay.send(SELLER, alias, message(SELLER, alias)))[0] == 550
    assert [one["id"] for one in call("GET", "/blocks").json["items"]] == [made.json["id"]]
    assert call("DELETE", f"/blocks/{made.json['id']}").status == 204
    assert call("DELETE", f"/blocks/{made.json['id']}").status == 404
    assert (await relay.send(SELLER, alias, message(SELLER, alias, "Otra vez")))[0] == 250
    for value in ("no network", "192.0.2.0/99"):
        assert call("POST", "/blocks", {"scope": "relay", "kind": "network", "value": value}).status == 422


async def test_another_sellers_data_is_not_there(relay: Relay) -> None:
    """Every route of the document, with the key of one seller, against what belongs to another."""
    shop = Client(relay, new_key(relay))
    relay.order(OTHER, seller="S2", seller_address="luna@tienda2.example", buyer="B2", buyer_address="luz@correo.example")
    shop("POST", "/messages", {"order": ORDER, "subject": "Hola", "text": "Hola"})
    [own] = shop("GET", "/messages").json["items"]
    block = shop("POST", "/blocks", {"scope": "seller", "party": "S1", "kind": "counterpart", "value": "B1"}).json["id"]
    assert shop("PUT", "/templates/saludo?seller=S1", {"subject": "Hola", "text": "Hola"}).status == 200
    alias = shop("GET", f"/orders/{ORDER}").json["buyer"]["alias"]
    stranger = Client(relay, new_key(relay, "luna", SELLER_SCOPES, "S2"))
    parties = {"seller": {"id": "S1", "address": SELLER}, "buyer": {"id": "B1", "address": BUYER}}
    text = {"subject": "Hola", "text": "Hola"}
    table = {
        ("POST", "/orders"): [("", parties | {"order": ORDER}), ("", parties | {"order": "N-1"})],
        ("POST", "/correspondences"): [("", parties)],
        ("GET", "/orders"): [("?seller=S1", None)],
        ("GET", "/orders/{order}"): [(ORDER, None)],
        ("POST", "/orders/{order}/close"): [(ORDER, None)],
        ("GET", "/messages"): [(f"?order={ORDER}", None)],
        ("POST", "/messages"): [("", text | {"order": ORDER}), ("", text | {"alias": alias}),
                                ("", text | {"order": OTHER, "in_reply_to": own["id"]})],
        **{("GET", f"/messages/{{id}}{what}"): [(own["id"], None)] for what in ("", "/raw", "/content")},
        ("GET", "/messages/{id}/attachments/{number}"): [(own["id"], None)],
        **{("POST", f"/messages/{{id}}/{what}"): [(own["id"], None)]
           for what in ("answered", "no-answer-needed", "report")},
        ("GET", "/parties/{side}/{id}"): [("seller/S1", None), ("buyer/B1", None), ("buyer/B2", None)],
        ("POST", "/parties/{side}/{id}/addresses"): [
            (one, {"address": "x@tienda2.example", "state": "authorised"}) for one in ("seller/S1", "buyer/B1")],
        ("POST", "/blocks"): [("", {"scope": "seller", "party": "S1", "kind": "counterpart", "value": "B1"}),
                              ("", {"scope": "seller", "party": "S2", "kind": "counterpart", "value": "B1"}),
                              ("", {"scope": "buyer", "party": "B1", "kind": "unsolicited"})],
        ("DELETE", "/blocks/{id}"): [(block, None)],
        ("GET", "/templates"): [("?seller=S1", None)],
        **{(method, "/templates/{name}"): [("saludo?seller=S1", text)] for method in ("GET", "PUT", "DELETE")},
        ("GET", "/templates/{name}/filled"): [("saludo", None)],
    }
    lists = {("GET", "/blocks"), ("GET", "/messages"), ("GET", "/orders"), ("GET", "/templates")}
    for_moderators = {("POST", "/messages/{id}/decision"), ("POST", "/parties/{side}/{id}/erase")}
    document = shop("GET", "/openapi.json").json
    routes = {(method.upper(), path.removeprefix("/api/v1")) for path, item in document["paths"].items() for method in item}
    assert routes == set(table) | lists | for_moderators
    before = relay.json("order", "list"), shop("GET", "/messages").json, shop("GET", "/blocks").json
    for (method, path), tries in table.items():
        for there, body in tries:
            asked = path if path.count("{") == 0 else _filled(path, there)
            answer = stranger(method, asked + (there if path.count("{") == 0 else ""), body)
            assert answer.status == 404, (method, asked, there, answer.body)
    assert (relay.json("order", "list"), shop("GET", "/messages").json, shop("GET", "/blocks").json) == before
    for _, path in sorted(lists):
        found = stranger("GET", path)
        assert found.status == 200
        assert not [word for word in ("S1", "B1", ORDER, own["id"]) if f'"{word}"' in found.body.decode()]
    assert stranger("POST", "/parties/seller/S1/erase").status == 403
    assert stranger("POST", f"/messages/{own['id']}/decision", {"decision": "upheld", "reason": "x"}).status == 403


def _filled(path: str, there: str) -> str:
    path = path.replace("{name}/filled", f"{{name}}/filled?seller=S1&order={ORDER}")
    return path.replace("{name}", there).replace("{side}/{id}", there).replace("{id}", there).replace("{order}", there).replace("{number}", "1")


async def test_templates_are_the_marketplaces_or_a_sellers_own(relay: Relay) -> None:
    shop, sol = Client(relay, new_key(relay)), Client(relay, new_key(relay, "sol", SELLER_SCOPES, "S1"))
    body = {"subject": "Su pedido {order}", "text": "Hola, {buyer}:\n\nGracias.\n{seller}\n"}
    assert shop("PUT", "/templates/gracias", body).json["seller"] is None
    assert sol("GET", "/templates/gracias").json["subject"] == "Su pedido {order}"
    assert sol("PUT", "/templates/gracias", body | {"subject": "¡Gracias!"}).json["seller"] == "S1"
    assert sol("GET", "/templates/gracias").json["subject"] == "¡Gracias!"
    assert shop("GET", "/templates/gracias").json["subject"] == "Su pedido {order}"
    assert len(sol("GET", "/templates").json["items"]) == len(relay.json("template", "list", "--seller", "S1")) == 2
    filled = shop("GET", f"/templates/gracias/filled?order={ORDER}").json
    assert filled == {"subject": f"Su pedido {ORDER}", "text": "Hola, Ana López:\n\nGracias.\nTienda Sol\n"}
    assert sol("DELETE", "/templates/gracias").status == 204
    assert sol("DELETE", "/templates/gracias").status == 404  # what is left is the marketplace's
    assert sol("GET", "/templates/gracias").status == 200
    assert sol("PUT", "/templates/x", {"subject": "{address}", "text": "x"}).status == 422
    relay.run("template", "set", "adios", "--subject", "Adiós", "--text", "Adiós, {buyer}")
    assert "Adiós, Ana López" in relay.run("template", "show", "adios", "--order", ORDER)
    relay.run("template", "remove", "adios")
