"""Messages by API: the list, one with its timeline and files, marks, and writing one."""

from __future__ import annotations

import base64
from email import message_from_bytes
from email.policy import default
from typing import Any

from house import STRICT, World
from pysqlite3 import dbapi2 as sqlite
from shape_files import jpeg

JPEG = jpeg(0)


def photo(name: str) -> dict[str, str]:
    return {"name": name, "type": "image/jpeg", "content_base64": base64.b64encode(JPEG).decode()}


async def test_a_message_by_api_arrives_as_mail(met: World) -> None:
    sent = met.shop("POST", "/messages", met.text | {"html": "<p>Sale <b>mañana</b>.</p>", "attachments": [photo("Foto.jpg")]})
    assert sent.status == 201, sent.body
    assert (sent.json["channel"], sent.json["direction"], sent.json["attachments"]) == ("page", "to-buyer", 1)
    [mail] = await met.mails()
    assert mail["Subject"] == "Su pedido"
    assert mail["From"].startswith("Tienda Sol <")
    assert met.seller not in mail.as_string()
    assert mail.get_body(("plain",)).get_content().startswith("Sale mañana.")
    assert [part.get_filename() for part in mail.iter_attachments()] == ["Foto.jpg"]
    await met.settle("delivered")
    shown = met.shop("GET", f"/messages/{sent.json['id']}").json
    assert shown["state"] == "delivered"
    assert {"verdict", "attempt", "outcome"} <= {event["kind"] for event in shown["events"]}
    assert met.shop("GET", sent.headers["Location"].removeprefix("/api/v1")).json == shown


async def test_what_a_key_writes_is_as_good_as_logged_in(world: World) -> None:
    world.seller = world.parties["seller"]["address"] = f"sol@{STRICT}"
    world.mint()
    assert (await world.to_the_buyer())[0] == 550  # by mail it would have to be authenticated
    sent = world.shop("POST", "/messages", world.text)
    assert sent.status == 201, sent.body
    [verdicts] = [event["detail"] for event in world.shop("GET", f"/messages/{sent.json['id']}").json["events"]
                  if event["kind"] == "verdict"]
    assert {"rule": "authentication", "verdict": "pass", "reason": "by login"} in verdicts


def test_a_rule_refuses_in_words_and_it_is_recorded(met: World) -> None:
    met.shop("POST", "/blocks", {"scope": "buyer", "party": met.buyer_id, "kind": "unsolicited"})
    refused = met.shop("POST", "/messages", met.text)
    assert (refused.status, refused.json["code"], refused.json["rule"]) == (422, "refused", "unsolicited")
    assert "[UNSOLICITED]" in refused.json["reply"]
    assert met.order in refused.json["detail"] or "mensajes" in refused.json["detail"]
    [entry] = met.messages("refused")
    assert (entry["id"], entry["state"], entry["channel"]) == (refused.json["message"], "refused", "page")
    assert not met.arrived


async def test_asked_twice_it_is_sent_once(met: World) -> None:
    first = met.shop("POST", "/messages", met.text, Idempotency_Key="m1")
    again = met.shop("POST", "/messages", met.text, Idempotency_Key="m1")
    assert first.status == again.status == 201
    assert first.body == again.body
    await met.settle("delivered")
    assert len(met.arrived) == len(met.messages()) == 1


async def test_a_crash_before_the_answer_was_kept_sends_nothing_twice(met: World) -> None:
    call = met.client()
    first = call("POST", "/messages", met.text, Idempotency_Key="m2")
    await met.settle("delivered")
    with sqlite.connect(met.relay.folder / "var/ledger.db", timeout=10) as db:
        db.execute("UPDATE idempotency SET status = NULL, answer_sealed = NULL")
    again = call("POST", "/messages", met.text, Idempotency_Key="m2")
    assert (again.status, again.json["id"]) == (201, first.json["id"])
    assert len(met.arrived) == len(met.messages()) == 1


async def test_an_answer_joins_the_thread(met: World) -> None:
    await met.to_the_seller(Message_ID=f"<q{met.number}@correo.example>")
    [waiting] = met.messages("needs-reply")
    assert waiting["needs_reply"]
    answer = met.shop("POST", "/messages", met.text | {"in_reply_to": waiting["id"], "subject": "Re: Pregunta"})
    assert answer.status == 201
    mails = await met.mails(2)
    assert f"<q{met.number}@correo.example>" in [mail["In-Reply-To"] for mail in mails]
    assert met.messages("needs-reply") == []
    assert met.shop("POST", "/messages", met.text | {"in_reply_to": "0" * 16}).status == 404


async def test_a_buyer_writes_through_the_marketplaces_site(met: World) -> None:
    call = met.shop
    sent = call("POST", "/messages", met.text | {"writer": "buyer", "subject": "¿Cuándo llega?"})
    assert (sent.status, sent.json["direction"], sent.json["needs_reply"]) == (201, "to-seller", True)
    [mail] = await met.mails()
    assert "Ana" in mail["From"]
    assert met.buyer not in mail.as_string()
    by_alias = call("POST", "/messages", {"alias": met.to_buyer, "subject": "Mañana", "text": "Mañana."})
    assert (by_alias.status, by_alias.json["direction"]) == (201, "to-buyer")
    assert call("POST", "/messages", {"alias": met.to_buyer, "writer": "buyer", "subject": "x", "text": "x"}).status == 422


