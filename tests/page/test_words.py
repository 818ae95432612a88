"""The languages say the same, and templates ask for nothing that is not there."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest

from relay.web.page import words

PAGE = Path(words.__file__).parent
ASKED = re.compile(r"""\bt(?:\.some)?\(\s*["']([a-z_]+\.[a-z0-9_-]+)["']\s*[,)]""")
SOURCES = [*PAGE.rglob("*.html"), *PAGE.rglob("*.py")]


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("language", words.languages())
def test_a_language_has_every_text_and_placeholder(language: str) -> None:
    english, other = words.catalogue("en"), words.catalogue(language)
    assert english.keys() == other.keys()
    for name, text in english.items():
        assert placeholders(text) == placeholders(other[name]) or name.endswith("_one"), name
        assert placeholders(text) <= placeholders(english.get(name.replace("_one", "_other"), text)), name
        assert text.strip(), name


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_what_is_asked_for_is_there(source: Path) -> None:
    known = words.catalogue("en")
    for name in ASKED.findall(source.read_text()):
        assert name in known or f"{name}_other" in known, name


@pytest.mark.parametrize("template", list(PAGE.rglob("*.html")), ids=lambda path: path.name)
def test_templates_have_no_words_and_no_style_of_their_own(template: Path) -> None:
    text = template.read_text()
    assert "|safe" not in text.replace(" ", "")
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:|hx-on|autoescape|https?://", text)
    for form in re.findall(r"<form[^>]*method=\"post\".*?</form>", text, re.DOTALL):
        # a sealed link's page has no session: what it does is in its address
        assert 'name="token"' in form or template.name == "link.html", form
