"""The MX listener's sockets."""

from __future__ import annotations

import asyncio
import errno
import math
import os
import resource
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address

from relay import maillog
from relay.errors import UsageError
from relay.receive.connection import PROXY_S, Hangup
from relay.receive.proxy import plain
from relay.receive.service import Service
from relay.receive.session import ReceivingSession
from relay.values import Listener

ACCEPTS_AT_A_TIME = 64
SHED_S = 0.1
MANY_FILES = 1 << 16
HANDSHAKE_S = 15.0
BUSY = "421 4.3.2 Too many connections, try again later"


Make = Callable[[Service, IPv4Address | IPv6Address], ReceivingSession]


def bind_for(workers: int, listeners: Sequence[Listener], key: str = "listen.mx") -> list[list[socket.socket]]:
    """Listening sockets for each of `workers` processes; raises UsageError naming address and mend.

    Several processes get a socket each on the same port (SO_REUSEPORT), among which the kernel spreads connections
    evenly; on one shared socket whoever wakes first takes all that wait.
    """
    first = [bind(listener, shared=workers > 1, key=key) for listener in listeners]
    again = [Listener(host=listener.host, port=sock.getsockname()[1])
             for listener, sock in zip(listeners, first, strict=True)]
    return [first, *([bind(listener, shared=True, key=key) for listener in again] for _ in range(workers - 1))]


def bind(listener: Listener, *, shared: bool, key: str = "listen.mx") -> socket.socket:
    """A listening socket; raises UsageError naming the configuration's key, the address and the mend."""
    family = socket.AF_INET6 if ":" in listener.host else socket.AF_INET
    # proto must be named: asyncio switches Nagle's algorithm off only for sockets that say IPPROTO_TCP
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((listener.host, listener.port))
        sock.listen(1024)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise UsageError(f"{key}: {listener}: {error.strerror}; stop what uses it or choose another port") from None
    return sock


class Door:
    """Accepts the connections of one listening socket, as far as the guard lets them in.

    An accept of our own, because asyncio's spins while the process has no file descriptor left, and uvloop's closes
    the listener when that comes at the wrong moment; and because who is refused then costs next to nothing.
    """

    def __init__(self, sock: socket.socket, service: Service, make: Make, *, tls: bool) -> None:
        self._make = make
        self._tls = tls
        self._sock = sock
        self._service = service
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[None]] = set()
        self._said = -math.inf
        self._spare: int | None = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._open = True
        self._watch()

    def close(self) -> None:
        """Stop accepting; connections there are go on."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self._sock)
            self._sock.close()
            if self._spare is not None:
                os.close(self._spare)

    def _watch(self) -> None:
        if self._open:
            self._loop.add_reader(self._sock, self._accept)

    def _accept(self) -> None:
        for _ in range(ACCEPTS_AT_A_TIME):
            try:
                sock, peer = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._shed(error)
                return
            sock.setblocking(False)
            self._let_in(sock, plain(ip_address(peer[0])))

    def _let_in(self, sock: socket.socket, client: IPv4Address | IPv6Address) -> None:
        service = self._service
        if not service.guard.enter():
            self._say("no place for another connection", None)  # not the fault of this one
            _turn_away(sock, BUSY)
            return
        refusal = None if service.is_proxy(client) else service.guard.admit(client)
        if refusal is not None:
            service.guard.leave()
            _turn_away(sock, refusal)
            return
        session = self._make(service, client)
        session.implicit_tls = self._tls
        task = self._loop.create_task(self._open_session(session, sock))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open_session(self, session: ReceivingSession, sock: socket.socket) -> None:
        try:
            if not self._tls:
                await self._loop.connect_accepted_socket(lambda: session, sock)
                return
            if self._service.is_proxy(session.client):  # its header comes before the client's TLS
                async with asyncio.timeout(PROXY_S):
                    await session.meet_client(partial(_exactly, self._loop, sock))
            await self._loop.connect_accepted_socket(lambda: session, sock, ssl=self._service.tls,
                                                     ssl_handshake_timeout=HANDSHAKE_S)
        except (OSError, EOFError, Hangup):
            if self._tls:
                maillog.protocol_error(str(session.client), "TLS handshake failed")
            session.let_go()  # gone before it began
            sock.close()

    def _shed(self, error: OSError) -> None:
        """No descriptor or no memory for one more: refuse those that wait, say so, and go on in a moment."""
        self._say("no descriptor or memory for another connection", error)
        if error.errno == errno.EMFILE and self._spare is not None:
            os.close(self._spare)
            self._spare = None
            with suppress(OSError):
                for _ in range(ACCEPTS_AT_A_TIME):
                    _turn_away(self._sock.accept()[0], BUSY)
        if self._spare is None:
            with suppress(OSError):
                self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._loop.remove_reader(self._sock)
        self._loop.call_later(SHED_S, self._watch)


    def _say(self, why: str, error: OSError | None) -> None:
        """At most once a second: when this happens, it happens thousands of times."""
        now = self._loop.time()
        if now - self._said >= 1:
            self._said = now
            maillog.turned_away(why, error)


def _turn_away(sock: socket.socket, line: str) -> None:
    with sock, suppress(OSError):
        sock.setblocking(False)
        sock.send(line.encode() + b"\r\n")


async def _exactly(loop: asyncio.AbstractEventLoop, sock: socket.socket, count: int) -> bytes:
    """So many octets, and not one that comes behind them. Raises EOFError."""
    found = b""
    while len(found) < count:
        more = await loop.sock_recv(sock, count - len(found))
        if not more:
            raise EOFError
        found += more
    return found


async def listen(sock: socket.socket, service: Service, make: Make = ReceivingSession, *, tls: bool = False) -> Door:
    """Start accepting connections on a bound socket; with `tls` each begins with a handshake."""
    return Door(sock, service, make, tls=tls)


def raise_file_limit() -> int:
    """Let the process open as many files as it is allowed to; returns how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MANY_FILES if hard == resource.RLIM_INFINITY else min(hard, MANY_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted if soft == resource.RLIM_INFINITY else max(soft, wanted)
