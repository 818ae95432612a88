import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import crlf

from aliasing.message import Message
from aliasing.sevenbit import to_seven_bit


def test_ascii_stays_the_very_same() -> None:
    message = Message.parse(b"Subject: x\r\n\r\nhola\r\n")
    assert to_seven_bit(message) is message


def test_each_part_decodes_to_the_same() -> None:
    pdf = bytes(range(128, 256))
    raw = crlf("Subject: ñandú\nContent-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: 8bit\n\nprefacio ñ\n"
               "--b\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nmañana\nsí\n"
               "--b\nContent-Type: text/plain\n\nplain\n"
               "--b\nContent-Type: application/pdf; name=\"fáctura.pdf\"\n\n") + pdf + b"\r\n--b--\r\n"
    before = Message.parse(raw)
    after = to_seven_bit(before)
    assert after.raw.isascii()
    assert after.subject == before.subject == "ñandú"
    assert [after.decoded(part) for part in after.root.walk() if not part.parts] == [
        before.decoded(part) for part in before.root.walk() if not part.parts]
    assert [part.encoding for part in after.root.parts] == ["quoted-printable", "", "base64"]
    assert [part.file_name for part in after.root.parts] == [None, None, "fáctura.pdf"]
    assert b"\r\nplain\r\n" in after.raw


@pytest.mark.parametrize("head", [
    "Content-Type: text/plain; ñ=x; charset=utf-8", "Content-Type: tëxt/plain", "Content-Description: año",
    "Content-Disposition: attachment; filename=año", "Subject: año", "Content-Language: ñ",
])
def test_any_header_with_raw_eight_bit(head: str) -> None:
    assert to_seven_bit(Message.parse(f"{head}\r\n\r\nx\r\n".encode())).raw.isascii()


@pytest.mark.parametrize("kind", ["text/plain; charset=utf-8", "image/png"])
@given(body=st.binary(max_size=300))
def test_any_single_part(kind: str, body: bytes) -> None:
    body = body.replace(b"\r", b"").replace(b"\n", b"\r\n")
    before = Message.parse(f"Content-Type: {kind}\r\n\r\n".encode() + body)
    after = to_seven_bit(before)
    assert after.raw.isascii()
    assert after.decoded(after.root) == body


def test_no_delimiter_comes_into_being() -> None:
    raw = crlf("""From: a@b.example
Content-Type: multipart/mixed; boundary=bound

--bound
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

=2D-bound
Content-Type: text/html

ñ
--bound--
""")
    assert [part.path for part in to_seven_bit(Message.parse(raw)).root.walk()] == ["", "1"]
