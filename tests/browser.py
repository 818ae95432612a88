"""Debian's Chromium on the page of a running relay, cut off from every network but this machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from apiclient import where
from playwright.sync_api import Browser, Page, expect, sync_playwright
from shop import PASSWORD
from support import Relay

AXE = (Path(__file__).parent / "page/axe/axe.min.js").read_text()
SHOTS = os.environ.get("TRADEPOST_SHOTS", "")
"""The folder for pictures of every view; with it each look is tried, without it two looks that have all between them."""
LOOKS = [("light", "es"), ("dark", "en"), *([("light", "en"), ("dark", "es")] if SHOTS else [])]
"""(scheme, language)."""
SIZES = {"desktop": (1200, 900), "phone": (390, 844)}
PATIENCE_MS = 20_000
"""The page asks for news each five seconds, and the machine may be busy."""
expect.set_options(timeout=PATIENCE_MS)
_ALONE = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--no-first-run",
          "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
"""Chromium's own sandbox does not work for root, which is who runs tests in a container."""


@contextmanager
def chromium() -> Iterator[Browser]:
    found = shutil.which("chromium")
    assert found, "install Debian's package chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=_ALONE)
        yield browser
        browser.close()


@dataclass
class Tab:
    """One browser profile's page; what it complains of, and whom it asked, is in `problems` and `hosts`."""

    page: Page
    origin: str
    problems: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def go(self, path: str) -> Page:
        self.page.goto(self.origin + path)
        return self.page

    def log_in(self, login: str) -> Page:
        self.go("/login")
        self.page.fill("#login", login)
        self.page.fill("#password", PASSWORD)
        self.page.click("button.primary")
        self.page.wait_for_url(lambda url: "/login" not in url)
        return self.page

    def violations(self) -> list[str]:
        """What axe finds wrong with the page as it is, for WCAG 2.2 A and AA and its best practices."""
        self.page.evaluate(AXE)
        found: dict[str, Any] = self.page.evaluate("() => axe.run(document, {resultTypes: ['violations'], iframes: false})")
        return [f"{one['id']}: {node['target']} {node['failureSummary']}" for one in found["violations"] for node in one["nodes"]]

    def shot(self, name: str) -> None:
        """Into SHOTS, for people to look at."""
        if SHOTS:
            Path(SHOTS).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=True)


@contextmanager
def tab(browser: Browser, relay: Relay, *, size: str = "desktop", scheme: Literal["light", "dark"] = "light",
        language: str = "es-ES", scripts: bool = True) -> Iterator[Tab]:
    """A fresh profile. At its end it must have had no problem, and have asked nobody else."""
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, locale=language,
                                  java_script_enabled=scripts)
    context.set_default_timeout(PATIENCE_MS)
    one = Tab(context.new_page(), f"http://{where(relay)}")
    one.page.on("console", lambda message: one.problems.append(message.text) if message.type in ("error", "warning") else None)
    one.page.on("pageerror", lambda error: one.problems.append(str(error)))
    one.page.on("request", lambda request: one.hosts.add(request.url.split("/")[2]) if "//" in request.url else None)
    try:
        yield one
        assert not one.problems
        assert one.hosts <= {where(relay)}
    finally:
        context.close()
