"""Messages by API: the list, one with its timeline and files, marks, and writing one."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from email import message_from_bytes
from email.policy import default
from typing import Any

import pytest
from apiclient import SELLER_SCOPES, Client, new_key
from operating import until
from shape_files import jpeg
from support import BUYER, ORDER, SELLER, Relay, message

from relay.demo.outside import OutsideServer

Start = Callable[..., Awaitable[Relay]]
JPEG = jpeg(0)
TEXT = {"order": ORDER, "subject": "Su pedido", "text": "Sale mañana.\n"}


@pytest.fixture
async def relay(start_relay: Start, outside: OutsideServer) -> Relay:
    relay = await start_relay(outbound={"route": f"smtp://127.0.0.1:{outside.port}", "retry": ["1s"]},
                              listen={"http": "127.0.0.1:0"})
    relay.order()
    return relay


@pytest.fixture
def call(relay: Relay) -> Client:
    return Client(relay, new_key(relay))


async def arrived(outside: OutsideServer, count: int = 1) -> list[Any]:
    await until(lambda: len(outside.arrived) >= count)
    return [message_from_bytes(one.raw, policy=default) for one in outside.arrived]


async def test_a_message_by_api_arrives_as_mail(relay: Relay, call: Client, outside: OutsideServer) -> None:
    sent = call("POST", "/messages", TEXT | {"html": "<p>Sale <b>mañana</b>.</p>", "attachments": [
        {"name": "Foto.jpg", "type": "image/jpeg", "content_base64": base64.b64encode(JPEG).decode()}]})
    assert sent.status == 201, sent.body
    assert (sent.json["channel"], sent.json["direction"], sent.json["attachments"]) == ("page", "to-buyer", 1)
    [mail] = await arrived(outside)
    assert mail["Subject"] == "Su pedido"
    assert mail["From"].startswith("Tienda Sol <")
    assert SELLER not in mail.as_string()
    assert mail.get_body(("plain",)).get_content().startswith("Sale mañana.")
    assert [part.get_filename() for part in mail.iter_attachments()] == ["Foto.jpg"]
    await relay.settle("delivered")
    shown = call("GET", f"/messages/{sent.json['id']}").json
    assert shown["state"] == "delivered"
    assert {"verdict", "attempt", "outcome"} <= {event["kind"] for event in shown["events"]}
    assert call("GET", sent.headers["Location"].removeprefix("/api/v1")).json == shown


async def test_a_rule_refuses_in_words_and_it_is_recorded(relay: Relay, call: Client, outside: OutsideServer) -> None:
    relay.run("block", "add", "--scope", "buyer", "--party", "B1", "--kind", "unsolicited")
    refused = call("POST", "/messages", TEXT)
    assert (refused.status, refused.json["code"], refused.json["rule"]) == (422, "refused", "unsolicited")
    assert "[UNSOLICITED]" in refused.json["reply"]
    assert ORDER in refused.json["detail"] or "mensajes" in refused.json["detail"]
    [entry] = call("GET", "/messages?filter=refused").json["items"]
    assert (entry["id"], entry["state"], entry["channel"]) == (refused.json["message"], "refused", "page")
    assert not outside.arrived


async def test_asked_twice_it_is_sent_once(relay: Relay, call: Client, outside: OutsideServer) -> None:
    first = call("POST", "/messages", TEXT, Idempotency_Key="m1")
    again = call("POST", "/messages", TEXT, Idempotency_Key="m1")
    assert first.status == again.status == 201
    assert first.body == again.body
    await relay.settle("delivered")
    assert len(outside.arrived) == len(relay.messages()) == 1


async def test_a_crash_before_the_answer_was_kept_sends_nothing_twice(relay: Relay, call: Client,
                                                                      outside: OutsideServer) -> None:
    from pysqlite3 import dbapi2 as sqlite

    first = call("POST", "/messages", TEXT, Idempotency_Key="m1")
    await relay.settle("delivered")
    with sqlite.connect(relay.folder / "var/ledger.db") as db:
        db.execute("UPDATE idempotency SET status = NULL, answer_sealed = NULL")
    again = call("POST", "/messages", TEXT, Idempotency_Key="m1")
    assert (again.status, again.json["id"]) == (201, first.json["id"])
    assert len(outside.arrived) == len(relay.messages()) == 1


async def test_an_answer_joins_the_thread(relay: Relay, call: Client, outside: OutsideServer) -> None:
    alias = relay.order()["seller"]["alias"]
    await relay.send(BUYER, alias, message(BUYER, alias, "Pregunta", Message_ID="<q1@correo.example>"))
    [waiting] = call("GET", "/messages?filter=needs-reply").json["items"]
    assert waiting["needs_reply"]
    answer = call("POST", "/messages", TEXT | {"in_reply_to": waiting["id"], "subject": "Re: Pregunta"})
    assert answer.status == 201
    mails = await arrived(outside, 2)
    assert mails[-1]["In-Reply-To"] == "<q1@correo.example>"
    assert call("GET", "/messages?filter=needs-reply").json["items"] == []
    assert call("POST", "/messages", TEXT | {"in_reply_to": "0" * 16}).status == 404


async def test_a_buyer_writes_through_the_marketplaces_site(relay: Relay, call: Client, outside: OutsideServer) -> None:
    sent = call("POST", "/messages", TEXT | {"writer": "buyer", "subject": "¿Cuándo llega?"})
    assert (sent.status, sent.json["direction"], sent.json["needs_reply"]) == (201, "to-seller", True)
    [mail] = await arrived(outside)
    assert mail["From"].startswith("Ana López <") or "Ana" in mail["From"]
    assert BUYER not in mail.as_string()
    alias = relay.order()["buyer"]["alias"]
    by_alias = call("POST", "/messages", {"alias": alias, "subject": "Mañana", "text": "Mañana."})
    assert (by_alias.status, by_alias.json["direction"]) == (201, "to-buyer")
    assert call("POST", "/messages", {"alias": alias, "writer": "buyer", "subject": "x", "text": "x"}).status == 422


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


async def test_what_comes_is_checked(call: Client, outside: OutsideServer) -> None:
    for change, status in WRONG:
        answer = call("POST", "/messages", TEXT | change)
        assert answer.status == status, (change, answer.body)
    assert not outside.arrived


async def test_odd_texts_arrive(call: Client, outside: OutsideServer) -> None:
    texts = ["Mi correo: " + SELLER, "línea\r\rlarga " + "x" * 3000, ".\r\n.\r\n", "From nobody\n"]
    for text in texts:
        answer = call("POST", "/messages", TEXT | {"text": text})
        assert answer.status == 201, answer.body
    for mail in await arrived(outside, len(texts)):
        assert SELLER not in mail.as_string()


async def test_content_and_files_are_shown_as_the_reader_sees_them(relay: Relay, call: Client) -> None:
    sent = call("POST", "/messages", TEXT | {"html": "<p onclick=x>Hola<script>x</script></p>", "attachments": [
        {"name": 'Fo"to ñ.jpg', "type": "image/jpeg", "content_base64": base64.b64encode(JPEG).decode()}]}).json["id"]
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
    assert {event["detail"] for event in shown} == {"api shop"}


async def test_marks_are_kept_in_the_timeline(relay: Relay, call: Client) -> None:
    alias = relay.order()["seller"]["alias"]
    for number, mark in enumerate(("answered", "no-answer-needed")):
        await relay.send(BUYER, alias, message(BUYER, alias, f"Pregunta {number}"))
        [waiting] = call("GET", "/messages?filter=needs-reply").json["items"]
        assert not call("POST", f"/messages/{waiting['id']}/{mark}").json["needs_reply"]
    assert call("POST", f"/messages/{waiting['id']}/report").json["reported"]
    assert [one["id"] for one in call("GET", "/messages?filter=reported").json["items"]] == [waiting["id"]]
    decided = call("POST", f"/messages/{waiting['id']}/decision", {"decision": "dismissed", "reason": "Correcto."})
    assert not decided.json["reported"]
    assert call("POST", f"/messages/{waiting['id']}/decision", {"decision": "upheld", "reason": "x"}).status == 409
    names = [event["name"] for event in call("GET", f"/messages/{waiting['id']}").json["events"]]
    assert [name for name in names if name in ("no-answer", "report", "dismissed")] == ["no-answer", "report", "dismissed"]


async def test_what_was_stopped_at_the_door_is_for_moderators(relay: Relay, call: Client) -> None:
    """An auto-reply is kept as it came, real address and all."""
    alias = relay.order()["seller"]["alias"]
    await relay.send(BUYER, alias, message(BUYER, alias, "Fuera", Auto_Submitted="auto-replied"))
    [kept] = call("GET", "/messages").json["items"]
    assert kept["state"] == "auto"
    assert BUYER.encode() in call("GET", f"/messages/{kept['id']}/raw").body
    for key in (new_key(relay, "plain", ("messages",)), new_key(relay, "sol", SELLER_SCOPES, "S1")):
        for what in ("raw", "content", "attachments/1"):
            assert Client(relay, key)("GET", f"/messages/{kept['id']}/{what}").status == 404


async def test_lists_go_on_page_by_page(relay: Relay, call: Client) -> None:
    sent = [call("POST", "/messages", TEXT | {"subject": f"N {number}"}).json["id"] for number in range(5)]
    found, cursor = [], ""
    while cursor is not None:
        page = call("GET", f"/messages?order={ORDER}&filter=sent&limit=2{f'&cursor={cursor}' if cursor else ''}").json
        found, cursor = found + [one["id"] for one in page["items"]], page["next"]
    assert found == sent[::-1]
    other_list = call("GET", "/messages?limit=1").json["next"]
    assert call("GET", f"/orders?cursor={other_list}").status == 422
    assert call("GET", "/messages?order=none").status == 404
