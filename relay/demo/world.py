"""The demo's world in a temporary folder: the real daemon, an outside mail server, a DNS server, two people."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import smtplib
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

from relay.config import load
from relay.demo.nameserver import NameServer
from relay.demo.outside import OutsideServer
from relay.errors import TradepostError
from relay.ledger.listing import Listing
from relay.ledger.logins import Logins
from relay.ledger.opened import Opened, open_ledger
from relay.ledger.registry import Registry
from relay.passwords import hash_password

SELLER, BUYER, STRANGER = "sol@tienda.example", "ana.lopez@correo.example", "curioso@extra.example"

_CONFIG = """\
[relay]
hostname = "relay.mercado.example"
language = "es"

[listen]
mx = "127.0.0.1:0"
http = "{http}"

[outbound]
route = "mx"
port = {port}
allow_loopback = true
retry = ["1s"]

[dns]
resolvers = ["127.0.0.1:{dns}"]

[policy]
reply_window = "1s"

[log]
format = "json"
"""


class World:
    """An async context: everything is started on the way in and stopped, by pid, on the way out."""

    def __init__(self, folder: Path, *, with_page: bool = False) -> None:
        self.folder = folder
        self._with_page = with_page
        self.page = ""
        """Where the messages page is, if it is there."""
        self.outside = OutsideServer()
        self.nameserver = NameServer({
            ("correo.example", "MX"): ["10 mx.correo.example."], ("mx.correo.example", "A"): ["127.0.0.1"],
            ("tienda.example", "MX"): ["10 mx.tienda.example."], ("mx.tienda.example", "A"): ["127.0.0.1"],
        })
        self.port = 0
        self.replies: list[str] = []
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            outside = await self.outside.start()
            stack.push_async_callback(self.outside.stop)
            dns = await self.nameserver.start()
            stack.callback(self.nameserver.stop)
            file = self.folder / "tradepost.toml"
            file.write_text(_CONFIG.format(port=outside, dns=dns, http="127.0.0.1:0" if self._with_page else ""))
            config = load(file)
            self.ledger: Opened = open_ledger(config.ledger_path, config.key_ring)
            stack.callback(self.ledger.close)
            self.registry, self.listing = Registry(self.ledger), Listing(self.ledger)
            await self._start_daemon(file, stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._stack.aclose()

    async def _start_daemon(self, file: Path, stack: AsyncExitStack) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TRADEPOST_")}
        with self.log.open("wb") as log:
            daemon = await asyncio.create_subprocess_exec(
                sys.executable, "-c", "from relay.cli import main; main()", "serve", "-c", str(file),
                stdout=log, stderr=log, env=environment)
        stack.push_async_callback(_stop, daemon)
        for _ in range(400):
            told = [json.loads(line) for line in self.log.read_text().splitlines() if '"listening"' in line]
            where = {one["kind"]: one["where"] for one in told}
            if "mx" in where and ("http" in where or not self._with_page):
                self.port = int(where["mx"].rpartition(":")[2])
                self.page = f"http://{where['http']}/" if self._with_page else ""
                return
            if daemon.returncode is not None:
                break
            await asyncio.sleep(0.05)
        raise TradepostError(f"the demo's daemon did not start: {self.log.read_text().strip()[-500:]}")

    @property
    def log(self) -> Path:
        return self.folder / "daemon.log"

    async def send(self, mail_from: str, rcpt_to: str, data: bytes) -> str:
        """One message over SMTP, as a mail client sends it; the last reply."""
        reply = await asyncio.to_thread(_send, self.port, mail_from, rcpt_to, data)
        self.replies.append(reply)
        return reply

    def login(self, name: str, *, party: str | None = None, role: str = "") -> str:
        """A new login of the messages page; its password."""
        password = secrets.token_urlsafe(12)
        logins, hashed = Logins(self.ledger), hash_password(password)
        logins.add_role(name, role, hashed) if role else logins.add(name, party, hashed)
        return password

    def newest(self) -> dict[str, Any] | None:
        """The ledger's last line."""
        return next(self.listing.messages(limit=1), None)

    async def settled(self, message: str, state: str, timeout: float = 8.0) -> dict[str, Any]:
        """The ledger's line about a message once it is in `state`; whatever it is when time is up."""
        line: dict[str, Any] = {}
        for _ in range(int(timeout / 0.02)):
            line = self.listing.timeline(message)
            if line["state"] == state:
                break
            await asyncio.sleep(0.02)
        return line

    def count_real_addresses(self) -> tuple[int, int]:
        """(octets, occurrences) over every message that left, every reply that was given, and the daemon's log."""
        left = b"".join([*(one.raw for one in self.outside.arrived), *(reply.encode() for reply in self.replies),
                         self.log.read_bytes()])
        return len(left), sum(left.lower().count(address.encode()) for address in (SELLER, BUYER))


def _send(port: int, mail_from: str, rcpt_to: str, data: bytes) -> str:
    with smtplib.SMTP("127.0.0.1", port, local_hostname="client.example", timeout=20) as client:
        client.ehlo()
        code, text = client.mail(mail_from)
        if code < 400:
            code, text = client.rcpt(rcpt_to)
        if code < 400:
            code, text = client.data(data)
    return f"{code} {text.decode('ascii', 'replace')}"


async def _stop(daemon: asyncio.subprocess.Process) -> None:
    if daemon.returncode is None:
        daemon.send_signal(signal.SIGTERM)
        await daemon.wait()
