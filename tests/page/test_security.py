"""What a stranger, another seller or a writer of mail tries on the page, as tables."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable
from email.message import EmailMessage
from typing import Any

import pytest
from apiclient import where
from bs4 import BeautifulSoup
from fastapi.routing import APIRoute
from operating import logged
from pages import Page
from shape_files import jpeg
from shop import PASSWORD, Shop
from support import BUYER, ORDER, SELLER, message

from relay.web.page.app import ROUTERS
from relay.web.page.viewer import NO_TOKEN, PUBLIC

ROUTES = [(method, route.path) for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)
          for method in sorted(route.methods or ())]
XSS = ['<script>alert(1)</script>', '"><img src=x onerror=alert(1)>', "'-alert(1)-'", "{{ 7*7 }}", "javascript:alert(1)",
       "</title><svg onload=alert(1)>", "%3Cscript%3E", "\u2028<b>"]


def filled(path: str) -> str:
    """A route's form as an address."""
    return re.sub(r"{(\w+)(:path)?}", lambda one: "1" if one[1] == "number" else "x", path)


def test_there_are_routes() -> None:
    assert len(ROUTES) > 12
    assert {path for _, path in ROUTES} >= PUBLIC | NO_TOKEN


@pytest.mark.parametrize(("method", "path"), ROUTES, ids=lambda value: value)
def test_every_route_needs_a_session(shop: Shop, method: str, path: str) -> None:
    if path in PUBLIC | NO_TOKEN:
        return
    page = Page(shop)
    page.token()
    if method == "GET":
        answer = page.get(filled(path))
        assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, "/login")
        assert page.get(filled(path), HX_Request="true").headers["hx-redirect"] == "/login"
    else:
        assert page.post(filled(path)).headers["location"] == "/login"


FORGED: dict[str, Callable[[Page, str, dict[str, str]], Any]] = {
    "no token": lambda page, path, fields: page.post(path, fields, token=""),
    "a wrong token": lambda page, path, fields: page.post(path, fields, token="0" * 64),
    "odd characters": lambda page, path, fields: page.post(path, fields, token="ñ\u0000"),
    "no Origin": lambda page, path, fields: page.post(path, fields, Origin=""),
    "another Origin": lambda page, path, fields: page.post(path, fields, Origin="https://evil.example"),
    "an opaque Origin": lambda page, path, fields: page.post(path, fields, Origin="null"),
    "Origin with our name in it": lambda page, path, fields: page.post(path, fields, Origin=page.origin + ".evil.example"),
    "another port": lambda page, path, fields: page.post(path, fields, Origin="http://127.0.0.1:1"),
    "fetch metadata": lambda page, path, fields: page.post(path, fields, Sec_Fetch_Site="cross-site"),
    "same site only": lambda page, path, fields: page.post(path, fields, Sec_Fetch_Site="same-site"),
    "JSON": lambda page, path, fields: page.client.post(path, json=fields, headers={"Origin": page.origin}),
    "plain text": lambda page, path, fields: page.client.post(
        path, content=f"token={page.token()}", headers={"Origin": page.origin, "Content-Type": "text/plain"}),
}


@pytest.mark.parametrize("how", FORGED)
@pytest.mark.parametrize(("method", "path"), [one for one in ROUTES if one[0] == "POST" and one[1] not in NO_TOKEN],
                         ids=lambda value: value)
def test_forged_posts_do_nothing(shop: Shop, sol: Page, method: str, path: str, how: str) -> None:
    fields = {"mark": "report", "language": "en", "login": "luna", "password": "x"}
    answer = FORGED[how](sol, filled(path), fields)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
    assert sol.get("/sessions").status_code == 200


def test_another_sessions_token_is_none(shop: Shop, sol: Page) -> None:
    luna = Page(shop, "luna")
    assert sol.post("/logout", token=luna.token()).status_code == 403
    assert sol.post("/logout", token=Page(shop).token()).status_code == 403
    stranger = Page(shop)
    stranger.client.cookies.set("tradepost-form", "")
    assert stranger.post("/language", {"language": "es"}, token="9f0c").status_code == 403


@pytest.fixture(scope="module")
def sol(shop: Shop) -> Page:
    return Page(shop, "sol")


PAGES = ["/login", "/sessions", "/messages", "/messages?filter=all", f"/orders/{ORDER}", "/nothing", "/static/nothing",
         "/static/page.css", "/static/htmx.min.js"]


