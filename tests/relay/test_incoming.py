"""Where a message ends and what is kept of it, against the plainest reading of RFC 5321."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.receive import data
from relay.receive.data import END, Incoming

PIECES = [b"\r\n", b"\r", b"\n", b".", b"..", b"\0", b"x", b"Subject: y", b"\r\n.\r\n", b"\r\n..\r\n", b"\r\n.\r", b"\n.\n"]
BLOCKS = st.lists(st.lists(st.sampled_from(PIECES), min_size=1, max_size=8).map(b"".join), min_size=1, max_size=12)


def everything(_: int) -> bool:
    return True


def fed(blocks: list[bytes], max_size: int = 10**6) -> tuple[Incoming, bytes | None]:
    """What is behind the end, once it has come, with the blocks that were not needed."""
    incoming = Incoming(max_size, everything)
    for number, block in enumerate(blocks):
        behind = incoming.feed(block)
        if behind is not None:
            return incoming, behind + b"".join(blocks[number + 1 :])
    return incoming, None


def plainly(stream: bytes, max_size: int = 10**6) -> tuple[bytes, str | None, bytes] | None:
    """(message, refusal, what is behind) by looking at all of the stream at once."""
    whole = b"\r\n" + stream
    end = whole.find(END)
    if end < 0:
        return None
    text, behind = whole[: end + 2], whole[end + len(END) :]
    message = re.sub(rb"\r\n\.", b"\r\n", text)[2:]
    bare = re.search(rb"(?<!\r)\n|\r(?!\n)|\0", text)
    return message, data.BARE if bare else data.TOO_BIG if len(text) - 2 > max_size else None, behind


@settings(max_examples=500, deadline=None)
@given(BLOCKS, st.booleans())
def test_however_it_is_cut_into_blocks_it_reads_the_same(blocks: list[bytes], complete: bool) -> None:
    blocks = [*blocks, b"\r\n.\r\nQUIT\r\n"] if complete else blocks
    expected = plainly(b"".join(blocks))
    incoming, behind = fed(blocks)
    if expected is None:
        assert behind is None
        return
    assert (incoming.refusal, behind) == expected[1:]
    assert incoming.received == len(b"".join(blocks)) - len(expected[2])
    if incoming.refusal is None:
        assert incoming.data() == expected[0]


@given(BLOCKS)
def test_octet_by_octet_it_reads_the_same(blocks: list[bytes]) -> None:
    stream = b"".join(blocks) + END
    expected = plainly(stream)
    assert expected
    incoming, behind = fed([stream[at : at + 1] for at in range(len(stream))])
    assert (incoming.refusal, behind) == expected[1:]


@pytest.mark.parametrize("end", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\n.\r", b"\r.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r",
                                 b"\r\n.\0\r\n", b"\r\n\0.\r\n", b"\r\0\n.\r\n"])
def test_nothing_else_ends_a_message(end: bytes) -> None:
    incoming, behind = fed([b"Subject: x\r\n\r\ny", end, b"MAIL FROM:<a@b.example>", END + b"NOOP\r\n"])
    assert behind == b"NOOP\r\n"
    assert incoming.refusal == data.BARE


@pytest.mark.parametrize(("block", "refusal"), [
    (b"x" * 65536, data.ENDLESS), (b"\r\n" * 32768, data.EMPTY), (b"x\r\n" * 20000, data.TOO_MANY_LINES), (b"x" * 98 + b"\r\n", data.TOO_BIG),
    (b"\0" * 65536, data.BARE), (b".\r\r\n", data.BARE)])
def test_what_has_no_end_is_not_kept(block: bytes, refusal: str) -> None:
    incoming = Incoming(8 * 1024 * 1024, everything)
    for _ in range(40_000_000 // len(block) if len(block) > 1000 else 100_000):
        assert incoming.feed(block) is None
        assert len(incoming._buffer) <= 8 * 1024 * 1024 + 2 * 65536
    assert incoming.refusal == refusal
    assert len(incoming._buffer) <= 65536 + len(END)
    assert incoming.feed(END + b"QUIT\r\n") == b"QUIT\r\n"


def test_the_size_that_is_allowed_is_allowed() -> None:
    for more, refusal in ((0, None), (1, data.TOO_BIG), (3, data.TOO_BIG), (100, data.TOO_BIG)):
        incoming, behind = fed([b"x" * (98 + more) + b"\r\n", b".\r\n"], max_size=100)
        assert (incoming.refusal, behind) == (refusal, b"")


def test_without_room_nothing_more_is_taken() -> None:
    asked: list[int] = []

    def take(octets: int) -> bool:
        asked.append(octets)
        return len(asked) < 3

    incoming = Incoming(10**6, take)
    for _ in range(5):
        incoming.feed(b"x" * 98 + b"\r\n")
    assert asked == [100, 100, 100]
    assert incoming.refusal == data.NO_ROOM
    assert incoming.feed(b".\r\n") == b""
