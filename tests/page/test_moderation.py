"""Moderators: what they see of whose message, what they decide, and what the ledger says of it."""

from __future__ import annotations

import itertools
from email import message_from_bytes, policy
from typing import Any

import pytest
from apiclient import Client, new_key, where
from pages import Page
from support import BUYER, ORDER, SELLER, Relay, message

from relay.ledger.listing import COLUMNS, JOINS, Listing
from relay.ledger.marks import Marks
from relay.ledger.opened import Opened
from relay.ledger.operate import Chosen, Operate

REASON = "Pide el pago por fuera <script>alert(1)</script>"
NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def mod(shop: Relay) -> Page:
    return Page(shop, "mod")


@pytest.fixture(scope="module")
def alias(shop: Relay) -> dict[str, str]:
    order = shop.order()
    return {side: order[side]["alias"] for side in ("seller", "buyer")}


def send(shop: Relay, alias: dict[str, str], to: str = "buyer", body: str = "Pague por fuera, es más barato.\n") -> tuple[int, str]:
    writer, number = (SELLER if to == "buyer" else BUYER), next(NUMBERS)
    data = message(writer, alias[to], f"Asunto {number}", body, Message_ID=f"<m{number}@cliente.example>")
    return shop.send_now(writer, alias[to], data)


@pytest.fixture
def sent(shop: Relay, alias: dict[str, str], opened: Opened) -> str:
    """The id of a message of the seller's."""
    assert send(shop, alias)[0] == 250
    return str(next(Listing(opened).messages(limit=1))["id"])


@pytest.fixture
def reported(sent: str, opened: Opened) -> str:
    Marks(opened, "buyer").report(sent)
    return sent


@pytest.fixture
def held(sent: str, opened: Opened) -> str:
    deliveries = [one["id"] for one in Listing(opened).queue() if one["message"] == sent]
    assert sum(changed for _, changed in Operate(opened, "ops").change("hold", Chosen.by(deliveries, None, everything=False))) == 1
    return sent


def events(opened: Opened, public_id: str, *kinds: str) -> list[tuple[str, str]]:
    return [(one["name"], one["detail"]) for one in Listing(opened).timeline(public_id)["events"] if one["kind"] in kinds]


def state(opened: Opened, public_id: str) -> tuple[str, bool]:
    told = Listing(opened).timeline(public_id)
    return told["state"], told["reported"]


def test_what_is_reported_and_what_is_held_is_listed(mod: Page, reported: str, opened: Opened) -> None:
    assert Page.get(mod, "/").headers["location"] == "/reports"
    [row] = mod.soup("/reports").select(f"#row-{reported}")
    assert "Tienda Sol a Ana López" in row.text
    live = mod.soup("/reports").select_one("#list")
    assert live is not None
    assert mod.get(str(live["hx-get"])).status_code == 204
    Marks(opened, "mod").decide(reported, "dismissed", "nada")
    assert mod.get(str(live["hx-get"])).status_code == 200
    assert not mod.soup("/reports").select(f"#row-{reported}")


def test_others_have_no_such_pages(shop: Relay, reported: str, held: str) -> None:
    for login in ("sol", "luna", "ops"):
        page = Page(shop, login)
        for path in ("/reports", "/held", "/blocked", f"/moderation/{reported}", "/moderation/rows?kind=held"):
            assert page.get(path).status_code == 404, (login, path)
        for path in (f"/moderation/{reported}/decide", f"/moderation/{held}/settle", "/blocked/1/lift"):
            assert page.post(path, {"decision": "blocked", "reason": "x"}).status_code == 404, (login, path)


def test_a_moderator_reads_only_what_they_are_asked_to_and_that_is_recorded(
        shop: Relay, mod: Page, alias: dict[str, str], opened: Opened) -> None:
    assert send(shop, alias, body="Palabras muy privadas.\n")[0] == 250
    sent = str(next(Listing(opened).messages(limit=1))["id"])
    for path in (f"/moderation/{sent}", f"/messages/{sent}", f"/messages/{sent}/open"):
        assert "muy privadas" not in mod.get(path).text
    assert mod.get(f"/messages/{sent}/html").status_code == 404
    assert events(opened, sent, "operator") == []
    Marks(opened, "buyer").report(sent)
    assert "muy privadas" in mod.get(f"/moderation/{sent}").text
    assert ("content-shown", "page mod") in events(opened, sent, "operator")
    Marks(opened, "mod").decide(sent, "dismissed", "nada")
    assert "muy privadas" in mod.get(f"/messages/{sent}").text, "what was decided can be looked at again"


@pytest.mark.parametrize("decision", ["dismissed", "warned", "blocked"])
def test_a_decision_needs_a_reason(mod: Page, reported: str, opened: Opened, decision: str) -> None:
    for fields in ({"decision": decision}, {"decision": decision, "reason": " \n "}, {"reason": "x"}, {"decision": "delete", "reason": "x"}):
        assert mod.post(f"/moderation/{reported}/decide", fields).status_code == 422
    assert state(opened, reported)[1]
    assert events(opened, reported, "moderation") == []
    assert mod.post(f"/moderation/{reported}/decide", {"decision": decision, "reason": "x" * 501}).status_code == 422


