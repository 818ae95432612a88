"""messages, message show, tail."""

from __future__ import annotations

import json
import time
from typing import BinaryIO

import click

from relay.cli.common import Command, Group, console, json_option, opened_ledger, show
from relay.ledger.listing import FILTERS, Listing

_POLL_S = 0.5


@click.command(cls=Command)
@click.option("--order", "order_number", metavar="N", help="Only this order's. Subjects and bodies are not searched.")
@click.option("--filter", "chosen", type=click.Choice(list(FILTERS)), default="all")
@click.option("--limit", default=1000, show_default=True)
@json_option
def messages(order_number: str | None, chosen: str, limit: int, as_json: bool) -> None:
    """Every message, passed or refused, newest first."""
    with opened_ledger() as (opened, _):
        show(Listing(opened).messages(order_number, chosen, limit),
             ("id", "received_at", "order", "direction", "state", "rule", "needs_reply", "subject"), as_json,
             empty="no messages")


@click.group(cls=Group)
def message() -> None:
    """One message."""


@message.command("show")
@click.argument("message_id", metavar="ID")
@json_option
def message_show(message_id: str, as_json: bool) -> None:
    """Its timeline: verdicts, attempts, replies."""
    with opened_ledger() as (opened, _):
        found = Listing(opened).timeline(message_id)
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
        return
    from rich.text import Text

    out = console()
    for key, value in found.items():
        if key != "events":
            out.print(Text(f"{key:18}{'-' if value is None else value}"))
    for event in found["events"]:
        out.print(Text(f"\n{event['at']}  {event['kind']} {event['name']}", style="bold"))
        if isinstance(event["detail"], list):
            for one in event["detail"]:
                out.print(Text("    " + (one if isinstance(one, str) else
                                         f"{one['rule']:20}{one['verdict']:8}{one['reason']}")))
        elif event["detail"]:
            out.print(Text(f"    {event['detail']}"))
        if event["remote"]:
            out.print(Text(f"    said: {event['remote']}"))


@message.command("export")
@click.argument("message_id", metavar="ID")
@click.option("-o", "--output", type=click.File("wb"), default="-", show_default=True, metavar="OUT")
def message_export(message_id: str, output: BinaryIO) -> None:
    """What is kept of it: as it went on, or the evidence where it was stopped. The ledger records that you looked."""
    with opened_ledger() as (opened, _):
        output.write(Listing(opened).content(message_id))


@click.command(cls=Command)
@click.option("--order", "order_number", metavar="N")
@click.option("--trace", metavar="ID")
@click.option("--lines", default=20, show_default=True, help="How many of the past to begin with.")
@click.option("--follow/--no-follow", default=True, help="Go on as mail comes, until interrupted.")
@json_option
def tail(order_number: str | None, trace: str | None, lines: int, follow: bool, as_json: bool) -> None:
    """The mail log, readable: what happens to messages, as it happens."""
    with opened_ledger() as (opened, _):
        listing, last = Listing(opened), 0
        while True:
            for event in listing.events(after=last, order=order_number, trace=trace, last=lines if not last else None):
                last = max(last, event.pop("number"))
                if as_json:
                    click.echo(json.dumps(event, ensure_ascii=False))
                else:
                    from rich.text import Text

                    console().print(Text("  ".join(str(event[key] or "-") for key in (
                        "at", "message", "order", "kind", "name", "detail"))))
            if not follow:
                return
            time.sleep(_POLL_S)
            last = max(last, 1)
