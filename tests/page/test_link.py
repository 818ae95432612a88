"""The sealed links below a message as pages: what they show, what they do, and for whom."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx
import pytest
from apiclient import where
from bs4 import BeautifulSoup
from support import BUYER, SELLER, Relay, message

from aliasing.correspondence import Side
from aliasing.token import Action, OpenedAction, Role
from relay.ledger.erase import Erase
from relay.ledger.listing import Listing
from relay.ledger.opened import Opened
from relay.ledger.registry import NewParty, Registry

ONE_CLICK = {"List-Unsubscribe": "One-Click"}


class Links:
    """An order of its own with one message each way, and the links that stand below them."""

    def __init__(self, shop: Relay, opened: Opened, buyer: str = "B1") -> None:
        self.shop, self._opened, self.registry = shop, opened, Registry(opened)
        number = f"999-{len(self.registry_orders()):07}-0000000"
        order = self.registry.add_order(number, "relay.example", NewParty(Side.SELLER, "S1"), NewParty(Side.BUYER, buyer))
        self.order, self.alias = number, {"buyer": order.buyer_alias, "seller": order.seller_alias}
        self.ring = opened.keys.ring
        self.number = self.ring.open(Role.BUYER, "relay.example", order.buyer_alias.partition("@")[0])
        self.ids = {"buyer": self.send("buyer"), "seller": self.send("seller")}

    def registry_orders(self) -> list[Any]:
        return list(self.registry.orders())

    def send(self, to: str) -> str:
        """A message to one of them; its id."""
        known = {one["id"] for one in self.messages()}
        writer = SELLER if to == "buyer" else BUYER
        data = message(writer, self.alias[to], "¿Qué tal?", Message_ID=f"<{len(known)}@{self.order}.cliente.example>")
        assert self.shop.send_now(writer, self.alias[to], data)[0] == 250
        [new] = {one["id"] for one in self.messages()} - known
        return str(new)

    def messages(self) -> list[dict[str, Any]]:
        return list(Listing(self._opened).messages(order=self.order))

    def token(self, action: Action, actor: str = "buyer", **other: Any) -> str:
        values: dict[str, Any] = {"action": action, "actor": Role(actor), "correspondence": self.number,
                                  "message": other.get("message") or self.ids[actor]}
        return self.ring.seal_link(OpenedAction(**values | other), 1)

    def path(self, action: Action, actor: str = "buyer", **other: Any) -> str:
        return f"/sealed/{self.token(action, actor, **other)}"

    def state(self) -> tuple[list[str], list[str], list[str]]:
        """Reported messages, those that wait for an answer, what buyers have stopped."""
        told = self.messages()
        return ([one["id"] for one in told if one["reported"]], [one["id"] for one in told if one["needs_reply"]],
                [f"{one['kind']} {one['value']}" for one in self.registry.blocks()])

    def events(self, which: str) -> list[tuple[str, str]]:
        timeline = Listing(self._opened).timeline(self.ids[which])
        return [(one["name"], one["detail"]) for one in timeline["events"] if one["kind"] == "action"]


@pytest.fixture
def links(shop: Relay, opened: Opened) -> Iterator[Links]:
    """What a test stopped is lifted again."""
    made = Links(shop, opened)
    yield made
    for one in list(made.registry.blocks()):
        made.registry.lift_block(int(one["id"]))


@pytest.fixture
def browser(shop: Relay) -> Iterator[httpx.Client]:
    """Without cookies, and asking for English: what comes in Spanish is the party's own language."""
    with httpx.Client(base_url=f"http://{where(shop)}", headers={"Accept-Language": "en"}, timeout=20,
                      limits=httpx.Limits(max_keepalive_connections=0)) as client:
        yield client


def soup(answer: httpx.Response) -> BeautifulSoup:
    return BeautifulSoup(answer.text, "lxml")


def press(browser: httpx.Client, path: str) -> BeautifulSoup:
    """The one button of the page, as a browser without script and with an opaque origin sends it."""
    page = soup(browser.get(path))
    form, button = page.select_one("main form"), page.select_one("main form button")
    assert form is not None
    assert button is not None
    answer = browser.post(str(form["action"]), data={str(button["name"]): str(button["value"])}, headers={"Origin": "null"})
    assert (answer.status_code, answer.headers["location"]) == (303, path)
    return soup(browser.get(path))


DONE: dict[tuple[Action, str], Callable[[Links], tuple[list[str], list[str], list[str]]]] = {
    (Action.REPORT, "buyer"): lambda links: ([links.ids["buyer"]], [links.ids["seller"]], []),
    (Action.REPORT, "seller"): lambda links: ([links.ids["seller"]], [links.ids["seller"]], []),
    (Action.STOP_SELLER, "buyer"): lambda links: ([], [links.ids["seller"]], ["unsolicited S1"]),
    (Action.STOP_ALL, "buyer"): lambda links: ([], [links.ids["seller"]], ["unsolicited None"]),
    (Action.NO_ANSWER, "seller"): lambda links: ([], [], []),
}


