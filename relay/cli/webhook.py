"""webhook add | list | remove."""

from __future__ import annotations

import json

import click

from relay.cli.common import Group, json_option, opened_ledger, show
from relay.ledger.webhooks import TYPES, Webhooks


@click.group(cls=Group)
def webhook() -> None:
    """Whom to tell of what happens (docs/api.md)."""


@webhook.command("add")
@click.argument("url")
@click.option("--type", "types", type=click.Choice(TYPES), multiple=True,
              help="What to tell of; everything if not given.")
@json_option
def webhook_add(url: str, types: tuple[str, ...], as_json: bool) -> None:
    """Tell URL from now on. Shows the secret that calls are signed with, once."""
    with opened_ledger() as (opened, _):
        number, secret = Webhooks(opened).add(url, types)
    click.echo(json.dumps({"id": str(number), "secret": secret}) if as_json else secret)


@webhook.command("rotate")
@click.argument("webhook_id", metavar="ID", type=click.IntRange(1))
@json_option
def webhook_rotate(webhook_id: int, as_json: bool) -> None:
    """Make a new secret and show it, once. For a day calls are signed with the old one, too."""
    with opened_ledger() as (opened, _):
        secret = Webhooks(opened).rotate(webhook_id)
    click.echo(json.dumps({"id": str(webhook_id), "secret": secret}) if as_json else secret)


@webhook.command("list")
@json_option
def webhook_list(as_json: bool) -> None:
    """Which there are, and what waits to be told."""
    with opened_ledger() as (opened, _):
        show(Webhooks(opened).all(), ("id", "host", "types", "waiting", "last_status", "created_at"), as_json,
             empty="no webhooks")


@webhook.command("remove")
@click.argument("webhook_id", metavar="ID", type=click.IntRange(1))
def webhook_remove(webhook_id: int) -> None:
    """Tell it no more."""
    with opened_ledger() as (opened, _):
        Webhooks(opened).remove(webhook_id)
    click.echo("removed")
