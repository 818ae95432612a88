"""What is done to mail on its way, and what its reader can have done by mail alone: through a running relay."""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
import json
import os
import re
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from conversations import content, parsed
from filemaker import AUTHOR, docx, jpeg, paragraph, pdf, plain_jpeg
from oracle import find
from PIL import Image
from shape_build import base64_lines
from support import BUYER, SELLER, Relay, crlf, message

from relay import texts
from relay.demo.outside import OutsideServer

Start = Callable[..., Awaitable[Relay]]
STRANGER = "x@stranger.example"
ORDER_2 = "222-2222222-2222222"
SEALED = re.compile(r"[0-9a-z]{56}@relay\.example")


def links(raw: bytes) -> dict[str, str]:
    """What the footer of a message offers: the action by its name in the catalogue -> the sealed address."""
    found = {}
    lines = content(parsed(raw), "text/plain").splitlines()
    for line, below in itertools.pairwise(lines):
        for name in ("report", "stop_seller", "stop_all", "no_answer"):
            if line == texts.text("es", f"footer.{name}") + ":":
                found[name] = below.strip()
    assert all(SEALED.fullmatch(address) for address in found.values())
    return found


def unsubscribe(raw: bytes) -> str:
    """Whom a mail program writes to when its reader presses "unsubscribe" (RFC 2369 3.2)."""
    return re.findall(r"mailto:([^?>]+)", parsed(raw)["list-unsubscribe"])[0]


def with_file(to: str, name: str, kind: str, data: bytes) -> bytes:
    return crlf(f"From: {SELLER}\nTo: {to}\nSubject: {name}\nMIME-Version: 1.0\n"
                'Content-Type: multipart/mixed; boundary="b"\n\n--b\nContent-Type: text/plain\n\nAdjunto.\n--b\n'
                f'Content-Type: {kind}; name="{name}"\nContent-Disposition: attachment; filename="{name}"\n'
                "Content-Transfer-Encoding: base64\n\n") + base64_lines(data) + b"--b--\r\n"


def signed_mail(to: str) -> bytes:
    return crlf(f"From: {SELLER}\nTo: {to}\nSubject: Firmado\nMessage-ID: <f1@tienda.example>\nMIME-Version: 1.0\n"
                'Content-Type: multipart/signed; micalg=pgp-sha256; protocol="application/pgp-signature"; boundary="s"\n\n'
                "--s\nContent-Type: text/plain; charset=utf-8\n\nPrecio acordado.\n--s\n"
                'Content-Type: application/pgp-signature; name="signature.asc"\n\n'
                "-----BEGIN PGP SIGNATURE-----\n\niHUEABYKAB0WIQ=\n-----END PGP SIGNATURE-----\n--s--\n")


async def one_to_each(relay: Relay, outside: OutsideServer) -> tuple[dict[str, str], bytes, bytes]:
    """A message of the seller's and one of the buyer's: the aliases, what the buyer has of it and what the seller."""
    order = relay.order()
    to = {"buyer": order["buyer"]["alias"], "seller": order["seller"]["alias"]}
    assert (await relay.send(SELLER, to["buyer"], message(SELLER, to["buyer"])))[0] == 250
    assert (await relay.send(BUYER, to["seller"], message(BUYER, to["seller"], "¿Cuándo llega?")))[0] == 250
    return to, (await outside.wait_for(1, BUYER))[0].raw, (await outside.wait_for(1, SELLER))[0].raw


def ask(writer: str, address: str, **fields: str) -> tuple[str, str, bytes]:
    return writer, address, message(writer, address, "Hecho por favor", body="", **fields)


# --- what a reader can have done -------------------------------------------------------------------------------------


