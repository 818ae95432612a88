"""How the first process asks the others how they do: a socket pair to each, one JSON line there and back."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict

from relay.vitals import Report

ANSWER_S = 2.0
"""A process whose loop does not turn for that long counts as silent."""
MAX_LINE_BYTES = 1024 * 1024


class Lines:
    """The socket pairs, made before the processes are forked."""

    def __init__(self, workers: int) -> None:
        self._pairs = [socket.socketpair() for _ in range(workers - 1)]

    def of(self, worker: int) -> list[socket.socket]:
        """The ends that a process keeps: the first one's lead to all others, theirs to the first. Closes the rest."""
        kept = []
        for number, (asking, answering) in enumerate(self._pairs, 1):
            for end, owner in ((asking, 0), (answering, number)):
                if owner == worker:
                    kept.append(end)
                else:
                    end.close()
        return kept

    def close(self) -> None:
        for pair in self._pairs:
            for end in pair:
                end.close()


async def answer(end: socket.socket, report: Callable[[], Report]) -> None:
    """Answer the first process until it hangs up."""
    reader, writer = await asyncio.open_unix_connection(sock=end)
    try:
        while question := await reader.readline():
            writer.write(json.dumps([int(question), asdict(report())]).encode() + b"\n")
            await writer.drain()
    finally:
        writer.close()


class Peer:
    """Another process, as the first one sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._turn = asyncio.Lock()
        self._asked = 0

    @classmethod
    async def open(cls, end: socket.socket) -> Peer:
        return cls(*await asyncio.open_unix_connection(sock=end, limit=MAX_LINE_BYTES))

    async def ask(self) -> Report | None:
        """Its report; None when it does not answer in time. Answers to earlier questions are passed over."""
        async with self._turn:
            self._asked += 1
            with suppress(TimeoutError, OSError, ValueError):
                async with asyncio.timeout(ANSWER_S):
                    self._writer.write(b"%d\n" % self._asked)
                    while line := await self._reader.readline():
                        number, told = json.loads(line)
                        if number == self._asked:
                            return Report(**told)
            return None

    def close(self) -> None:
        self._writer.close()


async def ask_all(peers: Sequence[Peer]) -> list[Report | None]:
    return list(await asyncio.gather(*(peer.ask() for peer in peers)))
