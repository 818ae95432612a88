"""swaks, curl, msmtp (Debian's packages) and Python's smtplib submit with a password over 587 and 465."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from submitting import add_login, listeners, port
from support import BUYER, SELLER, Relay, message

from relay.demo.outside import OutsideServer

Start = Callable[..., Awaitable[Relay]]
SECRET = "correct-horse-battery"
SMTPLIB = """
import smtplib, ssl, sys
kind, port, sender, to, file = sys.argv[1:]
trusting = ssl._create_unverified_context()
if kind == "submissions":
    client = smtplib.SMTP_SSL("127.0.0.1", int(port), context=trusting)
else:
    client = smtplib.SMTP("127.0.0.1", int(port))
    client.starttls(context=trusting)
client.login("S1", "correct-horse-battery")
assert client.sendmail(sender, [to], open(file, "rb").read()) == {}
client.quit()
"""
KINDS = ("submission", "submissions")


def command(program: str, kind: str, number: int, to: str, file: Path) -> list[str]:
    """How a person would call it."""
    implicit = kind == "submissions"
    if program == "swaks":
        return ["swaks", "--server", "127.0.0.1", "--port", str(number), "--tls-on-connect" if implicit else "--tls",
                "--auth", "LOGIN", "--auth-user", "S1", "--auth-password", SECRET, "--from", SELLER, "--to", to,
                "--data", f"@{file}"]
    if program == "curl":
        return ["curl", "--silent", "--show-error", "--insecure", "--ssl-reqd", "--user", f"S1:{SECRET}", "--url",
                f"{'smtps' if implicit else 'smtp'}://127.0.0.1:{number}/pc.example", "--mail-from", SELLER, "--mail-rcpt",
                to, "--upload-file", str(file)]
    if program == "smtplib":
        return [sys.executable, "-c", SMTPLIB, kind, str(number), SELLER, to, str(file)]
    return ["msmtp", "--host=127.0.0.1", f"--port={number}", "--tls=on", f"--tls-starttls={'off' if implicit else 'on'}",
            "--tls-certcheck=off", "--auth=on", "--user=S1", f"--passwordeval=echo {SECRET}", f"--from={SELLER}", to]


@pytest.mark.parametrize("program", ["swaks", "curl", "msmtp", "smtplib"])
async def test_mail_programs_submit(program: str, start_relay: Start, outside: OutsideServer) -> None:
    if program != "smtplib" and shutil.which(program) is None:
        pytest.skip(f"needs Debian's {program}")
    relay = await start_relay(**listeners(outside))
    to = str(relay.order()["buyer"]["alias"])
    add_login(relay, "S1", SECRET)

    def send(kind: str, number: int) -> None:
        file = relay.folder / "message.eml"
        file.write_bytes(message(SELLER, to, f"{program} {kind}"))
        done = subprocess.run(command(program, kind, number, to, file), input=file.read_bytes() if program == "msmtp" else b"",
                              capture_output=True, env=relay.environment(), cwd=relay.folder, timeout=60)
        assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()

    for kind in KINDS:
        await asyncio.to_thread(send, kind, await port(relay, kind))
    arrived = await outside.wait_for(2, BUYER)
    assert all(SELLER.encode() not in one.raw for one in arrived)