def test_a_dismissal_is_in_the_timeline_for_moderators_only(shop: Relay, mod: Page, reported: str, opened: Opened) -> None:
    answer = mod.post(f"/moderation/{reported}/decide", {"decision": "dismissed", "reason": REASON})
    assert (answer.status_code, answer.headers["location"]) == (303, f"/reports?done={reported}")
    assert events(opened, reported, "moderation") == [("dismissed", f"mod: {REASON}")]
    assert not state(opened, reported)[1]
    shown = mod.get(f"/moderation/{reported}").text
    assert "Denuncia desestimada — mod: Pide el pago por fuera &lt;script&gt;" in shown
    assert "<script>alert" not in shown
    assert "Pide el pago" not in Page(shop, "sol").get(f"/messages/{reported}").text
    again = mod.post(f"/moderation/{reported}/decide", {"decision": "blocked", "reason": "x"})
    assert again.status_code == 409


def test_a_warning_is_a_letter_to_the_writer(mod: Page, reported: str, opened: Opened) -> None:
    said = f"No pida datos como {BUYER}."
    assert mod.post(f"/moderation/{reported}/decide", {"decision": "warned", "reason": said}).status_code == 303
    [letter] = [one for one in Listing(opened).queue() if one["message"] == reported and one["kind"] == "dsn"]
    assert letter["to"] == "seller:S1"
    row = dict(opened.connection.execute(f"SELECT {COLUMNS}, d.body_sealed {JOINS} JOIN delivery d ON d.message_id = m.id WHERE d.id = ?", (letter["id"],)).fetchone())
    vault = Listing(opened)._vault(row)
    assert vault is not None
    parsed = message_from_bytes(vault.unseal("dsn", row["body_sealed"]), policy=policy.default)
    text: Any = parsed.get_content()  # type: ignore[attr-defined]
    assert "No pida datos como" in text
    assert BUYER not in text
    assert ORDER in text
    assert parsed["auto-submitted"] == "auto-replied"
    assert str(parsed["subject"]).startswith("Sobre su mensaje: Asunto")
    assert [name for name, _ in events(opened, reported, "moderation")] == ["warned"]


def test_whoever_is_blocked_writes_no_more_until_that_is_lifted(shop: Relay, mod: Page, reported: str, alias: dict[str, str]) -> None:
    mod.post(f"/moderation/{reported}/decide", {"decision": "blocked", "reason": "Tercera vez"})
    code, said = send(shop, alias)
    assert (code, "[BLOCKED_BY_OPERATOR]" in said) == (550, True)
    assert send(shop, alias, "seller")[0] == 250, "the other side may write"
    page = mod.soup("/blocked")
    assert "Tienda Sol" in page.text
    assert "mod: Tercera vez" in page.text
    form = page.select_one("form[action^='/blocked/']")
    assert form is not None
    number = str(form["action"]).split("/")[2]
    # the blocked party's own key neither sees nor lifts it
    own = Client(where(shop), new_key(shop, "sol", ("blocks",), seller="S1"))
    assert own("GET", "/blocks").json["items"] == []
    assert own("DELETE", f"/blocks/{number}").status == 404
    assert mod.post(str(form["action"]), {"reason": ""}).status_code == 303
    assert send(shop, alias)[0] == 550
    assert mod.post(str(form["action"]), {"reason": "Se ha disculpado"}).status_code == 303
    assert send(shop, alias)[0] == 250
    assert mod.post(str(form["action"]), {"reason": "otra vez"}).status_code == 404


def test_the_command_line_blocks_a_party_too(shop: Relay, alias: dict[str, str]) -> None:
    words = ("--scope", "relay", "--kind", "party", "--party", "buyer:B1")
    shop.run("block", "add", *words)
    assert [(one["kind"], one["party"]) for one in shop.json("block", "list")] == [("party", "buyer:B1")]
    assert send(shop, alias, "seller")[0] == 550
    assert send(shop, alias)[0] == 250
    shop.run("block", "remove", *words)
    assert send(shop, alias, "seller")[0] == 250
    assert "say which party" in shop.run("block", "add", *words[:4], check=2)


@pytest.mark.parametrize(("verb", "after"), [("release", ("queued", "deferred")), ("drop", ("held", "failed"))])
def test_a_held_message_goes_or_does_not(mod: Page, held: str, opened: Opened, verb: str, after: tuple[str, ...]) -> None:
    assert mod.soup("/held").select(f"#row-{held}")
    assert "es más barato" in mod.get(f"/moderation/{held}").text
    assert mod.post(f"/moderation/{held}/settle", {"decision": verb}).status_code == 422
    answer = mod.post(f"/moderation/{held}/settle", {"decision": verb, "reason": REASON})
    assert (answer.status_code, answer.headers["location"]) == (303, f"/held?done={held}")
    assert (f"queue-{verb}", f"mod: {REASON}") in events(opened, held, "operator")
    assert state(opened, held)[0] in after
    assert mod.post(f"/moderation/{held}/settle", {"decision": verb, "reason": "x"}).status_code == 409


def test_nothing_happens_to_a_message_that_is_not_there(mod: Page) -> None:
    assert mod.get("/moderation/0000000000000000").status_code == 404
    for path in ("decide", "settle"):
        for decision in ("dismissed", "warned", "blocked", "release"):
            assert mod.post(f"/moderation/0000000000000000/{path}", {"decision": decision, "reason": "x"}).status_code == 404
