"""Attachments: ten types, known by name, declared type *and* content, 10 MB together once decoded."""

from __future__ import annotations

import unicodedata

from aliasing.message import Message, Part
from policy.case import Case
from policy.files import Problem, examine
from policy.files.names import ACCEPTED, LIST, bad_name, extension
from policy.left_out import left_out
from policy.status import Status
from policy.verdict import PASS, Verdict, refuse


def check(case: Case) -> Verdict:
    """Refuse more than the limit in all, then the first attachment that has a problem."""
    message = case.message
    assert message is not None, "structure comes first in the chain"
    order = case.facts.order
    parts = [(part, message.decoded(part)) for part in attachments(message)]
    limit, total = case.settings.attachments_max_bytes, sum(len(content) for _, content in parts)
    if total > limit:
        return refuse(Status.ATTACHMENTS_TOO_BIG, f"{total} octets", order=order,
                      limit=f"{limit / (1024 * 1024):g}", size=f"{total / (1024 * 1024):.1f}")
    for part, content in parts:
        found = case.files.get(part.path) or examine(part.file_name, part.content_type, content, scrub=False)
        problem = found.problem or _other_names(part)
        if problem:
            return refuse(problem.status, problem.reason, order=order, file=display_name(part), accepted=LIST,
                          **problem.values)
    return PASS


def _other_names(part: Part) -> Problem | None:
    """A part may be named several times (RFC 2183 and 2045, plain and RFC 2231); no client may show a worse name."""
    for name in part.file_names - {part.file_name}:
        bad, other = bad_name(name), extension(name, "")
        if bad:
            return Problem(Status.ATTACHMENT_NAME, bad, {"extension": other})
        if other and ACCEPTED.get(other) != ACCEPTED.get(extension(part.file_name, part.content_type)):
            return Problem(Status.ATTACHMENT_TYPE, "another name of the same part has another extension",
                           {"extension": other})
    return None


def attachments(message: Message) -> list[Part]:
    """The leaf parts that are not text to be read in place, and not left out."""
    spare = left_out(message)
    return [part for part in message.root.leaves() if part.is_attachment and part not in spare]


def display_name(part: Part) -> str:
    """The file name fit for a reply: printable, at most 60 characters; the media type when there is none."""
    name = part.file_name or part.content_type
    shown = "".join(char if unicodedata.category(char)[0] not in "CZ" or char == " " else "?" for char in name)
    shown = shown.replace("@", "?")  # a file name can be an address, and a reply never shows one
    return shown if len(shown) <= 60 else shown[:57] + "..."
