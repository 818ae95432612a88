"""apikey add | list | remove."""

from __future__ import annotations

import json

import click

from relay.cli.common import Group, json_option, opened_ledger, show
from relay.ledger.apikeys import SCOPES, ApiKeys


@click.group(cls=Group)
def apikey() -> None:
    """Keys for the API (docs/api.md)."""


@apikey.command("add")
@click.argument("name")
@click.option("--scope", "scopes", type=click.Choice(SCOPES), multiple=True, required=True,
              help="What it is for; may be given several times.")
@click.option("--seller", metavar="ID", help="Only this seller's data is there for it.")
@json_option
def apikey_add(name: str, scopes: tuple[str, ...], seller: str | None, as_json: bool) -> None:
    """Make a key and show it, once: only its hash is kept."""
    with opened_ledger() as (opened, _):
        key = ApiKeys(opened).add(name, scopes, seller)
    click.echo(json.dumps({"name": name, "key": key}, ensure_ascii=False) if as_json else key)


@apikey.command("list")
@json_option
def apikey_list(as_json: bool) -> None:
    """Which keys there are, and what they are for."""
    with opened_ledger() as (opened, _):
        show(ApiKeys(opened).all(), ("name", "scopes", "seller", "created_at"), as_json, empty="no keys")


@apikey.command("remove")
@click.argument("name")
def apikey_remove(name: str) -> None:
    """It opens nothing any more, at once."""
    with opened_ledger() as (opened, _):
        ApiKeys(opened).remove(name)
    click.echo("removed")
