"""What listen.http serves: settings for Thunderbird and Outlook, the MTA-STS policy; and what it makes of bad input."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from fastapi import FastAPI
from lxml import etree
from support import Relay

from relay.clients import REQUEST, RESPONSE, SETTINGS, Server, autoconfig, autodiscover
from relay.config import Config
from relay.public import Public
from relay.web import guard
from relay.web.guard import Guard
from relay.web.problem import install
from relay.web.public import public_routes
from relay.web.server import WebServer
from relay.zone.plan import plan_of

Start = Callable[..., Awaitable[Relay]]
SERVERS = [Server("imap", "imap.example", 993), Server("smtp", "mail.example", 465),
           Server("smtp", "mail.example", 587, starttls=True)]


def request(address: str = "sol@tienda.example", schema: str = SETTINGS, before: str = "") -> bytes:
    return (f'<?xml version="1.0" encoding="utf-8"?>{before}<Autodiscover xmlns="{REQUEST}"><Request>'
            f"<EMailAddress>{address}</EMailAddress><AcceptableResponseSchema>{schema}</AcceptableResponseSchema>"
            "</Request></Autodiscover>").encode()


def answered(posted: bytes) -> Any:
    return etree.fromstring(autodiscover(posted, SERVERS))


def code(posted: bytes) -> str | None:
    found: str | None = answered(posted).findtext(f".//{{{RESPONSE}}}ErrorCode")
    return found


def test_thunderbird_gets_each_server_as_its_schema_has_it() -> None:
    root = etree.fromstring(autoconfig("mail.example", ["relay.example", "dos.example"], SERVERS))
    assert (root.tag, root.get("version")) == ("clientConfig", "1.1")
    assert [one.text for one in root.iter("domain")] == ["relay.example", "dos.example"]
    servers = [(one.tag, one.get("type"), one.findtext("hostname"), one.findtext("port"), one.findtext("socketType"),
                one.findtext("authentication"), one.findtext("username"))
               for one in root.iter("incomingServer", "outgoingServer")]
    own = ("password-cleartext", "%EMAILADDRESS%")
    assert servers == [("incomingServer", "imap", "imap.example", "993", "SSL", *own),
                       ("outgoingServer", "smtp", "mail.example", "465", "SSL", *own),
                       ("outgoingServer", "smtp", "mail.example", "587", "STARTTLS", *own)]


def test_outlook_gets_each_server_and_its_own_address() -> None:
    root = answered(request())
    assert root.tag == f"{{{RESPONSE}}}Autodiscover"
    found = [tuple(one.findtext(f"{{{SETTINGS}}}{name}") for name in ("Type", "Server", "Port", "LoginName", "Encryption"))
             for one in root.iter(f"{{{SETTINGS}}}Protocol")]
    assert found == [("IMAP", "imap.example", "993", "sol@tienda.example", "SSL"),
                     ("SMTP", "mail.example", "465", "sol@tienda.example", "SSL"),
                     ("SMTP", "mail.example", "587", "sol@tienda.example", "TLS")]


def test_an_address_comes_back_as_text_whatever_is_in_it() -> None:
    raw = autodiscover(request('"a&lt;b&amp;c&gt;"@tienda.example'), SERVERS)
    assert b'"a&lt;b&amp;c&gt;"@tienda.example' in raw
    assert [one.text for one in etree.fromstring(raw).iter(f"{{{SETTINGS}}}LoginName")] == ['"a<b&c>"@tienda.example'] * 3


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
OUTSIDE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]>'


@pytest.mark.parametrize("posted", [
    b"", b"not XML", b"<a/>", request()[:-5], request(before=BOMB), request("&b;@x.example", before=BOMB),
    request("&a;@x.example", before=OUTSIDE), request("no address"), request("a@b@c"), request("a" * 250 + "@x.example"),
    request("sol@tienda.example\x01"), request("sol\u202e@tienda.example"), request().replace(b"utf-8", b"utf-99"),
    request().decode().encode("utf-16"), b"<" * 8000, b"<a>" * 2000,
], ids=range(16))
def test_what_is_no_request_is_told_so(posted: bytes) -> None:
    answer = autodiscover(posted, SERVERS)
    assert b"<ErrorCode>600</ErrorCode>" in answer
    assert len(answer) < 400, "nothing of it comes back"


def test_other_clients_of_the_same_page_are_told_that_they_are() -> None:
    assert code(request(schema="http://schemas.microsoft.com/exchange/autodiscover/mobilesync/responseschema/2006")) == "601"


@pytest.fixture
async def port() -> AsyncIterator[int]:
    public = Public(plan_of(Config(relay={"hostname": "mail.example", "domains": ["relay.example"]},
                                   listen={"submission": "127.0.0.1:5587", "submissions": "127.0.0.1:5465"})))
    app = FastAPI()
    install(app)
    app.router.routes.extend(public_routes(public))
    sock = socket.create_server(("127.0.0.1", 0))
    number = sock.getsockname()[1]
    server = WebServer(Guard(app, big_bytes=0, big_paths=frozenset()), [sock])
    serving = asyncio.create_task(server.run())
    yield number
    server.stop()
    await serving


async def ask(port: int, *pieces: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
    try:
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()


def post(body: bytes, path: str = "/autodiscover/autodiscover.xml", more: str = "") -> bytes:
    return (f"POST {path} HTTP/1.1\r\nHost: autodiscover.relay.example\r\nConnection: close\r\nContent-Type: text/xml\r\n{more}"
            f"Content-Length: {len(body)}\r\n\r\n").encode() + body


@pytest.mark.parametrize(("asked", "status", "inside"), [
    (b"GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"200", b"mx: mail.example\n"),
    (b"GET /mail/config-v1.1.xml?emailaddress=sol%40tienda.example HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"200", b"<clientConfig"),
    (b"GET /.well-known/autoconfig/mail/config-v1.1.xml HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"200", b"587"),
    (post(request()), b"200", b"<LoginName>sol@tienda.example</LoginName>"),
    (post(request(), "/Autodiscover/Autodiscover.xml"), b"200", b"<LoginName>"),
    (b"GET /autodiscover/autodiscover.xml HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"405", b"\r\nallow: POST\r\n"),
    (post(b"", "/mail/config-v1.1.xml"), b"405", b"\r\nallow: "),
    (post(b"x" * 9000), b"413", b""),
    (post(b"no chunk\r\n", more="Transfer-Encoding: chunked\r\n"), b"400", b""),
    (post(request(), more="Content-Length: 1\r\n"), b"400", b""),
    (post(b"").replace(b"Length: 0", b"Length: -1"), b"400", b""),
    (post(b"").replace(b"Content-Length: 0\r\n", b""), b"200", b"<ErrorCode>600"),
    (b"GET /.well-known/../mta-sts.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"404", b""),
    (b"GET /" + b"a/" * 60 + b"a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"404", b""),
    (b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"404", b""),
], ids=range(15))
async def test_pages(port: int, asked: bytes, status: bytes, inside: bytes) -> None:
    answer = await ask(port, asked)
    assert answer.split(b" ")[1] == status, answer
    assert inside in answer


@pytest.mark.parametrize(("listen", "ports"), [
    ({}, []), ({"submission": "127.0.0.1:5587"}, ["587"]), ({"submissions": "127.0.0.1:5465"}, ["465"]),
    ({"submission": "127.0.0.1:5587", "submissions": "127.0.0.1:5465"}, ["465", "587"])])
def test_only_ports_that_there_are_listeners_for(listen: dict[str, str], ports: list[str]) -> None:
    public = Public(plan_of(Config(listen=listen)))
    answer = public.autodiscover(request()).body
    assert ("/mail/config-v1.1.xml" in public.pages) is bool(ports)
    assert re.findall(r"<port>(\d+)</port>", public.autoconfig().body.decode()) == ports
    assert re.findall(r"<Port>(\d+)</Port>", answer.decode()) == ports
    assert (b"<ErrorCode>601<" in answer) is not bool(ports)


async def test_a_body_may_come_in_pieces_and_half_of_one_is_too_slow(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = post(request())
    assert b" 200 " in await ask(port, whole[:150], whole[150:300], whole[300:])
    monkeypatch.setattr(guard, "BODY_TIMEOUT_S", 0.3)
    assert b" 408 " in await ask(port, whole[:-1])


async def test_the_daemon_serves_them_and_a_reload_changes_the_policy(start_relay: Start) -> None:
    relay = await start_relay(listen={"http": "127.0.0.1:0"})
    for _ in range(100):
        told = [json.loads(line) for line in relay.log.read_bytes().splitlines() if b'"listening"' in line]
        if where := [line["where"] for line in told if line["kind"] == "http"]:
            break
        await asyncio.sleep(0.05)
    port = int(where[0].rpartition(":")[2])
    asked = b"GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert b"mode: testing\n" in await ask(port, asked)
    relay.config["zone"] = {"mta_sts": "enforce"}
    relay.write_config()
    assert relay.process
    relay.process.send_signal(1)
    for _ in range(100):
        if b'"reloaded"' in relay.log.read_bytes():
            break
        await asyncio.sleep(0.05)
    assert b"mode: enforce\n" in await ask(port, asked)
