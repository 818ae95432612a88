"""Two mail programs that answer each other: each message is made from the one that arrived before it.

The shapes are files in golden/conversations; its README says what can stand in them. Nothing of the product is used.
"""

from __future__ import annotations

import email
import email.policy
import html
import re
import textwrap
import tomllib
from dataclasses import dataclass
from email.message import EmailMessage
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

from shape_build import base64_lines, transfer, words

FOLDER = Path(__file__).parent / "golden" / "conversations"
NAMES = sorted(path.stem for path in FOLDER.glob("*.toml"))
BLOCKS = ("p", "div", "blockquote", "li", "tr", "h1", "h2")


@dataclass(frozen=True)
class Conversation:
    """One of the files: `people` by side, the six `texts`, and all that it says besides."""

    name: str
    subject: str
    prefixes: dict[str, str]
    file_at: int
    file_name: str
    must_show: list[str]
    people: dict[str, dict[str, Any]]
    texts: list[str]

    @classmethod
    def read(cls, name: str) -> Conversation:
        said = tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
        return cls(name, said["subject"], said["reply_prefix"], said["file"], said["file_name"], said["must_show"],
                   {side: said[side] for side in ("seller", "buyer")}, [one["text"].strip() for one in said["message"]])


def parsed(raw: bytes) -> EmailMessage:
    """As the standard library reads it."""
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def part(message: EmailMessage, kind: str) -> EmailMessage:
    """The one part of that type."""
    [found] = [one for one in message.walk() if one.get_content_type() == kind]
    assert isinstance(found, EmailMessage)
    return found


def content(message: EmailMessage, kind: str) -> str:
    return str(part(message, kind).get_content())


