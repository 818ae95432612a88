"""Parties, addresses, blocks; and that another seller's data is not there."""

from __future__ import annotations

from typing import Any

from house import House, World
from support import message


async def test_an_address_is_authorised_blocked_and_removed(met: World) -> None:
    call, alias, second, own = met.shop, met.to_buyer, f"ventas{met.number}@tienda.example", f"/parties/seller/{met.seller_id}"
    for state, code in (("authorised", 250), ("blocked", 550), ("removed", 550)):
        found = call("POST", f"{own}/addresses", {"address": second, "state": state})
        assert [one["state"] for one in found.json["addresses"]] == ["authorised", state]
        assert b"@" not in found.body
        assert (await met.relay.send(second, alias, message(second, alias, state)))[0] == code
    party = call("GET", own).json
    assert (party["name"], party["language"]) == ("Tienda Sol", "es")
    assert call("GET", f"/parties/buyer/{met.seller_id}").status == 404
    assert call("POST", f"{own}/addresses", {"address": met.seller, "state": "removed"}).status == 409
    assert call("POST", f"{own}/addresses", {"address": "no", "state": "removed"}).status == 422


async def test_blocks_hold_until_lifted(met: World) -> None:
    call = met.shop
    opt_out = {"scope": "buyer", "party": met.buyer_id, "kind": "unsolicited", "reason": "por teléfono"}
    made = call("POST", "/blocks", opt_out)
    assert (made.status, made.json["party"], made.json["value"]) == (201, met.buyer_id, None)
    assert call("POST", "/blocks", opt_out).json["id"] == made.json["id"]
    assert (await met.to_the_buyer())[0] == 550
    assert made.json["id"] in [one["id"] for one in call("GET", "/blocks").json["items"]]
    assert call("DELETE", f"/blocks/{made.json['id']}").status == 204
    assert call("DELETE", f"/blocks/{made.json['id']}").status == 404
    assert (await met.to_the_buyer("Otra vez"))[0] == 250
    for value in ("no network", "192.0.2.0/99"):
        assert call("POST", "/blocks", {"scope": "relay", "kind": "network", "value": value}).status == 422


async def test_another_sellers_data_is_not_there(house: House, met: World) -> None:
    """Every route of the document, with the key of one seller, against what belongs to another."""
    shop, other = met.shop, World(house).mint()
    stranger, sent = other.own(), shop("POST", "/messages", met.text).json["id"]
    await met.settle("delivered")
    assert shop("PUT", f"/templates/saludo?seller={met.seller_id}", {"subject": "Hola", "text": "Hola"}).status == 200
    block = {"scope": "seller", "party": met.seller_id, "kind": "counterpart", "value": met.buyer_id}
    table = tries(met, other, sent, shop("POST", "/blocks", block).json["id"])
    lists = {("GET", "/blocks"), ("GET", "/messages"), ("GET", "/orders"), ("GET", "/templates")}
    for_moderators = {("POST", "/messages/{id}/decision"), ("POST", "/parties/{side}/{id}/erase"),
                      ("POST", "/purge"), ("GET", "/webhooks"), ("POST", "/webhooks"), ("POST", "/webhooks/{id}/rotate"), ("DELETE", "/webhooks/{id}")}
    document = shop("GET", "/openapi.json").json
    routes = {(method.upper(), path.removeprefix("/api/v1")) for path, item in document["paths"].items() for method in item}
    assert routes == {(method, path) for method, path, _, _ in table} | lists | for_moderators
    looks = [f"/orders?seller={met.seller_id}", f"/messages?order={met.order}", "/blocks?limit=200", f"/orders/{met.order}",
             f"/parties/buyer/{met.buyer_id}", f"/templates?seller={met.seller_id}"]
    before = [shop("GET", look).json for look in looks]
    for method, path, there, body in table:
        answer = stranger(method, there, body)
        assert answer.status == 404, (method, path, there, answer.body)
    assert [shop("GET", look).json for look in looks] == before
    for _, path in sorted(lists):
        found = stranger("GET", path)
        assert found.status == 200
        assert not [word for word in (met.seller_id, met.buyer_id, met.order, sent) if f'"{word}"' in found.body.decode()]
    assert stranger("POST", f"/parties/seller/{met.seller_id}/erase").status == 403
    assert stranger("POST", f"/messages/{sent}/decision", {"decision": "upheld", "reason": "x"}).status == 403
    assert stranger("POST", "/purge").status == 403
    hook = {"url": "https://tienda2.example/"}
    for method, there in (("GET", ""), ("POST", ""), ("POST", "/1/rotate"), ("DELETE", "/1")):
        assert stranger(method, f"/webhooks{there}", hook if (method, there) == ("POST", "") else None).status == 403


