"""Word documents (ECMA-376, .docx): nothing in them may run or fetch; their text; who wrote them taken out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import unquote
from xml.etree.ElementTree import Element

from policy.files import exif, images, jpeg, xml
from policy.files.findings import MAX_TEXT, Inside, RefusedError, active, wrong
from policy.files.package import Package
from policy.files.sniff import sniff

_MAIN = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
_CONTENT_TYPES = "[Content_Types].xml"
_ACTIVE_TYPES = ("macroenabled", "vbaproject", "vbadata", "activex")
_ACTIVE_RELATIONS = {
    "oleobject": "an embedded object", "package": "an embedded file", "control": "an ActiveX control",
    "activexcontrolbinary": "an ActiveX control", "vbaproject": "macros", "wordvbadata": "macros",
    "attachedtoolbars": "macros", "afchunk": "an embedded document", "subdocument": "an embedded document",
}
_LOCAL_TEMPLATE = re.compile(r"(?i)(?:file:/{0,3})?[a-z]:[\\/]|[^:\\/]+\.do[tc][xm]?$")
_DDE = re.compile(r"(?i)(?:^|\s)dde(?:auto)?\s")
_AUTHORS = re.compile(rb"""(?:author|userId)\s*=\s*["']([^"'<]*)""")
_DECLARATION = b'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\r\n'
_MEDIA: dict[str, Callable[[bytes], Inside]] = {
    "jpeg": jpeg.scrubbed, "png": lambda data: images.png(data, True), "gif": lambda data: images.gif(data, True),
    "tiff": lambda data: exif.examine(data, True),
}

_CORE = (b'<cp:coreProperties xmlns:cp="http://schemas.openxmlformats.org/package/2006/metadata/core-properties"/>')
_CUSTOM = (b'<Properties xmlns="http://schemas.openxmlformats.org/officeDocument/2006/custom-properties"/>')
_PEOPLE = (b'<w15:people xmlns:w15="http://schemas.microsoft.com/office/word/2012/wordml"/>')
_EMPTIED = (("core-properties", _CORE, "document properties"), ("custom-properties", _CUSTOM, "custom properties"),
            ("people", _PEOPLE, "names of editors"))
"""End of a relationship's type -> what its part becomes."""
_SIGNS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
_TOLD_BY_CORE = ("created", "modified", "revision", "coreProperties")
_APP = (b"Company", b"Manager", b"HyperlinkBase", b"Template")
_NEUTRAL = {b"author": b"Author", b"initials": b"A"}
_SPOKEN_ATTRIBUTES = {"docPr": ("descr", "title"), "cNvPr": ("descr", "title"), "docVar": ("val",), "alias": ("val",),
                      "tag": ("val",), "hyperlink": ("tooltip",), "fldSimple": ("instr",), "textpath": ("string",),
                      "imagedata": ("title",), "shape": ("alt",)}


@dataclass
class _Document:
    package: Package
    xml: dict[str, bytes] = field(default_factory=dict)
    """Part name -> its XML as UTF-8 without declaration."""
    text: list[str] = field(default_factory=list)
    emptied: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    properties: set[str] = field(default_factory=set)


def examine(content: bytes, scrub: bool) -> Inside:
    """Raises RefusedError for what is no Word document, is encrypted, runs, fetches, embeds, or unpacks too far."""
    package = Package(content)
    document = _Document(package)
    _check_names(package)
    _load(document)
    _check_types(xml.parse(document.xml[_CONTENT_TYPES]))
    for name in document.xml:
        if name.endswith(".rels"):
            _check_relations(name, document)
    for name, data in document.xml.items():
        if name == _CONTENT_TYPES or name.endswith(".rels") or (scrub and name in document.emptied):
            continue
        _read_text(xml.parse(data), document)
        if not scrub:
            document.text += [author.decode() for author in _AUTHORS.findall(data)]
    text = "\n".join(document.text)[:MAX_TEXT]
    if not scrub:
        return Inside(text)
    changed, removed = _scrub(document)
    return Inside(text, package.rewritten(changed) if changed else None, tuple(removed))


def _check_names(package: Package) -> None:
    if _CONTENT_TYPES not in package.entries:
        raise wrong("a zip archive that is no document")
    for name in package.names:
        last = name.rpartition("/")[2].lower()
        if last in ("vbaproject.bin", "vbadata.xml"):
            raise active("macros")
        if "/embeddings/" in name.lower() or "/activex/" in name.lower() or last.startswith("oleobject"):
            raise active("an embedded object")
        if last.endswith((".exe", ".dll", ".js", ".vbs", ".html", ".htm", ".mht", ".rtf", ".doc", ".docx", ".docm")):
            raise active("an embedded file")


def _load(document: _Document) -> None:
    for name in document.package.names:
        if name.lower().endswith((".xml", ".rels", ".vml")):
            document.xml[name] = xml.utf8(document.package.read(name))


def _check_types(root: Element) -> None:
    types = [element.get("ContentType", "").lower() for element in root]
    if any(word in one for one in types for word in _ACTIVE_TYPES):
        raise active("macros, as its table of content types says")
    if _MAIN not in types:
        raise wrong("an office document of another kind")


def _check_relations(name: str, document: _Document) -> None:
    """Refuse relations that run or fetch; note the properties' parts, and where links lead."""
    folder = name.rpartition("_rels/")[0]
    for element in xml.parse(document.xml[name]):
        kind = element.get("Type", "").rpartition("/")[2]
        target = element.get("Target", "")
        if kind.lower() in _ACTIVE_RELATIONS:
            raise active(_ACTIVE_RELATIONS[kind.lower()])
        if element.get("TargetMode", "").lower() == "external":
            _check_external(kind, target)
            document.text += [target, unquote(target)]
            continue
        part = target.lstrip("/") if target.startswith("/") else folder + target
        if kind in ("core-properties", "extended-properties", "custom-properties", "people"):
            document.properties.add(part)
        for end, empty, what in _EMPTIED:
            if kind == end:
                document.emptied[part] = (empty, what)


def _check_external(kind: str, target: str) -> None:
    """Links wait for a click. A template in a local folder is what Word notes of its own; anything else is fetched."""
    if kind == "hyperlink" or (kind == "attachedTemplate" and _LOCAL_TEMPLATE.match(target)):
        return
    raise active(f"something to be fetched from outside ({kind[:40]})")


def _read_text(root: Element, document: _Document) -> None:
    """Text a paragraph at a time: an address may be spread over any number of runs."""
    paragraph: list[str] = []
    fields: list[str] = []
    words = "wordprocessingml" in root.tag
    for element in root.iter():
        what = xml.local(element.tag)
        if what == "p":
            document.text.append("".join(paragraph))
            _check_fields(fields)
            paragraph, fields = [], []
        elif what in ("t", "delText"):
            paragraph.append(element.text or "")
        elif not words and (element.text or "").strip():
            paragraph.append(f"{element.text}\n")
        elif what in ("instrText", "delInstrText"):
            fields.append(element.text or "")
        elif what in _SIGNS:
            paragraph.append(_SIGNS[what])
        if what in _SPOKEN_ATTRIBUTES:
            _read_attributes(element, _SPOKEN_ATTRIBUTES[what], document.text, fields)
        if fields and what == "fldChar":
            document.text.append("".join(fields))
            _check_fields(fields)
            fields = []
    document.text += ["".join(paragraph), "".join(fields)]
    _check_fields(fields)


def _read_attributes(element: Element, names: tuple[str, ...], text: list[str], fields: list[str]) -> None:
    for name, value in element.items():
        if xml.local(name) in names:
            text.append(value)
            if xml.local(name) == "instr":
                _check_fields([value])


def _check_fields(fields: list[str]) -> None:
    if fields and _DDE.search("".join(fields)):
        raise active("a field that starts a program")


def _scrub(document: _Document) -> tuple[dict[str, bytes], dict[str, None]]:
    changed, removed = dict[str, bytes](), dict[str, None]()
    for name, new, what in _changes(document):
        changed[name] = _DECLARATION + new if name in document.xml else new
        removed |= dict.fromkeys(what)
    return changed, removed


def _changes(document: _Document) -> Iterator[tuple[str, bytes, list[str]]]:
    for name, data in document.xml.items():
        if name in document.emptied:
            empty, what = document.emptied[name]
            told = _told(xml.parse(data), what)
            if told:
                yield name, empty, told
        else:
            new, what_else = _neutral(name, data, name in document.properties)
            if new != data:
                yield name, new, [what_else]
    for name in document.package.names:
        if "/media/" in name:
            yield from _scrub_picture(name, document.package)


def _told(root: Element, what: str) -> list[str]:
    """What properties tell beyond dates, as "docx creator"; [] when there is no need to touch them."""
    if what == "document properties":
        return [f"docx {xml.local(element.tag)}" for element in root.iter()
                if (element.text or "").strip() and xml.local(element.tag) not in _TOLD_BY_CORE]
    return [f"docx {what}"] if len(root) else []


def _neutral(name: str, data: bytes, properties: bool) -> tuple[bytes, str]:
    """A part without the names of authors (comments, changes), of the company, or of the template's folder."""
    if properties:
        return _without_company(data), "docx company or manager"
    if name.endswith(".rels"):
        if b"attachedTemplate" in data:
            return xml.edit(data, _neutral_template), "docx template path"
        return data, ""
    if any(word in data for word in (b"author", b"initials")):
        return xml.edit(data, _neutral_author(name)), "docx names in comments and changes"
    return data, ""


def _neutral_author(part: str) -> Callable[[bytes, bytes], bytes]:
    def change(name: bytes, tag: bytes) -> bytes:
        if b"author" in tag or b"initials" in tag:
            return xml.set_attributes(tag, _NEUTRAL)
        return tag

    return change if part.startswith("word/") else lambda name, tag: tag


def _neutral_template(name: bytes, tag: bytes) -> bytes:
    if name == b"Relationship" and b"/attachedTemplate" in tag and b"Normal.dotm" not in tag:
        return xml.set_attributes(tag, {b"Target": b"Normal.dotm"})
    return tag


def _without_company(data: bytes) -> bytes:
    pieces = data.split(b"<")
    for index, piece in enumerate(pieces):
        head, close, text = piece.partition(b">")
        name = head.split(None, 1)[0].rpartition(b":")[2] if head.strip() else b""
        if name in _APP and not head.endswith(b"/") and text.strip() and not text.startswith(b"Normal"):
            pieces[index] = head + close
    return b"<".join(pieces)


def _scrub_picture(name: str, package: Package) -> Iterator[tuple[str, bytes, list[str]]]:
    """Photographs keep their Exif block inside a document too. What is no sound picture stays as it is."""
    if not name.lower().endswith((".jpg", ".jpeg", ".png", ".gif", ".tif", ".tiff")):
        return
    content = package.read(name)
    scrubber = _MEDIA.get(sniff(content))
    if scrubber is None:
        return
    try:
        inside = scrubber(content)
    except RefusedError:
        return
    if inside.scrubbed is not None:
        yield name, inside.scrubbed, [f"{what} in a picture" for what in inside.removed]
