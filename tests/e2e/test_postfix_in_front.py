"""A real Postfix (Debian's package) hands mail on by LMTP: a refusal becomes its DSN, and nothing is tried twice."""

from __future__ import annotations

import asyncio
import shutil
import smtplib
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from bench.relay import free_port
from fronting import Front, may_run
from operating import until
from submitting import listeners, port
from support import BUYER, SELLER, Relay, message

from relay.demo.outside import OutsideServer

Start = Callable[..., Awaitable[Relay]]
pytestmark = pytest.mark.skipif(not may_run(), reason="needs Debian's postfix, and root to start it")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not pytest's own: its folders are closed to the postfix user."""
    made = Path(tempfile.mkdtemp(prefix="tradepost-front-"))
    made.chmod(0o755)
    yield made / "postfix"
    shutil.rmtree(made, ignore_errors=True)


def bring(number: int, to: list[str], data: bytes, client: str = "") -> None:
    """A message to Postfix, from `client` as it is to believe."""
    with smtplib.SMTP("127.0.0.1", number, local_hostname="mail.tienda.example", timeout=20) as one:
        one.ehlo()
        if client:
            assert one.docmd("XCLIENT", f"ADDR={client} NAME=mail.tienda.example")[0] == 220
            one.ehlo()
        assert one.sendmail(SELLER, to, data) == {}


async def test_one_delivered_one_bounced_none_deferred(start_relay: Start, outside: OutsideServer, folder: Path) -> None:
    relay = await start_relay(**listeners(outside))
    to = [str(relay.order()["buyer"]["alias"]),
          str(relay.order("111-2222222-5555555", buyer="B2", buyer_address="eva@correo.example", buyer_name="Eva")["buyer"]["alias"])]
    relay.run("block", "add", "--scope", "buyer", "--party", "B2", "--kind", "unsolicited")
    relay.run("block", "add", "--scope", "relay", "--kind", "network", "--value", "203.0.113.0/24")
    with Front(folder, free_port(), await port(relay, "lmtp"), outside.port) as front:
        await asyncio.to_thread(bring, front.port, to, message(SELLER, ", ".join(to)))
        [delivered] = await outside.wait_for(1, BUYER, timeout=30)
        [bounce] = await outside.wait_for(1, SELLER, timeout=30)
        assert sorted(front.fates()) == ["bounced", "sent"]
        assert bounce.reverse_path == "<>"
        assert b"[UNSOLICITED]" in bounce.raw.replace(b"\r\n    ", b" ")
        assert f"Final-Recipient: rfc822; {to[1]}".encode() in bounce.raw
        assert b"eva@correo.example" not in bounce.raw
        assert SELLER.encode() not in delivered.raw
        # whom Postfix had it from is who is judged
        await asyncio.to_thread(bring, front.port, to[:1], message(SELLER, to[0], "dos"), "203.0.113.9")
        await outside.wait_for(2, SELLER, timeout=30)
        await until(lambda: len(front.fates()) == 3)
        assert sorted(front.fates()) == ["bounced", "bounced", "sent"]
    assert sorted(one["state"] for one in relay.messages()) == ["delivered", "refused"]
