"""Runs the demo and shows it: side by side what was sent and what arrived, the reply, the ledger's line."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
import tempfile
import time
from pathlib import Path

import click
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from aliasing.encodings import decode_words
from relay.demo.scenes import ORDERS, Scene, mint, play
from relay.demo.world import BUYER, SELLER, STRANGER, World
from relay.ledger.registry import OrderRow

_SHOWN = ("From", "To", "Subject", "Date", "Message-ID", "In-Reply-To", "References")


def run(*, stay: bool, as_json: bool) -> int:
    """Exit status: 0 when every scene went as told and no real address left the relay."""
    with tempfile.TemporaryDirectory(prefix="tradepost-demo-") as folder:
        try:
            return asyncio.run(_run(Path(folder), stay=stay, as_json=as_json))
        except asyncio.CancelledError:
            return 0 if stay else 130


async def _run(folder: Path, *, stay: bool, as_json: bool) -> int:
    task = asyncio.current_task()
    assert task is not None
    for ending in (signal.SIGINT, signal.SIGTERM):  # whatever was inherited: the world is to be cleared away
        asyncio.get_running_loop().add_signal_handler(ending, task.cancel)
    console = Console(width=None if sys.stdout.isatty() else 132, quiet=as_json)
    started = time.monotonic()
    async with World(folder, with_page=stay) as world:
        one, two = mint(world)
        _introduce(console, one)
        failed = number = 0
        async for scene in play(world, one, two):
            number += 1
            failed += not scene.ok
            if as_json:
                click.echo(_as_json(scene))
            else:
                _show(console, number, scene)
        octets, leaks = world.count_real_addresses()
        _ledger(console, world)
        verdict = f"{octets} bytes left the relay; a real address stood in them {leaks} times."
        if as_json:
            click.echo(json.dumps({"scenes": number, "failed": failed, "bytes": octets, "real_addresses": leaks}))
        console.print(Text(verdict, style="bold green" if not leaks else "bold red"))
        how = "every scene went as told" if not failed else f"{failed} DID NOT GO AS TOLD"
        console.print(Text(f"{number} scenes in {time.monotonic() - started:.1f} s: {how}.\n",
                           style="green" if not failed else "bold red"))
        if stay:
            await _stay(world, one)
    return 1 if failed or leaks else 0


def _introduce(console: Console, order: OrderRow) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    for label, value in (
        ("the seller", f"{SELLER}, whom the buyer knows as  {order.seller_alias}"),
        ("the buyer", f"{BUYER}, whom the seller knows as  {order.buyer_alias}"),
        ("a stranger", STRANGER),
        ("their order", ORDERS[0]),
    ):
        table.add_row(Text(label, style="bold"), Text(value))
    title = "Tradepost: two people who write to each other and never learn each other's address"
    console.print(Panel(table, title=title, padding=(1, 2)))


def _show(console: Console, number: int, scene: Scene) -> None:
    console.print(Text(f"\n{number}. {scene.title}", style="bold cyan"))
    grid = Table.grid(expand=True, padding=(0, 1))
    grid.add_column(ratio=1)
    grid.add_column(ratio=1)
    arrived = _mail(scene.arrived) if scene.arrived else Text("(nothing)", style="dim")
    grid.add_row(Panel(_mail(scene.sent), title="sent", title_align="left"),
                 Panel(arrived, title="arrived", title_align="left"))
    console.print(grid)
    console.print(Text("reply   ", style="bold") + Text(scene.reply))
    if scene.ledger:
        line = scene.ledger
        rule = f"  by rule {line['rule']}" if line["rule"] else ""
        console.print(Text("ledger  ", style="bold") + Text(
            f"{line['id']}  {line['direction']}  {line['state']}{rule}"))
    for note, held in scene.notes:
        console.print(Text("  ✓ " if held else "  ✗ ", style="green" if held else "bold red") + Text(note))


def _mail(raw: bytes) -> Text:
    """The fields that a reader sees, and the text; not the attachment's base64."""
    head, _, body = raw.decode("utf-8", "replace").replace("\r\n", "\n").partition("\n\n")
    out = Text()
    for name, value in re.findall(r"(?m)^([\w-]+): (.*(?:\n[ \t].*)*)", head):
        if name in _SHOWN:
            out.append(f"{name}: ", style="dim").append(decode_words(re.sub(r"\n[ \t]+", " ", value)) + "\n")
    text = re.sub(r"(?m)^[A-Za-z0-9+/=]{40,}$", "…", body.strip())
    return out.append("\n" + text[:600])


def _ledger(console: Console, world: World) -> None:
    table = Table(title="The ledger: every message, passed or refused", title_justify="left", box=None)
    for column in ("order", "direction", "state", "rule", "needs reply", "subject"):
        table.add_column(column, no_wrap=True)
    for line in reversed(list(world.listing.messages())):
        table.add_row(*(Text(str(value)) for value in (
            line["order"], line["direction"], line["state"], line["rule"] or "-", "yes" if line["needs_reply"] else "",
            line["subject"])))
    console.print("\n", table, "")


def _as_json(scene: Scene) -> str:
    return json.dumps({
        "scene": scene.title, "ok": scene.ok, "reply": scene.reply,
        "sent": scene.sent.decode("utf-8", "replace"),
        "arrived": scene.arrived.decode("utf-8", "replace") if scene.arrived is not None else None,
        "ledger": {key: value for key, value in scene.ledger.items() if key != "events"} if scene.ledger else None,
        "notes": [{"note": note, "held": held} for note, held in scene.notes]}, ensure_ascii=False)


async def _stay(world: World, order: OrderRow) -> None:
    seller, moderator = world.login("sol", party="seller:S-1001"), world.login("marta", role="moderator")
    click.echo(f"""\
The demo stays up until Ctrl-C. Its conversation on the messages page:

  {world.page}
  the seller               sol, password {seller}
  a moderator              marta, password {moderator}

Or in your own mail program:

  outgoing server (SMTP)   127.0.0.1, port {world.port}, no password, no encryption or STARTTLS
  as the seller            make {SELLER} your address and write to {order.buyer_alias}
  as the buyer             make {BUYER} your address and write to {order.seller_alias}

What arrives outside is printed here. The command line on the same ledger:

  tradepost messages -c {world.folder}/tradepost.toml
""")
    seen = len(world.outside.arrived)
    while True:
        for one in (await world.outside.wait_for(seen + 1, timeout=1e9))[seen:]:
            click.echo(f"--- arrived for {one.recipient}\n{one.raw.decode('utf-8', 'replace')}")
            seen += 1
