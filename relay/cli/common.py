"""What every command shares: `-c FILE` anywhere, the opened ledger, tables and JSON lines."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

    from relay.config import Config
    from relay.ledger.opened import Opened

_CONFIG = "tradepost.config-file"
TABLE_ROWS = 1000
"""As many are laid out as a table; what comes behind them goes by their widths."""


def _remember(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        context.find_root().meta[_CONFIG] = value


def _config_option() -> click.Option:
    return click.Option(["-c", "--config"], metavar="FILE", expose_value=False, callback=_remember,
                        help="The configuration (default: $TRADEPOST_CONFIG, ./tradepost.toml, "
                             "/etc/tradepost/tradepost.toml, development defaults).")


class Command(click.Command):
    """A command that takes -c."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(_config_option())


class Group(click.Group):
    """A group that takes -c and whose commands do too."""

    command_class = Command

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(_config_option())


def json_option(function: Any) -> Any:
    """--json: one JSON object a line."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")(function)


def load_config() -> Config:
    """The configuration that -c or the environment names; raises ConfigError."""
    from relay import config as configuration

    return configuration.load(config_file())


def config_file() -> Any:
    from relay import config as configuration

    return configuration.find(click.get_current_context().find_root().meta.get(_CONFIG))


@contextlib.contextmanager
def opened_ledger() -> Iterator[tuple[Opened, Config]]:
    """The ledger of the configuration, made on first use."""
    from relay.ledger.opened import open_ledger

    config = load_config()
    opened = open_ledger(config.ledger_path, config.key_ring)
    try:
        yield opened, config
    finally:
        opened.close()


def show(rows: Iterable[dict[str, Any]], columns: Sequence[str], as_json: bool, *, empty: str) -> int:
    """Print rows as JSON lines, or as a table of some of their keys; how many there were."""
    count = 0
    if as_json:
        for row in rows:
            click.echo(json.dumps(row, ensure_ascii=False))
            count += 1
        return count
    from rich.table import Table
    from rich.text import Text

    rest = iter(rows)
    first = list(islice(rest, TABLE_ROWS))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in first:
        table.add_row(*(Text(_cell(row.get(column))) for column in columns))
    console().print(table if first else Text(empty))
    return len(first) + _more(rest, first, columns)


def _more(rest: Iterator[dict[str, Any]], first: Sequence[dict[str, Any]], columns: Sequence[str]) -> int:
    """Lines as wide as the table's: a table of a hundred thousand rows takes minutes to lay out."""
    count, widths = 0, [max((len(_cell(row.get(column))) for row in first), default=0) for column in columns]
    widths = [max(width, len(column)) for width, column in zip(widths, columns, strict=True)]
    for row in rest:
        cells = (_cell(row.get(column)) for column in columns)
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())
        count += 1
    return count


def console() -> Console:
    """On a terminal as wide as it is; elsewhere wide enough not to fold."""
    from rich.console import Console  # twenty milliseconds that a script with --json need not pay

    return Console() if sys.stdout.isatty() else Console(width=250, soft_wrap=True)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
