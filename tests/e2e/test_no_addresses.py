"""No failure of the daemon writes an address down: not into its log, a listing, a file of its own or a core dump."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import re
import resource
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from email.message import EmailMessage
from pathlib import Path

import pytest
from stranger import Client
from support import BUYER, SELLER, TRADEPOST, Relay

from relay.demo.outside import OutsideServer

Start = Callable[..., Awaitable[Relay]]

_SABOTAGE = """
# Breaks the daemon's parts where a message or an alias says so, each time with addresses in the error and in the locals.
import asyncio, logging, os, sys, threading, warnings

if os.environ.get("SABOTAGE"):
    from pysqlite3 import dbapi2 as sqlite

    from policy.rules import authorised

    seller, buyer = os.environ["SABOTAGE"].split()
    check = authorised.check

    def broken_check(case):
        address = str(case.header_from)
        if b"break the rule" in case.message.raw:
            raise ValueError(f"{address} wrote to {buyer}") from KeyError(buyer)
        return check(case)

    authorised.check = broken_check  # before the list of rules is made

    import relay.examiner
    import relay.passage
    from aliasing.address import Address
    from relay.ledger import writer
    from relay.receive.service import Service

    examine_all, recipient, all_ = relay.passage.examine_all, Service.recipient, writer.Writer._all
    find_leaks = relay.passage.find_leaks

    def broken_examine_all(files, *, scrub):
        for file in files:
            if b"kill the examiner" in file.content:
                print(seller, buyer, flush=True)
                os.write(2, f"{seller} {buyer} in {file.name}".encode())
                logging.getLogger("PIL").warning("%s %s", seller, buyer)
                os.abort()
            if b"fail the examiner" in file.content:
                raise RuntimeError(f"{seller} {buyer} {file.name}")
        return examine_all(files, scrub=scrub)

    async def broken_recipient(self, address, client, reverse_path, login=None):
        if address.local == "crash":
            raise RuntimeError(f"{seller} {buyer} {address}")
        if address.local == "noise":
            make_noise()
        return await recipient(self, address, client, reverse_path, login)

    class Unraisable:
        def __del__(self):
            raise ValueError(buyer)

    def thread():
        raise ValueError(buyer)

    async def forgotten():
        raise ExceptionGroup(seller, [OSError(28, "No space left", buyer)])

    def stray():
        raise ValueError(seller)

    def make_noise():
        Unraisable()
        threading.Thread(target=thread, name=seller).start()
        asyncio.get_running_loop().call_soon(stray)
        asyncio.get_running_loop().create_task(forgotten(), name=buyer)
        warnings.warn(f"{seller} is deprecated")
        for name in ("asyncio", "aiosmtplib", "PIL", "mail.log", "mail.error"):
            logging.getLogger(name).error("%s %d", seller, buyer)
            logging.getLogger(name).warning("not sent to %s", buyer, stack_info=True)
            try:
                raise ValueError(seller)
            except ValueError:
                logging.getLogger(name).exception("for %s", buyer)

    def found_leaks(message, secrets):
        if b"force a leak" in message.raw:
            return find_leaks(message, [*secrets, Address.parse("known@leak.example")])
        return find_leaks(message, secrets)

    def broken_all(self, works):
        if os.path.exists("break-the-disk"):
            raise sqlite.OperationalError(f"disk I/O error at {seller}: {buyer}")
        return all_(self, works)

    relay.examiner.examine_all, relay.passage.find_leaks = broken_examine_all, found_leaks
    Service.recipient, writer.Writer._all = broken_recipient, broken_all
