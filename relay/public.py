"""The pages of listen.http, which anybody may see: settings for mail clients, and the MTA-STS policy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from relay.clients import Server, autoconfig, autodiscover
from relay.zone.plan import SUBMISSION, SUBMISSIONS, Plan

AUTOCONFIG = ("/.well-known/autoconfig/mail/config-v1.1.xml", "/mail/config-v1.1.xml")
_XML = "application/xml"


@dataclass(frozen=True)
class Page:
    """`body` in the media type `kind`."""

    body: bytes
    kind: str = "text/plain"


class Public:
    """Made of `plan`, which a reload replaces."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    @property
    def pages(self) -> Mapping[str, Callable[[], Page]]:
        policy = {"/.well-known/mta-sts.txt": self.policy}
        return policy | dict.fromkeys(AUTOCONFIG, self.autoconfig) if self._servers() else policy

    def policy(self) -> Page:
        """RFC 8461 3.2."""
        return Page(self.plan.policy.encode())

    def autoconfig(self) -> Page:
        return Page(autoconfig(self.plan.hostname, self.plan.domains, self._servers()), kind=_XML)

    def autodiscover(self, posted: bytes) -> Page:
        return Page(autodiscover(posted, self._servers()), kind=_XML)

    def _servers(self) -> list[Server]:
        """In the order in which clients should try them: TLS at once first (RFC 8314 3)."""
        own = [Server("smtp", self.plan.hostname, port, starttls=port == SUBMISSION)
               for port in (SUBMISSIONS, SUBMISSION) if port in self.plan.submits]
        return [Server("imap", *self.plan.imap), *own] if self.plan.imap else own
