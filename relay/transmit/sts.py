"""MTA-STS (RFC 8461): which hosts a domain's mail may go to, found by TXT, fetched over HTTPS, kept to its max_age."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from enum import StrEnum

import h11

from relay import maillog
from relay.dns import DnsUnavailable, NoSuchName, Resolver
from relay.fetch import HTTPS, fetch
from relay.sealed import SealedFolder

PATH = "/.well-known/mta-sts.txt"
MAX_BYTES = 65_536
"""RFC 8461 3.3 suggests 64 kilobytes."""
MAX_AGE_S = 31_557_600
"""RFC 8461 3.2: about a year."""
FETCH_S = 20.0
"""RFC 8461 3.3 allows a minute; a message waits for it, so it is less."""
AGAIN_S = 300.0
"""After a failure the domain is left in peace for five minutes (RFC 8461 3.3)."""
_ID = re.compile(r"v=STSv1\s*;(?:.*;)?\s*id=([A-Za-z0-9]{1,32})\s*(?:;|\Z)")
_HOST = re.compile(r"(?:\*\.)?[a-z0-9](?:[a-z0-9\-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9\-]*[a-z0-9])?)*")


class Mode(StrEnum):
    ENFORCE = "enforce"
    TESTING = "testing"
    NONE = "none"


class PolicyError(Exception):
    """There is no policy to be had. `result` is the result type of RFC 8460 4.3."""

    def __init__(self, result: str, why: str) -> None:
        super().__init__(why)
        self.result = result


@dataclass(frozen=True)
class Policy:
    """What a domain's policy file says; `expires_at` in seconds since 1970."""

    mode: Mode
    mx: tuple[str, ...]
    id: str
    expires_at: float

    def allows(self, host: str) -> bool:
        """RFC 8461 4.1: a pattern's asterisk stands for exactly one label."""
        host = host.lower().rstrip(".")
        return any(host == one or (one.startswith("*.") and host.partition(".")[2] == one[2:]) for one in self.mx)

    @property
    def lines(self) -> tuple[str, ...]:
        """As a TLS report quotes it (RFC 8460 4.4)."""
        return ("version: STSv1", f"mode: {self.mode}", *(f"mx: {one}" for one in self.mx))


def parse(text: str, policy_id: str, now: float) -> Policy:
    """A policy file (RFC 8461 3.2); raises PolicyError."""
    found: dict[str, list[str]] = {}
    for line in text.split("\n"):
        key, colon, value = line.strip().partition(":")
        if colon:
            found.setdefault(key.strip(), []).append(value.strip().lower() if key.strip() == "mx" else value.strip())
    try:
        mode, age = Mode(found["mode"][0]), int(found["max_age"][0])
        mx = tuple(found.get("mx", ()))
        if found["version"][0] != "STSv1" or age < 0 or (not mx and mode is not Mode.NONE):
            raise ValueError
        if not all(_HOST.fullmatch(one) for one in mx):
            raise ValueError
    except (KeyError, ValueError):
        raise PolicyError("sts-policy-invalid", "the policy file has an error") from None
    return Policy(mode, mx, policy_id, now + min(age, MAX_AGE_S))


class Policies:
    """The policy of each destination, asked for once at a time."""

    def __init__(self, resolver: Resolver, fetch: Callable[[str], Awaitable[str]], cache: SealedFolder,
                 failed: Callable[[str, str], None], clock: Callable[[], float] = time.time) -> None:
        """`failed` hears (domain, result type) when a domain that has a policy does not hand it out."""
        self._resolver = resolver
        self._fetch = fetch
        self._cache = cache
        self._failed = failed
        self._clock = clock
        self._known: dict[str, Policy | None] = {}
        self._not_before: dict[str, float] = {}
        self._flights: dict[str, asyncio.Task[Policy | None]] = {}

    async def of(self, domain: str) -> Policy | None:
        """None where there is none. Never raises: without an answer the last one holds until it expires."""
        flight = self._flights.get(domain)
        if flight is None:
            flight = self._flights[domain] = asyncio.create_task(self._find(domain))
            flight.add_done_callback(lambda _: self._flights.pop(domain, None))
        return await asyncio.shield(flight)

    async def _find(self, domain: str) -> Policy | None:
        known = self._remembered(domain)
        published = await self._id(domain)
        if published is None or (known is not None and known.id == published):
            return known  # RFC 8461 3.1: one that vanished from the DNS holds until it expires
        if self._not_before.get(domain, 0) > self._clock():
            return known
        try:
            policy = parse(await self._fetch(domain), published, self._clock())
        except PolicyError as error:
            self._not_before[domain] = self._clock() + AGAIN_S
            if known is None:
                self._failed(domain, error.result)
            return known
        self._keep(domain, policy)
        return policy

    async def _id(self, domain: str) -> str | None:
        try:
            answer = await self._resolver.records(f"_mta-sts.{domain}", "TXT")
        except (NoSuchName, DnsUnavailable):
            return None
        found = [text for text in answer.records if re.match(r"v=STSv1\s*;", text)]
        match = _ID.match(found[0]) if len(found) == 1 else None  # RFC 8461 3.1: several are as good as none
        return match[1] if match else None

    def _remembered(self, domain: str) -> Policy | None:
        if domain not in self._known:
            if len(self._known) > 10_000:
                self._known.clear()
            self._known[domain] = self._loaded(domain)
        policy = self._known[domain]
        return policy if policy is not None and policy.expires_at > self._clock() else None

    def _loaded(self, domain: str) -> Policy | None:
        content = self._cache.load(f"sts {domain}")
        if content is None:
            return None
        values = json.loads(content)
        return Policy(Mode(values["mode"]), tuple(values["mx"]), values["id"], values["expires_at"])

    def _keep(self, domain: str, policy: Policy) -> None:
        self._known[domain] = policy
        self._not_before.pop(domain, None)
        try:
            self._cache.save(f"sts {domain}", json.dumps(asdict(policy)).encode())
        except OSError as error:
            maillog.crashed("mta-sts", error)  # the memory of this process has it


class Fetcher:
    """GET https://mta-sts.DOMAIN/.well-known/mta-sts.txt, its certificate verified, no redirection followed."""

    def __init__(self, resolver: Resolver, context: ssl.SSLContext, usable: Callable[[str], bool], *,
                 port: int = HTTPS) -> None:
        """`usable` says whether an address may be connected to: a stranger's DNS must not aim us at ourselves."""
        self._resolver = resolver
        self._context = context
        self._usable = usable
        self._port = port

    async def __call__(self, domain: str) -> str:
        """The file; raises PolicyError."""
        host = f"mta-sts.{domain}"
        try:
            async with asyncio.timeout(FETCH_S):
                addresses = [one for one in await self._resolver.addresses(host) if self._usable(one)]
                found = await fetch(host, addresses, PATH, self._context, limit=MAX_BYTES, port=self._port)
        except ssl.SSLError:
            raise PolicyError("sts-webpki-invalid", "the certificate does not verify") from None
        except (OSError, TimeoutError, NoSuchName, DnsUnavailable, h11.ProtocolError) as error:
            raise PolicyError("sts-policy-fetch-error", type(error).__name__) from None
        if found.status != 200 or found.kind != "text/plain":  # RFC 8461 3.3: a redirection counts as failure
            raise PolicyError("sts-policy-fetch-error", f"status {found.status}, type {found.kind!r}")
        if len(found.body) > MAX_BYTES:
            raise PolicyError("sts-policy-invalid", "the policy file is too long")
        return found.body.decode("utf-8", "replace")
