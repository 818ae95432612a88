"""The list: what waits first, every filter, search by order number only, page by page, and live."""

from __future__ import annotations

import pytest
from bs4 import BeautifulSoup
from pages import Page
from shop import LATE_ORDER, OTHER_BUYER, OTHER_ORDER, Shop
from support import BUYER, ORDER, SELLER


@pytest.fixture(scope="module")
def full(shop: Shop) -> Shop:
    """Ana waits, Eva waits for the other seller, and one of Sol's own messages was refused, one sent."""
    shop.write(BUYER, "Sigo esperando", order=LATE_ORDER)
    shop.write(SELLER, "Enviado ayer")
    shop.write(BUYER, "¿Dónde <b>está</b>?")
    shop.write(SELLER, "Programa", "MZ", code=550, Content_Disposition="attachment; filename=a.exe")
    shop.write(OTHER_BUYER, "Secreto de Luna", order=OTHER_ORDER)
    with shop.opened.transaction() as db:
        db.execute("UPDATE message SET received_at = received_at - 90000 WHERE id = 1")
    return shop


def rows(page: Page, path: str) -> list[str]:
    return [" ".join(row.get_text(" ").split()) for row in page.soup(path).select("#list .row")]


def test_what_has_waited_longest_comes_first(full: Shop) -> None:
    page = Page(full, "sol")
    first, second = rows(page, "/messages")
    assert "Sigo esperando" in first
    assert "espera desde hace 25 horas" in first
    assert "¿Dónde <b>está</b>?" in second
    assert "quedan 24 horas" in second
    soup = BeautifulSoup(page.get("/messages").text, "lxml")
    assert soup.select_one(".filters [aria-current]").get_text(" ", strip=True) == "Por responder 2"
    assert "Un mensaje espera desde hace más de 24 horas." in soup.get_text()
    assert [rows(Page(full, "luna"), "/messages")[0].count(word) for word in ("Secreto de Luna", "Eva Ruiz")] == [1, 1]


@pytest.mark.parametrize(("chosen", "found"), [
    ("all", ["Programa", "Sigo esperando"]), ("sent", ["Enviado ayer"]), ("refused", ["Programa"]), ("held", []),
    ("failed", []), ("reported", []), ("needs-reply", ["Sigo esperando", "Dónde"])])
def test_filters(full: Shop, chosen: str, found: list[str]) -> None:
    shown = rows(Page(full, "sol"), f"/messages?filter={chosen}")
    assert [word for word, row in zip(found, shown, strict=True) if word in row] == found


def test_a_moderator_sees_everybodys_and_begins_with_reports(full: Shop) -> None:
    page = Page(full, "mod")
    assert rows(page, "/messages") == []
    everything = " ".join(rows(page, "/messages?filter=all"))
    assert "Secreto de Luna" in everything
    assert "Bazar Luna" in everything
    assert Page(full, "ops").get("/messages").status_code == 404


def test_only_order_numbers_are_found(full: Shop) -> None:
    page = Page(full, "sol")
    for wanted in (ORDER, f"  {ORDER} "):
        assert page.client.get("/messages", params={"order": wanted}).headers["location"] == f"/orders/{ORDER}"
    for wanted in ("Enviado ayer", "Ana", "nada", OTHER_ORDER, "%", ORDER[:-1], "'; DROP TABLE message; --", "../x"):
        answer = page.client.get("/messages", params={"order": wanted})
        assert answer.status_code == 404
        assert "Usted no tiene ningún pedido" in answer.text
    assert page.client.get("/messages", params={"order": ""}).status_code == 200


@pytest.mark.parametrize("query", ["filter=nothing", "filter=", "cursor=x", "filter=all&cursor=" + "0" * 39, "order=" + "x" * 300,
                                   "filter=all%00"])
def test_odd_queries_are_said_in_words(full: Shop, query: str) -> None:
    answer = Page(full, "sol").get(f"/messages?{query}")
    assert answer.status_code in (404, 422)
    assert "<h1>" in answer.text


def test_a_refresh_that_has_nothing_new_is_empty(full: Shop) -> None:
    page = Page(full, "sol")
    ask = page.soup("/messages?filter=sent").select_one("#list")["hx-get"]
    assert page.get(ask).status_code == 204
    full.write(SELLER, "Uno más")
    news = page.get(ask)
    assert news.status_code == 200
    assert "Uno más" in news.text
    assert "<html" not in news.text
    assert page.get(BeautifulSoup(news.text, "lxml").select_one("#list")["hx-get"]).status_code == 204


def test_long_lists_go_on(full: Shop) -> None:
    for number in range(31):
        full.write(SELLER, f"Largo {number}")
    page = Page(full, "sol")
    soup = page.soup("/messages?filter=sent")
    assert len(soup.select("#list .row")) == 30
    older = page.soup(soup.select_one(".more a")["href"])
    assert not older.select_one("#list").has_attr("hx-get")
    texts = [row.get_text() for row in [*soup.select("#list .row"), *older.select("#list .row")]]
    assert len(texts) == len(set(texts)) >= 33
    assert len(rows(page, "/messages?filter=all")) == 2
