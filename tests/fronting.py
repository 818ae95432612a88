"""A real Postfix in front: it takes mail for the relay domain and hands it on by LMTP; the rest goes to a smarthost."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from bench.postfix import Postfix

_MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/maillog
maillog_file_prefixes = {folder}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mx.example
mydestination =
local_recipient_maps =
local_transport = error:none
alias_maps =
mynetworks =
smtpd_relay_restrictions = reject_unauth_destination
smtpd_peername_lookup = no
smtpd_authorized_xclient_hosts = 127.0.0.1
relay_domains = relay.example
relay_transport = lmtp:inet:127.0.0.1:{lmtp}
lmtp_send_xforward_command = yes
lmtp_tls_security_level = none
relayhost = [127.0.0.1]:{outside}
smtp_host_lookup = native
smtp_dns_support_level = disabled
smtp_tls_security_level = none
minimal_backoff_time = 1s
maximal_backoff_time = 1s
queue_run_delay = 1s
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
lmtp unix - - n - - lmtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


class Front(Postfix):
    """A context that starts and stops it; `lmtp` and `outside` are ports."""

    def __init__(self, folder: Path, port: int, lmtp: int, outside: int) -> None:
        self.port = port
        self._etc = folder / "etc"
        self._maillog = folder / "maillog"
        for name in ("etc", "queue", "data"):
            (folder / name).mkdir(parents=True)
        folder.chmod(0o755)
        shutil.chown(folder / "data", "postfix", "postfix")
        (self._etc / "main.cf").write_text(_MAIN.format(folder=folder, lmtp=lmtp, outside=outside))
        (self._etc / "master.cf").write_text(_MASTER.format(port=port))

    def fates(self) -> list[str]:
        """What became of each delivery by LMTP: "sent", "bounced", "deferred", one for each attempt."""
        lines = self._maillog.read_text().splitlines() if self._maillog.exists() else []
        return [line.partition("status=")[2].split()[0] for line in lines if "/lmtp[" in line and "status=" in line]


def may_run() -> bool:
    """Postfix wants to be started by root."""
    return os.geteuid() == 0 and shutil.which("postfix", path="/usr/sbin") is not None
