"""Wiring: every part made once and handed what it needs; one TaskGroup runs the listener and the queue."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import uvloop

from policy.case import PolicySettings
from relay import log, maillog, reload, tls
from relay.accept import Acceptor
from relay.config import Config
from relay.dns import DnsResolver
from relay.errors import ConfigError, KeyRingFileError, TradepostError
from relay.examiner import Examiner
from relay.health import Health
from relay.hooks import Hooks
from relay.http import Endpoint
from relay.ledger.clock import Steady, boot_time
from relay.ledger.desk import Desk
from relay.ledger.opened import open_ledger, release_leases, sweep_spool
from relay.ledger.ring import ensure_dkim
from relay.ledger.sqlite import SqliteLedger
from relay.outbound import Outbound, notices_of, strict_context
from relay.peers import Lines, Peer, answer
from relay.processes import no_core_dumps, only_one, supervise
from relay.queue.runner import Runner
from relay.receive.limits import Guard
from relay.receive.lmtp import LmtpSession
from relay.receive.logins import Logins
from relay.receive.server import Door, Make, bind, bind_for, listen, raise_file_limit
from relay.receive.service import Service
from relay.receive.session import ReceivingSession
from relay.receive.submission import SubmissionSession
from relay.systemd import Notifier, address_of, inherited, share, watchdog_s
from relay.vitals import STUCK_S, Vitals

if TYPE_CHECKING:
    from relay.web.service import Web

STOP_S = 8.0
"""How long what is under way may take once told to stop; systemd and operators count on ten seconds in all."""
WATCH_S = 1.0
START_POLL_S = 0.05
DOORS = ("mx", "submission", "submissions", "lmtp")


@dataclass(frozen=True)
class Seat:
    """A process's place among the others of one daemon."""

    worker: int = 0
    metrics: Sequence[socket.socket] = ()
    http: Sequence[socket.socket] = ()
    lines: Sequence[socket.socket] = ()
    """To every other process in the first one, to the first in every other."""
    watchdog_s: float | None = None
    load: Callable[[], Config] | None = None
    """Reads the configuration anew; raises ConfigError."""
    others: Mapping[str, Sequence[socket.socket]] = field(default_factory=dict)
    """Listeners of [listen] besides mx."""


@dataclass
class Shared:
    """What is opened before processes are forked."""

    doors: dict[str, list[list[socket.socket]]]
    """Listener -> each process's sockets."""
    metrics: list[socket.socket]
    http: list[socket.socket]
    lines: Lines
    sockets: set[socket.socket] = field(init=False)

    def __post_init__(self) -> None:
        self.sockets = {sock for shares in self.doors.values() for own in shares for sock in own}
        self.sockets |= {*self.metrics, *self.http}

    def take(self, worker: int) -> dict[str, list[socket.socket]]:
        """Close what is not this process's: the kernel would give connections to a socket that nobody looks at."""
        mine = {name: shares[worker] for name, shares in self.doors.items()}
        kept = {sock for own in mine.values() for sock in own}
        kept |= {*self.metrics, *self.http} if worker == 0 else set()
        for sock in self.sockets - kept:
            sock.close()
        return mine

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()
        self.lines.close()


