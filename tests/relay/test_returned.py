"""Mail to a return path and automatic mail to an alias: cases as files, and the limits."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import crlf

from aliasing.message import Message, MessageError
from policy.automatic import is_automatic
from relay.dsn.receive import MAX_REMOTE, understand
from relay.records import OutcomeKind

GOLDEN = Path(__file__).parent.parent / "golden" / "dsn"
CASES = sorted(path.stem for path in GOLDEN.glob("*.eml"))
ACTIONS = {"failed", "delayed", "delivered", "relayed", "expanded", "auto-reply", "receipt", "other"}
MEGABYTE = 1 << 20


def read(name: str) -> Message:
    return Message.parse(crlf((GOLDEN / f"{name}.eml").read_text(encoding="utf-8")))


def wanted(message: Message, name: str) -> str:
    field = message.field(f"x-case-{name}")
    return field.text if field else ""


@pytest.mark.parametrize("name", CASES)
def test_golden(name: str) -> None:
    message = read(name)
    received = understand(message)
    assert (received.action, received.outcome.kind, received.outcome.code) == (
        wanted(message, "action"), wanted(message, "kind"), wanted(message, "code")), wanted(message, "why")
    assert wanted(message, "remote") in received.outcome.remote


def test_there_are_cases_of_every_action() -> None:
    assert len(CASES) >= 30
    assert {wanted(read(name), "action") for name in CASES} == ACTIONS


def report(status: str, text: str = "sorry", head: str = "") -> Message:
    return Message.parse(crlf(
        f"From: MAILER-DAEMON@correo.example\n{head}Content-Type: multipart/report; boundary=b\n\n"
        f"--b\n\n{text}\n--b\nContent-Type: message/delivery-status\n\n{status}\n--b--\n"))


def test_the_remote_text_is_one_bounded_line_without_control_characters() -> None:
    received = understand(report("Action: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; \x1b[31m550\n\t" + "x" * 5000))
    assert len(received.outcome.remote) == MAX_REMOTE
    assert received.outcome.remote.isprintable()
    told = understand(Message.parse(crlf("From: mailer-daemon@x.example\n\n550 5.1.1 \x1b[2J" + "y" * 5000)))
    assert told.action == "failed"
    assert len(told.outcome.remote) <= MAX_REMOTE
    assert told.outcome.remote.isprintable()


@pytest.mark.parametrize("digits", ["٥.١.١", "５.１.１", "5.1.1111", "55.1.1", "5.1.1.1", "5.1"])
def test_a_code_is_ascii_and_nothing_but_a_code(digits: str) -> None:
    assert understand(report(f"Action: failed\nStatus: {digits}")).outcome.code == "5.0.0"


def test_the_code_holds_no_address_whatever_the_report_says() -> None:
    received = understand(report("Action: failed\nStatus: ana.lopez@correo.example\nFinal-Recipient: rfc822; x@y.example"))
    assert received.outcome.code == "5.0.0"


@pytest.mark.parametrize("subject", [
    "Automatic reply: x", "Out of Office: x", "Abwesenheitsnotiz", "Automatische Antwort: x", "Réponse automatique : x",
    "Respuesta automática: x", "Fuera de la oficina", "Resposta automática: x", "Risposta automatica: x",
    "Automatisch antwoord: x", "Autosvar: x", "Odpowiedź automatyczna: x", "自動応答: x", "自动答复: x", "AUTOMATIC  REPLY: x",
])
def test_an_absence_note_in_any_language_is_no_failure(subject: str) -> None:
    received = understand(Message.parse(crlf(f"From: postmaster@x.example\nReturn-Path: <>\nSubject: {subject}\n\n"
                                             "Undeliverable: 550 5.1.1 user unknown")))
    assert (received.action, received.outcome.kind) == ("auto-reply", OutcomeKind.DEFERRED)


@pytest.mark.parametrize(("head", "expected"), [
    ("From: MAILER-DAEMON@x.example", True), ("From: <>", True), ("Sender: Mailer-Daemon <mailer-daemon@x.example>", True),
    ("Return-Path: <MAILER-DAEMON>", True), ("X-Failed-Recipients: a@b.example", True),
    ("From: postmaster@x.example\nSubject: Undeliverable: x", True), ("Return-Path: <>\nSubject: Failure notice", True),
    ("Auto-Submitted: auto-replied\nSubject: Unzustellbar: x", True),
    ("From: postmaster@x.example", False), ("Return-Path: <>", False), ("Auto-Submitted: auto-replied", False),
    ("Subject: Undeliverable: x", False), ("Auto-Submitted: no\nSubject: Undeliverable: x", False),
    ("From: mailer-daemon.fan@x.example@y.example", True), ("From: fan of mailer-daemon <a@x.example>", False),
    ("Return-Path: <>\nSubject: We are undeliverable", False),
])
def test_a_text_is_believed_of_a_mail_server_only(head: str, expected: bool) -> None:
    received = understand(Message.parse(crlf(f"{head}\n\nRemote host said: 550 5.1.1 user unknown\n")))
    assert (received.action == "failed") is expected


@pytest.mark.parametrize(("text", "code"), [
    ("550 5.1.1 unknown", "5.1.1"), ("said: 550-5.1.1 unknown", "5.1.1"), ("said 554 (#5.7.1) no", "5.7.1"),
    ("unknown (#5.1.1)", "5.1.1"), ("status: 5.2.2", "5.2.2"), ("Error 550: 5.4.1 no", None), ("Fehler 5.4.1", "5.4.1"),
    ("host x [192.0.2.1]: 550 <a@b.example> unknown", "5.0.0"), ("smtp;552 Mailbox full", "5.0.0"),
    ("552 mailbox full", "5.0.0"), ("room 550 upstairs", None), ("550 123 456", None), ("on 5.1.1 we close", None),
    ("version 5.1.1", None), ("10.5.1.1", None), ("550 4.1.1 mixed up", None), ("1550 5.1.1", None),
])
def test_a_code_in_prose_needs_company(text: str, code: str | None) -> None:
    received = understand(Message.parse(crlf(f"From: MAILER-DAEMON@x.example\n\n{text}\n")))
    assert (received.outcome.code if received.action == "failed" else None) == code


@pytest.mark.parametrize(("head", "expected"), [
    ("Auto-Submitted: Auto-Replied (vacation)", True), ("Auto-Submitted: auto-notified", False),
    ("X-Auto-Response-Suppress: All", False), ("X-Autoreply: no", False), ("X-Mail-Autoreply: vacation", True),
    ("X-Autoresponse: 1", True), ("X-POST-MessageClass: 9; Autoresponder", True), ("X-POST-MessageClass: 3", False),
    ("X-MS-Exchange-Generated-Message-Source: Mailbox Rules Agent", False),
    ("Content-Type: multipart/report; report-type=disposition-notification; boundary=x", True),
    ("Content-Type: message/disposition-notification", True), ("Content-Type: message/delivery-status", True),
    ("Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: message/delivery-status\n\nAction: failed\n--x--", False),
    ("Subject: Automatic reply: hola", False), ("Subject: Automatic reply: hola\nIn-Reply-To: <a@b.example>", False),
    ("Subject: Automatic reply: hola\nAuto-Submitted: auto-generated", False),
    ("Subject: Automatic reply: hola\nAuto-Submitted: auto-generated\nIn-Reply-To: <a@b.example>", True),
    ("Subject: Out of office\nPrecedence: bulk\nIn-Reply-To: <a@b.example>", True),
    ("Subject: Out of office\nPrecedence: list\nIn-Reply-To: <a@b.example>", False),
    ("Subject: Your order\nAuto-Submitted: auto-generated\nIn-Reply-To: <a@b.example>", False),
    ("Subject: Re: Automatic reply: hola\nPrecedence: junk\nIn-Reply-To: <a@b.example>", False),
])
def test_automatic_mail_to_an_alias(head: str, expected: bool) -> None:
    assert is_automatic(Message.parse(crlf(f"From: a@b.example\n{head}\n\nhola\n"))) is expected


PIECES = ["Action: failed", "Status: 5.1.1", "Status:", "Final-Recipient: rfc822; a@b.example", "Diagnostic-Code: smtp; 550",
          " folded", "\t", "", ":", "550 5.1.1 no", "(#5.1.1)", "--b", "--b--", "Content-Type: message/rfc822",
          "Content-Type: message/delivery-status", "Content-Transfer-Encoding: base64", "From: <>", "From: @@<", "=?x?",
          "Content-Type: multipart/report; boundary=b", "Subject: =?utf-8?B?//8=?=", "user unknown", "<a<b", "&#55296;",
          "Content-Type: text/html", "ﷺ", "Hi. This is the ", "\x00\x1b", "---", "x" * 300]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=30), max_size=30))
def test_no_input_raises(lines: list[str]) -> None:
    raw = crlf("From: MAILER-DAEMON@x.example\nContent-Type: multipart/report; boundary=b\n"
               + "\n".join(line.encode("utf-8", "replace").decode() for line in lines))
    try:
        message = Message.parse(raw)
    except MessageError:
        return
    received = understand(message)
    is_automatic(message)
    assert received.action in ACTIONS
    assert received.outcome.code.isascii()
    assert len(received.outcome.remote) <= MAX_REMOTE


HOSTILE = ["<", "550 ", "5.1.1 ", "Action: failed\n", "#", "a: ", " \n", "&#1", "said:   ", "--- ", "ﷺ", "Status: 5.",
           "status code ", "\t" * 9 + "x", "<a", "Final-Recipient:\n\n", "undeliver", "5-" * 9]


@pytest.mark.parametrize("piece", HOSTILE)
@pytest.mark.parametrize("kind", ["text/plain", "text/html", "message/delivery-status", "message/rfc822"])
def test_ten_megabytes_are_no_work(piece: str, kind: str) -> None:
    body = crlf(piece) * (10 * MEGABYTE // len(piece.encode()))
    message = Message.parse(b"From: MAILER-DAEMON@x.example\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
                            b"--b\r\nContent-Type: " + kind.encode() + b"\r\n\r\n" + body + b"\r\n--b--\r\n")
    began = time.process_time()
    understand(message)
    assert time.process_time() - began < 1.5
