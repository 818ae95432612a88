"""All that a rule may see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from aliasing.address import Address
from aliasing.correspondence import Correspondence, Direction
from aliasing.message import Message, MessageError
from aliasing.token import OpenedAction
from policy.files.findings import Findings


class AddressState(StrEnum):
    """What the counterpart's account says of an address that writes."""

    AUTHORISED = "authorised"
    BLOCKED = "blocked"
    REMOVED = "removed"


class AuthResult(StrEnum):
    """What a method of authentication found (RFC 8601 2.7); "policy" passed and yet does not count here."""

    NONE = "none"
    PASS = "pass"  # noqa: S105 - a result, not a password
    FAIL = "fail"
    SOFTFAIL = "softfail"
    NEUTRAL = "neutral"
    POLICY = "policy"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


@dataclass(frozen=True)
class SpfResult:
    """SPF (RFC 7208) of the reverse-path, or of the HELO name where that is null."""

    result: AuthResult = AuthResult.NONE
    domain: str = ""
    aligned: bool = False
    """`domain` stands for the author's domain (RFC 9989 4.4); so in the classes below."""


@dataclass(frozen=True)
class DkimResult:
    """One DKIM signature (RFC 6376)."""

    result: AuthResult
    domain: str = ""
    selector: str = ""
    algorithm: str = ""
    key_bits: int = 0
    signed: frozenset[str] = frozenset()
    """Lower-case names of the header fields that it covers, every instance of them."""
    length: bool = False
    """There is an l= tag: anything may have been put below what was signed."""
    reason: str = ""
    """Why it did not pass, in words for an administrator."""
    aligned: bool = False


@dataclass(frozen=True)
class ArcHop:
    """What one sealer says that it saw (RFC 8617 4.1.1), as far as it speaks for the author's domain."""

    sealer: str
    spf: bool = False
    """An aligned SPF pass."""
    dkim: frozenset[str] | None = None
    """The fields that an aligned signature covered which passed there; None when there was none."""


@dataclass(frozen=True)
class ArcResult:
    """A chain of ARC sets (RFC 8617). Anybody can seal: only what listed sealers say counts."""

    result: AuthResult = AuthResult.NONE
    hops: tuple[ArcHop, ...] = ()
    """Oldest first; empty unless `result` is pass."""
    signed: frozenset[str] = frozenset()
    """Fields that the newest sealer covered, every instance of them."""
    reason: str = ""


@dataclass(frozen=True)
class DmarcResult:
    """DMARC (RFC 9989) of the author's domain."""

    result: AuthResult = AuthResult.NONE
    """"none": the domain publishes no policy. "pass" says nothing of whom the message was written to."""
    policy: str = ""
    """"none", "quarantine" or "reject", for this very domain; "" where there is none."""
    organizational: str = ""


@dataclass(frozen=True)
class AuthenticationResults:
    """What could be found out about where a message comes from."""

    spf: SpfResult = SpfResult()
    dkim: tuple[DkimResult, ...] = ()
    arc: ArcResult = ArcResult()
    dmarc: DmarcResult = DmarcResult()
    temporary: bool = False
    """Some look-up in the DNS failed for now: what is missing may be there later."""


