"""Looking things up for verification: a name that does not exist has no records; no answer is no answer."""

from __future__ import annotations

import ipaddress

import dns.reversename

from relay.dns import NoSuchName, Resolver


class Asked:
    """The resolver, with NXDOMAIN as "nothing there". Every method raises DnsUnavailable: that says nothing."""

    def __init__(self, resolver: Resolver) -> None:
        self.resolver = resolver

    async def mx(self, domain: str) -> list[tuple[int, str]]:
        try:
            return await self.resolver.mx(domain)
        except NoSuchName:
            return []

    async def addresses(self, host: str) -> list[str]:
        try:
            return [str(ipaddress.ip_address(host))]
        except ValueError:
            pass
        try:
            return await self.resolver.addresses(host)
        except NoSuchName:
            return []

    async def cname(self, name: str) -> str:
        try:
            return await self.resolver.cname(name)
        except NoSuchName:
            return ""

    async def srv(self, name: str) -> list[tuple[int, int, int, str]]:
        try:
            return await self.resolver.srv(name)
        except NoSuchName:
            return []

    async def ptr(self, address: str) -> list[str]:
        """The names of an IP address (RFC 1035 3.5)."""
        try:
            return await self.resolver.ptr(dns.reversename.from_address(address).to_text(omit_final_dot=True))
        except NoSuchName:
            return []

    async def texts(self, name: str, version: str = "") -> list[str]:
        """The TXT records that begin with `version`, in any case and spacing: a misspelt one is there, but wrong."""
        try:
            found = await self.resolver.txt(name)
        except NoSuchName:
            return []
        texts = [one.decode("latin-1") for one in found]
        return [text for text in texts if text.replace(" ", "").lower().startswith(version.lower())]
