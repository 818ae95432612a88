"""key list | rotate | rewrap | retire | wrap."""

from __future__ import annotations

import json

import click

from relay.cli.common import Group, json_option, opened_ledger, show
from relay.errors import TradepostError
from relay.ledger import ring
from relay.ledger.opened import Opened

_COLUMNS = ("id", "made", "seals_new", "open", "closing", "queued", "parties", "can_retire")


@click.group(cls=Group)
def key() -> None:
    """The key ring that aliases and data keys are sealed with."""


@key.command("list")
@json_option
def key_list(as_json: bool) -> None:
    """Each key, and what still hangs on it."""
    with opened_ledger() as (opened, _):
        show(({"id": str(one.id), "made": one.made, "seals_new": one.seals_new,
               "correspondences": one.correspondences, "open": one.open, "closing": one.closing, "queued": one.queued,
               "parties": one.parties, "can_retire": not one.reasons} for one in ring.holdings(opened)),
             _COLUMNS, as_json, empty="none")


@key.command("rotate")
@json_option
def key_rotate(as_json: bool) -> None:
    """Add a key that seals from now on, and wrap every party's data key with it. The daemon goes on serving."""
    with opened_ledger() as (opened, _):
        new = ring.rotate(opened)
        if not as_json:
            click.echo(f"key {new} seals from now on")
        _rewrap(opened, as_json)


@key.command("rewrap")
@json_option
def key_rewrap(as_json: bool) -> None:
    """Wrap with the newest key what older ones still wrap: what rotate does, where it was interrupted."""
    with opened_ledger() as (opened, _):
        _rewrap(opened, as_json)


@key.command("retire")
@click.argument("key_id", metavar="ID", type=int)
def key_retire(key_id: int) -> None:
    """Remove an old key for ever, unless something still hangs on it (exit 1)."""
    with opened_ledger() as (opened, _):
        reasons = ring.retire(opened, key_id)
    for reason in reasons:
        click.echo(f"key {key_id} stays: {reason}", err=True)
    if reasons:
        click.get_current_context().exit(1)
    click.echo(f"key {key_id} is gone; daemons follow within a second")


@key.command("wrap")
@click.option("--off", is_flag=True, help="Write it plain again, protected by its permissions alone.")
def key_wrap(off: bool) -> None:
    """Wrap the ring's file with the systemd credential that this process was given."""
    with opened_ledger() as (opened, _), opened.transaction():
        opened.keys.protect(wrapped=not off)
    click.echo("the key ring is plain" if off else "the key ring is wrapped")


def _rewrap(opened: Opened, as_json: bool) -> None:
    done = 0
    try:
        for count in ring.rewrap(opened):
            done += count
    except (TradepostError, KeyboardInterrupt):
        click.echo(f"{done} data keys are wrapped anew; go on with: tradepost key rewrap", err=True)
        raise
    newest = opened.keys.ring.newest
    click.echo(json.dumps({"key": str(newest), "wrapped": done}) if as_json else
               f"{done} data keys are wrapped anew with key {newest}")


def add_to(group: click.Group) -> None:
    group.add_command(key)
