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
MAX_ALIASES = 8
BROKEN = "SERVFAIL"
"""As the only record of a name and type: the server answers SERVFAIL."""


class NameServer(asyncio.DatagramProtocol):
    """Answers from `zone`: NXDOMAIN for names it does not have, no data for types it does not have."""

    def __init__(self, zone: Zone) -> None:
        self.zone = dict(zone)
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
        self.asked.append((name, kind))
        owner = question.name
        while (alias := self.zone.get((name, "CNAME"))) and len(response.answer) < MAX_ALIASES:
            response.answer.append(dns.rrset.from_text_list(owner, 60, "IN", "CNAME", list(alias)))
            owner = dns.name.from_text(alias[0])
            name = owner.to_text(omit_final_dot=True).lower()
        records = self.zone.get((name, kind))
        if records == [BROKEN]:
            response.set_rcode(dns.rcode.SERVFAIL)
        elif records:
            response.answer.append(dns.rrset.from_text_list(owner, 60, "IN", kind, list(records)))
        elif not any(name == known for known, _ in self.zone):
            response.set_rcode(dns.rcode.NXDOMAIN)
        if self._transport is not None:
            self._transport.sendto(response.to_wire(), addr)
