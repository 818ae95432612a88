"""The sellers' pages: each client in both languages, with what the server really offers."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay.zone.plan import SUBMISSION, SUBMISSIONS

FOLDER = Path(__file__).parent.parent / "docs" / "clients"
CLIENTS = ("android", "apple-mail", "gmail", "iphone", "outlook", "thunderbird")
PAGES = [f"{client}.{language}.md" for client in CLIENTS for language in ("en", "es")]


def test_each_client_has_a_page_in_both_languages() -> None:
    assert sorted(path.name for path in FOLDER.glob("*.md")) == sorted(["README.md", *PAGES])


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_short_exact_and_linked(name: str) -> None:
    text = (FOLDER / name).read_text()
    for value in ("relay.example.com", str(SUBMISSIONS), str(SUBMISSION), "SSL/TLS", "STARTTLS"):
        assert value in text, value
    assert len(text.splitlines()) <= 50
    assert f"({name})" in (FOLDER / "README.md").read_text()
