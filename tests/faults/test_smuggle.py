"""The short form of ./dev soak smuggle, without Postfix."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from soak.smuggle import SOUND, VARIANTS, Answer, Row, StrictHop, inward, outward
from support import Relay

SHORT = {name: VARIANTS[name] for name in ("LF . LF", "CR . CR", "CRLF . LF", "CRLF .. CRLF", "VT . VT")}


async def test_no_variant_ends_the_data(start_relay: Callable[..., Awaitable[Relay]]) -> None:
    relay = await start_relay()
    rows = await inward(relay, relay.order()["buyer"]["alias"], whole=True)
    assert {row.name: row.wrong() for row in rows if row.wrong()} == {}
    assert {row.name for row in rows if all(answer.taken for answer in row.ours)} == SOUND
    assert {answer.said for row in rows for answer in row.ours} == {"550 5.6.0", "250 2.6.0"}


@pytest.mark.parametrize("extensions", [("8BITMIME", "SMTPUTF8"), ()], ids=["8bit", "7bit"])
async def test_what_is_hidden_in_parts_leaves_as_one_message(tmp_path: Path, extensions: tuple[str, ...]) -> None:
    out = await outward(tmp_path, extensions, SHORT)
    assert out.complaints == []
    assert out.arrived == out.taken > 25
    assert out.sent == out.taken + out.refused


async def test_the_hop_sees_what_is_no_smtp() -> None:
    async with StrictHop() as hop:
        reader, writer = await asyncio.open_connection("127.0.0.1", hop.port)
        writer.write(b"EHLO x\r\nDATA\r\nx\n.\ny\r\n.\r\nSubject: smuggled\r\nDATA\r\n.z\r\n.\r\nQUIT\r\n")
        assert (await reader.read()).endswith(b"221 2.0.0 Bye\r\n")
        writer.close()
    assert len(hop.messages) == 2
    assert [one[:10] for one in hop.complaints] == ["a bare CR,", "not a comm", "a dot that"]


@pytest.mark.parametrize(("ours", "theirs", "wrong"), [
    ([Answer(1, "550 5.6.0")], "550 5.5.2", ""), ([Answer(1, "550 5.6.0")], "250 2.0.0", ""), ([Answer(2, "550 5.6.0")], "550 5.5.2", "smuggled"),
    ([Answer(1, "250 2.6.0")], "250 2.0.0", "a bare CR, LF or NUL was taken"),
    ([Answer(1, "250 2.6.0"), Answer(1, "550 5.6.0")], "250 2.0.0", "the answer depends on the segments")])
def test_what_is_wrong_with_a_row(ours: list[Answer], theirs: str, wrong: str) -> None:
    assert Row("CRLF .. CRLF", {Answer(1, "451 4.3.0")}).wrong() == "a sound message was not taken"
    assert Row("LF . LF", set(ours), 1, {"strict": Answer(1, theirs)}).wrong() == wrong
