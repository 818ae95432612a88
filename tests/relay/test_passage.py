"""Golden cases: a message as a client sends it, the verdict, and what its reader gets (tests/golden/README.md)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from oracle import find
from passing import FRAME, KNOWN, through
from support import BUYER, SELLER

from aliasing.correspondence import Direction, Side

GOLDEN = Path(__file__).parent.parent / "golden" / "passage"
CASES = sorted(path.name.removesuffix(".in.eml") for path in GOLDEN.glob("*.in.eml"))
LEAKS = range(1, 31)
WORDS = {"seller": SELLER, "buyer": BUYER, "seller-alias": str(FRAME.alias(Side.SELLER)),
         "buyer-alias": str(FRAME.alias(Side.BUYER)), "known": KNOWN.decode()}
ELSEWHERE = {
    # lines of the list of leaks that are not about one message passing; each with the test that shows it
    # what a smarthost adds is beyond the relay; what reaches it names no party, in the envelope either
    10: "e2e/test_conversation.py::test_a_seller_writes_the_buyer_answers_and_the_thread_holds",
    16: "policy/test_files.py",
    22: "aliasing/test_linear.py",
    23: "e2e/test_conversation.py::test_several_recipients_in_one_transaction",
    24: "relay/test_dsn.py",
    25: "relay/test_returned.py",
    26: "e2e/test_conversation.py::test_what_policy_forbids_is_refused_in_session_and_recorded",
    29: "policy/test_rules.py::test_ten_megabytes_decoded_and_not_one_octet_more",
    30: "e2e/test_failures.py",
}


def fill(data: bytes) -> bytes:
    for name, value in WORDS.items():
        data = data.replace(b"{" + name.encode() + b"}", value.encode())
    return data


def unfill(data: bytes) -> bytes:
    for name, value in WORDS.items():
        if name not in ("seller", "buyer"):  # what is left of those is part of a longer address
            data = data.replace(value.encode(), b"{" + name.encode() + b"}")
    return data


def steering(source: bytes, name: str, default: str = "") -> str:
    found = re.search(rb"(?mi)^X-Case-" + name.encode() + rb": (.*)$", source)
    return found.group(1).decode() if found else default


def options(text: str) -> dict[str, Any]:
    pairs = [word.partition("=") for word in text.split()]
    return {name: {"on": True, "off": False}.get(value, value) for name, _, value in pairs}


@pytest.mark.parametrize("name", CASES)
def test_golden(name: str) -> None:
    source = (GOLDEN / f"{name}.in.eml").read_bytes()
    assert steering(source, "Why"), "say in X-Case-Why what the case is about"
    data = re.sub(rb"(?mi)^X-Case-.*\n", b"", source)
    passage = through(fill(data).replace(b"\n", b"\r\n"), Direction(steering(source, "Direction")),
                      **options(steering(source, "Settings")))
    reply = passage.decision.verdict.reply
    verdict = f"{reply.status.name} {passage.decision.verdict.reason}".strip() if reply else "pass"
    assert verdict == steering(source, "Verdict", "pass")
    if passage.outgoing is None:
        return
    assert find(passage.outgoing.raw, [SELLER, BUYER]) == []
    expected = GOLDEN / f"{name}.out.eml"
    actual = passage.outgoing.raw.replace(b"\r\n", b"\n")
    if not expected.exists() or fill(expected.read_bytes()) != actual:
        expected.with_name(f"{name}.actual.eml").write_bytes(unfill(actual))
    assert expected.exists(), f"read {name}.actual.eml and rename it to {expected.name}"
    assert actual == fill(expected.read_bytes())
    for note in filter(None, steering(source, "Notes").split("; ")):
        assert note in passage.notes


@pytest.mark.parametrize("line", LEAKS)
def test_every_way_to_leak_has_its_case(line: int) -> None:
    cited = {int(number) for name in CASES
             for number in re.findall(r"\d+", steering((GOLDEN / f"{name}.in.eml").read_bytes(), "Leak"))}
    file, _, test = ELSEWHERE.get(line, "").partition("::")
    assert line in cited or f"def {test}" in (Path(__file__).parent.parent / file).read_text()


def test_notes_show_no_address_that_a_file_is_called_by() -> None:
    import base64

    import filemaker

    picture = base64.encodebytes(filemaker.jpeg()).decode().replace("\n", "\r\n")
    data = (f"From: {SELLER}\r\nTo: {WORDS['buyer-alias']}\r\nSubject: x\r\nMIME-Version: 1.0\r\n"
            f"Content-Type: image/jpeg; name=\"{BUYER}.jpg\"\r\nContent-Transfer-Encoding: base64\r\n\r\n{picture}")
    passage = through(data.encode(), Direction.TO_BUYER)
    assert passage.notes
    assert not any("lopez" in note for note in passage.notes)
