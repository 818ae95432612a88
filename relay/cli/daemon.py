"""serve, check, demo."""

from __future__ import annotations

import click

from relay.cli.common import Command, config_file, load_config


@click.command(cls=Command)
def serve() -> None:
    """Run all listeners of the configuration. SIGHUP reads it anew, certificate and keys as well."""
    from functools import partial

    from relay import config
    from relay.main import serve as run

    click.get_current_context().exit(run(load_config(), partial(config.load, config_file())))


@click.command(cls=Command)
def check() -> None:
    """Print every configuration error at once, with key and line; exit 2 when there is one."""
    config = load_config()
    if config.tls.certificate is not None:
        from relay import tls

        tls.server_context(*config.certificate)
    if config.ledger_path.exists():
        from relay.ledger.opened import open_ledger

        open_ledger(config.ledger_path, config.key_ring).close()
    click.echo(f"{config_file() or 'development defaults'}: no errors")


@click.command(cls=Command)
@click.option("--stay", is_flag=True, help="Keep it running, with the messages page and for your own mail program.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a scene.")
def demo(stay: bool, as_json: bool) -> None:
    """A complete self-contained run: two people write to each other through the real daemon."""
    from relay.demo.show import run

    click.get_current_context().exit(run(stay=stay, as_json=as_json))
