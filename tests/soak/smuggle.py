"""End-of-data variants in and out: one message stays one, whoever reads the stream; Postfix is asked the same."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from bench.postfix import Postfix
from bench.relay import free_port
from support import BUYER, SELLER, Relay

END = b"\r\n.\r\n"
VARIANTS: dict[str, bytes] = {
    "LF . LF": b"\n.\n", "LF . CRLF": b"\n.\r\n", "CRLF . LF": b"\r\n.\n", "LF . CR": b"\n.\r", "CR . LF": b"\r.\n", "CR . CR": b"\r.\r",
    "CR . CRLF": b"\r.\r\n", "CRLF . CR": b"\r\n.\r", "CR LF LF . CRLF": b"\r\n\n.\r\n", "CRLF . CR CRLF": b"\r\n.\r\r\n", "CRLF . LF CRLF": b"\r\n.\n\r\n",
    "LF CR . CRLF": b"\n\r.\r\n", "CRLF NUL . CRLF": b"\r\n\0.\r\n", "CRLF . NUL CRLF": b"\r\n.\0\r\n", "CR NUL LF . CRLF": b"\r\0\n.\r\n",
    "CRLF . CR NUL LF": b"\r\n.\r\0\n", "LF .. LF": b"\n..\n", "LF .. CRLF": b"\n..\r\n", "CRLF .. LF": b"\r\n..\n", "CR .. CRLF": b"\r..\r\n",
    "LF .. CR": b"\n..\r", "CRLF SP . CRLF": b"\r\n .\r\n", "CRLF . SP CRLF": b"\r\n. \r\n", "CRLF .. CRLF": b"\r\n..\r\n",
    "CRLF ... CRLF": b"\r\n...\r\n", "VT . VT": b"\x0b.\x0b", "NEL . NEL": b"\xc2\x85.\xc2\x85",
}
"""What other servers have taken for the end of the data. None is (RFC 5321 4.1.1.4)."""
SOUND = frozenset(name for name, data in VARIANTS.items()
                  if data.count(b"\r") == data.count(b"\n") == data.count(b"\r\n") and b"\0" not in data)
"""In these every line ends with CRLF: they may be part of a message."""


# --- in ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """What a server made of a stream with one message in it, and perhaps another one smuggled inside."""

    seen: int
    """Messages: how often it said 354."""
    said: str
    """To the first of them."""

    @property
    def taken(self) -> bool:
        return self.said.startswith("250")

    def __str__(self) -> str:
        return f"{self.seen} message{'s' if self.seen != 1 else ''}, {self.said}"


def stream(variant: bytes, sender: str, recipient: str, mark: str) -> bytes:
    """After DATA: a message, the variant, a second transaction, and the one real end."""
    head = f"From: {sender}\r\nTo: {recipient}\r\nSubject: {{}} {mark}\r\n\r\n"
    envelope = f"MAIL FROM:<{sender}>\r\nRCPT TO:<{recipient}>\r\nDATA\r\n"
    return head.format("first").encode() + b"x" + variant + envelope.encode() + head.format("second").encode() + b"y" + END


async def ask(port: int, sender: str, recipient: str, pieces: list[bytes]) -> Answer:
    """Send the pieces after DATA, each once the one before has been read, and count what the server takes them for."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    said: list[str] = []
    try:
        await _reply(reader)
        for command in ("EHLO client.example", f"MAIL FROM:<{sender}>", f"RCPT TO:<{recipient}>", "DATA"):
            writer.write(command.encode() + b"\r\n")
            answer = await _reply(reader)
            assert answer.startswith("354" if command == "DATA" else "250"), answer
        for piece in pieces:
            writer.write(piece)
            if len(pieces) > 1:
                await _read_by_peer(writer)
        said.append(await _reply(reader))
        writer.write(b"QUIT\r\n")
        while not said[-1].startswith(("221", "421")):
            said.append(await _reply(reader))
    except (asyncio.IncompleteReadError, ConnectionError):
        said.append("closed")
    finally:
        writer.close()
    return Answer(1 + sum(line.startswith("354") for line in said), " ".join(said[0].split(" ")[:2]))


