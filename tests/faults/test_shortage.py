"""Short of descriptors, a message that needs one is deferred, in or out; a log without room changes no exit status."""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hostile import Client, open_files
from support import BUYER, SELLER, TRADEPOST, Relay, message

from relay.demo.outside import OutsideServer

Start = Callable[..., Awaitable[Relay]]
BIG = "línea\n" * 60_000


@contextmanager
def no_descriptors(pid: int) -> Iterator[None]:
    """Not one file more, until it ends."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, before[1]))
    yield
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


async def test_without_descriptors_big_messages_are_451_and_small_ones_leave_later(
        start_relay: Start, outside: OutsideServer) -> None:
    relay = await start_relay(outbound={"route": f"smtp://127.0.0.1:{outside.port}", "retry": ["1s"]})
    alias = relay.order()["buyer"]["alias"]
    assert (await relay.send(SELLER, alias, message(SELLER, alias, "before", BIG)))[0] == 250
    await relay.settle("delivered")  # the threads that it needs are there
    assert relay.process
    pid = relay.process.pid
    client = await Client.connect(relay.port)
    await client.begin(SELLER, alias)
    with no_descriptors(pid):
        files = open_files(pid)
        answers = [await send(client, alias, "big", BIG)]
        assert (await client.say(f"MAIL FROM:<{SELLER}>")).startswith("250")
        assert (await client.say(f"RCPT TO:<{alias}>")).startswith("250")
        answers.append(await send(client, alias, "small", "hola\n"))
        assert open_files(pid) <= files
    assert [line[:9] for line in answers] == ["451 4.3.0", "250 2.6.0"]
    await client.close()
    assert relay.process.poll() is None
    assert (await relay.send(SELLER, alias, message(SELLER, alias, "after", BIG)))[0] == 250
    await relay.settle("delivered", 3)
    assert len(await outside.wait_for(3, BUYER)) == 3
    named = {path.name for path in (relay.folder / "var/spool").iterdir()}
    assert len(named) == 2  # nothing is left of what was answered 451


async def send(client: Client, alias: str, subject: str, body: str) -> str:
    assert (await client.say("DATA")).startswith("354")
    client.send(message(SELLER, alias, subject, body).replace(b"\r\n.", b"\r\n..") + b".\r\n")
    return await client.reply()


@pytest.mark.parametrize(("words", "full", "status"), [
    (["--version"], "stderr", 0), (["--version"], "stdout", 1), (["no-such-command"], "stderr", 2)], ids=str)
def test_output_that_finds_no_room_is_never_exit_120(tmp_path: Path, words: list[str], full: str, status: int) -> None:
    with Path("/dev/full").open("w") as nowhere, (tmp_path / "other").open("w+") as other:
        streams = {"stdout": other, "stderr": other} | {full: nowhere}
        done = subprocess.run([str(TRADEPOST), *words], env={"PATH": "", "HOME": str(tmp_path)}, timeout=60, **streams)
        assert done.returncode == status
        assert "Traceback" not in (tmp_path / "other").read_text()