"""


def spellings(address: str) -> dict[str, bytes]:
    """What a search for an address would find it by."""
    local, domain = address.split("@")
    found = {"plain": address.encode(), "local": local.encode() + b"@", "percent": f"{local}%40{domain}".encode(),
             "quoted": f"{local}=40{domain}".encode(), "reversed": address[::-1].encode(), "hex": address.encode().hex().encode()}
    for name in ("utf-16-le", "utf-16-be", "utf-32-le"):
        found[name] = address.encode(name)
    for shift in range(3):
        # whole groups only: the first and the last octets of an encoding depend on what stands beside them
        encoded = base64.b64encode(b"\0" * shift + address.encode())
        found[f"base64+{shift}"] = encoded[-(-shift * 4 // 3) + (1 if shift else 0):-4]
    return found


def found_in(data: bytes, *addresses: str) -> list[str]:
    low = data.lower()
    spelled_out = [f"{address} spelled out" for address in addresses
                   if re.search(rb"%s.{1,4}%s" % tuple(map(re.escape, address.encode().split(b"@"))), low)]
    return spelled_out + [f"{address} as {name}" for address in addresses for name, form in spellings(address).items()
            if (form in data if name.startswith("base64") else form.lower() in low)]


def test_the_search_finds_what_it_looks_for() -> None:
    for encode in (lambda text: text.upper().encode(), lambda text: base64.b64encode(text.encode()),
                   lambda text: base64.b64encode(b"x" + text.encode()), lambda text: base64.b64encode(b"xx" + text.encode()),
                   lambda text: text.encode("utf-16"), lambda text: text.encode().hex().encode()):
        assert found_in(b"before " + encode(f"<{BUYER}> "), BUYER)
    assert not found_in(b"nothing here", BUYER)


def mail(alias: str, subject: str, *files: tuple[str, str, bytes], from_: str = f"Sol <{SELLER}>",
         body: str = "", html: str = "", **fields: str) -> bytes:
    """A message that names both parties wherever there is room for a name."""
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = from_, f"{BUYER} <{alias}>", f"{subject} {BUYER} {SELLER}"
    made["Date"], made["Message-ID"] = "Tue, 24 Nov 2026 10:00:00 +0100", f"<{abs(hash(subject))}.{BUYER}>"
    made["Cc"], made["Reply-To"], made["X-Original-To"] = f"<{SELLER}>", SELLER, BUYER
    for name, value in fields.items():
        made[name.replace("_", "-")] = value
    made.set_content(f"{subject}: soy {SELLER}, escribe a {BUYER}\n{body}\n", cte="8bit")
    if html:
        made.add_alternative(html, subtype="html")
    for name, kind, content in files:
        made.add_attachment(content, maintype=kind.partition("/")[0], subtype=kind.partition("/")[2], filename=name)
    return made.as_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def picture(text: str) -> bytes:
    """A PNG with a text in it that its viewers do not show."""
    from PIL import Image, PngImagePlugin

    info, file = PngImagePlugin.PngInfo(), io.BytesIO()
    info.add_text("Comment", text)
    Image.new("RGB", (4, 4)).save(file, "PNG", pnginfo=info)
    return file.getvalue()


async def misuse(relay: Relay, alias: str, outside: OutsideServer) -> dict[str, str]:
    """Everything that can go wrong with a message, and some that go well; name -> what was answered."""
    png = picture(f"{SELLER} {BUYER}")
    html = f'<p onclick="x(\'{BUYER}\')">hola <a href="mailto:{BUYER}">{SELLER}</a><script>{BUYER}</script></p>'
    tried = {
        "passes": mail(alias, "pasa", (f"{BUYER}.png", "image/png", png), html=html),
        "stranger": mail(alias, "extraño", from_=f"Ana <x.{SELLER}>"),
        "no single From": mail(alias, "dos", from_=f"{SELLER}, {BUYER}"),
        "file type": mail(alias, "tipo", (f"{BUYER}.exe", "application/octet-stream", b"MZ" + SELLER.encode())),
        "file lies": mail(alias, "miente", (f"{BUYER}.pdf", "application/pdf", b"MZ" + SELLER.encode())),
        "address in file": mail(alias, "dentro", (f"{BUYER}.txt", "text/plain", f"soy {SELLER} y {BUYER}".encode())),
        "container": mail(alias, "caja", (f"{BUYER}.eml", f"application/x.{BUYER.replace('@', '.')}", b"x")),
        "leaks": mail(alias, "force a leak", body="known@leak.example"),
        "rule breaks": mail(alias, "break the rule"),
        "examiner dies": mail(alias, "muere", (f"{BUYER}.txt", "text/plain", b"kill the examiner " + SELLER.encode())),
        "examiner fails": mail(alias, "falla", (f"{SELLER}.txt", "text/plain", b"fail the examiner " + BUYER.encode())),
        "not MIME": b"From: <" + SELLER.encode() + b">\r\nContent-Type: multipart/mixed; boundary=\"" + BUYER.encode()
                    + b"\r\n\r\n--" + BUYER.encode() + b"\r\n",
        "no header": f"{SELLER} {BUYER}\r\n".encode(),
        "bare CR": f"From: {SELLER}\r\nSubject: {BUYER}\r\n\r\n{BUYER}\r{SELLER}\r\n".encode(),
        "loop": f"Received: from {SELLER} by b for <{BUYER}>; Tue, 24 Nov 2026 10:00:00 +0100\r\n".encode() * 51
                + mail(alias, "bucle", **{f"X-{BUYER.partition('@')[0]}": "x"}),
        "auto-reply": mail(alias, "ausente", Auto_Submitted="auto-replied"),
        "big": mail(alias, "grande", body=f"{BUYER} {SELLER}\n" * 9000),
    }
    answers = {name: str(await relay.send(SELLER, alias, data)) for name, data in tried.items()}
    for reverse_path, to in ((BUYER, "crash@relay.example"), (SELLER, "noise@relay.example"), (SELLER, BUYER),
                             (f"{SELLER}", f"{BUYER.partition('@')[0]}@relay.example"), (f"{BUYER}\x01", alias)):
        with contextlib.suppress(Exception):
            answers[to] = str(await relay.send(reverse_path, to, tried["passes"]))
    async with Client(relay.port) as client:
        for line in (f"VRFY {BUYER}", f"{BUYER}", f"RCPT TO:{BUYER}", f"MAIL FROM:<{SELLER}> X={BUYER}", "X" * 600 + BUYER):
            with contextlib.suppress(Exception):
                answers[line] = str(await client.say(line))
    outside.answers[BUYER] = f"550 5.1.1 <{BUYER}> no such mailbox, says {SELLER}"
    answers["bounced"] = str(await relay.send(SELLER, alias, mail(alias, "rebota")))
    await relay.settle("failed")
    outside.answers[BUYER] = f"451 4.2.0 <{BUYER}> not now, says {SELLER}"
    answers["deferred"] = str(await relay.send(SELLER, alias, mail(alias, "luego")))
    await relay.settle("deferred")
    return answers


@pytest.fixture
async def sabotaged(tmp_path: Path, outside: OutsideServer, request: pytest.FixtureRequest) -> AsyncIterator[Relay]:
    relay = Relay(tmp_path, {"outbound": {"route": f"smtp://127.0.0.1:{outside.port}", "retry": ["1h"]},
                             "log": {"level": "debug", "format": "console"}})
    (tmp_path / "sabotage").mkdir()
    (tmp_path / "sabotage/sitecustomize.py").write_text(_SABOTAGE)
    yield relay
    await relay.stop()


EXPECTED = {
    "passes": "250", "stranger": "5.7.1", "no single From": "FROM_NOT_SINGLE", "file type": "ATTACHMENT_TYPE",
    "file lies": "ATTACHMENT_CONTENT", "container": "ATTACHMENT_TYPE", "leaks": "WOULD_LEAK", "rule breaks": "451",
    "examiner dies": "ATTACHMENT_UNREADABLE", "examiner fails": "451", "no header": "FROM_NOT_SINGLE", "bare CR": "5.6.0",
    "loop": "LOOP", "auto-reply": "250", "big": "250", "crash@relay.example": "421", "bounced": "250", "deferred": "250",
}
HAPPENED = ("accepted", "refused", "rcpt-refused", "recorded", "leak-stopped", "rule-failed", "accept-failed", "crashed",
            "library", "unhandled", "attempt", "delivered", "failed", "deferred", "storage-failed", "stopping")


async def test_no_failure_writes_an_address_down(sabotaged: Relay, outside: OutsideServer) -> None:
    """Not into the log (which is what a journal gets, with all that libraries say), nor the listings, nor any file."""
    relay = sabotaged
    alias = relay.order()["buyer"]["alias"]
    relay.run("block", "add", "--scope", "relay", "--kind", "address", "--value", BUYER)
    relay.run("block", "remove", "--scope", "relay", "--kind", "address", "--value", BUYER)
    relay.run("address", "authorise", "buyer:B1", f"otra.{BUYER}")
    plain = relay.environment()
    relay.environment = lambda: {  # type: ignore[method-assign]
        **plain, "SABOTAGE": f"{SELLER} {BUYER}", "PYTHONPATH": str(relay.folder / "sabotage")}
    await start_in_words(relay)
    answers = await misuse(relay, alias, outside)
    assert {name: answers[name] for name, code in EXPECTED.items() if code not in answers[name]} == {}
    relay.environment = lambda: plain  # type: ignore[method-assign]
    shown = {words: relay.run(*words.split()) for words in (
        "queue list", "queue list --json", "messages", "messages --json", "tail --no-follow --lines 1000",
        "tail --no-follow --lines 1000 --json", "order list --json", "address list buyer:B1", "key list")}
    files = {path.name: path.read_bytes() for path in (relay.folder / "var").rglob("*") if path.is_file()}
    assert {"ledger.db", "ledger.db-wal", "keys"} < files.keys()
    assert len(files["ledger.db-wal"]) > 100_000
    assert await relay.stop() == 0
    await fail_the_disk(relay, alias, plain)
    files |= {f"later {path.name}": path.read_bytes() for path in (relay.folder / "var").rglob("*") if path.is_file()}
    log = relay.log.read_bytes()
    told = {"log": log, **{words: text.encode() for words, text in shown.items()}, **files,
            **{f"reply to {name}": text.encode() for name, text in answers.items()}}
    assert {name: found for name, data in told.items() if (found := found_in(data, SELLER, BUYER))} == {}
    assert [event for event in HAPPENED if f" {event} ".encode() not in re.sub(rb"\x1b\[[0-9;]*m", b"", log)] == []
    assert b"Traceback (most" not in log
    assert "López".encode() not in b"".join(files.values())


async def start_in_words(relay: Relay) -> None:
    """The console's form of the log is looked at here: the port has to be found in it."""
    relay.config["listen"]["mx"] = f"127.0.0.1:{free_port()}"
    relay.write_config()
    with relay.log.open("ab") as log:
        relay.process = subprocess.Popen([str(TRADEPOST), "serve", "-c", str(relay.file)], stderr=log, stdout=log,
                                         env=relay.environment(), cwd=relay.folder)
    relay.port = int(relay.config["listen"]["mx"].rpartition(":")[2])
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(OSError):
                async with Client(relay.port):
                    return
            await asyncio.sleep(0.1)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