async def test_the_buyer_reports_and_asking_twice_is_harmless(relay: Relay, outside: OutsideServer) -> None:
    _, to_buyer, _ = await one_to_each(relay, outside)
    [first] = [one for one in relay.messages() if one["direction"] == "to-buyer"]
    assert not first["reported"]
    for _ in range(2):
        code, text = await relay.send(*ask(BUYER, links(to_buyer)["report"]))
        assert (code, text[:5]) == (250, "2.0.0")
    [reported] = relay.messages("--filter", "reported")
    assert (reported["id"], reported["reported"]) == (first["id"], True)
    events = relay.json("message", "show", first["id"])[0]["events"]
    assert {(one["name"], one["detail"]) for one in events if one["kind"] == "action"} == {("report", "buyer")}
    assert len(relay.messages()) == 2, "what asks for an action is no message to anybody"
    assert len(outside.arrived) == 2


async def test_the_buyer_stops_one_seller_then_all(start_relay: Start, outside: OutsideServer) -> None:
    relay = await start_relay(outbound={"route": f"smtp://127.0.0.1:{outside.port}"}, policy={"reply_window": "0.1s"})
    other, other_address = relay.order(ORDER_2, seller="S2", seller_address="luz@otra.example"), "luz@otra.example"
    to, to_buyer, to_seller = await one_to_each(relay, outside)
    assert unsubscribe(to_buyer) == links(to_buyer)["stop_seller"]
    assert (await relay.send(*ask(BUYER, unsubscribe(to_buyer))))[0] == 250
    answered = {"References": parsed(to_seller)["message-id"]}
    await asyncio.sleep(0.15)  # beyond the reply window only the thread fields can tell

    numbers = itertools.count()

    async def sellers_try(alias: str, from_: str = SELLER, **fields: str) -> tuple[int, bool]:
        # an id of its own: the very same message again would be a client that did not hear our 250
        fields["Message-ID"] = f"<oferta-{next(numbers)}@tienda.example>"
        code, text = await relay.send(from_, alias, message(from_, alias, "Oferta", **fields))
        return code, "[UNSOLICITED]" in text

    assert await sellers_try(to["buyer"]) == (550, True)
    assert await sellers_try(to["buyer"], **answered) == (250, False)
    assert await sellers_try(other["buyer"]["alias"], other_address) == (250, False)
    assert (await relay.send(*ask(BUYER, links(to_buyer)["stop_all"])))[0] == 250
    assert (await relay.send(*ask(BUYER, links(to_buyer)["stop_all"])))[0] == 250
    assert await sellers_try(other["buyer"]["alias"], other_address) == (550, True)
    assert await sellers_try(to["buyer"], **answered) == (250, False)
    blocks = relay.json("block", "list")
    assert sorted((one["kind"], one["value"] or "") for one in blocks) == [("unsolicited", ""), ("unsolicited", "S1")]


async def test_no_answer_needed_is_about_that_message_only(relay: Relay, outside: OutsideServer) -> None:
    to, _, to_seller = await one_to_each(relay, outside)
    assert "list-unsubscribe" not in parsed(to_seller), "a shop has nothing to unsubscribe from"
    assert [one["subject"] for one in relay.messages("--filter", "needs-reply")] == ["¿Cuándo llega?"]
    assert (await relay.send(*ask(SELLER, links(to_seller)["no_answer"])))[0] == 250
    assert relay.messages("--filter", "needs-reply") == []
    assert (await relay.send(BUYER, to["seller"], message(BUYER, to["seller"], "¿Hola?")))[0] == 250
    assert (await relay.send(*ask(SELLER, links(to_seller)["no_answer"])))[0] == 250
    assert [one["subject"] for one in relay.messages("--filter", "needs-reply")] == ["¿Hola?"]


