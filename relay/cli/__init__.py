"""The command line: one file a command group. Exit status 0 done, 1 the answer is no, 2 usage or configuration."""

from __future__ import annotations

import contextlib
import os
import sys

import click

from relay import log
from relay.cli.common import Group
from relay.errors import ConfigError, LedgerBusy, StorageFailed, StorageFull, TradepostError


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tradepost", prog_name="tradepost")
def tradepost() -> None:
    """A mail relay through which sellers and buyers write to each other without learning each other's address."""


def main() -> None:
    """The installed command. Every error of ours is one line on standard error, never a traceback."""
    from relay.cli import address, backup, block, daemon, key, messages, order, preview, queue, zone

    for module in (daemon, order, address, block, messages, preview, queue, key, backup, zone):
        module.add_to(tradepost)
    try:
        # without standalone mode click hands an exit status back as the return value
        status = tradepost(standalone_mode=False)
        sys.exit(status if isinstance(status, int) else 0)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except ConfigError as error:
        for problem in error.problems:
            click.echo(problem, err=True)
        sys.exit(2)
    except (LedgerBusy, StorageFull, StorageFailed) as error:  # may mend itself: systemd starts the daemon again
        click.echo(f"tradepost: {error}", err=True)
        sys.exit(1)
    except TradepostError as error:
        click.echo(f"tradepost: {error}", err=True)
        sys.exit(2)
    except BrokenPipeError:
        sys.exit(0)
    except Exception as error:  # a traceback would show messages, and those may quote an address
        click.echo(f"tradepost: an error of its own, please report it: {log.described(error)}", err=True)
        sys.exit(1)
    finally:
        _let_go_of_output()


def _let_go_of_output() -> None:
    """Output that cannot be written any more (a full disk, a reader that went away) would end Python with 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with contextlib.suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