async def _reply(reader: asyncio.StreamReader) -> str:
    while True:
        line = (await asyncio.wait_for(reader.readuntil(b"\r\n"), 20)).decode("latin-1")
        if line[3:4] != "-":
            return line.rstrip()


async def _read_by_peer(writer: asyncio.StreamWriter) -> None:
    """Wait until the other end of a loopback connection has read all that was sent (its receive queue, proc(5))."""
    mine, peer = (f":{writer.get_extra_info(name)[1]:04X}" for name in ("sockname", "peername"))
    await writer.drain()
    for _ in range(2000):
        for line in Path("/proc/net/tcp").read_text().splitlines():
            words = line.split()
            if words[1].endswith(peer) and words[2].endswith(mine):
                if words[4].endswith(":00000000"):
                    return
                break
        else:
            return  # closed
        await asyncio.sleep(0)


def cuts(variant: bytes, whole: bytes) -> Iterator[list[bytes]]:
    """The stream in one piece, in two at every place in and around the variant and the end, and octet by octet there."""
    at = whole.index(b"x" + variant) + 1
    yield [whole]
    places = [*range(at - 1, at + len(variant) + 2), *range(len(whole) - len(END), len(whole))]
    for place in places:
        yield [whole[:place], whole[place:]]
    yield [whole[start:end] for start, end in pairwise([0, *places, len(whole)])]


@dataclass
class Row:
    """One variant: what Tradepost answered, however it was cut, and what Postfix did."""

    name: str
    ours: set[Answer] = field(default_factory=set)
    asked: int = 0
    theirs: dict[str, Answer] = field(default_factory=dict)

    def wrong(self) -> str:
        """Why this is a failure; "" when it is none."""
        if len(self.ours) != 1:
            return "the answer depends on the segments"
        ours = next(iter(self.ours))
        if ours.seen > 1:
            return "smuggled"
        if self.name not in SOUND and ours.taken:
            return "a bare CR, LF or NUL was taken"
        if self.name in SOUND and not ours.taken:
            return "a sound message was not taken"
        strict = self.theirs.get("strict")
        if strict and ours.taken and not strict.taken:
            return "laxer than Postfix"
        return ""


async def inward(relay: Relay, alias: str, *, whole: bool = False) -> list[Row]:
    """Every variant into Tradepost. `whole`: uncut and octet by octet only."""
    rows = []
    for name, variant in VARIANTS.items():
        row = Row(name)
        data = stream(variant, SELLER, alias, name)
        pieces = list(cuts(variant, data))
        for one in (pieces[0], pieces[-1]) if whole else pieces:
            row.ours.add(await ask(relay.port, SELLER, alias, one))
            row.asked += 1
        rows.append(row)
    return rows


async def second_opinion(rows: list[Row], ports: dict[str, int]) -> None:
    """The same streams to Postfix, by name of its setting."""
    for row in rows:
        for name, port in ports.items():
            data = stream(VARIANTS[row.name], Postfix.sender, Postfix.recipient, row.name)
            row.theirs[name] = await ask(port, Postfix.sender, Postfix.recipient, [data])


# --- out -----------------------------------------------------------------------------------------------------------


