"""What tests share: invented people, a ring with fixed keys, and the installed `tradepost` as a subprocess."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import smtplib
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import forkserver

from aliasing.address import Address
from aliasing.correspondence import Correspondence, Party, Side
from aliasing.token import KeyRing

TRADEPOST = forkserver.SCRIPT
SELLER = "sol@tienda.example"
BUYER = "ana.lopez@correo.example"
ORDER = "111-2222222-3333333"
RING = KeyRing({1: bytes(range(32))})
FORKS: forkserver.ForkServer | None = None
"""Set where tests run; a benchmark or a campaign starts what it starts from nothing."""


def correspondence(**changes: Any) -> Correspondence:
    """One order between two invented people, sealed with a ring that never changes."""
    values: dict[str, Any] = {
        "number": 7, "order": ORDER, "domain": "relay.example", "key_id": 1, "ring": RING,
        "parties": {Side.SELLER: Party(Side.SELLER, "S1", "Tienda Sol", "es"),
                    Side.BUYER: Party(Side.BUYER, "B1", "Ana López", "es")},
        "addresses": {Side.SELLER: (Address.parse(SELLER),), Side.BUYER: (Address.parse(BUYER),)},
    }
    return Correspondence(**values | changes)


def crlf(text: str) -> bytes:
    return text.replace("\r\n", "\n").replace("\n", "\r\n").encode()


def message(from_: str, to: str, subject: str = "Hola", body: str = "Buenos días.\n", **fields: str) -> bytes:
    """A small message as a mail client would send it."""
    header = {"From": from_, "To": to, "Subject": subject, "Date": "Tue, 24 Nov 2026 10:00:00 +0100",
              "Message-ID": f"<{abs(hash((from_, subject, body))):x}@mail.{from_.rpartition('@')[2].strip('>')}>",
              "MIME-Version": "1.0", "Content-Type": "text/plain; charset=utf-8",
              "Content-Transfer-Encoding": "8bit",
              **{name.replace("_", "-"): value for name, value in fields.items()}}
    return crlf("".join(f"{name}: {value}\n" for name, value in header.items() if value) + "\n" + body)


def toml(values: Mapping[str, Mapping[str, Any]]) -> str:
    """Enough of a TOML writer for a test's configuration."""
    lines = []
    for section, entries in values.items():
        lines.append(f"[{section}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in entries.items()]
    return "\n".join(lines) + "\n"


@dataclass
class Relay:
    """An installed relay in a folder of its own: configuration, ledger, and perhaps a running daemon."""

    folder: Path
    config: dict[str, dict[str, Any]] = field(default_factory=dict)
    port: int = 0
    process: subprocess.Popen[bytes] | forkserver.Process | None = None

    def __post_init__(self) -> None:
        base: dict[str, dict[str, Any]] = {
            "relay": {"hostname": "relay.example", "data_dir": "var", "language": "es"},
            "listen": {"mx": "127.0.0.1:0"},
            "outbound": {"route": "smtp://127.0.0.1:9"},
            "log": {"format": "json"},
        }
        for section, entries in self.config.items():
            base[section] = base.get(section, {}) | entries
        self.config = base
        self.file = self.folder / "tradepost.toml"
        self.log = self.folder / "daemon.log"
        self.write_config()

    def write_config(self) -> None:
        self.file.write_text(toml(self.config))

    def environment(self) -> dict[str, str]:
        """No HOME and none of the machine's own settings."""
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder), "LANG": "C.UTF-8"}

    def run(self, *words: str, check: int = 0) -> str:
        """The command line; its standard output. `check` is the exit status that must come."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = self.popen(*words, stdout=out, stderr=err)
            try:
                status = process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
            out.seek(0)
            err.seek(0)
            said, complained = out.read().decode(), err.read().decode()
        assert status == check, f"{words}: exit {status}\n{said}{complained}"
        return said + (complained if check else "")

    def popen(self, *words: str, stdout: IO[bytes], stderr: IO[bytes]) -> subprocess.Popen[bytes] | forkserver.Process:
        """The installed command with this configuration, in a process of its own."""
        words, env = (*words, "-c", str(self.file)), self.environment()
        if FORKS is None or any(name.startswith(("PYTHON", "LD_")) for name in env):  # those act while Python starts
            return subprocess.Popen([str(TRADEPOST), *words], stdout=stdout, stderr=stderr, env=env, cwd=self.folder)
        return FORKS.popen(words, stdout=stdout, stderr=stderr, env=env, cwd=self.folder)

    def json(self, *words: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.run(*words, "--json").splitlines()]

    def order(self, number: str = ORDER, **options: str) -> dict[str, Any]:
        """Mint an order between the usual two people."""
        values = {"seller": "S1", "seller-address": SELLER, "seller-name": "Tienda Sol", "buyer": "B1",
                  "buyer-address": BUYER, "buyer-name": "Ana López", "language": "es",
                  **{key.replace("_", "-"): value for key, value in options.items()}}
        words = [word for key, value in values.items() if value for word in (f"--{key}", value)]
        return self.json("order", "add", number, *words)[0]

    def messages(self, *words: str) -> list[dict[str, Any]]:
        return self.json("messages", *words)

    async def start(self) -> None:
        """Run the daemon and wait until it listens."""
        with self.log.open("ab") as log:
            start = self.log.stat().st_size
            self.process = self.popen("serve", stdout=log, stderr=log)
        await self.listening(start)

    async def listening(self, start: int) -> None:
        """Wait until the log, from octet `start` on, says where the daemon listens."""
        assert self.process
        for _ in range(3000):
            for line in self.log.read_bytes()[start:].splitlines():
                if b'"listening"' in line:
                    self.port = int(json.loads(line)["where"].rpartition(":")[2])
                    return
            if self.process.poll() is not None:
                raise AssertionError(f"the daemon ended at its start:\n{self.log.read_text()}")
            await asyncio.sleep(0.01)
        raise AssertionError(f"the daemon does not listen:\n{self.log.read_text()}")

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Stop the daemon by pid; its exit status."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = await asyncio.to_thread(self.process.wait, 15)
        self.process = None
        return status

    async def send(self, mail_from: str, rcpt_to: str | list[str], data: bytes, **options: Any) -> tuple[int, str]:
        """One message over a real socket; (code, text) of the last reply."""
        return await asyncio.to_thread(self.send_now, mail_from, rcpt_to, data, **options)

    def send_now(self, mail_from: str, rcpt_to: str | list[str], data: bytes, *, tls: bool = False) -> tuple[int, str]:
        with smtplib.SMTP("127.0.0.1", self.port, local_hostname="client.example", timeout=20) as client:
            client.ehlo()
            if tls:
                client.starttls()
                client.ehlo()
            code, text = client.mail(mail_from, ["BODY=8BITMIME"])
            for one in [rcpt_to] if isinstance(rcpt_to, str) else rcpt_to:
                code, text = client.rcpt(one) if code < 400 else (code, text)
            if code < 400:
                code, text = client.data(data)
            return code, text.decode()

    async def settle(self, state: str, count: int = 1, timeout: float = 10.0) -> list[dict[str, Any]]:
        """Wait until `count` messages of the ledger are in `state`."""
        for _ in range(int(timeout / 0.1)):
            found = [one for one in await asyncio.to_thread(self.messages) if one["state"] == state]
            if len(found) >= count:
                return found
            await asyncio.sleep(0.1)
        raise AssertionError(f"no {count} messages became {state}: {self.messages()}\n{self.log.read_text()}")
