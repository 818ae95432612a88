"""The PROXY protocol, versions 1 and 2 (proxy-protocol.txt): who is really behind a connection. No I/O."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv6Address, ip_address

MAX_V1_BYTES = 107
MAX_V2_BYTES = 2048
"""An address takes 36 octets; the rest is for the additions of the proxy, which are not looked at."""
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_V1 = re.compile(rb"PROXY (TCP4|TCP6) ([0-9A-Fa-f:.]{3,45}) [0-9A-Fa-f:.]{3,45} \d{1,5} \d{1,5}\r\n")
_UNKNOWN = re.compile(rb"PROXY UNKNOWN(?: [^\r\n]*)?\r\n")
_LOCAL, _PROXIED = 0x20, 0x21


class ProxyError(Exception):
    """What a listed proxy sent is no PROXY header."""


async def read_header(read: Callable[[int], Awaitable[bytes]]) -> IPv4Address | IPv6Address | None:
    """The client named by the header, None when the proxy speaks for itself (a health check).

    `read` gives exactly so many octets; not one is asked for that is not the header's. Raises ProxyError.
    """
    head = await read(len(SIGNATURE))
    if head == SIGNATURE:
        fixed = await read(4)
        length = int.from_bytes(fixed[2:])
        if length > MAX_V2_BYTES:
            raise ProxyError
        return parse_v2(fixed, await read(length))
    while not head.endswith(b"\n"):
        if len(head) == MAX_V1_BYTES:
            raise ProxyError
        head += await read(1)
    return parse_v1(head)


def parse_v1(line: bytes) -> IPv4Address | IPv6Address | None:
    """The readable line, CRLF included. Raises ProxyError."""
    if _UNKNOWN.fullmatch(line):
        return None
    match = _V1.fullmatch(line)
    if match is None:
        raise ProxyError
    try:
        client = ip_address(match.group(2).decode())
    except ValueError:
        raise ProxyError from None
    if client.version != int(match.group(1)[-1:]):
        raise ProxyError
    return plain(client)


def parse_v2(fixed: bytes, rest: bytes) -> IPv4Address | IPv6Address | None:
    """The four octets behind the signature, and as many as those say. Raises ProxyError."""
    command, family = fixed[0], fixed[1] >> 4
    if command == _LOCAL:
        return None
    if command != _PROXIED:
        raise ProxyError
    if family == 1 and len(rest) >= 12:
        return IPv4Address(rest[:4])
    if family == 2 and len(rest) >= 36:
        return plain(IPv6Address(rest[:16]))
    if family in (0, 3):
        return None
    raise ProxyError


def plain(client: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """An IPv4 address that came as IPv6 (::ffff:192.0.2.1) is that IPv4 address, for every limit and rule."""
    return client.ipv4_mapped or client if isinstance(client, IPv6Address) else client
