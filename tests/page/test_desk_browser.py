"""Buyers' links, moderators and operators in a real browser: accessible, on a phone, by keyboard, without scripts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browser import LOOKS, SIZES, chromium, tab
from playwright.sync_api import Browser, expect
from shop import Shop
from support import BUYER, SELLER

from aliasing.token import Action, OpenedAction, Role
from relay.ledger.listing import Listing
from relay.ledger.marks import Marks
from relay.ledger.operate import Chosen, Operate

NAMES = {Action.REPORT: "Oferta", Action.STOP_SELLER: "Oferta", Action.STOP_ALL: "Oferta", Action.NO_ANSWER: "Pregunta"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def desk(shop: Shop) -> Shop:
    """One message is reported, one held, one more waits; a buyer has asked something."""
    for subject in ("Oferta", "Retenido", "Otro"):
        shop.write(SELLER, subject, "Pague por fuera.\n")
    shop.write(BUYER, "Pregunta")
    Marks(shop.opened, "buyer").report(shop.id_of("Oferta"))
    held = [one["id"] for one in Listing(shop.opened).queue() if one["message"] == shop.id_of("Retenido")]
    assert sum(count for _, count in Operate(shop.opened, "ops").change("hold", Chosen.by(held, None, everything=False))) == 1
    return shop


def link(shop: Shop, action: Action) -> str:
    actor = Role.SELLER if action is Action.NO_ANSWER else Role.BUYER
    number = shop.opened.keys.ring.open(Role.BUYER, "relay.example", shop.alias("buyer").partition("@")[0])
    assert number is not None
    return "/sealed/" + shop.opened.keys.ring.seal_link(OpenedAction(action, actor, number, shop.id_of(NAMES[action])), 1)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("scheme", "language"), LOOKS)
def test_every_view_is_accessible_and_fits(desk: Shop, browser: Browser, size: str, scheme: str, language: str) -> None:
    views: dict[str | None, dict[str, str]] = {
        None: {f"link-{action}": link(desk, action) for action in NAMES},
        "mod": {"reports": "/reports", "held": "/held", "blocked": "/blocked", "report": f"/moderation/{desk.id_of('Oferta')}",
                "hold": f"/moderation/{desk.id_of('Retenido')}"},
        "ops": {"queue": "/queue", "destination": "/queue?destination=correo.example", "throughput": "/throughput",
                "day": "/throughput?span=day", "health": "/health"}}
    for login, paths in views.items():
        with tab(browser, desk, size=size, scheme=scheme, language=language) as one:  # type: ignore[arg-type]
            if login:
                one.log_in(login)
            for name, path in paths.items():
                page = one.go(path)
                one.shot(f"{name}-{size}-{scheme}-{language}")
                page.evaluate("() => document.querySelectorAll('main details').forEach(one => { one.open = true; })")
                assert not one.violations(), name
                assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), name


def test_a_buyer_stops_and_resumes_without_scripts(desk: Shop, browser: Browser) -> None:
    with tab(browser, desk, scripts=False, language="en-GB") as one:
        page = one.go(link(desk, Action.STOP_SELLER))
        expect(page.locator("h1")).to_contain_text("¿No recibir más")
        page.keyboard.press("Tab")  # skip, brand, then the one button
        page.locator("main button").focus()
        page.keyboard.press("Enter")
        expect(page.locator("[role=status]")).to_be_visible()
        expect(page.locator("h1")).to_contain_text("Hecho")
        page.click("text=Deshacer")
        expect(page.locator("h1")).to_contain_text("¿No recibir más")


def test_a_moderator_decides_by_keyboard(desk: Shop, browser: Browser) -> None:
    desk.write(SELLER, "Otra oferta")
    with tab(browser, desk) as one:
        page = one.log_in("mod")
        expect(page.locator("h1")).to_have_text("Mensajes denunciados")
        Marks(desk.opened, "buyer").report(desk.id_of("Otra oferta"))
        row = page.locator("#list .row", has_text="Otra oferta")
        expect(row).to_be_visible(timeout=15_000)  # it appears by itself
        row.focus()
        page.keyboard.press("Enter")
        page.locator("input[value=dismissed]").focus()
        page.keyboard.press("Space")
        page.keyboard.press("Tab")
        expect(page.locator("#reason")).to_be_focused()
        page.keyboard.type("No es nada")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.locator("[role=status]")).to_contain_text("Registrado.")
        expect(page.locator("#list .row", has_text="Otra oferta")).to_have_count(0)


def test_an_operator_holds_and_drops_without_scripts(desk: Shop, browser: Browser) -> None:
    with tab(browser, desk, scripts=False) as one:
        page = one.log_in("ops")
        page.locator("input[name=id]").last.check()
        page.click("button[value=hold]")
        expect(page.locator("[role=status]")).to_contain_text("Se ha cambiado 1 entrega")
        page.locator("input[name=id]").last.check()
        page.click("button[value=drop]")
        expect(page.locator("h1")).to_have_text("¿Descartar 1?")
        page.click("main a.button")
        expect(page.locator("h1")).to_have_text("Cola")
        page.locator("input[name=id]").last.check()
        page.click("button[value=drop]")
        page.click("button[value=yes]")
        expect(page.locator("[role=status]")).to_contain_text("Se ha cambiado 1 entrega")
