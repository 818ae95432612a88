"""Operators: the queue by destination, what is done to it, and what is said of the daemon."""

from __future__ import annotations

import itertools
import re
import time
from typing import Any

import pytest
from pages import Page
from support import BUYER, SELLER, Relay, message

from relay.ledger.listing import Listing
from relay.ledger.opened import Opened
from relay.ledger.traffic import SERIES, Traffic

NUMBERS = itertools.count()
PATHS = ("/queue", "/queue/destinations", "/throughput", "/throughput/part", "/health", "/health/part")


@pytest.fixture(scope="module")
def ops(shop: Relay) -> Page:
    return Page(shop, "ops")


@pytest.fixture(scope="module")
def alias(shop: Relay) -> str:
    return str(shop.order()["buyer"]["alias"])


@pytest.fixture
def waiting(shop: Relay, alias: str, opened: Opened) -> dict[str, Any]:
    """A delivery to the buyer's mail server, which nobody can reach: it was tried, or waits with those that were."""
    number = next(NUMBERS)
    assert shop.send_now(SELLER, alias, message(SELLER, alias, "Hola", Message_ID=f"<q{number}@tienda.example>"))[0] == 250
    return settled(opened, next(Listing(opened).messages(limit=1))["id"])


def settled(opened: Opened, public_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + 15
    while True:
        [one] = [one for one in Listing(opened).queue() if one["message"] == public_id]
        if not one["leased"]:
            return one
        assert time.monotonic() < deadline, one
        time.sleep(0.02)


def now(opened: Opened, delivery: dict[str, Any]) -> dict[str, Any] | None:
    return next((one for one in Listing(opened).queue() if one["id"] == delivery["id"]), None)


def notes(opened: Opened, delivery: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["name"], one["detail"]) for one in Listing(opened).timeline(delivery["message"])["events"]
            if one["kind"] == "operator"]


def test_it_is_for_operators_alone(shop: Relay) -> None:
    for login in ("sol", "mod"):
        page = Page(shop, login)
        assert [page.get(path).status_code for path in PATHS] == [404] * len(PATHS)
        assert page.post("/queue/change", {"verb": "hold", "scope": "all", "sure": "yes"}).status_code == 404
    assert Page(shop, "ops").get("/").headers["location"] == "/queue"


def test_what_waits_is_shown_by_destination_and_without_an_address(ops: Page, waiting: dict[str, Any]) -> None:
    page = ops.soup("/queue")
    assert page.select_one(f"input[name=id][value='{waiting['id']}']") is not None
    assert "buyer:B1" in page.text
    links = {str(one["href"]) for one in page.select("#destinations a")}
    assert "/queue?destination=correo.example" in links
    there = ops.soup("/queue?destination=CORREO.example")
    assert there.select_one(f"input[name=id][value='{waiting['id']}']") is not None
    assert not ops.soup("/queue?destination=otra.example").select("input[name=id]")
    for text in (page.text, there.text, ops.get("/queue/destinations").text):
        for secret in (BUYER, SELLER, "Ana", "Tienda Sol", "Hola"):
            assert secret not in text
    assert ops.get("/queue?destination=no+domain%0d%0a").status_code == 422


def test_held_released_tried_and_dropped(ops: Page, waiting: dict[str, Any], opened: Opened) -> None:
    def change(verb: str, **fields: str) -> Any:
        return ops.post("/queue/change", {"verb": verb, "id": waiting["id"], **fields})

    answer = change("hold", note=" una\r\n nota ")
    assert (answer.status_code, answer.headers["location"]) == (303, "/queue?changed=1")
    assert "Se ha cambiado 1 entrega" in ops.get("/queue?changed=1").text
    assert (now(opened, waiting) or {})["state"] == "held"
    assert notes(opened, waiting) == [("queue-hold", "ops: una nota")]
    assert change("hold").headers["location"] == "/queue?changed=0"
    assert "1 retenido" in ops.soup("/queue/destinations").text
    assert change("release").headers["location"] == "/queue?changed=1"
    settled(opened, waiting["message"])
    assert change("retry").headers["location"] == "/queue?changed=1"
    assert notes(opened, waiting)[-1] == ("queue-retry", "ops")
    settled(opened, waiting["message"])
    asked = change("drop", note="sobra")
    assert asked.status_code == 200
    assert "No se puede deshacer" in asked.text
    assert (now(opened, waiting) or {})["code"] != "dropped"
    assert change("drop", note="sobra", sure="yes").headers["location"] == "/queue?changed=1"
    assert notes(opened, waiting)[-1] == ("queue-drop", "ops: sobra")


def test_all_to_one_destination_and_nothing_else(ops: Page, waiting: dict[str, Any], opened: Opened) -> None:
    fields = {"verb": "hold", "scope": "all", "destination": "otra.example"}
    assert ops.post("/queue/change", fields).status_code == 200
    assert ops.post("/queue/change", {**fields, "sure": "yes"}).headers["location"] == "/queue?destination=otra.example&changed=0"
    fields["destination"] = "correo.example"
    assert "¿Retener" in ops.post("/queue/change", fields).text
    assert (now(opened, waiting) or {})["state"] != "held"
    assert ops.post("/queue/change", {**fields, "sure": "yes"}).status_code == 303
    assert (now(opened, waiting) or {})["state"] == "held"
    assert ops.post("/queue/change", {**fields, "verb": "release", "sure": "yes"}).status_code == 303


