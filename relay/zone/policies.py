"""What the domain says about its mail: DKIM keys, DMARC, TLS reports, MTA-STS."""

from __future__ import annotations

import re

from relay.authn import keys, tags
from relay.authn.keys import NoKey
from relay.authn.tags import TagError
from relay.transmit import sts
from relay.transmit.sts import MAX_BYTES, PolicyError
from relay.zone.asked import Asked
from relay.zone.finding import Finding, right, shown, warning, wrong
from relay.zone.knock import Knocker, NotFetched
from relay.zone.plan import MTA_STS, Plan
from relay.zone.records import NO_KEY


async def dkim(plan: Plan, asked: Asked, domain: str) -> list[Finding]:
    """Each of our keys (RFC 6376 3.6.1)."""
    records = plan.dkim(domain)
    if not records:
        return [warning(domain, "dkim-no-key", "mail of this domain is not signed", NO_KEY)]
    return [await _dkim_key(asked, name, text) for name, text in records]


async def _dkim_key(asked: Asked, name: str, wanted: str) -> Finding:
    found, mend = await asked.texts(name), "publish it as `tradepost dns` prints it"
    if not found:
        return wrong(name, "dkim-missing", "the DKIM key is not published: our signatures count as broken", mend)
    if len(found) > 1:
        return wrong(name, "dkim-several", f"{len(found)} TXT records, where there must be one (RFC 6376 3.6.2.2)",
                     f"leave one: {mend}")
    have, want = _tags(found[0]), tags.parse(wanted)
    try:
        key = tags.octets(have, "p")
    except (TagError, KeyError):
        key = None
    if key is None or have.get("v", "DKIM1") != "DKIM1":
        return wrong(name, "dkim-syntax", f"no DKIM key: {shown(found[0], 80)}", mend)
    if not key:
        return wrong(name, "dkim-revoked", "an empty p=: the key is published as revoked", mend)
    if key != tags.octets(want, "p") or have.get("k", "rsa").lower() != want["k"]:
        return wrong(name, "dkim-other-key", "another key than the one we sign with", mend)
    try:
        published = keys.read(found[0].encode("latin-1"), want["k"])
    except (TagError, NoKey) as error:
        return wrong(name, "dkim-unusable", f"receivers cannot use the record: {error}", mend)
    if published.testing:
        return warning(name, "dkim-testing", "t=y says that we only test: receivers may ignore the key", mend)
    return right(name, "DKIM key")


def _tags(text: str) -> dict[str, str]:
    """Of a list of tags (RFC 6376 3.2); none when it is none, or names a tag twice."""
    try:
        return tags.parse(text)
    except TagError:
        return {}


def _not_one(name: str, fault: str, what: str, count: int, harm: str, mend: str) -> Finding:
    """Of these records there must be exactly one; `harm` is what comes of none."""
    if not count:
        return wrong(name, f"{fault}-missing", f"no {what} record: {harm}", mend)
    return wrong(name, f"{fault}-several", f"{count} {what} records: all are ignored", f"leave one: {mend}")


async def dmarc(plan: Plan, asked: Asked, domain: str) -> list[Finding]:
    """The domain's own DMARC record (RFC 9989 4.7)."""
    name, mend = f"_dmarc.{domain}", f'publish _dmarc.{domain}. TXT "{plan.dmarc()}"'
    found = await asked.texts(name, "v=dmarc")
    if len(found) != 1:
        return [_not_one(name, "dmarc", "DMARC", len(found), "anybody may write in this domain's name", mend)]
    have = _tags(found[0])
    if (not re.match(r"v\s*=\s*DMARC1\s*;", found[0])
            or have.get("p", "").lower() not in ("none", "quarantine", "reject")):
        return [wrong(name, "dmarc-syntax", f"no valid DMARC record: {shown(found[0], 80)}", mend)]
    if have["p"].lower() == "none":
        return [wrong(name, "dmarc-none", "p=none: forged mail in this domain's name is delivered all the same", mend)]
    said = []
    if have["p"].lower() == "quarantine":
        said.append(warning(name, "dmarc-quarantine", "p=quarantine: forged mail goes to the spam folder only", mend))
    if have.get("t") == "y" or have.get("pct", "100") != "100":
        said.append(warning(name, "dmarc-partly", "t=y or pct=: receivers need not follow the policy", mend))
    if "rua" not in have:
        said.append(warning(name, "dmarc-no-reports", "no rua=: nobody gets reports", mend))
    elif await _is_refused(plan, asked, domain, have["rua"]):
        said.append(warning(name, "dmarc-reports-refused", f"{plan.reports} has not agreed to get reports of {domain}",
                            f'publish {plan.reports_elsewhere(domain)}. TXT "v=DMARC1" in that zone'))
    return said or [right(name, f"DMARC {shown(found[0])}")]


