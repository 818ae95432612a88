"""Wiring: every part made once and handed what it needs; one TaskGroup runs the listener and the queue."""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import gc
import os
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO, Any

import sdnotify
import uvloop

from relay import log, maillog, tls
from relay.accept import Acceptor
from relay.config import Config
from relay.dns import DnsResolver
from relay.dsn.notices import Notices
from relay.errors import KeyRingFileError, StorageFailed, TradepostError, UsageError
from relay.examiner import PR_SET_PDEATHSIG, Examiner
from relay.ledger.clock import Steady, boot_time
from relay.ledger.opened import open_ledger, release_leases, sweep_spool
from relay.ledger.sqlite import SqliteLedger
from relay.queue.runner import Runner
from relay.queue.schedule import Schedule
from relay.receive.server import bind_for, listen
from relay.receive.service import Service
from relay.transmit.attempt import Link
from relay.transmit.route import Hop, Router

STOP_S = 8.0
"""How long what is under way may take once told to stop; systemd and operators count on ten seconds in all."""
WATCH_S = 1.0


def serve(config: Config) -> int:
    """Run the daemon until SIGTERM or SIGINT; the exit status. Raises TradepostError when it cannot start.

    All that can fail for the administrator to mend happens here, before any process is forked: ports, ledger,
    key ring, certificate.
    """
    log.configure(config.log.format, config.log.level)
    sockets = bind_for(config.relay.workers, config.listen.mx)
    opened = open_ledger(config.ledger_path, config.key_ring)
    lock = _only_one(config.ledger_path)
    release_leases(opened, datetime.now(UTC))
    sweep_spool(opened)
    opened.close()  # a connection must not be carried over a fork
    if config.tls.certificate is None:
        tls.make_certificate(*config.certificate, config.relay.hostname)
    tls.server_context(*config.certificate)
    try:
        if config.relay.workers == 1:
            return _work(config, sockets, 0)
        works = [partial(_work, config, sockets, worker) for worker in range(config.relay.workers)]
        return _supervise(works, [sock for own in sockets for sock in own])
    finally:
        lock.close()


def _work(config: Config, sockets: Sequence[Sequence[socket.socket]], worker: int) -> int:
    for number, others in enumerate(sockets):
        for sock in others if number != worker else ():
            sock.close()  # or the kernel would give connections to a socket that this process never looks at
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(Daemon(config, sockets[worker]).run())
    except TradepostError:
        raise
    except BaseException as error:  # a traceback would show messages, and those may quote an address
        maillog.crashed("daemon", error)
        return 1


def _supervise(works: Sequence[Callable[[], int]], theirs: Sequence[socket.socket]) -> int:
    """Fork a process for each piece of work; when one ends, end all. The kernel ends them should we be killed."""
    workers = set()
    for work in works:
        pid = os.fork()
        if pid == 0:
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            status = 1
            try:
                status = work()
            except BaseException as error:  # a child must never run on into the parent's code
                maillog.crashed("worker", error)
            os._exit(status)
        workers.add(pid)
    for sock in theirs:
        sock.close()

    def stop(*_: object) -> None:
        for pid in workers:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    status = 0
    while workers:
        pid, ended = os.wait()
        workers.discard(pid)
        status = status or os.waitstatus_to_exitcode(ended)
        stop()
    return abs(status)


