"""The short form of ./dev soak fuzz, and what its campaigns have found."""

from pathlib import Path

import pytest
from passing import FRAME
from soak.fuzz import Found, run_inputs, run_sessions
from soak.parsers import TARGETS
from soak.sessions import Answers, Wrong, judge
from support import SELLER

from aliasing.correspondence import Side

INPUTS = {"message": 120, "passage": 120, "encodings": 800, "texts": 800, "html": 300, "files": 150, "dsn": 400, "paths": 2000, "data": 600}

HEAD = (f"From: {SELLER}\r\nTo: {FRAME.alias(Side.BUYER)}\r\nMIME-Version: 1.0\r\n"
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n").encode()
FOUND = {
    # input by target: each raised or broke a promise once
    "encodings": [b"a/b; name*\xc2\xb9=x; name*0=y"],
    "texts": [b"Tienda Sol <hoy> 20% de DESCUENTO"],
    "passage": [HEAD + b"--b\r\n\r\nHola\r\n--b--\r\n" + b"x" * 1000, HEAD + b"--b" + b" " * 1005 + b"\r\n\r\nHola\r\n--b--\r\n"],
    "data": [b"", b"Subject: x\r\n\r\nx"],
}


@pytest.mark.parametrize("target", TARGETS)
def test_parsers(target: str) -> None:
    found = run_inputs(1, target, 0, INPUTS[target])
    assert found.findings == {}
    assert found.given[target] == INPUTS[target]


@pytest.mark.parametrize(("target", "data"), [(target, data) for target, all_ in FOUND.items() for data in all_])
def test_what_was_found_stays_mended(target: str, data: bytes) -> None:
    TARGETS[target].check(data)


async def test_sessions(tmp_path: Path) -> None:
    talk = await run_sessions(tmp_path, seed=1, count=200)
    assert (talk.played, talk.crashed, talk.restarted, talk.kept) == (200, 0, False, [])
    assert talk.codes["250 2.6.0"] > 5, "the sessions do not get far enough to show anything"


@pytest.mark.parametrize("line", [
    b"250 OK\n", b"250\r\n", b"650 2.0.0 OK\r\n", b"250 2.0.0 \xc3\xb1\r\n", b"250 " + b"x" * 510 + b"\r\n",
    b"500 Error: (IndexError) list index out of range\r\n", b"451 4.3.0 cannot open /var/lib/tradepost/keys\r\n",
    b"550 5.1.1 No mailbox for ANA.LOPEZ@correo.example\r\n", b"500 5.5.2 <relay.session.Session object at 0x7f00>\r\n"])
def test_an_answer_that_is_none_or_tells_is_seen(line: bytes) -> None:
    assert judge(line) is not None


def test_a_continuation_has_one_code_and_an_end() -> None:
    answers = Answers()
    answers.feed(b"250-relay.example\r\n250 PIPELINING\r\n354 Go on, see https://help.example/a/b\r\n")
    assert answers.in_data
    assert answers.codes == {"250": 1, "354": 1}
    with pytest.raises(Wrong):
        answers.feed(b"250-a\r\n251 b\r\n")
    answers = Answers()
    answers.feed(b"250-a\r\n")
    with pytest.raises(Wrong):
        answers.end()


def test_a_finding_is_kept_with_its_shortest_input() -> None:
    found, other = Found(), Found()
    found.judge("paths", b"FROM:<a@b.example>")
    found.add("paths: x", b"long", "", 2)
    other.add("paths: x", b"in", "")
    found.merge(Found.from_json(other.to_json()))
    assert (found.given["paths"], found.findings["paths: x"].count, found.findings["paths: x"].data) == (1, 3, b"in")
