"""The messages page of a running relay, as a browser sees it but without one: httpx, cookies, forms."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from email.message import EmailMessage
from email.utils import formatdate
from typing import Any

import httpx
from apiclient import where
from bs4 import BeautifulSoup, Tag
from shape_files import jpeg
from shop import PASSWORD
from support import BUYER, TRADEPOST, Relay


def new_login(relay: Relay, name: str, *words: str, password: str = PASSWORD) -> None:
    """`words` are more of the command line, such as --party S1 or --role moderator."""
    subprocess.run([str(TRADEPOST), "login", "add", name, *words, "-c", str(relay.file)], input=password + "\n",
                   text=True, check=True, capture_output=True, env=relay.environment(), cwd=relay.folder)


PHOTO = jpeg(0)
HTML = ('<p>Está <b>roto</b>.</p><script>alert(1)</script><img src="https://tracker.example/p.gif" width="1" height="1">'
        '<img src="cid:foto1" alt="Foto"><form action="https://evil.example/"><input name="x"></form>')


def buyers_mail(to: str, ago_s: int = 0) -> bytes:
    """"Está roto": text with a quote, HTML that has to be cleaned with an image of its own, and a photograph."""
    one = EmailMessage()
    one["From"], one["To"], one["Subject"] = BUYER, to, "Está roto"
    one["Date"], one["Message-ID"] = formatdate(time.time() - ago_s), "<roto@correo.example>"
    one.set_content("Está roto.\n\nEl lunes escribió:\n> Hola\n> adiós\n")
    one.add_alternative(HTML, subtype="html")
    one.get_payload()[1].add_related(PHOTO, "image", "jpeg", cid="<foto1>", disposition="inline")
    one.add_attachment(PHOTO, maintype="application", subtype="octet-stream", filename="Foto ñ.jpg")
    return one.as_bytes(policy=one.policy.clone(linesep="\r\n"))


class Page:
    """One browser profile. Follows redirects only where told."""

    def __init__(self, relay: Relay, login: str | None = None, language: str = "es") -> None:
        self.origin = f"http://{where(relay)}"
        self.client = httpx.Client(base_url=self.origin, headers={"Accept-Language": language}, timeout=20,
                                   limits=httpx.Limits(max_keepalive_connections=0))
        self.last: httpx.Response | None = None
        if login:
            answer = self.log_in(login)
            assert answer.status_code == 303, answer.text

    def get(self, path: str, **headers: str) -> httpx.Response:
        self.last = self.client.get(path, headers=_named(headers))
        return self.last

    def soup(self, path: str) -> BeautifulSoup:
        answer = self.get(path)
        assert answer.status_code == 200, (path, answer.status_code, answer.text)
        return BeautifulSoup(answer.text, "lxml")

    def post(self, path: str, fields: dict[str, Any] | None = None, *, token: str | None = None,
             files: Any = None, **headers: str) -> httpx.Response:
        """A form of our own page: with Origin and the token of the page that was shown last, unless others are given
        (an empty one is left out)."""
        token = self.token() if token is None else token
        sent = {"Origin": self.origin, **_named(headers)}
        self.last = self.client.post(path, data={**(fields or {}), **({"token": token} if token else {})}, files=files,
                                     headers={name: value for name, value in sent.items() if value})
        return self.last

    def token(self) -> str:
        """That of any form, from a page that everybody may see."""
        answer = self.client.get("/login")
        answer = self.client.get("/sessions") if answer.status_code == 303 else answer
        field = BeautifulSoup(answer.text, "lxml").find("input", {"name": "token"})
        assert isinstance(field, Tag)
        return str(field["value"])

    def log_in(self, login: str, password: str = PASSWORD, then: str = "/") -> httpx.Response:
        return self.post("/login", {"login": login, "password": password, "next": then})


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


Table = dict[str, Callable[[Page], httpx.Response]]