async def fail_the_disk(relay: Relay, alias: str, plain: dict[str, str]) -> None:
    relay.environment = lambda: {  # type: ignore[method-assign]
        **plain, "SABOTAGE": f"{SELLER} {BUYER}", "PYTHONPATH": str(relay.folder / "sabotage")}
    await start_in_words(relay)
    (relay.folder / "break-the-disk").touch()
    assert (await relay.send(SELLER, alias, mail(alias, "disco")))[0] == 421
    assert relay.process
    assert await asyncio.to_thread(relay.process.wait, 15) == 1
    relay.process = None
    (relay.folder / "break-the-disk").unlink()


# -- core dumps ----------------------------------------------------------------------------------------------------


async def test_no_process_of_the_daemon_dumps_core(start_relay: Start) -> None:
    relay = await start_relay(relay={"workers": 2})
    assert relay.process
    pid = relay.process.pid
    for one in (pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())):
        assert resource.prlimit(one, resource.RLIMIT_CORE) == (0, 0)


def test_where_core_dumps_go_to_a_program_the_limit_is_not_all(tmp_path: Path) -> None:
    """core(5): a pipe in core_pattern gets them whatever the limit, but not of a process that is not dumpable."""
    code = ("import ctypes\nfrom relay.{module} import {name}\n{name}()\n"
            "ctypes.CDLL(None).prctl.restype = ctypes.c_int\nraise SystemExit(10 + ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))")
    for module, name in (("processes", "no_core_dumps"), ("examiner", "_confine")):
        done = subprocess.run([sys.executable, "-c", code.format(module=module, name=name)], timeout=30)
        assert done.returncode == 10
