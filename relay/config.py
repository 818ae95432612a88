"""The configuration: where it comes from, what follows from it, and every error at once with its line.

Sources, strongest first: `TRADEPOST_SECTION__KEY` in the environment, the TOML file, the defaults of the
sections (which suit development: loopback only, unprivileged ports, everything under ./var).
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import PrivateAttr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from aliasing.token import LINK_PATH
from policy.case import PolicySettings
from relay.durable import read_regular
from relay.errors import ConfigError
from relay.sections import (
    ApiSection,
    DnsSection,
    LedgerSection,
    LimitsSection,
    ListenSection,
    LmtpSection,
    LogSection,
    OutboundSection,
    PageSection,
    PolicySection,
    RelaySection,
    RetentionSection,
    TlsSection,
    ZoneSection,
)
from relay.values import Listener

SEARCH = (Path("tradepost.toml"), Path("/etc/tradepost/tradepost.toml"))


class Config(BaseSettings):
    """All sections; made by load()."""

    model_config = SettingsConfigDict(env_prefix="TRADEPOST_", env_nested_delimiter="__", extra="forbid",
                                      frozen=True)
    _base: Path = PrivateAttr(default=Path())
    relay: RelaySection = RelaySection()
    listen: ListenSection = ListenSection()
    lmtp: LmtpSection = LmtpSection()
    tls: TlsSection = TlsSection()
    ledger: LedgerSection = LedgerSection()
    outbound: OutboundSection = OutboundSection()
    dns: DnsSection = DnsSection()
    zone: ZoneSection = ZoneSection()
    policy: PolicySection = PolicySection()
    limits: LimitsSection = LimitsSection()
    api: ApiSection = ApiSection()
    retention: RetentionSection = RetentionSection()
    page: PageSection = PageSection()
    log: LogSection = LogSection()

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource, dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, init_settings

    def is_exposed(self, listeners: Sequence[Listener] = (), *, fronted: bool = False) -> bool:
        """Whether others than this machine can bring mail without a login, themselves or through a server in front.

        `listeners` are those of the MX that there really are, where systemd or others made them; `fronted` says that
        there is one for LMTP.
        """
        listen = self.listen
        reachable = any(not one.is_loopback for one in (*listen.mx, *listeners))
        return reachable or fronted or bool(listen.lmtp or listen.proxy_from or listen.xforward_from)

    def observes(self, listeners: Sequence[Listener] = (), *, fronted: bool = False) -> list[str]:
        """The keys that let anybody who knows an alias write under a false name; the arguments are is_exposed()'s."""
        if not self.is_exposed(listeners, fronted=fronted):
            return []
        general = ["policy.authentication"] if self.policy.authentication == "observe" else []
        return general + [f"policy.authentication_domains.{name}"
                          for name, mode in self.policy.authentication_domains.items() if mode == "observe"]

    def policy_settings(self, listeners: Sequence[Listener] = (), *, fronted: bool = False) -> PolicySettings:
        """What rules read; the arguments are is_exposed()'s."""
        url = f"{self.page.base_url}{LINK_PATH}" if self.page.base_url else ""
        return replace(self.policy.settings(exposed=self.is_exposed(listeners, fronted=fronted)), action_url=url)

    @cached_property
    def data_dir(self) -> Path:
        return self._base / self.relay.data_dir

    @cached_property
    def key_ring(self) -> Path:
        return self._base / self.relay.key_ring if self.relay.key_ring else self.data_dir / "keys"

    @cached_property
    def ledger_path(self) -> Path:
        if self.ledger.url is None:
            return self.data_dir / "ledger.db"
        return self._base / self.ledger.url.removeprefix("sqlite:///")

    @cached_property
    def ca_file(self) -> Path | None:
        """Authorities for outbound TLS; None for the system's."""
        return self._base / self.outbound.ca_file if self.outbound.ca_file else None

    @cached_property
    def oidc_secret_file(self) -> Path | None:
        named = self.page.oidc.client_secret_file
        return self._base / named if named else None

    @cached_property
    def certificate(self) -> tuple[Path, Path]:
        """Certificate and key to use; the development pair where none is configured."""
        if self.tls.certificate is None or self.tls.key is None:
            return self.data_dir / "tls" / "certificate.pem", self.data_dir / "tls" / "key.pem"
        return self._base / self.tls.certificate, self._base / self.tls.key


def find(option: str | None) -> Path | None:
    """The file to read: `-c`, else TRADEPOST_CONFIG, else the first of SEARCH that exists, else None."""
    named = option or os.environ.get("TRADEPOST_CONFIG")
    if named:
        return Path(named)
    return next((path for path in SEARCH if path.is_file()), None)


def load(path: Path | None) -> Config:
    """Read and check the configuration; relative paths in it start at its own folder.

    Raises ConfigError with every problem, each with file, line and key.
    """
    text, name = "", "(defaults)"
    if path is not None:
        name = path.name
        try:
            text = read_regular(path).decode("utf-8")
        except OSError as error:
            raise ConfigError([f"{path}: cannot be read ({error.strerror}); name another file with -c"]) from None
        except UnicodeDecodeError:
            raise ConfigError([f"{path}: is not UTF-8 text; save it as UTF-8"]) from None
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, brackets without end
        line = re.search(r"line (\d+)", str(error))
        raise ConfigError([f"{name}:{line.group(1) if line else 1}: not TOML: {error}"]) from None
    try:
        config = Config(**values)
    except ValidationError as error:
        problems = {_problem(dict(found), name, text) for found in error.errors()}
        raise ConfigError([line for _, line in sorted(problems)]) from None
    config._base = path.parent if path is not None else Path()
    return config


def _problem(error: dict[str, Any], name: str, text: str) -> tuple[int, str]:
    keys = [str(part) for part in error["loc"] if not isinstance(part, int)]
    line = _line_of(keys, text)
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        message = "there is no such key; see conf/tradepost.toml for those there are"
    where = f"{name}:{line}" if line else f"{name} or environment"
    return line, f"{where}: {'.'.join(keys)}: {message}"


def _line_of(keys: list[str], text: str) -> int:
    """The line that sets `keys` ([section] key), else that of the section, else 0. tomllib keeps no positions."""
    section, found = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if header := re.match(r"\[\s*([\w.\"-]+)\s*\]", stripped):
            section = header.group(1).replace('"', "")
            if [section] == keys[:1]:
                found = number
        elif assignment := re.match(r'([\w."-]+)\s*=', stripped):
            full = ".".join(filter(None, (section, assignment.group(1).replace('"', "").strip())))
            if keys[:1] == [full] or (len(keys) > 1 and full in (".".join(keys[:2]), ".".join(keys))):
                return number
    return found
