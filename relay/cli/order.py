"""order add | show | close | list, and correspondence add."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import click

from aliasing.correspondence import Side
from relay.cli.common import Group, json_option, opened_ledger, show
from relay.config import Config
from relay.errors import UsageError
from relay.ledger.registry import NewParty, OrderRow, Registry


def _parties(function: Callable[..., None]) -> Callable[..., None]:
    """The options that name both parties, for `order add` and `correspondence add`."""
    options = [click.option("--language", help="Language of both parties, such as es (default: relay.language).")]
    for side in ("seller", "buyer"):
        options += [
            click.option(f"--{side}", required=True, metavar="ID", help=f"The marketplace's id of the {side}."),
            click.option(f"--{side}-address", metavar="ADDRESS", help="May be left out once the party is known."),
            click.option(f"--{side}-name", metavar="NAME", help="Shown to the other side."),
            click.option(f"--{side}-language", metavar="LANG", help="Overrides --language."),
        ]
    for option in reversed(options):
        function = option(function)
    return function


@click.group(cls=Group)
def order() -> None:
    """Orders and the aliases minted for them."""


@order.command("add")
@click.argument("order_number", metavar="ORDER")
@_parties
@json_option
def order_add(order_number: str, as_json: bool, **options: str | None) -> None:
    """Mint the aliases of an order. The same again answers the same aliases."""
    with opened_ledger() as (opened, config):
        if not re.fullmatch(config.policy.order_pattern, order_number):
            raise UsageError(f"{order_number} is no order number here: policy.order_pattern is "
                             f"{config.policy.order_pattern}")
        _print([_add(Registry(opened), config, order_number, options)], as_json)


@order.command("show")
@click.argument("order_number", metavar="ORDER")
@json_option
def order_show(order_number: str, as_json: bool) -> None:
    """The aliases of an order."""
    with opened_ledger() as (opened, _):
        _print([Registry(opened).order(order_number)], as_json)


@order.command("close")
@click.argument("order_number", metavar="ORDER")
@json_option
def order_close(order_number: str, as_json: bool) -> None:
    """No more mail about this order."""
    with opened_ledger() as (opened, _):
        _print([Registry(opened).close_order(order_number)], as_json)


@order.command("list")
@json_option
def order_list(as_json: bool) -> None:
    """Every order (and enquiry without one), newest first."""
    with opened_ledger() as (opened, _):
        _print(Registry(opened).orders(), as_json)


@click.group(cls=Group)
def correspondence() -> None:
    """Correspondences before there is an order."""


@correspondence.command("add")
@_parties
@json_option
def correspondence_add(as_json: bool, **options: str | None) -> None:
    """Mint aliases for an enquiry; the pair's first order joins it later."""
    with opened_ledger() as (opened, config):
        _print([_add(Registry(opened), config, None, options)], as_json)


def _add(registry: Registry, config: Config, number: str | None, options: dict[str, str | None]) -> OrderRow:
    def party(side: Side) -> NewParty:
        language = options[f"{side}_language"] or options["language"]
        return NewParty(side, options[side] or "", options[f"{side}_address"], options[f"{side}_name"],
                        language or (config.relay.language if options[f"{side}_address"] else None))

    return registry.add_order(number, config.relay.domains[0], party(Side.SELLER), party(Side.BUYER))


def _print(rows: Any, as_json: bool) -> None:
    flat = (row.as_json() if as_json else {
        "order": row.order, "seller": row.seller, "buyer": row.buyer, "the seller writes to": row.buyer_alias or None,
        "the buyer writes to": row.seller_alias or None, "closed": row.closed_at is not None} for row in rows)
    show(flat, ("order", "seller", "buyer", "the seller writes to", "the buyer writes to", "closed"), as_json,
         empty="no orders yet; mint one with: tradepost order add")
