"""One page over HTTPS, as a mail server fetches a policy (RFC 8461 3.3): the certificate verified, no redirection
followed, and no more read than asked for."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

import h11

HTTPS = 443


@dataclass(frozen=True)
class Fetched:
    """`kind` is the media type in lower case, "" where none is given."""

    status: int
    kind: str
    body: bytes


async def fetch(host: str, addresses: Sequence[str], path: str, context: ssl.SSLContext, *, limit: int,
                port: int = HTTPS) -> Fetched:
    """GET https://HOST/PATH from the first of `addresses` that takes a connection; no time limit of its own.

    At most `limit` octets of the body are read, and one more where there are more. Raises ssl.SSLError, OSError,
    h11.ProtocolError.
    """
    failure: OSError = ConnectionError("no address")
    for address in addresses:
        try:
            reader, writer = await asyncio.open_connection(address, port, ssl=context, server_hostname=host)
        except ssl.SSLError:
            raise
        except OSError as error:
            failure = error
            continue
        try:
            return await _exchange(host, path, limit, reader, writer)
        finally:
            writer.transport.abort()
    raise failure


async def _exchange(host: str, path: str, limit: int, reader: asyncio.StreamReader,
                    writer: asyncio.StreamWriter) -> Fetched:
    http = h11.Connection(h11.CLIENT)
    request = h11.Request(method="GET", target=path,
                          headers=[("Host", host), ("User-Agent", "tradepost"), ("Connection", "close")])
    writer.write((http.send(request) or b"") + (http.send(h11.EndOfMessage()) or b""))
    status, kind, body = 0, "", b""
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(await reader.read(16_384))
        elif isinstance(event, h11.Response):
            status = event.status_code
            given = dict(event.headers).get(b"content-type", b"").decode("latin-1")
            kind = given.partition(";")[0].strip().lower()
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > limit:
                return Fetched(status, kind, body[:limit + 1])
        elif isinstance(event, h11.EndOfMessage):
            return Fetched(status, kind, body)
        elif isinstance(event, h11.ConnectionClosed):
            raise ConnectionError("the connection closed early")
