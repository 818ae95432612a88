"""Redaction by itself: what must stay, what an operator can have taken out besides, and the relay's own links."""

from __future__ import annotations

import base64
import tomllib
from pathlib import Path
from urllib.parse import quote

import pytest
from support import BUYER, SELLER, correspondence, message

from aliasing.correspondence import Direction, Side
from aliasing.footer import Footer, cut_html, cut_text
from aliasing.leaks import names_secret
from aliasing.message import Message
from aliasing.redact import INSTEAD, Redactor
from aliasing.sealed import sealed_inside
from aliasing.view import view
from relay.passage import footer_for, markers

FRAME = correspondence()
REDACTOR = Redactor(FRAME)
SECRETS = [secret for secret, _ in FRAME.secrets()]
UNCHANGED = tomllib.loads((Path(__file__).parent.parent / "golden" / "unchanged" / "texts.toml").read_text())["text"]
FOOTER = footer_for(FRAME, Direction.TO_BUYER, "0123456789abcdef")
WITH_LINKS = footer_for(FRAME, Direction.TO_BUYER, "0123456789abcdef", "https://mensajes.example:8443/sealed/")


@pytest.mark.parametrize("case", UNCHANGED, ids=[case["why"][:60] for case in UNCHANGED])
def test_what_only_looks_like_an_address_stays(case: dict[str, str]) -> None:
    text = case["text"]
    assert REDACTOR.text(text) == text
    assert REDACTOR.html(text.replace("&", "&amp;").replace("<", "&lt;")) == text.replace("&", "&amp;").replace("<", "&lt;")
    assert not names_secret(text, SECRETS)


@pytest.mark.parametrize(("mask", "text", "clean"), [
    ("addresses", "o a luis@otro.example, gracias", f"o a {INSTEAD}, gracias"),
    ("addresses", f"o a {FRAME.alias(Side.BUYER)}", f"o a {FRAME.alias(Side.BUYER)}"),
    ("phones", "llame al +34 600 123 456.", f"llame al {INSTEAD}."),
    ("phones", "pedido 111-2222222-3333333", "pedido 111-2222222-3333333"),
    ("phones", "son 1.234,50 EUR el 24.11.2026", "son 1.234,50 EUR el 24.11.2026"),
    ("links", "vea https://tienda.example/a?b=c y www.otra.example.", f"vea {INSTEAD} y {INSTEAD}"),
    ("links", "sin enlace", "sin enlace"),
])
def test_what_an_operator_can_have_taken_out(mask: str, text: str, clean: str) -> None:
    assert REDACTOR.text(text, [mask]) == clean
    assert REDACTOR.text(text) == text


def test_masks_leave_mark_up_alone() -> None:
    html = '<p><a href="https://tienda.example/">vea https://tienda.example/</a></p>'
    assert REDACTOR.html(html, ["links"]) == f'<p><a href="https://tienda.example/">vea {INSTEAD}</a></p>'


def test_a_view_leads_back_to_what_was_written() -> None:
    seen = view("ＡＢ so\u200bl&#64;x %73", is_html=True)
    assert seen.text == "ab sol@x s"
    assert seen.replace([(3, 6, "X"), (9, 10, "Y")]) == "ＡＢ X&#64;x Y"


@pytest.mark.parametrize("footer", [FOOTER, WITH_LINKS], ids=["addresses", "links"])
@pytest.mark.parametrize("prefix", ["", "> ", "> > ", "| "])
def test_a_quoted_footer_is_cut_from_a_text(prefix: str, footer: Footer) -> None:
    quoted = "".join(prefix + line + "\r\n" for line in footer.as_text().splitlines())
    text = f"Gracias.\r\n\r\nEl martes escribió:\r\n{prefix}Hola\r\n{quoted}{prefix}fin\r\n"
    cut = cut_text(text, markers())
    assert cut.startswith("Gracias.")
    assert cut.endswith(f"{prefix}fin\r\n")
    assert "Tradepost" not in cut
    assert not any(sealed in cut for sealed in footer.sealed)


@pytest.mark.parametrize("footer", [FOOTER, WITH_LINKS], ids=["addresses", "links"])
def test_a_quoted_footer_is_cut_from_html_with_its_mark_up(footer: Footer) -> None:
    html = f"<p>Gracias</p><blockquote><p>Hola</p>{footer.as_html()}</blockquote>"
    assert " ".join(cut_html(html, markers()).split()) == "<p>Gracias</p><blockquote><p>Hola</p> </blockquote>"


def test_text_that_only_speaks_of_us_is_not_cut() -> None:
    text = "El mensaje de Tradepost: sobre este mensaje no sé nada.\r\n"
    assert cut_text(text, markers()) == text


def test_a_sealed_link_without_its_footer_is_taken_out() -> None:
    link = str(FOOTER.choices[0].address)
    assert REDACTOR.text(f"pulse {link.upper()} aquí") == f"pulse {INSTEAD} aquí"
    assert link not in REDACTOR.html(f'<a href="mailto:{link}?subject=x">x</a>')


@pytest.mark.parametrize("spelt", [
    "{url}", "{upper}", "<{url}>.", "https://safe.example/?url={quoted}&data=05", "otra.example{path}", "%2Fsealed%2F{token}"])
def test_the_link_to_a_page_without_its_footer_is_taken_out(spelt: str) -> None:
    for choice in WITH_LINKS.choices:
        url = choice.url or ""
        path = url.removeprefix("https://mensajes.example:8443")
        text = spelt.format(url=url, upper=url.upper(), quoted=quote(url, safe=""), path=path, token=path.rpartition("/")[2])
        clean = REDACTOR.text(f"pulse {text} aquí")
        assert INSTEAD in clean
        assert not sealed_inside(Message.parse(message(BUYER, "x", body=clean)), FRAME, frozenset())
        assert url not in REDACTOR.html(f'<a href="{url}">x</a>')


@pytest.mark.parametrize("footer", [FOOTER, WITH_LINKS], ids=["addresses", "links"])
@pytest.mark.parametrize("spelt", [
    "{head}\r\n> {tail}", "{head}\u200b{tail}", "{head}<wbr>{tail}", "{head}{tail}", "<b>{head}</b>{tail}",
])
def test_a_sealed_link_that_redaction_misses_is_still_seen(spelt: str, footer: Footer) -> None:
    for token in footer.sealed:
        text = spelt.format(head=token[:20], tail=token[20:])
        for raw in (message(BUYER, "x", body=text),
                    message(BUYER, "x", subject=f"=?utf-8?B?{base64.b64encode(text.encode()).decode()}?=")):
            assert sealed_inside(Message.parse(raw), FRAME, frozenset())
            assert not sealed_inside(Message.parse(raw), FRAME, footer.sealed)


def test_html_that_only_has_the_pieces_of_an_address_and_a_percent_sign_stays() -> None:
    html = "<p>La Tienda de Sol: 20% de DESCUENTO, <b>x</b> %41</p>"
    assert REDACTOR.html(html) == html


def test_both_parties_addresses_become_their_own_aliases() -> None:
    text = REDACTOR.text(f"{SELLER} {BUYER}")
    assert text == f"{FRAME.alias(Side.SELLER)} {FRAME.alias(Side.BUYER)}"
