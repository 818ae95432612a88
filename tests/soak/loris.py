"""Thousands of idle and dripping connections, then messages without end: what memory they take, and who still gets in."""

from __future__ import annotations

import asyncio
import collections
import random
import resource
import socket
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from hostile import Client, Honest, resident_bytes, source
from support import SELLER, Relay

MB = 1024 * 1024
IDLE_BOUND_MB = 128
HOSTILE_BOUND_MB = 32
WHOLE_BOUND_MB = 768
"""limits.memory (256), ten times two big messages that are judged, the crowd's 128, and what an allocator keeps."""
FRESH_BOUND_S = 1.0
A_NETWORK = 40
"""Connections from each /24: a crowd that keeps to the limit of connections a network."""
DRIPS = {"silent": b"", "greeted": b"", "command": b"x", "message": b"x", "lines": b"y\r\n", "deaf": b"NOOP\r\n"}
"""What a connection of each kind sends once a second."""
HOSTILE = {"endless line": b"x" * 65536, "empty lines": b"\r\n" * 32768, "no final dot": (b"z" * 62 + b"\r\n") * 1024}
"""64 KB of each kind of message."""
TEXT = (b"palabra " * 9 + b"\r\n") * 885
"""As much of a message that nothing is wrong with."""


@dataclass
class Figures:
    """What the campaign found."""

    held: int
    """Connections that were still open at the end."""
    idle_mb: float
    """The daemon's growth with all of them."""
    fresh: Honest
    hostile_mb: dict[str, float]
    """The growth a connection while each kind of message came: the worse of one alone and of all at once."""
    answers: dict[str, dict[str, int]]
    whole_mb: float
    """The growth over everything, with as many big messages of plain text at once in the end."""
    lives: bool

    @property
    def good(self) -> bool:
        return (self.lives and self.idle_mb <= IDLE_BOUND_MB and not self.fresh.failed and self.fresh.p99_s < FRESH_BOUND_S
                and max(self.hostile_mb.values()) <= HOSTILE_BOUND_MB and self.whole_mb <= WHOLE_BOUND_MB)


def campaign(connections: int, hostile: int, megabytes: int, seconds: float, seed: int | None) -> int:
    """Print seed and figures; 0 when every bound was kept."""
    seed = random.SystemRandom().randrange(2**32) if seed is None else seed
    print(f"loris: seed {seed}, {connections} connections for {seconds:g} s, {hostile} messages of {megabytes} MB", flush=True)
    with tempfile.TemporaryDirectory(prefix="tradepost-loris-") as folder:
        found = asyncio.run(run(Path(folder), connections, hostile, megabytes, seconds, seed))
    print(f"open at the end {found.held} of {connections}, growth {found.idle_mb:.1f} MB (bound {IDLE_BOUND_MB}), "
          f"{1024 * found.idle_mb / connections:.1f} KB each")
    print(f"fresh mail meanwhile, greeting delay included: {found.fresh} (bound {FRESH_BOUND_S:g} s)")
    for kind, heard in found.answers.items():
        growth = f"growth {found.hostile_mb[kind]:.1f} MB a connection (bound {HOSTILE_BOUND_MB}); " if kind in found.hostile_mb else ""
        print(f"{kind}: {growth}" + ", ".join(f"{count} x {answer}" for answer, count in heard.items()))
    print(f"growth over everything {found.whole_mb:.0f} MB (bound {WHOLE_BOUND_MB})")
    print("the daemon lives" if found.lives else "THE DAEMON IS GONE")
    return 0 if found.good else 1


async def run(folder: Path, connections: int, hostile: int, megabytes: int, seconds: float, seed: int) -> Figures:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < connections + 200:
        raise SystemExit(f"loris: {connections} connections need as many files, but no more than {hard} may be open")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, connections + 200), hard))
    # twice the connections, so that all are held instead of being hurried; every other limit is the default
    relay = Relay(folder, {"limits": {"exempt": [], "connections": 2 * connections}, "policy": {"rate_base": 10**9}})
    await relay.start()
    assert relay.process
    try:
        begun = resident_bytes(relay.process.pid)
        alias = relay.order()["buyer"]["alias"]
        warm = Honest(relay.port, SELLER, alias, part=240)
        for _ in range(5):
            await warm.write()
        fresh = Honest(relay.port, SELLER, alias)
        held, idle_mb = await idle(relay, alias, connections, seconds, fresh, random.Random(seed))
        hostile_mb, answers = await messages(relay, alias, hostile, megabytes)
        peak, answers["plain text"] = await at_once(relay, alias, hostile, megabytes, TEXT, 110)
        lives = relay.process.poll() is None
        last = Honest(relay.port, SELLER, alias, part=241)
        await last.write()
        return Figures(held, idle_mb, fresh, hostile_mb, answers, (peak - begun) / MB,
                       lives and not last.failed and not warm.failed)
    finally:
        await relay.stop()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Crowd(asyncio.Protocol):
    """One of thousands: does what its kind does, and keeps nothing."""

    def __init__(self, kind: str, mail_from: str, alias: str) -> None:
        self.kind = kind
        self.open = False
        self.ready = kind == "silent"
        self._script = [] if kind == "silent" else ["HELO crowd.example"]
        if kind in ("message", "lines"):
            self._script += [f"MAIL FROM:<{mail_from}>", f"RCPT TO:<{alias}>", "DATA"]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.open = True

    def data_received(self, data: bytes) -> None:
        if self._script:
            self.transport.write(self._script.pop(0).encode() + b"\r\n")
        else:
            self.ready = True
            if self.kind == "deaf":
                self.transport.pause_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self.open = False

    def drip(self) -> None:
        if self.open and self.ready and DRIPS[self.kind]:
            self.transport.write(DRIPS[self.kind])


