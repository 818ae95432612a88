"""preview: why did my mail not arrive, or what would its reader get?"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

import click

from aliasing.address import Address, AddressError
from relay.cli.common import Command, json_option, opened_ledger
from relay.errors import UsageError


@click.command(cls=Command)
@click.argument("files", metavar="FILE…", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--mail-from", metavar="A", required=True, help='The reverse-path; "" for the null one.')
@click.option("--rcpt-to", metavar="ALIAS", required=True, help="The alias it was or would be written to.")
@click.option("--client", metavar="IP", default="127.0.0.1", show_default=True, help="Who connected.")
@click.option("-o", "--output", metavar="OUT", type=click.Path(path_type=Path),
              help="Write what the recipient would get; a folder where several files are given.")
@json_option
def preview(files: Sequence[Path], mail_from: str, rcpt_to: str, client: str, output: Path | None,
            as_json: bool) -> None:
    """Dry run of a message, or of a folder of messages: nothing is stored, nothing is sent. Exit 1: one is refused."""
    from relay.ledger.sqlite import SqliteLedger
    from relay.preview import Envelope, Previewer

    try:
        envelope = Envelope(Address.parse(mail_from.strip("<>")) if mail_from.strip("<>") else None,
                            rcpt_to.strip("<>"), ip_address(client))
    except AddressError as error:
        raise UsageError(f"--mail-from: {error}") from None
    except ValueError:
        raise UsageError(f"--client: {client} is no IP address") from None
    several = len(files) > 1 or files[0].is_dir()
    all_pass = True
    with opened_ledger() as (opened, config):
        ledger = SqliteLedger(opened)
        previewer = Previewer(ledger, opened.keys.ring, config.policy_settings(),
                              max_size=int(config.policy.max_size), language=config.relay.language)

        async def look() -> None:
            nonlocal all_pass
            for path in _messages(files):
                found = await previewer.preview(path.read_bytes(), envelope, datetime.now(UTC))
                all_pass &= found.passes
                if found.outgoing is not None and output is not None:
                    _write(output / path.name if several else output, found.outgoing)
                click.echo(json.dumps({"file": str(path), **found.report}, ensure_ascii=False) if as_json
                           else _readable(path, found.report))

        try:
            asyncio.run(look())
        finally:
            ledger.close()
    click.get_current_context().exit(0 if all_pass else 1)


def _messages(files: Sequence[Path]) -> Iterator[Path]:
    for path in files:
        yield from sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else (path,)


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror})") from None


def _readable(path: Path, report: dict[str, object]) -> str:
    lines = [f"{path}: {report['verdict']}" + (f" by {report['rule']}" if report["rule"] else ""),
             f"    {report['reply']}"]
    verdicts = report["verdicts"]
    assert isinstance(verdicts, list)
    lines += [f"    {one['rule']:20}{one['verdict']:8}{one['reason']}".rstrip() for one in verdicts]
    for title, key in (("attachment", "attachments"), ("changed part", "changed_parts"), ("note", "notes"),
                       ("still shows an address", "leaks")):
        values = report[key]
        assert isinstance(values, list)
        lines += [f"    {title}: " + (f"{value['name']} ({value['kind']}, {value['size']} octets)"
                                      if isinstance(value, dict) else str(value)) for value in values]
    lines.append(f"    {report['size_in']} octets in, {report['size_out']} out")
    return "\n".join(lines)
