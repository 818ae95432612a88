"""The parts of a message on their way through: what must change in each, and every other octet as it was."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

from aliasing.encodings import (
    bytes_to_text,
    codec_of,
    decode_text,
    effective_encoding,
    encode_transfer,
    has_short_lines,
    is_clean_base64,
    list_parameters,
    unescape,
    write_parameters,
)
from aliasing.fields import Action, part_rule_for
from aliasing.footer import Choice, Footer, Markers, cut_html, cut_text
from aliasing.message import Edits, Field, Message, Part
from aliasing.redact import Redactor

_ONE_READING = re.compile(
    r"[A-Za-z0-9!#$&^_.+-]+(?:/[A-Za-z0-9!#$&^_.+-]+)?"
    r"(?:[ \t]*;[ \t]*[A-Za-z0-9!#$&^_.+*-]+=(?:[A-Za-z0-9!#$%&'*+.^_`{|}~/:=?-]+|\"[^\"\\\x00-\x1f\x7f]*\"))*"
    r"[ \t]*;?[ \t]*", re.ASCII)
_STARRED = re.compile(r"(?:boundary|charset)\*", re.IGNORECASE)
"""RFC 2231 was not made for these, and clients without it would find none."""
_MAX_PARAMETERS = 50
MAX_LINE_BYTES = 998
"""RFC 5322 2.1.1, without the CRLF."""
_CID = re.compile(r"""cid:([^"'\s<>)\]]{1,400})""", re.IGNORECASE)
_BODY_END = re.compile(r"</body\s*>", re.IGNORECASE)
_PARAMETERS = ("charset", "boundary", "format", "delsp", "name", "type", "start", "report-type", "filename")
_SAYS_UTF8 = '<meta charset="utf-8">'


@dataclass(frozen=True)
class Treatment:
    """What policy has made of the parts of one message; parts that are not named are only redacted."""

    html: Mapping[Part, str] = field(default_factory=dict)
    """HTML without what is not accepted."""
    files: Mapping[Part, bytes] = field(default_factory=dict)
    """Attachments without what they say of their authors."""
    removed: frozenset[Part] = frozenset()
    """Parts that are left out: a detached signature, an alternative that no common client shows."""
    footer: Footer | None = None
    unsubscribe: Choice | None = None
    """What List-Unsubscribe offers (RFC 2369 3.2)."""
    markers: Markers = ()
    masks: Sequence[str] = ()


@dataclass
class _Change:
    """What becomes of one part: None where it stays."""

    body: bytes | None = None
    charset: str | None = None
    encoding: str | None = None
    kind: str | None = None


class Body:
    """All parts of one message for one reader. `edits` are what must change, `changed` the paths it changes."""

    def __init__(self, message: Message, redactor: Redactor, treatment: Treatment,
                 content_id: Callable[[str], str]) -> None:
        self._message = message
        self._redactor = redactor
        self._treatment = treatment
        self._content_id = content_id
        self._cids = {found: content_id(found) for part in message.root.walk() for found in _content_ids(part)}
        self._last: dict[str, Part] = {kind: part for part in message.root.leaves() if part not in treatment.removed
                      for kind in ("text/plain", "text/html") if part.content_type == kind and not part.is_attachment}
        self._delimiters = tuple(b"--" + boundary.encode("utf-8", "replace") for part in message.root.walk()
                                 if part.parts and (boundary := part.parameters.get("boundary")))
        self.edits = Edits(removed=set(treatment.removed))
        self.changed: list[str] = [part.path or "1" for part in treatment.removed]
        self.mime: tuple[Field, ...] = ()
        """The message's own MIME fields, for the header that rewrite() makes."""
        for part in message.root.walk():
            self._carry(part)
            self._clear_around(part)

    def _clear_around(self, part: Part) -> None:
        """Preamble and epilogue, which hardly anybody sees, and which therefore hide things well."""
        for start, end in part.around():
            text, codec = decode_text(self._message.raw[start:end])
            clean = self._redactor.text(text)
            if clean != text or not has_short_lines(self._message.raw[start:end]):
                self.edits.around[start, end] = self._without_long_lines(clean.encode(codec))

    def _without_long_lines(self, between: bytes) -> bytes:
        """There is no encoding for these. Cut short instead, one might become a delimiter."""
        lines = [line if len(line) <= MAX_LINE_BYTES else line.rstrip(b" \t") for line in between.split(b"\r\n")]
        return b"\r\n".join(line if len(line) <= MAX_LINE_BYTES else b"" for line in lines)

    def _carry(self, part: Part) -> None:
        change = _Change(kind=self._kind_of_multipart(part)) if part.parts else self._change(part)
        fields = self._fields(part, change)
        if part is self._message.root:
            self.mime = fields
        elif part.ragged or fields != part.fields:
            self.edits.headers[part] = fields
        if change.body is not None:
            self.edits.bodies[part] = change.body
        if change.body is not None or part in self.edits.headers:
            self.changed.append(part.path or "1")

    def _kind_of_multipart(self, part: Part) -> str | None:
        """A multipart/signed whose signature is taken off is an ordinary one."""
        without = part.content_type == "multipart/signed" and set(part.parts) & self._treatment.removed
        return "multipart/mixed" if without else None

    # -- bodies --------------------------------------------------------------------------------------------

    def _change(self, part: Part) -> _Change:
        change = _Change()
        if part.content_type != part.declared_type and part.field("content-type"):
            change.kind = part.content_type
        content = self._treatment.files.get(part)
        if content is not None:
            change.body, change.encoding = self._encode(part, content, "base64"), "base64"
        elif part.is_text:
            self._change_text(part, change)
        if change.body is None:
            self._repair(part, change)
        return change

    def _change_text(self, part: Part, change: _Change) -> None:
        charset = part.parameters.get("charset")
        text, codec = decode_text(self._message.decoded(part), charset)
        text = self._joined(part, text)
        is_html = part.content_type == "text/html"
        clean, suffix = self._clean(part, text, is_html=is_html), ""
        footer = self._treatment.footer
        if footer and self._last.get(part.content_type) is part:
            if is_html:
                clean = _into_html(clean, footer.as_html())
            else:
                suffix = footer.as_text()
        unknown = charset is not None and codec_of(charset) is None and not text.isascii()
        if unknown:  # its octets go on as they came, whatever they mean
            clean, suffix = clean.replace(_SAYS_UTF8, ""), _ascii(suffix)
        if clean == text and not suffix:
            return
        # cleaned HTML says of itself that it is UTF-8, and no client shall have to choose between two charsets
        keeps = unknown or (part not in self._treatment.html and _can_write(clean + suffix, codec, charset))
        written_in = codec if keeps else "utf-8"
        appended = clean == text and (keeps or text.isascii()) and self._append(part, suffix, written_in, change)
        if not appended:
            data = (clean + suffix).encode(written_in, "replace")
            change.encoding = self._encoding_for(data, part.encoding)
            change.body = self._encode(part, data, change.encoding)
        if not keeps and (charset is None or codec_of(charset) != "utf-8"):
            change.charset = "utf-8"

    def _joined(self, part: Part, text: str) -> str:
        """Text that its client broke in the middle of words (RFC 3676 4.2, DelSp), where that hides an address."""
        if part.parameters.get("delsp", "").lower() != "yes" or " \r\n" not in text:
            return text
        joined = text.replace(" \r\n", "")
        return joined if self._redactor.text(joined) != joined else text

    def _encoding_for(self, data: bytes, wanted: str) -> str:
        """The transfer encoding that the part has, unless it cannot carry the new text."""
        if wanted in ("base64", "quoted-printable"):
            return wanted
        lines = data.count(b"\r\n")
        if b"\0" in data:
            return "base64"
        if not has_short_lines(data) or data.count(b"\n") != lines or data.count(b"\r") != lines or any(
                data.startswith(one) or b"\n" + one in data for one in self._delimiters):
            return "quoted-printable"
        return "7bit" if data.isascii() and wanted != "8bit" else "8bit"

    def _append(self, part: Part, suffix: str, codec: str, change: _Change) -> bool:
        """Put `suffix` behind the body as it came; False where only encoding all of it anew will do."""
        body, data = self._message.body(part), suffix.encode(codec, "replace")
        if part.encoding == "base64" or not has_short_lines(body) or (
                part.encoding == "quoted-printable" and body.rstrip(b"\r\n").endswith(b"=")) or b"\0" in data:
            return False
        gap = b"" if not body or body.endswith(b"\r\n") else b"\r\n"
        change.body = body + gap + self._encode(part, data, part.encoding)
        if part.encoding != "quoted-printable" and not change.body.isascii():
            change.encoding = "8bit"
        return True

    def _encode(self, part: Part, data: bytes, encoding: str) -> bytes:
        encoded = encode_transfer(data, encoding)
        # the line end before a delimiter is the delimiter's
        return encoded if part is self._message.root else encoded.removesuffix(b"\r\n")

    def _clean(self, part: Part, text: str, *, is_html: bool) -> str:
        markers, masks = self._treatment.markers, self._treatment.masks
        text = cut_html(self._treatment.html.get(part, text), markers) if is_html else cut_text(text, markers)
        if self._cids:
            text = _CID.sub(self._cid, text)  # in plain text clients write [cid:…] where the picture was
        return self._redactor.html(text, masks) if is_html else self._redactor.text(text, masks)

    def _cid(self, match: re.Match[str]) -> str:
        mapped = self._cids.get(unquote(unescape(match.group(1))))
        return match.group() if mapped is None else f"cid:{mapped}"

    def _repair(self, part: Part, change: _Change) -> None:
        """What has one reading, but could be given another by a stricter program than the writer's."""
        body = self._message.body(part)
        if part.encoding == "base64":
            if not is_clean_base64(body):
                change.body = self._encode(part, self._message.decoded(part), "base64")
        elif not has_short_lines(body):
            change.encoding = "quoted-printable" if part.is_text else "base64"
            change.body = self._encode(part, self._message.decoded(part), change.encoding)

    # -- headers -------------------------------------------------------------------------------------------

    def _fields(self, part: Part, change: _Change) -> tuple[Field, ...]:
        """The part's fields as they go on: the very same ones where nothing has to change."""
        out, seen = [], set[str]()
        for old in part.fields:
            action = part_rule_for(old.name).action
            if action is Action.DROP or old.name in seen:
                continue
            seen.add(old.name)
            if action is Action.KEEP:
                new = old if self._redactor.text(old.text) == old.text else None
            else:
                new = self._field(part, old, change)
            if new is not None:
                out.append(new)
        if "content-transfer-encoding" not in seen and (change.encoding or "7bit") != "7bit":
            out.append(Field.make("Content-Transfer-Encoding", change.encoding or ""))
        if "content-type" not in seen and change.charset:
            out.append(Field.make("Content-Type", f"{part.content_type}; charset={change.charset}"))
        return tuple(out)

    def _field(self, part: Part, old: Field, change: _Change) -> Field | None:
        if old.name == "content-id":
            ids = _content_ids(part)
            return Field.make("Content-ID", f"<{self._cids[ids[0]]}>") if ids else None
        if old.name == "content-transfer-encoding":
            return _transfer_field(part, old, change)
        is_type = old.name == "content-type"
        changes = is_type and (change.kind or change.charset)
        if not changes and _has_one_reading(part, old, self._redactor):
            return old
        kind, found = list_parameters(bytes_to_text(old.value))
        parameters = {key: self._redactor.file_name(value) if key in ("name", "filename") else value
                      for key, value in reversed(found) if key in _PARAMETERS}
        if change.charset and is_type:
            parameters["charset"] = change.charset
        if (start := parameters.get("start", "").strip("<>")) in self._cids:
            parameters["start"] = f"<{self._cids[start]}>"
        if is_type:
            kind = change.kind or part.content_type
            kind = kind if kind.isascii() else "application/octet-stream"
            if not part.parts:
                parameters.pop("boundary", None)
        elif not kind:
            return None
        elif kind not in ("inline", "attachment"):
            kind = "attachment"  # RFC 2183 2.8: what is unknown is treated so
        return Field.make(old.name.title(), write_parameters(kind, parameters))


def _transfer_field(part: Part, old: Field, change: _Change) -> Field | None:
    if change.encoding:
        same = change.encoding == old.value.decode("latin-1").strip().lower()
        return old if same else Field.make("Content-Transfer-Encoding", change.encoding)
    written = old.value.decode("latin-1").strip().lower()
    if not written:
        return None
    if part.parts and part.encoding in ("base64", "quoted-printable"):
        return None  # RFC 2045 6.4: a multipart is never encoded, and its parts were found without decoding
    if written == part.encoding and len(part.all(old.name)) == 1:
        return old
    return Field.make("Content-Transfer-Encoding", effective_encoding(written) or "8bit")


def _has_one_reading(part: Part, old: Field, redactor: Redactor) -> bool:
    """Whether every client reads this field alike, and it may be kept octet for octet."""
    text = bytes_to_text(old.value)
    if len(part.all(old.name)) > 1 or not _ONE_READING.fullmatch(text):
        return False
    _, found = list_parameters(text)
    times = Counter(name for name, _ in found)
    if len(found) > _MAX_PARAMETERS or "start" in times or _STARRED.search(text):
        return False
    if any(count > 1 and name not in ("name", "filename") for name, count in times.items()):
        return False  # but RFC 2231 beside a plain name for old clients is one name for one file
    return all(redactor.file_name(value) == value for _, value in found)


def _content_ids(part: Part) -> list[str]:
    named = part.field("content-id")
    if named is None:
        return []
    found = named.text.strip().strip("<>").strip()
    return [found] if found else []


def _ascii(text: str) -> str:
    """Letters without their accents, for a text whose charset nobody knows."""
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


def _into_html(html: str, footer: str) -> str:
    """`footer` before the end of the body, where there is one."""
    ends = list(_BODY_END.finditer(html, max(0, len(html) - 2000)))
    at = ends[-1].start() if ends else len(html)
    return html[:at] + footer + html[at:]


def _can_write(text: str, codec: str, charset: str | None) -> bool:
    """Whether `text` can go out under the charset that the part declares."""
    declared = codec_of(charset) if charset else None
    if declared in (None, "ascii"):
        return text.isascii()
    if declared != codec:
        return False
    try:
        text.encode(codec)
    except UnicodeError:
        return False
    return True
