"""address list | waiting | authorise | block | remove | reveal."""

from __future__ import annotations

import click

from policy.case import AddressState
from relay.cli.common import Group, json_option, opened_ledger, show
from relay.ledger.registry import Registry

_STATES = ("state", "registered", "group")


@click.group(cls=Group)
def address() -> None:
    """A party's addresses: which may write. PARTY is an id, or seller:ID or buyer:ID."""


@address.command("list")
@click.argument("party")
@json_option
def address_list(party: str, as_json: bool) -> None:
    """How many there are and in which state; `reveal` shows them."""
    with opened_ledger() as (opened, _):
        show(Registry(opened).addresses(party), ("party", "number", *_STATES), as_json, empty="none")


@address.command("reveal")
@click.argument("party")
@json_option
def address_reveal(party: str, as_json: bool) -> None:
    """The real addresses. That they were looked at is recorded in the ledger."""
    with opened_ledger() as (opened, _):
        show(Registry(opened).reveal(party), ("party", "address", *_STATES), as_json, empty="none")


@address.command("authorise")
@click.argument("party")
@click.argument("address_text", metavar="ADDRESS")
@click.option("--group/--no-group", default=None, help="It is a group's: several people write from it.")
def address_authorise(party: str, address_text: str, group: bool | None) -> None:
    """This address may write for the party, from now on."""
    with opened_ledger() as (opened, _):
        Registry(opened).set_address(party, address_text, AddressState.AUTHORISED, group=group)
        click.echo(f"{party}: {AddressState.AUTHORISED}")


@address.command("waiting")
@json_option
def address_waiting(as_json: bool) -> None:
    """Sellers who asked on the page for one more address. `reveal` shows it; `authorise` or `block` answers."""
    with opened_ledger() as (opened, _):
        show(Registry(opened).waiting(), ("party", "asked_at"), as_json, empty="nobody waits")


def _changer(verb: str, state: AddressState, help_: str) -> None:
    @address.command(verb, help=help_)
    @click.argument("party")
    @click.argument("address_text", metavar="ADDRESS")
    def change(party: str, address_text: str) -> None:
        with opened_ledger() as (opened, _):
            Registry(opened).set_address(party, address_text, state)
            click.echo(f"{party}: {state}")


_changer("block", AddressState.BLOCKED, "This address may not write for the party; mail from it is refused.")
_changer("remove", AddressState.REMOVED, "This address may write no more; mail from it is told that it was removed.")