async def idle(relay: Relay, alias: str, connections: int, seconds: float, fresh: Honest,
               chance: random.Random) -> tuple[int, float]:
    """Hold `connections`, write fresh mail meanwhile; (how many are open in the end, the growth in MB)."""
    assert relay.process
    pid, before = relay.process.pid, resident_bytes(relay.process.pid)
    crowd: list[Crowd] = []
    # a handful waits for the kernel, thousands for the greeting
    doors = asyncio.Semaphore(50)

    async def join(number: int) -> None:
        async with doors:
            one = Crowd(chance.choice(list(DRIPS)), SELLER, alias)
            sock = socket.socket()
            sock.bind((source(number // A_NETWORK, host=1 + number % A_NETWORK), 0))
            sock.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(sock, ("127.0.0.1", relay.port))
            await loop.create_connection(lambda: one, sock=sock)
            crowd.append(one)

    joining = asyncio.gather(*map(join, range(connections)))
    writing = asyncio.create_task(fresh.write_for(0, 0))
    try:
        await joining
        while any(one.open and not one.ready for one in crowd):
            await asyncio.sleep(0.1)
        writing = asyncio.create_task(fresh.write_for(seconds, 0.01))
        peak = resident_bytes(pid)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for number, one in enumerate(crowd):
                one.drip()
                if number % 500 == 0:
                    await asyncio.sleep(0)
            await asyncio.sleep(1)
            peak = max(peak, resident_bytes(pid))
        await writing
        return sum(one.open for one in crowd), (peak - before) / MB
    finally:
        writing.cancel()
        for one in crowd:
            one.transport.abort()


async def messages(relay: Relay, alias: str, hostile: int,
                   megabytes: int) -> tuple[dict[str, float], dict[str, dict[str, int]]]:
    """Each kind of hostile message, first alone, then on `hostile` connections at once; (growth in MB, answers)."""
    assert relay.process
    pid = relay.process.pid
    growth: dict[str, float] = {}
    answers: dict[str, dict[str, int]] = {}
    for number, (kind, block) in enumerate(HOSTILE.items()):
        for together in (1, hostile):
            before = resident_bytes(pid)
            peak, answers[kind] = await at_once(relay, alias, together, megabytes, block, 100 + number)
            growth[kind] = max(growth.get(kind, 0), (peak - before) / MB / together)
    return growth, answers


async def at_once(relay: Relay, alias: str, count: int, megabytes: int, block: bytes,
                  part: int) -> tuple[int, dict[str, int]]:
    """`count` connections with such a message each; (the most octets that the daemon had meanwhile, answers)."""
    assert relay.process
    peak = resident_bytes(relay.process.pid)
    clients = [await Client.connect(relay.port, source(one // 10, part)) for one in range(count)]
    sending = asyncio.gather(*(send(client, alias, block, megabytes) for client in clients))
    while not sending.done():
        await asyncio.wait([sending], timeout=0.02)
        peak = max(peak, resident_bytes(relay.process.pid))
    for client in clients:
        client.writer.transport.abort()
    return peak, dict(collections.Counter(await sending))


async def send(client: Client, alias: str, block: bytes, megabytes: int) -> str:
    """The answer's codes to a message of so many MB; a final dot comes only where one of the three is not about it."""
    await client.begin(SELLER, alias)
    if not (answer := await client.say("DATA")).startswith("354"):
        return answer[:9]
    client.send(f"From: {SELLER}\r\nTo: {alias}\r\nSubject: x\r\n\r\n".encode())
    for _ in range(megabytes * MB // len(block)):
        client.send(block)
        try:
            await client.writer.drain()
        except ConnectionError:
            return (await client.closed())[:9] or "closed"
    if block == HOSTILE["no final dot"]:
        await asyncio.sleep(1)
        return "left at its end"
    client.send(b"\r\n.\r\n")
    return (await client.reply(300))[:9] or "closed"