class StrictHop:
    """A next hop that keeps the stream as it came, ends data at CRLF.CRLF only, and notes everything that is not SMTP."""

    def __init__(self, extensions: tuple[str, ...] = ("8BITMIME", "SMTPUTF8")) -> None:
        self.messages: list[bytes] = []
        """As transmitted, with stuffed dots, without the end."""
        self.complaints: list[str] = []
        self.port = 0
        self._extensions = extensions

    async def __aenter__(self) -> StrictHop:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            writer.write(b"220 hop.example\r\n")
            while (line := await reader.readuntil(b"\r\n")) != b"QUIT\r\n":
                writer.write(self._answer(line))
                if line == b"DATA\r\n":
                    self._keep((await reader.readuntil(END))[: -len(END)] + b"\r\n")
                    writer.write(b"250 2.0.0 Taken\r\n")
            writer.write(b"221 2.0.0 Bye\r\n")
        writer.close()

    def _answer(self, line: bytes) -> bytes:
        verb = line[:4].upper()
        if verb == b"EHLO":
            lines = ["hop.example", *self._extensions]
            return "".join(f"250{' ' if one == lines[-1] else '-'}{one}\r\n" for one in lines).encode()
        if line == b"DATA\r\n":
            return b"354 Go on\r\n"
        if verb not in (b"MAIL", b"RCPT", b"RSET", b"HELO", b"NOOP"):
            self.complaints.append(f"not a command: {line[:80]!r}")
        return b"250 2.0.0 OK\r\n"

    def _keep(self, data: bytes) -> None:
        self.messages.append(data)
        crlf = data.count(b"\r\n")
        if data.count(b"\r") != crlf or data.count(b"\n") != crlf or b"\0" in data:
            self.complaints.append(f"a bare CR, LF or NUL in {data[:2000]!r}")
        if any(line.startswith(b".") and not line.startswith(b"..") for line in data.split(b"\r\n")):
            self.complaints.append(f"a dot that is not stuffed in {data[:2000]!r}")
        if max(map(len, data.split(b"\r\n"))) > 998:
            self.complaints.append("a line over 998 octets")


def carriers(variant: bytes, sender: str, alias: str, mark: str) -> Iterator[tuple[str, bytes]]:
    """Messages, sound on the wire, that hold the variant and a second transaction where a rewriter may set it free."""
    inside = b"Hola " + SELLER.encode() + b" " + BUYER.encode() + variant + b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n\r\nz"
    coded, quoted = base64.encodebytes(inside).replace(b"\n", b"\r\n"), _quoted(inside)
    word, percent = base64.b64encode(b"a" + variant + b"b").decode(), "".join(f"%{byte:02X}" for byte in variant)
    head = f"From: {sender}\r\nTo: {alias}\r\nMIME-Version: 1.0\r\n"

    def letter(name: str, fields: str, body: bytes, subject: str = "") -> tuple[str, bytes]:
        return name, f"{head}Subject: {mark} {name}{subject}\r\n{fields}\r\n".encode() + body + b"\r\n"

    for kind in ("plain", "html"):
        for encoding, body in (("base64", coded), ("quoted-printable", quoted)):
            yield letter(f"{kind} {encoding}", f"Content-Type: text/{kind}; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n", body)
    yield letter("utf-16", "Content-Type: text/plain; charset=utf-16le\r\nContent-Transfer-Encoding: base64\r\n",
                 base64.encodebytes(inside.decode("latin-1").encode("utf-16-le")).replace(b"\n", b"\r\n"))
    yield letter("attached text", "Content-Type: multipart/mixed; boundary=b\r\n", b"--b\r\n\r\nHola\r\n--b\r\nContent-Type: text/plain; name=a.txt\r\n"
                 b"Content-Disposition: attachment\r\nContent-Transfer-Encoding: base64\r\n\r\n" + coded + b"\r\n--b--")
    yield letter("subject", "", b"Hola", f" =?utf-8?B?{word}?=")
    yield letter("file name", "Content-Type: multipart/mixed; boundary=b\r\n", b"--b\r\n\r\nHola\r\n--b\r\nContent-Type: text/plain\r\n"
                 + f"Content-Disposition: attachment; filename*=utf-8''a{percent}.txt\r\n\r\nx\r\n--b--".encode())
    if mark in SOUND:
        yield letter("8bit", "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n",
                     "ñ".encode() + variant + b".\r\n.x\r\n..\r\n" + SELLER.encode() + b"\r\n.")


def _quoted(data: bytes) -> bytes:
    return b"=\r\n".join(b"".join(b"=%02X" % byte for byte in data[at : at + 20]) for at in range(0, len(data), 20))


