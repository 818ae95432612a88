"""The command line: one file a command group. Exit status 0 done, 1 the answer is no, 2 usage or configuration."""

from __future__ import annotations

import contextlib
import os
import sys
from importlib import import_module

import click

from relay.cli.common import Group
from relay.errors import ConfigError, LedgerBusy, StorageFailed, StorageFull, TradepostError

MODULES = {
    "serve": "daemon", "check": "daemon", "demo": "daemon", "order": "order", "correspondence": "order",
    "address": "address", "block": "block", "messages": "messages", "message": "messages", "tail": "messages",
    "preview": "preview", "queue": "queue", "key": "key", "backup": "backup", "dns": "zone", "doctor": "zone",
    "login": "login", "tls": "tls", "apikey": "apikey", "template": "template", "webhook": "webhook",
    "erase": "erase", "purge": "purge",
}
"""Command -> the module here that has it, under the same name."""


class _Commands(Group):
    """Imports the one command that is asked for: all of them take longer than most of them run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in MODULES and cmd_name not in self.commands:
            self.add_command(getattr(import_module(f"relay.cli.{MODULES[cmd_name]}"), cmd_name))
        return super().get_command(ctx, cmd_name)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tradepost", prog_name="tradepost")
def tradepost() -> None:
    """A mail relay through which sellers and buyers write to each other without learning each other's address."""


def main() -> None:
    """The installed command. Every error of ours is one line on standard error, never a traceback."""
    sys.exit(_flushed(run()))


def run(words: list[str] | None = None) -> int:
    """Do what the words say (None: the process's arguments), and say every error in one line; the exit status."""
    try:
        # without standalone mode click hands an exit status back as the return value
        status = tradepost(words, standalone_mode=False)
        return status if isinstance(status, int) else 0
    except SystemExit as stopped:
        return stopped.code if isinstance(stopped.code, int) else 0
    except click.exceptions.Abort:
        return 130
    except click.ClickException as error:
        with contextlib.suppress(OSError):
            error.show()
        return 2
    except ConfigError as error:
        for problem in error.problems:
            _complain(problem)
        return 2
    except (LedgerBusy, StorageFull, StorageFailed) as error:  # may mend itself: systemd starts the daemon again
        _complain(f"tradepost: {error}")
        return 1
    except TradepostError as error:
        _complain(f"tradepost: {error}")
        return 2
    except BrokenPipeError:
        return 0
    except Exception as error:  # a traceback would show messages, and those may quote an address
        from relay import log

        _complain(f"tradepost: an error of its own, please report it: {log.described(error)}")
        return 1


def _complain(line: str) -> None:
    with contextlib.suppress(OSError):  # a log on a full disk takes nothing more; the exit status still tells
        click.echo(line, err=True)


def _flushed(status: int) -> int:
    """The exit status once all output is out. Python's own flush at exit would turn a failed one into 120, and so a
    daemon that stopped in order into one that failed, for a log that has no room."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:
            if stream is sys.stdout and not isinstance(error, BrokenPipeError):
                _complain(f"tradepost: standard output cannot be written ({error.strerror})")
                status = status or 1
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())  # what is left in the buffer goes there
            os.close(nowhere)
    return status
