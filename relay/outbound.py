"""What carries mail out, made from the configuration: signer, routes, TLS policies, connections, results."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import datetime

from relay.config import Config
from relay.dns import DnsResolver
from relay.dsn.notices import Notices
from relay.errors import UsageError
from relay.keys import Keys
from relay.queue.schedule import Schedule
from relay.sealed import SealedFolder
from relay.sign import Signer
from relay.transmit.attempt import Connector
from relay.transmit.results import Results
from relay.transmit.route import Router, is_local
from relay.transmit.security import Level, Security, TlsPolicies
from relay.transmit.sts import Fetcher, Policies


def results_folder(config: Config, keys: Keys) -> SealedFolder:
    """Where the counts for TLS reports are kept, a file a day."""
    return SealedFolder(config.data_dir / "tls-results", keys)


def strict_context(config: Config) -> ssl.SSLContext:
    """For connections whose certificate counts; raises UsageError for an outbound.ca_file that cannot be used."""
    try:
        context = ssl.create_default_context(cafile=config.ca_file)
    except OSError as error:  # of which ssl.SSLError is one
        why = "is no PEM file" if isinstance(error, ssl.SSLError) else error.strerror
        raise UsageError(f"outbound.ca_file: {config.ca_file}: {why}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def notices_of(config: Config) -> Notices:
    return Notices(config.relay.hostname, config.outbound.give_up_after)


class Outbound:
    """What outlives a reload of the configuration; one instance a process."""

    def __init__(self, config: Config, keys: Keys, clock: Callable[[], datetime]) -> None:
        self._keys = keys
        self._signer = Signer(keys, clock)
        self._results = Results(results_folder(config, keys), clock)

    def parts(self, config: Config, resolver: DnsResolver) -> tuple[Router, Connector, Schedule, Notices]:
        """Raises UsageError for an outbound.ca_file that cannot be used."""
        out, strict = config.outbound, strict_context(config)
        connector = Connector(config.relay.hostname, out.timeout.total_seconds(), self._signer.signed, strict,
                              sources=[str(one) for one in out.source_addresses], count=self._results.count)
        policies = TlsPolicies(resolver, Level[out.tls.upper()],
                               {domain: Level[level.upper()] for domain, level in out.destinations.items()},
                               self._sts(config, resolver, strict) if out.mta_sts else None)
        router = Router(resolver, config.relay.hostname, out.port, out.allow_loopback, out.smarthost, policies,
                        frozenset(one.version for one in out.source_addresses) or frozenset((4, 6)), self._refused)
        return router, connector, Schedule(out.retry, out.warn_after, out.give_up_after), notices_of(config)

    def _sts(self, config: Config, resolver: DnsResolver, strict: ssl.SSLContext) -> Policies:
        allowed = config.outbound.allow_loopback
        fetch = Fetcher(resolver, strict, lambda address: allowed or not is_local(address))
        return Policies(resolver, fetch, SealedFolder(config.data_dir / "mta-sts", self._keys), self._no_policy)

    def _refused(self, security: Security, host: str, result: str) -> None:
        self._results.count(security, host, "", result)

    def _no_policy(self, domain: str, result: str) -> None:
        self._results.count(Security(domain=domain, kind="sts"), "", "", result)

    def close(self) -> None:
        """Write down what was counted since the last time."""
        self._results.flush()