@pytest.mark.parametrize(("action", "actor"), DONE, ids=[f"{one}-{actor}" for one, actor in DONE])
def test_shown_done_and_undone(links: Links, browser: httpx.Client, action: Action, actor: str) -> None:
    path, before = links.path(action, actor), links.state()
    for _ in range(2):
        shown = browser.get(path)
        assert browser.head(path).status_code == shown.status_code == 200
    assert (before, links.events(actor)) == (links.state(), []), "to look is not to act"
    assert soup(shown).html["lang"] == "es"  # type: ignore[index]
    done = press(browser, path)
    assert links.state() == DONE[action, actor](links)
    assert done.select_one("main [role=status]") is not None
    undone = press(browser, path)
    assert links.state() == before
    assert undone.select_one("main [role=status]") is None
    assert links.events(actor) == [(action, actor), (f"undo-{action}", actor)]


def test_nothing_of_it_is_kept_or_told_on(links: Links, browser: httpx.Client) -> None:
    for path in (links.path(Action.REPORT), "/sealed/" + "0" * 56):
        answer = browser.get(path)
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert "noindex" in answer.headers["x-robots-tag"]
        assert "script-src 'self'" in answer.headers["content-security-policy"]
        assert "set-cookie" not in answer.headers
    text = browser.get(links.path(Action.STOP_SELLER)).text
    assert "Tienda Sol" in text
    assert links.order in text
    for secret in ("Ana", "López", "B1", "S1", "¿Qué tal?", links.ids["buyer"], "relay.example", "@"):
        assert secret not in text.replace("@media", ""), secret
    assert "Ana" not in browser.get(links.path(Action.REPORT, "seller")).text
    assert links.token(Action.REPORT) not in links.shop.log.read_text()


@pytest.mark.parametrize("body", ["urlencoded", "multipart"])
def test_a_mail_programs_own_button_acts_at_once(links: Links, browser: httpx.Client, body: str) -> None:
    path = links.path(Action.STOP_SELLER)
    sent: dict[str, Any] = {"data": ONE_CLICK} if body == "urlencoded" else {"files": {"List-Unsubscribe": (None, "One-Click")}}
    for _ in range(2):
        answer = browser.post(path, **sent)
        assert (answer.status_code, answer.headers.get("location")) == (200, None)
    assert links.state()[2] == ["unsolicited S1"]
    assert links.events("buyer") == [("stop-seller", "buyer")], "once, however often it is asked"


@pytest.mark.parametrize("sent", [{}, {"act": "redo"}, {"List-Unsubscribe": "x"}, {"List-Unsubscribe": ""}])
def test_any_other_post_does_nothing(links: Links, browser: httpx.Client, sent: dict[str, str]) -> None:
    before = links.state()
    assert browser.post(links.path(Action.STOP_ALL), data=sent).status_code == 422
    for method in ("PUT", "DELETE", "OPTIONS", "PATCH"):
        assert browser.request(method, links.path(Action.STOP_ALL)).status_code == 405
    assert links.state() == before


@pytest.mark.parametrize("spelt", ["{upper}", "{token}.", "{token}).", "{token}%3E", "{token}/", "{token}%E2%80%9D", "{crockford}"])
def test_what_a_reader_or_their_program_adds_does_no_harm(links: Links, browser: httpx.Client, spelt: str) -> None:
    token = links.token(Action.REPORT)
    path = "/sealed/" + spelt.format(token=token, upper=token.upper(), crockford=token.replace("0", "o").replace("1", "l"))
    assert soup(browser.get(path)).select_one("main form") is not None


def test_what_was_not_sealed_for_this_is_no_link(links: Links, browser: httpx.Client) -> None:
    good = links.token(Action.STOP_ALL)
    ring, number = links.ring, links.number
    assert number is not None
    address = ring.seal_action(OpenedAction(Action.STOP_ALL, Role.BUYER, number, links.ids["buyer"]), "relay.example", 1)
    bad = [good[:at] + ("7" if good[at] != "7" else "8") + good[at + 1 :] for at in (0, 28, 55)]
    bad += [address, good[:-1], good + "0", links.token(Action.REPORT, message="0" * 16),
            links.token(Action.REPORT, correspondence=number + 5000), ring.seal(Role.BUYER, "relay.example", number), "x", "%2e%2e%2fetc%2fpasswd"]
    before, answers = links.state(), set()
    for token in bad:
        answer = browser.get(f"/sealed/{token}")
        answers.add((answer.status_code, answer.text))
        assert browser.post(f"/sealed/{token}", data={"act": "do"}).status_code in (404, 429)
    assert [status for status, _ in answers if status != 429] == [404], "all alike"
    assert links.state() == before


