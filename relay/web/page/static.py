"""The committed files: read once, served by their exact names, cached by browsers until their content changes."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib import resources

from fastapi import APIRouter, Response

from relay.errors import NotFound

router = APIRouter()
_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml",
          "txt": "text/plain; charset=utf-8"}
_FOR_EVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class _File:
    data: bytes
    type: str
    version: str


@functools.cache
def _files() -> Mapping[str, _File]:
    folder = resources.files(__package__).joinpath("static")
    found = {entry.name: entry.read_bytes() for entry in folder.iterdir() if entry.is_file()}
    return {name: _File(data, _TYPES[name.rpartition(".")[2]], sha256(data).hexdigest()[:12])
            for name, data in found.items()}


def link(name: str) -> str:
    """Where a file is, with its version: other content is another address. KeyError for no such file."""
    return f"/static/{name}?v={_files()[name].version}"


@router.get("/static/{name}")
async def static(name: str, v: str = "") -> Response:
    file = _files().get(name)
    if file is None:
        raise NotFound("there is no such file")
    return Response(file.data, media_type=file.type,
                    headers={"Cache-Control": _FOR_EVER if v == file.version else "no-cache"})