@dataclass(frozen=True)
class PolicySettings:
    """The operator's choices that rules read; durations and sizes carry their unit in the name."""

    authentication: str = "observe"
    """"require": who writes must be authenticated; "observe": the ledger says what would have been refused."""
    authentication_domains: Mapping[str, str] = field(default_factory=dict)
    """Domain of the From address (that very domain) -> "require" or "observe"."""
    arc_sealers: frozenset[str] = frozenset()
    unsolicited: str = "opt-out"
    """"opt-out": unsolicited mail passes unless the buyer refused it; "refuse": it never passes."""
    reply_window: timedelta = timedelta(days=7)
    critical_subjects: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    subject_markers: tuple[str, ...] = ()
    """Bracketed markers that make any subject critical; empty while that form is switched off."""
    attachments_max_bytes: int = 10 * 1024 * 1024
    help_url: str = ""
    rate_orders_factor: int = 5
    rate_base: int = 600
    critical_per_order_and_day: int = 3
    signatures: str = "refuse"
    """"refuse": a signed message comes back; "remove": its detached signature is taken off."""
    metadata: str = "scrub"
    """"scrub": what attachments say of their authors, places and programs is taken out; "keep"."""
    addresses_in_files: str = "refuse"
    """"refuse": a file whose text shows a party's address comes back; "note": it passes and the ledger says so."""
    links: str = "unlink"
    """"unlink": links in HTML lose their target; "keep"."""
    redact: tuple[str, ...] = ()
    """What else is taken out of texts: "addresses" (anybody's), "phones", "links"."""
    footer: bool = True
    """Whether messages end with the relay's own lines and links."""
    action_url: str = ""
    """Where the pages of sealed links are, to which the token is added; "" where all is done by mail alone."""

    def requires_authentication(self, domain: str) -> bool:
        """Whether who writes from an address of `domain` has to be authenticated."""
        return self.authentication_domains.get(domain, self.authentication) != "observe"


@dataclass(frozen=True)
class Facts:
    """What the ledger knew about one recipient's correspondence when the message came."""

    correspondence: Correspondence
    direction: Direction
    writer_addresses: Mapping[str, AddressState]
    """Address.key -> state, for the party that may write in this direction."""
    reader_addresses: frozenset[str]
    """Address.key of the other party: somebody who writes to their own alias."""
    closed_at: datetime | None = None
    writer_blocked: bool = False
    """The marketplace takes nothing at all from the writer."""
    counterpart_refused: bool = False
    """The reader takes nothing at all from this writer."""
    unsolicited_refused: str | None = None
    """"seller" or "all" when the reader (a buyer) takes nothing unsolicited from this seller or anybody."""
    last_buyer_message_at: datetime | None = None
    replies_to_buyer: bool = False
    """In-Reply-To or References names a message of the buyer in this correspondence."""
    originals: Mapping[bytes, bytes] = field(default_factory=dict)
    """Ids of ours that the message refers to -> the ids under which the reader's mailbox knows those messages."""
    sent_today: int = 0
    orders_last_30_days: int = 0
    critical_today: int = 0
    """Messages under a critical subject in this correspondence since midnight UTC."""
    exchange: int = 0
    """How many of its newest messages went to and fro: twice those of the direction with fewer."""
    returning: bool = False
    """The message bears a Message-ID under which one of this correspondence has left."""

    @property
    def order(self) -> str:
        return self.correspondence.order or ""


@dataclass(frozen=True)
class RelayBlocks:
    """The operator's block lists."""

    addresses: frozenset[str] = frozenset()
    domains: frozenset[str] = frozenset()
    networks: tuple[IPv4Network | IPv6Network, ...] = ()


@dataclass(frozen=True)
class Case:
    """One message for one recipient, as the rules see it. `message` is None before DATA."""

    client: IPv4Address | IPv6Address
    reverse_path: Address | None
    """None is the null reverse-path `<>`."""
    facts: Facts
    settings: PolicySettings
    blocks: RelayBlocks
    now: datetime
    message: Message | None = None
    problem: MessageError | None = None
    """Why `message` is None after DATA: the bytes could not be read as one message."""
    header_from: Address | None = None
    """The one address in the one From field; None when there is no such thing."""
    action: OpenedAction | None = None
    """What was asked for, where the message came to a sealed action address instead of the alias."""
    login: str | None = None
    """Party.key of who gave a password; None for mail from servers."""
    authentication: AuthenticationResults | None = None
    """None where nothing was asked of the DNS."""
    solicited: bool = False
    critical: bool = False
    files: Mapping[str, Findings] = field(default_factory=dict)
    """Part.path -> what its attachment was found to be."""
