"""A seller's templates on the page."""

from __future__ import annotations

from typing import Any

import pytest
from bs4 import BeautifulSoup
from pages import Page
from support import ORDER, Relay

TITLE = "Próxima entrega"
FIELDS = {"title": TITLE, "subject": "Entrega de {order}", "text": "Hola, {buyer}:\r\nhasta mañana.\r\n{seller}"}


def own(shop: Relay, seller: str = "S1") -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in shop.json("template", "list", "--seller", seller) if one["seller"] == seller}


def test_one_is_made_changed_used_and_deleted(shop: Relay) -> None:
    page = Page(shop, "sol")
    assert page.post("/templates/edit", FIELDS).headers["location"] == "/templates"
    assert own(shop)["proxima-entrega"]["text"] == "Hola, {buyer}:\nhasta mañana.\n{seller}"
    assert "Proxima entrega" in page.get("/templates").text
    shown = page.soup("/templates/edit?name=proxima-entrega")
    assert shown.select_one("#subject")["value"] == FIELDS["subject"]  # type: ignore[index]
    changed = FIELDS | {"name": "proxima-entrega", "title": "Entrega", "subject": "Su entrega"}
    assert page.post("/templates/edit", changed).status_code == 303
    assert [(one["name"], one["subject"]) for one in own(shop).values()] == [("entrega", "Su entrega")]
    assert page.soup(f"/write?order={ORDER}").select("#template option[value=entrega]")
    assert page.post("/templates/delete", {"name": "entrega"}).status_code == 303
    assert not own(shop)


def test_preview_has_an_orders_values_and_saves_nothing(shop: Relay) -> None:
    page = Page(shop, "sol")
    answer = page.post("/templates/edit", FIELDS | {"do": "preview", "order": ORDER, "title": ""})
    shown = BeautifulSoup(answer.text, "lxml").select_one(".as-read")
    assert shown is not None
    assert f"Entrega de {ORDER}" in shown.text
    assert "Hola, Ana López:\nhasta mañana.\nTienda Sol" in shown.text
    assert not own(shop)
    other = page.post("/templates/edit", FIELDS | {"do": "preview", "order": "222-2222222-2222222"})
    assert other.status_code == 422
    assert "No tiene ese pedido" in other.text
    assert "Eva Ruiz" not in other.text


@pytest.mark.parametrize(("changed", "words"), [
    ({"title": "···"}, "Póngale un nombre"), ({"subject": ""}, "Hace falta un asunto"),
    ({"subject": "x" * 201}, "200 caracteres"), ({"text": " \n"}, "Hace falta un texto"),
    ({"text": "x" * 20_001}, "20.000"), ({"text": "Hola, {nombre}"}, "No existe el marcador {nombre}"),
])
def test_what_is_wrong_is_said_and_kept(shop: Relay, changed: dict[str, str], words: str) -> None:
    answer = Page(shop, "sol").post("/templates/edit", FIELDS | changed)
    shown = BeautifulSoup(answer.text, "lxml")
    assert answer.status_code == 422
    assert words in shown.text
    assert shown.select_one("#title")["value"] == (FIELDS | changed)["title"]  # type: ignore[index]
    assert not own(shop)


def test_none_is_written_over_by_mistake(shop: Relay) -> None:
    page = Page(shop, "sol")
    page.post("/templates/edit", FIELDS)
    page.post("/templates/edit", FIELDS | {"title": "Otra"})
    for name in ("", "otra"):
        answer = page.post("/templates/edit", FIELDS | {"name": name, "title": "PROXIMA ENTREGA", "subject": "Nuevo"})
        assert "Ya tiene una plantilla con ese nombre" in answer.text
    assert own(shop)["proxima-entrega"]["subject"] == FIELDS["subject"]
    for name in own(shop):
        page.post("/templates/delete", {"name": name})


def test_the_marketplaces_are_copied_not_changed(shop: Relay) -> None:
    shop.run("template", "set", "gracias", "--subject", "Gracias", "--text", "Gracias, {buyer}.")
    page = Page(shop, "sol")
    assert page.get("/templates/edit?name=gracias").status_code == 404
    assert page.post("/templates/delete", {"name": "gracias"}).status_code == 404
    assert page.post("/templates/edit", FIELDS | {"name": "gracias"}).status_code == 404
    assert page.soup("/templates/edit?copy=gracias").select_one("#text").text.strip() == "Gracias, {buyer}."  # type: ignore[union-attr]
    page.post("/templates/edit", {"title": "Gracias", "subject": "Gracias", "text": "De Sol"})
    assert own(shop)["gracias"]["text"] == "De Sol"
    assert shop.json("template", "show", "gracias")[0]["text"] == "Gracias, {buyer}."
    page.post("/templates/delete", {"name": "gracias"})


def test_another_sellers_are_not_there(shop: Relay) -> None:
    luna, sol = Page(shop, "luna"), Page(shop, "sol")
    luna.post("/templates/edit", FIELDS | {"title": "De Luna", "subject": "Luna"})
    assert "Luna" not in sol.get("/templates").text
    for answer in (sol.get("/templates/edit?name=de-luna"), sol.get("/templates/edit?copy=de-luna"),
                   sol.post("/templates/delete", {"name": "de-luna"}),
                   sol.post("/templates/edit", FIELDS | {"name": "de-luna"}),
                   Page(shop, "mod").get("/templates"), Page(shop, "ops").get("/templates/edit")):
        assert answer.status_code == 404
    assert own(shop, "S2")["de-luna"]["subject"] == "Luna"


def test_names_are_shown_as_text(shop: Relay) -> None:
    page = Page(shop, "sol")
    page.post("/templates/edit", FIELDS | {"title": "x", "subject": "<script>alert(1)</script>", "text": "</textarea>"})
    for path in ("/templates", "/templates/edit?name=x"):
        assert "<script>alert" not in page.get(path).text
    assert page.soup("/templates/edit?name=x").select_one("#text").text.strip() == "</textarea>"  # type: ignore[union-attr]
