"""template list | show | set | remove."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import click

from relay.cli.common import Group, json_option, opened_ledger, show
from relay.ledger.templates import Templates


def _seller(function: Callable[..., None]) -> Callable[..., None]:
    return click.option("--seller", metavar="ID", help="This seller's own; without it the marketplace's.")(function)


@click.group(cls=Group)
def template() -> None:
    """Texts to write with. Placeholders: {order}, {buyer}, {seller}."""


@template.command("list")
@click.option("--seller", metavar="ID", help="Those that this seller can use.")
@json_option
def template_list(seller: str | None, as_json: bool) -> None:
    """The marketplace's and the sellers' own."""
    with opened_ledger() as (opened, _):
        show(Templates(opened).all(seller), ("name", "seller", "subject", "updated_at"), as_json, empty="no templates")


@template.command("show")
@click.argument("name")
@_seller
@click.option("--order", metavar="N", help="With the values of this order.")
@json_option
def template_show(name: str, seller: str | None, order: str | None, as_json: bool) -> None:
    """One template."""
    with opened_ledger() as (opened, _):
        templates = Templates(opened)
        found = templates.filled(name, seller, order) if order else templates.show(name, seller)
    click.echo(json.dumps(found, ensure_ascii=False) if as_json else f"{found['subject']}\n\n{found['text']}")


@template.command("set")
@click.argument("name")
@_seller
@click.option("--subject", required=True)
@click.option("--text", help="Read from standard input where it is not given.")
def template_set(name: str, seller: str | None, subject: str, text: str | None) -> None:
    """Make it, or change it."""
    with opened_ledger() as (opened, _):
        Templates(opened).set(name, seller, subject, sys.stdin.read() if text is None else text)
    click.echo(f"template {name}")


@template.command("remove")
@click.argument("name")
@_seller
def template_remove(name: str, seller: str | None) -> None:
    """Remove one."""
    with opened_ledger() as (opened, _):
        Templates(opened).remove(name, seller)
    click.echo("removed")
