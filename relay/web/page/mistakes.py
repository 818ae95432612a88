"""Every answer that is not what was asked for, as a page in the reader's words: never a class, a path or an address."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from relay.errors import KeyRingFileError, LedgerError, UsageError
from relay.web.page.render import render
from relay.web.page.viewer import LoginNeeded, OtherSite, to_login
from relay.web.problem import PROBLEMS, Problem, understand

_NAMES = {400: "bad_request", 403: "other_site", 404: "not_found", 405: "not_found", 408: "too_slow", 409: "conflict",
          413: "too_large", 422: "bad_request", 429: "too_often", 500: "internal", 503: "unavailable"}


def mistake(request: Request, status: int, headers: dict[str, str] | None = None) -> Response:
    """The page for a status."""
    name = _NAMES.get(status, "bad_request")
    return render(request, "mistake.html", status=status, headers=headers, name=name)


def install(app: FastAPI) -> None:
    async def login(request: Request, _: Exception) -> Response:
        return to_login(request)

    async def other_site(request: Request, _: Exception) -> Response:
        return mistake(request, HTTPStatus.FORBIDDEN)

    async def ours(request: Request, error: Exception) -> Response:
        problem = understand(error)
        assert problem is not None
        return mistake(request, PROBLEMS[problem.code][0], problem.headers)

    async def by_status(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if isinstance(error.__cause__, Problem):  # what guard.py raised while the body was being read
            return await ours(request, error.__cause__)
        return mistake(request, error.status_code)

    async def invalid(request: Request, _: Exception) -> Response:
        return mistake(request, HTTPStatus.UNPROCESSABLE_ENTITY)

    async def internal(request: Request, _: Exception) -> Response:
        return mistake(request, HTTPStatus.INTERNAL_SERVER_ERROR)

    app.add_exception_handler(LoginNeeded, login)
    app.add_exception_handler(OtherSite, other_site)
    for kind in (Problem, UsageError, LedgerError, KeyRingFileError):
        app.add_exception_handler(kind, ours)
    app.add_exception_handler(HTTPException, by_status)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(Exception, internal)  # raised again after the answer: guard.py writes it to the log