WRONG: list[tuple[dict[str, Any], int]] = [
    ({"subject": "a\r\nBcc: x@otro.example"}, 422), ({"subject": "a\nb"}, 422), ({"subject": ""}, 422),
    ({"text": "a\0b"}, 422), ({"text": None}, 422), ({"order": None}, 422), ({"order": "none"}, 404),
    ({"alias": "x@relay.example"}, 422), ({"order": None, "alias": "x@relay.example"}, 404),
    ({"attachments": [{"name": "a\r\nX: y.pdf", "content_base64": "AA=="}]}, 422),
    ({"attachments": [{"name": "a.pdf", "content_base64": "!"}]}, 422),
    ({"attachments": [{"name": "../../etc/a.exe", "content_base64": "AA=="}]}, 422),
    ({"attachments": [{"name": "a.pdf", "type": "multipart/mixed", "content_base64": "AA=="}]}, 422),
    ({"attachments": [{"name": "a.pdf", "type": "text/html\r\nX: y", "content_base64": "AA=="}]}, 422),
]


def test_what_comes_is_checked(met: World) -> None:
    for change, status in WRONG:
        answer = met.shop("POST", "/messages", met.text | change)
        assert answer.status == status, (change, answer.body)
    assert not met.arrived


async def test_odd_texts_arrive(met: World) -> None:
    texts = ["Mi correo: " + met.seller, "línea\r\rlarga " + "x" * 3000, ".\r\n.\r\n", "From nobody\n"]
    for text in texts:
        answer = met.shop("POST", "/messages", met.text | {"text": text})
        assert answer.status == 201, answer.body
    for mail in await met.mails(len(texts)):
        assert met.seller not in mail.as_string()


def test_content_and_files_are_shown_as_the_reader_sees_them(met: World) -> None:
    call = met.client("reader")
    sent = call("POST", "/messages", met.text | {"html": "<p onclick=x>Hola<script>x</script></p>",
                                                 "attachments": [photo('Fo"to ñ.jpg')]}).json["id"]
    content = call("GET", f"/messages/{sent}/content").json
    assert content["text"].startswith("Sale mañana.")
    assert "script" not in content["html"]
    assert "onclick" not in content["html"]
    [file] = content["attachments"]
    got = call("GET", f"/messages/{sent}/attachments/{file['number']}")
    assert (got.status, got.headers["Content-Type"], len(got.body)) == (200, "image/jpeg", file["size"])
    assert got.headers["Content-Disposition"].startswith('attachment; filename="Fo')
    assert "sandbox" in got.headers["Content-Security-Policy"]
    raw = call("GET", f"/messages/{sent}/raw")
    assert raw.headers["Content-Type"] == "message/rfc822"
    assert message_from_bytes(raw.body, policy=default)["Subject"] == "Su pedido"
    assert call("GET", f"/messages/{sent}/attachments/2").status == 404
    shown = [event for event in call("GET", f"/messages/{sent}").json["events"] if event["name"] == "content-shown"]
    assert {event["detail"] for event in shown} == {f"api reader-{met.number}"}


async def test_a_sellers_key_gets_nothing_that_acts_for_the_buyer(met: World) -> None:
    """The footer below a message and its List-Unsubscribe are sealed for whoever reads it."""
    own = met.own()
    sent = own("POST", "/messages", met.text | {"html": "<p>Sale ya.</p>"}).json["id"]
    [mail] = await met.mails(1)
    assert b"List-Unsubscribe" in mail.as_bytes()
    assert own("GET", f"/messages/{sent}/raw").status == 404
    content = own("GET", f"/messages/{sent}/content").json
    assert "@relay" not in f"{content['text']}{content['html']}"
    await met.to_the_seller("Pregunta")
    [waiting] = met.messages("needs-reply")
    assert own("GET", f"/messages/{waiting['id']}/raw").status == 200


async def test_marks_are_kept_in_the_timeline(met: World) -> None:
    call = met.shop
    for number, mark in enumerate(("answered", "no-answer-needed")):
        await met.to_the_seller(f"Pregunta {number}")
        [waiting] = met.messages("needs-reply")
        assert not call("POST", f"/messages/{waiting['id']}/{mark}").json["needs_reply"]
    assert call("POST", f"/messages/{waiting['id']}/report").json["reported"]
    assert [one["id"] for one in met.messages("reported")] == [waiting["id"]]
    decided = call("POST", f"/messages/{waiting['id']}/decision", {"decision": "dismissed", "reason": "Correcto."})
    assert not decided.json["reported"]
    assert call("POST", f"/messages/{waiting['id']}/decision", {"decision": "upheld", "reason": "x"}).status == 409
    names = [event["name"] for event in call("GET", f"/messages/{waiting['id']}").json["events"]]
    assert [name for name in names if name in ("no-answer", "report", "dismissed")] == ["no-answer", "report", "dismissed"]


async def test_what_was_stopped_at_the_door_is_for_moderators(met: World) -> None:
    """An auto-reply is kept as it came, real address and all."""
    await met.to_the_seller("Fuera", Auto_Submitted="auto-replied")
    [kept] = met.messages()
    assert kept["state"] == "auto"
    assert met.buyer.encode() in met.shop("GET", f"/messages/{kept['id']}/raw").body
    for call in (met.client("plain", ("messages",)), met.own()):
        for what in ("raw", "content", "attachments/1"):
            assert call("GET", f"/messages/{kept['id']}/{what}").status == 404


def test_lists_go_on_page_by_page(met: World) -> None:
    sent = [met.shop("POST", "/messages", met.text | {"subject": f"N {number}"}).json["id"] for number in range(5)]
    found, cursor = [], ""
    while cursor is not None:
        there = f"/messages?order={met.order}&filter=sent&limit=2{f'&cursor={cursor}' if cursor else ''}"
        page = met.shop("GET", there).json
        found, cursor = found + [one["id"] for one in page["items"]], page["next"]
    assert found == sent[::-1]
    other_list = met.shop("GET", "/messages?limit=1").json["next"]
    assert met.shop("GET", f"/orders?cursor={other_list}").status == 422
    assert met.shop("GET", "/messages?order=none").status == 404