async def test_nobody_else_can_ask(relay: Relay, outside: OutsideServer) -> None:
    _, to_buyer, to_seller = await one_to_each(relay, outside)

    def state() -> list[Any]:
        return [*((one["id"], one["reported"], one["needs_reply"]) for one in relay.messages()), *relay.json("block", "list")]

    before = state()
    assert [one[1:] for one in before] == [(False, True), (False, False)]
    for name, address in links(to_buyer).items():
        for other in (SELLER, STRANGER):
            code, text = await relay.send(*ask(other, address))
            assert (code, "[NOT_AUTHORISED]" in text) == (550, True), (name, other)
        # a program in the buyer's place, as when a mailbox answers whatever comes
        assert (await relay.send(*ask(BUYER, address, Auto_Submitted="auto-replied")))[0] == 550
    for address in links(to_seller).values():
        assert (await relay.send(*ask(BUYER, address)))[0] == 550
    # the envelope does not count, the From does
    assert (await relay.send(BUYER, links(to_buyer)["report"], message(SELLER, links(to_buyer)["report"])))[0] == 550
    assert state() == before
    assert len(outside.arrived) == 2


async def test_a_program_that_answers_with_a_null_reverse_path_asks_for_nothing(
        relay: Relay, outside: OutsideServer) -> None:
    _, to_buyer, _ = await one_to_each(relay, outside)
    _, address, data = ask(BUYER, links(to_buyer)["stop_all"])
    await relay.send("", address, data)  # RFC 3834 3.3: what old responders have as their only mark
    assert relay.json("block", "list") == []


async def test_a_forged_link_is_like_any_address_that_never_was(relay: Relay, outside: OutsideServer) -> None:
    to, to_buyer, _ = await one_to_each(relay, outside)
    nobody = "0" * 39 + "@relay.example"
    unknown = await relay.send(*ask(BUYER, nobody))
    assert (unknown[0], unknown[1][:5]) == (550, "5.1.1")
    for address in [*links(to_buyer).values(), to["buyer"]]:
        for at in (1, 20, -15):
            forged = list(address)
            forged[at] = "7" if forged[at] != "7" else "8"
            assert await relay.send(*ask(BUYER, "".join(forged))) == unknown
    assert [one["reported"] for one in relay.messages()] == [False, False], "refused before the data"
    assert relay.json("block", "list") == []


# --- what is taken out ---------------------------------------------------------------------------------------------


async def test_html_is_cleaned_and_the_ledger_says_of_what(relay: Relay, outside: OutsideServer) -> None:
    alias = relay.order()["buyer"]["alias"]
    page = ('<html><body><p>Su <b>factura</b>, <a href="https://tienda.example/f">aquí</a>.</p><script>alert(7)</script>'
            '<img src="https://espia.example/p.gif" width="1"><img src="https://espia.example/foto.jpg"><form action="https://espia.example"><input name="clave">'
            "</form><p>Gracias, señora.</p></body></html>\n")
    assert (await relay.send(SELLER, alias, message(SELLER, alias, body=page, Content_Type="text/html; charset=utf-8")))[0] == 250
    raw = (await outside.wait_for(1))[0].raw
    shown = content(parsed(raw), "text/html")
    assert "<p>Su <b>factura</b>, " in shown
    assert "Gracias, señora." in shown
    assert not re.search(r"(?i)script|alert|espia|<form|<input", shown)
    [entry] = relay.messages()
    timeline = relay.json("message", "show", entry["id"])[0]
    [cleaned] = [one["detail"] for one in timeline["events"] if one["kind"] == "cleaned"]
    for what in ("script", "form field", "tracking pixel", "external image", "link"):
        assert any(re.fullmatch(rf"part 1: {what}( \(\d+\))? removed", line) for line in cleaned), (what, cleaned)
    assert "    part 1: script removed" in relay.run("message", "show", entry["id"])


async def test_the_footer_can_be_switched_off(start_relay: Start, outside: OutsideServer) -> None:
    relay = await start_relay(outbound={"route": f"smtp://127.0.0.1:{outside.port}"}, policy={"footer": False})
    alias = relay.order()["buyer"]["alias"]
    data = message(SELLER, alias, body="Buenos días, señora Núñez.\n")
    await relay.send(SELLER, alias, data)
    raw = (await outside.wait_for(1))[0].raw
    assert raw.partition(b"\r\n\r\n")[2] == data.partition(b"\r\n\r\n")[2]
    assert SEALED.findall(raw.decode()) == [unsubscribe(raw)], "the mail program's own button stays"


