"""The pages of listen.http, which anybody may see: settings for mail clients, and the MTA-STS policy."""

from __future__ import annotations

from http import HTTPStatus

from relay.clients import Server, autoconfig, autodiscover
from relay.http import Forms, Page, Pages
from relay.zone.plan import SUBMISSION, SUBMISSIONS, Plan

_XML = "application/xml; charset=utf-8"


class Public:
    """Made of `plan`, which a reload replaces."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    @property
    def pages(self) -> Pages:
        return {"/.well-known/mta-sts.txt": self.policy,
                "/.well-known/autoconfig/mail/config-v1.1.xml": self.autoconfig,
                "/mail/config-v1.1.xml": self.autoconfig}

    @property
    def forms(self) -> Forms:
        return {"/autodiscover/autodiscover.xml": self.autodiscover}

    async def policy(self) -> Page:
        """RFC 8461 3.2."""
        return Page(self.plan.policy.encode())

    async def autoconfig(self) -> Page:
        if not self._servers():
            return Page(b"no server for mail clients\n", HTTPStatus.NOT_FOUND)
        return Page(autoconfig(self.plan.hostname, self.plan.domains, self._servers()), kind=_XML)

    def autodiscover(self, posted: bytes) -> Page:
        return Page(autodiscover(posted, self._servers()), kind=_XML)

    def _servers(self) -> list[Server]:
        """In the order in which clients should try them: TLS at once first (RFC 8314 3)."""
        own = [Server("smtp", self.plan.hostname, port, starttls=port == SUBMISSION)
               for port in (SUBMISSIONS, SUBMISSION) if port in self.plan.submits]
        return [Server("imap", *self.plan.imap), *own] if self.plan.imap else own
