"""Is mail delivered to us, and do receivers believe where ours comes from: MX, addresses, reverse DNS."""

from __future__ import annotations

from relay.dns import is_address
from relay.zone.asked import Asked
from relay.zone.finding import Finding, right, warning, wrong
from relay.zone.plan import Plan


async def mx(plan: Plan, asked: Asked, domain: str) -> list[Finding]:
    """The MX records of a relay domain (RFC 5321 5.1, RFC 7505)."""
    found = await asked.mx(domain)
    mend = " and ".join(f"{domain}. MX 10 {host}." for host in plan.mx)
    if not found:
        return [wrong(domain, "mx-missing", "no MX record: mail to the aliases goes nowhere", f"publish {mend}")]
    if any(host == "" for _, host in found):
        return [wrong(domain, "mx-null", "a null MX: the domain says that it takes no mail",
                      f"replace it by {mend}")]
    said: list[Finding] = []
    for _, host in found:
        said += await _mx_host(plan, asked, domain, host)
    said += [wrong(domain, "mx-without-us", f"none of its MX records names {host}", f"publish {domain}. MX 10 {host}.")
             for host in plan.mx if host not in [named for _, named in found]]
    return said or [right(domain, f"MX {', '.join(host for _, host in found)}")]


async def _mx_host(plan: Plan, asked: Asked, domain: str, host: str) -> list[Finding]:
    if is_address(host):
        return [wrong(domain, "mx-address", f"the MX is the address {host}, not a host's name (RFC 5321 5.1)",
                      "give the host a name with an A or AAAA record, and let the MX name that")]
    said = []
    if alias := await asked.cname(host):
        said.append(wrong(domain, "mx-cname", f"the MX {host} is an alias (CNAME) of {alias}; some servers refuse that "
                          "(RFC 2181 10.3)", f"give {host} A and AAAA records of its own, or name {alias} in the MX"))
    if host not in plan.mx:
        said.append(wrong(domain, "mx-other-host", f"the MX names {host}, which is not this relay",
                          f"remove it, or list {host} in zone.mx if it hands everything on to this relay"))
    if not await asked.addresses(host):
        said.append(wrong(domain, "mx-no-address", f"the MX {host} has neither A nor AAAA record",
                          f"publish {host}. A (or AAAA) with the server's public address"))
    return said


async def host(plan: Plan, asked: Asked, name: str) -> list[Finding]:
    """The relay's own name."""
    addresses = await asked.addresses(name)
    if not addresses:
        return [wrong(name, "host-no-address", "the relay's own name has neither A nor AAAA record",
                      f"publish {name}. A (or AAAA) with this machine's public address")]
    return [right(name, ", ".join(addresses))]


async def outgoing(plan: Plan, asked: Asked) -> list[str]:
    """The single addresses that mail leaves from, as far as they are known."""
    given = [one for one in plan.outgoing if is_address(one)]
    return given or ([] if plan.outgoing else await asked.addresses(plan.sender))


async def reverse(plan: Plan, asked: Asked, address: str) -> list[Finding]:
    """Reverse DNS that leads back (RFC 8601 2.7.3 calls it iprev): large receivers refuse mail without it."""
    names = await asked.ptr(address)
    if not names:
        return [wrong(address, "ptr-missing", "mail leaves from here, but the address has no PTR record",
                      f"ask whoever owns the network (hosting provider) to set its PTR to {plan.sender}")]
    leading_back = [name for name in names if address in await asked.addresses(name)]
    if not leading_back:
        return [wrong(address, "ptr-not-confirmed", f"the PTR names {', '.join(names)}, whose A/AAAA lead elsewhere",
                      f"set the PTR to {plan.sender}, and publish {plan.sender}. with the address {address}")]
    if plan.sender not in leading_back:
        return [warning(address, "ptr-other-name", f"the PTR names {', '.join(leading_back)}, the greeting says "
                        f"{plan.sender}", f"set the PTR to {plan.sender}")]
    return [right(address, f"PTR {plan.sender}, which leads back")]
