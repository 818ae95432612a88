"""A correspondence as a thread: what each message shows, who may see it, what is said of it, and what comes later."""

from __future__ import annotations

import time

import pytest
from bs4 import BeautifulSoup, Tag
from pages import PHOTO, Page, buyers_mail
from shop import OTHER_BUYER, OTHER_ORDER, Shop
from support import BUYER, ORDER, SELLER

from relay.ledger.erase import Erase
from relay.ledger.marks import Marks


@pytest.fixture(scope="module")
def told(shop: Shop) -> Shop:
    """Sol wrote, Ana answered late and with files, and Sol's next message was refused."""
    shop.write(SELLER, "Ha salido", "Hola, Ana.\n")
    to = shop.alias("seller")
    assert shop.send_now(BUYER, to, buyers_mail(to, ago_s=4000))[0] == 250
    shop.write(SELLER, "Programa", "MZ", code=550, Content_Disposition="attachment; filename=a.exe")
    return shop


@pytest.fixture(scope="module")
def ids(told: Shop) -> dict[str, str]:
    return {subject: told.id_of(subject) for subject in ("Ha salido", "Está roto", "Programa")}


def article(page: Page, path: str, id_: str) -> Tag:
    found = page.soup(path).find(id=f"m-{id_}")
    assert isinstance(found, Tag)
    return found


def words(tag: Tag) -> str:
    return " ".join(tag.get_text(" ").split())


def test_both_directions_in_order_with_their_times(told: Shop, ids: dict[str, str]) -> None:
    page = Page(told, "sol")
    soup = page.soup(f"/orders/{ORDER}")
    assert [one["id"] for one in soup.select("article")] == [f"m-{ids[s]}" for s in ("Ha salido", "Está roto", "Programa")]
    assert ["mine" in one["class"] for one in soup.select("article")] == [True, False, True]
    roto = words(soup.find(id=f"m-{ids['Está roto']}"))
    for said in ("Ana López", "Escrito:", "Llegó aquí:", "67 minutos de retraso", "por correo", "quedan 24 horas"):
        assert said in roto
    assert soup.select_one(".alias code").get_text() == told.alias("buyer")


def test_a_refusal_is_in_words_with_what_was_asked(told: Shop, ids: dict[str, str]) -> None:
    said = words(article(Page(told, "sol"), f"/messages/{ids['Programa']}", ids["Programa"]))
    assert "El archivo adjunto «a.exe» es de un tipo que no se acepta" in said
    assert "Rechazado" in said
    assert "Detenido por una regla: archivos adjuntos" in said
    assert "archivos adjuntos: rechazado" in said
    assert "no consultada" in said
    assert "MZ" not in said  # as it came, it may name real addresses


def test_attempts_and_replies_are_in_words(told: Shop, ids: dict[str, str]) -> None:
    page = Page(told, "sol")
    for _ in range(100):
        said = words(article(page, f"/messages/{ids['Ha salido']}", ids["Ha salido"]))
        if "Aún no recibido" in said:
            break
        time.sleep(0.1)
    assert "Revisado y aceptado" in said
    assert "Intento de entrega 1" in said
    assert "Aún no recibido: su servidor no contesta (4.4.1)" in said


def test_text_is_shown_without_quotes_and_without_the_footer(told: Shop, ids: dict[str, str]) -> None:
    page = Page(told, "sol")
    roto = article(page, f"/messages/{ids['Está roto']}", ids["Está roto"])
    assert roto.select_one(".said").get_text() == "Está roto."
    assert roto.select_one(".quote .said").get_text() == "El lunes escribió:\n> Hola\n> adiós"
    mine = article(page, f"/messages/{ids['Ha salido']}", ids["Ha salido"])
    assert mine.select_one(".said").get_text() == "Hola, Ana."
    whole = page.get(f"/orders/{ORDER}").text + page.get(f"/messages/{ids['Está roto']}/html").text
    addresses = {word for word in whole.replace('"', " ").replace("<", " ").replace(">", " ").split() if "@" in word}
    assert addresses == {told.alias("buyer")}  # no sealed action of the buyer's, no real address


