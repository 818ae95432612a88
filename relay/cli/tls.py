"""tls report."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import click

from relay.cli.common import Group, json_option, opened_ledger, show


@click.group(cls=Group)
def tls() -> None:
    """How connections to other servers were secured."""


@tls.command("report")
@click.option("--day", metavar="YYYY-MM-DD", type=click.DateTime(["%Y-%m-%d"]), help="A UTC day; else yesterday.")
@click.option("--domain", metavar="DOMAIN", help="Only this destination.")
@json_option
def tls_report(day: datetime | None, domain: str | None, as_json: bool) -> None:
    """Sessions of one day by destination. With --json the reports of RFC 8460, one a line, ready to be sent.

    It names destinations, which may be people's own domains: unlike the log, it is not for everybody's eyes.
    """
    from relay.outbound import results_folder
    from relay.transmit.results import reports
    from relay.zone.plan import plan_of

    wanted = day.date() if day else datetime.now(UTC).date() - timedelta(days=1)
    with opened_ledger() as (opened, config):
        found = reports(results_folder(config, opened.keys), wanted, organisation=config.relay.hostname,
                        contact=plan_of(config).reports)
    found = [one for one in found if domain in (None, one["policies"][0]["policy"]["policy-domain"])]
    if as_json:
        for one in found:
            click.echo(json.dumps(one))
        return
    show(({"domain": policy["policy"]["policy-domain"], "policy": policy["policy"]["policy-type"],
           "good": policy["summary"]["total-successful-session-count"],
           "failed": policy["summary"]["total-failure-session-count"],
           "why": ", ".join(sorted({detail["result-type"] for detail in policy.get("failure-details", ())}))}
          for one in found for policy in one["policies"]),
         ("domain", "policy", "good", "failed", "why"), False, empty=f"nothing was counted on {wanted}")
