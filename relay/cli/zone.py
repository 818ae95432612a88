"""dns, doctor: what an administrator looks at before and after."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from relay.cli.common import Command, config_file, json_option, load_config
from relay.errors import ConfigError, KeyRingFileError

if TYPE_CHECKING:
    from relay.config import Config
    from relay.zone.finding import Finding
    from relay.zone.plan import Dkim, Plan

_COLOURS = {"right": "green", "warning": "yellow", "unknown": "yellow", "wrong": "red"}


@click.command("dns", cls=Command)
@click.option("--verify", is_flag=True, help="Look all of it up, knock at the MX, and say what is wrong; exit 1 then.")
@json_option
def dns(verify: bool, as_json: bool) -> None:
    """The zone records to publish for every relay domain, in BIND's syntax; with --verify, whether they are there."""
    from relay.zone.plan import plan_of

    config = load_config()
    plan = plan_of(config, _dkim(config))
    if verify:
        _verify(config, plan, as_json)
        return
    from relay.zone.records import TTL_S, bind, files, records

    if not as_json:
        click.echo("\n".join(bind(records(plan), files(plan))).lstrip())
        return
    for record in records(plan):
        if record.kind:
            click.echo(json.dumps({"domain": record.domain, "name": record.name, "type": record.kind, "ttl": TTL_S,
                                   "value": record.value, "purpose": record.purpose}, ensure_ascii=False))
    for file in files(plan):
        click.echo(json.dumps({"domain": file.domain, "name": file.url, "type": "file", "value": file.text,
                               "purpose": file.purpose}, ensure_ascii=False))


def _dkim(config: Config) -> Dkim:
    """The records of the keys that the ring holds; none before there is a ring. Raises KeyRingFileError."""
    from datetime import UTC, datetime

    from relay.keys import Keys
    from relay.sign import dkim_records
    from relay.zone.plan import no_dkim

    if not config.key_ring.exists():
        return no_dkim
    keys, now = Keys(config.key_ring), datetime.now(UTC)
    return lambda domain: dkim_records(keys, domain, now)


def _verify(config: Config, plan: Plan, as_json: bool) -> None:
    import asyncio

    from relay.zone.finding import Level
    from relay.zone.verify import surroundings, verify

    found = asyncio.run(verify(plan, surroundings(config)))
    for finding in found:
        show_finding(finding, as_json)
    wrong = sum(one.level in (Level.WRONG, Level.UNKNOWN) for one in found)
    if not as_json:
        click.echo(f"\n{wrong} of {len(found)} wrong or not known" if wrong else f"\nall {len(found)} in order")
    if wrong:
        click.get_current_context().exit(1)


def show_finding(finding: Finding, as_json: bool) -> None:
    """One JSON line; or what was found and, under it, what to do."""
    if as_json:
        click.echo(json.dumps(finding.as_json(), ensure_ascii=False))
        return
    fault = f"{finding.fault}: " if finding.fault else ""
    click.echo(click.style(f"{finding.level.value:8}", fg=_COLOURS[finding.level.value])
               + f" {finding.about}: {fault}{finding.what}")
    if finding.mend:
        click.echo(f"{'':9}-> {finding.mend}")


@click.command(cls=Command)
@click.option("--no-dns", is_flag=True, help="Leave the DNS and the MX out.")
@json_option
def doctor(no_dns: bool, as_json: bool) -> None:
    """Configuration, certificate, key ring, disk, queue, clock, listeners and DNS in one look; exit 1 when something is
    wrong. Run it as the user that runs the daemon."""
    from relay.zone.finding import Level

    found = []
    for finding in _examined(no_dns):
        show_finding(finding, as_json)
        found.append(finding)
    if any(one.level in (Level.WRONG, Level.UNKNOWN) for one in found):
        click.get_current_context().exit(1)


def _examined(no_dns: bool) -> Iterator[Finding]:
    from relay.doctor import examine
    from relay.zone.finding import right, wrong
    from relay.zone.plan import no_dkim, plan_of
    from relay.zone.verify import surroundings

    try:
        config = load_config()
    except ConfigError as error:
        for problem in error.problems:
            yield wrong("configuration", "configuration", problem, "mend it; conf/tradepost.toml has every key")
        return
    yield right("configuration", f"{config_file() or 'development defaults'}: no errors")
    try:
        dkim = _dkim(config)
    except KeyRingFileError:  # which the look at the ring tells
        dkim = no_dkim
    yield from examine(config, plan_of(config, dkim), None if no_dns else surroundings(config))