def serve(config: Config, load: Callable[[], Config] | None = None) -> int:
    """Run the daemon until SIGTERM or SIGINT; the exit status. Raises TradepostError when it cannot start.

    All that can fail for the administrator to mend happens here, before any process is forked: ports, ledger,
    key ring, certificate. `load` reads the configuration anew at SIGHUP.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})  # one that comes early waits until it can be followed
    no_core_dumps()
    log.configure(config.log.format, config.log.level)
    shared = _sockets(config)
    opened = open_ledger(config.ledger_path, config.key_ring)
    lock = only_one(config.ledger_path)
    release_leases(opened, datetime.now(UTC))
    sweep_spool(opened)
    ensure_dkim(opened, config.relay.domains)
    opened.close()  # a connection must not be carried over a fork
    _certificate(config)
    strict_context(config)
    watched = watchdog_s()
    try:
        if config.relay.workers == 1:
            return _work(config, shared, 0, watched, load)
        works = [partial(_work, config, shared, worker, watched, load) for worker in range(config.relay.workers)]
        return supervise(works, shared.close)
    finally:
        lock.close()


def _sockets(config: Config) -> Shared:
    """Those that systemd hands over; for the other listeners, sockets of our own."""
    workers, given = config.relay.workers, inherited()
    doors = {name: share(given[name], workers) if name in given
             else bind_for(workers, getattr(config.listen, name), f"listen.{name}") for name in DOORS}
    metrics = given.get("metrics", [])
    if not metrics and config.listen.metrics is not None:
        metrics = [bind(config.listen.metrics, shared=False, key="listen.metrics")]
    public = given.get("http", [])
    if not public and config.listen.http is not None:
        public = [bind(config.listen.http, shared=False, key="listen.http")]
    return Shared(doors, metrics, public, Lines(workers))


def _certificate(config: Config) -> Any:
    if config.tls.certificate is None:
        tls.make_certificate(*config.certificate, config.relay.hostname)
    return tls.server_context(*config.certificate)


def _work(config: Config, shared: Shared, worker: int, watched: float | None,
          load: Callable[[], Config] | None) -> int:
    sockets = shared.take(worker)
    mx = sockets.pop("mx")
    metrics, public = (shared.metrics, shared.http) if worker == 0 else ([], [])
    seat = Seat(worker, metrics, public, shared.lines.of(worker), watched, load, sockets)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            status = runner.run(Daemon(config, mx, seat=seat).run())
            # the ledger is closed: what is left (a thread at work on a message, a server that does not answer our
            # QUIT) has nothing to keep any more, and closing the loop would wait for it
            os._exit(status)
    except TradepostError:
        raise
    except BaseException as error:  # a traceback would show messages, and those may quote an address
        maillog.crashed("daemon", error)
        return 1


class Daemon:
    """One relay process."""

    def __init__(self, config: Config, sockets: Sequence[socket.socket],
                 clock: Callable[[], datetime] = lambda: datetime.now(UTC), steady: Steady = boot_time, *,
                 seat: Seat | None = None) -> None:
        self._config = config
        self._sockets = sockets
        self._listeners = [address_of(sock) for sock in sockets]
        self._clock = clock
        self._steady = steady
        self._seat = seat or Seat()
        self._fronted = bool(self._seat.others.get("lmtp"))
        self._notifier = Notifier(speaks=self._seat.worker == 0)
        self._examiner = Examiner()
        self._resolver = _resolver(config)
        self._endpoints: list[asyncio.Server] = []
        self._status = 0

    async def run(self) -> int:
        config, stop = self._config, asyncio.Event()
        self._ledger = SqliteLedger(open_ledger(config.ledger_path, config.key_ring), self._steady)
        self._outbound = Outbound(config, self._ledger.keys, self._clock)
        self._runner = self._make_runner()
        self._watched = tls.Watched(*config.certificate)
        self._service = self._make_service()
        half = self._seat.watchdog_s / 2 if self._seat.watchdog_s else STUCK_S
        self._vitals = Vitals(self._ledger, self._runner, self._service, min(half, STUCK_S))
        # what people and back ends ask for is the first process's
        self._desk = Desk(config.ledger_path, self._ledger.keys) if self._seat.worker == 0 else None
        self._web = self._make_web()
        self._handle_signals(stop)
        gc.freeze()  # what start-up made lives for ever: the collector need not look at it again
        gc.set_threshold(20_000, 20, 20)  # a message makes some thousand objects, and nearly all die by themselves
        try:
            async with asyncio.TaskGroup() as tasks:
                queue = tasks.create_task(self._runner.run(stop))
                tasks.create_task(self._service.sweep(stop))
                servers = await self._listen()
                web = tasks.create_task(self._web.run()) if self._web else None
                helpers = [tasks.create_task(helper) for helper in await self._helpers(stop)]
                asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload)
                signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
                await stop.wait()
                self._notifier.stopping()
                for server in servers:
                    server.close()
                if self._web:
                    self._web.stop()
                with suppress(TimeoutError):
                    async with asyncio.timeout(STOP_S):
                        await self._service.stop()
                        await asyncio.wait_for(asyncio.shield(queue), STOP_S)
                        if web:
                            await asyncio.wait([web])
                for task in (queue, *helpers, *([web] if web else [])):
                    task.cancel()
        finally:
            if self._desk:
                self._desk.close()
            self._examiner.close()
            self._outbound.close()
            self._ledger.close()
        maillog.stopped()
        return self._status

    def _handle_signals(self, stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_log_stray)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, number.name, stop)

    # -- what it is made of ----------------------------------------------------------------------------------

    def _make_runner(self) -> Runner:
        routes, connect, schedule, notices = self._outbound.parts(self._config, self._resolver)
        return Runner(self._ledger, routes, connect, schedule, notices, self._clock,
                      connections_per_host=self._config.outbound.connections_per_host)

    def _make_service(self) -> Service:
        config = self._config
        settings, max_size = self._policy(config), int(config.policy.max_size)
        guard = Guard(config.limits, max_size=max_size, clock=time.monotonic, descriptors=raise_file_limit())
        return Service(
            hostname=config.relay.hostname, domains=frozenset(config.relay.domains), max_size=max_size,
            max_recipients=config.policy.max_recipients, language=config.relay.language, tls=_certificate(config),
            keys=self._ledger.keys, ledger=self._ledger, settings=settings, clock=self._clock, guard=guard,
            resolver=self._resolver, proxies=tuple(config.listen.proxy_from),
            peers=tuple(config.lmtp.peers), forwarders=tuple(config.listen.xforward_from),
            acceptor=Acceptor(self._ledger, settings, self._runner, notices_of(config), self._examiner, self._resolver,
                              self._clock, config.relay.language))

    def _policy(self, config: Config) -> PolicySettings:
        return config.policy_settings(self._listeners, fronted=self._fronted)

    async def _listen(self) -> list[Door]:
        """Open every listener; the log names the MX first."""
        submit: Make = ReceivingSession
        if any(self._seat.others.get(name) for name in ("submission", "submissions")):
            submit = partial(SubmissionSession, logins=Logins(self._ledger, self._service.guard, time.monotonic))
        makes: dict[str, Make] = {"mx": ReceivingSession, "submission": submit, "submissions": submit,
                                  "lmtp": LmtpSession}
        sockets = [(name, sock) for name in makes
                   for sock in (self._sockets if name == "mx" else self._seat.others.get(name, ()))]
        doors = [await listen(sock, self._service, makes[name], tls=name == "submissions") for name, sock in sockets]
        for name, sock in sockets:
            maillog.listening(name, str(address_of(sock)))
        return doors

    def _make_web(self) -> Web | None:
        """listen.http is the first process's: the limits count there."""
        if self._desk is None or not self._seat.http:
            return None
        from relay.web.service import Web  # only here: it costs a third of a second and 30 MB

        return Web(self._config, self._desk, self._service, self._seat.http)

    async def _helpers(self, stop: asyncio.Event) -> list[Any]:
        """The first process speaks for all, once all listen; the others answer it."""
        if self._seat.worker:
            return [self._watch(stop, None), answer(self._seat.lines[0], self._vitals.report)]
        peers = [await Peer.open(end) for end in self._seat.lines]
        self._health = Health(self._vitals, self._ledger, self._config.ledger_path, self._config.certificate[0], peers)
        if self._web:
            self._web.findings = self._health.findings
        for sock in self._seat.metrics:
            self._endpoints.append(await Endpoint(self._health.pages).listen(sock))
            maillog.listening("metrics", str(address_of(sock)))
        for sock in self._seat.http:
            maillog.listening("http", str(address_of(sock)))
        self._warn()
        return [self._watch(stop, self._health), *([Hooks(self._desk).run(stop)] if self._desk else [])]

    def _warn(self) -> None:
        if keys := self._config.observes(self._listeners, fronted=self._fronted):
            maillog.only_observed(keys)

    # -- while it runs ---------------------------------------------------------------------------------------

    async def _watch(self, stop: asyncio.Event, health: Health | None) -> None:
        """Each second: a broken ledger ends the process (systemd starts it anew), a rotated ring is read. The first
        process says when all are ready, and feeds the watchdog while all are alive."""
        pause = min(WATCH_S, self._seat.watchdog_s / 2) if self._seat.watchdog_s else WATCH_S
        ready = False
        while not stop.is_set():
            if self._ledger.broken is not None:
                maillog.storage_failed(self._ledger.broken)
                self._status = 1
                stop.set()
            try:
                self._ledger.keys.refresh()
            except KeyRingFileError as error:
                maillog.key_ring_failed(str(error))
            self._renew_certificate()
            if health is not None and await health.alive():
                if not ready:
                    self._notifier.ready()
                    ready = True
                self._notifier.ping()
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause if ready or health is None else START_POLL_S)

    def _renew_certificate(self) -> None:
        try:
            if context := self._watched.renewed():
                self._service.tls = context
                maillog.certificate_reloaded()
        except TradepostError as error:
            maillog.certificate_refused(str(error))

    def _reload(self) -> None:
        """SIGHUP. All that can fail is done first: a configuration with an error changes nothing."""
        self._notifier.reloading()
        problems: list[str] = []
        try:
            self._take(self._seat.load() if self._seat.load else self._config)
        except ConfigError as error:
            problems = error.problems
        except TradepostError as error:
            problems = [str(error)]
        except Exception as error:
            problems = [log.described(error)]
        finally:
            self._notifier.ready()
        if problems:
            maillog.reload_refused(problems)
        if self._seat.worker == 0:
            self._health.reload_refused = bool(problems)

    def _take(self, new: Config) -> None:
        changed, need_restart = reload.differences(self._config, new)
        config = reload.merged(self._config, new)
        context, watched = _certificate(config), tls.Watched(*config.certificate)
        resolver = self._resolver if config.dns == self._config.dns else _resolver(config)
        routes, connect, schedule, notices = self._outbound.parts(config, resolver)
        settings = self._policy(config)
        self._ledger.keys.refresh()
        if self._ledger.keys.problem:  # found by a look before this one
            raise KeyRingFileError(self._ledger.keys.problem)
        log.configure(config.log.format, config.log.level)
        self._config, self._resolver, self._watched = config, resolver, watched
        self._runner.reconfigure(routes, connect, schedule, notices,
                                 connections_per_host=config.outbound.connections_per_host)
        self._service.reconfigure(
            settings=settings, max_size=int(config.policy.max_size), max_recipients=config.policy.max_recipients,
            language=config.relay.language, tls=context, limits=config.limits, resolver=resolver,
            proxies=tuple(config.listen.proxy_from), peers=tuple(config.lmtp.peers),
            forwarders=tuple(config.listen.xforward_from))
        self._service.acceptor.reconfigure(settings, notices, resolver, config.relay.language)
        if self._web:
            self._web.reconfigure(config)
        if self._seat.worker == 0:
            self._health.certificate = config.certificate[0]
            self._warn()
        maillog.reloaded(changed, need_restart)

    def _stop(self, name: str, stop: asyncio.Event) -> None:
        maillog.stopping(name)
        stop.set()


def _resolver(config: Config) -> DnsResolver:
    return DnsResolver([(server.host, server.port) for server in config.dns.resolvers],
                       config.dns.timeout.total_seconds())


def _log_stray(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What a callback raised and nobody waited for: by class and place, as everything else."""
    maillog.crashed("loop", context.get("exception") or RuntimeError(context.get("message")))
