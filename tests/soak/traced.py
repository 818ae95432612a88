"""The daemon, with every SQL statement counted that a RCPT TO leads to, by the local part that it named.

Run as `traced.py serve -c FILE`; TRACED names the file that the counts are written to in the end.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

from relay.ledger import writer

statements: Counter[str] = Counter()


def count(sql: str) -> None:
    """Called by SQLite itself for each statement. Who asked is on the stack: reads run in the session's own task."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name == "recipient" and frame.f_code.co_filename.endswith("receive/service.py"):
            statements[frame.f_locals["address"].local] += 1
        frame = frame.f_back


def connect(*arguments: Any, **more: Any) -> Any:
    connection = plain_connect(*arguments, **more)
    connection.set_trace_callback(count)
    return connection


plain_connect, writer.connect = writer.connect, connect
plain_exit, own_process = os._exit, os.getpid()


def leave(status: int) -> None:
    """The daemon's end: it leaves without Python's own clean-up, as its children do."""
    if os.getpid() == own_process:
        Path(os.environ["TRACED"]).write_text(json.dumps(statements))
    plain_exit(status)


os._exit = leave  # type: ignore[assignment]

from relay.cli import main  # noqa: E402 - only now, so that everybody gets the connect above

main()
