"""What an examination of one attached file comes to, and how the examiners say no."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from policy.status import Status

MAX_TEXT = 2_000_000
"""Characters of text that are taken from one file."""
MAX_UNPACKED = 50_000_000
"""Octets that one file may grow to when its compressed parts are unpacked."""


@dataclass(frozen=True)
class Problem:
    """Why a file is not accepted. `reason` is for log and ledger, and never holds an address or a file's text."""

    status: Status
    reason: str
    values: Mapping[str, str] = field(default_factory=dict)
    """What the reply's text names besides the file, the order and what is accepted."""


@dataclass(frozen=True)
class Inside:
    """What one format's examiner found; the fields as in Findings."""

    text: str = ""
    scrubbed: bytes | None = None
    removed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Findings:
    """One attached file, examined."""

    kind: str
    """"pdf", "docx", "doc", "jpeg", "gif", "tiff", "bmp", "png", "text", or libmagic's media type."""
    problem: Problem | None = None
    text: str = ""
    """What can be read in a pdf, docx or doc, link targets included; at most MAX_TEXT characters."""
    scrubbed: bytes | None = None
    """The content without its metadata; None: leave it exactly as it is."""
    removed: tuple[str, ...] = ()
    """What `scrubbed` lacks, in words for the ledger; never a value."""


class RefusedError(Exception):
    """Raised by an examiner, caught by examine()."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


def active(reason: str) -> RefusedError:
    """Something in the file acts by itself, or fetches something, when it is opened."""
    return RefusedError(Status.ATTACHMENT_ACTIVE, reason)


def mixed(reason: str) -> RefusedError:
    """The file can be read as a second format."""
    return RefusedError(Status.ATTACHMENT_MIXED, reason)


def locked(reason: str) -> RefusedError:
    """A password keeps us from looking."""
    return RefusedError(Status.ATTACHMENT_LOCKED, reason)


def unreadable(reason: str) -> RefusedError:
    """Damaged, or more than is unpacked to judge it."""
    return RefusedError(Status.ATTACHMENT_UNREADABLE, reason)


def wrong(reason: str) -> RefusedError:
    """A well-formed file of another type than its name says."""
    return RefusedError(Status.ATTACHMENT_CONTENT, reason)
