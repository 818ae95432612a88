"""serve, check."""

from __future__ import annotations

import click

from relay.cli.common import Command, config_file, load_config


@click.command(cls=Command)
def serve() -> None:
    """Run all listeners of the configuration."""
    from relay.main import serve as run

    click.get_current_context().exit(run(load_config()))


@click.command(cls=Command)
def check() -> None:
    """Print every configuration error at once, with key and line; exit 2 when there is one."""
    config = load_config()
    if config.tls.certificate is not None:
        from relay import tls

        tls.server_context(*config.certificate)
    if config.ledger_path.exists():
        from relay.ledger.sqlite import open_ledger

        open_ledger(config.ledger_path, config.key_ring).close()
    click.echo(f"{config_file() or 'development defaults'}: no errors")


def add_to(group: click.Group) -> None:
    group.add_command(serve)
    group.add_command(check)
