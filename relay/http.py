"""A few pages for machines over plain HTTP/1.1, one request a connection, GET and HEAD only.

Small on purpose: no query and no header is read. What is not exactly a request for a page
gets a refusal (RFC 9110 15.5), and what is slow, long or too many gets nothing.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from relay import maillog

HEAD_BYTES = 8 * 1024
HEAD_TIMEOUT_S = 5.0
PAGE_TIMEOUT_S = 10.0
MAX_CONNECTIONS = 16
_HEAD = re.compile(rb"([A-Z]{1,10}) (?=[^ ?]{1,80}[ ?])((?:/\.?[A-Za-z0-9][A-Za-z0-9._-]*)+|/)"
                   rb"(?:\?[!-~]*)? HTTP/1\.[01]\r\n"
                   rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*\r\n)*\r\n")


@dataclass(frozen=True)
class Page:
    """An answer: `body` in the media type `kind`."""

    body: bytes
    status: HTTPStatus = HTTPStatus.OK
    kind: str = "text/plain; charset=utf-8"
    allow: str = ""
    """With 405: the methods that there are (RFC 9110 15.5.6)."""


Pages = Mapping[str, Callable[[], Awaitable[Page]]]


class Endpoint:
    """Serves `pages`, path -> what makes the page."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._answering: dict[asyncio.StreamWriter, None] = {}
        self._unasked: dict[asyncio.StreamWriter, None] = {}
        """Connections that have not said what they want, the oldest first."""

    async def listen(self, sock: socket.socket) -> asyncio.Server:
        """Start answering on a bound socket."""
        return await asyncio.start_server(self._connected, sock=sock, limit=HEAD_BYTES)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._answering) + len(self._unasked) >= MAX_CONNECTIONS:
            if not self._unasked:
                writer.close()
                return
            oldest = next(iter(self._unasked))  # who says nothing must not keep Prometheus out
            del self._unasked[oldest]
            oldest.transport.abort()
        self._unasked[writer] = None
        try:
            await self._exchange(reader, writer)
        except (OSError, EOFError, TimeoutError, asyncio.CancelledError):
            pass  # gone, too slow, or the daemon stops: asyncio cannot stand a cancelled handler
        except Exception as error:
            maillog.crashed("http", error)
        finally:
            self._unasked.pop(writer, None)
            self._answering.pop(writer, None)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        method = b"GET"
        try:
            async with asyncio.timeout(HEAD_TIMEOUT_S):
                head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            page = _refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        else:
            if writer not in self._unasked:
                raise ConnectionAbortedError  # another took its place at this very moment
            self._answering[writer] = self._unasked.pop(writer)
            async with asyncio.timeout(PAGE_TIMEOUT_S):
                method, page = await self._answer(head)
        async with asyncio.timeout(HEAD_TIMEOUT_S):
            writer.write(_head_of(page) + (b"" if method == b"HEAD" else page.body))
            await writer.drain()
            if page.status is not HTTPStatus.OK:
                await _read_away(reader, writer)

    async def _answer(self, head: bytes) -> tuple[bytes, Page]:
        match = _HEAD.fullmatch(head)
        if match is None:
            return b"GET", _refusal(HTTPStatus.BAD_REQUEST)
        method, path = match.group(1), match.group(2).decode("ascii")
        if path not in self._pages:
            return method, _refusal(HTTPStatus.NOT_FOUND)
        if method not in (b"GET", b"HEAD"):
            return method, _refusal(HTTPStatus.METHOD_NOT_ALLOWED, "GET, HEAD")
        return method, await self._pages[path]()


async def _read_away(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Closing on unread octets would reset the connection, and the answer might be lost (RFC 9112 9.6)."""
    writer.write_eof()
    for _ in range(16):
        if not await reader.read(HEAD_BYTES):
            return


def _refusal(status: HTTPStatus, allow: str = "") -> Page:
    return Page(f"{status.phrase}\n".encode(), status, allow=allow)


def _head_of(page: Page) -> bytes:
    allow = f"Allow: {page.allow}\r\n" if page.allow else ""
    return (f"HTTP/1.1 {page.status.value} {page.status.phrase}\r\nContent-Type: {page.kind}\r\n"
            f"Content-Length: {len(page.body)}\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
            f"{allow}Connection: close\r\n\r\n").encode("ascii")
