"""What systemd hands over and wants to hear: listening sockets (sd_listen_fds(3)), the watchdog, sd_notify(3)."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import MutableMapping, Sequence

import sdnotify

from relay.errors import UsageError
from relay.values import Listener

FIRST_FD = 3
NAMES = ("mx", "submission", "submissions", "lmtp", "metrics", "http")
"""FileDescriptorName= of a socket unit: which listener of [listen] it stands for."""


def inherited(environment: MutableMapping[str, str] = os.environ) -> dict[str, list[socket.socket]]:
    """Listener -> the sockets that systemd opened for it; empty when it opened none.

    The variables are taken out of the environment, so that no process of ours takes the sockets for its own.
    Raises UsageError for a socket that is nothing to listen on, or that no listener is named after.
    """
    pid, count = environment.pop("LISTEN_PID", ""), environment.pop("LISTEN_FDS", "")
    names = environment.pop("LISTEN_FDNAMES", "").split(":")
    if pid != str(os.getpid()) or not count.isdigit():
        return {}
    found: dict[str, list[socket.socket]] = {}
    for number in range(int(count)):
        name = names[number] if number < len(names) else ""
        if name.endswith(".socket") or name in ("", "unknown"):  # what systemd says where the unit names nothing
            name = "mx"
        if name not in NAMES:
            raise UsageError(f"socket unit: FileDescriptorName={name}: there is no such listener; "
                             f"write one of {', '.join(NAMES)}")
        found.setdefault(name, []).append(_adopt(FIRST_FD + number, name))
    return found


def _adopt(fd: int, name: str) -> socket.socket:
    try:
        sock = socket.socket(fileno=fd)
        listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise UsageError(f"socket unit: {name}: descriptor {fd} is no socket ({error.strerror})") from None
    if not listens or sock.type != socket.SOCK_STREAM or sock.family not in (socket.AF_INET, socket.AF_INET6):
        raise UsageError(f"socket unit: {name}: descriptor {fd} does not listen on TCP; "
                         "write ListenStream=ADDRESS:PORT and Accept=no")
    sock.setblocking(False)
    sock.set_inheritable(False)
    # accepted connections inherit it: a reply must not wait for the acknowledgement of the one before
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def address_of(sock: socket.socket) -> Listener:
    """Where a socket listens."""
    host, port = sock.getsockname()[:2]
    return Listener(host=host.partition("%")[0], port=port)


def share(sockets: Sequence[socket.socket], workers: int) -> list[list[socket.socket]]:
    """Which sockets each of `workers` processes listens on.

    Of one address there may be one socket, which all share (whoever wakes first takes the connection), or one for
    each process (ListenStream= repeated, ReusePort=yes), among which the kernel spreads connections evenly. None may
    be left out: the kernel would give it connections that nobody takes.
    """
    shares: list[list[socket.socket]] = [[] for _ in range(workers)]
    by_address: dict[tuple[object, ...], list[socket.socket]] = {}
    for sock in sockets:
        by_address.setdefault((sock.family, *sock.getsockname()[:2]), []).append(sock)
    for same in by_address.values():
        for turn in range(max(len(same), workers)):
            shares[turn % workers].append(same[turn % len(same)])
    return shares


def watchdog_s() -> float | None:
    """WatchdogSec= of the unit, when it is this process that is watched (sd_watchdog_enabled(3))."""
    usec, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID")
    if not usec.isdigit() or int(usec) == 0 or (pid and pid != str(os.getpid())):
        return None
    return int(usec) / 1e6


class Notifier:
    """Says how the service does; without systemd it says nothing. With `speaks` false as well: one process talks."""

    def __init__(self, *, speaks: bool = True) -> None:
        self._systemd = sdnotify.SystemdNotifier() if speaks else None

    def ready(self) -> None:
        self._say("READY=1")

    def reloading(self) -> None:
        self._say(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        self._say("STOPPING=1")

    def ping(self) -> None:
        self._say("WATCHDOG=1")

    def _say(self, state: str) -> None:
        if self._systemd is not None:
            self._systemd.notify(state)
