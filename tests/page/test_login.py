"""Who comes in, how long they stay, and in which language."""

from __future__ import annotations

import pytest
from pages import Page, new_login
from shop import PASSWORD, Shop


def test_the_right_password_opens_and_everything_else_does_not(shop: Shop) -> None:
    page = Page(shop)
    away = page.get("/messages?filter=all")
    assert (away.status_code, away.headers["location"]) == (303, "/login?next=/messages%3Ffilter%3Dall")
    for login, password in (("sol", "otra contraseña"), ("nobody", PASSWORD), ("", ""), ("sol'--", PASSWORD)):
        refused = page.log_in(login, password)
        assert refused.status_code == 403
        assert "no corresponden" in refused.text
    answer = page.log_in("sol", then="/messages?filter=all")
    assert (answer.status_code, answer.headers["location"]) == (303, "/messages?filter=all")
    cookie = next(one for one in answer.headers.get_list("set-cookie") if "session" in one)
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert page.get("/").headers["location"] == "/messages"
    assert page.get("/login").status_code == 303


def test_a_buyers_login_is_not_for_the_page(shop: Shop) -> None:
    new_login(shop, "ana", "--party", "buyer:B1")
    assert Page(shop).log_in("ana").status_code == 403


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example/", "/\\evil.example", "javascript:alert(1)",
                                    "/a\r\nSet-Cookie: x=y", "evil.example"])
def test_login_leads_nowhere_else(shop: Shop, target: str) -> None:
    assert Page(shop).log_in("sol", then=target).headers["location"] == "/"


def test_logging_out_ends_the_session_on_the_server(shop: Shop) -> None:
    page, other = Page(shop, "sol"), Page(shop, "sol")
    kept = dict(page.client.cookies)
    assert page.post("/logout").headers["location"] == "/login"
    page.client.cookies.update(kept)
    assert page.get("/sessions").status_code == 303
    assert other.get("/sessions").status_code == 200
    third = Page(shop, "sol")
    assert third.post("/logout-everywhere").status_code == 303
    assert other.get("/sessions").status_code == third.get("/sessions").status_code == 303


def test_one_session_ends_another_of_its_own_login_only(shop: Shop) -> None:
    page, other, stranger = Page(shop, "sol"), Page(shop, "sol"), Page(shop, "luna")
    actions = [form["action"] for form in page.soup("/sessions").select("form[action^='/sessions/']")]
    assert actions
    for action in actions:
        stranger.post(action)
    assert other.get("/sessions").status_code == 200
    for action in actions:
        page.post(action)
    assert other.get("/sessions").status_code == 303
    assert page.get("/sessions").status_code == 200


def test_sessions_end_by_themselves_and_with_the_password(shop: Shop) -> None:
    page, idle, old = Page(shop, "luna"), Page(shop, "luna"), Page(shop, "luna")
    with shop.opened.transaction() as db:
        numbers = [row[0] for row in db.execute("SELECT id FROM page_session ORDER BY id DESC LIMIT 3")]
        db.execute("UPDATE page_session SET seen_at = seen_at - 43201 WHERE id = ?", (numbers[1],))
        db.execute("UPDATE page_session SET created_at = created_at - 604801 WHERE id = ?", (numbers[0],))
        db.execute("UPDATE login SET changed_at = 0")
    assert idle.get("/sessions").status_code == old.get("/sessions").status_code == 303
    assert page.get("/sessions").status_code == 200
    with shop.opened.transaction() as db:
        db.execute("UPDATE login SET changed_at = unixepoch() + 1 WHERE name = 'luna'")
    assert page.get("/sessions").status_code == 303
    with shop.opened.transaction() as db:
        db.execute("UPDATE login SET changed_at = 0")


def test_the_ledger_has_no_token(shop: Shop) -> None:
    page = Page(shop, "sol")
    token = page.client.cookies["tradepost-session"]
    assert token.encode() not in (shop.folder / "var/ledger.db").read_bytes()
    assert token.encode() not in (shop.folder / "var/ledger.db-wal").read_bytes()


def test_a_removed_login_is_out_at_once(shop: Shop) -> None:
    new_login(shop, "short", "--role", "operator")
    page = Page(shop, "short")
    shop.run("login", "remove", "short")
    assert page.get("/sessions").status_code == 303


def test_passwords_cannot_be_tried_for_ever(shop: Shop) -> None:
    new_login(shop, "target", "--role", "operator")
    page = Page(shop)
    page.get("/login")
    for _ in range(8):
        assert page.log_in("target", "wrong password").status_code == 403
    stopped = page.log_in("target")  # the right one now
    assert stopped.status_code == 429
    assert 0 < int(stopped.headers["retry-after"]) <= 60
    assert page.log_in("sol").status_code == 303


def test_the_language_is_the_browsers_until_one_is_chosen(shop: Shop) -> None:
    for asked, said in (("es-MX,es;q=0.9", "Iniciar sesión"), ("en-GB", "Log in"), ("de, en;q=0.5, es;q=0.4", "Log in"),
                        ("de;q=1, es;q=0.2", "Iniciar sesión"), ("", "Log in"), ("es;q=0", "Log in"), ("x" * 9000, "Log in")):
        assert f"<h1>{said}</h1>" in Page(shop, language=asked).get("/login").text, asked
    page = Page(shop, "sol", "en")
    assert page.post("/language", {"language": "es", "next": "/sessions"}).headers["location"] == "/sessions"
    assert "<h1>Sesiones abiertas</h1>" in page.get("/sessions").text
    page.post("/language", {"language": "../../etc"})
    assert "<h1>Sesiones abiertas</h1>" in page.get("/sessions").text
