"""The sections of the configuration: each key with its default, and what is said of a value that cannot be.

What a key is for stands in conf/tradepost.toml, whose keys and defaults a test compares with these.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import (
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from aliasing.address import Address, AddressError
from policy.case import PolicySettings
from relay import texts
from relay.values import UNSET, Domain, Duration, Endpoint, Listener, Network, Pause, Source, TlsLevel, domain


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RelaySection(_Section):
    hostname: Domain = "relay.localhost"
    domains: list[Domain] = Field(default=["relay.localhost"], min_length=1)
    data_dir: Path = Path("var")
    key_ring: Annotated[Path | None, UNSET] = None
    workers: int = Field(default=1, ge=1, le=64)
    language: str = "en"

    @field_validator("language")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in texts.languages():
            raise ValueError(f"there is no catalogue {value!r}; there are {', '.join(texts.languages())}")
        return value

    @model_validator(mode="before")
    @classmethod
    def _domains_follow_hostname(cls, values: Any) -> Any:
        if isinstance(values, dict) and "hostname" in values and "domains" not in values:
            with contextlib.suppress(ValueError, TypeError):  # a wrong hostname is reported once, as itself
                return values | {"domains": [domain(values["hostname"])]}
        return values


def _several(value: object) -> object:
    return ([value] if value else []) if isinstance(value, str) else value


Endpoints = Annotated[list[Endpoint], BeforeValidator(_several)]


class ListenSection(_Section):
    mx: Endpoints = [Listener(host="127.0.0.1", port=2525)]
    submission: Endpoints = []
    submissions: Endpoints = []
    lmtp: Endpoints = []
    proxy_from: list[Network] = []
    xforward_from: list[Network] = []
    metrics: Annotated[Endpoint | None, UNSET] = None
    http: Annotated[Endpoint | None, UNSET] = None


class LmtpSection(_Section):
    peers: list[Network] = [ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")]


class TlsSection(_Section):
    certificate: Annotated[Path | None, UNSET] = None
    key: Annotated[Path | None, UNSET] = None

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("give both certificate and key, or neither")
        return self


class LedgerSection(_Section):
    url: Annotated[str | None, UNSET] = None

    @field_validator("url")
    @classmethod
    def _scheme(cls, value: str | None) -> str | None:
        if value is not None and not re.match(r"sqlite:///.", value):
            raise ValueError('write it like "sqlite:///relative/ledger.db" or "sqlite:////absolute/ledger.db"')
        return value


class OutboundSection(_Section):
    route: str = "mx"
    port: int = Field(default=25, ge=1, le=65535)
    allow_loopback: bool = False
    tls: TlsLevel = "opportunistic"
    destinations: dict[Domain, TlsLevel] = {}
    mta_sts: bool = True
    ca_file: Annotated[Path | None, UNSET] = None
    source_addresses: list[Source] = []
    connections_per_host: int = Field(default=8, ge=1, le=100)
    retry: list[Duration] = Field(min_length=1, default=[
        timedelta(minutes=minutes) for minutes in (2, 5, 15, 30, 60, 120, 240)])
    warn_after: Duration = timedelta(hours=4)
    give_up_after: Duration = timedelta(days=5)
    timeout: Duration = timedelta(seconds=60)

    @field_validator("route")
    @classmethod
    def _route(cls, value: str) -> str:
        if value != "mx":
            parts = urlsplit(value)
            try:
                port = parts.port
            except ValueError:
                port = None
            if parts.scheme != "smtp" or not parts.hostname or port is None or parts.path or parts.username:
                raise ValueError('write "mx", or a smarthost as "smtp://host:port"')
        return value

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.destinations and self.route != "mx":
            raise ValueError("with a smarthost every connection goes to it: set outbound.tls, no destinations")
        return self

    @property
    def smarthost(self) -> tuple[str, int] | None:
        """(host, port) when everything goes through one server."""
        if self.route == "mx":
            return None
        parts = urlsplit(self.route)
        assert parts.hostname is not None
        assert parts.port is not None
        return parts.hostname, parts.port


class DnsSection(_Section):
    resolvers: list[Endpoint] = []
    timeout: Duration = timedelta(seconds=10)


class ZoneSection(_Section):
    """What `tradepost dns` prints and verifies that the rest of the configuration does not say."""

    mx: list[Domain] = []
    outgoing: list[str] = []
    reports: str = ""
    mta_sts: Literal["enforce", "testing", "none"] = "testing"
    imap: str = ""

    @field_validator("outgoing")
    @classmethod
    def _outgoing(cls, value: list[str]) -> list[str]:
        for one in value:
            try:
                ipaddress.ip_network(one)
            except ValueError:
                domain(one)
        return value

    @field_validator("reports")
    @classmethod
    def _reports(cls, value: str) -> str:
        try:
            return str(Address.parse(value)) if value else ""
        except AddressError:
            raise ValueError(f"{value!r} is no address; write it like postmaster@example.com") from None

    @field_validator("imap")
    @classmethod
    def _imap(cls, value: str) -> str:
        host, _, port = value.partition(":")
        if value and not (port.isdecimal() and 0 < int(port) < 65536):
            raise ValueError(f'{value!r} is no server; write it like "imap.example.com:993"')
        return f"{domain(host)}:{port}" if value else ""


class PolicySection(_Section):
    authentication: Annotated[Literal["require", "observe"] | None, UNSET] = None
    authentication_domains: dict[Domain, Literal["require", "observe"]] = {}
    arc_sealers: list[Domain] = []
    unsolicited: Literal["opt-out", "refuse"] = "opt-out"
    reply_window: Duration = timedelta(days=7)
    order_pattern: str = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
    help_url: str = ""
    critical_subjects: dict[str, list[str]] = {
        "es": ["Información adicional necesaria", "Se requiere información adicional"],
        "en": ["Additional Information Required"],
        "de": ["Zusätzliche Informationen erforderlich"],
        "ja": ["追加の情報が必要です"],
        "zh": ["需要更多信息"],
    }
    subject_markers: list[str] = []
    attachments_max: ByteSize = ByteSize(10 * 1024 * 1024)
    max_size: ByteSize = ByteSize(16 * 1024 * 1024)
    max_recipients: int = Field(default=100, ge=1, le=1000)
    rate_base: int = Field(default=600, ge=0)
    rate_orders_factor: int = Field(default=5, ge=0)
    critical_per_order_and_day: int = Field(default=3, ge=0)
    footer: bool = True
    links: Literal["unlink", "keep"] = "unlink"
    redact: list[Literal["addresses", "phones", "links"]] = []
    metadata: Literal["scrub", "keep"] = "scrub"
    addresses_in_files: Literal["refuse", "note"] = "refuse"
    signatures: Literal["refuse", "remove"] = "refuse"

    @field_validator("order_pattern")
    @classmethod
    def _pattern(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        return value

    @model_validator(mode="after")
    def _sizes(self) -> Self:
        if self.max_size < self.attachments_max * 4 // 3:
            raise ValueError("max_size is too small: attachments grow by 37 % on the wire, so give it at least "
                             f"1.4 x attachments_max ({int(self.attachments_max * 1.4)})")
        return self

    def settings(self, *, exposed: bool) -> PolicySettings:
        """`exposed`: others than this machine can reach a listener, so that who writes has to be authenticated unless
        the operator says otherwise."""
        return PolicySettings(
            authentication=self.authentication or ("require" if exposed else "observe"),
            authentication_domains=self.authentication_domains,
            arc_sealers=frozenset(self.arc_sealers),
            unsolicited=self.unsolicited,
            reply_window=self.reply_window,
            critical_subjects={language: tuple(subjects) for language, subjects in self.critical_subjects.items()},
            subject_markers=tuple(self.subject_markers),
            attachments_max_bytes=int(self.attachments_max),
            help_url=self.help_url,
            rate_orders_factor=self.rate_orders_factor,
            rate_base=self.rate_base,
            critical_per_order_and_day=self.critical_per_order_and_day,
            footer=self.footer,
            links=self.links,
            redact=tuple(self.redact),
            metadata=self.metadata,
            addresses_in_files=self.addresses_in_files,
            signatures=self.signatures,
        )


class LimitsSection(_Section):
    """What strangers may use up. Each counts in one process; with `relay.workers` = N each process has its own."""

    connections: int = Field(default=5000, ge=1)
    connections_per_network: int = Field(default=50, ge=1)
    connects_per_network: int = Field(default=600, ge=1)
    bytes_per_network: ByteSize = ByteSize(256 * 1024 * 1024)
    refusals_per_network: int = Field(default=60, ge=1)
    errors: int = Field(default=10, ge=1)
    refusals: int = Field(default=100, ge=1)
    commands: int = Field(default=1000, ge=10)
    messages: int = Field(default=1000, ge=1)
    failed_logins: int = Field(default=20, ge=1)
    memory: ByteSize = ByteSize(256 * 1024 * 1024)
    greeting_delay: Pause = timedelta(seconds=0.3)
    command_timeout: Duration = timedelta(minutes=5)
    data_timeout: Duration = timedelta(minutes=3)
    data_rate: int = Field(default=500, ge=1)
    stress_timeout: Duration = timedelta(seconds=10)
    exempt: list[Network] = [ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")]
    dnsbl: list[Domain] = []


class ApiSection(_Section):
    requests_per_minute: int = Field(default=600, ge=1)
    burst: int = Field(default=60, ge=1)


class RetentionSection(_Section):
    messages: Annotated[Duration | None, UNSET] = timedelta(days=1095)
    refused: Annotated[Duration | None, UNSET] = timedelta(days=90)
    content: Annotated[Duration | None, UNSET] = timedelta(days=365)


class OidcSection(_Section):
    """An OpenID Connect provider by which people may log in to the page."""

    issuer: str = ""
    client_id: str = ""
    client_secret_file: Annotated[Path | None, UNSET] = None
    name: str = ""

    @field_validator("issuer")
    @classmethod
    def _issuer(cls, value: str) -> str:
        parts = urlsplit(value)
        local = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1", "localhost")
        if value and (not (parts.scheme == "https" or local) or not parts.hostname or parts.query or parts.fragment):
            raise ValueError('write it as the provider does, like "https://login.example.com/realms/shop"')
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if bool(self.issuer) != bool(self.client_id):
            raise ValueError("issuer and client_id belong together")
        return self


class PageSection(_Section):
    """The messages page, on listen.http like the API."""

    base_url: str = ""
    session_idle: Duration = timedelta(hours=12)
    session_lifetime: Duration = timedelta(days=7)
    time_zone: str = "UTC"
    moderators_read: Literal["reported", "all"] = "reported"
    oidc: OidcSection = OidcSection()

    @model_validator(mode="after")
    def _known_to_the_provider(self) -> Self:
        if self.oidc.issuer and not self.base_url:
            raise ValueError("oidc needs base_url: the provider sends people back there")
        return self

    @field_validator("base_url")
    @classmethod
    def _origin(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None
                      or parts.path or parts.query or parts.fragment):
            raise ValueError('write scheme and host only, like "https://messages.example.com"')
        return value

    @field_validator("time_zone")
    @classmethod
    def _zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ValueError, OSError, KeyError):
            raise ValueError(f'there is no time zone {value!r}; write it like "Europe/Madrid"') from None
        return value


class LogSection(_Section):
    format: Literal["console", "json"] = "console"
    level: Literal["debug", "info", "warning", "error"] = "info"
