"""Logging: structlog, on standard error, console or JSON; one trace id follows a message from accept to delivery.

No real address is ever logged. Exceptions are shown by class and place only, because their messages may
quote what they failed on.
"""

from __future__ import annotations

import functools
import logging
import os
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any

import structlog

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


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
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    get.cache_clear()
    # aiosmtpd logs commands with their addresses; its logger has to stay silent
    for name in ("mail.log", "mail.debug", "mail.error"):
        logging.getLogger(name).disabled = True


def place_of_exception(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace `error=<exception>` by its class and the innermost lines of ours that it went through."""
    error = event.get("error")
    if isinstance(error, BaseException):
        frames = traceback.extract_tb(error.__traceback__)[-4:]
        event["error"] = type(error).__name__
        event["at"] = " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames))
    return event


@functools.cache
def get() -> structlog.typing.FilteringBoundLogger:
    """The logger; maillog.py is where mail events are named."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger().bind()
    return logger
