"""The page in a real browser: from login to an answer that appears by itself, by keyboard, without scripts, on a phone."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from browser import LOOKS, SIZES, chromium, tab
from pages import buyers_mail
from playwright.sync_api import Browser, expect
from shop import OTHER_ORDER, PASSWORD, Shop
from support import BUYER, ORDER, SELLER


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def told(shop: Shop) -> Shop:
    """Sol wrote, and Ana answered with a photograph and with HTML that had to be cleaned."""
    shop.write(SELLER, "Ha salido", "Hola, Ana.\n")
    to = shop.alias("seller")
    assert shop.send_now(BUYER, to, buyers_mail(to))[0] == 250
    return shop


def test_from_login_to_a_message_that_appears_by_itself(told: Shop, browser: Browser) -> None:
    with tab(browser, told) as one:
        page = one.log_in("sol")
        expect(page.locator("#list .row")).to_have_count(1)
        expect(page.locator("#list .row .chip")).to_contain_text("quedan 24 horas")
        told.write(BUYER, "Otra pregunta")
        expect(page.locator("#list .row .subject")).to_have_text("Otra pregunta")  # the newest of this order waits
        page.click("#list .row")
        expect(page.locator("article")).to_have_count(3)
        preview = page.locator("article .preview img").first
        preview.scroll_into_view_if_needed()
        expect(preview).to_have_js_property("complete", True)
        assert preview.evaluate("image => image.naturalWidth") > 0
        page.locator("article.theirs .fold >> text=Qué pasó con él").first.click()
        told.write(BUYER, "Y otra más", "Aparece sola.\n")
        expect(page.locator("article")).to_have_count(4)
        expect(page.locator("article").last).to_contain_text("Aparece sola.")
        expect(page.locator("article.theirs").first.locator("details[id^=timeline]")).to_have_attribute("open", "")
        page.locator("article").last.locator("text=No necesita respuesta").click()
        expect(page.locator("article").last.locator(".ring")).to_have_count(0)
        page.click("text=← Mensajes")
        expect(page.locator(".empty-title")).to_have_text("Todo está respondido")


def test_html_of_others_runs_nothing_and_reaches_nothing(told: Shop, browser: Browser) -> None:
    with tab(browser, told) as one:
        page = one.log_in("sol")
        one.go(f"/orders/{ORDER}")
        page.locator("details.formatted").first.locator("summary").click()
        frame = page.frame_locator("iframe").first
        expect(frame.locator("b")).to_have_text("roto")
        expect(frame.locator("img")).to_have_js_property("complete", True)
        inner = next(one for one in page.frames if one.url.endswith("/html"))
        assert inner.evaluate("() => window.origin") == "null"
        assert page.evaluate("() => document.querySelector('iframe').contentDocument") is None


def test_the_keyboard_is_enough(told: Shop, browser: Browser) -> None:
    with tab(browser, told) as one:
        page = one.go("/login")
        page.keyboard.type("sol")
        page.keyboard.press("Tab")
        page.keyboard.type(PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url("**/messages")
        page.keyboard.press("Tab")
        expect(page.locator(".skip")).to_be_focused()
        expect(page.locator(".skip")).to_be_in_viewport()
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        expect(page.locator("#order")).to_be_focused()
        page.keyboard.type(ORDER)
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/orders/{ORDER}")
        page.locator(".account summary").focus()
        page.keyboard.press("Enter")
        expect(page.locator(".account-menu")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator(".account-menu")).to_be_hidden()
        expect(page.locator(".account summary")).to_be_focused()


def test_it_can_be_read_without_scripts(told: Shop, browser: Browser) -> None:
    with tab(browser, told, scripts=False) as one:
        page = one.log_in("sol")
        page.click("text=Todos")
        page.click("#list .row")
        one.go(f"/messages/{told.id_of('Ha salido')}")
        expect(page.locator("article.focus")).to_contain_text("Hola, Ana.")
        page.click(".languages >> text=EN")
        expect(page.locator(".back")).to_have_text("← Messages")
        page.click(".account summary")
        page.click("text=Log out")
        expect(page.locator("h1")).to_have_text("Log in")


EVIL = ("<iframe src='{origin}/messages'></iframe><form method=post action='{origin}/messages/{id}/mark'>"
        "<input name=mark value=report><input name=token value=x></form>")


def test_another_site_can_neither_frame_nor_post(told: Shop, browser: Browser) -> None:
    with tab(browser, told) as one:
        page = one.log_in("sol")
        id_ = told.id_of("Está roto")
        page.context.route("http://evil.example/", lambda route: route.fulfill(
            body=EVIL.format(origin=one.origin, id=id_), content_type="text/html"))
        page.goto("http://evil.example/")
        page.wait_for_load_state("networkidle")
        assert "Mensajes" not in page.frames[1].content()
        page.evaluate("() => document.forms[0].submit()")
        page.wait_for_url(re.compile("/login|/mark"))
        assert not told.told(id_)["reported"]
        one.problems.clear()  # Chromium says that the frame was refused
        one.hosts.discard("evil.example")


VIEWS = {"login": "/login", "list": "/messages", "all": "/messages?filter=all", "none": "/messages?filter=failed",
         "thread": f"/orders/{ORDER}", "sessions": "/sessions", "missing": "/messages?order=123", "mistake": "/nothing"}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("scheme", "language"), LOOKS)
def test_every_view_is_accessible_and_fits(told: Shop, browser: Browser, size: str, scheme: str, language: str) -> None:
    with tab(browser, told, size=size, scheme=scheme, language=language) as one:  # type: ignore[arg-type]
        for name, path in VIEWS.items():
            page = one.go(path)
            if name == "thread":
                page.evaluate("() => document.querySelectorAll('main details').forEach(one => { one.open = true; })")
            assert not one.violations(), name
            assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), name
            one.shot(f"{name}-{size}-{scheme}-{language}")
            if name == "login":
                one.log_in("sol")
        one.problems = [said for said in one.problems if "404" not in said]


def test_a_moderator_and_another_seller_have_their_own(told: Shop, browser: Browser) -> None:
    with tab(browser, told, language="en") as one:
        page = one.log_in("mod")
        expect(page.locator("h1")).to_have_text("Reported messages")
        one.go(f"/orders/{ORDER}")
        expect(page.locator("article").first).to_contain_text("Tienda Sol")
        one.shot("thread-moderator")
    with tab(browser, told) as one:
        page = one.log_in("luna")
        one.go(f"/orders/{OTHER_ORDER}")
        expect(page.locator(".alias")).to_be_visible()
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.click(".alias summary")
        page.click("[data-copy]")
        expect(page.locator("[data-copy]")).to_have_text("Copiado")
        assert page.evaluate("() => navigator.clipboard.readText()") == told.alias("buyer", OTHER_ORDER)
