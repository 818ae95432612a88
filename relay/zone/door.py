"""Port 25 of an MX as seen from here: does it answer, as whom, with which certificate."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from datetime import datetime, timedelta

from relay.zone.asked import Asked
from relay.zone.finding import Finding, Level, right, shown, unknown, warning, wrong
from relay.zone.knock import Answer, Certificate, Knocker
from relay.zone.plan import Plan

SOON = timedelta(days=14)
"""A certificate that renews itself is renewed long before; short-lived ones get a third of their life."""
_NO_WAY = frozenset(os.strerror(number) for number in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL))


def expires_soon(certificate: Certificate, now: datetime) -> bool:
    """Whether it should have been renewed by now."""
    return certificate.ends - now <= min(SOON, (certificate.ends - certificate.begins) / 3)


async def door(plan: Plan, asked: Asked, host: str, knocker: Knocker, clock: Callable[[], datetime]) -> list[Finding]:
    """Every address of one MX host; none is a fault that its MX record was already told."""
    said = []
    for address in await asked.addresses(host):
        about = f"{host} [{address}]:{knocker.smtp_port}"
        answer = await knocker.mail(host, address)
        said += _unanswered(plan, about, address, answer) or _answered(plan, about, host, answer, clock())
    return said


def _unanswered(plan: Plan, about: str, address: str, answer: Answer) -> list[Finding]:
    mend = "check that the daemon runs, that port 25 leads to listen.mx, and firewalls on the way"
    if not answer.error:
        return []
    if answer.at == "greeting":
        return [wrong(about, "port-turned-away", f"it greets with {shown(answer.error)}",
                      "the server is busy or blocks this machine; its log says why")]
    if answer.at == "STARTTLS":
        return [wrong(about, "starttls-fails", f"STARTTLS is offered and fails: {shown(answer.error)}",
                      "check tls.certificate and tls.key (`tradepost check`)")]
    if answer.at == "EHLO":
        return [wrong(about, "port-broken", f"EHLO fails: {shown(answer.error)}", "its log says why")]
    if answer.error == "refused":
        return [wrong(about, "port-closed", "nothing listens there", mend)]
    if answer.error == "silent":
        return [wrong(about, "port-silent", "no answer in time", mend)]
    if answer.error in _NO_WAY:
        family = "IPv6" if ":" in address else "IPv4"
        return [unknown(about, f"this machine has no way there by {family}: look from another one")]
    return [wrong(about, "port-broken", f"the connection fails: {shown(answer.error)}", mend)]


def _answered(plan: Plan, about: str, host: str, answer: Answer, now: datetime) -> list[Finding]:
    said = []
    name = (answer.greeting.split() or [""])[0].lower()
    if name not in (host, *plan.mx, plan.hostname):
        said.append(warning(about, "greeting-name", f"it greets as {shown(name, 80)!r}: is that this relay?",
                            f"let port 25 of {host} lead to this relay, or set relay.hostname to its name"))
    if not answer.has_starttls or answer.certificate is None:
        said.append(wrong(about, "starttls-missing", "it does not offer STARTTLS: mail arrives readable by anybody",
                          "switch TLS on in what listens on port 25"))
        return said
    said += _certificate(plan, about, host, answer.certificate, now)
    return said or [right(about, f"greets as {name}; certificate to {answer.certificate.ends:%Y-%m-%d}")]


def _certificate(plan: Plan, about: str, host: str, shown_by_it: Certificate, now: datetime) -> list[Finding]:
    said, ends = [], shown_by_it.ends
    if not shown_by_it.covers(host):
        names = shown(", ".join(shown_by_it.names) or "no name at all")
        said.append(wrong(about, "certificate-name", f"the certificate names {names}, not {host}",
                          f"get one for {host} and name it in tls.certificate and tls.key"))
    if ends <= now:
        said.append(wrong(about, "certificate-expired", f"the certificate expired on {ends:%Y-%m-%d}",
                          "renew it, then `systemctl reload tradepost`"))
    elif expires_soon(shown_by_it, now):
        said.append(wrong(about, "certificate-expires", f"the certificate expires on {ends:%Y-%m-%d %H:%M} UTC",
                          "renew it, then `systemctl reload tradepost`; find out why that does not happen by itself"))
    if shown_by_it.distrust and ends > now:
        level = Level.WRONG if plan.sts_mode == "enforce" else Level.WARNING
        said.append(Finding(level, about, "certificate-untrusted", f"no public authority vouches for the certificate: "
                            f"{shown(shown_by_it.distrust)}", "get one from a public authority; MTA-STS needs it"))
    return said
