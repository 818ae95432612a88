"""erase."""

from __future__ import annotations

import json

import click

from relay.cli.common import Command, json_option, opened_ledger
from relay.ledger.erase import Erase


@click.command(cls=Command)
@click.option("--party", metavar="PARTY", required=True, help="An id, or seller:ID or buyer:ID.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def erase(party: str, yes: bool, as_json: bool) -> None:
    """Destroy what is kept of a party, for good: blocked first, then name, addresses and messages (docs/api.md)."""
    if not yes:
        click.confirm(f"Erase {party} for good?", abort=True)
    with opened_ledger() as (opened, _):
        found = Erase(opened).erase(party)
    click.echo(json.dumps(found.as_json()) if as_json else
               f"{found.party}: {found.addresses} addresses and the content of {found.messages} messages are gone")