async def _is_refused(plan: Plan, asked: Asked, domain: str, rua: str) -> bool:
    name = plan.reports_elsewhere(domain)
    return bool(name) and plan.reports.lower() in rua.lower() and not await asked.texts(name, "v=dmarc1")


async def tls_reports(plan: Plan, asked: Asked, domain: str) -> list[Finding]:
    """TLS-RPT (RFC 8460 3)."""
    name, mend = f"_smtp._tls.{domain}", f'publish _smtp._tls.{domain}. TXT "{plan.tls_reports()}"'
    found = await asked.texts(name, "v=tlsrpt")
    if len(found) != 1:
        return [_not_one(name, "tlsrpt", "TLS-RPT", len(found), "nobody tells us when TLS to the MX fails", mend)]
    have = _tags(found[0])
    if have.get("v") != "TLSRPTv1" or not have.get("rua", "").startswith(("mailto:", "https:")):
        return [wrong(name, "tlsrpt-syntax", f"no valid TLS-RPT record: {shown(found[0], 80)}", mend)]
    return [right(name, f"TLS-RPT {shown(found[0])}")]


async def mta_sts(plan: Plan, asked: Asked, domain: str, knocker: Knocker) -> list[Finding]:
    """MTA-STS: the record, then the policy over HTTPS, then the policy against the MX records (RFC 8461)."""
    name, mend = f"_{MTA_STS}.{domain}", f'publish _{MTA_STS}.{domain}. TXT "v=STSv1; id={plan.policy_id}"'
    found = await asked.texts(name, "v=sts")
    if len(found) != 1:
        return [_not_one(name, "sts", "MTA-STS", len(found), "others may send to us without TLS", mend)]
    have = _tags(found[0])
    if have.get("v") != "STSv1" or not re.fullmatch(r"[A-Za-z0-9]{1,32}", have.get("id", "")):
        return [wrong(name, "sts-syntax", f"no valid MTA-STS record: {shown(found[0], 80)}", mend)]
    said = []
    if have["id"] != plan.policy_id:
        said.append(wrong(name, "sts-id", f"its id is {have['id']}, not that of this configuration's policy: others go "
                          "on with the policy they have", mend))
    said += await _policy(plan, asked, domain, knocker)
    return said or [right(name, f"MTA-STS, mode {plan.sts_mode}")]


async def _policy(plan: Plan, asked: Asked, domain: str, knocker: Knocker) -> list[Finding]:
    host = f"{MTA_STS}.{domain}"
    serve = "serve the policy that `tradepost dns` prints (docs/direct-mx.md)"
    addresses = await asked.addresses(host)
    if not addresses:
        return [wrong(host, "sts-no-host", "the host of the MTA-STS policy does not exist",
                      f"publish {host}. CNAME {plan.hostname}.")]
    fetched = await knocker.fetch(host, addresses, sts.PATH)
    if isinstance(fetched, NotFetched):
        fault = "sts-certificate" if fetched.is_certificate else "sts-unreachable"
        return [wrong(host, fault, f"the policy cannot be fetched: {shown(fetched.error)}",
                      f"a web server on port 443 with a certificate for {host} has to {serve}")]
    if fetched.status != 200:
        return [wrong(host, "sts-no-policy", f"HTTP status {fetched.status} instead of the policy (redirects are not "
                      "followed, RFC 8461 3.3)", serve)]
    if fetched.kind != "text/plain":
        return [wrong(host, "sts-policy-type", f"its media type is {shown(fetched.kind or 'none')} instead of "
                      "text/plain: others need not take it (RFC 8461 3.2)", serve)]
    if len(fetched.body) > MAX_BYTES:
        return [wrong(host, "sts-policy-syntax", f"the policy is over {MAX_BYTES // 1024} KB", serve)]
    return await _policy_text(plan, asked, domain, fetched.body.decode("utf-8", "replace"), serve)


async def _policy_text(plan: Plan, asked: Asked, domain: str, text: str, serve: str) -> list[Finding]:
    host = f"{MTA_STS}.{domain}"
    try:
        policy = sts.parse(text, plan.policy_id, 0)
    except PolicyError:
        return [wrong(host, "sts-policy-syntax", f"no MTA-STS policy: {shown(text, 80)}", serve)]
    said = []
    if policy.mode != plan.sts_mode:
        said.append(wrong(host, "sts-policy-mode", f"the policy says {policy.mode}, zone.mta_sts says "
                          f"{plan.sts_mode}", serve))
    uncovered = [mx for _, mx in await asked.mx(domain) if not policy.allows(mx)]
    if uncovered:
        said.append(wrong(host, "sts-policy-mx", f"the policy does not name the MX {', '.join(uncovered)}: others will "
                          "not deliver to it", serve))
    return said
