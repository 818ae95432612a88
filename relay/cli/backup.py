"""backup FILE."""

from __future__ import annotations

from pathlib import Path

import click

from relay.cli.common import Command, load_config
from relay.ledger.backup import back_up


@click.command(cls=Command)
@click.argument("file", type=click.Path(path_type=Path))
def backup(file: Path) -> None:
    """Write a tar archive of ledger and queue to FILE while the daemon runs. The key ring is not in it: keep that
    elsewhere, for whoever has both can read everything. docs/backup.md says how to restore."""
    config = load_config()
    found = back_up(config.ledger_path, file)
    click.echo(f"{file}: {found.messages} messages, {found.files} of them in files, {found.size_bytes} octets")
    for name in found.missing:
        path = config.ledger_path.parent / "spool" / name
        click.echo(f"{path}: the ledger names this file, but it is not there", err=True)
    click.echo(f"not in it: the key ring {config.key_ring}, without which it cannot be read", err=True)
    if found.missing:
        click.get_current_context().exit(1)
