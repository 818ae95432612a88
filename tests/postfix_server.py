"""A Postfix of its own for a test or a benchmark: unprivileged ports, its own folder. Snippets are docs/postfix.md's."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

PAGE = Path(__file__).parent.parent / "docs" / "postfix.md"
IS_THERE = Path("/usr/sbin/postfix").exists() and os.geteuid() == 0
_MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/maillog
maillog_file_prefixes = {folder}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = front.example
mydestination =
local_recipient_maps =
local_transport = error:none
alias_maps =
smtpd_peername_lookup = no
smtp_host_lookup = native
smtp_dns_support_level = disabled
"""
_SERVICES = """\
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
lmtp unix - - n - - lmtp
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
pickup unix n - n 60 1 pickup
showq unix n - n - - showq
postlog unix-dgram n - n - 1 postlogd
"""


def snippet(name: str, changes: dict[str, str] | None = None) -> str:
    """The block of the page that is marked `tested: NAME`, with addresses of this test; every change must apply."""
    found = re.search(rf"<!-- tested: {re.escape(name)} -->\n```\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found, name
    text = found.group(1)
    for old, new in (changes or {}).items():
        assert old in text, (old, text)
        text = text.replace(old, new)
    return text


class Postfix:
    """A context; `main` and `master` are appended to what every Postfix needs, `tables` are postmapped."""

    def __init__(self, main: str = "", master: str = "", tables: dict[str, str] | None = None) -> None:
        self._main, self._master, self._tables = main, master, tables or {}

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="postfix-"))
        self.folder.chmod(0o755)  # the postfix user has to get in
        self.etc = self.folder / "etc"
        for name in ("etc", "queue", "data"):
            (self.folder / name).mkdir()
        shutil.chown(self.folder / "data", "postfix", "postfix")
        (self.etc / "main.cf").write_text(_MAIN.format(folder=self.folder)
                                          + self._main.replace("/etc/postfix", str(self.etc)))
        (self.etc / "master.cf").write_text(self._master + _SERVICES)
        for name, text in self._tables.items():
            (self.etc / name).write_text(text)
            self.run("postmap", f"hash:{self.etc / name}")
        self.run("postfix", "check")
        self.run("postfix", "start")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.run("postfix", "stop")
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, command: str, *words: str) -> str:
        done = subprocess.run([f"/usr/sbin/{command}", "-c", str(self.etc), *words], capture_output=True, text=True)
        assert done.returncode == 0, f"{command}: {done.stderr}{self.log()}"
        assert "warning" not in done.stderr, done.stderr
        return done.stdout

    def log(self) -> str:
        path = self.folder / "maillog"
        return path.read_text() if path.exists() else ""

    def is_empty(self, timeout_s: float = 20.0) -> bool:
        """Whether its queue becomes empty in time."""
        end = time.monotonic() + timeout_s
        while "empty" not in self.run("postqueue", "-p"):
            if time.monotonic() > end:
                return False
            time.sleep(0.1)
        return True
