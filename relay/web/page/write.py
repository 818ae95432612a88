"""Writing to a buyer: from an order, or in answer to a message; looked at before it goes, and judged like any mail."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from typing import Annotated, Any
from weakref import WeakValueDictionary

from fastapi import APIRouter, Query, Request
from starlette.datastructures import FormData
from starlette.responses import RedirectResponse, Response

from aliasing.correspondence import Side
from aliasing.message import MessageError
from aliasing.token import OpenedAlias, Role
from policy.case import PolicySettings
from policy.verdict import Reply
from relay import texts
from relay.accept import Foretold
from relay.compose import Draft, Enclosure
from relay.errors import NotFound
from relay.ledger.opened import Opened
from relay.ledger.pages import Pages
from relay.ledger.registry import Registry
from relay.ledger.templates import Templates
from relay.passage import is_solicited
from relay.receive.service import Service
from relay.records import State
from relay.web.content import is_as_sent, rendered
from relay.web.orders import visible_order
from relay.web.page import telling
from relay.web.page.draft import MAX_SUBJECT_CHARS, MAX_TEXT_CHARS, Files, Form, filled
from relay.web.page.reasons import MAX_CRITICAL_CHARS, Reason, reasons
from relay.web.page.render import render
from relay.web.page.viewer import Seller, Viewer, desk_of, form_of, words_of
from relay.web.writing import Addressed, addressed, foretell, replied, send, written

router = APIRouter()
RECENT = 8
QUOTED_CHARS = 3000
Order = Annotated[str | None, Query(max_length=200)]
Message = Annotated[str | None, Query(max_length=64)]


@dataclass(frozen=True)
class Place:
    """What a message is about: an order, or a message that it answers."""

    number: int
    order: str | None
    about: dict[str, Any] | None = None
    """The message that is answered, as in the ledger."""
    quoted: str = ""

    @property
    def is_reply(self) -> bool:
        return self.about is not None

    @property
    def subject(self) -> str:
        """What an answer begins with."""
        subject = (self.about or {}).get("subject") or ""
        return subject if subject.lower().startswith("re:") or not subject else f"Re: {subject}"


@dataclass(frozen=True)
class Sheet:
    """All that the form needs to know of its correspondence."""

    place: Place
    to: Addressed
    reasons: Sequence[Reason]
    settings: PolicySettings
    templates: Sequence[dict[str, Any]]
    solicited: bool

    @property
    def buyer(self) -> str:
        return self.to.facts.correspondence.parties[Side.BUYER].name

    @property
    def critical_left(self) -> int:
        return max(0, self.settings.critical_per_order_and_day - self.to.facts.critical_today)

    @property
    def is_refused(self) -> bool:
        """Whether the buyer takes only answers and what is critical."""
        facts = self.to.facts
        return not self.solicited and (self.settings.unsolicited == "refuse" or facts.unsolicited_refused is not None)


@router.get("/write")
async def ask(request: Request, viewer: Seller, order: Order = None, message: Message = None) -> Response:
    """The form; without an order or a message, the question which."""
    if message is None and not (order or "").strip():
        return await _choose(request, viewer)
    try:
        sheet = await _sheet(request, viewer, order, message)
    except NotFound:
        if message is not None:
            raise
        return await _choose(request, viewer, (order or "").strip())
    return _shown(request, sheet, Form(subject=sheet.place.subject))


@router.post("/write")
async def act(request: Request, viewer: Seller) -> Response:
    """One of the form's buttons: preview, send, fill in a template, take a file out; one after the other, for a button
    may be pressed twice."""
    form = await form_of(request)
    turns: WeakValueDictionary[str, asyncio.Lock] = request.app.state.turns
    async with turns.setdefault(f"{viewer.login} {_text(form, 'draft')}", asyncio.Lock()):
        return await _act(request, viewer, form)


async def _act(request: Request, viewer: Viewer, form: FormData) -> Response:
    desk = desk_of(request)
    sheet = await _sheet(request, viewer, _text(form, "order"), _text(form, "message"))
    what, _, which = (_text(form, "do") or "preview").partition(":")
    trace = _trace(form, viewer)
    if what == "send" and (sent := await desk.read(partial(written, number=sheet.place.number, trace=trace))) \
            and sent["state"] != State.REFUSED:
        return RedirectResponse(f"/messages/{sent['id']}", 303)
    files = Files(request, viewer, request.app.state.service)
    known, gone = await files.known(form)
    known, bad = await files.add(form, known)
    draft = replace(Form.read(form), files=known)
    if what == "drop":
        await desk.write(lambda opened: files.drafts(opened).forget([which]))
        return _shown(request, sheet, replace(draft, files=tuple(file for file in known if file.id != which)))
    if what == "fill":
        if draft.template:
            template = await desk.read(lambda opened: Templates(opened).filled_for(
                draft.template, viewer.session.seller, sheet.place.number))
            draft = filled(draft, template, is_reply=sheet.place.is_reply)
        return _shown(request, sheet, draft)
    problems = draft.problems(sheet.reasons, sheet.settings, words_of(request), solicited=sheet.solicited)
    if gone or bad:
        problems["files"] = " ".join(gone + bad)
    if problems:
        return _shown(request, sheet, draft, problems=problems, status=422)
    if what == "send":
        return await _send(request, sheet, draft, files, trace)
    return await _preview(request, sheet, draft, files)


@router.post("/write/files")
async def add_file(request: Request, viewer: Seller) -> Response:
    """One file ahead of the form: the line that stands for it, or what is wrong with it."""
    form = await form_of(request)
    files = Files(request, viewer, request.app.state.service)
    known, _ = await files.known(form)
    now, bad = await files.add(form, known)
    added = now[len(known):]
    if not added:
        return render(request, "write_file.html", status=422, file=None, problem=" ".join(bad))
    return render(request, "write_file.html", file=added[-1], problem="")


# -- what happens ------------------------------------------------------------------------------------------------


async def _preview(request: Request, sheet: Sheet, form: Form, files: Files) -> Response:
    foretold = await foretell(request.app.state.service, desk_of(request), sheet.to,
                              await _draft(request, sheet, form, files))
    if not foretold.verdict.passes:
        return _shown(request, sheet, form, refusal=_explain(request, foretold.verdict.reply), status=422)
    return _shown(request, sheet, form, preview=await _as_read(request, sheet, form, foretold))


async def _send(request: Request, sheet: Sheet, form: Form, files: Files, trace: str) -> Response:
    desk = desk_of(request)
    sent = await send(request.app.state.service, desk, sheet.to, await _draft(request, sheet, form, files),
                      at=datetime.now(UTC), seed=trace, trace=trace)
    if sent.is_refused:
        again = replace(form, id=Form().id)  # what was refused is in the ledger: the next try is another message
        return _shown(request, sheet, again, refusal=_explain(request, sent.reply), status=422)
    await desk.write(lambda opened: files.drafts(opened).forget([file.id for file in form.files]))
    return RedirectResponse(f"/messages/{sent.message['id']}", 303)


async def _draft(request: Request, sheet: Sheet, form: Form, files: Files) -> Draft:
    desk, about = desk_of(request), sheet.place.about
    reply_to = None
    if about is not None:
        reply_to = await desk.read(partial(replied, number=sheet.place.number, about=about["id"]))
    loaded = await desk.read(lambda opened: files.drafts(opened).load([file.id for file in form.files]))
    return Draft(form.subject_of(sheet.reasons), form.text, files=[
        Enclosure(file.name, file.type, file.data) for file in loaded], in_reply_to=reply_to)


async def _as_read(request: Request, sheet: Sheet, form: Form, foretold: Foretold) -> dict[str, Any]:
    """The message as the buyer will get it, without the lines that are the buyer's own."""
    assert foretold.outgoing is not None, "what passes leaves"
    raw, events = foretold.outgoing, {"events": [{"kind": "cleaned", "detail": foretold.notes}]}
    found = await desk_of(request).read(lambda _: rendered(raw))
    return {"subject": form.subject_of(sheet.reasons), "cleaned": telling.cleaned(events, words_of(request)),
            "files": found["attachments"], "from": sheet.to.facts.correspondence.parties[Side.SELLER].name,
            "text": (found["text"] or "").strip()}


