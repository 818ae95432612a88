"""THE table: which header fields pass, which are written anew, which stay behind, and why.

An allow-list: a field that is not named here does not pass (LEAKS: Received, Authentication-Results,
X-Originating-IP, Autocrypt and whatever a client invents tomorrow all name somebody).
"""

from __future__ import annotations

from enum import Enum
from types import MappingProxyType
from typing import NamedTuple


class Action(Enum):
    KEEP = "kept"
    REWRITE = "rewritten"
    DROP = "dropped"


class FieldRule(NamedTuple):
    action: Action
    why: str


_K, _R, _D = Action.KEEP, Action.REWRITE, Action.DROP

FIELDS = MappingProxyType({
    name: FieldRule(action, why)
    for name, action, why in (
        # identity: always an alias, with the name that the marketplace knows
        ("from", _R, "the writer's alias with the marketplace's name for them"),
        ("to", _R, "the reader's alias; other addresses in it are nobody's business"),
        ("cc", _R, "as To, when the alias stood there"),
        ("sender", _D, "names the submitting mailbox"),
        ("reply-to", _D, "From is the alias, and answers must come back through it"),
        ("bcc", _D, "names recipients who are meant to be unseen"),
        # threads
        ("message-id", _R, "an HMAC under the relay domain: the original names host and account"),
        ("in-reply-to", _R, "mapped to the id that the reader's mailbox knows"),
        ("references", _R, "as In-Reply-To, for each id"),
        # what is said
        ("subject", _R, "real addresses in it become aliases; otherwise its exact bytes"),
        ("date", _R, "date and time kept; comments dropped, and a broken one replaced by the time of arrival"),
        # form of the body: the body's bytes make no sense without these
        ("mime-version", _K, "RFC 2045 4"),
        ("content-type", _K, "RFC 2045 5"),
        ("content-transfer-encoding", _K, "RFC 2045 6"),
        ("content-disposition", _K, "RFC 2183"),
        ("content-language", _K, "RFC 3282; names a language, not a person"),
        # harmless hints that clients show
        ("importance", _K, "RFC 2156: low, normal or high"),
        ("priority", _K, "RFC 2156: normal, urgent or non-urgent"),
        ("x-priority", _K, "a digit that clients show"),
        ("auto-submitted", _K, "RFC 3834: keeps two auto-responders from answering each other"),
        # the best known leaks, named so that the reason is on record; the default drops them as well
        ("received", _D, "names hosts, networks and accounts; loops are counted by X-Tradepost-Trace instead"),
        ("return-path", _D, "the writer's mailbox"),
        ("dkim-signature", _D, "names the writer's domain, and cannot verify after rewriting"),
        ("authentication-results", _D, "names the writer's domain"),
        ("disposition-notification-to", _D, "would make the reader's client write to the real address"),
        ("return-receipt-to", _D, "as Disposition-Notification-To"),
        ("list-unsubscribe", _D, "a mailto: in it makes the client write past the relay"),
        ("x-originating-ip", _D, "the writer's network"),
        ("autocrypt", _D, "names the address and carries a key made for it"),
        # ours; a client's copy of them is not believed
        ("x-tradepost-order", _R, "the order number, for help-desk tools"),
        ("x-tradepost-message", _R, "the ledger's id of the message, for help-desk tools"),
        ("x-tradepost-trace", _R, "one sealed mark for each passage through a relay of ours"),
    )
})
"""Lower-case field name -> what happens to it and why."""


def rule_for(name: str) -> FieldRule:
    """The table's row; what is not in the table is dropped."""
    return FIELDS.get(name, _UNKNOWN)


_UNKNOWN = FieldRule(Action.DROP, "not in the table")
