"""A message on its way in: where it ends, and how much of it is kept. No I/O."""

from __future__ import annotations

from collections.abc import Callable

END = b"\r\n.\r\n"
"""Only this ends a message (RFC 5321 4.1.1.4): any other reading lets one message be smuggled in another."""
MAX_LINE_BYTES = 1024 * 1024
"""Not even kept beyond this. What is too long for a mail is for the rules to say, and they put it on record."""
MAX_EMPTY_LINES = 5000
"""One behind the other."""
MIN_LINES = 100_000
BYTES_A_LINE = 40
"""Over MIN_LINES a message may have one line for so many octets of the allowed size; base64 has one for 78."""

TOO_BIG = "552 5.3.4 The message is larger than this server accepts"
BARE = "550 5.6.0 A bare CR, LF or NUL in the message (RFC 5321 2.3.8)"
ENDLESS = "550 5.6.0 A line without end in the message (RFC 5322 2.1.1)"
EMPTY = "550 5.6.0 Thousands of empty lines in the message"
TOO_MANY_LINES = "552 5.3.4 Too many lines in the message"
NO_ROOM = "452 4.3.1 No room for the message now, try again later"
NO_MEMORY = "451 4.3.0 A problem on our side, try again later"
_EMPTY_LINES = b"\r\n" * (MAX_EMPTY_LINES + 1)


class Incoming:
    """The octets after DATA, fed in blocks as they come. Once `refusal` is set, nothing is kept any more."""

    def __init__(self, max_size: int, take: Callable[[int], bool]) -> None:
        """`take` is asked before octets are kept."""
        self.refusal: str | None = None
        self.received = 0
        # a message may begin with its final dot, so the CRLF of the DATA command counts as its first line end
        self._buffer = bytearray(b"\r\n")
        self._max_size = max_size
        self._take = take
        self._line = 0
        self._lines = 0

    def feed(self, block: bytes) -> bytes | None:
        """Add what has come, which takes time linear in it; None, or at the end what came behind the end."""
        start = len(self._buffer)
        self.received += len(block)
        self._keep(block)
        start = min(start, len(self._buffer) - len(block))
        end = self._buffer.find(END, max(0, start - len(END) + 1))
        if end < 0:
            self._look(start, len(self._buffer))
            return None
        behind = bytes(memoryview(self._buffer)[end + len(END) :])
        del self._buffer[end + 2 :]
        self._look(start, end + 2, last=True)
        self.received -= len(behind)
        if self.received - len(END) + 2 > self._max_size:
            self._refuse(TOO_BIG)
        return behind

    def data(self) -> bytes:
        """The message with its dots unstuffed (RFC 5321 4.5.2). Afterwards nothing is left here."""
        buffer, self._buffer = self._buffer, bytearray()
        if b"\r\n." in buffer:
            buffer = buffer.replace(b"\r\n.", b"\r\n")
        return bytes(memoryview(buffer)[2:])

    def _keep(self, block: bytes) -> None:
        if self.refusal is None and not self._take(len(block)):
            self._refuse(NO_ROOM)
        if self.refusal is not None:
            del self._buffer[: -len(END)]
        try:
            self._buffer += block
        except MemoryError:
            self._refuse(NO_MEMORY)
            self._buffer = bytearray(self._buffer[-len(END) :]) + block

    def _look(self, start: int, stop: int, *, last: bool = False) -> None:
        """Judge what has come between two places. A CR at the edge waits for what follows it."""
        if self.refusal is not None or stop <= start:
            return
        buffer = self._buffer
        low = start - 1 if buffer[start - 1] == 13 else start
        high = stop if last or buffer[stop - 1] != 13 else stop - 1
        crlf = buffer.count(b"\r\n", low, high)
        self._lines += crlf
        if buffer.count(b"\n", low, high) != crlf or buffer.count(b"\r", low, high) != crlf or (
                buffer.find(b"\0", start, stop) >= 0):
            self._refuse(BARE)
        elif self._longest(start, stop) > MAX_LINE_BYTES:
            self._refuse(ENDLESS)
        elif buffer.find(_EMPTY_LINES, max(0, start - len(_EMPTY_LINES)), stop) >= 0:
            self._refuse(EMPTY)
        elif self._lines > max(MIN_LINES, self._max_size // BYTES_A_LINE):
            self._refuse(TOO_MANY_LINES)
        elif len(buffer) - 2 > self._max_size + len(END):
            self._refuse(TOO_BIG)

    def _longest(self, start: int, stop: int) -> int:
        """At least the length of the line that was under way; lines inside one block are shorter than a block."""
        first = self._buffer.find(b"\n", start, stop)
        if first < 0:
            self._line += stop - start
            return self._line
        longest = self._line + first - start
        self._line = stop - 1 - self._buffer.rfind(b"\n", start, stop)
        return longest

    def _refuse(self, line: str) -> None:
        if self.refusal is None:
            self.refusal = line
