"""The peer: Postfix relaying through 10,000 aliases with sender rewriting and header checks, durable queue."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from types import TracebackType

ALIASES = 10_000
_MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/maillog
maillog_file_prefixes = {folder}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = relay.example
mydestination =
local_recipient_maps =
local_transport = error:none
alias_maps =
virtual_alias_domains = alias.example
virtual_alias_maps = hash:{folder}/etc/aliases
sender_canonical_maps = hash:{folder}/etc/senders
sender_canonical_classes = envelope_sender, header_sender
header_checks = regexp:{folder}/etc/header_checks
smtpd_relay_restrictions = reject_unauth_destination
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
in_flow_delay = 0
default_process_limit = 200
relayhost = [127.0.0.1]:{sink}
smtp_host_lookup = native
smtp_dns_support_level = disabled
smtp_tls_security_level = none
smtp_connection_cache_on_demand = yes
smtp_connection_cache_destinations = static:all
initial_destination_concurrency = 20
default_destination_concurrency_limit = 20
qmgr_message_active_limit = 20000
qmgr_message_recipient_limit = 20000
max_use = 100000
"""
_MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix:
    """A Postfix of its own in `folder`; a context that starts and stops it."""

    recipient = "a1@alias.example"
    sender = "sol@tienda.example"

    def __init__(self, folder: Path, port: int, sink: int) -> None:
        self.port = port
        self._etc = folder / "etc"
        for name in ("etc", "queue", "data"):
            (folder / name).mkdir(parents=True)
        folder.chmod(0o755)
        folder.parent.chmod(0o755)  # the postfix user has to get in
        shutil.chown(folder / "data", "postfix", "postfix")
        (self._etc / "main.cf").write_text(_MAIN.format(folder=folder, sink=sink))
        (self._etc / "master.cf").write_text(_MASTER.format(port=port))
        (self._etc / "aliases").write_text("".join(f"a{n}@alias.example buyer{n}@correo.example\n" for n in range(ALIASES)))
        (self._etc / "senders").write_text(f"{self.sender} s1@alias.example\n")
        (self._etc / "header_checks").write_text("/^Received:/ IGNORE\n/^User-Agent:/ IGNORE\n/^X-Originating-IP:/ IGNORE\n")
        for name in ("aliases", "senders"):
            self._run("postmap", f"hash:{self._etc / name}")

    def __enter__(self) -> Postfix:
        self._run("postfix", "start")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._run("postfix", "stop")

    def _run(self, command: str, word: str) -> None:
        done = subprocess.run([f"/usr/sbin/{command}", "-c", str(self._etc), word], capture_output=True, text=True)
        if done.returncode:
            log = self._etc.parent / "maillog"
            raise SystemExit(f"bench: {command} {word}: {done.stderr.strip()}\n{log.read_text() if log.exists() else ''}")
