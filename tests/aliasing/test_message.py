import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import crlf

from aliasing.encodings import (
    decode_transfer,
    decode_words,
    encode_transfer,
    encode_words,
    parse_parameters,
    write_parameters,
)
from aliasing.message import MAX_DEPTH, MAX_PARTS, Edits, Field, Message, MessageError

NESTED = crlf("""From: a@x.example
Content-Type: multipart/mixed; boundary="outer"

preamble
--outer
Content-Type: multipart/alternative; boundary=outer-inner

--outer-inner
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

ma=F1ana=
 s
--outer-inner--
between
--outer
Content-Type: application/pdf; name="a b.pdf"
Content-Transfer-Encoding: base64
Content-Disposition: attachment; filename*=utf-8''fa%C3%A7ade.pdf

JVBERi0x
--outer--
epilogue
""")


def test_the_tree_over_the_bytes() -> None:
    message = Message.parse(NESTED)
    assert [(part.path, part.content_type) for part in message.root.walk()] == [
        ("", "multipart/mixed"), ("1", "multipart/alternative"), ("1.1", "text/plain"), ("2", "application/pdf")]
    text, pdf = message.root.parts[0].parts[0], message.root.parts[1]
    assert message.text(text) == "mañana s"
    assert message.decoded(pdf) == b"%PDF-1"
    assert pdf.file_name == "façade.pdf"
    assert pdf.is_attachment
    assert not text.is_attachment


def test_replacing_one_body_leaves_every_other_byte() -> None:
    message = Message.parse(NESTED)
    part = message.root.parts[0].parts[0]
    new = message.edit(Edits(bodies={part: b"other"}))
    assert new.raw == NESTED.replace(message.body(part), b"other")


@given(st.binary(max_size=300))
def test_no_bytes_make_the_parser_raise_anything_else(data: bytes) -> None:
    try:
        message = Message.parse(data)
    except MessageError:
        return
    for part in message.root.walk():
        message.text(part)
        assert part.start <= part.body_start <= part.end <= len(data)


@given(st.lists(st.sampled_from([b"--b", b"--b--", b"\r\n", b"x", b"Content-Type: multipart/mixed; boundary=b\r\n\r\n",
                                 b"Content-Type: text/plain\r\n\r\n"]), max_size=40))
def test_no_arrangement_of_boundaries_confuses_the_spans(pieces: list[bytes]) -> None:
    data = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"".join(pieces)
    try:
        message = Message.parse(data)
    except MessageError:
        return
    for part in message.root.walk():
        for child in part.parts:
            assert part.body_start <= child.start <= child.body_start <= child.end <= part.end
        for one, other in zip(part.parts, part.parts[1:], strict=False):
            assert one.end <= other.start


def test_limits_are_errors_of_size() -> None:
    many = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * (MAX_PARTS + 1)
    deep = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (level, level)
                    for level in range(MAX_DEPTH + 2))
    for data in (many, deep, b"X: " + b"y" * 100_001 + b"\r\n\r\n", b"X: y\r\n" * 1_001 + b"\r\n"):
        with pytest.raises(MessageError) as caught:
            Message.parse(data)
        assert caught.value.too_big


def test_a_line_that_is_no_field_begins_the_body_and_nothing_is_lost() -> None:
    message = Message.parse(b"From ana Tue\r\nFrom: a@x.example\r\nnonsense\r\n\r\nmore\r\n")
    assert [field.name for field in message.fields] == ["from"]
    assert message.body(message.root) == b"nonsense\r\n\r\nmore\r\n"
    assert message.root.ragged


def test_a_delimiter_at_the_very_end_opens_no_part() -> None:
    data = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b"
    for end in (b"", b"\r\n"):
        assert [part.path for part in Message.parse(data + end).root.walk()] == ["", "1"]


def test_a_header_value_cannot_smuggle_a_field() -> None:
    with pytest.raises(ValueError, match="fold"):
        Field.make("Subject", "hola\r\nBcc: x@y.example")
    assert Field.make("Subject", "hola\r\n mundo").value == b"hola mundo"


@given(st.binary(max_size=400), st.sampled_from(["base64", "quoted-printable", "8bit", ""]))
def test_transfer_encodings_round_trip_with_crlf_lines(data: bytes, encoding: str) -> None:
    if encoding == "quoted-printable":
        data = data.replace(b"\r", b"").replace(b"\n", b"")  # its line ends are the text's own
    encoded = encode_transfer(data, encoding)
    assert decode_transfer(encoded, encoding) == data
    if encoding in ("base64", "quoted-printable"):
        assert encoded.count(b"\n") == encoded.count(b"\r\n")
        assert all(len(line) <= 76 for line in encoded.split(b"\r\n"))


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=200))
def test_encoded_words_round_trip(text: str) -> None:
    encoded = encode_words(text)
    assert encoded.isascii()
    assert decode_words(encoded.replace("\r\n", "")) == text
    assert "=?" not in encoded or all(len(line) <= 76 for line in encoded.split("\r\n"))


@pytest.mark.parametrize(("text", "kind", "parameters"), [
    ('text/plain; charset="utf-8"', "text/plain", {"charset": "utf-8"}),
    ("TEXT/HTML;Charset=us-ascii; format=flowed", "text/html", {"charset": "us-ascii", "format": "flowed"}),
    ('a/b; name*0="very"; name*1=" long"', "a/b", {"name": "very long"}),
    ("a/b; name*0*=utf-8''%C3%B1; name*1=x", "a/b", {"name": "ñx"}),
    ('a/b; name="=?utf-8?B?w7E=?="', "a/b", {"name": "ñ"}),
    ('a/b; name="semi;colon\\"quote"', "a/b", {"name": 'semi;colon"quote'}),
    ("a/b; name*¹=x", "a/b", {"name": "x"}),
    ("", "", {}),
])
def test_parameters(text: str, kind: str, parameters: dict[str, str]) -> None:
    assert parse_parameters(text) == (kind, parameters)


@pytest.mark.parametrize("name", ["=\x90?utf-8?B?c29sQHRpZW5kYS5leGFtcGxl?=.pdf", "=?utf-8?Q?foto?=.jpg", "x" * 80, 'a"b\\c', "ñ"])
def test_a_parameter_is_read_as_it_was_meant(name: str) -> None:
    """Dropping what is not printable must not make an encoded word, which some clients would decode."""
    written = write_parameters("application/pdf", {"name": name})
    assert "=?" not in written
    assert parse_parameters(written.replace("\r\n", "")) == ("application/pdf", {"name": name.replace("\x90", "")})