@dataclass
class Out:
    """What went to the next hop."""

    sent: int = 0
    taken: int = 0
    refused: int = 0
    arrived: int = 0
    complaints: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return self.taken == self.arrived > 0 and not self.complaints


async def outward(folder: Path, extensions: tuple[str, ...], variants: dict[str, bytes] = VARIANTS) -> Out:
    """Every carrier of every variant through a relay whose next hop has these extensions."""
    out = Out()
    async with StrictHop(extensions) as hop:
        relay = Relay(folder, {"outbound": {"route": f"smtp://127.0.0.1:{hop.port}"}, "policy": {"rate_base": 10**9}})
        alias = relay.order()["buyer"]["alias"]
        await relay.start()
        try:
            for mark, variant in variants.items():
                for _, data in carriers(variant, SELLER, alias, mark):
                    stuffed = (b"\r\n" + data).replace(b"\r\n.", b"\r\n..")[2:]
                    answer = await ask(relay.port, SELLER, alias, [stuffed + b".\r\n"])
                    out.sent += 1
                    out.taken += answer.taken
                    out.refused += answer.said.startswith("5")
            for _ in range(300):
                if len(hop.messages) >= out.taken:
                    break
                await asyncio.sleep(0.1)
        finally:
            await relay.stop()
    out.arrived, out.complaints = len(hop.messages), hop.complaints
    return out


# --- the campaign --------------------------------------------------------------------------------------------------


def campaign() -> int:
    """Print the table; 0 when no variant is a second message, in or out, and Tradepost is nowhere laxer than Postfix."""
    if not shutil.which("postfix", path=f"{os.environ['PATH']}:/usr/sbin"):
        raise SystemExit("smuggle: postfix is missing; install Debian's postfix")
    with tempfile.TemporaryDirectory(prefix="tradepost-soak-") as folder:
        return asyncio.run(_campaign(Path(folder)))


async def _campaign(folder: Path) -> int:
    for name in ("in", "hop8", "hop7"):
        (folder / name).mkdir()
    rows = await _rows(folder)
    print(f"{'variant':18} {'Tradepost (ways it was cut)':34} {'Postfix, strict':26} {'Postfix, its default':26}")
    for row in rows:
        ours = f"{' or '.join(map(str, row.ours))} ({row.asked})"
        print(f"{row.name:18} {ours:34} {row.theirs['strict']!s:26} {row.theirs['default']!s:26} {row.wrong()}".rstrip())
    wide, narrow = await outward(folder / "hop8", ("8BITMIME", "SMTPUTF8")), await outward(folder / "hop7", ())
    for name, out in (("with 8BITMIME", wide), ("without", narrow)):
        print(f"out, next hop {name}: sent {out.sent}, refused {out.refused}, taken {out.taken}, messages at the next hop {out.arrived} "
              f"(must be {out.taken}), complaints (must be 0) {len(out.complaints)}")
        print("".join(f"  {one}\n" for one in out.complaints[:20]), end="")
    wrong = [row for row in rows if row.wrong()]
    print(f"variants that are wrong (must be 0): {len(wrong)}")
    return 0 if not wrong and wide.clean and narrow.clean else 1


async def _rows(folder: Path) -> list[Row]:
    async with StrictHop() as hop:
        relay = Relay(folder / "in", {"outbound": {"route": f"smtp://127.0.0.1:{hop.port}"}, "policy": {"rate_base": 10**9}})
        alias = relay.order()["buyer"]["alias"]
        await relay.start()
        try:
            rows = await inward(relay, alias)
        finally:
            await relay.stop()
        default, strict = free_port(), free_port()
        postfix = Postfix(folder / "postfix", default, hop.port)
        with (folder / "postfix" / "etc" / "master.cf").open("a") as master:
            master.write(f"127.0.0.1:{strict} inet n - n - - smtpd\n -o smtpd_forbid_bare_newline=reject\n"
                         " -o smtpd_forbid_bare_newline_exclusions=\n")
        with postfix:
            await second_opinion(rows, {"default": default, "strict": strict})
    return rows
