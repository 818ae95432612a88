"""A seller's templates: made, changed, looked at with an order's values, deleted; the marketplace's to be copied."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import RedirectResponse, Response

from relay.errors import Conflict, NotFound
from relay.ledger.opened import Opened
from relay.ledger.pages import Pages
from relay.ledger.registry import Registry
from relay.ledger.templates import MAX_TEMPLATES, PLACEHOLDERS, Templates, unknown_placeholders
from relay.web.orders import visible_order
from relay.web.page.draft import MAX_SUBJECT_CHARS, MAX_TEXT_CHARS, many_lines, one_line
from relay.web.page.render import render
from relay.web.page.viewer import AtDesk, Seller, Viewer, words_of
from relay.web.page.words import Words

router = APIRouter()
MAX_NAME_CHARS = 64
RECENT = 20
Name = Annotated[str, Query(max_length=MAX_NAME_CHARS)]
Line = Annotated[str, Form(max_length=1000)]
Text = Annotated[str, Form(max_length=100_000)]


@dataclass(frozen=True)
class Sheet:
    """The form. `name` is what is changed, "" for a new one."""

    name: str
    title: str
    subject: str
    text: str

    @property
    def slug(self) -> str:
        """The ledger's name for that title."""
        plain = unicodedata.normalize("NFKD", self.title).encode("ascii", "ignore").decode().lower()
        return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:MAX_NAME_CHARS].rstrip("-")

    def problems(self, taken: set[str], words: Words) -> dict[str, str]:
        """Field -> what has to be done about it. `taken` are the names of the seller's own templates."""
        found, unknown = dict[str, str](), unknown_placeholders(self.subject + self.text)
        if not self.slug:
            found["title"] = words("templates.no_title")
        elif self.slug != self.name and self.slug in taken:
            found["title"] = words("templates.taken")
        elif self.slug not in taken and not self.name and len(taken) >= MAX_TEMPLATES:
            found["title"] = words("templates.too_many", limit=str(MAX_TEMPLATES))
        if not 0 < len(self.subject) <= MAX_SUBJECT_CHARS:
            found["subject"] = words("templates.bad_subject", limit=words.number(MAX_SUBJECT_CHARS))
        if not self.text.strip() or len(self.text) > MAX_TEXT_CHARS:
            found["text"] = words("templates.bad_text", limit=words.number(MAX_TEXT_CHARS))
        if unknown:
            known = ", ".join(f"{{{one}}}" for one in PLACEHOLDERS)
            found["text"] = words("templates.unknown", found=f"{{{min(unknown)}}}", known=known)
        return found


@router.get("/templates")
async def show_all(request: Request, viewer: Seller, desk: AtDesk) -> Response:
    found = await desk.read(lambda opened: list(Templates(opened).all(viewer.session.seller)))
    return render(request, "templates.html", own=[one for one in found if one["seller"] is not None],
                  shared=[one for one in found if one["seller"] is None])


@router.get("/templates/edit")
async def ask(request: Request, viewer: Seller, desk: AtDesk, name: Name = "", copy: Name = "") -> Response:
    """The form: for a new one, for one's own, or for a copy of the marketplace's."""
    def look(opened: Opened) -> tuple[dict[str, Any] | None, list[str]]:
        templates = Templates(opened)
        found = templates.show(name or copy, viewer.session.seller if name else None) if name or copy else None
        if found is not None and name and found["seller"] is None:
            raise NotFound("the marketplace's template is not there to be changed")
        return found, _orders(opened, viewer)

    found, orders = await desk.read(look)
    sheet = Sheet(name, _title(found["name"]), found["subject"], found["text"]) if found else Sheet("", "", "", "")
    return _shown(request, sheet, orders)


@router.post("/templates/edit")
async def change(request: Request, viewer: Seller, desk: AtDesk, do: Line = "save", name: Line = "", title: Line = "",
                 subject: Line = "", text: Text = "", order: Line = "") -> Response:
    """Save it, or look at it with an order's values."""
    sheet = Sheet(name, one_line(title), one_line(subject), many_lines(text))
    own, orders = await desk.read(lambda opened: (_own(opened, viewer), _orders(opened, viewer)))
    if name and name not in own:
        raise NotFound("there is no such template")
    problems = sheet.problems(own, words_of(request))
    if do == "preview":
        problems.pop("title", None)
        filled = await desk.read(partial(_filled, viewer=viewer, sheet=sheet, order=order.strip()))
        if filled is None:
            problems["order"] = words_of(request)("templates.no_order")
        return _shown(request, sheet, orders, order=order, problems=problems, preview=filled)
    if problems:
        return _shown(request, sheet, orders, order=order, problems=problems)
    await desk.write(partial(_save, viewer=viewer, sheet=sheet))
    return RedirectResponse("/templates", 303)


@router.post("/templates/delete")
async def delete(viewer: Seller, desk: AtDesk, name: Line) -> Response:
    await desk.write(lambda opened: Templates(opened).remove(name, viewer.session.seller))
    return RedirectResponse("/templates", 303)


def _save(opened: Opened, viewer: Viewer, sheet: Sheet) -> None:
    templates, seller = Templates(opened), viewer.session.seller
    if sheet.slug != sheet.name and sheet.slug in _own(opened, viewer):
        raise Conflict("there is a template of that name by now")
    templates.set(sheet.slug, seller, sheet.subject, sheet.text)
    if sheet.name and sheet.name != sheet.slug:
        templates.remove(sheet.name, seller)


def _filled(opened: Opened, viewer: Viewer, sheet: Sheet, order: str) -> dict[str, str] | None:
    try:
        visible_order(opened, viewer, order)
    except NotFound:
        return None
    return Templates(opened).fill(sheet.subject, sheet.text, Registry(opened).number_of(order))


def _own(opened: Opened, viewer: Viewer) -> set[str]:
    return {one["name"] for one in Templates(opened).all(viewer.session.seller) if one["seller"] is not None}


def _orders(opened: Opened, viewer: Viewer) -> list[str]:
    found = Pages(opened).order_page(seller=viewer.seller_number, buyer=None, cursor=None, limit=RECENT)
    return [one["order"] for one in found.items if one["order"] is not None]


def _title(name: str) -> str:
    return name.replace("-", " ").capitalize()


def _shown(request: Request, sheet: Sheet, orders: list[str], *, order: str = "",
           problems: Mapping[str, str] | None = None, preview: dict[str, str] | None = None) -> Response:
    status = 422 if problems else 200
    return render(request, "template.html", status=status, sheet=sheet, orders=orders, preview=preview,
                  order=order or (orders[0] if orders else ""), problems=problems or {}, placeholders=PLACEHOLDERS,
                  limits={"title": MAX_NAME_CHARS, "subject": MAX_SUBJECT_CHARS, "text": MAX_TEXT_CHARS})
