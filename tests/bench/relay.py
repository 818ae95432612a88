"""Messages a second end to end, beside Postfix doing the same job in the same run (Debian package postfix, root)."""

from __future__ import annotations

import asyncio
import os
import re
import resource
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from support import SELLER, Relay

from bench import postfix


@dataclass
class Peer:
    """Who is measured: where to send to, and the rates found, by workload."""

    name: str
    port: int
    sender: str
    recipient: str
    rates: dict[str, list[float]] = field(default_factory=dict)


async def compare(messages: int, sessions: int, size: int, rounds: int, workers: int) -> int:
    """Print the rates and their ratio; 0 when Tradepost is not slower than Postfix."""
    for needed in ("smtp-source", "smtp-sink", "postfix"):
        if not shutil.which(needed, path=f"{os.environ['PATH']}:/usr/sbin"):
            raise SystemExit(f"bench: {needed} is missing; install Debian's postfix")
    with tempfile.TemporaryDirectory(prefix="tradepost-bench-") as name:
        folder = Path(name)
        (folder / "tradepost").mkdir()
        sink_port = free_port()
        relay = Relay(folder / "tradepost", {"outbound": {"route": f"smtp://127.0.0.1:{sink_port}"},
                                             "relay": {"workers": workers}, "policy": {"rate_base": 10**9}})
        await relay.start()
        alias = relay.order()["buyer"]["alias"]
        try:
            port = free_port()
            with postfix.peer(port, sink_port):
                peers = [Peer("tradepost", relay.port, SELLER, alias),
                         Peer("postfix", port, postfix.SENDER, postfix.RECIPIENT)]
                for kind in ("one message a connection", "connections reused"):
                    for _ in range(rounds):
                        for peer in peers:  # in turn, so that the machine's moods fall on both
                            rate = await asyncio.to_thread(
                                measure, peer, sink_port, messages, sessions, size, kind.endswith("reused"))
                            peer.rates.setdefault(kind, []).append(rate)
            lines = len(relay.messages("--limit", "1000000"))
        finally:
            await relay.stop()
    print(f"tradepost with {workers} worker processes; {messages} messages of {size} octets, {sessions} sessions, median of {rounds} rounds, in turn; "
          f"{lines} messages in the ledger at the end")
    worst = min(report(kind, *peers) for kind in peers[0].rates)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"CPU of all children {used.ru_utime + used.ru_stime:.1f} s")
    return 0 if worst >= 1 else 1


def report(kind: str, one: Peer, other: Peer) -> float:
    rates = [statistics.median(peer.rates[kind]) for peer in (one, other)]
    # pair by pair: what slows the machine for a while slows both of a pair
    ratio = statistics.median(a / b for a, b in zip(one.rates[kind], other.rates[kind], strict=True))
    each = "  ".join(f"{a:.0f}:{b:.0f}" for a, b in zip(one.rates[kind], other.rates[kind], strict=True))
    print(f"{kind:26} {one.name} {rates[0]:6.0f}/s   {other.name} {rates[1]:6.0f}/s   ratio {ratio:.2f}   "
          f"rounds {each}")
    return ratio


def measure(peer: Peer, sink_port: int, messages: int, sessions: int, size: int, reuse: bool) -> float:
    """From the first connection to the last message at the sink, in messages a second."""
    with tempfile.TemporaryFile() as counters:
        sink = subprocess.Popen(["/usr/sbin/smtp-sink", "-u", "nobody", "-c", f"127.0.0.1:{sink_port}", "1000"], stdout=counters)
        try:
            wait_for_port(sink_port)
            started = time.monotonic()
            subprocess.run(["/usr/sbin/smtp-source", *(["-d"] if reuse else []), "-s", str(sessions), "-m", str(messages),
                            "-l", str(size), "-f", peer.sender, "-t", peer.recipient, f"127.0.0.1:{peer.port}"],
                           check=True, timeout=300)
            while arrived(counters.fileno()) < messages:
                if time.monotonic() - started > 300:
                    raise SystemExit(f"bench: {peer.name} lost messages: {arrived(counters.fileno())} of {messages}")
                time.sleep(0.01)
            return messages / (time.monotonic() - started)
        finally:
            sink.terminate()
            sink.wait()


def arrived(descriptor: int) -> int:
    size = os.fstat(descriptor).st_size
    found = re.findall(rb"mesg=(\d+)", os.pread(descriptor, 400, max(0, size - 400)))
    return int(found[-1]) if found else 0


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def wait_for_port(port: int) -> None:
    for _ in range(500):
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise SystemExit(f"bench: nothing listens on {port}")
