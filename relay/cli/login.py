"""login add | password | link | remove | list."""

from __future__ import annotations

import sys

import click

from relay.cli.common import Group, json_option, opened_ledger, show
from relay.errors import UsageError
from relay.ledger.logins import ROLES, Logins

MAX_SUBJECT_CHARS = 255
"""OpenID Connect Core 1.0 2."""


@click.group(cls=Group)
def login() -> None:
    """Who may submit mail with a password. ID is the login's name, by default also its party's id."""


@login.command("add")
@click.argument("name", metavar="ID")
@click.option("--party", metavar="PARTY", help="Whose it is, when it has another name: an id, seller:ID or buyer:ID.")
@click.option("--role", type=click.Choice(ROLES), help="For the page only: someone who is no party.")
def login_add(name: str, party: str | None, role: str | None) -> None:
    """A login for a party. Its password is asked for on a terminal, else read as one line from standard input."""
    if role is not None and party is not None:
        raise UsageError("a login has a party or a role")
    with opened_ledger() as (opened, _):
        logins = Logins(opened)
        if role is not None:
            logins.check_name(name)
            logins.add_role(name, role, _hashed())
            click.echo(f"{name}: {role} on the page")
            return
        logins.find_party(name, party)  # before anybody thinks of a password
        click.echo(f"{name}: may write as {logins.add(name, party, _hashed())}")


@login.command("password")
@click.argument("name", metavar="ID")
def login_password(name: str) -> None:
    """Another password, read as `add` does."""
    with opened_ledger() as (opened, _):
        logins = Logins(opened)
        logins.get(name)
        logins.change(name, _hashed())
        click.echo(f"{name}: password changed")


@login.command("link")
@click.argument("name", metavar="ID")
@click.argument("subject", required=False)
def login_link(name: str, subject: str | None) -> None:
    """Who a login is to the OpenID Connect provider (page.oidc): its `sub` there. Without SUBJECT: nobody any more."""
    if subject is not None and not 0 < len(subject) <= MAX_SUBJECT_CHARS:
        raise UsageError(f"a subject has 1 to {MAX_SUBJECT_CHARS} characters")
    with opened_ledger() as (opened, config):
        if subject is not None and not config.page.oidc.issuer:
            raise UsageError("no provider is configured", "set page.oidc")
        Logins(opened).link(name, config.page.oidc.issuer, subject)
        click.echo(f"{name}: linked" if subject is not None else f"{name}: not linked any more")


@login.command("remove")
@click.argument("name", metavar="ID")
def login_remove(name: str) -> None:
    """This login is none any more, at once."""
    with opened_ledger() as (opened, _):
        Logins(opened).remove(name)
        click.echo(f"{name}: removed")


@login.command("list")
@json_option
def login_list(as_json: bool) -> None:
    """Every login and whose it is."""
    with opened_ledger() as (opened, _):
        show(Logins(opened).all(), ("login", "role", "party", "password_changed_at"), as_json, empty="none")


def _hashed() -> str:
    from relay.passwords import WeakPassword, hash_password

    if sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    try:
        return hash_password(password)
    except WeakPassword as error:
        raise UsageError(f"{error}; nothing was changed") from None
