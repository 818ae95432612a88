"""A DNS server on loopback for a handful of records, so that demo and tests use real MX look-up."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

Zone = Mapping[tuple[str, str], Sequence[str]]
"""(name, type) -> records in presentation form: {("correo.example", "MX"): ["10 mx.correo.example."]}."""
BROKEN = "SERVFAIL"
"""As the only record of a name and type: the server answers SERVFAIL."""
MAX_ALIASES = 8


class NameServer(asyncio.DatagramProtocol):
    """Answers from `zone`: NXDOMAIN for names it does not have, no data for types it does not have."""

    def __init__(self, zone: Zone) -> None:
        self.zone = dict(zone)
        self.secure: set[str] = set()
        """Names whose answers carry the AD bit, as those of a validating resolver do; "*" for all."""
        self.asked: list[tuple[str, str]] = []
        self.port = 0
        self._transport: asyncio.DatagramTransport | None = None

    async def start(self, host: str = "127.0.0.1") -> int:
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, (host, 0))
        self.port = int(transport.get_extra_info("sockname")[1])
        return self.port

    def stop(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AA | dns.flags.RA
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        if self.secure & {name, "*"} and query.flags & dns.flags.AD:
            response.flags |= dns.flags.AD
        self.asked.append((name, kind))
        self._fill(response, name, kind)
        if self._transport is not None:
            self._transport.sendto(response.to_wire(), addr)

    def _fill(self, response: dns.message.Message, name: str, kind: str) -> None:
        """The answer for one name; an alias is followed (RFC 1034 3.6.2)."""
        for _ in range(MAX_ALIASES):
            records = self.zone.get((name, kind))
            alias = self.zone.get((name, "CNAME"))
            if records == [BROKEN] or alias == [BROKEN]:
                response.set_rcode(dns.rcode.SERVFAIL)
                return
            if not records and not alias and not any(name == known for known, _ in self.zone):
                response.set_rcode(dns.rcode.NXDOMAIN)
                return
            owner, found = dns.name.from_text(name), "CNAME" if alias and not records else kind
            if records or alias:
                response.answer.append(dns.rrset.from_text_list(owner, 60, "IN", found, list(records or alias or ())))
            if records or not alias:
                return
            name = alias[0].rstrip(".").lower()