class Daemon:
    """One relay process."""

    def __init__(self, config: Config, sockets: Sequence[socket.socket],
                 clock: Callable[[], datetime] = lambda: datetime.now(UTC), steady: Steady = boot_time) -> None:
        self._config = config
        self._sockets = sockets
        self._clock = clock
        self._steady = steady
        self._examiner = Examiner()
        self._status = 0

    async def run(self) -> int:
        config, sockets = self._config, self._sockets
        ledger = SqliteLedger(open_ledger(config.ledger_path, config.key_ring), self._steady)
        runner = self._runner(ledger)
        service = self._service(ledger, runner)
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_log_stray)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, number.name, stop)
        gc.freeze()  # what start-up made lives for ever: the collector need not look at it again
        gc.set_threshold(20_000, 20, 20)  # a message makes some thousand objects, and nearly all die by themselves
        try:
            async with asyncio.TaskGroup() as tasks:
                queue = tasks.create_task(runner.run(stop))
                tasks.create_task(self._watch(ledger, stop))
                servers = [await listen(sock, service) for sock in sockets]
                for listener, sock in zip(config.listen.mx, sockets, strict=True):
                    maillog.listening("mx", f"{listener.host}:{sock.getsockname()[1]}")
                sdnotify.SystemdNotifier().notify("READY=1")
                await stop.wait()
                sdnotify.SystemdNotifier().notify("STOPPING=1")
                for server in servers:
                    server.close()
                with suppress(TimeoutError):
                    async with asyncio.timeout(STOP_S):
                        await service.stop()
                        await asyncio.wait_for(asyncio.shield(queue), STOP_S)
                queue.cancel()
        finally:
            self._examiner.close()
            ledger.close()
        maillog.stopped()
        return self._status

    def _runner(self, ledger: SqliteLedger) -> Runner:
        out, config = self._config.outbound, self._config
        resolver = DnsResolver([(server.host, server.port) for server in config.dns.resolvers],
                               config.dns.timeout.total_seconds())
        router = Router(resolver, config.relay.hostname, out.port, out.allow_loopback, out.smarthost)

        async def connect(hops: Sequence[Hop]) -> Link:
            return await Link.open(hops, hostname=config.relay.hostname, tls=out.tls == "opportunistic",
                                   timeout_s=out.timeout.total_seconds())

        return Runner(ledger, router, connect, Schedule(out.retry, out.warn_after, out.give_up_after),
                      self._notices(), self._clock, connections_per_host=out.connections_per_host)

    def _notices(self) -> Notices:
        return Notices(self._config.relay.hostname, self._config.outbound.give_up_after)

    def _service(self, ledger: SqliteLedger, runner: Runner) -> Service:
        config = self._config
        settings = config.policy.settings()
        certificate, key = config.certificate
        return Service(
            hostname=config.relay.hostname, domains=frozenset(config.relay.domains),
            max_size=int(config.policy.max_size), max_recipients=config.policy.max_recipients,
            language=config.relay.language, tls=tls.server_context(certificate, key), keys=ledger.keys,
            ledger=ledger, settings=settings, clock=self._clock,
            acceptor=Acceptor(ledger, settings, runner, self._notices(), self._examiner, self._clock,
                              config.relay.language))

    async def _watch(self, ledger: SqliteLedger, stop: asyncio.Event) -> None:
        """Each second: a broken ledger ends the process (systemd starts it anew), a rotated ring is read."""
        while not stop.is_set():
            if ledger.broken is not None:
                maillog.storage_failed(ledger.broken)
                self._status = 1
                stop.set()
            try:
                ledger.keys.refresh()
            except KeyRingFileError as error:
                maillog.crashed("key-ring", error)
            sdnotify.SystemdNotifier().notify("WATCHDOG=1")
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), WATCH_S)

    def _stop(self, name: str, stop: asyncio.Event) -> None:
        maillog.stopping(name)
        stop.set()


def _log_stray(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What a callback raised and nobody waited for: by class and place, as everything else."""
    maillog.crashed("loop", context.get("exception") or RuntimeError(context.get("message")))


def _only_one(ledger: Path) -> IO[str]:
    """A lock beside the ledger: a second daemon would take the first one's leases for a dead process's."""
    path = ledger.with_suffix(".lock")
    try:
        file = path.open("a")
    except OSError as error:
        raise StorageFailed(f"{path}: cannot be opened ({error.strerror})") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise UsageError(f"{ledger}: another tradepost serve runs on this ledger; stop it first") from None
    os.fchmod(file.fileno(), 0o600)
    return file