def test_what_was_cleaned_is_said(told: Shop, ids: dict[str, str]) -> None:
    roto = article(Page(told, "sol", "en"), f"/messages/{ids['Está roto']}", ids["Está roto"])
    removed = [one.get_text() for one in roto.select(f"#cleaned-{ids['Está roto']} li")]
    assert "a script" in removed
    assert "a tracking pixel" in removed
    assert any("form" in one for one in removed)
    assert "Foto ñ.jpg: details about author, place or program" in removed


def test_html_stands_in_a_sandbox_with_its_own_images(told: Shop, ids: dict[str, str]) -> None:
    page = Page(told, "sol")
    frame = article(page, f"/messages/{ids['Está roto']}", ids["Está roto"]).select_one("iframe")
    assert frame["sandbox"] == []
    answer = page.get(frame["src"])
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'")
    assert "frame-ancestors 'self'" in policy
    assert "allow" not in policy
    assert answer.headers["x-frame-options"] == "SAMEORIGIN"
    assert "<b>roto</b>" in answer.text
    assert 'src="data:image/jpeg;base64,' in answer.text
    for bad in ("<script", "tracker.example", "<form", "<input", "cid:"):
        assert bad not in answer.text, bad
    assert page.get(f"/messages/{ids['Ha salido']}/html").status_code == 404


def test_files_are_previewed_and_saved(told: Shop, ids: dict[str, str]) -> None:
    page = Page(told, "sol")
    roto = article(page, f"/messages/{ids['Está roto']}", ids["Está roto"])
    file = next(one for one in roto.select(".file") if "Foto ñ.jpg" in one.get_text())
    shown = page.get(file.select_one("img")["src"])
    assert (shown.headers["content-type"], shown.headers["x-content-type-options"]) == ("image/jpeg", "nosniff")
    assert "sandbox" in shown.headers["content-security-policy"]
    saved = page.get(file.select_one(".file-name")["href"])
    assert saved.headers["content-type"] == "application/octet-stream"
    assert saved.headers["content-disposition"] == "attachment; filename=\"Foto _.jpg\"; filename*=UTF-8''Foto%20%C3%B1.jpg"
    assert saved.content[:3] == PHOTO[:3]
    assert page.get(f"/messages/{ids['Está roto']}/files/9").status_code == 404
    assert page.get(f"/messages/{ids['Está roto']}/files/0").status_code == 422
    assert page.get(f"/messages/{ids['Ha salido']}/images/1").status_code == 404


def test_an_order_without_messages_has_a_thread(told: Shop) -> None:
    soup = Page(told, "luna").soup(f"/orders/{OTHER_ORDER}")
    assert "Aún no hay mensajes" in soup.get_text()
    assert told.alias("buyer", OTHER_ORDER) in soup.get_text()


def test_nobody_elses_message_is_there(told: Shop, ids: dict[str, str]) -> None:
    stranger, ops, own = Page(told, "luna"), Page(told, "ops"), Page(told, "sol")
    one = ids["Está roto"]
    paths = [f"/orders/{ORDER}", f"/messages/{one}", f"/messages/{one}/open", f"/messages/{one}/news", f"/messages/{one}/html",
             f"/messages/{one}/images/1", f"/messages/{one}/files/1"]
    nowhere = stranger.get("/messages/0000000000000000")
    for path in paths:
        assert own.get(path).status_code == 200, path
        for page in (stranger, ops):
            answer = page.get(path)
            assert answer.status_code == 404, path
        assert stranger.get(path).text.replace(path, "") == nowhere.text.replace("/messages/0000000000000000", ""), path
    for page in (stranger, ops):
        for mark in ("answered", "no-answer-needed", "report"):
            assert page.post(f"/messages/{one}/mark", {"mark": mark}).status_code == 404
    assert told.told(one)["needs_reply"]


def test_a_moderator_sees_more_and_it_is_recorded(told: Shop, ids: dict[str, str]) -> None:
    page = Page(told, "mod")
    said = words(article(page, f"/messages/{ids['Programa']}", ids["Programa"]))
    assert "Tienda Sol" in said
    page.get(f"/messages/{ids['Está roto']}")
    assert not [one for one in told.told(ids["Está roto"])["events"] if one["name"] == "content-shown"], "nobody has asked"
    Marks(told.opened, "seller").report(ids["Está roto"])
    page.get(f"/messages/{ids['Está roto']}")
    shown = told.told(ids["Está roto"])["events"]
    assert {event["detail"] for event in shown if event["name"] == "content-shown"} == {"page mod"}
    assert "Se miró su contenido" in page.get(f"/messages/{ids['Está roto']}").text
    assert "Se miró su contenido" not in Page(told, "sol").get(f"/messages/{ids['Está roto']}").text
    assert page.post(f"/messages/{ids['Está roto']}/mark", {"mark": "answered"}).status_code == 404


