"""block add | remove | list."""

from __future__ import annotations

from collections.abc import Callable

import click

from relay.cli.common import Group, json_option, opened_ledger, show
from relay.ledger.registry import BLOCK_KINDS, Registry


def _options(function: Callable[..., None]) -> Callable[..., None]:
    for option in reversed((
        click.option("--scope", type=click.Choice(["relay", "buyer", "seller"]), required=True,
                     help="Whose wish it is."),
        click.option("--party", metavar="ID", help="The buyer or seller whose wish it is, or who is blocked."),
        click.option("--kind", type=click.Choice(BLOCK_KINDS), required=True, help="What is blocked."),
        click.option("--value", metavar="V", help="The counterpart's id, an address, a domain or a network."),
    )):
        function = option(function)
    return function


@click.group(cls=Group)
def block() -> None:
    """Block lists: the operator's, a buyer's, a seller's."""


@block.command("add")
@_options
@click.option("--reason", default="", help="For the operator's memory.")
def block_add(scope: str, party: str | None, kind: str, value: str | None, reason: str) -> None:
    """Block something. --kind unsolicited without --value means: from every seller."""
    with opened_ledger() as (opened, _):
        click.echo(f"block {Registry(opened).add_block(scope, party, kind, value, reason)}")


@block.command("remove")
@_options
def block_remove(scope: str, party: str | None, kind: str, value: str | None) -> None:
    """Lift a block again."""
    with opened_ledger() as (opened, _):
        Registry(opened).remove_block(scope, party, kind, value)
        click.echo("removed")


@block.command("list")
@json_option
def block_list(as_json: bool) -> None:
    """What is blocked now."""
    with opened_ledger() as (opened, _):
        show(Registry(opened).blocks(), ("id", "scope", "party", "kind", "value", "reason", "created_at"), as_json,
             empty="nothing is blocked")