async def test_a_signature_is_taken_off_and_its_writer_told(start_relay: Start, outside: OutsideServer) -> None:
    relay = await start_relay(outbound={"route": f"smtp://127.0.0.1:{outside.port}"}, policy={"signatures": "remove"})
    alias = relay.order()["buyer"]["alias"]
    assert (await relay.send(SELLER, alias, signed_mail(alias)))[0] == 250
    raw = (await outside.wait_for(1, BUYER))[0].raw
    assert "Precio acordado." in content(parsed(raw), "text/plain")
    assert b"PGP" not in raw
    assert b"multipart/signed" not in raw
    report = (await outside.wait_for(1, SELLER))[0]
    told = parsed(report.raw)
    assert report.reverse_path == "<>", "a report is answered by nobody"
    assert told.get_content_type() == "multipart/report"
    assert "firma" in told["subject"]
    assert told["in-reply-to"] == "<f1@tienda.example>"
    assert b"Action: relayed" in report.raw
    assert find(report.raw, [SELLER, BUYER]) == []
    [entry] = await relay.settle("delivered")
    [cleaned] = [one["detail"] for one in relay.json("message", "show", entry["id"])[0]["events"] if one["kind"] == "cleaned"]
    assert any("application/pgp-signature" in line for line in cleaned)


@pytest.mark.parametrize("setting", ["refuse", "note"])
async def test_an_address_in_the_text_of_a_file(start_relay: Start, outside: OutsideServer, setting: str) -> None:
    relay = await start_relay(outbound={"route": f"smtp://127.0.0.1:{outside.port}"},
                              policy={"addresses_in_files": setting})
    alias = relay.order()["buyer"]["alias"]
    files = {"factura.pdf": ("application/pdf", pdf(f"Escriba a {SELLER}", info=False)),
             "condiciones.docx": ("application/vnd.openxmlformats-officedocument.wordprocessingml.document",
                                  docx(paragraph("para ", "ana.lopez@", "correo.example")))}
    for name, (kind, data) in list(files.items())[: 1 if setting == "note" else 2]:
        code, text = await relay.send(SELLER, alias, with_file(alias, name, kind, data))
        if setting == "refuse":
            assert (code, "[ADDRESS_IN_FILE]" in text, name in text) == (550, True, True), text
            assert SELLER not in text
        else:
            assert code == 250, text
    if setting == "refuse":
        assert not outside.arrived
        assert (await relay.send(SELLER, alias, with_file(alias, "a.pdf", "application/pdf", pdf(info=False))))[0] == 250
    else:
        await outside.wait_for(1)
        events = relay.json("message", "show", relay.messages()[0]["id"])[0]["events"]
        [notes] = [one["detail"] for one in events if one["kind"] == "cleaned"]
        assert "factura.pdf: shows a real address in its text" in notes


async def test_a_photograph_arrives_without_place_and_owner(relay: Relay, outside: OutsideServer) -> None:
    alias = relay.order()["buyer"]["alias"]
    photo = jpeg()
    assert AUTHOR.encode() in photo
    assert (await relay.send(SELLER, alias, with_file(alias, "foto.jpg", "image/jpeg", photo)))[0] == 250
    assert (await relay.send(SELLER, alias, with_file(alias, "sin.jpg", "image/jpeg", plain_jpeg())))[0] == 250
    one, two = (parsed(arrived.raw) for arrived in await outside.wait_for(2))
    by_name = {part.get_filename(): part.get_payload(decode=True) for part in (*one.walk(), *two.walk()) if part.get_filename()}
    assert AUTHOR.encode() not in by_name["foto.jpg"]
    assert b"GPS" not in by_name["foto.jpg"]
    assert pixels(by_name["foto.jpg"]) == pixels(photo)
    assert by_name["sin.jpg"] == plain_jpeg(), "nothing to take out: the very same octets"
    [entry] = [one for one in relay.messages() if one["subject"] == "foto.jpg"]
    [cleaned] = [one["detail"] for one in relay.json("message", "show", entry["id"])[0]["events"] if one["kind"] == "cleaned"]
    assert any(line.startswith("foto.jpg: ") for line in cleaned)