def tries(met: World, other: World, sent: str, block: str) -> list[tuple[str, str, str, Any]]:
    """(method, the route's path, the path that is asked for, body)."""
    text, own, template = {"subject": "Hola", "text": "Hola"}, f"/messages/{sent}", f"/templates/saludo?seller={met.seller_id}"
    seller, buyer = f"/parties/seller/{met.seller_id}", f"/parties/buyer/{met.buyer_id}"
    address = {"address": "x@tienda2.example", "state": "authorised"}
    counterpart = {"scope": "seller", "kind": "counterpart", "value": met.buyer_id}
    return [
        ("POST", "/orders", "/orders", met.an_order), ("POST", "/orders", "/orders", met.parties | {"order": "N-1"}),
        ("POST", "/correspondences", "/correspondences", met.parties),
        ("GET", "/orders", f"/orders?seller={met.seller_id}", None),
        ("GET", "/orders/{order}", f"/orders/{met.order}", None),
        ("POST", "/orders/{order}/close", f"/orders/{met.order}/close", None),
        ("GET", "/messages", f"/messages?order={met.order}", None),
        ("POST", "/messages", "/messages", met.text), ("POST", "/messages", "/messages", text | {"alias": met.to_buyer}),
        ("POST", "/messages", "/messages", other.text | {"in_reply_to": sent}),
        *(("GET", f"/messages/{{id}}{what}", own + what, None) for what in ("", "/raw", "/content")),
        ("GET", "/messages/{id}/attachments/{number}", f"{own}/attachments/1", None),
        *(("POST", f"/messages/{{id}}/{what}", f"{own}/{what}", None) for what in ("answered", "no-answer-needed", "report")),
        ("GET", "/parties/{side}/{id}", seller, None), ("GET", "/parties/{side}/{id}", buyer, None),
        ("GET", "/parties/{side}/{id}", f"/parties/buyer/{other.buyer_id}", None),
        *(("POST", "/parties/{side}/{id}/addresses", f"{one}/addresses", address) for one in (seller, buyer)),
        *(("POST", "/blocks", "/blocks", counterpart | {"party": one.seller_id}) for one in (met, other)),
        ("POST", "/blocks", "/blocks", {"scope": "buyer", "party": met.buyer_id, "kind": "unsolicited"}),
        ("DELETE", "/blocks/{id}", f"/blocks/{block}", None), ("GET", "/templates", f"/templates?seller={met.seller_id}", None),
        *((method, "/templates/{name}", template, text) for method in ("GET", "PUT", "DELETE")),
        ("GET", "/templates/{name}/filled", f"/templates/saludo/filled?seller={met.seller_id}&order={met.order}", None),
    ]


def test_templates_are_the_marketplaces_or_a_sellers_own(met: World) -> None:
    relay, shop, sol, there = met.relay, met.shop, met.own(), f"/templates/gracias-{met.number}"
    body = {"subject": "Su pedido {order}", "text": "Hola, {buyer}:\n\nGracias.\n{seller}\n"}
    assert shop("PUT", there, body).json["seller"] is None
    assert sol("GET", there).json["subject"] == "Su pedido {order}"
    assert sol("PUT", there, body | {"subject": "¡Gracias!"}).json["seller"] == met.seller_id
    assert sol("GET", there).json["subject"] == "¡Gracias!"
    assert shop("GET", there).json["subject"] == "Su pedido {order}"
    mine = [one for one in sol("GET", "/templates").json["items"] if one["name"] == there.removeprefix("/templates/")]
    assert {one["seller"] for one in mine} == {None, met.seller_id}
    filled = shop("GET", f"{there}/filled?order={met.order}").json
    assert filled == {"subject": f"Su pedido {met.order}", "text": "Hola, Ana López:\n\nGracias.\nTienda Sol\n"}
    assert sol("DELETE", there).status == 204
    assert sol("DELETE", there).status == 404  # what is left is the marketplace's
    assert sol("GET", there).status == 200
    assert sol("PUT", "/templates/x", {"subject": "{address}", "text": "x"}).status == 422
    relay.run("template", "set", "adios", "--subject", "Adiós", "--text", "Adiós, {buyer}")
    assert "Adiós, Ana López" in relay.run("template", "show", "adios", "--order", met.order)
    relay.run("template", "remove", "adios")