@pytest.mark.parametrize("path", PAGES)
def test_headers_stand_on_every_answer(shop: Shop, sol: Page, path: str) -> None:
    page = Page(shop) if path == "/login" else sol
    headers = page.get(path).headers
    policy = dict(one.partition(" ")[::2] for one in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["form-action"] == "'self'"
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert ("no-store" in headers["cache-control"]) == (not path.startswith("/static/page") and "htmx" not in path)
    assert "server" not in headers


def sound(text: str) -> None:
    """No element and no attribute that our templates do not write."""
    soup = BeautifulSoup(text, "lxml")
    assert {one.get("src", "").partition("?")[0] for one in soup.select("script")} <= {"/static/htmx.min.js", "/static/page.js"}
    assert not [tag for tag in soup.find_all(True) for name in tag.attrs if name.startswith("on") or name == "style"]
    assert not soup.select("svg[onload], [href^='javascript:'], [src^='javascript:'], img[src='x']")
    assert "49" not in soup.get_text() or "{{" not in text


@pytest.mark.parametrize("bad", XSS)
def test_what_comes_with_the_address_is_escaped(shop: Shop, sol: Page, bad: str) -> None:
    for path, name in (("/messages", "order"), ("/messages", "filter"), ("/messages", "cursor"), (f"/orders/{ORDER}", "earlier"),
                       ("/messages/rows", "seen"), ("/login", "next")):
        answer = (Page(shop) if path == "/login" else sol).client.get(path, params={name: bad})
        if answer.status_code not in (204, 303):
            sound(answer.text)
    door = Page(shop)
    door.token()
    sound(door.post("/login", {"login": bad, "password": "x", "next": bad}).text)
    assert "next=" not in door.last.text


def test_what_a_buyer_writes_is_escaped(shop: Shop, sol: Page) -> None:
    to_seller = shop.alias("seller")
    for number, bad in enumerate(XSS):
        one = EmailMessage()
        one["From"], one["To"] = f'"{bad.encode("ascii", "replace").decode().replace(chr(34), "")}" <{BUYER}>', to_seller
        one["Subject"], one["Message-ID"] = f"{number} {bad}".replace("\u2028", " "), f"<x{number}@correo.example>"
        one.set_content(f"{bad}\n> {bad}\n")
        one.add_alternative(f"<p>{bad}</p>", subtype="html")
        name = re.sub(r"[^\w<>=()' ]", "", bad) + ".jpg"
        one.add_attachment(jpeg(0), maintype="image", subtype="jpeg", filename=name)
        code, said = shop.send_now(BUYER, to_seller, one.as_bytes(policy=one.policy.clone(linesep="\r\n")))
        assert code in (250, 550), said
    found = [one["id"] for one in shop.all() if one["direction"] == "to-seller"]
    assert len(found) >= len(XSS)
    for path in ("/messages", "/messages?filter=all", "/messages?filter=refused", f"/orders/{ORDER}",
                 *(f"/messages/{one}" for one in found)):
        answer = sol.get(path)
        assert answer.status_code == 200
        sound(answer.text)


STORED = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<svg><script>alert(1)</script></svg>",
    '<a href="javascript:alert(1)">x</a>', '<iframe srcdoc="<script>alert(1)</script>"></iframe>',
    '<form action="https://evil.example"><button formaction="javascript:alert(1)">x</button></form>',
    '<meta http-equiv="refresh" content="0;url=https://evil.example">', '<base href="https://evil.example/">',
    '<link rel="stylesheet" href="https://evil.example/x.css">', '<div style="background:url(https://evil.example/p)">x</div>',
    '<img src="https://evil.example/p.gif">', "<style>@import 'https://evil.example/x.css';</style>",
    '<img src="cid:../../etc/passwd">', '<math><mtext><table><mglyph><style><img src=x onerror=alert(1)></style></table>',
    '<img src="cid:a" src="x" onerror=alert(1)>', "<!--><img src=x onerror=alert(1)>-->", "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
]


def test_stored_html_is_harmless_twice(shop: Shop, sol: Page) -> None:
    """Cleaned on its way, and shown where scripts do not run and nothing is fetched."""
    to_seller = shop.alias("seller")
    for number, bad in enumerate(STORED):
        mail = message(BUYER, to_seller, f"HTML {number}", f"<p>{number}</p>{bad}", Content_Type="text/html; charset=utf-8")
        assert shop.send_now(BUYER, to_seller, mail)[0] == 250, bad
    found = {one["subject"]: one["id"] for one in shop.all()}
    for number, bad in enumerate(STORED):
        answer = sol.get(f"/messages/{found[f'HTML {number}']}/html")
        assert answer.status_code == 200
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("sandbox;")
        assert "img-src data:;" in policy
        assert "script-src" not in policy
        soup = BeautifulSoup(answer.text.partition("</style>")[2], "lxml")
        assert not soup.select("script, iframe, form, button, meta[http-equiv], base, link, svg, math, style, noscript"), bad
        assert not [tag for tag in soup.find_all(True) for name in tag.attrs if name.startswith("on")], bad
        assert "evil.example" not in answer.text, bad


