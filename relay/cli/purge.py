"""purge."""

from __future__ import annotations

import json
import time

import click

from relay.cli.common import Command, json_option, opened_ledger
from relay.ledger.purge import Ages, Purge


@click.command(cls=Command)
@click.option("--dry-run", is_flag=True, help="Only say how much it would be.")
@json_option
def purge(dry_run: bool, as_json: bool) -> None:
    """Destroy what is over the ages of [retention], for good (docs/retention.md). For a timer, once a day."""
    with opened_ledger() as (opened, config):
        ages = Ages(config.retention.messages, config.retention.refused, config.retention.content)
        work = Purge(opened)
        found = work.count(ages, time.time()) if dry_run else work.run(ages, time.time())
    told = "would be destroyed" if dry_run else "destroyed"
    click.echo(json.dumps(found.as_json()) if as_json else
               f"{told}: the content of {found.contents} messages, and all that could be read of {found.messages}")