def test_who_tries_forged_ones_has_to_wait_and_nobody_else(links: Links, browser: httpx.Client) -> None:
    for _ in range(25):
        answer = browser.get("/sealed/" + "0" * 56)
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 6
    path = links.path(Action.REPORT)
    statuses = [browser.get(path).status_code for _ in range(25)]
    assert (statuses[0], statuses[-1]) == (200, 429)
    assert browser.get(links.path(Action.STOP_ALL)).status_code == 200


def test_a_report_of_somebody_elses_is_not_withdrawn(links: Links, browser: httpx.Client) -> None:
    path = links.path(Action.REPORT)
    browser.post(path, data={"act": "do"})
    seller = links.path(Action.REPORT, "seller", message=links.ids["buyer"])
    page = soup(browser.get(seller))
    assert page.select_one("main form") is None
    browser.post(seller, data={"act": "undo"})
    assert links.state()[0] == [links.ids["buyer"]]
    browser.post(path, data={"act": "undo"})
    assert links.state()[0] == []


def test_no_answer_needed_is_not_undone_once_answered(links: Links, browser: httpx.Client) -> None:
    path = links.path(Action.NO_ANSWER, "seller")
    browser.post(path, data={"act": "do"})
    links.send("buyer")
    browser.post(path, data={"act": "undo"})
    assert links.state()[1] == []


def test_an_erased_buyers_link_is_like_a_forged_one(shop: Relay, opened: Opened, browser: httpx.Client) -> None:
    shop.order("444-4444444-4444444", buyer="B9", buyer_address=BUYER, buyer_name="Nuria")
    path = Links(shop, opened, "B9").path(Action.STOP_ALL)
    assert browser.get(path).status_code == 200
    Erase(opened).erase("buyer:B9")
    gone = browser.get(path)
    assert gone.status_code in (404, 429)
    assert "Nuria" not in gone.text
    assert browser.post(path, data=ONE_CLICK).status_code in (404, 429)


# --- what goes out -----------------------------------------------------------------------------------------------


def outgoing(folder: Path, base_url: str, to: str = "buyer") -> tuple[str, EmailMessage]:
    relay = Relay(folder, {"page": {"base_url": base_url}} if base_url else {})
    order = relay.order()
    writer, alias = (SELLER, order["buyer"]["alias"]) if to == "buyer" else (BUYER, order["seller"]["alias"])
    written = folder / "in.eml"
    written.write_bytes(message(writer, alias, List_Unsubscribe="<https://espia.example/x>", List_Unsubscribe_Post="List-Unsubscribe=One-Click"))
    relay.run("preview", str(written), "--mail-from", writer, "--rcpt-to", alias, "-o", str(folder / "out.eml"))
    raw = (folder / "out.eml").read_bytes()
    parsed = message_from_bytes(raw, policy=policy.default)
    assert isinstance(parsed, EmailMessage)
    return raw.decode(), parsed


def test_with_https_the_footer_has_links_and_the_header_one_click(tmp_path: Path) -> None:
    raw, parsed = outgoing(tmp_path, "https://mensajes.example")
    assert len(re.findall(r"^  https://mensajes\.example/sealed/[0-9a-z]{56}\r?$", raw, re.MULTILINE)) == 3
    ways = re.findall(r"<([^>]*)>", str(parsed["list-unsubscribe"]))
    assert re.fullmatch(r"https://mensajes\.example/sealed/[0-9a-z]{56}", ways[0])
    assert re.fullmatch(r"mailto:[0-9a-z]{56}@relay\.example\?subject=.*", ways[1])
    assert ways[0] in raw.partition("\r\n\r\n")[2], "the same as the footer's"
    assert parsed["list-unsubscribe-post"] == "List-Unsubscribe=One-Click"
    assert "espia" not in raw


def test_without_https_there_is_no_one_click_and_without_a_page_no_link(tmp_path: Path) -> None:
    for name in ("plain", "none", "seller"):
        (tmp_path / name).mkdir()
    raw, parsed = outgoing(tmp_path / "plain", "http://mensajes.example:8080")
    assert "http://mensajes.example:8080/sealed/" in raw
    assert "list-unsubscribe-post" not in parsed
    raw, parsed = outgoing(tmp_path / "none", "")
    assert "http" not in raw
    assert str(parsed["list-unsubscribe"]).startswith("<mailto:")
    assert "list-unsubscribe-post" not in parsed
    raw, parsed = outgoing(tmp_path / "seller", "https://mensajes.example", "seller")
    assert raw.count("https://mensajes.example/sealed/") == 2
    assert "list-unsubscribe" not in parsed
