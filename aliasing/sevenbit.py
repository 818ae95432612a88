"""The same message for a next hop that takes 7 bits only (RFC 6152 3): re-encoded part by part.

This is the one place where an untouched part loses its exact bytes, and only because the hop could not carry them.
"""

from __future__ import annotations

from urllib.parse import quote

from aliasing.encodings import bytes_to_text, encode_transfer, encode_words, parse_parameters
from aliasing.message import Field, Message, Part


def to_seven_bit(message: Message) -> Message:
    """An all-ASCII message that decodes to the same content; the very same message when it is ASCII already."""
    if message.raw.isascii():
        return message
    out = [_header(message.root.fields, _encoding_for(message, message.root))]
    _body(message, message.root, out)
    return Message.parse(b"".join(out))


def _body(message: Message, part: Part, out: list[bytes]) -> None:
    if not part.parts:
        encoding = _encoding_for(message, part)
        out.append(encode_transfer(message.decoded(part), encoding) if encoding else message.body(part))
        return
    position = part.body_start
    for child in part.parts:
        out += [_ascii(message.raw[position : child.start]), _header(child.fields, _encoding_for(message, child))]
        _body(message, child, out)
        position = child.end
    out.append(_ascii(message.raw[position : part.end]))


def _encoding_for(message: Message, part: Part) -> str | None:
    """The Content-Transfer-Encoding that a part needs instead of its own; None to leave it."""
    if part.parts or message.body(part).isascii():
        return None if part.encoding not in ("8bit", "binary") else "7bit"
    return "quoted-printable" if part.content_type.startswith("text/") else "base64"


def _header(fields: tuple[Field, ...], encoding: str | None) -> bytes:
    out = [field if field.raw.isascii() else _ascii_field(field)
           for field in fields if encoding is None or field.name != "content-transfer-encoding"]
    if encoding is not None:
        out.append(Field.make("Content-Transfer-Encoding", encoding))
    return b"".join(field.raw for field in out) + b"\r\n"


def _ascii_field(field: Field) -> Field:
    """Raw 8-bit in a header, which RFC 5322 never allowed: encoded words in text, RFC 2231 in parameters."""
    if field.name not in ("content-type", "content-disposition"):
        return Field.make(field.name.title(), encode_words(field.text))
    kind, parameters = parse_parameters(bytes_to_text(field.value))
    value = kind if kind.isascii() else "application/octet-stream"
    for name, text in parameters.items():
        if not name.isascii():
            continue  # a parameter with such a name is a typing error that no client reads
        plain = text.isascii() and '"' not in text and "\\" not in text
        value += f';\r\n {name}="{text}"' if plain else f";\r\n {name}*=utf-8''{quote(text, safe='')}"
    return Field.make(field.name.title(), value)


def _ascii(between: bytes) -> bytes:
    """Preamble, delimiters and epilogue: nobody reads the words, and the delimiters are ASCII."""
    return between.decode("ascii", "replace").replace("\ufffd", "?").encode()
