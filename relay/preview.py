"""A dry run: what a message's recipient would get, or which rule refuses it and with which reply. Nothing is stored."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from aliasing.address import Address, AddressError
from aliasing.correspondence import Direction, Side
from aliasing.rewrite import Threads, message_ids
from aliasing.token import KeyRing, OpenedAlias, Role, open_alias
from policy.case import Case, PolicySettings
from policy.chain import ENVELOPE_RULES, Decision, decide
from policy.rules.attachments import attachments, display_name
from policy.status import Status
from policy.verdict import Kind, Reply, Verdict, refuse
from relay import texts
from relay.ledger import Ledger
from relay.passage import Letter, Passage, carry, examine_all, files_of, make_case, pass_through, read

_WHEN = "0" * 16
"""Stands for the public id that a message gets when it is accepted."""


@dataclass(frozen=True)
class Preview:
    """`outgoing` is what would leave; `report` what `tradepost preview --json` prints."""

    report: dict[str, Any]
    outgoing: bytes | None = field(default=None, repr=False)

    @property
    def passes(self) -> bool:
        return str(self.report["verdict"]) == Kind.PASS


@dataclass(frozen=True)
class Envelope:
    """Who the message is said to come from, and by which client."""

    reverse_path: Address | None
    recipient: str
    client: IPv4Address | IPv6Address


class Previewer:
    """Judges messages as the daemon would at this moment."""

    def __init__(self, ledger: Ledger, ring: KeyRing, settings: PolicySettings, *, max_size: int,
                 language: str) -> None:
        self._ledger = ledger
        self._ring = ring
        # a file alone tells nothing of who brought it: the rule says "not asked" and the others are shown
        self._settings = replace(settings, authentication="observe", authentication_domains={})
        self._max_size = max_size
        self._language = language

    async def preview(self, raw: bytes, envelope: Envelope, now: datetime) -> Preview:
        """Never raises for any bytes; raises LedgerError when the ledger cannot be read."""
        data = with_crlf(raw)
        early = self._before_reading(data)
        alias = self._alias(envelope.recipient)
        if early is None and isinstance(alias, Verdict):
            early = ("recipient", alias)
        if early is not None:
            return self._refused(data, *early)
        assert isinstance(alias, OpenedAlias)
        letter = read(data)
        case = await self._case(letter, alias, envelope, now)
        if case is None:
            return self._refused(data, "recipient", refuse(Status.NO_SUCH_ALIAS))
        envelope_decision = decide(case, ENVELOPE_RULES)
        if not envelope_decision.verdict.passes:
            return self._refused(data, envelope_decision.rule or "", envelope_decision.verdict)
        threads = Threads(_WHEN, now, case.facts.originals)
        if letter.message is not None and (letter.automatic or envelope.reverse_path is None):
            held = Verdict(Kind.HOLD, Reply(Status.ACCEPTED), "an automatic reply is recorded and not forwarded")
            passage = carry(case, threads, Decision(held, "automatic", (("automatic", held),)))
        else:
            passage = pass_through(case, threads, ask_all=True)
        return self._report(data, letter, case, passage)

    def _before_reading(self, data: bytes) -> tuple[str, Verdict] | None:
        if len(data) > self._max_size:
            return "size", refuse(Status.TOO_COMPLEX, f"{len(data)} octets", limit=f"over {self._max_size} octets")
        if data.count(b"\n") != data.count(b"\r\n") or data.count(b"\r") != data.count(b"\r\n") or b"\0" in data:
            return "line-ends", refuse(Status.BROKEN, "a bare CR, LF or NUL", what="a bare CR, LF or NUL")
        return None

    def _alias(self, recipient: str) -> OpenedAlias | Verdict:
        try:
            address = Address.parse(recipient)
        except AddressError as error:
            return refuse(Status.NO_SUCH_ALIAS, str(error))
        found = open_alias(self._ring, address)
        if found is not None:
            return found
        if self._ring.open_action(address.domain, address.local) is not None:
            return refuse(Status.NO_SUCH_ALIAS, "a sealed action address: it does what it says, and forwards nothing")
        if self._ring.open(Role.RETURN, address.domain, address.local) is not None:
            return refuse(Status.NO_SUCH_ALIAS, "the return path of a delivery: only reports come here")
        return refuse(Status.NO_SUCH_ALIAS, "not sealed with a key of this ring")

    async def _case(self, letter: Letter, alias: OpenedAlias, envelope: Envelope, now: datetime) -> Case | None:
        direction = Direction.toward(Side(alias.role))
        facts = await self._ledger.facts(alias.correspondence, direction, now)
        if facts is None:
            return None
        if letter.message is not None:
            originals, replies = await self._ledger.originals(
                facts.correspondence, direction, message_ids(letter.message, "in-reply-to", "references"))
            facts = replace(facts, originals=originals, replies_to_buyer=replies)
        files = examine_all(files_of(letter), scrub=self._settings.metadata == "scrub")
        return make_case(letter, facts, client=envelope.client, reverse_path=envelope.reverse_path,
                         settings=self._settings, blocks=await self._ledger.relay_blocks(), now=now, files=files)

    def _refused(self, data: bytes, rule: str, verdict: Verdict) -> Preview:
        ran = [{"rule": rule, "verdict": verdict.kind, "reason": verdict.reason}]
        return Preview(self._head(verdict, rule, self._language) | {
            "leaks": [], "attachments": [], "changed_parts": [], "size_in": len(data), "size_out": 0, "verdicts": ran,
            "notes": []})

    def _report(self, data: bytes, letter: Letter, case: Case, passage: Passage) -> Preview:
        decision, message = passage.decision, letter.message
        outgoing = passage.outgoing.raw if passage.outgoing and decision.verdict.passes else None
        language = case.facts.correspondence.parties[case.facts.direction.writer].language
        files = [{"part": part.path or "1", "name": display_name(part), "size": len(message.decoded(part)),
                  "kind": case.files[part.path].kind, "scrubbed": list(case.files[part.path].removed)}
                 for part in attachments(message)] if message else []
        return Preview(self._head(decision.verdict, decision.rule, language) | {
            "leaks": list(passage.leaks), "attachments": files, "changed_parts": list(passage.changed),
            "size_in": len(data), "size_out": len(outgoing or b""),
            "verdicts": [{"rule": rule, "verdict": verdict.kind, "reason": verdict.reason}
                         for rule, verdict in decision.ran],
            "notes": list(passage.notes)}, outgoing)

    def _head(self, verdict: Verdict, rule: str | None, language: str) -> dict[str, Any]:
        reply = verdict.reply or Reply(Status.ACCEPTED)
        return {"verdict": str(verdict.kind), "rule": rule, "reply": texts.smtp_line(reply, language),
                "enhanced_code": reply.status.enhanced}


def with_crlf(raw: bytes) -> bytes:
    """A file as it would come over SMTP: one kept with LF line ends throughout gets CRLF, others stay as they are."""
    return raw if b"\r\n" in raw else raw.replace(b"\n", b"\r\n")
