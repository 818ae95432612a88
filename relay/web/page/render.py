"""From a template to an answer. Everything is escaped, and a name that a template does not get is an error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import Request
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse

from relay.web.page import menu, static
from relay.web.page.viewer import config_of, cookie_name, token_for, viewer_of, words_of
from relay.web.page.words import languages

_ENVIRONMENT = Environment(
    loader=PackageLoader(__package__), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
    lstrip_blocks=True, auto_reload=False)
_ENVIRONMENT.globals["static"] = static.link
_ENVIRONMENT.globals["settings_menu"] = menu.SETTINGS


def render(request: Request, template: str, *, status: int = 200, headers: Mapping[str, str] | None = None,
           **values: Any) -> HTMLResponse:
    """`template` with `values` and what every template has: t (the words), viewer, token, menu, language(s), path."""
    return HTMLResponse(text(request, template, **values), status, dict(headers or {}))


def text(request: Request, template: str, **values: Any) -> Markup:
    """The same as a piece that another template may hold, or that is compared with the last one."""
    return Markup(_ENVIRONMENT.get_template(template).render(**_common(request), **values))  # noqa: S704 - escaped there


def _common(request: Request) -> dict[str, Any]:
    viewer, words = viewer_of(request), words_of(request)
    form = request.cookies.get(cookie_name(config_of(request), "form"), "")
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return {"t": words, "viewer": viewer, "token": viewer.token if viewer else token_for(form) if form else "",
            "menu": menu.entries(viewer.role) if viewer else [], "language": words.language, "languages": languages(),
            "path": request.url.path, "here": here if request.method == "GET" else "/"}
