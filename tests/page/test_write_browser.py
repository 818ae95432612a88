"""Writing on the page in a real browser: to the buyer's own mailbox, with uploads, without scripts, by keyboard."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, TypeVar

import pytest
from browser import LOOKS, SIZES, chromium, tab
from filemaker import pdf, png
from playwright.sync_api import Browser, FilePayload, Page, expect
from shop import Shop, open_shop
from support import BUYER, ORDER, SELLER

from relay.demo.outside import OutsideServer

T = TypeVar("T")


@dataclass
class Outside:
    """The buyer's mail server, on a loop of its own: Playwright has this thread's."""

    loop: asyncio.AbstractEventLoop
    server: OutsideServer
    port: int = 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)

    def mail(self, subject: str) -> tuple[EmailMessage, bytes]:
        """The message to the buyer with that subject, once it has arrived."""
        count = 1
        while True:
            arrived = self.run(self.server.wait_for(count, BUYER))
            for one in arrived:
                mail = message_from_bytes(one.raw, policy=policy.default)
                assert isinstance(mail, EmailMessage)
                if mail["Subject"] == subject:
                    return mail, one.raw
            count = len(arrived) + 1


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def outside() -> Iterator[Outside]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    one = Outside(loop, OutsideServer())
    one.port = one.run(one.server.start())
    yield one
    one.run(one.server.stop())
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture(scope="module")
def shop(outside: Outside, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop"), outbound={"route": f"smtp://127.0.0.1:{outside.port}"}) as shop:
        yield shop


def payload(name: str, type_: str, data: bytes) -> FilePayload:
    return {"name": name, "mimeType": type_, "buffer": data}


def fill(page: Page, subject: str, text: str) -> None:
    page.check("input[value=own]")
    page.fill("#subject", subject)
    page.fill("#text", text)


def test_from_the_order_to_the_buyers_mailbox(shop: Shop, outside: Outside, browser: Browser) -> None:
    with tab(browser, shop) as one:
        page = one.log_in("sol")
        page.click("text=Escribir")
        page.fill("#order", ORDER)
        page.press("#order", "Enter")
        expect(page.locator("h1")).to_have_text("Escribir a Ana López")
        expect(page.locator("#subject")).to_be_hidden()
        fill(page, "Su silla", f"Hola, Ana.\nMi correo es {SELLER}.")
        page.set_input_files("#attach", [payload("foto.png", "image/png", png()), payload("plano.pdf", "application/pdf", pdf())])
        expect(page.locator("[data-drop]")).to_have_count(2)
        page.locator("[data-drop]").nth(1).click()
        expect(page.locator("[data-drop]")).to_have_count(1)
        page.click(".actions >> text=Vista previa")
        letter = page.locator(".as-read")
        expect(letter).to_be_focused()
        expect(letter).to_contain_text("foto.png")
        expect(letter).not_to_contain_text(SELLER)
        letter.locator("text=Enviar").click()
        expect(page.locator("article")).to_contain_text("Hola, Ana.")
    mail, raw = outside.mail("Su silla")
    assert str(mail["From"]).startswith("Tienda Sol <")
    assert [part.get_filename() for part in mail.iter_attachments()] == ["foto.png"]
    assert SELLER.encode() not in raw


def test_a_bad_file_is_named_and_nothing_is_lost(shop: Shop, browser: Browser) -> None:
    with tab(browser, shop) as one:
        page = one.log_in("sol")
        one.go(f"/write?order={ORDER}")
        fill(page, "Programa", "Aquí está.")
        page.set_input_files("#attach", [payload("virus.exe", "application/x-msdownload", b"MZ" + bytes(500))])
        expect(page.locator("#file-list [role=alert]")).to_contain_text("virus.exe")
        page.set_input_files("#attach", [payload("grande.txt", "text/plain", b"x" * (10 * 1024 * 1024 + 1))])
        expect(page.locator(".draft-bad")).to_have_text("grande.txt: Los archivos suman como máximo 10 MB.")
        expect(page.locator("#text")).to_have_value("Aquí está.")
        page.check("input[value=delivery]")
        expect(page.locator(".critical-note")).to_be_visible()
        page.fill("#text", "x" * 1001)
        expect(page.locator("#count")).to_contain_text("1001")
        page.click("form .actions >> text=Enviar")
        expect(page.locator(".notice.bad")).to_be_focused()
        expect(page.locator("#text")).to_have_value("x" * 1001)
        one.problems = [said for said in one.problems if "422" not in said]


def test_pressed_twice_it_is_sent_once(shop: Shop, browser: Browser) -> None:
    with tab(browser, shop) as one:
        page = one.log_in("sol")
        one.go(f"/write?order={ORDER}")
        fill(page, "Una sola vez", "Hola.")
        page.locator("form .actions >> text=Enviar").dblclick()
        page.wait_for_url("**/messages/*")
    assert len([told for told in shop.all() if told["subject"] == "Una sola vez"]) == 1


def test_an_answer_without_scripts(shop: Shop, outside: Outside, browser: Browser) -> None:
    shop.write(BUYER, "¿Cuándo llega?")
    with tab(browser, shop, scripts=False) as one:
        page = one.log_in("sol")
        one.go(f"/orders/{ORDER}")
        page.click("text=Responder")
        page.fill("#text", "Mañana.")
        page.set_input_files("#attach", [payload("foto.png", "image/png", png())])
        page.click("form .actions >> text=Vista previa")
        expect(page.locator(".as-read")).to_contain_text("foto.png")
        page.click(".as-read >> text=Enviar")
        page.wait_for_url("**/messages/*")
    mail, _ = outside.mail("Re: ¿Cuándo llega?")
    assert mail["In-Reply-To"]
    assert len(list(mail.iter_attachments())) == 1


def test_a_template_by_keyboard_alone(shop: Shop, browser: Browser) -> None:
    with tab(browser, shop, language="en") as one:
        page = one.log_in("sol")
        one.go("/templates/edit")
        page.focus("#title")
        for typed in ("On its way", "Order {order}", "Hello "):
            page.keyboard.type(typed)
            page.keyboard.press("Tab")
        page.locator("[data-insert='{buyer}']").focus()
        page.keyboard.press("Enter")
        page.focus("#title")
        page.keyboard.press("Enter")
        expect(page.locator(".rows")).to_contain_text("On its way")
        page.click(".rows >> text=On its way")
        expect(page.locator("#text")).to_have_value("Hello {buyer}")


VIEWS = {"choose": "/write", "write": f"/write?order={ORDER}", "templates": "/templates", "template": "/templates/edit",
         "response": "/settings", "addresses": "/settings/addresses", "blocked": "/settings/blocked",
         "password": "/settings/password", "sessions": "/sessions", "thread": f"/orders/{ORDER}"}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("scheme", "language"), LOOKS)
def test_every_view_is_accessible_and_fits(shop: Shop, browser: Browser, size: str, scheme: str, language: str) -> None:
    with tab(browser, shop, size=size, scheme=scheme, language=language) as one:  # type: ignore[arg-type]
        page = one.log_in("sol")

        def look(name: str) -> None:
            assert not one.violations(), name
            assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), name
            one.shot(f"{name}-{size}-{scheme}-{language}")

        for name, path in VIEWS.items():
            one.go(path)
            look(name)
        one.go(f"/write?order={ORDER}")
        page.check("input[value=address]")
        page.fill("#text", "Hola, Ana:\n\n¿cuál es el piso?")
        page.set_input_files("#attach", [payload("foto.png", "image/png", png()), payload("a.exe", "", b"MZ")])
        expect(page.locator(".draft-bad")).to_have_count(1)
        look("write-filled")
        page.click("form .actions button:not(.primary)")
        expect(page.locator(".as-read")).to_be_focused()
        look("write-preview")
        page.fill("#text", " ")
        page.click("form .actions .primary")
        expect(page.locator(".notice.bad")).to_be_focused()
        look("write-missing")
        one.problems = [said for said in one.problems if "422" not in said]