def test_what_was_stopped_at_the_door_is_for_moderators(told: Shop) -> None:
    """An auto-reply is kept as it came, real address and all."""
    one = told.write(BUYER, "Fuera", f"Escriba a {BUYER}.\n", Auto_Submitted="auto-replied")
    assert "Su contenido no se conserva" in words(article(Page(told, "sol"), f"/messages/{one}", one))
    assert BUYER not in words(article(Page(told, "mod"), f"/messages/{one}", one))
    Marks(told.opened, "support").report(one)
    assert BUYER in words(article(Page(told, "mod"), f"/messages/{one}", one))


def test_news_come_message_by_message(told: Shop, ids: dict[str, str]) -> None:
    page = Page(told, "sol")
    poll = page.soup(f"/orders/{ORDER}").select_one("#news")["hx-get"]
    assert page.get(poll).status_code in (200, 204)  # an attempt may just have failed
    told.write(BUYER, "Otra cosa")
    news = BeautifulSoup(page.get(poll).text, "lxml")
    fresh = news.select_one("[hx-swap-oob='beforeend:#thread'] article")
    assert "Otra cosa" in fresh.get_text()
    changed = {one["id"] for one in news.select("article[hx-swap-oob='true']")}
    assert f"m-{ids['Está roto']}" in changed  # it does not wait any more: the newer one does
    assert f"m-{ids['Programa']}" not in changed
    assert "Hay algo nuevo" in news.select_one("#news").get_text()


def test_marks(told: Shop) -> None:
    page = Page(told, "sol")
    for mark in ("answered", "no-answer-needed"):
        one = told.write(BUYER, f"Para {mark}")
        answer = page.post(f"/messages/{one}/mark", {"mark": mark})
        assert answer.headers["location"] == f"/messages/{one}#m-{one}"
        assert not told.told(one)["needs_reply"]
    assert page.post(f"/messages/{one}/mark", {"mark": "report"}).status_code == 303
    assert told.told(one)["reported"]
    assert "Denunciado" in words(article(page, f"/messages/{one}", one))
    assert page.post(f"/messages/{one}/mark", {"mark": "delete"}).status_code == 422
    mine = told.id_of("Ha salido")
    assert page.post(f"/messages/{mine}/mark", {"mark": "report"}).status_code == 409


def test_old_messages_are_reached(told: Shop) -> None:
    for number in range(22):
        told.write(SELLER, f"Serie {number}")
    page, first = Page(told, "sol"), told.id_of("Ha salido")
    newest = page.soup(f"/orders/{ORDER}")
    assert len(newest.select("article")) == 20
    assert newest.find(id="news")
    shut = newest.select_one("article.shut a")
    assert "Hola" not in newest.select_one("article.shut").get_text()
    assert "Buenos días." in page.get(shut["hx-get"]).text
    assert page.soup(newest.select_one(".more a")["href"]).find(id=f"m-{first}")
    found = page.soup(f"/messages/{first}")
    assert found.find(id=f"m-{first}")
    assert not found.find(id="news")
    assert page.soup(found.select(".more a")[-1]["href"]).find(id=f"m-{told.id_of('Serie 21')}")


def test_an_erased_party_leaves_a_thread_without_words_and_no_way_in(told: Shop) -> None:
    id_ = told.write(OTHER_BUYER, "Recado de Eva", order=OTHER_ORDER)
    page = Page(told, "luna")
    assert "Recado de Eva" in page.get(f"/messages/{id_}").text
    Erase(told.opened).erase("buyer:B2")
    for path in (f"/messages/{id_}", "/messages?filter=all", f"/orders/{OTHER_ORDER}"):
        answer = page.get(path)
        assert answer.status_code == 200
        assert "Recado" not in answer.text
        assert "Eva Ruiz" not in answer.text
    assert page.get(f"/messages/{id_}/html").status_code == 404
    Erase(told.opened).erase("seller:S2")
    assert page.get("/messages").headers["location"].startswith("/login")
    assert Page(told).log_in("luna").status_code == 403
