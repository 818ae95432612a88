"""Logging: structlog, on standard error, console or JSON; one trace id follows a message from accept to delivery.

No real address is ever logged. Exceptions are shown by class and place only, because their messages may
quote what they failed on; and what libraries log, warn of or leave unhandled is shown the same way.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
import os
import sys
import threading
import traceback
from collections.abc import MutableMapping
from typing import Any

import structlog

from relay.errors import KeyRingFileError, LedgerError

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_FRAMES = 4


def configure(style: str, level: str) -> None:
    """Set up for `style` "console" or "json" and the least severe `level` shown."""
    last: Any = structlog.processors.JSONRenderer(ensure_ascii=True) if style == "json" else (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty() and "NO_COLOR" not in os.environ))
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            place_of_exception,
            last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=lambda *_: _Undaunted(sys.stderr),
        cache_logger_on_first_use=False,
    )
    get.cache_clear()
    # aiosmtpd logs commands with their addresses; its logger has to stay silent
    for name in ("mail.log", "mail.debug", "mail.error"):
        logging.getLogger(name).disabled = True
    logging.basicConfig(handlers=[_Library(logging.WARNING)], force=True)
    logging.captureWarnings(True)
    sys.excepthook = lambda _, error, __: _unhandled(error)
    threading.excepthook = lambda args: _unhandled(args.exc_value)
    sys.unraisablehook = lambda args: _unhandled(args.exc_value)


class _Undaunted(structlog.WriteLogger):
    """A log that cannot be written (a full disk, a reader that went away) stops neither mail nor SIGTERM."""

    def msg(self, message: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().msg(message)

    log = debug = info = warning = error = critical = msg


class _Library(logging.Handler):
    """A library's own log: who and where, not what. Its texts quote what they are about."""

    def emit(self, record: logging.LogRecord) -> None:
        found = record.exc_info[1] if record.exc_info else None
        get().warning("library", logger=record.name, line=f"{record.module}:{record.lineno}",
                      **{"error": found} if found else {})

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - its name in the standard library
        pass  # it would print a traceback with the record's arguments


def _unhandled(error: BaseException | None) -> None:
    get().error("unhandled", error=error)


def place_of_exception(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace an exception by its class and the innermost lines that it went through; a traceback by nothing."""
    for name in ("exc_info", "stack_info", "exception"):
        event.pop(name, None)
    for name, value in list(event.items()):
        if isinstance(value, BaseException):
            event.update(_described(name, value))
    return event


def described(error: BaseException) -> str:
    """An exception by class and place, for people."""
    found = _described("error", error)
    return f"{found['error']} at {found['at']}"


def _described(name: str, error: BaseException) -> dict[str, str]:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    class_ = type(error).__name__
    if isinstance(error, OSError) and (code := errno.errorcode.get(error.errno or 0)):
        class_ += f" {code}"
    if error.__cause__ is not None:
        class_ += f" from {type(error.__cause__).__name__}"
    frames = list(traceback.walk_tb(error.__traceback__))[-_FRAMES:]
    found = {name: class_, "at": " < ".join(
        f"{frame.f_globals.get('__name__')}.{frame.f_code.co_name}:{line}" for frame, line in reversed(frames))}
    if isinstance(error, (LedgerError, KeyRingFileError)):  # texts of ours: a file, a name of SQLite's, the mend
        found["reason"] = str(error)
    return found


@functools.cache
def get() -> structlog.typing.FilteringBoundLogger:
    """The logger; maillog.py is where mail events are named."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger().bind()
    return logger
