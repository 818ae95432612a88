"""The form of a message: what is in it, what is missing, and its files, which are kept from one look to the next."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from fastapi import Request
from starlette.datastructures import FormData, UploadFile

from policy.case import PolicySettings
from policy.files.names import LIST
from policy.status import Status
from policy.subject import normalise
from policy.verdict import Reply
from relay import texts
from relay.ledger.drafts import DraftFile, Drafts
from relay.ledger.opened import Opened
from relay.passage import Attachment
from relay.receive.service import Service
from relay.records import new_id
from relay.web.page.reasons import MAX_CRITICAL_CHARS, OWN, Reason, passes_refusal
from relay.web.page.viewer import Viewer, desk_of, words_of
from relay.web.page.words import Words
from relay.web.writing import room

MAX_SUBJECT_CHARS = 200
MAX_TEXT_CHARS = 20_000
MAX_FILES = 10
MAX_NAME_CHARS = 255
_ID = re.compile(r"[0-9a-z]{16}")
_TYPE = re.compile(r"[a-z0-9.+-]{1,60}/[a-z0-9.+-]{1,80}")


@dataclass(frozen=True)
class Form:
    """What the seller has written so far. `id` is the draft's: sent twice, it is one message."""

    id: str = field(default_factory=new_id)
    reason: str = ""
    subject: str = ""
    text: str = ""
    files: tuple[DraftFile, ...] = ()
    template: str = ""

    @classmethod
    def read(cls, form: FormData) -> Form:
        """Fields as a browser sent them; what no form of ours would send is left out."""
        id_ = _field(form, "draft")
        return cls(id_ if _ID.fullmatch(id_) else new_id(), _field(form, "reason")[:30],
                   one_line(_field(form, "subject")), many_lines(_field(form, "text")),
                   template=_field(form, "template")[:64])

    def subject_of(self, reasons: Sequence[Reason]) -> str:
        """What the buyer will read; empty while none is chosen."""
        if self.reason == OWN or not reasons:
            return self.subject
        return next((one.subject for one in reasons if one.name == self.reason), "")

    def problems(self, reasons: Sequence[Reason], settings: PolicySettings, words: Words, *,
                 solicited: bool) -> dict[str, str]:
        """Field -> what has to be done about it before the message can go."""
        found, subject = dict[str, str](), self.subject_of(reasons)
        if reasons and self.reason != OWN and not subject:
            found["reason"] = words("write.no_reason")
        elif not normalise(subject):  # nothing that can be seen
            found["subject"] = words("write.no_subject")
        elif len(subject) > MAX_SUBJECT_CHARS:
            found["subject"] = words("write.long_subject", limit=words.number(MAX_SUBJECT_CHARS))
        if not self.text.strip():
            found["text"] = words("write.no_text")
        elif len(self.text) > MAX_TEXT_CHARS:
            found["text"] = words("write.long_text", limit=words.number(MAX_TEXT_CHARS))
        elif len(self.text) > MAX_CRITICAL_CHARS and not solicited and passes_refusal(subject, settings):
            found["text"] = words("write.long_critical", limit=words.number(MAX_CRITICAL_CHARS),
                                  count=words.number(len(self.text)))
        return found


class Files:
    """The files of one draft: those it has, and those that come."""

    def __init__(self, request: Request, viewer: Viewer, service: Service) -> None:
        self._words = words_of(request)
        self._desk = desk_of(request)
        self._service = service
        self._viewer = viewer

    async def known(self, form: FormData) -> tuple[tuple[DraftFile, ...], list[str]]:
        """Those that the form names, and what is to be said of those that are gone: nothing is left out in silence."""
        ids = [one for one in form.getlist("file") if isinstance(one, str) and _ID.fullmatch(one)][:MAX_FILES]
        if not ids:
            return (), []
        found = tuple(await self._desk.read(lambda opened: self.drafts(opened).files(ids)))
        return found, [self._words("write.files_gone")] if len(found) < len(set(ids)) else []

    async def add(self, form: FormData, known: tuple[DraftFile, ...]) -> tuple[tuple[DraftFile, ...], list[str]]:
        """Keep what was uploaded: (all files now, what is wrong with the others)."""
        problems = []
        for upload in form.getlist("attach"):
            if not isinstance(upload, UploadFile) or not upload.filename:
                continue
            found = await self._add(upload, known)
            if isinstance(found, str):
                problems.append(found)
            else:
                known = (*known, found)
        return known, problems

    async def _add(self, upload: UploadFile, known: Sequence[DraftFile]) -> DraftFile | str:
        """The same rules as for mail, and at once."""
        name, limit = (upload.filename or "").rpartition("/")[2], self._service.settings.attachments_max_bytes
        if len(name) > MAX_NAME_CHARS:
            return self._say(Status.ATTACHMENT_NAME, name)
        if len(known) >= MAX_FILES:
            return self._words("write.too_many_files", limit=str(MAX_FILES))
        total = sum(file.size for file in known) + (upload.size or 0)
        if total > limit:
            return self._say(Status.ATTACHMENTS_TOO_BIG, name, limit=f"{limit / (1024 * 1024):g}",
                             size=f"{total / (1024 * 1024):.1f}")
        type_ = (upload.content_type or "").partition(";")[0].strip().lower()
        type_ = type_ if _TYPE.fullmatch(type_) else "application/octet-stream"
        with room(self._service, upload.size or 0):
            data = await upload.read()
            problem = await self._service.acceptor.examine(Attachment("1", name, type_, data))
            if problem:
                return self._say(problem.status, name, **problem.values)
            return await self._desk.write(lambda opened: self.drafts(opened).add(name, type_, data))

    def drafts(self, opened: Opened) -> Drafts:
        session = self._viewer.session
        assert session.seller_number is not None, "only sellers write"
        return Drafts(opened, session.login_number, session.seller_number)

    def _say(self, status: Status, name: str, **values: str) -> str:
        shown = one_line(name)
        shown = shown if len(shown) <= 60 else shown[:57] + "…"
        return texts.explain(Reply(status, {"file": shown, "accepted": LIST, **values}), self._words.language)


def one_line(text: str) -> str:
    """Without what would break a header field, or hide in it."""
    return " ".join("".join(char if unicodedata.category(char) not in ("Cc", "Cs", "Zl", "Zp") else " "
                            for char in text).split())


def many_lines(text: str) -> str:
    """Lines that end in LF, without control characters."""
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(char for char in plain if unicodedata.category(char) not in ("Cc", "Cs") or char in "\n\t")


def filled(form: Form, template: dict[str, str], *, is_reply: bool) -> Form:
    """The form with a template's text below what is there; its subject where none was chosen."""
    text = f"{form.text.rstrip()}\n\n{template['text']}" if form.text.strip() else template["text"]
    if is_reply or form.subject or form.reason not in ("", OWN):
        return replace(form, text=text)
    return replace(form, text=text, reason=OWN, subject=template["subject"])


def _field(form: FormData, name: str) -> str:
    value = form.get(name)
    return value if isinstance(value, str) else ""
