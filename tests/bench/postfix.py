"""The peer: Postfix relaying through 10,000 aliases with sender rewriting and header checks, durable queue."""

from __future__ import annotations

from postfix_server import Postfix

ALIASES = 10_000
SENDER = "sol@tienda.example"
RECIPIENT = "a1@alias.example"
_MAIN = """\
virtual_alias_domains = alias.example
virtual_alias_maps = hash:/etc/postfix/aliases
sender_canonical_maps = hash:/etc/postfix/senders
sender_canonical_classes = envelope_sender, header_sender
header_checks = regexp:{{ {{/^Received:/ IGNORE}}, {{/^User-Agent:/ IGNORE}}, {{/^X-Originating-IP:/ IGNORE}} }}
smtpd_relay_restrictions = reject_unauth_destination
smtpd_client_connection_count_limit = 0
in_flow_delay = 0
default_process_limit = 200
relayhost = [127.0.0.1]:{sink}
smtp_tls_security_level = none
smtp_connection_cache_on_demand = yes
smtp_connection_cache_destinations = static:all
initial_destination_concurrency = 20
default_destination_concurrency_limit = 20
qmgr_message_active_limit = 20000
qmgr_message_recipient_limit = 20000
max_use = 100000
"""


def peer(port: int, sink: int) -> Postfix:
    """A context: it listens on `port` and relays to `sink`."""
    return Postfix(_MAIN.format(sink=sink), f"127.0.0.1:{port} inet n - n - - smtpd\n", {
        "aliases": "".join(f"a{number}@alias.example buyer{number}@correo.example\n" for number in range(ALIASES)),
        "senders": f"{SENDER} s1@alias.example\n"})
