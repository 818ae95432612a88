"""Who says that they write must be who writes: by login, by SPF or DKIM of the author's own domain.

A DKIM signature goes with the message wherever that is copied, so it proves only what it covers: it counts where a
signed To or Cc names this very alias, or anything that the author ever signed could be replayed to it. Asked before
anything that depends on the address, so that strangers learn nothing of whose alias it is by trying addresses.
"""

from __future__ import annotations

from collections.abc import Collection

from aliasing.address import Address
from aliasing.token import OpenedAlias, Role, open_alias
from policy.case import AuthenticationResults, AuthResult, Case
from policy.recipients import addresses
from policy.status import Status
from policy.verdict import PASS, Kind, Verdict, refuse


def check(case: Case) -> Verdict:
    """Refuse an author who is not authenticated, saying what failed; only note it where the operator observes."""
    if case.header_from is None:
        return refuse(Status.FROM_NOT_SINGLE, "no single address in a single From")
    if case.login is not None:
        return _by_login(case)
    results, domain = case.authentication, case.header_from.domain
    required = case.settings.requires_authentication(domain)
    if results is None:
        return refuse(Status.INTERNAL, "nothing was authenticated") if required else _noted("not asked")
    verdict = _judge(case, results, domain)
    if verdict.passes or required:
        return verdict
    assert verdict.reply is not None
    return _noted(f"observed only, would be {verdict.reply.status.name}: {verdict.reason}")


def is_certain(case: Case) -> bool:
    """Whether it is sure that the From address is whose message this is, also where the operator only observes."""
    if case.header_from is None or case.login is not None:
        return case.header_from is not None and _by_login(case).passes
    return case.authentication is not None and _judge(case, case.authentication, case.header_from.domain).passes


def _by_login(case: Case) -> Verdict:
    """The login must be the counterpart's; that the From is one of their addresses is the next rule's concern."""
    party = case.facts.correspondence.parties[case.facts.direction.writer]
    if case.login == party.key:
        return _noted("by login")
    return refuse(Status.NOT_AUTHORISED, "another party's login")


def _judge(case: Case, results: AuthenticationResults, domain: str) -> Verdict:
    said = describe(results)
    if results.spf.aligned and results.spf.result is AuthResult.PASS:
        return _noted(said)
    aligned = [one for one in results.dkim if one.aligned]
    passing = [one for one in aligned if one.result is AuthResult.PASS]
    if any(_names_alias(case, one.signed) for one in passing) or _by_sealer(case, results):
        return _noted(said)
    if results.temporary:
        return refuse(Status.AUTHENTICATION_UNAVAILABLE, said, domain=domain)
    if passing:
        return refuse(Status.ALIAS_NOT_SIGNED, said, domain=domain)
    if any(one.result is AuthResult.POLICY for one in aligned):
        return refuse(Status.SIGNATURE_TOO_WEAK, said, domain=domain)
    if aligned:
        return refuse(Status.SIGNATURE_BROKEN, said, domain=domain)
    return refuse(Status.NOT_AUTHENTICATED, said, domain=domain, spf=results.spf.result)


def _by_sealer(case: Case, results: AuthenticationResults) -> bool:
    """Whether a sealer that the operator lists saw what would have counted here. All who sealed after it must be listed
    as well, for each of them could have changed the message."""
    arc = results.arc
    if arc.result is not AuthResult.PASS or not {"from", "subject"} <= arc.signed:
        return False
    for hop in reversed(arc.hops):
        if hop.sealer not in case.settings.arc_sealers:
            return False
        if hop.spf and _names_alias(case, arc.signed):
            return True
        # the sealer must vouch for the signature, too, or a stranger could have put another one there
        if hop.dkim is not None and "dkim-signature" in arc.signed and _names_alias(case, arc.signed & hop.dkim):
            return True
    return False


def _names_alias(case: Case, signed: Collection[str]) -> bool:
    """Whether a To or Cc among the fields `signed` names the alias (or action address) that this message came to."""
    message = case.message
    if message is None:
        return False
    correspondence = case.facts.correspondence
    return any(address.domain == correspondence.domain and _is_here(case, address)
               for field in message.fields if field.name in ("to", "cc") and field.name in signed
               for address in addresses(field))


def _is_here(case: Case, address: Address) -> bool:
    correspondence = case.facts.correspondence
    if case.action is not None:
        return correspondence.ring.open_action(address.domain, address.local) == case.action
    return open_alias(correspondence.ring, address) == OpenedAlias(
        Role(case.facts.direction.reader), correspondence.number)


def describe(results: AuthenticationResults) -> str:
    """The results in one line for the ledger; domains, never an address."""
    parts = [f"spf={results.spf.result}" + _of(results.spf.domain, aligned=results.spf.aligned)]
    for one in results.dkim:
        why = f" ({one.reason})" if one.reason else ""
        parts.append(f"dkim={one.result}{_of(one.domain, aligned=one.aligned)}{why}")
    if not results.dkim:
        parts.append("dkim=none")
    dmarc = results.dmarc
    parts.append(f"dmarc={dmarc.result}" + (f" (p={dmarc.policy})" if dmarc.policy else ""))
    if results.arc.result is not AuthResult.NONE:
        parts.append(f"arc={results.arc.result}" + (f" ({results.arc.reason})" if results.arc.reason else ""))
    return "; ".join(parts)


def _of(domain: str, *, aligned: bool) -> str:
    return f" {domain}" + ("" if aligned else " (another domain)") if domain else ""


def _noted(reason: str) -> Verdict:
    return Verdict(Kind.PASS, None, reason) if reason else PASS
