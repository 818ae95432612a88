"""queue list | retry | hold | release | drop."""

from __future__ import annotations

import click

from relay.cli.common import Group, json_option, opened_ledger, show
from relay.ledger.listing import Listing

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
@click.option("--limit", default=1000, show_default=True)
@json_option
def queue_list(limit: int, as_json: bool) -> None:
    """Oldest first; recipients by party, never by address."""
    with opened_ledger() as (opened, _):
        show(Listing(opened).queue(limit), ("id", "message", "kind", "order", "to", "state", "attempts",
                                            "next_attempt_at", "code"), as_json, empty="the queue is empty")


def _changer(verb: str) -> None:
    @queue.command(verb, help=_HELP[verb])
    @click.argument("ids", nargs=-1, metavar="[ID …]")
    @click.option("--all", "everything", is_flag=True)
    @click.option("--destination", metavar="DOMAIN")
    def change(ids: tuple[str, ...], everything: bool, destination: str | None) -> None:
        with opened_ledger() as (opened, _):
            count = Listing(opened).change_queue(verb, ids, everything=everything, destination=destination)
        click.echo(f"{verb}: {count}")
        if not count:
            click.get_current_context().exit(1)


for _verb in _HELP:
    _changer(_verb)


def add_to(group: click.Group) -> None:
    group.add_command(queue)