TRAVERSALS = ["/static/../login.py", "/static/..%2f..%2fapp.py", "/static/%2e%2e/app.py", "/static/....//app.py", "/static/page.css%00",
              "/static//etc/passwd", "/orders/../../etc/passwd", "/orders/..%2F..%2Fetc%2Fpasswd", "/messages/..%2f..%2fkeys",
              "/messages/x/files/../../../keys", "/messages/%00", "/messages/" + "x" * 3000, "/orders/" + "x" * 3000,
              "/messages/x/files/-1", "/messages/x/files/1e3", "/messages/x/images/99999999999999999999"]


@pytest.mark.parametrize("path", TRAVERSALS)
def test_paths_lead_nowhere_else(shop: Shop, sol: Page, path: str) -> None:
    import http.client

    connection = http.client.HTTPConnection(where(shop), timeout=20)
    connection.putrequest("GET", path, skip_host=False)  # as it is: httpx would tidy it up
    connection.putheader("Cookie", f"tradepost-session={sol.client.cookies['tradepost-session']}")
    connection.endheaders()
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    assert answer.status in (400, 404, 422), path
    assert "<h1>" in text
    assert "Traceback" not in text
    assert "/tmp" not in text


def test_file_names_and_contents_do_no_harm(shop: Shop, sol: Page) -> None:
    to_seller = shop.alias("seller")
    one = EmailMessage()
    one["From"], one["To"], one["Subject"], one["Message-ID"] = BUYER, to_seller, "Ficheros", "<f1@correo.example>"
    one.set_content("Mire.")
    one.add_attachment(b"<html><script>alert(1)</script>".decode(), subtype="plain", filename="nota.txt")
    one.add_attachment(jpeg(0), maintype="text", subtype="html", filename='a"; x="y;.jpg')
    assert shop.send_now(BUYER, to_seller, one.as_bytes(policy=one.policy.clone(linesep="\r\n")))[0] in (250, 550)
    found = {one["subject"]: one for one in shop.all()}["Ficheros"]
    if found["state"] == "refused":  # the rules were stricter than the page has to be
        return
    for number in (1, 2):
        saved = sol.get(f"/messages/{found['id']}/files/{number}")
        assert saved.headers["content-type"] == "application/octet-stream"
        assert re.fullmatch(r"attachment; filename=\"[A-Za-z0-9._ -]+\"; filename\*=UTF-8''[A-Za-z0-9._%-]+",
                            saved.headers["content-disposition"])
    assert sol.get(f"/messages/{found['id']}/images/1").status_code == 404


def test_a_page_is_no_oracle_for_logins(shop: Shop) -> None:
    """An unknown login costs the same work as a known one (argon2 runs for both)."""
    def spent(login: str) -> float:
        page = Page(shop)
        page.token()
        since = time.perf_counter()
        assert page.log_in(login, "not the password").status_code == 403
        return time.perf_counter() - since

    spent("warm-up")
    known, unknown = min(spent("mod") for _ in range(3)), min(spent("nobody-here") for _ in range(3))
    assert 0.4 < known / unknown < 2.5


def test_big_bodies_are_refused(shop: Shop, sol: Page) -> None:
    answer = sol.post("/language", {"language": "es", "next": "x" * 70_000})
    assert answer.status_code == 413
    assert "<h1>" in answer.text


def test_behind_https_cookies_are_marked(shop: Shop) -> None:
    shop.config["page"] = {"base_url": "https://mensajes.example"}
    shop.write_config()
    before = len(logged(shop, "reloaded"))
    assert shop.process
    shop.process.send_signal(signal.SIGHUP)
    while len(logged(shop, "reloaded")) == before:
        time.sleep(0.05)
    page = Page(shop)
    asked = page.get("/login")
    assert asked.headers["strict-transport-security"].startswith("max-age=")
    [form] = asked.headers.get_list("set-cookie")
    assert form.startswith("__Host-tradepost-form=")
    token = BeautifulSoup(asked.text, "lxml").find("input", {"name": "token"})["value"]
    sent: dict[str, Any] = {"login": "sol", "password": PASSWORD, "token": token}
    cookie = form.partition(";")[0]
    for origin, status in (("https://mensajes.example", 303), (page.origin, 403)):
        answer = page.client.post("/login", data=sent, headers={"Origin": origin, "Cookie": cookie})
        assert answer.status_code == status
        if status == 303:
            session = next(one for one in answer.headers.get_list("set-cookie") if "session" in one)
            assert session.startswith("__Host-tradepost-session=")
            assert {"Secure", "HttpOnly", "Path=/", "SameSite=lax"} <= set(session.split("; "))
            assert "Domain" not in session
    assert SELLER not in page.get("/login").text
