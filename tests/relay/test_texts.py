import string
import tomllib
from pathlib import Path

import pytest

from policy.status import Status
from policy.verdict import Reply
from relay import texts

FOLDER = Path(texts.__file__).parent


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("language", texts.languages())
def test_every_catalogue_says_everything_with_the_same_placeholders(language: str) -> None:
    reference, own = texts.catalogue("en"), texts.catalogue(language)
    assert set(own) == set(reference)
    for name, text in own.items():
        assert placeholders(text) == placeholders(reference[name]), name


def test_every_status_has_a_text() -> None:
    names = set(tomllib.loads((FOLDER / "en.toml").read_text())["status"])
    assert names == {status.name for status in Status}


@pytest.mark.parametrize("language", texts.languages())
@pytest.mark.parametrize("status", Status)
def test_a_reply_is_one_ascii_line_of_smtp(status: Status, language: str) -> None:
    values = {"order": "111-2222222-3333333", "file": "fáctura «1».exe", "accepted": "txt", "what": "x", "limit": "3",
              "where": "subject", "size": "11", "extension": "pdf", "help_url": "https://help.example/x"}
    line = texts.smtp_line(Reply(status, values), language)
    assert line.isascii()
    assert line.isprintable()
    assert len(line) <= 510
    assert line.startswith(f"{status.code} {status.enhanced} ")
    assert status.enhanced[0] == str(status.code)[0]
    assert line.endswith(f"[{status.name}]") or status is Status.ACCEPTED


def test_the_full_text_keeps_its_letters_and_names_the_order() -> None:
    text = texts.explain(Reply(Status.UNSOLICITED, {"order": "111"}), "es-MX")
    assert "pedido 111" in text
    assert "Información adicional necesaria" in text


def test_an_unknown_language_is_english() -> None:
    assert texts.catalogue("tlh") == texts.catalogue("en")


def test_a_script_without_ascii_falls_back() -> None:
    assert texts.to_ascii("ñandú «x»") == 'nandu "x"'
    assert texts.to_ascii("追加の情報が必要です") is None
