"""A relay with submission and LMTP listeners, two logins, and clients that use them."""

from __future__ import annotations

import asyncio
import base64
import smtplib
import ssl
import subprocess
from collections.abc import Callable
from typing import Any

from operating import logged, until
from support import TRADEPOST, Relay

from relay.demo.outside import OutsideServer

PASSWORD = "correct horse ñandú"
OTHERS_PASSWORD = "battery staple"


def listeners(outside: OutsideServer, **config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """A configuration in which nobody asks where mail without a login comes from."""
    everywhere = "127.0.0.1:0"
    return {"outbound": {"route": f"smtp://127.0.0.1:{outside.port}", "retry": ["1s"]},
            "policy": {"authentication": "observe"},
            "listen": {"submission": everywhere, "submissions": everywhere, "lmtp": everywhere}, **config}


async def port(relay: Relay, kind: str) -> int:
    """Where the listener of that name listens."""
    lines = await until(lambda: [line for line in logged(relay, "listening") if line["kind"] == kind])
    return int(lines[-1]["where"].rpartition(":")[2])


def type_in(relay: Relay, *words: str, line: str) -> subprocess.CompletedProcess[str]:
    """A command that reads a line from standard input."""
    return subprocess.run([str(TRADEPOST), *words, "-c", str(relay.file)], input=line + "\n", capture_output=True,
                          text=True, env=relay.environment(), cwd=relay.folder, timeout=60)


def add_login(relay: Relay, name: str = "S1", password: str = PASSWORD, *options: str) -> None:
    done = type_in(relay, "login", "add", name, *options, line=password)
    assert done.returncode == 0, done.stderr


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def plain(name: str, password: str, identity: str = "") -> str:
    return base64.b64encode(f"{identity}\0{name}\0{password}".encode()).decode()


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def connect(port: int, *, implicit: bool = False, tls: bool = True) -> smtplib.SMTP:
    """A session after its EHLO, encrypted."""
    if implicit:
        client: smtplib.SMTP = smtplib.SMTP_SSL("127.0.0.1", port, local_hostname="pc.example", timeout=20,
                                                context=trusting())
    else:
        client = smtplib.SMTP("127.0.0.1", port, local_hostname="pc.example", timeout=20)
        if tls:
            client.starttls(context=trusting())
    client.ehlo()
    return client


Session = Callable[[smtplib.SMTP], Any]


async def session(port: int, work: Session, **options: bool) -> Any:
    """What `work` makes of a session, in a thread."""
    def run() -> Any:
        client = connect(port, **options)
        try:
            return work(client)
        finally:
            client.close()

    return await asyncio.to_thread(run)


def submit(client: smtplib.SMTP, mail_from: str, to: list[str], data: bytes) -> list[tuple[int, str]]:
    """Every reply from MAIL on; DATA only where a recipient was taken."""
    replies = [client.mail(mail_from, ["BODY=8BITMIME"])]
    if replies[0][0] == 250:
        replies += [client.rcpt(one) for one in to]
        if any(code == 250 for code, _ in replies[1:]):
            replies.append(client.data(data))
    return [(code, text.decode()) for code, text in replies]
