"""Every answer that is not what was asked for: problem details (RFC 9457) with a stable code, never a class or path."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from relay.errors import Conflict, KeyRingFileError, LedgerError, NotFound, UsageError
from relay.ledger.idempotency import OtherRequest

MEDIA_TYPE = "application/problem+json"
TYPES = "/api/v1/problems/"
PROBLEMS: Mapping[str, tuple[HTTPStatus, str]] = {
    "bad-request": (HTTPStatus.BAD_REQUEST, "The request cannot be read"),
    "no-key": (HTTPStatus.UNAUTHORIZED, "A valid API key is needed: Authorization: Bearer tp_…"),
    "out-of-scope": (HTTPStatus.FORBIDDEN, "This key is not for that"),
    "not-found": (HTTPStatus.NOT_FOUND, "There is no such thing"),
    "method-not-allowed": (HTTPStatus.METHOD_NOT_ALLOWED, "This can not be done with that method"),
    "conflict": (HTTPStatus.CONFLICT, "That contradicts what is there"),
    "in-progress": (HTTPStatus.CONFLICT, "The same request is under way"),
    "too-large": (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The request is larger than this server accepts"),
    "too-slow": (HTTPStatus.REQUEST_TIMEOUT, "The request took too long to come"),
    "invalid": (HTTPStatus.UNPROCESSABLE_ENTITY, "A value is not as it has to be"),
    "refused": (HTTPStatus.UNPROCESSABLE_ENTITY, "The message was refused"),
    "key-reused": (HTTPStatus.UNPROCESSABLE_ENTITY, "The Idempotency-Key belongs to another request"),
    "rate": (HTTPStatus.TOO_MANY_REQUESTS, "Too many requests with this key"),
    "internal": (HTTPStatus.INTERNAL_SERVER_ERROR, "A problem on our side"),
    "unavailable": (HTTPStatus.SERVICE_UNAVAILABLE, "The ledger cannot be used now; try again later"),
}
"""Code -> (status, title). Codes are a contract."""


class Problem(Exception):  # noqa: N818 - RFC 9457's word
    """Raised anywhere below a route; `more` are extension members (RFC 9457 3.2)."""

    def __init__(self, code: str, detail: str = "", *, headers: Mapping[str, str] | None = None, **more: Any) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.more = more


class ProblemDetails(BaseModel):
    """RFC 9457 3.1, for the OpenAPI document."""

    type: str
    title: str
    status: int
    code: str
    detail: str | None = None


def respond(problem: Problem) -> JSONResponse:
    status, title = PROBLEMS[problem.code]
    body = {"type": TYPES + problem.code, "title": title, "status": status.value, "code": problem.code}
    if problem.detail:
        body["detail"] = problem.detail
    return JSONResponse(body | problem.more, status.value, problem.headers, MEDIA_TYPE)


def understand(error: Exception) -> Problem | None:
    """The problem that an exception of ours means; None for one that nobody expected."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, UsageError):
        code = {NotFound: "not-found", Conflict: "conflict", OtherRequest: "key-reused"}.get(type(error), "invalid")
        return Problem(code, error.problem)
    if isinstance(error, LedgerError | KeyRingFileError):
        return Problem("unavailable", headers={"Retry-After": "5"})
    return None


def install(app: FastAPI) -> None:
    """Make every error that leaves a route a problem. What nobody expected is the middleware's (guard.py)."""

    async def ours(_: Request, error: Exception) -> JSONResponse:
        problem = understand(error)
        assert problem is not None
        return respond(problem)

    async def by_status(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        if isinstance(error.__cause__, Problem):  # what guard.py raised while FastAPI was reading the body
            return respond(error.__cause__)
        codes = {HTTPStatus.NOT_FOUND: "not-found", HTTPStatus.METHOD_NOT_ALLOWED: "method-not-allowed",
                 HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "too-large"}
        return respond(Problem(codes.get(HTTPStatus(error.status_code), "bad-request"), headers=error.headers))

    async def invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        found = error.errors()
        if any(one["type"] == "json_invalid" for one in found):
            return respond(Problem("bad-request", "the body is no JSON"))
        # pydantic's own texts may quote the value, which may be an address: only where and what
        wrong = [{"where": "/".join(str(step) for step in one["loc"]), "what": one["msg"].removeprefix("Value error, ")}
                 for one in found]
        return respond(Problem("invalid", errors=wrong))

    for kind in (Problem, UsageError, LedgerError, KeyRingFileError):
        app.add_exception_handler(kind, ours)
    app.add_exception_handler(HTTPException, by_status)
    app.add_exception_handler(RequestValidationError, invalid)


def documented(*codes: str) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route for the OpenAPI document, those that every route has included."""
    found: dict[int | str, dict[str, Any]] = {}
    for code in ("bad-request", "no-key", "out-of-scope", "not-found", "conflict", "too-large", "invalid", "rate",
                 "unavailable", *codes):
        status, title = PROBLEMS[code]
        found.setdefault(status.value, {"description": title, "content": {
            MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}})
    return found
