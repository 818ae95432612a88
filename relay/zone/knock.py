"""Knocking at doors as a stranger would: port 25 with STARTTLS (in a thread), and a page over HTTPS."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import h11
from cryptography import x509

from relay.fetch import HTTPS, Fetched, fetch
from relay.transmit.sts import MAX_BYTES

KNOCK_S = 10.0


@dataclass(frozen=True)
class Certificate:
    """What a server showed. `distrust` is why its chain is not believed, "" when it is."""

    names: Sequence[str]
    begins: datetime
    ends: datetime
    distrust: str

    def covers(self, host: str) -> bool:
        """RFC 6125 6.4.3: a wildcard stands for the whole leftmost label."""
        return any(name == host or (name.startswith("*.") and name[2:] == host.partition(".")[2])
                   for name in self.names)


@dataclass(frozen=True)
class Answer:
    """Of a mail server. `error` is what kept it from being asked further: `refused`, `silent`, `unreachable`, or what
    it said at `at` = greeting, EHLO or STARTTLS."""

    greeting: str = ""
    at: str = ""
    error: str = ""
    has_starttls: bool = False
    certificate: Certificate | None = None


@dataclass(frozen=True)
class NotFetched:
    """Why a page could not be had; `is_certificate` when the server's certificate is the reason."""

    error: str
    is_certificate: bool = False


@dataclass(frozen=True)
class Knocker:
    """`trust` makes a context that verifies as others would."""

    helo: str
    smtp_port: int = 25
    https_port: int = HTTPS
    trust: Callable[[], ssl.SSLContext] = ssl.create_default_context
    timeout_s: float = KNOCK_S

    async def mail(self, host: str, address: str) -> Answer:
        """What a server says on port 25, up to its certificate; then QUIT."""
        return await asyncio.to_thread(self._mail, host, address)

    async def fetch(self, host: str, addresses: Sequence[str], path: str) -> Fetched | NotFetched:
        """A page over HTTPS from the first address that answers; redirects are not followed."""
        try:
            async with asyncio.timeout(self.timeout_s):
                return await fetch(host, addresses, path, self.trust(), limit=MAX_BYTES, port=self.https_port)
        except ssl.SSLCertVerificationError as error:
            return NotFetched(error.verify_message or str(error), is_certificate=True)
        except (OSError, h11.ProtocolError) as error:
            return NotFetched(_why(error))

    # -- in a thread -----------------------------------------------------------------------------------------

    def _mail(self, host: str, address: str) -> Answer:
        context = self.trust()
        context.check_hostname = False  # names are looked at one by one
        answer, distrust = self._dialogue(host, address, context)
        if not distrust:
            return answer
        blind = ssl.create_default_context()
        blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
        return self._dialogue(host, address, blind, distrust)[0]

    def _dialogue(self, host: str, address: str, context: ssl.SSLContext, distrust: str = "") -> tuple[Answer, str]:
        client = smtplib.SMTP(timeout=self.timeout_s, local_hostname=self.helo)
        client._host = host  # type: ignore[attr-defined]  # the name for SNI; connect() is given an address
        greeting, at, offered = "", "connect", False
        try:
            code, said = client.connect(address, self.smtp_port)
            greeting, at = said.decode("utf-8", "replace"), "greeting"
            if code != 220:
                return Answer(greeting, at, f"{code} {greeting}"), ""
            at = "EHLO"
            client.ehlo_or_helo_if_needed()
            offered = client.has_extn("starttls")
            if not offered:
                return Answer(greeting), ""
            at = "STARTTLS"
            client.starttls(context=context)
            assert isinstance(client.sock, ssl.SSLSocket)
            shown = client.sock.getpeercert(binary_form=True)
            return Answer(greeting, has_starttls=True, certificate=certificate_of(
                x509.load_der_x509_certificate(shown or b""), distrust)), ""
        except ssl.SSLCertVerificationError as error:
            return Answer(greeting, at, str(error), offered), error.verify_message or "not trusted"
        except (OSError, smtplib.SMTPException, ValueError) as error:
            return Answer(greeting, at, _why(error), offered), ""
        finally:
            with suppress(OSError, smtplib.SMTPException):
                client.quit()
            client.close()


def _why(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, TimeoutError) or "timed out" in str(error):  # smtplib says it in words only
        return "silent"
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def certificate_of(parsed: x509.Certificate, distrust: str = "") -> Certificate:
    """What others see of a certificate."""
    try:
        names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
            x509.DNSName)
    except x509.ExtensionNotFound:
        names = []
    return Certificate([name.lower() for name in names], parsed.not_valid_before_utc, parsed.not_valid_after_utc,
                       distrust)
