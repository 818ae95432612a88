"""The installed `tradepost` in processes of its own that need not import anything: forked from one that has.

Starting Python and importing takes half a second of CPU time, a command a few milliseconds. What a process runs is the
installed script, with the arguments, environment, folder and output it was given; only the imports are behind it.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NoReturn

SCRIPT = Path(sys.executable).parent / "tradepost"
MAX_REQUEST_BYTES = 65_536


class Process:
    """What tests use of subprocess.Popen. `returncode` as there: None until it is known, -9 for SIGKILL."""

    def __init__(self, args: Sequence[str], status: int) -> None:
        self.args = args
        self.returncode: int | None = None
        self._status = os.fdopen(status, "rb", buffering=0)
        self._lock = threading.Lock()
        self.pid = int(self._status.read(16))

    def poll(self) -> int | None:
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        """Raises subprocess.TimeoutExpired."""
        if (status := self._ended(timeout)) is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(self.args, timeout)
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _ended(self, timeout_s: float | None) -> int | None:
        with self._lock:
            if self.returncode is None and select.select([self._status], [], [], timeout_s)[0]:
                self.returncode = int(self._status.read(16))
                self._status.close()
            return self.returncode


class ForkServer:
    """The process that has imported; it starts with the first one that is asked for, and ends with this one."""

    def __init__(self) -> None:
        self._server: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def popen(self, words: Sequence[str], *, env: Mapping[str, str], cwd: Path, stdout: IO[Any], stderr: IO[Any]) -> Process:
        """Run `tradepost WORDS`; `env` is all of its environment."""
        request = json.dumps({"words": words, "env": dict(env), "cwd": str(cwd)}).encode()
        status, other = os.pipe()
        with self._lock:
            if self._server is None:
                self._start()
            socket.send_fds(self._socket, [request], [stdout.fileno(), stderr.fileno(), other])
        os.close(other)
        return Process(["tradepost", *words], status)

    def _start(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._server = subprocess.Popen([sys.executable, "-P", __file__, str(theirs.fileno())], pass_fds=[theirs.fileno()],
                                            stdin=subprocess.DEVNULL, env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"})

    def close(self) -> None:
        if self._server is not None:
            self._socket.close()
            self._server.wait()


# -- in the process that has imported ----------------------------------------------------------------------------


def _serve(requests: socket.socket) -> None:
    import relay.cli.daemon
    import relay.ledger.operate
    import relay.main  # noqa: F401

    gc.collect()
    gc.freeze()  # so that a child copies fewer pages
    running: dict[int, tuple[int, int]] = {}
    """pidfd -> (pid, where its status goes)"""
    looked_at = select.poll()
    looked_at.register(requests, select.POLLIN)
    while True:
        for found, _ in looked_at.poll():
            if found != requests.fileno():
                looked_at.unregister(found)
                pid, status = running.pop(found)
                os.close(found)
                _tell(status, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
                os.close(status)
                continue
            request, fds, *_ = socket.recv_fds(requests, MAX_REQUEST_BYTES, 3)
            if not request:
                return
            out, err, status = fds
            pid = os.fork()
            if pid == 0:
                requests.close()
                for one, (_, other) in running.items():
                    os.close(one)
                    os.close(other)
                os.close(status)
                _become(out, err, **json.loads(request))
            os.close(out)
            os.close(err)
            _tell(status, pid)
            pidfd = os.pidfd_open(pid)
            running[pidfd] = pid, status
            looked_at.register(pidfd, select.POLLIN)


def _tell(where: int, number: int) -> None:
    with contextlib.suppress(BrokenPipeError):  # nobody waits for it any more
        os.write(where, b"%16d" % number)


def _become(out: int, err: int, words: list[str], env: dict[str, str], cwd: str) -> NoReturn:
    status = 1
    try:
        for number, wanted in ((out, 1), (err, 2)):
            os.dup2(number, wanted)
            os.close(number)
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(env)
        sys.argv = [str(SCRIPT), *words]
        sys.path.insert(0, str(SCRIPT.parent))
        runpy.run_path(str(SCRIPT), run_name="__main__")
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
