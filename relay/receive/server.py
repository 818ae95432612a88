"""The MX listener's sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

from relay.config import Listener
from relay.errors import UsageError
from relay.receive.service import Service
from relay.receive.session import ReceivingSession


def bind_for(workers: int, listeners: Sequence[Listener]) -> list[list[socket.socket]]:
    """Listening sockets for each of `workers` processes; raises UsageError naming address and mend.

    Several processes get a socket each on the same port (SO_REUSEPORT), among which the kernel spreads connections
    evenly; on one shared socket whoever wakes first takes all that wait.
    """
    first = [bind(listener, shared=workers > 1) for listener in listeners]
    again = [Listener(host=listener.host, port=sock.getsockname()[1])
             for listener, sock in zip(listeners, first, strict=True)]
    return [first, *([bind(listener, shared=True) for listener in again] for _ in range(workers - 1))]


def bind(listener: Listener, *, shared: bool) -> socket.socket:
    """A listening socket; raises UsageError naming address and mend."""
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
        raise UsageError(f"listen.mx: {listener}: {error.strerror}; stop what uses it or choose another port") from None
    return sock


async def listen(sock: socket.socket, service: Service) -> asyncio.Server:
    """Start accepting connections on a bound socket."""
    return await asyncio.get_running_loop().create_server(lambda: ReceivingSession(service), sock=sock)
