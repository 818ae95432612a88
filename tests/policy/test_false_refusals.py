"""Ordinary mail must get through: a thousand messages in the shapes of common clients, and what arrives of them.

The comparison reads both messages with the standard library, not with the product's eyes.
"""

from __future__ import annotations

import email
import functools
import html
import io
import re
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Iterator
from email.message import Message

import pikepdf
import shape_files
import shapes
from PIL import Image, ImageSequence
from product import Outcome, run_product
from support import BUYER, SELLER, correspondence

from aliasing.correspondence import Direction

COUNT, SEED = 1_000, 20261124
ALLOWED = COUNT // 200
FRAME = correspondence()
_PICTURES = (b"\xff\xd8", b"\x89PNG", b"II*\0", b"MM\0*")


def passage(data: bytes, direction: Direction) -> Outcome:
    """What becomes of one message. All that this file knows of the product."""
    return run_product(data, FRAME, direction)


def letters(count: int, seed: int) -> Iterator[tuple[Direction, str, bytes]]:
    """Half to the seller, half to the buyer."""
    for direction, sender in ((Direction.TO_SELLER, BUYER), (Direction.TO_BUYER, SELLER)):
        alias = str(FRAME.alias(direction.reader))
        for shape, data in shapes.messages(count // 2, seed + len(direction), sender, alias):
            yield direction, shape, data


def test_ordinary_mail_passes_and_arrives_whole() -> None:
    refused: Counter[str] = Counter()
    damaged: Counter[str] = Counter()
    for direction, shape, data in letters(COUNT, SEED):
        outcome = passage(data, direction)
        if outcome.output is None:
            refused[f"{shape}: {outcome.rule}, {outcome.said[:120]}"] += 1
        else:
            damaged.update(f"{shape}: {what}" for what in damage(data, outcome.output))
    listing = "\n".join(f"{count:4d} {what}" for what, count in (damaged + refused).most_common(40))
    assert not damaged, listing
    assert refused.total() <= ALLOWED, listing


def test_every_shape_is_well_formed_mail_from_the_writer_to_the_alias() -> None:
    seen = set()
    for shape, data in shapes.messages(3 * len(shapes.SHAPES), SEED, SELLER, "alias@relay.example"):
        seen.add(shape)
        assert not re.search(rb"(?<!\r)\n|\r(?!\n)|\0", data), shape
        message = email.message_from_bytes(data)
        assert SELLER in str(message["From"]), shape
        assert "alias@relay.example" in str(message["To"]), shape
        defects = {type(defect).__name__ for part in message.walk() for defect in part.defects}
        # the one that leaves out its closing boundary does so on purpose
        assert defects <= ({"CloseBoundaryNotFoundDefect"} if shape == "nameless_image" else set()), (shape, defects)
    assert seen == set(shapes.SHAPES)


def test_the_same_seed_makes_the_same_messages() -> None:
    assert list(shapes.messages(60, 5)) == list(shapes.messages(60, 5))
    assert list(shapes.messages(60, 5)) != list(shapes.messages(60, 6))


def test_the_comparison_sees_damage() -> None:
    page = '<p>{}</p><img src="cid:a">'
    before = (f"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n{page.format('Buenos días')}\r\n"
              "--b\r\nContent-Type: image/gif\r\nContent-ID: <a>\r\n\r\nGIF89a\r\n--b--\r\n").encode()
    assert not damage(before, before)
    assert damage(before, before.replace("días".encode(), b"d")) == ["a text lost días"]
    assert damage(before, before.replace(b"GIF89a", b"GIF89b")) == ["file 1 is not the one that was sent"]
    assert damage(before, before.replace(b"<a>", b"<z>")) == ["a picture in the text is no longer found"]
    assert damage(before, before.replace(b"image/gif", b"text/plain"))[-1] == "1 files became 0"
    for one, other in ((shape_files.jpeg(0), shape_files.jpeg(1)), (shape_files.pdf("scan"), shape_files.pdf("invoice")),
                       (shape_files.docx("plain"), shape_files.docx("link")), (shape_files.tiff(1), shape_files.tiff(2))):
        assert same_file(one, one)
        assert not same_file(one, other)


def test_a_photograph_without_exif_is_the_same_one_only_if_it_stood_upright() -> None:
    for size, same in ((0, True), (1, False)):
        data = shape_files.jpeg(size)
        start = data.index(b"\xff\xe1")
        bare = data[:start] + data[start + 2 + int.from_bytes(data[start + 2 : start + 4], "big") :]
        assert same_file(data, bare) is same


def damage(before: bytes, after: bytes) -> list[str]:
    """What a reader would miss in `after`."""
    sent, got = email.message_from_bytes(before), email.message_from_bytes(after)
    words_got = set().union(*map(_words, _texts(got)))
    lost = {word for text in _texts(sent) for word in _words(text)} - words_got
    out = [f"a text lost {word}" for word in sorted(lost)[:5]]
    files_sent, files_got = _files(sent), _files(got)
    if len(files_sent) != len(files_got):
        return [*out, f"{len(files_sent)} files became {len(files_got)}"]
    out += [f"file {index} is not the one that was sent" for index, pair in enumerate(zip(files_sent, files_got, strict=True), 1)
            if not same_file(*pair)]
    if not _dangling(sent) and _dangling(got):
        out.append("a picture in the text is no longer found")
    return out


def _is_text(part: Message) -> bool:
    return (part.get_content_type() in ("text/plain", "text/html") and part.get_content_disposition() != "attachment"
            and not part.get_filename())


def _leaves(message: Message) -> list[Message]:
    return [part for part in message.walk() if not part.is_multipart()]


def _texts(message: Message) -> list[str]:
    return [_seen(part) for part in _leaves(message) if _is_text(part)]


def _files(message: Message) -> list[bytes]:
    return [_octets(part) for part in _leaves(message) if not _is_text(part)]


def _octets(part: Message) -> bytes:
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload


def _charset(part: Message) -> str:
    name = (part.get_content_charset() or "utf-8").replace("gb2312", "gb18030")
    try:
        _octets(part).decode(name)
    except (LookupError, UnicodeDecodeError):
        return "latin-1"
    return name


def _seen(part: Message) -> str:
    """The text that a reader sees: of HTML neither styles nor comments nor tags."""
    text = _octets(part).decode(_charset(part))
    if part.get_content_type() == "text/html":
        text = re.sub(r"(?is)<(style|script|title)\b.*?</\1>|<!--.*?-->|<[^>]*>", " ", text)
        text = html.unescape(text)
    return text


def _words(text: str) -> set[str]:
    """Words of three letters and more; links and addresses, which may have been exchanged, aside."""
    text = re.sub(r"\S*@\S*|https?://\S+|www\.\S+", " ", unicodedata.normalize("NFKC", text).casefold())
    return set(re.findall(r"[^\W_]{3,}", text))


def _dangling(message: Message) -> set[str]:
    """cid: references in HTML for which there is no part (RFC 2392)."""
    known = {str(part.get("Content-ID", "")).strip(" <>") for part in message.walk()}
    pages = [_octets(part).decode("latin-1") for part in _leaves(message) if part.get_content_type() == "text/html"]
    return {found for page in pages for found in re.findall(r"""<img[^>]*src=["']?cid:([^"'\s>]+)""", page)} - known


@functools.cache
def same_file(before: bytes, after: bytes) -> bool:
    """Byte for byte; or, where metadata may have been taken out, in all that can be seen."""
    if before == after:
        return True
    for marks, read in ((_PICTURES, _pixels), (b"%PDF", _pages), (b"PK", _members)):
        if before.startswith(marks):
            try:
                return read(before) == read(after)
            except (OSError, SyntaxError, ValueError, pikepdf.PdfError, zipfile.BadZipFile):
                return False
    return False


def _pixels(data: bytes) -> list[object]:
    with Image.open(io.BytesIO(data)) as image:
        turned = image.getexif().get(0x0112, 1)
        return [image.format, turned, image.info.get("icc_profile"),
                *((frame.size, frame.mode, frame.tobytes()) for frame in ImageSequence.Iterator(image))]


def _pages(data: bytes) -> list[object]:
    with pikepdf.open(io.BytesIO(data)) as document:
        return [(page.Contents.read_bytes(), [_picture(image.read_raw_bytes()) for image in dict(page.Resources.get("/XObject", {})).values()],
                 tuple(map(float, page.mediabox))) for page in document.pages]


def _picture(data: bytes) -> object:
    """A picture inside a document, where no orientation counts."""
    return _pixels(data)[2:] if data.startswith(b"\xff\xd8") else data


def _members(data: bytes) -> dict[str, object]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: _picture(archive.read(name))
                for name in archive.namelist() if not name.startswith(("docProps/", "[Content_Types]", "_rels/"))}