def pixels(data: bytes) -> tuple[int, bytes]:
    """Orientation and picture."""
    image = Image.open(io.BytesIO(data))
    return image.getexif().get(0x0112, 1), image.tobytes()


async def test_what_would_leak_is_refused_and_kept_as_evidence(
        relay: Relay, outside: OutsideServer, tmp_path: Path) -> None:
    alias = relay.order()["buyer"]["alias"]
    code, text = await relay.send(SELLER, alias, signed_mail(alias))  # a signature names its writer, unless told to remove it
    assert (code, "[SIGNED]" in text) == (550, True), text
    # a boundary is no text, so redaction does not touch it; the last look sees it
    data = crlf(f'From: {SELLER}\nTo: {alias}\nSubject: Límite\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="{SELLER}"\n\n'
                f"--{SELLER}\nContent-Type: text/plain\n\nHola.\n--{SELLER}--\n")
    code, text = await relay.send(SELLER, alias, data)
    assert (code, "[WOULD_LEAK]" in text, SELLER in text) == (550, True, False), text
    entry = relay.messages()[0]
    assert (entry["state"], entry["rule"]) == ("refused", "egress")
    relay.run("message", "export", entry["id"], "-o", str(tmp_path / "evidence.eml"))
    assert (tmp_path / "evidence.eml").read_bytes() == data
    events = relay.json("message", "show", entry["id"])[0]["events"]
    assert [one["name"] for one in events if one["kind"] == "operator"] == ["content-shown"]
    for file in (tmp_path / "var").rglob("*"):
        assert not file.is_file() or data[-40:] not in file.read_bytes(), "evidence lies encrypted"
    assert not outside.arrived


# --- files that crash their readers --------------------------------------------------------------------------------


def examiners(relay: Relay) -> list[int]:
    """The processes in which the daemon opens files, by pid."""
    assert relay.process is not None
    children = [int(word) for path in Path(f"/proc/{relay.process.pid}/task").glob("*/children")
                for word in path.read_text().split()]
    found = []
    for pid in children:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it may be gone by now
            found += [pid] if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes() else []
    return found


async def test_a_killed_examiner_takes_nothing_with_it(relay: Relay, outside: OutsideServer) -> None:
    alias = relay.order()["buyer"]["alias"]
    for number in (1, 2, 3):
        code, text = await relay.send(SELLER, alias, with_file(alias, f"{number}.jpg", "image/jpeg", plain_jpeg()))
        assert code == 250, f"a good file is not to be refused for what befell another: {text}"
        [pid] = examiners(relay)
        os.kill(pid, signal.SIGKILL)
        while pid in examiners(relay):
            await asyncio.sleep(0.01)
    await outside.wait_for(3)
    code, text = await relay.send(SELLER, alias, with_file(alias, "no.jpg", "image/jpeg", pdf(info=False)))
    assert (code, "no.jpg" in text) == (550, True)


# --- why did my mail not arrive? -----------------------------------------------------------------------------------


def preview(relay: Relay, path: Path, alias: str, *words: str, check: int = 0, mail_from: str = SELLER) -> list[dict[str, Any]]:
    printed = relay.run("preview", str(path), "--mail-from", mail_from, "--rcpt-to", alias, "--json", *words, check=check)
    return [json.loads(line) for line in printed.splitlines()]


