"""queue list | retry | hold | release | drop."""

from __future__ import annotations

import sys

import click

from relay.cli.common import Group, json_option, opened_ledger, show
from relay.ledger.listing import Listing
from relay.ledger.operate import Chosen, Operate

_HELP = {
    "retry": "Try again now instead of when it is due.",
    "hold": "Keep from leaving until released.",
    "release": "Let what was held leave.",
    "drop": "Take out of the queue for good; the originator gets a DSN.",
}


@click.group(cls=Group)
def queue() -> None:
    """What has not left yet."""


@queue.command("list")
@click.option("--limit", default=1000, show_default=True, type=click.IntRange(1))
@click.option("--after", metavar="ID", default=0, type=click.IntRange(0), help="Go on behind this one.")
@click.option("--destination", metavar="DOMAIN")
@json_option
def queue_list(limit: int, after: int, destination: str | None, as_json: bool) -> None:
    """Oldest first; recipients by party, never by address."""
    with opened_ledger() as (opened, _):
        show(Listing(opened).queue(limit, after=after, destination=destination),
             ("id", "message", "kind", "order", "to", "state", "attempts", "next_attempt_at", "code"), as_json,
             empty="the queue is empty")


def _changer(verb: str) -> None:
    @queue.command(verb, help=_HELP[verb])
    @click.argument("ids", nargs=-1, metavar="[ID …]")
    @click.option("--all", "everything", is_flag=True)
    @click.option("--destination", metavar="DOMAIN")
    def change(ids: tuple[str, ...], everything: bool, destination: str | None) -> None:
        chosen = Chosen.by(ids, destination, everything=everything)
        with opened_ledger() as (opened, _):
            count = _watched(verb, Operate(opened), chosen)
        click.echo(f"{verb}: {count}")
        if not count:
            click.get_current_context().exit(1)


def _watched(verb: str, operate: Operate, chosen: Chosen) -> int:
    """Do it, with a bar on a terminal where it takes long; how many were changed."""
    if not sys.stderr.isatty():
        return sum(changed for _, changed in operate.change(verb, chosen))
    from rich.console import Console
    from rich.progress import Progress

    count = 0
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(verb, total=operate.count(chosen))
        for seen, changed in operate.change(verb, chosen):
            progress.advance(task, seen)
            count += changed
    return count


for _verb in _HELP:
    _changer(_verb)
