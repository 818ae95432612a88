"""A seller's settings: addresses, blocked buyers, password, how soon they answer."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator

import pytest
from bs4 import BeautifulSoup
from pages import Page, new_login
from pysqlite3 import dbapi2 as sqlite
from shop import OTHER_ORDER, PASSWORD, Shop
from support import BUYER, ORDER, SELLER, message

from relay.ledger.opened import SQL

NEW = "almacen@tienda.example"


def rows(page: Page, path: str = "/settings/addresses") -> dict[str, list[str]]:
    """Address -> its chips."""
    return {str(row.strong.string): [chip.get_text() for chip in row.select(".chip")]  # type: ignore[union-attr]
            for row in page.soup(path).select("li.row")}


def act(page: Page, address: str, do: str) -> int:
    row = next(one for one in page.soup("/settings/addresses").select("li.row") if one.strong.string == address)  # type: ignore[union-attr]
    return page.post(str(row.form["action"]), {"do": do}).status_code  # type: ignore[index]


def writes(shop: Shop, address: str) -> int:
    to = shop.alias("buyer")
    return shop.send_now(address, to, message(address, to, f"De {time.monotonic_ns()}"))[0]


def test_a_new_address_waits_for_the_marketplace(shop: Shop) -> None:
    page = Page(shop, "sol")
    assert rows(page) == {SELLER: ["Registrada", "Puede escribir"]}
    assert page.post("/settings/addresses", {"address": f" {NEW} "}).status_code == 303
    assert rows(page)[NEW] == ["A la espera del mercado"]
    assert writes(shop, NEW) == 550
    assert [one["party"] for one in shop.json("address", "waiting")] == ["seller:S1"]
    assert [one["state"] for one in shop.json("address", "reveal", "S1")] == ["authorised", "asked"]
    shop.run("address", "authorise", "S1", NEW)
    assert rows(page)[NEW] == ["Puede escribir"]
    assert not shop.json("address", "waiting")
    assert writes(shop, NEW) == 250


def test_what_one_has_is_blocked_unblocked_and_removed(shop: Shop) -> None:
    page = Page(shop, "sol")
    shop.run("address", "authorise", "S1", NEW)
    assert act(page, NEW, "block") == 303
    assert rows(page)[NEW] == ["Bloqueada por usted"]
    assert writes(shop, NEW) == 550
    assert act(page, NEW, "unblock") == 303
    assert writes(shop, NEW) == 250
    shop.run("address", "block", "S1", NEW)
    assert rows(page)[NEW] == ["Bloqueada por el mercado"]
    for do in ("unblock", "remove", "withdraw", "block"):
        assert act(page, NEW, do) == 404
    assert writes(shop, NEW) == 550
    shop.run("address", "authorise", "S1", NEW)
    assert act(page, NEW, "remove") == 303
    assert NEW not in rows(page)
    assert writes(shop, NEW) == 550
    assert act(page, SELLER, "remove") == 404
    page.post("/settings/addresses", {"address": NEW})
    assert rows(page)[NEW] == ["A la espera del mercado"]
    assert act(page, NEW, "withdraw") == 303
    assert not shop.json("address", "waiting")


@pytest.mark.parametrize(("address", "words"), [
    ("nada", "no es una dirección"), ("", "no es una dirección"), (SELLER, "ya está en la lista"),
    (SELLER.upper(), "ya está en la lista"), ('"><script>alert(1)</script>', "no es una dirección"),
    ("a@b.example\r\nBcc: x@y.example", "no es una dirección"),
])
def test_what_cannot_be_asked_for(shop: Shop, address: str, words: str) -> None:
    answer = Page(shop, "sol").post("/settings/addresses", {"address": address})
    assert answer.status_code == 422
    assert words in answer.text
    assert "<script>alert" not in answer.text


def test_not_everything_is_asked_for_at_once(shop: Shop) -> None:
    page = Page(shop, "sol")
    answers = [page.post("/settings/addresses", {"address": f"n{number}@tienda.example"}) for number in range(6)]
    assert [one.status_code for one in answers] == [303] * 5 + [422]
    assert "Ya hay 5 direcciones" in answers[-1].text
    for number in range(5):
        act(page, f"n{number}@tienda.example", "withdraw")


def test_nobody_sees_or_changes_anothers_addresses(shop: Shop) -> None:
    sol, luna = Page(shop, "sol"), Page(shop, "luna")
    sol.post("/settings/addresses", {"address": NEW})
    mine, asked = [str(form["action"]) for form in sol.soup("/settings/addresses").select("li.row form")]
    shown = luna.get("/settings/addresses").text
    assert SELLER not in shown
    assert NEW not in shown
    assert luna.post(asked, {"do": "withdraw"}).status_code == 404
    for do in ("block", "unblock", "remove", "withdraw"):
        assert luna.post(mine, {"do": do}).status_code == 404
    assert rows(sol) == {SELLER: ["Registrada", "Puede escribir"], NEW: ["A la espera del mercado"]}
    act(sol, NEW, "withdraw")


def test_buyers_are_blocked_by_order_and_unblocked(shop: Shop) -> None:
    page, to = Page(shop, "sol"), shop.alias("seller")
    assert page.post("/settings/blocked", {"order": f" {ORDER} "}).status_code == 303
    shown = page.soup("/settings/blocked")
    assert "Ana López" in shown.select_one("li.row").text  # type: ignore[union-attr]
    assert shop.send_now(BUYER, to, message(BUYER, to, "¿Hola?"))[0] == 550
    lift = str(shown.select_one("li.row form")["action"])  # type: ignore[index]
    assert Page(shop, "luna").post(lift).status_code == 404
    assert page.post(lift).status_code == 303
    assert shop.send_now(BUYER, to, message(BUYER, to, "¿Hola otra vez?"))[0] == 250
    assert page.post(lift).status_code == 404
    missing = page.post("/settings/blocked", {"order": OTHER_ORDER})
    assert missing.status_code == 404
    assert "Eva Ruiz" not in missing.text
    assert not [one for one in shop.json("block", "list") if one["scope"] == "seller"]


@pytest.fixture
def changed(shop: Shop) -> Iterator[str]:
    name = f"sol{time.monotonic_ns()}"  # tries are counted by name
    new_login(shop, name, "--party", "S1")
    yield name
    shop.run("login", "remove", name)


def change(page: Page, old: str = PASSWORD, new: str = "otra contraseña", again: str | None = None) -> tuple[int, str]:
    answer = page.post("/settings/password", {"old": old, "new": new, "again": new if again is None else again})
    found = BeautifulSoup(answer.text, "lxml").select_one(".problem, .notice")
    return answer.status_code, found.get_text() if found else ""


def test_a_password_is_changed_and_the_others_are_out(shop: Shop, changed: str) -> None:
    page, other = Page(shop, changed), Page(shop, changed)
    assert change(page)[0] == 200
    assert page.get("/settings/password").status_code == 200
    assert other.get("/settings/password").status_code == 303
    assert Page(shop).log_in(changed).status_code == 403
    assert Page(shop).log_in(changed, "otra contraseña").status_code == 303
    assert Page(shop, "sol").get("/sessions").status_code == 200
    assert page.post("/settings/blocked", {"order": "x"}).status_code == 404  # the new session's token is good


def test_a_password_is_not_changed_by_mistake(shop: Shop, changed: str) -> None:
    page, other = Page(shop, changed), Page(shop, changed)
    for words, code, answer in (
            ("no es su contraseña actual", 403, change(page, old="no es esta")),
            ("al menos 8", 422, change(page, new="corta")), ("es la actual", 422, change(page, new=PASSWORD)),
            ("No es igual", 422, change(page, again="otra contrasena")),
            ("en una línea", 422, change(page, new="con\nsalto de línea"))):
        assert (answer[0], words in answer[1]) == (code, True), answer
    assert other.get("/sessions").status_code == 200
    assert Page(shop).log_in(changed).status_code == 303


def test_the_old_password_cannot_be_tried_for_ever(shop: Shop, changed: str) -> None:
    page = Page(shop, changed)
    codes = [change(page, old=f"intento {number}")[0] for number in range(9)]
    assert codes == [403] * 8 + [429]
    assert change(page)[0] == 429


def test_moderators_have_a_password_and_nothing_of_sellers(shop: Shop) -> None:
    for login in ("mod", "ops"):
        page = Page(shop, login)
        assert page.get("/settings/password").status_code == 200
        assert page.get("/sessions").status_code == 200
        for path in ("/settings", "/settings/addresses", "/settings/blocked"):
            assert page.get(path).status_code == 404
        assert "/settings/addresses" not in page.get("/sessions").text


@contextlib.contextmanager
def ledger(shop: Shop) -> Iterator[sqlite.Connection]:
    db = sqlite.connect(shop.folder / "var/ledger.db", isolation_level=None)
    yield db
    db.close()


def figures(page: Page) -> dict[str, list[str]]:
    return {row.th.get_text(): [one.get_text() for one in row.select("td")]  # type: ignore[union-attr]
            for row in page.soup("/settings").select("tbody tr")}


def test_how_soon_a_seller_answers(shop: Shop) -> None:
    page, to_seller, to_buyer = Page(shop, "luna"), shop.alias("seller", OTHER_ORDER), shop.alias("buyer", OTHER_ORDER)
    buyer, seller, now = "eva.ruiz@correo.example", "luna@bazar.example", time.time()
    assert set(map(tuple, figures(page).values())) == {("–", "0", "0")}
    shop.send_now(buyer, to_seller, message(buyer, to_seller, "Una"))
    with ledger(shop) as db:  # as if it had come two hours ago
        db.execute("UPDATE message SET received_at = received_at - 7200 WHERE id = (SELECT max(id) FROM message)")
    assert shop.send_now(seller, to_buyer, message(seller, to_buyer, "Dos"))[0] == 250
    shop.send_now(seller, to_buyer, message(seller, to_buyer, "Y otra"))
    assert figures(page)["7 días"] == ["2 horas", "1", "0"]
    with ledger(shop) as db:
        number = db.execute("SELECT seller_id FROM answer").fetchone()[0]
        db.executemany("INSERT INTO answer VALUES (?, ?, ?, ?)", [
            (-1, number, now - 10 * 86400, now - 8 * 86400), (-2, number, now - 20 * 86400, now - 19.5 * 86400),
            (-3, number, now - 60 * 86400, now - 59.9 * 86400), (-4, number, now - 100 * 86400, now),
            (-5, number + 1000, now, now)])
    assert figures(page) == {"7 días": ["2 horas", "1", "0"], "30 días": ["12 horas", "2", "1"],
                             "90 días": ["12 horas", "3", "1"]}
    shop.send_now(buyer, to_seller, message(buyer, to_seller, "Tres"))
    assert figures(page)["7 días"] == ["2 horas", "1", "0"]
    with ledger(shop) as db:
        db.execute("UPDATE message SET received_at = ? WHERE id = (SELECT max(id) FROM message)", (now - 25 * 3600,))
    assert figures(page)["7 días"] == ["2 horas", "1", "1"]
    asked = shop.messages()[0]["id"]
    page.post(f"/messages/{asked}/mark", {"mark": "no-answer-needed"})
    assert figures(page)["7 días"] == ["2 horas", "1", "0"]
    bars = [str(one["width"]) for one in page.soup("/settings").select("rect.chart-bar")]
    assert bars == ["100%", "66%", "75%"]


def test_figures_are_found_by_an_index(shop: Shop) -> None:
    values = {"seller": 1, "since": 0.0, "target": 1.0, "half": 1, "late": 1.0}
    with ledger(shop) as db:
        for name in ("answer_counts", "answer_median", "unanswered_late"):
            plan = " ".join(row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {SQL[name]}", {
                key: value for key, value in values.items() if f":{key}" in SQL[name]}))
            assert not re.search(r"SCAN", plan), (name, plan)
            assert "seller" in plan, (name, plan)
