"""THE tables: which header fields pass, which are written anew, which stay behind, and why.

An allow-list: a field that is not named here does not pass, for what a client invents tomorrow may name somebody. The
names are those of IANA's registry of message headers, permanent and provisional, and of what clients add unregistered;
what is dropped would be dropped without its row as well, but then the reason would be nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator
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
_Row = tuple[str, Action, str]

_MIME: tuple[_Row, ...] = (
    # form of a body: its octets make no sense without these; the same for the message and for each part in it
    ("content-type", _R, "RFC 2045 5: kept where it can be read in one way only, else written anew as it was read"),
    ("content-transfer-encoding", _R, "RFC 2045 6: as Content-Type"),
    ("content-disposition", _R, "RFC 2183: as Content-Type; an address in the file name becomes the alias"),
    ("content-id", _R, "RFC 2392: an HMAC under the relay domain, also in cid: links; clients put a host name there"),
    ("content-language", _K, "RFC 3282: names a language, not a person"),
    ("content-description", _D, "a comment that nobody sees and that may name anybody"),
    ("content-location content-base", _D, "RFC 2557: an address of the writer's own machine or site"),
    ("content-md5 content-digest repr-digest", _D, "a sum over what the relay may have changed"),
    ("""content-features content-duration content-alternative content-identifier content-return
       content-translation-type""", _D,
     "RFC 2156, 2424, 2912, 3297, 8255: hints that no common client reads"),
)

_MESSAGE: tuple[_Row, ...] = (
    # identity: always an alias, with the name that the marketplace knows
    ("from", _R, "the writer's alias with the marketplace's name for them"),
    ("to", _R, "the reader's alias; other addresses in it are nobody's business"),
    ("cc", _R, "as To, when the alias stood there"),
    ("sender", _D, "RFC 5322 3.6.2: names the submitting mailbox"),
    ("reply-to mail-reply-to mail-followup-to followup-to", _D,
     "From is the alias, and answers must come back through it"),
    ("bcc apparently-to", _D, "names recipients who are meant to be unseen"),
    ("author", _D, "RFC 9057: the From that a mailing list replaced"),
    ("original-from original-sender original-recipient original-subject original-message-id", _D,
     "RFC 5703, 3798: who it was before somebody forwarded it"),
    # threads
    ("message-id", _R, "an HMAC under the relay domain: the original names host and account"),
    ("in-reply-to", _R, "mapped to the id that the reader's mailbox knows"),
    ("references", _R, "as In-Reply-To, for each id"),
    ("thread-index thread-topic x-ms-exchange-conversation-id", _D,
     "Outlook's threads: the topic repeats a subject before redaction, the index names nothing that the reader has"),
    ("supersedes obsoletes replaces x-mailer-reference archived-at expires expiry-date reply-by", _D,
     "RFC 2156, 5064, 5536: meant for newsgroups, archives and X.400"),
    # what is said
    ("subject", _R, "real addresses in it become aliases; otherwise its exact bytes"),
    ("date", _R, "date and time kept; comments dropped, and a broken one replaced by the time of arrival"),
    ("comments keywords", _D, "RFC 5322 3.6.5: free text that no client shows"),
    ("mime-version", _K, "RFC 2045 4"),
    *_MIME,
    # harmless hints that clients show
    ("importance", _K, "RFC 2156: low, normal or high"),
    ("priority", _K, "RFC 2156: normal, urgent or non-urgent"),
    ("x-priority x-msmail-priority", _K, "a digit or a word that clients show"),
    ("auto-submitted", _K, "RFC 3834: keeps two auto-responders from answering each other"),
    ("x-auto-response-suppress", _K, "Exchange's way to say the same"),
    ("accept-language", _D, "RFC 3282: tells of the writer's settings"),
    ("sensitivity message-type precedence x-precedence delivery-date deferred-delivery latest-delivery-time", _D,
     "RFC 2156: instructions for servers on the way, of which this relay is the last"),
    # the way it came
    ("received x-received", _D, "names hosts, networks and accounts; loops are counted by X-Tradepost-Trace instead"),
    ("return-path", _D, "RFC 5321 4.4: the writer's mailbox"),
    ("delivered-to x-original-to x-delivered-to envelope-to x-envelope-to x-rcpt-to x-forwarded-to x-forwarded-for", _D,
     "the mailbox behind an alias"),
    ("resent-date resent-from resent-sender resent-to resent-cc resent-bcc resent-message-id resent-reply-to", _D,
     "RFC 5322 3.6.6: who passed it on"),
    ("""x-originating-ip x-originating-email x-sender x-sender-ip x-source-ip x-authenticated-sender x-authuser
       x-auth-id x-get-message-sender-via x-php-originating-script x-php-script""", _D,
     "the writer's network, account or machine"),
    ("""user-agent x-mailer x-mimeole x-ms-has-attach x-ms-tnef-correlator x-apple-mail-remote-attachments
       x-universally-unique-identifier x-uniform-type-identifier""", _D, "the writer's program and its state"),
    ("""x-ms-exchange-organization-authas x-ms-exchange-crosstenant-id x-ms-publictraffictype
       x-ms-office365-filtering-correlation-id x-microsoft-antispam x-forefront-antispam-report
       x-gm-message-state x-google-smtp-source x-google-dkim-signature x-google-original-from x-ymail-osg
       x-sonic-id x-spam-status x-spam-score x-spam-flag x-virus-scanned x-provags-id x-ui-out-filterresults""", _D,
     "marks of the writer's provider, for itself"),
    ("organization organisation x-organization", _D, "RFC 5536: who the writer is"),
    # signatures and verdicts over what has been rewritten
    ("dkim-signature domainkey-signature", _D, "RFC 6376: names the writer's domain, and cannot verify any more"),
    ("authentication-results x-original-authentication-results received-spf x-spf-result", _D,
     "RFC 8601, 7208: names the writer's domain; what arrived is judged here"),
    ("arc-seal arc-message-signature arc-authentication-results", _D, "RFC 8617: as Authentication-Results"),
    ("vbr-info x-vbr-info bimi-selector bimi-indicator bimi-location avatar-url", _D, "names the writer's domain"),
    # what would make the reader's client write past the relay
    ("""disposition-notification-to disposition-notification-options return-receipt-to return-receipt-requested
       x-confirm-reading-to generate-delivery-report originator-return-address errors-to x-errors-to""", _D,
     "RFC 8098 and its forerunners: asks the reader's client to write to the real address"),
    ("list-unsubscribe list-unsubscribe-post", _R,
     "RFC 2369, RFC 8058: our own sealed address and link; the writer's would be written to past the relay"),
    ("""list-id list-help list-subscribe list-post list-owner list-archive x-mailing-list x-loop feedback-id
       cfbl-address cfbl-feedback-id require-recipient-valid-since""", _D,
     "RFC 2369, 2919, 7293, 9477: a list is not one of two parties"),
    # keys and pictures
    ("autocrypt autocrypt-gossip autocrypt-setup-message openpgp x-pgp-key x-pgp-fingerprint", _D,
     "names the address and carries a key made for it"),
    ("face x-face x-image-url", _D, "shows the writer"),
    # receipts, X.400, newsgroups
    ("""alternate-recipient autoforwarded autosubmitted conversion conversion-with-loss delivery-report
       discarded-x400-ipms-extensions discarded-x400-mts-extensions disclose-recipients dl-expansion-history
       incomplete-copy language originator-info prevent-nondelivery-report x400-content-identifier
       x400-content-return x400-content-type x400-mts-identifier x400-originator x400-received x400-recipients
       x400-trace pics-label encoding encrypted eesst-version mmhs-exempted-address mmhs-message-type
       mmhs-originator-reference sio-label sio-label-history""", _D,
     "RFC 2156, 6477, 7444: X.400 gateways and military messaging"),
    ("""newsgroups path xref lines distribution approved control nntp-posting-host nntp-posting-date
       injection-info injection-date archive jabber-id mt-priority original-encoded-information-types
       downgraded-from downgraded-to downgraded-cc downgraded-sender downgraded-reply-to solicitation
       tls-required hp-outer""", _D,
     "RFC 5536, 6758, 7259, 8689, 9788: not for a message between two parties, or names one"),
    # ours; a client's copy of them is not believed
    ("x-tradepost-order", _R, "the order number, for help-desk tools"),
    ("x-tradepost-message", _R, "the ledger's id of the message, for help-desk tools"),
    ("x-tradepost-trace", _R, "one sealed mark for each passage through a relay of ours"),
)


def _rows(table: tuple[_Row, ...]) -> Iterator[tuple[str, FieldRule]]:
    for names, action, why in table:
        for name in names.split():
            yield name, FieldRule(action, why)


FIELDS = MappingProxyType(dict(_rows(_MESSAGE)))
"""Lower-case name of a message's own field -> what happens to it and why."""
PART_FIELDS = MappingProxyType(dict(_rows(_MIME)))
"""The same for the header of a part inside the message (RFC 2045 3: only Content-* means anything there)."""
_UNKNOWN = FieldRule(Action.DROP, "not in the table")


def rule_for(name: str) -> FieldRule:
    """The row of a message's own field; what is not in the table is dropped."""
    return FIELDS.get(name, _UNKNOWN)


def part_rule_for(name: str) -> FieldRule:
    """The row of a part's field; what is not in the table is dropped."""
    return PART_FIELDS.get(name, _UNKNOWN)