def _trace(form: FormData, viewer: Viewer) -> str:
    """Of what is sent: the same as long as nothing in the form is changed."""
    said = [f"{name}={one if isinstance(one, str) else (one.filename, one.size)}"
            for name in ("draft", "reason", "subject", "text", "file", "attach") for one in form.getlist(name)]
    return sha256("\0".join([viewer.login, *said]).encode()).hexdigest()[:16]


def _explain(request: Request, reply: Reply | None) -> str:
    words = words_of(request)
    return texts.explain(reply, words.language) if reply else words("mistake.unavailable_what")


# -- what is looked up -------------------------------------------------------------------------------------------


async def _sheet(request: Request, viewer: Viewer, order: str | None, message: str | None) -> Sheet:
    """Raises NotFound for what is not there for this seller."""
    service: Service = request.app.state.service
    desk = desk_of(request)
    place = await desk.read(partial(_place, viewer=viewer, order=(order or "").strip(), message=message))
    to = await addressed(service, OpenedAlias(Role.BUYER, place.number))
    correspondence, settings = to.facts.correspondence, service.settings
    known = await desk.read(lambda opened: list(Templates(opened).all(viewer.session.seller)))
    offered = [] if place.is_reply else reasons(place.order, correspondence.parties[Side.BUYER].language, settings)
    answers = place.about is not None and place.about["direction"] == "to-seller"
    solicited = answers or is_solicited(to.facts, settings, service.clock())
    return Sheet(place, to, offered, settings, known, solicited)


