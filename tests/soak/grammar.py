"""SMTP sessions made at random: what a client says, in what pieces, and how it leaves. From a seed and a number alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import cache
from pathlib import Path
from random import Random

from support import BUYER, SELLER, message

from soak.mutate import mutated

DIALOGS = Path(__file__).parent.parent / "dialogs"
END = b"\r\n.\r\n"
WORDS = (b"\r\n", b"\n", b"\r", b"\0", b" ", b"<", b">", b"@", b"MAIL FROM:<>\r\n", b"RCPT TO:<", b"DATA\r\n", b"RSET\r\n", b"NOOP\r\n",
         b"STARTTLS\r\n", b"EHLO x\r\n", b"QUIT\r\n", b"BDAT 5 LAST\r\nhello", b"AUTH PLAIN AGEAYg==\r\n", b"SIZE=99999999999999999999",
         b"BODY=BINARYMIME", b"SMTPUTF8", b"\xff", b"\xc3\xb1", b".\r\n", END, b"\n.\n", b"x" * 600, b"%n%s", b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
         b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")


class Leave(Enum):
    """How a session ends."""

    QUIT = auto()
    HALF_CLOSE = auto()
    CLOSE = auto()
    RESET = auto()


@dataclass(frozen=True)
class Step:
    """Octets to send at once, or STARTTLS with the handshake that follows it."""

    data: bytes
    wait: bool = True
    """For the answer, as far as there will be one."""
    tls: bool = False


@dataclass
class Session:
    steps: list[Step] = field(default_factory=list)
    leave: Leave = Leave.HALF_CLOSE
    early: bool = False
    """Speak before the greeting."""


def session(seed: int, number: int, aliases: tuple[str, str]) -> Session:
    """The session of that number in the campaign of that seed; `aliases` are the buyer's and the seller's."""
    rng = Random(f"{seed}:{number}")
    made = Session(leave=rng.choices(list(Leave), (5, 5, 1, 1))[0], early=rng.random() < 0.02)
    said = _as_told(rng, aliases) if rng.random() < 0.25 else _by_the_book(rng, aliases)
    steps = [*said, Step(b"QUIT\r\n")] if made.leave is Leave.QUIT else said
    if rng.random() < 0.35:
        steps = _disturbed(rng, steps)
    if rng.random() < 0.4:
        steps = _spoilt(rng, steps)
    if rng.random() < 0.3:
        steps = _pipelined(rng, steps)
    made.steps = [piece for step in steps for piece in (_split(rng, step) if rng.random() < 0.15 else (step,))]
    return made


# --- what is said --------------------------------------------------------------------------------------------------


def _by_the_book(rng: Random, aliases: tuple[str, str]) -> list[Step]:
    """A greeting and one to three transactions, each in order."""
    steps = [Step(f"{rng.choice(('EHLO', 'HELO', 'EHLO', 'ehlo'))} client{rng.randrange(9)}.example\r\n".encode())]
    if rng.random() < 0.04:
        steps += [Step(b"STARTTLS\r\n", tls=True), Step(b"EHLO client.example\r\n")]
    for _ in range(rng.choice((1, 1, 2, 3))):
        steps += _transaction(rng, aliases)
    return steps


def _transaction(rng: Random, aliases: tuple[str, str]) -> list[Step]:
    writer, alias = rng.choice(((SELLER, aliases[0]), (BUYER, aliases[1])))
    sender = rng.choices((writer, *_PATHS), (12, *(1,) * len(_PATHS)))[0]
    recipients = [rng.choices((alias, alias.upper(), f"@a.example:{alias}", *_PATHS), (30, 2, 1, *(1,) * len(_PATHS)))[0]
                  for _ in range(rng.choice((1, 1, 1, 2, 5)))]
    parameters = "".join(f" {rng.choice(_PARAMETERS)}" for _ in range(rng.choice((0, 0, 1, 1, 2))))
    return [Step(f"MAIL FROM:<{sender}>{parameters}\r\n".encode("utf-8", "replace")),
            *(Step(f"RCPT TO:<{one}>\r\n".encode("utf-8", "replace")) for one in recipients),
            Step(b"DATA\r\n"), Step(_content(rng, writer, alias))]


_PATHS = ("", "a@b.example", '"a b"@c.example', "jos\u00e9@se\u00f1al.example", "<x@y.example>", "postmaster", "x" * 65 + "@y.example",
          "a@" + "b." * 130 + "example", "a@[192.0.2.1]", "a@[IPv6:::1]", "0" * 39 + "@relay.example", "a@b.example> SIZE=1 <c@d.example",
          "a@xn--zzz.example", '"\\"@relay.example', "@relay.example", "a@relay.example@b.example", "../../etc/passwd@relay.example")
_PARAMETERS = ("SIZE=1000", "SIZE=99999999999999999999999", "SIZE=-1", "SIZE=", "BODY=8BITMIME", "BODY=BINARYMIME", "SMTPUTF8", "RET=HDRS",
               "ENVID=x", "AUTH=<>", "NOTIFY=NEVER", "ORCPT=rfc822;x@y.example", "X=" + "y" * 400, "=", "SIZE=\u0663", "size=10 size=20")


def _content(rng: Random, writer: str, alias: str) -> bytes:
    from soak.parsers import letters, streams

    match rng.randrange(6):
        case 0:
            return mutated(rng, letters(), WORDS) + END
        case 1:
            return rng.choice(streams())
        case 2:
            return b"x" * rng.choice((998, 70_000, 300_000)) + END if rng.random() < 0.1 else b"\r\n" * rng.randint(0, 9000) + END
        case _:
            id_ = f"<{rng.getrandbits(64):x}@mua.example>"  # support's is another in each process
            return message(writer, alias, body="Hola.\n..\n" * rng.randint(0, 20), Message_ID=id_) + b".\r\n"


@cache
def _dialogs() -> tuple[str, ...]:
    return tuple(path.read_text() for path in sorted(DIALOGS.glob("*.txt")))


def _as_told(rng: Random, aliases: tuple[str, str]) -> list[Step]:
    """One of tests/dialogs, without what it expects."""
    values = {"buyer-alias": aliases[0], "seller-alias": aliases[1], "seller": SELLER, "forged": "0" * 38 + "z",
              "BUYER-ALIAS": aliases[0].upper()}
    steps = []
    for line in re.sub(r"\{([A-Za-z-]+)\}", lambda match: values.get(match[1], match[0]), rng.choice(_dialogs())).splitlines():
        if line[:3] in ("C: ", "W: "):
            said, _, times = line[3:].partition(" *")
            data = said.encode() + b"\r\n" if line[0] == "C" else _unescaped(said)
            count = min(int(times), 3) if times.isdigit() else 1
            steps.append(Step(data * count, wait=line[0] == "C"))
    return steps


def _unescaped(text: str) -> bytes:
    return text.encode().replace(b"\\r", b"\r").replace(b"\\n", b"\n").replace(b"\\0", b"\0")


# --- what is done to it --------------------------------------------------------------------------------------------


def _disturbed(rng: Random, steps: list[Step]) -> list[Step]:
    """Commands left out, said twice, in another order, or of another kind."""
    steps = list(steps)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(steps) + 1)
        match rng.randrange(4):
            case 0 if steps:
                del steps[at - 1]
            case 1 if steps:
                steps.insert(at, rng.choice(steps))
            case 2 if len(steps) > 1:
                other = rng.randrange(len(steps))
                steps[at - 1], steps[other] = steps[other], steps[at - 1]
            case _:
                steps.insert(at, Step(rng.choice(_OTHERS)))
    return steps


_OTHERS = (b"RSET\r\n", b"NOOP x\r\n", b"VRFY root\r\n", b"EXPN all\r\n", b"HELP\r\n", b"DATA\r\n", b"DATA now\r\n", b"BDAT 3\r\nabc",
           b"AUTH PLAIN\r\n", b"AUTH LOGIN\r\n", b"STARTTLS x\r\n", b"\r\n", b" \r\n", b"HELO\r\n", b"EHLO [127.0.0.1]\r\n", b"EHLO a b\r\n",
           b"HELO \xc3\xb1\r\n", b"MAIL\r\n", b"MAIL FROM:\r\n", b"MAIL FROM:<\r\n", b"RCPT TO:<>\r\n", b"RCPT TO:\r\n", b"QUIT now\r\n",
           b"mail from : <a@b.example>\r\n", b"x" * 511 + b"\r\n", b"NOOP " + b"y" * 5000 + b"\r\n", b"NOOP " + b"z" * 70_000 + b"\r\n",
           b"\0\r\n", b"\x80\xff\r\n", b"QUIT\r\n", b"STARTTLS\r\n", b".\r\n")


def _spoilt(rng: Random, steps: list[Step]) -> list[Step]:
    """Octets of one step changed."""
    if not steps:
        return steps
    at, whole = rng.randrange(len(steps)), [step.data for step in steps]
    return [Step(mutated(rng, (step.data,) if rng.random() < 0.8 else whole, WORDS), step.wait) if index == at else step
            for index, step in enumerate(steps)]


def _pipelined(rng: Random, steps: list[Step]) -> list[Step]:
    """Several steps in one write, from some place on (RFC 2920)."""
    first = rng.choice((0, 1, 1, 1))
    if any(step.tls for step in steps):
        return steps
    return [*steps[:first], Step(b"".join(step.data for step in steps[first:]), wait=False)]


def _split(rng: Random, step: Step) -> Iterator[Step]:
    """The same octets in two to five writes."""
    if step.tls or len(step.data) < 2:
        yield step
        return
    places = sorted(rng.sample(range(1, len(step.data)), min(len(step.data) - 1, rng.randint(1, 4))))
    for start, end in zip([0, *places], [*places, len(step.data)], strict=True):
        yield Step(step.data[start:end], step.wait and end == len(step.data))
