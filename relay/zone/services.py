"""Do mail clients find their way: SRV, autoconfig, autodiscover."""

from __future__ import annotations

from relay.zone.asked import Asked
from relay.zone.finding import Finding, right, warning, wrong
from relay.zone.plan import AUTOCONFIG, AUTODISCOVER, SUBMISSIONS, Plan


async def services(plan: Plan, asked: Asked, domain: str) -> list[Finding]:
    """The SRV records (RFC 6186 3, RFC 8314 5.1)."""
    said = []
    for prefix, (port, host) in plan.services().items():
        said += await _service(asked, f"{prefix}.{domain}", port, host)
    for prefix, port in plan.not_served().items():
        name = f"{prefix}.{domain}"
        if any(target == plan.hostname for _, _, _, target in await asked.srv(name)):
            key = "submissions" if port == SUBMISSIONS else "submission"
            said.append(wrong(name, "srv-not-served", f"it names {plan.hostname}, where the configuration has no "
                              f"listener for port {port}",
                              f'listen.{key} = "0.0.0.0:{port}", or publish {name}. SRV 0 0 0 .'))
    return said


async def _service(asked: Asked, name: str, port: int, host: str) -> list[Finding]:
    found, mend = await asked.srv(name), f"publish {name}. SRV 0 1 {port} {host}."
    if not found:
        return [wrong(name, "srv-missing", "no SRV record: some mail clients do not find the server", mend)]
    targets = [(target_port, target) for _, _, target_port, target in found]
    if (port, host) not in targets:
        have = ", ".join(f"{target or '(not offered)'}:{target_port}" for target_port, target in targets)
        return [wrong(name, "srv-wrong", f"it names {have} instead of {host}:{port}", mend)]
    for _, target in targets:
        if alias := await asked.cname(target):
            return [wrong(name, "srv-cname", f"its target {target} is an alias (CNAME) of {alias}, which RFC 2782 "
                          "forbids", f"give {target} A and AAAA records of its own")]
    return [right(name, f"SRV {host}:{port}")]


async def settings(plan: Plan, asked: Asked, domain: str) -> list[Finding]:
    """The hosts that serve clients their settings; without them a seller types them in."""
    if not plan.services():
        return []
    own = set(await asked.addresses(plan.hostname))
    said = []
    for label in (AUTOCONFIG, AUTODISCOVER):
        name = f"{label}.{domain}"
        found, mend = set(await asked.addresses(name)), f"publish {name}. CNAME {plan.hostname}."
        if not found:
            said.append(warning(name, f"{label}-missing", "mail clients do not find their settings", mend))
        elif not found & own:
            said.append(warning(name, f"{label}-elsewhere", "it leads to another machine than this relay", mend))
        else:
            said.append(right(name, f"leads to {plan.hostname}"))
    return said
