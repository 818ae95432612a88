"""The settings of mail clients as the documents that Thunderbird (autoconfig) and Outlook (autodiscover) ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as ET

from aliasing.address import Address, AddressError

REQUEST = "http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006"
RESPONSE = "http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006"
SETTINGS = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"
MAX_ADDRESS = 254
"""Octets of an address (RFC 5321 4.5.3.1.3 less the angle brackets)."""
INVALID_REQUEST, NO_PROVIDER = "600", "601"
"""Error codes of autodiscover (MS-OXDSCLI 2.2.4.1.1.1)."""


@dataclass(frozen=True)
class Server:
    """`kind` is smtp or imap; `starttls` says that TLS begins by STARTTLS, else at once."""

    kind: str
    host: str
    port: int
    starttls: bool = False


class Malformed(Exception):  # noqa: N818 - an answer about a request
    """What was posted is no autodiscover request; `code` is the answer's."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def autoconfig(provider: str, domains: Sequence[str], servers: Sequence[Server]) -> bytes:
    """The document `config-v1.1.xml`. The client fills in the address, so that none is in it."""
    root = ET.Element("clientConfig", version="1.1")
    inside = ET.SubElement(root, "emailProvider", id=provider)
    for domain in domains:
        _text(inside, "domain", domain)
    _text(inside, "displayName", provider)
    _text(inside, "displayShortName", provider)
    for server in sorted(servers, key=lambda one: one.kind == "smtp"):  # the schema has incoming ones first
        element = ET.SubElement(inside, "outgoingServer" if server.kind == "smtp" else "incomingServer",
                                type=server.kind)
        _text(element, "hostname", server.host)
        _text(element, "port", str(server.port))
        _text(element, "socketType", "STARTTLS" if server.starttls else "SSL")
        _text(element, "authentication", "password-cleartext")
        _text(element, "username", "%EMAILADDRESS%")
    return _document(root)


def autodiscover(posted: bytes, servers: Sequence[Server]) -> bytes:
    """The answer to an Outlook's POST; the address in it, and nothing else of the request, comes back as text."""
    try:
        address = _asked_for(posted)
        if not servers:
            raise Malformed(NO_PROVIDER)
    except Malformed as error:
        return _error(error.code)
    root = ET.Element("Autodiscover", xmlns=RESPONSE)
    account = ET.SubElement(ET.SubElement(root, "Response", xmlns=SETTINGS), "Account")
    _text(account, "AccountType", "email")
    _text(account, "Action", "settings")
    for server in servers:
        protocol = ET.SubElement(account, "Protocol")
        for name, value in (("Type", server.kind.upper()), ("Server", server.host), ("Port", str(server.port)),
                            ("DomainRequired", "off"), ("LoginName", address), ("SPA", "off"), ("SSL", "on"),
                            ("Encryption", "TLS" if server.starttls else "SSL"), ("AuthRequired", "on")):
            _text(protocol, name, value)
    return _document(root)


def _asked_for(posted: bytes) -> str:
    """The address of a request; raises Malformed."""
    parser: Any = ET.XMLParser(target=_NoEntities())  # noqa: S314 - 8 KiB at most, and no DTD gets through
    try:
        parser.feed(posted)
        root = parser.close()
    except (ET.ParseError, Malformed, ValueError, LookupError):  # LookupError: an encoding that there is not
        raise Malformed(INVALID_REQUEST) from None
    if root is None or root.tag != f"{{{REQUEST}}}Autodiscover":
        raise Malformed(INVALID_REQUEST)
    if (root.findtext(f".//{{{REQUEST}}}AcceptableResponseSchema") or "").strip() != SETTINGS:
        raise Malformed(NO_PROVIDER)
    text = (root.findtext(f".//{{{REQUEST}}}EMailAddress") or "").strip()
    try:
        Address.parse(text)
    except AddressError:
        raise Malformed(INVALID_REQUEST) from None
    if len(text.encode()) > MAX_ADDRESS or not text.isprintable():
        raise Malformed(INVALID_REQUEST)
    return text


class _NoEntities(ET.TreeBuilder):
    """A request has no use for a DTD, and entities are how small XML becomes big."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise Malformed(INVALID_REQUEST)


def _error(code: str) -> bytes:
    root = ET.Element("Autodiscover", xmlns=RESPONSE)
    error = ET.SubElement(ET.SubElement(root, "Response"), "Error")
    _text(error, "ErrorCode", code)
    _text(error, "Message", "Invalid Request" if code == INVALID_REQUEST else "Provider is not available")
    ET.SubElement(error, "DebugData")
    return _document(root)


def _text(parent: ET.Element, name: str, value: str) -> None:
    ET.SubElement(parent, name).text = value


def _document(root: ET.Element) -> bytes:
    ET.indent(root)
    made: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return made + b"\n"
