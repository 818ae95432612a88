"""Every answer that Tradepost gives to a message, by name.

The name is the stable code that stands in brackets in a reply and keys the text in every language
(relay/texts). Codes are RFC 5321 4.2, enhanced codes RFC 3463 and the IANA registry that grew from it.
"""

from __future__ import annotations

from enum import Enum


class Status(Enum):
    """name = (SMTP code, enhanced code). A test holds each name against every catalogue."""

    ACCEPTED = (250, "2.6.0")
    ACTION_DONE = (250, "2.0.0")
    # who and where, answered at RCPT TO
    NO_SUCH_ALIAS = (550, "5.1.1")  # RFC 3463 3.2; the same for forged, unknown and erased
    NOT_OUR_DOMAIN = (550, "5.7.1")  # we relay for our own domains only
    # who writes
    FROM_NOT_SINGLE = (550, "5.6.0")  # RFC 5322 3.6.2 allows several authors; we need one identity
    NOT_AUTHORISED = (550, "5.7.1")
    OWN_ALIAS = (550, "5.7.1")
    ADDRESS_BLOCKED = (550, "5.7.1")
    ADDRESS_REMOVED = (550, "5.7.1")
    CONFIRM_ADDRESS = (550, "5.7.1")  # not authorised, but its party was asked
    LOGIN_NOT_PARTY = (550, "5.7.1")
    LOGIN_FROM = (550, "5.7.1")
    # whether it is they who write, RFC 7372 and RFC 3463
    NOT_AUTHENTICATED = (550, "5.7.26")  # neither SPF nor DKIM
    SIGNATURE_BROKEN = (550, "5.7.20")
    SIGNATURE_TOO_WEAK = (550, "5.7.21")  # RFC 7372 3.1: it passes and is not acceptable
    ALIAS_NOT_SIGNED = (550, "5.7.21")
    AUTHENTICATION_UNAVAILABLE = (451, "4.4.3")  # RFC 3463 3.5: a directory server is needed and was not there
    # what stands between the parties
    CLOSED = (550, "5.7.1")
    BLOCKED_BY_OPERATOR = (550, "5.7.1")
    BLOCKED_BY_COUNTERPART = (550, "5.7.1")
    UNSOLICITED = (550, "5.7.1")
    DAILY_CAP = (452, "4.7.1")  # RFC 5321 4.5.3.1.10: 452 asks to try again later; tomorrow it may pass
    CRITICAL_CAP = (550, "5.7.1")
    # what is sent
    ATTACHMENT_TYPE = (550, "5.7.1")
    ATTACHMENT_CONTENT = (550, "5.7.1")
    ATTACHMENT_NAME = (550, "5.7.1")
    ATTACHMENT_ACTIVE = (550, "5.7.1")  # macros, scripts, embedded files, what is fetched when opened
    ATTACHMENT_MIXED = (550, "5.7.1")  # a polyglot
    ATTACHMENT_LOCKED = (550, "5.7.1")
    ATTACHMENT_UNREADABLE = (550, "5.6.0")
    ATTACHMENTS_TOO_BIG = (552, "5.3.4")
    CONTAINER = (550, "5.7.1")
    SIGNED = (550, "5.7.1")
    ADDRESS_IN_FILE = (550, "5.7.1")
    BROKEN = (550, "5.6.0")
    TOO_COMPLEX = (552, "5.3.4")
    LOOP = (554, "5.4.6")  # RFC 3463 3.5: routing loop detected
    WOULD_LEAK = (550, "5.7.1")
    COMPANION_REFUSED = (550, "5.7.1")  # passed itself, but the transaction's one reply is another's refusal
    # ourselves
    INTERNAL = (451, "4.3.0")
    STORAGE_FULL = (452, "4.3.1")
    STORAGE_FAILED = (421, "4.3.0")

    # several names share codes, so the name has to be part of the value: Enum would make them aliases
    def __new__(cls, code: int, enhanced: str) -> Status:
        status = object.__new__(cls)
        status._value_ = (code, enhanced, len(cls.__members__))
        status.code = code
        status.enhanced = enhanced
        return status

    code: int
    """Three digits of RFC 5321."""
    enhanced: str
    """class.subject.detail of RFC 3463."""