def _place(opened: Opened, viewer: Viewer, order: str, message: str | None) -> Place:
    if not message:
        row = visible_order(opened, viewer, order)
        return Place(Registry(opened).number_of(order), row.order)
    pages = Pages(opened)
    about = pages.message(message)
    if not viewer.sees(about["seller"]):
        raise NotFound("there is no such message")
    if about["state"] == State.REFUSED:
        raise NotFound("what was refused cannot be answered")
    return Place(pages.place_of(message), about["order"], about, _quoted(pages, about))


def _quoted(pages: Pages, about: dict[str, Any]) -> str:
    """What the answered message says; nothing where that cannot be shown."""
    if not is_as_sent(about):
        return ""
    try:
        text = rendered(pages.content(about["id"], None))["text"] or ""
    except (NotFound, MessageError):
        return ""
    return text.strip()[:QUOTED_CHARS]


async def _choose(request: Request, viewer: Viewer, missing: str = "") -> Response:
    def look(opened: Opened) -> list[dict[str, Any]]:
        registry = Registry(opened)
        found = Pages(opened).order_page(seller=viewer.seller_number, buyer=None, cursor=None, limit=RECENT)
        return [one | {"name": registry.party(f"buyer:{one['buyer']['id']}")["name"]} for one in found.items
                if one["order"] is not None and one["closed_at"] is None]

    recent = await desk_of(request).read(look)
    return render(request, "write_choose.html", status=404 if missing else 200, recent=recent, missing=missing)


def _shown(request: Request, sheet: Sheet, form: Form, *, problems: dict[str, str] | None = None, refusal: str = "",
           preview: dict[str, Any] | None = None, status: int = 200) -> Response:
    limits = {"subject": MAX_SUBJECT_CHARS, "text": MAX_TEXT_CHARS, "critical": MAX_CRITICAL_CHARS,
              "files": sheet.settings.attachments_max_bytes}
    return render(request, "write.html", status=status, sheet=sheet, form=form, problems=problems or {},
                  refusal=refusal, preview=preview, limits=limits)


def _text(form: FormData, name: str) -> str | None:
    value = form.get(name)
    return value if isinstance(value, str) and value else None
