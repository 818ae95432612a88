"""key list | rotate | rewrap | retire | wrap."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import click

from relay import dkim
from relay.cli.common import Group, json_option, opened_ledger, show
from relay.config import Config
from relay.errors import TradepostError, UsageError
from relay.ledger import ring
from relay.ledger.opened import Opened

_COLUMNS = ("id", "made", "seals_new", "open", "closing", "queued", "parties", "can_retire")
_DKIM_COLUMNS = ("selector", "domain", "algorithm", "state", "made", "signs_from")


@click.group(cls=Group)
def key() -> None:
    """The key ring that aliases and data keys are sealed with, and the DKIM keys in it."""


@key.command("list")
@click.option("--dkim", "of_dkim", is_flag=True, help="The DKIM keys instead: published, signing, retiring, retired.")
@json_option
def key_list(of_dkim: bool, as_json: bool) -> None:
    """Each key, and what still hangs on it."""
    with opened_ledger() as (opened, config):
        if of_dkim:
            _list_dkim(opened, config.relay.domains, as_json)
            return
        show(({"id": str(one.id), "made": one.made, "seals_new": one.seals_new,
               "correspondences": one.correspondences, "open": one.open, "closing": one.closing, "queued": one.queued,
               "parties": one.parties, "can_retire": not one.reasons} for one in ring.holdings(opened)),
             _COLUMNS, as_json, empty="none")


@key.command("rotate")
@click.option("--dkim", "of_dkim", is_flag=True, help="Instead: a new DKIM pair for each relay domain. It is to be "
              "published now and signs in two days; the old one stays published for a week after that.")
@click.option("--activate", is_flag=True, help="With --dkim: the pair that waits signs from now on; makes none.")
@click.option("--domain", "only", metavar="DOMAIN", help="With --dkim: only this relay domain.")
@json_option
def key_rotate(of_dkim: bool, activate: bool, only: str | None, as_json: bool) -> None:
    """Add a key that seals from now on, and wrap every party's data key with it. The daemon goes on serving."""
    if not of_dkim and (activate or only):
        raise UsageError("--activate and --domain go with --dkim")
    with opened_ledger() as (opened, config):
        if of_dkim:
            _rotate_dkim(opened, _domains(config, only), activate, as_json)
            return
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


def _domains(config: Config, only: str | None) -> list[str]:
    if only is not None and only not in config.relay.domains:
        raise UsageError(f"{only} is none of relay.domains: {', '.join(config.relay.domains)}")
    return [only] if only else config.relay.domains


def _rotate_dkim(opened: Opened, domains: list[str], activate: bool, as_json: bool) -> None:
    now = datetime.now(UTC)
    changed = ring.activate_dkim(opened, domains, now) if activate else ring.rotate_dkim(opened, domains, now)
    for one in changed:
        name, text = one.record
        if as_json:
            click.echo(json.dumps({"selector": one.selector, "domain": one.domain, "algorithm": one.algorithm,
                                   "signs_from": one.signs_from.isoformat(), "name": name, "txt": text}))
        elif activate:
            click.echo(f"{one.selector} of {one.domain} signs from now on")
        else:
            click.echo(f"publish now; it signs from {one.signs_from:%Y-%m-%d %H:%M} UTC:\n{name} TXT \"{text}\"")
    if not changed:
        click.echo("no DKIM key waits; make a pair first: tradepost key rotate --dkim", err=True)
        click.get_current_context().exit(1)


def _list_dkim(opened: Opened, domains: list[str], as_json: bool) -> None:
    ring.ensure_dkim(opened, domains)
    keys, now = opened.keys.dkim, datetime.now(UTC)
    show(({"selector": one.selector, "domain": one.domain, "algorithm": one.algorithm,
           "state": dkim.state(one, keys, now), "made": one.made.isoformat(),
           "signs_from": one.signs_from.isoformat()} for one in keys), _DKIM_COLUMNS, as_json, empty="none")


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