class Writer:
    """One person at one mail program, writing to one alias. `mailbox` is all that it has sent and received."""

    def __init__(self, conversation: Conversation, side: str, address: str, alias: str) -> None:
        self.conversation, self.side, self.address, self.alias = conversation, side, address, alias
        self.person = conversation.people[side]
        self.program = str(self.person["program"])
        self.domain = address.partition("@")[2]
        self.mailbox: list[bytes] = []

    def write(self, number: int, answered: bytes | None, image: bytes, file: bytes) -> bytes:
        """The message with that number (1 to 6), in answer to the last that arrived."""
        mark = f"{number:02d}{self.side.encode().hex()}"
        values = self._values(number, mark, answered)
        page, plain = self._filled("html", values, number), self._filled("txt", values, number)
        charset, encoding = str(self.person["charset"]), str(self.person["encoding"])
        bodies = {"html": page, "plain": plain}
        values |= {name: _octets(transfer(text.encode(charset), encoding)) for name, text in bodies.items()}
        values |= {"image": _octets(base64_lines(image)), "file": _octets(base64_lines(file))}
        return self._filled("eml", values, number).encode("utf-8", "surrogateescape")

    def _values(self, number: int, mark: str, answered: bytes | None) -> dict[str, str]:
        said, person, charset = self.conversation, self.person, str(self.person["charset"])
        kind = "Q" if person["encoding"] == "quoted-printable" else "B"
        text = said.texts[number - 1].replace("{own_real}", self.address)
        values = {
            "from": f"{words(person['name'], charset, kind)} <{self.address}>", "to": f"<{self.alias}>",
            "subject": words(said.subject, charset, kind), "date": f"Tue, 24 Nov 2026 1{number}:15:00 +0100",
            "id": self._message_id(mark), "mark": mark, "charset": charset, "encoding": str(person["encoding"]),
            "file_name": quote(said.file_name, safe=""), "file_name_words": words(said.file_name, charset, "B"),
            "own_real": self.address, "own_name": person["name"], "cid": self._content_id(mark),
        }
        if answered is None:
            return values | self._texts(text)
        return values | self._texts(text) | self._answer(parsed(answered), values, number)

    def _texts(self, text: str) -> dict[str, str]:
        paragraph = {"outlook": "<p class=MsoNormal>{}<o:p></o:p></p>", "gmail": "<div>{}</div><div><br></div>",
                     "apple": "<div>{}</div><div><br></div>", "thunderbird": "    <p>{}</p>"}[self.program]
        blocks = [paragraph.format(html.escape(block).replace("\n", "<br>\n")) for block in text.split("\n\n")]
        return {"text": "\n".join(blocks), "plain_text": text}

    def _answer(self, answered: EmailMessage, values: dict[str, str], number: int) -> dict[str, str]:
        person, said = self.person, self.conversation
        sender = answered["from"].addresses[0]
        time = f"1{number - 1}:15"
        told = {"name": sender.display_name, "address": sender.addr_spec, "time": time, "when": f"24. 11. 2026 {time}",
                "own_address": str(answered["to"].addresses[0].addr_spec), "quoted_subject": str(answered["subject"])}
        told |= dict(zip(("label_from", "label_sent", "label_to", "label_subject"), person.get("labels", ()), strict=False))
        above = str(person.get("attribution", "")).format(**told)
        page = content(answered, "text/html")
        [old] = set(re.findall(r"cid:([^\"'>\s]+)", page))
        page = page.replace(f"cid:{old}", f"cid:{values['cid']}")
        return told | {
            "subject": words(said.prefixes[self.side] + said.subject, values["charset"], "B"), "attribution": above,
            "attribution_html": html.escape(above).replace(sender.addr_spec, f'<a href="mailto:{sender.addr_spec}">{sender.addr_spec}</a>'),
            "mid": answered["message-id"].strip("<>"), "in_reply_to": answered["message-id"],
            "references": "\n ".join([*(answered["references"] or "").split(), answered["message-id"]]),
            "quoted": self._quoted_html(page), "plain_quoted": self._quoted_text(page)}

    def _quoted_html(self, page: str) -> str:
        inside = re.search(r"(?is)<body[^>]*>(.*)</body>", page)
        page = (inside.group(1) if inside else page).strip()
        if self.program == "outlook":  # Word takes its own view of paragraphs, and breaks lines where a space is
            page = re.sub(r'<p style="color: #555555">(.*?)</p>',
                          r"<p class=MsoNormal><span style='color:#555555'>\1<o:p></o:p></span></p>", page, flags=re.DOTALL)
            return "\n".join(textwrap.wrap(page, 76, break_long_words=False, break_on_hyphens=False))
        if self.program == "gmail":
            return page.replace("color: #555555", "color:rgb(85,85,85)").replace("<a href", '<a target="_blank" href')
        return page

    def _quoted_text(self, page: str) -> str:
        lines = as_text(page).split("\n")
        if self.program == "outlook":
            return "\n".join(lines)
        if self.program == "gmail":  # it breaks long lines, those of the quotation too
            lines = [piece for line in lines for piece in (textwrap.wrap(
                line, 74, break_long_words=False, break_on_hyphens=False) or [""])]
        return "\n".join(">" + ("" if line.startswith(">") else " ") + line for line in lines)

    def _filled(self, kind: str, values: dict[str, str], number: int) -> str:
        shape = (FOLDER / f"{self.program}.{kind}").read_text(encoding="utf-8")
        truths = {"reply": number > 1, "file": number == self.conversation.file_at,
                  "nofile": number != self.conversation.file_at}
        shape = re.sub(r"(?ms)^\[\[(\w+)\n(.*?)^\]\]\n", lambda found: found[2] if truths[found[1]] else "", shape)
        if kind == "html":
            values = {name: value if name in ("text", "quoted", "attribution_html") else html.escape(value)
                      for name, value in values.items()}
        if kind == "txt":
            values = values | {"text": values["plain_text"], "quoted": values.get("plain_quoted", "")}
        filled = re.sub(r"\{([a-z_]+)\}", lambda found: values[found[1]], shape)
        return filled.replace("\r\n", "\n").replace("\n", "\r\n")

    def _message_id(self, mark: str) -> str:
        return {"outlook": f"000001dc5d2a${mark[:8]}$4e5f6a70$@{self.domain}", "gmail": f"CAF{mark}=xQ@mail.{self.domain}",
                "apple": f"{mark.upper()}-4F1A-8C77@{self.domain}", "thunderbird": f"{mark}-9d1c-4b@{self.domain}"}[self.program]

    def _content_id(self, mark: str) -> str:
        return {"outlook": f"image001.png@01DC5D2A.{mark.upper()}", "gmail": f"ii_{mark}",
                "apple": f"{mark.upper()}@{self.domain}", "thunderbird": f"part1.{mark}@{self.domain}"}[self.program]


def _octets(data: bytes) -> str:
    return data.removesuffix(b"\r\n").decode("utf-8", "surrogateescape")


def as_text(page: str) -> str:
    """HTML as mail programs write it out for the plain alternative: links beside their words, quotations with >."""
    reader = _TextOf()
    reader.feed(page)
    reader.close()
    return "\n".join([*reader.lines, reader.line.strip()]).strip()


class _TextOf(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.line, self.href = "", ""
        self.depth = 0
        self.silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in ("style", "head", "title"):
            self.silent += 1
        elif tag == "br" or (tag in BLOCKS and self.line.strip()):
            self._end()
        elif tag == "a":
            self.href = values.get("href") or ""
        elif tag == "img":
            self.line += f"[{values.get('src') or ''}]"
        self.depth += tag == "blockquote"

    def handle_endtag(self, tag: str) -> None:
        if tag in ("style", "head", "title"):
            self.silent -= 1
        elif tag == "a" and self.href:
            self.line += f" <{self.href}>"
            self.href = ""
        elif tag in BLOCKS and self.line.strip():
            self._end()
        self.depth -= tag == "blockquote"

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.line += re.sub(r"\s+", " ", data)

    def _end(self) -> None:
        self.lines.append(">" * self.depth + " " * bool(self.depth) + self.line.strip())
        self.line = ""
