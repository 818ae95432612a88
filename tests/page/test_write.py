"""Writing to a buyer on the page: subjects, templates, files, preview, and what a rule says no to."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from bs4 import BeautifulSoup
from filemaker import pdf, png
from pages import Page
from support import BUYER, ORDER, SELLER, Relay, message

OTHER = "222-2222222-2222222"
CRITICAL = "Información adicional necesaria"


def form(page: Page, path: str = f"/write?order={ORDER}") -> dict[str, Any]:
    """The hidden fields of the form as a browser would send them."""
    return {field["name"]: field["value"] for field in page.soup(path).select("form#write input[type=hidden]")
            if field["name"] != "token"}


def told(answer: Any) -> str:
    found = BeautifulSoup(answer.text, "lxml").select_one(".notice.bad")
    assert found is not None, answer.text
    return found.get_text(" ", strip=True)


def send(page: Page, fields: dict[str, Any], **more: Any) -> Any:
    return page.post("/write", {"do": "send", "reason": "own", "subject": "Su silla", "text": "Hola, Ana."} | fields,
                     **more)


def test_a_message_goes_from_the_order_to_the_queue(shop: Relay) -> None:
    page = Page(shop, "sol")
    answer = send(page, form(page) | {"reason": "invoice", "subject": "no matter", "text": "Aquí está.\r\n"})
    assert answer.status_code == 303, told(answer)
    found = shop.messages()[0]
    assert answer.headers["location"] == f"/messages/{found['id']}"
    assert (found["subject"], found["channel"], found["order"]) == (f"Factura de su pedido {ORDER}", "page", ORDER)
    assert found["state"] in ("queued", "deferred")


def test_pressed_twice_it_is_sent_once(shop: Relay) -> None:
    page = Page(shop, "sol")
    file = BeautifulSoup(attach(page, "foto.png", png(), "image/png").text, "lxml").select_one("[name=file]")["value"]  # type: ignore[index]
    fields = form(page) | {"file": file}
    first, second = send(page, fields), send(page, fields)
    assert first.headers["location"] == second.headers["location"]
    changed = send(page, fields | {"file": "", "text": "Y otra cosa."})  # back, and changed: that is another message
    assert changed.headers["location"] != first.headers["location"]
    assert send(page, form(page)).headers["location"] != first.headers["location"]


def test_preview_shows_what_the_buyer_gets_and_keeps_all(shop: Relay) -> None:
    page, before = Page(shop, "sol"), len(shop.messages())
    said = f"Escriba a {SELLER}.\n\n<b>Gracias</b>"
    answer = page.post("/write", form(page) | {"do": "preview", "reason": "own", "subject": "Su <silla>", "text": said})
    shown = BeautifulSoup(answer.text, "lxml")
    letter = shown.select_one(".as-read .letter")
    assert answer.status_code == 200
    assert letter is not None
    assert SELLER not in letter.text
    assert "<b>Gracias</b>" in letter.text
    assert "Tradepost:" not in letter.text
    assert "Denunciar" not in letter.text
    assert "".join(shown.select("textarea")[0].stripped_strings).replace("\r", "") == said
    assert shown.select_one("#subject")["value"] == "Su <silla>"  # type: ignore[index]
    assert len(shop.messages()) == before


@pytest.mark.parametrize(("fields", "words"), [
    ({"text": " \r\n "}, "Escriba el mensaje"),
    ({"subject": "\u200b \x07"}, "Escriba un asunto"),
    ({"reason": ""}, "Elija de qué se trata"),
    ({"reason": "nonsense"}, "Elija de qué se trata"),
    ({"subject": "x" * 201}, "como máximo 200"),
    ({"text": "x" * 20_001}, "como máximo 20.000"),
    ({"reason": "delivery", "text": "x" * 1001}, "como máximo 1.000"),
    ({"subject": f"Re: {CRITICAL.upper()}", "text": "x" * 1001}, "como máximo 1.000"),
])
def test_what_is_missing_is_said_and_nothing_lost(shop: Relay, fields: dict[str, str], words: str) -> None:
    page, before = Page(shop, "sol"), len(shop.messages())
    answer = send(page, form(page) | {"subject": "Su silla"} | fields)
    assert answer.status_code == 422
    assert words in told(answer)
    assert BeautifulSoup(answer.text, "lxml").select_one("#text").text.strip() == fields.get(  # type: ignore[union-attr]
        "text", "Hola, Ana.").strip()
    assert len(shop.messages()) == before


def test_no_header_can_be_smuggled_in(shop: Relay) -> None:
    page = Page(shop, "sol")
    assert send(page, form(page) | {"subject": "Hola\r\nBcc: eve@evil.example"}).status_code == 303
    assert shop.messages()[0]["subject"].startswith("Hola Bcc: ")


def test_a_rules_refusal_is_said_in_the_readers_language(shop: Relay) -> None:
    shop.run("block", "add", "--scope", "buyer", "--party", "B1", "--kind", "unsolicited", "--value", "S1")
    try:
        for language, notice, words in (("es", "no recibe mensajes no solicitados", "ha decidido no recibir"),
                                        ("en", "takes no unsolicited messages", "chosen not to receive")):
            page = Page(shop, "sol", language)
            fields = form(page)
            assert notice in page.get(f"/write?order={ORDER}").text
            answer = send(page, fields | {"text": "Nuestra oferta"})
            assert answer.status_code == 422
            assert words in told(answer), told(answer)
            assert ORDER in told(answer)
            shown = BeautifulSoup(answer.text, "lxml")
            assert shown.select_one("#text").text.strip() == "Nuestra oferta"  # type: ignore[union-attr]
            assert shown.select_one("[name=draft]")["value"] != fields["draft"]  # type: ignore[index]
            assert shop.messages()[0]["state"] == "refused"
            assert shop.messages()[0]["rule"] == "unsolicited"
        page = Page(shop, "sol")
        assert send(page, form(page) | {"reason": "delivery"}).status_code == 303
        assert shop.messages()[0]["subject"] == CRITICAL
        assert "2 más" in page.get(f"/write?order={ORDER}").text
    finally:
        shop.run("block", "remove", "--scope", "buyer", "--party", "B1", "--kind", "unsolicited", "--value", "S1")


def test_an_answer_is_in_the_buyers_thread(shop: Relay) -> None:
    order = shop.json("order", "show", OTHER)[0]
    asyncio.run(shop.send("eva.ruiz@correo.example", order["seller"]["alias"], message(
        "eva.ruiz@correo.example", order["seller"]["alias"], "¿Cuándo llega?", "La espero el lunes.\n")))
    asked = next(one for one in shop.messages() if one["subject"] == "¿Cuándo llega?")
    page = Page(shop, "luna")
    shown = page.soup(f"/write?message={asked['id']}")
    assert shown.select_one("#subject")["value"] == "Re: ¿Cuándo llega?"  # type: ignore[index]
    assert "La espero el lunes." in shown.select_one("blockquote").text  # type: ignore[union-attr]
    assert not shown.select("[name=reason]")
    answer = send(page, form(page, f"/write?message={asked['id']}") | {"subject": "Re: ¿Cuándo llega?", "text": "Sí."})
    assert answer.status_code == 303
    sent, *_ = shop.messages()
    assert sent["subject"] == "Re: ¿Cuándo llega?"
    raw = shop.run("message", "export", sent["id"])
    assert "In-Reply-To: <" in raw
    assert not next(one for one in shop.messages() if one["id"] == asked["id"])["needs_reply"]


def test_nobody_writes_for_another(shop: Relay) -> None:
    sol, luna = Page(shop, "sol"), Page(shop, "luna")
    mine = form(sol)
    send(sol, mine)
    about = shop.messages()[0]["id"]
    nowhere = luna.get("/write?order=none")
    for path in (f"/write?order={ORDER}", f"/write?message={about}", "/write?message=0000000000000000"):
        answer = luna.get(path)
        assert answer.status_code == 404
        assert BUYER not in answer.text
        assert "Ana" not in answer.text
    assert nowhere.status_code == 404
    before = len(shop.messages())
    assert send(luna, mine).status_code == 404
    assert send(luna, {"message": about}).status_code == 404
    assert len(shop.messages()) == before
    for login in ("mod", "ops"):
        assert Page(shop, login).get(f"/write?order={ORDER}").status_code == 404
    assert Page(shop).get(f"/write?order={ORDER}").status_code == 303


def attach(page: Page, name: str, data: bytes, type_: str = "application/octet-stream", **fields: Any) -> Any:
    return page.post("/write/files", fields, files=[("attach", (name, data, type_))])


def test_files_come_ahead_and_go_along(shop: Relay) -> None:
    page, other = Page(shop, "sol"), Page(shop, "luna")
    one = BeautifulSoup(attach(page, "foto de la silla.png", png(), "image/png").text, "lxml")
    assert "foto de la silla.png" in one.text
    id_ = one.select_one("[name=file]")["value"]  # type: ignore[index]
    answer = send(page, form(page) | {"file": id_}, files=[("attach", ("manual.pdf", pdf(), "application/pdf"))])
    assert answer.status_code == 303, told(answer)
    raw = shop.run("message", "export", shop.messages()[0]["id"])
    assert "foto de la silla.png" in raw
    assert "manual.pdf" in raw
    assert shop.messages()[0]["attachments"] == 2
    gone = page.post("/write", form(page) | {"do": "drop:x", "file": id_})
    assert "foto de la silla" not in gone.text
    another = BeautifulSoup(attach(page, "foto.png", png()).text, "lxml").select_one("[name=file]")["value"]  # type: ignore[index]
    stolen = other.post("/write", form(other, f"/write?order={OTHER}") | {"do": "drop:x", "file": another})
    assert "foto.png" not in stolen.text


def test_without_a_script_files_stay_from_one_look_to_the_next(shop: Relay) -> None:
    page = Page(shop, "sol")
    answer = page.post("/write", form(page) | {"do": "preview", "reason": "own", "subject": "Foto", "text": "Mire."},
                       files=[("attach", ("foto.png", png(), "image/png"))])
    shown = BeautifulSoup(answer.text, "lxml")
    assert "foto.png" in shown.select_one(".as-read").text  # type: ignore[union-attr]
    again = {field["name"]: field["value"] for field in shown.select("form#write input[type=hidden]")}
    dropped = BeautifulSoup(page.post("/write", again | {"do": f"drop:{again['file']}"}).text, "lxml")
    assert not dropped.select("#file-list li")
    assert "ya no está" in told(send(page, again))  # from the page before, by the back button: not left out in silence
    sent = page.post("/write", again | {"do": "send", "file": "", "reason": "own", "subject": "Foto", "text": "Mire."},
                     files=[("attach", ("foto.png", png(), "image/png"))])
    assert sent.status_code == 303
    assert shop.messages()[0]["attachments"] == 1


@pytest.mark.parametrize(("name", "data", "words"), [
    ("programa.exe", b"MZ" + bytes(200), "no se acepta"),
    ("foto.png", b"%PDF-1.4 is no image", "no corresponde a su nombre"),
    ("../../etc/passwd.txt", b"hola", ""),
    ("nota.exe.txt", b"hola", "segunda extensión"),
    ("vacio.pdf", b"", "«vacio.pdf»"),
    ("grande.txt", b"x" * (10 * 1024 * 1024 + 1), "se aceptan 10 MB"),
    ("<img src=x onerror=alert(1)>.exe", b"MZ", "<img src=x onerror=alert(1)>.exe"),
])
def test_a_bad_file_is_named_at_once(shop: Relay, name: str, data: bytes, words: str) -> None:
    page = Page(shop, "sol")
    answer = attach(page, name, data)
    assert "<img" not in answer.text
    if not words:
        assert "passwd.txt" in answer.text
        assert ".." not in answer.text
        return
    assert answer.status_code == 422
    assert words in BeautifulSoup(answer.text, "lxml").text
    whole = send(page, form(page), files=[("attach", (name, data, "application/octet-stream"))])
    assert whole.status_code == 422
    assert words in told(whole)


def test_files_are_sealed_where_they_wait(shop: Relay) -> None:
    page = Page(shop, "sol")
    assert attach(page, "secreto-azul.txt", b"palabra-secreta-azul").status_code == 200
    kept = b"".join(path.read_bytes() for path in (shop.folder / "var").glob("ledger.db*"))
    assert b"palabra-secreta-azul" not in kept
    assert b"secreto-azul" not in kept


def test_a_template_fills_the_form(shop: Relay) -> None:
    shop.run("template", "set", "plazo", "--seller", "S1", "--subject", "Plazo de {order}", "--text",
             "Hola, {buyer}:\nllega mañana.")
    page = Page(shop, "sol")
    answer = page.post("/write", form(page) | {"do": "fill", "template": "plazo", "text": "Antes."})
    shown = BeautifulSoup(answer.text, "lxml")
    text = shown.select_one("#text").text.strip()  # type: ignore[union-attr]
    assert text == "Antes.\n\nHola, Ana López:\nllega mañana."
    assert shown.select_one("#subject")["value"] == f"Plazo de {ORDER}"  # type: ignore[index]
    assert page.post("/write", form(page) | {"do": "fill", "template": "nope"}).status_code == 404


def test_the_alias_is_there_to_be_copied(shop: Relay) -> None:
    alias = shop.json("order", "show", ORDER)[0]["buyer"]["alias"]
    shown = Page(shop, "sol").soup(f"/write?order={ORDER}")
    assert shown.select_one(".own-alias code").text == alias  # type: ignore[union-attr]
    assert shown.select_one("[data-copy]")["data-copy"] == alias  # type: ignore[index]


def test_which_order_is_asked_for(shop: Relay) -> None:
    shown = Page(shop, "sol").soup("/write")
    offered = {str(link["href"]) for link in shown.select("a.row-link")}
    assert f"/write?order={ORDER}" in offered
    assert f"/write?order={OTHER}" not in offered
    missing = Page(shop, "sol").get("/write?order=%3Cscript%3E")
    assert missing.status_code == 404
    assert "<script>" not in missing.text.replace('<script src="', "")