async def test_preview_tells_what_would_arrive(relay: Relay, outside: OutsideServer, tmp_path: Path) -> None:
    alias = relay.order()["buyer"]["alias"]
    data = with_file(alias, "foto.jpg", "image/jpeg", jpeg()).replace(b"Adjunto.", f"Soy {SELLER}.".encode())
    file, out = tmp_path / "one.eml", tmp_path / "out.eml"
    file.write_bytes(data)
    [report] = preview(relay, file, alias, "-o", str(out))
    assert {"verdict", "rule", "reply", "enhanced_code", "leaks", "attachments", "changed_parts", "size_in",
            "size_out"} <= report.keys()
    assert (report["verdict"], report["rule"], report["enhanced_code"], report["leaks"]) == ("pass", None, "2.6.0", [])
    assert [(one["name"], one["kind"]) for one in report["attachments"]] == [("foto.jpg", "jpeg")]
    assert (report["size_in"], report["size_out"]) == (len(data), len(out.read_bytes()))
    assert report["changed_parts"] == ["1", "2"]
    assert relay.messages() == []
    # and so it comes, but for what is new each time: the ids, links and signatures of the message
    await relay.send(SELLER, alias, data)
    came, shown = (await outside.wait_for(1))[0].raw, out.read_bytes()
    ours = re.compile(rb"[0-9a-z]{56}|(?m:^(X-Tradepost-Message|Message-ID|Date):.*$)")
    signatures = re.compile(rb"DKIM-Signature:.*\r\n(?:[ \t].*\r\n)*")
    assert ours.sub(b"", shown) == ours.sub(b"", signatures.sub(b"", came))


def test_preview_tells_why_not(tmp_path: Path) -> None:
    relay = Relay(tmp_path)
    alias = relay.order()["buyer"]["alias"]
    folder, out = tmp_path / "mail" / "deeper", tmp_path / "out"
    folder.mkdir(parents=True)
    good = message(SELLER, alias)
    cases = {
        "good": (good, "pass", None, "2.6.0"),
        "lf": (good.replace(b"\r\n", b"\n"), "pass", None, "2.6.0"),  # a file kept so is a message all the same
        "stranger": (message(STRANGER, alias), "refuse", "authorised", "5.7.1"),
        "auto-reply": (message(SELLER, alias, Auto_Submitted="auto-replied"), "hold", "automatic", "2.6.0"),
        "signed": (signed_mail(alias), "refuse", "structure", "5.7.1"),
        "program": (with_file(alias, "a.exe", "application/pdf", b"MZ" + bytes(99)), "refuse", "attachments", "5.7.1"),
        "nul": (b"\r\n\0", "refuse", "line-ends", "5.6.0"),
    }
    for name, (data, *_) in cases.items():
        (folder / name).write_bytes(data)

    def verdicts(path: Path, alias: str, mail_from: str = SELLER) -> dict[str, tuple[str, str, str]]:
        return {Path(one["file"]).name: (one["verdict"], one["rule"], one["enhanced_code"])
                for one in preview(relay, path, alias, check=1, mail_from=mail_from)}

    assert verdicts(tmp_path / "mail", alias) == {name: tuple(expected) for name, (_, *expected) in cases.items()}
    assert verdicts(folder / "good", "nobody@relay.example") == {"good": ("refuse", "recipient", "5.1.1")}
    assert verdicts(folder / "good", alias, mail_from="") == {"good": ("hold", "automatic", "2.6.0")}
    shown = relay.run("preview", str(folder), "--mail-from", SELLER, "--rcpt-to", alias, "-o", str(out), check=1)
    assert sorted(path.name for path in out.iterdir()) == ["good", "lf"]
    assert f"{folder / 'good'}: pass\n    250 2.6.0 " in shown
    assert f"{folder / 'stranger'}: refuse by authorised\n    550 5.7.1 " in shown
    assert re.search(r"(?m)^    [0-9]+ octets in, [0-9]+ out$", shown)
    assert "{" not in shown
    assert "--mail-from" in relay.run("preview", str(folder), "--mail-from", "no address", "--rcpt-to", alias, check=2)
    assert relay.messages() == []
