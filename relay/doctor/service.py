"""What is Tradepost's own: certificate, key ring, queue, listeners."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from cryptography import x509

from relay import tls
from relay.config import Config
from relay.errors import TradepostError
from relay.keys import Keys
from relay.ledger.depth import newest_event, queue_depth
from relay.values import Listener
from relay.zone.door import expires_soon
from relay.zone.finding import Finding, right, shown, warning, wrong
from relay.zone.knock import certificate_of
from relay.zone.plan import Plan

OLD_KEY = timedelta(days=730)
AHEAD = timedelta(minutes=5)
KNOCK_S = 5.0
GREETING = ("mx", "submission", "lmtp")
"""Listeners that greet with 220 in plain text; of others it counts that they take a connection."""


def certificate(config: Config, plan: Plan, now: datetime) -> Iterator[Finding]:
    """The file that the listeners use: is it theirs, whom does it name, how long is it good."""
    path, key = config.certificate
    if config.tls.certificate is None:
        yield warning(str(path), "certificate-own", "a self-signed certificate made by Tradepost: enough between mail "
                      "servers, not for mail clients and MTA-STS", "name a real one in tls.certificate and tls.key")
        return
    try:
        tls.server_context(path, key)
        found = certificate_of(x509.load_pem_x509_certificate(path.read_bytes()))
    except (TradepostError, OSError, ValueError) as error:
        yield wrong(str(path), "certificate-unusable", str(error), "give tls.certificate and tls.key a PEM pair")
        return
    mode = key.stat().st_mode & 0o777
    if mode & 0o007:
        yield warning(str(key), "certificate-key-open", f"every user of this machine may read the private key (mode "
                      f"{mode:04o})", f"chmod 640 {key}, with the daemon's group, or hand it over by LoadCredential=")
    names, hostname = ", ".join(found.names) or "nobody", plan.hostname
    if not found.covers(hostname):
        yield wrong(str(path), "certificate-name", f"it names {names}, not {hostname}", f"get one for {hostname}")
    elif not expires_soon(found, now):
        yield right(str(path), f"names {names}; good until {found.ends:%Y-%m-%d}")
    renew = "renew it, then `systemctl reload tradepost`"
    if found.ends <= now:
        yield wrong(str(path), "certificate-expired", f"it expired on {found.ends:%Y-%m-%d}", renew)
    elif expires_soon(found, now):
        yield warning(str(path), "certificate-expires", f"it expires on {found.ends:%Y-%m-%d}", renew)


def key_ring(config: Config, now: datetime) -> Iterator[Finding]:
    """Owner and permissions (Keys looks at them), and the age of the newest key."""
    path = config.key_ring
    if not path.exists() and not config.ledger_path.exists():
        yield warning(str(path), "key-ring-not-yet", "neither ledger nor key ring yet", "the first start makes both; "
                      "then copy the key ring to a safe place")
        return
    try:
        keys = Keys(path)
        made = keys.made(keys.ring.newest)
    except TradepostError as error:
        yield wrong(str(path), "key-ring", str(error), "docs/keys.md says what it must be like")
        return
    since = now - datetime.fromisoformat(made)
    if since > OLD_KEY:
        yield warning(str(path), "key-old", f"its newest key was made on {made[:10]}", "tradepost key rotate")
    else:
        yield right(str(path), f"{len(keys.ring.secrets)} keys, the newest of {made[:10]}; closed to others")


def queue(config: Config, now: datetime) -> Iterator[Finding]:
    """How much waits, and how long the oldest has."""
    if not config.ledger_path.exists():
        yield warning("queue", "ledger-not-yet", "no ledger yet", "the first start makes it")
        return
    try:
        depth = queue_depth(config.ledger_path)
    except TradepostError as error:
        yield wrong("queue", "ledger", str(error), "`tradepost check`; docs/backup.md says how to bring a copy back")
        return
    waiting, held = sum(depth.count.values()), depth.count.get("held", 0)
    age = now - datetime.fromtimestamp(depth.oldest, UTC) if depth.oldest else timedelta(0)
    if age > config.outbound.warn_after:
        since = timedelta(seconds=round(age.total_seconds()))
        yield warning("queue", "queue-old", f"{waiting} wait, the oldest for {since}",
                      "`tradepost queue list` says what the other servers answer")
    else:
        yield right("queue", f"{waiting} wait")
    if held:
        yield warning("queue", "queue-held", f"{held} are held", "`tradepost queue list`, then release or drop")


def ledger_time(config: Config, now: datetime) -> Iterator[Finding]:
    """A ledger written in the future: the clock was ahead then, or is behind now."""
    if not config.ledger_path.exists():
        return
    try:
        newest = newest_event(config.ledger_path)
    except TradepostError:
        return  # said about the queue already
    if newest is not None and datetime.fromtimestamp(newest, UTC) > now + AHEAD:
        yield wrong("clock", "clock-and-ledger", f"the ledger was last written at "
                    f"{datetime.fromtimestamp(newest, UTC):%Y-%m-%d %H:%M} UTC, which is in the future",
                    "compare `date -u` with another clock and set the wrong one right; the queue moves along by itself")


def authentication(config: Config) -> Iterator[Finding]:
    """Whether anybody can write under a false name."""
    about = "policy.authentication"
    for key in config.observes():
        yield warning(key, "only-observed", "others can reach a listener, and who writes is not authenticated: whoever "
                      "knows an alias can write under a false name", f'{about} = "require", once the ledger no longer '
                      'says "would be" of honest mail (`tradepost message show`)')
    if not config.observes():
        yield right(about, "required" if config.is_exposed() else "nobody but this machine can bring mail")


def listeners(config: Config) -> Iterator[Finding]:
    """Each configured listener, asked as a client would."""
    for key in type(config.listen).model_fields:
        value = getattr(config.listen, key)
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, Listener) and one.port:
                yield _listener(f"listen.{key} {one}", one, greets=key in GREETING)


def _listener(about: str, listener: Listener, *, greets: bool) -> Finding:
    host = ipaddress.ip_address(listener.host)
    target = listener.host if not host.is_unspecified else "::1" if host.version == 6 else "127.0.0.1"
    try:
        with socket.create_connection((target, listener.port), KNOCK_S) as sock:
            said = sock.recv(512).decode("ascii", "replace") if greets else "220"
            if greets:
                sock.sendall(b"QUIT\r\n")
    except OSError as error:
        return wrong(about, "listener-closed", f"does not answer: {error.strerror or error}",
                     "systemctl status tradepost; journalctl -u tradepost")
    if not said.startswith("220"):
        return wrong(about, "listener-refuses", f"says {shown(said.strip(), 80)!r}", "journalctl -u tradepost")
    return right(about, "answers")
