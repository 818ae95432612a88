"""A strict receiver, judging what has arrived with programs that are not ours.

| what | by whom |
| --- | --- |
| DKIM, both signatures | dkimpy (Python) and opendkim (C) |
| SPF | Mail::SPF (Perl) |
| DMARC: alignment and policy | the library `dmarc` (Python), from the results of those three |
| all four once more | our own relay/authn, which is no proof by itself |

They ask a name server with the very zone that `tradepost dns` prints, but for DMARC's modes, which are made strict.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes, policy
from ipaddress import ip_address

import dkim as dkimpy
import dmarc
import dns.rdata
import dns.zone
import pytest
from support import Relay

from aliasing.address import Address
from aliasing.message import Message
from policy.case import AuthResult
from relay import authn
from relay.demo.nameserver import NameServer
from relay.demo.outside import Arrived
from relay.dns import DnsResolver

CLIENT = "127.0.0.1"
"""Where the relay really connects from."""
OPENDKIM, SPFQUERY = (shutil.which(name, path="/usr/sbin:/usr/bin") for name in ("opendkim", "spfquery.mail-spf-perl"))
ABSENT = [package for package, path in (("opendkim", OPENDKIM), ("spf-tools-perl", SPFQUERY)) if path is None]
both_there = pytest.mark.skipif(bool(ABSENT), reason=f"needs Debian's {' and '.join(ABSENT)}")


@dataclass
class FarSide:
    """Of one relay, whose only domain is its own name."""

    relay: Relay
    domain: str = "relay.example"
    zone: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def publish(self) -> None:
        """What `tradepost dns` prints now, read by dnspython's reader of zone files."""
        printed = dns.zone.from_text(self.relay.run("dns"), origin=".", check_origin=False, relativize=False)
        self.zone = {(self.domain, "A"): [CLIENT]}
        for name, rdataset in printed.iterate_rdatasets():
            self.zone[name.to_text(omit_final_dot=True), rdataset.rdtype.name] = [one.to_text() for one in rdataset]
        self.zone[f"_dmarc.{self.domain}", "TXT"] = [f'"{self.text(f"_dmarc.{self.domain}")}; adkim=s; aspf=s"']

    def text(self, name: str) -> str:
        """The TXT record of a name, "" when there is none."""
        return next((b"".join(dns.rdata.from_text("IN", "TXT", one).strings).decode()
                     for one in self.zone.get((name, "TXT"), ())), "")

    async def check(self, arrived: Arrived) -> None:
        """All that a receiver asks for passes, by everybody."""
        algorithms = re.findall(rb"(?m)^DKIM-Signature: v=1; a=([a-z0-9\-]+);", arrived.raw)
        assert algorithms == [b"rsa-sha256", b"ed25519-sha256"]
        server = NameServer(self.zone)
        await server.start()
        try:
            signed, said = self.by_dkimpy(arrived.raw), self.by_opendkim(arrived.raw)
            assert signed == [(self.domain, True)] * 2
            assert said.count("dkim=pass") == 2, said
            spf = await asyncio.to_thread(self.by_mail_spf, arrived, server.port)
            assert spf == (self.domain, "pass")
            assert self.by_dmarc(arrived, spf, signed) == ("pass", "pass", "pass")
            await self.by_ourselves(arrived, server.port)
        finally:
            server.stop()

    def by_dkimpy(self, raw: bytes) -> list[tuple[str, bool]]:
        """(d=, whether it verifies) of each signature, from the top."""
        def txt(name: bytes, timeout: int = 5) -> bytes:
            return self.text(name.decode().rstrip(".")).encode()

        found = []
        for number in range(len(re.findall(rb"(?m)^DKIM-Signature:", raw))):
            one = dkimpy.DKIM(raw, minkey=2048)
            try:
                passed = bool(one.verify(idx=number, dnsfunc=txt))
            except dkimpy.ValidationError:
                passed = False
            found.append((one.domain.decode(), passed))
        return found

    def by_opendkim(self, raw: bytes) -> str:
        """What opendkim's test mode prints, with the keys given to it in a file."""
        assert OPENDKIM
        folder = self.relay.folder
        names = [name for name, kind in self.zone if "._domainkey." in name]
        (folder / "dns").write_text("".join(f"{name} {self.text(name)}\n" for name in names))
        (folder / "opendkim.conf").write_text(f"Mode v\nTestDNSData file:{folder}/dns\nAuthservID far.example\n"
                                              "AlwaysAddARHeader yes\nSyslog no\n")
        (folder / "arrived.eml").write_bytes(raw)
        done = subprocess.run([OPENDKIM, "-x", str(folder / "opendkim.conf"), "-vvv", "-t", str(folder / "arrived.eml")],
                              capture_output=True, text=True, timeout=30)
        return done.stdout + done.stderr

    def by_mail_spf(self, arrived: Arrived, port: int) -> tuple[str, str]:
        """(domain, result) for MAIL FROM, or for the HELO name where that is null (RFC 7208 2.4)."""
        assert SPFQUERY
        sender = arrived.reverse_path.strip("<>")
        identity = ("mfrom", sender) if sender else ("helo", arrived.helo)
        done = subprocess.run([SPFQUERY, "--scope", identity[0], "--id", identity[1], "--ip", CLIENT,
                               "--helo-id", arrived.helo], capture_output=True, text=True, timeout=30,
                              env={"RES_NAMESERVERS": "127.0.0.1", "RES_OPTIONS": f"port:{port} retrans:2 retry:2"})
        return identity[1].rpartition("@")[2], done.stdout.partition("\n")[0]

    def by_dmarc(self, arrived: Arrived, spf: tuple[str, str], signed: list[tuple[str, bool]]) -> tuple[str, str, str]:
        """(DMARC, by SPF alone, by DKIM alone) under the published policy."""
        (author,) = message_from_bytes(arrived.raw, policy=policy.default)["From"].addresses
        judge = dmarc.DMARC()
        published = judge.parse_record(self.text(f"_dmarc.{author.domain}"), author.domain)
        results = [dmarc.DKIM(domain, dmarc.DKIMResult("pass" if passed else "fail")) for domain, passed in signed]
        found = judge.get_result(published, auth_results=dmarc.AuthResults(
            spf=dmarc.SPF(spf[0], dmarc.SPFResult(spf[1])), dkim=results))
        return found.result.value, found.spf.value, found.dkim.value

    async def by_ourselves(self, arrived: Arrived, port: int) -> None:
        message = Message.parse(arrived.raw)
        (author,) = message_from_bytes(arrived.raw, policy=policy.default)["From"].addresses
        sender = arrived.reverse_path.strip("<>")
        origin = authn.Origin(ip_address(CLIENT), arrived.helo, Address.parse(sender) if sender else None,
                              Address.parse(f"{author.username}@{author.domain}"))
        found = await authn.check(message, origin, DnsResolver([("127.0.0.1", port)], 2.0), datetime.now(UTC))
        assert [(one.result, one.aligned) for one in (found.spf, *found.dkim)] == [(AuthResult.PASS, True)] * 3
        assert found.dmarc.result is AuthResult.PASS
