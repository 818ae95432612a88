"""The text that a PDF's pages show, as PDFium reads it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from policy.files.findings import MAX_TEXT, unreadable
from policy.files.pdf_objects import MAX_PAGES

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument  # type: ignore[import-untyped, unused-ignore]

_ONE_AT_A_TIME = threading.Lock()
"""PDFium may not be entered by two threads, and its Python layer lets go of the interpreter's lock."""


def extract(content: bytes, repaired: Callable[[], bytes]) -> str:
    """The pages' text, at most MAX_TEXT characters of MAX_PAGES pages.

    What PDFium cannot open is tried again as qpdf writes it. Raises RefusedError when that fails as well: text
    that cannot be read cannot be judged.
    """
    from pypdfium2 import PdfiumError

    with _ONE_AT_A_TIME:
        try:
            return _pages(content)
        except PdfiumError:
            pass
        try:
            return _pages(repaired())
        except PdfiumError as error:
            raise unreadable("a pdf whose text cannot be read") from error


def _pages(content: bytes) -> str:
    import pypdfium2

    document = pypdfium2.PdfDocument(content)
    try:
        return _text(document)
    finally:
        document.close()


def _text(document: PdfDocument) -> str:
    out, left = list[str](), MAX_TEXT
    for index in range(min(len(document), MAX_PAGES)):
        page = document[index]
        try:
            text_page = page.get_textpage()
            # not get_text_bounded(): what stands outside the visible box is still in the file
            text = text_page.get_text_range()
            text_page.close()
        finally:
            page.close()
        out.append(text[:left])
        left -= len(text)
        if left <= 0:
            break
    return "\n".join(out)
