"""The list: what waits first, every filter, search by order number only, page by page, and live."""

from __future__ import annotations

import pytest
from bs4 import BeautifulSoup
from pages import LATE_ORDER, OTHER_ORDER, Page
from pysqlite3 import dbapi2 as sqlite
from support import BUYER, ORDER, SELLER, Relay, message


@pytest.fixture(scope="module")
def full(shop: Relay) -> Relay:
    """Ana waits, Eva waits for the other seller, and one of Sol's own messages was refused, one sent."""
    own, others, late = (shop.json("order", "show", number)[0] for number in (ORDER, OTHER_ORDER, LATE_ORDER))
    write = shop.send_now
    assert write(BUYER, late["seller"]["alias"], message(BUYER, late["seller"]["alias"], "Sigo esperando"))[0] == 250
    assert write(SELLER, own["buyer"]["alias"], message(SELLER, own["buyer"]["alias"], "Enviado ayer"))[0] == 250
    assert write(BUYER, own["seller"]["alias"], message(BUYER, own["seller"]["alias"], "¿Dónde <b>está</b>?"))[0] == 250
    program = message(SELLER, own["buyer"]["alias"], "Programa", "MZ", Content_Disposition="attachment; filename=a.exe")
    assert write(SELLER, own["buyer"]["alias"], program)[0] == 550
    assert write("eva.ruiz@correo.example", others["seller"]["alias"],
                 message("eva.ruiz@correo.example", others["seller"]["alias"], "Secreto de Luna"))[0] == 250
    with sqlite.connect(shop.folder / "var/ledger.db", isolation_level=None) as db:
        db.execute("UPDATE message SET received_at = received_at - 90000 WHERE id = 1")
    return shop


def rows(page: Page, path: str) -> list[str]:
    return [" ".join(row.get_text(" ").split()) for row in page.soup(path).select("#list .row")]


def test_what_has_waited_longest_comes_first(full: Relay) -> None:
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
def test_filters(full: Relay, chosen: str, found: list[str]) -> None:
    shown = rows(Page(full, "sol"), f"/messages?filter={chosen}")
    assert [word for word, row in zip(found, shown, strict=True) if word in row] == found


def test_a_moderator_sees_everybodys_and_begins_with_reports(full: Relay) -> None:
    page = Page(full, "mod")
    assert rows(page, "/messages") == []
    everything = " ".join(rows(page, "/messages?filter=all"))
    assert "Secreto de Luna" in everything
    assert "Bazar Luna" in everything
    assert Page(full, "ops").get("/messages").status_code == 404


def test_only_order_numbers_are_found(full: Relay) -> None:
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
def test_odd_queries_are_said_in_words(full: Relay, query: str) -> None:
    answer = Page(full, "sol").get(f"/messages?{query}")
    assert answer.status_code in (404, 422)
    assert "<h1>" in answer.text


def test_a_refresh_that_has_nothing_new_is_empty(full: Relay) -> None:
    page = Page(full, "sol")
    ask = page.soup("/messages?filter=sent").select_one("#list")["hx-get"]
    assert page.get(ask).status_code == 204
    alias = full.order()["buyer"]["alias"]
    assert full.send_now(SELLER, alias, message(SELLER, alias, "Uno más"))[0] == 250
    news = page.get(ask)
    assert news.status_code == 200
    assert "Uno más" in news.text
    assert "<html" not in news.text
    assert page.get(BeautifulSoup(news.text, "lxml").select_one("#list")["hx-get"]).status_code == 204


def test_long_lists_go_on(full: Relay) -> None:
    alias = full.order()["buyer"]["alias"]
    for number in range(31):
        assert full.send_now(SELLER, alias, message(SELLER, alias, f"Largo {number}"))[0] == 250
    page = Page(full, "sol")
    soup = page.soup("/messages?filter=sent")
    assert len(soup.select("#list .row")) == 30
    older = page.soup(soup.select_one(".more a")["href"])
    assert not older.select_one("#list").has_attr("hx-get")
    texts = [row.get_text() for row in [*soup.select("#list .row"), *older.select("#list .row")]]
    assert len(texts) == len(set(texts)) >= 33
    assert len(rows(page, "/messages?filter=all")) == 2
