"""The short form of `./dev soak leaks`, and the proof that its judge sees what it is to see."""

from __future__ import annotations

from collections import Counter
from random import Random

import oracle
import pytest
from planting import FRAMES, PEOPLE, planted
from soak.leaks import Figures, run
from spellings import SPELLINGS
from support import SELLER

from aliasing.correspondence import Direction, Side

SEED = 20261124
IDN = "pedidos@señal.example"


@pytest.fixture(scope="module")
def figures() -> Figures:
    return run(SEED, 0, 400)


def test_no_planted_address_comes_through(figures: Figures) -> None:
    assert figures.leaking == 0, figures.kept


def test_every_planted_address_is_seen_where_it_was_planted(figures: Figures) -> None:
    assert figures.unseen == Counter()


def test_nothing_raises_and_much_passes(figures: Figures) -> None:
    assert figures.exceptions == Counter()
    assert figures.generated == 400
    assert figures.passed > 200, figures.refused


def test_the_campaign_reaches_every_place_and_spelling() -> None:
    kinds, spellings = Counter[str](), Counter[str]()
    for number in range(4000):
        message = planted(SEED, number)
        kinds.update(plant.kind for plant in message.plants)
        spellings.update(plant.spelling.partition(" of ")[0] for plant in message.plants)
    assert set(spellings) == set(SPELLINGS)
    assert len(kinds) >= 80
    assert min(kinds.values()) >= 5


def test_a_message_is_made_again_from_its_seed_and_number() -> None:
    assert planted(SEED, 17) == planted(SEED, 17)
    assert planted(SEED, 17).data == planted(SEED, 17).data
    assert planted(SEED, 17).data != planted(SEED, 18).data


def test_a_message_is_written_by_the_party_of_its_direction() -> None:
    for number in range(50):
        message = planted(SEED, number)
        addresses = FRAMES[message.frame].addresses
        assert set(addresses) == {Side.SELLER, Side.BUYER}
        writer = PEOPLE[message.frame][Direction(message.direction).writer][0]
        assert oracle.Find("0 from", writer) in oracle.finds(message.data, message.secrets)


@pytest.mark.parametrize("address", [SELLER, "ana.lopez@correo.example", IDN])
@pytest.mark.parametrize("name", SPELLINGS)
def test_the_oracle_reads_each_spelling(name: str, address: str) -> None:
    local, _, domain = address.rpartition("@")
    for chance in range(20):
        spelt = SPELLINGS[name](Random(chance), local, domain)
        assert oracle.seen(f"Escríbame a {spelt}, gracias", [address]) == [address], spelt


@pytest.mark.parametrize("text", [
    "sol@tienda.example", "(sol@tienda.example)", "連絡先sol@tienda.exampleまで", "**sol@tienda.example**",
    "_sol@tienda.example_", "sol@tienda.example.pdf", "mailto:sol@tienda.example?subject=x", "sol@tienda.example.",
    "&#115;ol&commat;tienda&period;example", "sol%2540tienda.example", '"sol"@tienda.example', "sol[at]tienda[.]example",
    "x=sol@tienda.example", "sol＠tienda。example", "s\u0332o\u0332l\u0332@tienda.example",
])
def test_the_oracle_reads_an_address_standing_alone(text: str) -> None:
    assert oracle.seen(text, [SELLER]) == [SELLER]


@pytest.mark.parametrize("text", [
    "mirasol@tienda.example", "mira-sol@tienda.example", "mira.sol@tienda.example", "sol@tienda.example.org",
    "sol@tienda.examples", "sol@tienda.example-x.org", "solo@tienda.example", "sol@otratienda.example", "sol",
    "El sol sale; la tienda abre, por example.", "tienda.example", "sol@otra.example tienda.example", "",
    "un sol a tienda punto example", "consol at tienda dot example",
])
def test_the_oracle_leaves_other_texts_alone(text: str) -> None:
    assert oracle.seen(text, [SELLER]) == []


@pytest.mark.parametrize(("message", "place"), [
    (b"Subject: =?utf-8?B?c29s?= =?utf-8?Q?=40tien?=\r\n =?iso-8859-1?q?da=2Eexample?=\r\n\r\nx\r\n", "0 subject"),
    (b"X-A: a; filename*0*=utf-8''sol%40; filename*1*=tienda.ex;\r\n filename*2=ample\r\n\r\nx\r\n", "0 x-a"),
    (b"To: sol (the seller) @ tienda.example\r\n\r\nx\r\n", "0 to"),
    (b"Content-Transfer-Encoding: quoted-printable\r\n\r\nso=\r\nl=40tienda.=\r\nexample\r\n", "0 body"),
    (b"Content-Transfer-Encoding: base64\r\n\r\nc29s\r\nQHRpZW5kYS5l\r\neGFtcGxl\r\n", "0 body"),
    (b"Subject: x\r\n\r\nc29sQHRpZW5kYS5leGFtcGxl\r\n", "raw"),
    (b"Content-Type: text/plain; charset=utf-16\r\n\r\n" + SELLER.encode("utf-16"), "0 body"),
    (b"Content-Type: text/plain; charset=iso-2022-jp\r\n\r\n" + "ｓｏｌ＠ｔｉｅｎｄａ.example".encode("iso-2022-jp"), "0 body"),
    (b"Content-Type: text/html\r\n\r\ns<b>o</b><!-- x@y -->l&commat;tien<wbr>da.example", "0 body"),
    (b"no header at all, and sol@\r\ntienda.example", "raw"),
])
def test_the_oracle_decodes_what_mail_encodes(message: bytes, place: str) -> None:
    assert place in oracle.find(message, [SELLER])


@pytest.mark.parametrize("message", [b"", b"\0" * 50, bytes(range(256)) * 3, b"Content-Type: multipart/mixed; boundary=a\r\n" * 9,
                                     b"=?utf-9?Q?=FF?= =??B??=: =?x?B?!?=\r\n\r\n", b"PK\x03\x04", b"%PDF stream\nx endstream"])
def test_the_oracle_reads_anything(message: bytes) -> None:
    assert oracle.find(message, [SELLER, IDN]) == []
