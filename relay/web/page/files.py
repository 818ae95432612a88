"""What stands inside a message: its HTML in a sandbox, its images, its files to be saved."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from relay.ledger.desk import Desk
from relay.ledger.inbox import Inbox
from relay.ledger.opened import Opened
from relay.web.content import attachment, disposition, shown
from relay.web.page.body import framed, image
from relay.web.page.thread import MessageId, kept, visible
from relay.web.page.viewer import AtDesk, Reader, Viewer, config_of

router = APIRouter()
Number = Annotated[int, Path(ge=1, le=1000)]
SANDBOX = ("sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'none'; "
           "base-uri 'none'; frame-ancestors 'self'")
"""For HTML that somebody wrote: no scripts, no forms, no other pages, nothing fetched, an origin of its own."""
SANDBOX_WITH_LINKS = SANDBOX.replace("sandbox", "sandbox allow-popups allow-popups-to-escape-sandbox", 1)
"""Where the operator lets links stay they open in a tab of their own."""
HEAD = ('<!doctype html><meta charset="utf-8"><meta name="color-scheme" content="light"><meta name="referrer" '
        'content="no-referrer"><base target="_blank"><style>body{margin:12px;background:#fff;color:#1f2421;'
        'font:16px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}img{max-width:100%;height:auto}</style>')
ALONE = "sandbox; default-src 'none'; frame-ancestors 'none'"


@router.get("/messages/{id}/html")
async def show_html(request: Request, id: MessageId, viewer: Reader, desk: AtDesk) -> Response:  # noqa: A002
    """The message's HTML, for the frame only."""
    raw = await _kept(desk, viewer, id)
    html = await desk.read(lambda _: shown(partial(framed, raw), "this message has no HTML"))
    policy = SANDBOX_WITH_LINKS if config_of(request).policy.links == "keep" else SANDBOX
    return Response(HEAD + html, media_type="text/html; charset=utf-8", headers={
        "Content-Security-Policy": policy, "X-Frame-Options": "SAMEORIGIN"})


@router.get("/messages/{id}/images/{number}")
async def show_image(id: MessageId, number: Number, viewer: Reader, desk: AtDesk) -> Response:  # noqa: A002
    """An attached image, where it is one by its content."""
    raw = await _kept(desk, viewer, id)
    kind, data = await desk.read(lambda _: shown(partial(image, raw, number), "there is no such image"))
    return Response(data, media_type=kind, headers={
        "Content-Security-Policy": ALONE, "Content-Disposition": "inline"})


@router.get("/messages/{id}/files/{number}")
async def save_file(id: MessageId, number: Number, viewer: Reader, desk: AtDesk) -> Response:  # noqa: A002
    """An attachment, to be saved and never shown here."""
    raw = await _kept(desk, viewer, id)
    file = await desk.read(lambda _: shown(partial(attachment, raw, number), "there is no such file"))
    return Response(file.data, media_type="application/octet-stream", headers={
        "Content-Security-Policy": ALONE, "Content-Disposition": disposition(file.name)})


async def _kept(desk: Desk, viewer: Viewer, public_id: str) -> bytes:
    def look(opened: Opened) -> bytes:
        return kept(Inbox(opened), visible(opened, viewer, public_id), viewer)

    return await desk.read(look)
