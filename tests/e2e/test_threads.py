"""Three conversations of six messages between two mail programs each (golden/conversations), through a running relay:
what a person sees of a thread survives the way there and back, as often as they answer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from email.message import EmailMessage

import pytest
from conversations import NAMES, Conversation, Writer, as_text, content, parsed, part
from filemaker import pdf, saved
from oracle import find
from support import BUYER, SELLER, Relay

from relay import texts
from relay.demo.outside import OutsideServer

IMAGE = saved("PNG")
PDF = pdf(info=False)
BEGINS = [texts.text(language, "footer.begin") for language in texts.languages()]
ENDS = [texts.text(language, "footer.end") for language in texts.languages()]
SEALED = re.compile(r"[0-9a-z]{56}@relay\.example")
CHOICES = {"seller": 2, "buyer": 3}
"""How many links the footer of a message has for each reader."""


def ids(message: EmailMessage, *names: str) -> list[str]:
    return [found for name in names for found in re.findall(r"<[^<>\s]+>", message[name] or "")]


def texts_of(message: EmailMessage) -> Iterator[str]:
    """Every text part as a person reads it, white space made even."""
    for one in message.walk():
        if one.get_content_maintype() == "text":
            assert isinstance(one, EmailMessage)
            text = str(one.get_content())
            yield " ".join((as_text(text) if one.get_content_type() == "text/html" else text).split())


def in_threads(mailbox: Sequence[bytes]) -> list[set[str]]:
    """The threads of a mailbox, by the ids of their messages and of those they refer to (jwz.org/doc/threading.html)."""
    threads: list[set[str]] = []
    for raw in mailbox:
        message = parsed(raw)
        thread = set(ids(message, "message-id", "references", "in-reply-to"))
        for other in [one for one in threads if one & thread]:
            threads.remove(other)
            thread |= other
        threads.append(thread)
    return threads


def check_thread(arrived: EmailMessage, reader: Writer, number: int) -> None:
    """It refers to what the reader's mailbox holds, and says that it answers the reader's last."""
    known = [found for raw in reader.mailbox for found in ids(parsed(raw), "message-id")]
    assert len(ids(arrived, "message-id")) == 1
    if number > 1:
        assert ids(arrived, "in-reply-to") == [known[-1]]
    assert ids(arrived, "references") == known


def check_content(arrived: EmailMessage, sent: EmailMessage, conversation: Conversation, number: int) -> None:
    said = conversation.texts[number - 1].replace("{own_real}", arrived["from"].addresses[0].addr_spec)
    assert arrived["subject"] == sent["subject"]
    assert conversation.subject in arrived["subject"]
    for text in texts_of(arrived):
        assert " ".join(said.split()) in text
        assert [word for word in conversation.must_show if word not in text] == []
        assert "\ufffd" not in text
    page = part(arrived, "text/html")
    stated = re.search(r"<meta[^>]+charset=[\"']?([\w-]+)", str(page.get_content()))
    assert stated is None or stated[1].lower() == page.get_content_charset(), "HTML and field name different charsets"
    picture = part(arrived, "image/png")
    assert picture.get_payload(decode=True) == IMAGE
    [cid] = set(re.findall(r"cid:([^\"'>\s]+)", content(arrived, "text/html")))
    assert picture["content-id"] == f"<{cid}>"
    files = [one for one in arrived.walk() if one.get_content_type() == "application/pdf"]
    assert [(one.get_filename(), one.get_payload(decode=True)) for one in files] == (
        [(conversation.file_name, PDF)] if number == conversation.file_at else [])


def check_footer(arrived: EmailMessage, raw: bytes, reader: str, others: set[str]) -> set[str]:
    """One footer in each text, with this reader's links and nobody else's; the links."""
    language_begins = [sum(text.count(begin) for begin in BEGINS) for text in texts_of(arrived)]
    language_ends = [sum(text.count(end) for end in ENDS) for text in texts_of(arrived)]
    assert (language_begins, language_ends) == ([1, 1], [1, 1])
    everything = str(arrived["list-unsubscribe"]) + "".join(
        str(one.get_content()) for one in arrived.walk() if one.get_content_maintype() == "text")  # type: ignore[attr-defined]
    links = set(SEALED.findall(everything))
    assert len(links) == CHOICES[reader]
    assert not any(other.encode() in raw for other in others)
    assert not links & others
    return links


@pytest.mark.parametrize("name", NAMES)
async def test_a_conversation_of_six_messages(relay: Relay, outside: OutsideServer, name: str) -> None:
    conversation = Conversation.read(name)
    people = conversation.people
    order = relay.order(seller_name=people["seller"]["shown"], buyer_name=people["buyer"]["shown"], language="",
                        seller_language=people["seller"]["language"], buyer_language=people["buyer"]["language"])
    writers = {"seller": Writer(conversation, "seller", SELLER, order["buyer"]["alias"]),
               "buyer": Writer(conversation, "buyer", BUYER, order["seller"]["alias"])}
    links: dict[str, set[str]] = {"seller": set(), "buyer": set()}
    last: bytes | None = None
    for number in range(1, 7):
        writer, reader = ("seller", "buyer") if number % 2 else ("buyer", "seller")
        sent = writers[writer].write(number, last, IMAGE, PDF)
        writers[writer].mailbox.append(sent)
        assert find(sent, [writers[writer].address]), "the campaign's own judge sees what has to go"
        code, answer = await relay.send(writers[writer].address, writers[writer].alias, sent)
        assert (code, answer[:5]) == (250, "2.6.0"), answer
        last = (await outside.wait_for((number + 1) // 2, writers[reader].address))[-1].raw
        arrived = parsed(last)
        assert find(last, [SELLER, BUYER]) == []
        assert arrived["from"].addresses[0].display_name == people[writer]["shown"]
        check_thread(arrived, writers[reader], number)
        check_content(arrived, parsed(sent), conversation, number)
        links[reader] |= check_footer(arrived, last, reader, links[writer])
        writers[reader].mailbox.append(last)
    for one in writers.values():
        assert len(in_threads(one.mailbox)) == 1
        assert len(in_threads(one.mailbox)[0]) == 6
    await relay.settle("delivered", 6)
    assert not any(secret in relay.log.read_text().lower() for secret in (SELLER, BUYER))
