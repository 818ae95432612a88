"""key list | rotate."""

from __future__ import annotations

import click

from relay.cli.common import Group, json_option, opened_ledger, show
from relay.ledger.listing import Listing


@click.group(cls=Group)
def key() -> None:
    """The key ring that aliases and data keys are sealed with."""


@key.command("list")
@json_option
def key_list(as_json: bool) -> None:
    """Each key, and how many correspondences and parties still need it."""
    with opened_ledger() as (opened, _):
        show(Listing(opened).keys(), ("id", "made", "seals_new", "correspondences", "parties"), as_json, empty="none")


@key.command("rotate")
def key_rotate() -> None:
    """Add a key that seals from now on; what older keys sealed stays valid."""
    with opened_ledger() as (opened, _):
        click.echo(f"key {opened.keys.rotate()} seals from now on")


def add_to(group: click.Group) -> None:
    group.add_command(key)
