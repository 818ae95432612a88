"""Attached files: what they are, why one is not accepted, what they say, and the same file without its metadata."""

from __future__ import annotations

from collections.abc import Callable

from policy.files import doc, docx, exif, images, jpeg, names, pdf
from policy.files.findings import Findings, Inside, Problem, RefusedError
from policy.files.sniff import sniff
from policy.status import Status

__all__ = ["Findings", "Problem", "examine"]

_EXAMINERS: dict[str, Callable[[bytes, bool], Inside]] = {
    "pdf": pdf.examine, "docx": docx.examine, "doc": doc.examine, "jpeg": jpeg.examine, "tiff": exif.examine,
    "png": images.png, "gif": images.gif, "bmp": images.bmp,
}


def examine(name: str | None, declared: str, content: bytes, *, scrub: bool = True) -> Findings:
    """Judge one file by its decoded name (None: it has none), its declared media type and its content together.

    Pure, never raises; time is linear in the content and memory bounded. What an examiner chokes on is refused.
    """
    extension = names.extension(name, declared)
    bad = names.bad_name(name) if name is not None else None
    if bad:
        return Findings("", _problem(Status.ATTACHMENT_NAME, bad, extension))
    if extension not in names.ACCEPTED:
        return Findings("", _problem(Status.ATTACHMENT_TYPE, "an extension that is not accepted", extension))
    kind = sniff(content)
    if kind != names.ACCEPTED[extension] and not _locked_docx(kind, extension):
        return Findings(kind, _problem(Status.ATTACHMENT_CONTENT, f"content is {kind}", extension))
    if not names.declaration_fits(kind, declared):
        return Findings(kind, _problem(Status.ATTACHMENT_CONTENT, "declared as a type of another family", extension))
    try:
        inside = _EXAMINERS[kind](content, scrub) if kind in _EXAMINERS else Inside()
    except RefusedError as refused:
        return Findings(kind, _problem(refused.status, refused.reason, extension))
    except Exception as error:
        return Findings(kind, _problem(Status.ATTACHMENT_UNREADABLE, type(error).__name__, extension))
    if inside.scrubbed is not None and sniff(inside.scrubbed) != kind:
        return Findings(kind, _problem(Status.ATTACHMENT_UNREADABLE, "too damaged to be scrubbed", extension))
    if kind != names.ACCEPTED[extension]:
        return Findings(kind, _problem(Status.ATTACHMENT_CONTENT, f"content is {kind}", extension))
    return Findings(kind, None, inside.text, inside.scrubbed, inside.removed)


def _locked_docx(kind: str, extension: str) -> bool:
    """A docx with a password is an OLE file (MS-OFFCRYPTO); its examiner says so better than "wrong content"."""
    return kind == "doc" and extension == "docx"


def _problem(status: Status, reason: str, extension: str) -> Problem:
    return Problem(status, reason, {"extension": extension})
