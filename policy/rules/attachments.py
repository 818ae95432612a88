"""Attachments: ten types, known by extension *and* content, 10 MB together once decoded."""

from __future__ import annotations

import unicodedata

from aliasing.message import Message, Part
from policy.case import Case
from policy.sniff import sniff
from policy.status import Status
from policy.verdict import PASS, Verdict, refuse

ACCEPTED = {
    "txt": "text", "pdf": "pdf", "doc": "doc", "docx": "docx", "jpg": "jpeg", "jpeg": "jpeg", "gif": "gif",
    "tiff": "tiff", "tif": "tiff", "bmp": "bmp", "png": "png",
}
"""Extension -> the content it must have."""
FOR_NAMELESS = {
    "image/jpeg": "jpg", "image/png": "png", "image/gif": "gif", "image/bmp": "bmp", "image/tiff": "tiff",
    "application/pdf": "pdf",
}
"""Inline images often come without a name; their media type then says what they must be."""
LIST = "txt, pdf, doc, docx, jpg, gif, tiff, bmp, png"


def check(case: Case) -> Verdict:
    """Refuse the first attachment of a wrong type, then more than the limit in all."""
    message = case.message
    assert message is not None, "structure comes first in the chain"
    order = case.facts.order
    total = 0
    for part in attachments(message):
        name = display_name(part)
        content = message.decoded(part)
        total += len(content)
        extension = _extension(part)
        if extension not in ACCEPTED:
            return refuse(Status.ATTACHMENT_TYPE, name, order=order, file=name, accepted=LIST)
        found = sniff(content)
        if found != ACCEPTED[extension]:
            return refuse(Status.ATTACHMENT_CONTENT, f"content is {found}", order=order, file=name,
                          extension=extension, accepted=LIST)
    limit = case.settings.attachments_max_bytes
    if total > limit:
        return refuse(Status.ATTACHMENTS_TOO_BIG, f"{total} octets", order=order,
                      limit=f"{limit / (1024 * 1024):g}", size=f"{total / (1024 * 1024):.1f}")
    return PASS


def attachments(message: Message) -> list[Part]:
    """The leaf parts that are not text to be read in place."""
    return [part for part in message.root.walk() if part.is_attachment]


def display_name(part: Part) -> str:
    """The file name fit for a reply: printable, at most 60 characters; the media type when there is none."""
    name = part.file_name or part.content_type
    shown = "".join(char if unicodedata.category(char)[0] not in "CZ" or char == " " else "?" for char in name)
    shown = shown.replace("@", "?")  # a file name can be an address, and a reply never shows one
    return shown if len(shown) <= 60 else shown[:57] + "..."


def _extension(part: Part) -> str:
    if part.file_name is None:
        return FOR_NAMELESS.get(part.content_type, part.content_type)
    stem, dot, extension = part.file_name.rpartition(".")
    return extension.lower() if dot and stem else ""