@pytest.mark.parametrize("fields", [{"verb": "erase"}, {"verb": "hold", "id": "x"}, {"verb": "hold", "id": "1 OR 1=1"}, {},
                                    {"verb": "hold", "scope": "everything"}, {"verb": "hold", "id": "1", "note": "x" * 301}])
def test_odd_requests_change_nothing(ops: Page, waiting: dict[str, Any], opened: Opened, fields: dict[str, str]) -> None:
    assert ops.post("/queue/change", fields).status_code in (303, 422)
    assert (now(opened, waiting) or {})["state"] != "held"
    assert ops.post("/queue/change", {"verb": "drop"}).headers["location"] == "/queue?changed=0", "nothing chosen"


def test_the_destination_whose_mailbox_has_moved_has_no_name(opened: Opened, waiting: dict[str, Any]) -> None:
    number = int(waiting["id"])
    other = opened.keys.hash_domain("vieja.example")
    with opened.transaction() as connection:
        connection.execute("UPDATE delivery SET destination_hash = ? WHERE id = ?", (other, number))
    found = Traffic(opened).destinations(10)
    assert {one.domain for one in found} == {"correo.example", None}


def test_health_says_what_the_pages_for_machines_say(ops: Page) -> None:
    page = ops.soup("/health")
    assert page.select_one(".health-all.good") is not None
    said = " ".join(page.text.split())
    assert "1 de 1 responden y pueden escribir" in said
    assert "Se acaba de escribir en él" in said
    assert len(page.select(".findings .row")) == 6
    assert "200" in str(ops.get("/health/part").status_code)


# --- throughput ------------------------------------------------------------------------------------------------------


def test_the_chart_is_what_the_ledger_counted(ops: Page, waiting: dict[str, Any], opened: Opened) -> None:
    page = ops.soup("/throughput")
    counted = Traffic(opened).slices(time.time() // 60 * 60 + 60, 60.0, 60)
    totals = dict(zip(SERIES, map(sum, zip(*(one.counts for one in counted), strict=True)), strict=True))
    assert totals["accepted"] > 0
    for chart, series in (("in", ("accepted", "refused")), ("out", ("delivered", "deferred", "failed"))):
        rows = [[int(cell.text) for cell in row.select("td")] for row in page.select(f"#table-{chart} tbody tr")]
        assert len(rows) == 60
        shown = [sum(column) for column in zip(*rows, strict=True)]
        assert [abs(one - totals[name]) <= 3 for one, name in zip(shown, series, strict=True)] == [True] * len(series)
    drawing = page.select_one("section.chart svg")
    assert drawing is not None
    assert re.match(r"Aceptados \d+, Rechazados \d+", str(drawing["aria-label"]))
    heights = [float(str(one["height"])) for one in page.select("svg rect")]
    assert heights
    assert max(heights) <= 100
    assert len(ops.soup("/throughput?span=day").select("#table-in tbody tr")) == 48
    assert ops.get("/throughput?span=year").status_code == 422


def test_the_charts_refresh_only_when_they_changed(ops: Page) -> None:
    for _ in range(3):  # a message may just be on its way
        part = ops.soup("/throughput").select_one("#throughput")
        assert part is not None
        answer = ops.get(str(part["hx-get"]))
        if answer.status_code == 204:
            return
    assert answer.status_code == 204


def test_each_outcome_is_counted_in_its_slice(opened: Opened) -> None:
    with opened.transaction() as connection:
        for at, kind, name in ((1000.0, "verdict", "pass"), (1059.9, "verdict", "unsolicited"), (1060.0, "outcome", "failed"),
                               (1119.0, "outcome", "delivered"), (1119.5, "attempt", "1"), (1120.0, "verdict", "pass"), (999.9, "verdict", "pass")):
            connection.execute("INSERT INTO event (at, kind, name) VALUES (?, ?, ?)", (at, kind, name))
    assert [one.counts for one in Traffic(opened).slices(1120.0, 60.0, 2)] == [(1, 1, 0, 0, 0), (0, 0, 1, 0, 1)]


def test_it_is_read_from_indices(opened: Opened) -> None:
    asked: list[str] = []
    opened.connection.set_trace_callback(asked.append)
    Traffic(opened).slices(time.time(), 60.0, 60)
    Traffic(opened).destinations(10)
    opened.connection.set_trace_callback(None)
    plans = [row[3] for sql in asked if sql.lstrip().startswith(("SELECT", "WITH")) for row in opened.connection.execute(f"EXPLAIN QUERY PLAN {sql}")]
    assert any("COVERING INDEX event_traffic" in step for step in plans)
    assert any("delivery_held" in step for step in plans)
    assert not [step for step in plans if step.startswith("SCAN") and step not in ("SCAN lane", "SCAN held", "SCAN (subquery-1)")
                and "USING" not in step], plans
