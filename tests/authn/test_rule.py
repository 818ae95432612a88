"""What the rule makes of results, in cases that spoofing.toml has not."""

from __future__ import annotations

from dataclasses import replace

import pytest
import senders

from aliasing.message import Field
from policy.case import AuthResult, Case, PolicySettings
from policy.recipients import addresses
from policy.rules import authentication
from policy.status import Status
from policy.verdict import Verdict
from relay.demo.nameserver import BROKEN, NameServer

STRANGER = {"client": senders.STRANGER, "mail_from": "x@extra.example"}


async def judged(server: NameServer, **case: object) -> Case:
    server.zone = server.zone or senders.zone()
    return await senders.judged(case, server)


def status(verdict: Verdict) -> Status | None:
    return verdict.reply.status if verdict.reply else None


async def test_nothing_asked_is_never_a_pass_where_it_is_required(nameserver: NameServer) -> None:
    case = replace(await judged(nameserver), authentication=None)
    assert status(authentication.check(case)) is Status.INTERNAL
    case = replace(case, settings=PolicySettings(authentication="observe"))
    assert authentication.check(case).passes


async def test_observing_passes_and_says_what_would_have_been(nameserver: NameServer) -> None:
    case = await judged(nameserver, **STRANGER)
    verdict = authentication.check(replace(case, settings=PolicySettings(authentication="observe")))
    assert verdict.passes
    assert "NOT_AUTHENTICATED" in verdict.reason
    assert "spf=pass extra.example (another domain)" in verdict.reason


@pytest.mark.parametrize(("general", "own", "passes"), [
    ("require", {"tienda.example": "observe"}, True), ("observe", {"tienda.example": "require"}, False),
    ("require", {"example": "observe"}, False), ("require", {"extra.example": "observe"}, False)])
async def test_a_domain_may_differ(general: str, own: dict[str, str], passes: bool, nameserver: NameServer) -> None:
    case = await judged(nameserver, **STRANGER)
    settings = PolicySettings(authentication=general, authentication_domains=own)
    assert authentication.check(replace(case, settings=settings)).passes is passes


async def test_one_good_answer_is_enough_while_others_are_missing(nameserver: NameServer) -> None:
    nameserver.zone = senders.zone() | {("_dmarc.tienda.example", "TXT"): [BROKEN]}
    case = await judged(nameserver)
    assert case.authentication is not None
    assert case.authentication.temporary
    assert case.authentication.dmarc.result is AuthResult.TEMPERROR
    assert authentication.check(case).passes


@pytest.mark.parametrize(("name", "mail_from", "steps"), [
    ("_dmarc.tienda.example", "b@news.tienda.example", []), ("news.tienda.example", "b@news.tienda.example", []),
    ("s1._domainkey.tienda.example", "x@forward.example", [{"sign": "tienda.example"}])])
async def test_what_cannot_be_told_now_is_asked_again_later(name: str, mail_from: str, steps: list[dict[str, str]],
                                                            nameserver: NameServer) -> None:
    case = await judged(nameserver, client=senders.FORWARDER, mail_from=mail_from, steps=steps)
    assert authentication.check(case).passes
    nameserver.zone[name, "TXT"] = [BROKEN]
    case = await judged(nameserver, client=senders.FORWARDER, mail_from=mail_from, steps=steps)
    assert status(authentication.check(case)) is Status.AUTHENTICATION_UNAVAILABLE


async def test_the_policy_that_was_found_is_in_the_results(nameserver: NameServer) -> None:
    case = await judged(nameserver, **STRANGER)
    assert case.authentication is not None
    assert (case.authentication.dmarc.result, case.authentication.dmarc.policy) == (AuthResult.FAIL, "reject")
    case = await judged(nameserver, mail_from="b-1@news.tienda.example", client=senders.FORWARDER)
    assert case.authentication is not None
    assert case.authentication.dmarc.result is AuthResult.PASS


@pytest.mark.parametrize(("value", "expected"), [
    ("a@x.example", ["a@x.example"]), ("A <a@x.example>, b@x.example", ["a@x.example", "b@x.example"]),
    ('"b@x.example" <a@x.example>', ["a@x.example"]), ('"\\"b@x.example, \\" <b@x.example>," <a@x.example>', ["a@x.example"]),
    ("(b@x.example) a@x.example (c, d@x.example)", ["a@x.example"]), ("(a (b) c@x.example", []), ('"a@x.example', []),
    ("g: a@x.example, B <b@x.example>;", ["a@x.example", "b@x.example"]), ("undisclosed-recipients:;", []),
    ("b@x.example <a@x.example>", ["a@x.example"]), ("<a@x.example> b@x.example", []), ("<<a@x.example>>", []),
    ("=?utf-8?q?b=40x=2Eexample=2C?= <a@x.example>", ["a@x.example"]), ("<@b.example:a@x.example>", []),
    ("a@x.example" + ",a@x.example" * 600, ["a@x.example"] * 500),
])
def test_whom_a_field_names(value: str, expected: list[str]) -> None:
    assert [str(one) for one in addresses(Field.make("To", value))] == expected
