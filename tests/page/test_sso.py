"""Login by OpenID Connect: through a provider that keeps the rules, and through one that does not."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from apiclient import where
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from operating import logged
from pages import Page
from provider import CLIENT, SECRET, Claims, Provider, provider
from shop import Shop, open_shop
from support import BUYER, SELLER

from relay.config import load
from relay.errors import ConfigError
from relay.ledger.logins import Logins
from relay.web.oidc import Client, Oidc, OidcError

BASE = "http://mensajes.example"
NETWORKS = itertools.count()


@pytest.fixture(scope="module")
def op() -> Iterator[Provider]:
    with provider() as found:
        yield found


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, op: Provider) -> Iterator[Shop]:
    """mod is u-mod at the provider, sol is nobody in particular there."""
    folder = tmp_path_factory.mktemp("sso")
    (folder / "secret").write_text(SECRET + "\n")
    op.redirect_uri = f"{BASE}/login/oidc/callback"
    oidc = {"issuer": op.issuer, "client_id": CLIENT, "client_secret_file": "secret", "name": "La Casa"}
    with open_shop(folder, **{"page": {"base_url": BASE}, "page.oidc": oidc}) as shop:
        Logins(shop.opened).link("mod", op.issuer, "u-mod")
        yield shop


@pytest.fixture
def kind(op: Provider) -> Iterator[Provider]:
    """The provider, which behaves again afterwards."""
    fresh = replace(op)
    yield op
    for name in ("person", "spoil", "sign", "metadata", "delay_s", "status"):
        setattr(op, name, getattr(fresh, name))


class Browser(Page):
    """Knows its host by the name that base_url has."""

    def __init__(self, shop: Shop) -> None:
        super().__init__(shop)
        self.origin = BASE
        self.client.headers["X-Forwarded-For"] = f"10.0.{next(NETWORKS)}.1"  # each comes from a network of its own

    def start(self, then: str = "/") -> str:
        """The button; where it leads."""
        answer = self.get(f"/login/oidc?{urlencode({'next': then})}")
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]

    def come_back(self, url: str) -> httpx.Response:
        assert url.startswith(BASE)
        return self.get(url.removeprefix(BASE))

    def through(self, op: Provider, then: str = "/") -> httpx.Response:
        return self.come_back(op.authorize(self.start(then)))

    @property
    def is_in(self) -> bool:
        return self.get("/sessions").status_code == 200


def test_a_linked_login_comes_in_and_goes_on_where_it_wanted(shop: Shop, kind: Provider) -> None:
    kind.person = {"sub": "u-mod"}
    page = Browser(shop)
    assert "Entrar con La Casa" in page.get("/login?next=/held").text
    answer = page.through(kind, "/held")
    assert (answer.status_code, answer.headers["location"]) == (303, "/held")
    assert page.get("/").headers["location"] == "/reports"
    assert "tradepost-oidc" not in page.client.cookies
    assert kind.refused == []
    assert page.get("/login/oidc?next=/held").headers["location"] == "/held", "who is in need not go there"


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "javascript:alert(1)"])
def test_it_leads_nowhere_else(shop: Shop, kind: Provider, target: str) -> None:
    kind.person = {"sub": "u-mod"}
    assert Browser(shop).through(kind, target).headers["location"] == "/"


MAILBOXES: dict[str, tuple[Claims, bool]] = {
    "the registered address": ({"email": SELLER, "email_verified": True}, True),
    "in another case": ({"email": SELLER.replace("tienda", "TIENDA"), "email_verified": True}, True),
    "not verified": ({"email": SELLER, "email_verified": False}, False),
    "verified in words": ({"email": SELLER, "email_verified": "true"}, False),
    "nothing said of that": ({"email": SELLER}, False),
    "a buyer's": ({"email": BUYER, "email_verified": True}, False),
    "a stranger's": ({"email": "x@stranger.example", "email_verified": True}, False),
    "no address": ({"email": "sol", "email_verified": True}, False),
    "several": ({"email": [SELLER], "email_verified": True}, False),
    "none": ({}, False),
}


@pytest.mark.parametrize("name", MAILBOXES)
def test_a_verified_mailbox_is_its_seller(shop: Shop, kind: Provider, name: str) -> None:
    claims, enters = MAILBOXES[name]
    kind.person = {"sub": "u-9", **claims}
    page = Browser(shop)
    answer = page.through(kind)
    assert page.is_in is enters
    assert answer.status_code == (303 if enters else 403)
    assert enters or "no hay ningún usuario para esa cuenta" in answer.text
    assert SELLER not in shop.log.read_text()


def test_a_mailbox_with_two_logins_is_neither(shop: Shop, kind: Provider) -> None:
    kind.person = {"sub": "u-9", "email": SELLER, "email_verified": True}
    Logins(shop.opened).add("sol2", "seller:S1", "x")
    try:
        page = Browser(shop)
        assert page.through(kind).status_code == 403
        Logins(shop.opened).link("sol2", kind.issuer, "u-other")
        assert page.through(kind).status_code == 303, "a linked login is for its own subject only"
    finally:
        Logins(shop.opened).remove("sol2")


def none(op: Provider, claims: Claims) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=").decode() for one in ({"alg": "none"}, claims)]
    return ".".join([*parts, ""])


def by_secret(op: Provider, claims: Claims) -> str:
    return jwt.encode({"alg": "HS256", "kid": "one"}, claims, OctKey.import_key(SECRET * 8), algorithms=["HS256"])


def by_public_key(op: Provider, claims: Claims) -> str:
    return jwt.encode({"alg": "HS256", "kid": op.key.kid}, claims, OctKey.import_key(op.key.as_pem(private=False)), algorithms=["HS256"])


def by_another_key(op: Provider, claims: Claims) -> str:
    return jwt.encode({"alg": "RS256", "kid": op.key.kid}, claims, RSAKey.generate_key(2048))


def changed(op: Provider, claims: Claims) -> str:
    head, _, tail = jwt.encode({"alg": op.key.alg, "kid": op.key.kid}, claims | {"sub": "x"}, op.key).split(".")
    return f"{head}.{base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b'=').decode()}.{tail}"


def without(name: str) -> Callable[[Claims], Claims]:
    return lambda claims: {key: value for key, value in claims.items() if key != name}


WRONG: dict[str, dict[str, Any]] = {
    "no signature": {"sign": none}, "the client's secret": {"sign": by_secret}, "the public key as a secret": {"sign": by_public_key},
    "another key": {"sign": by_another_key}, "claims that were not signed": {"sign": changed}, "no token": {"sign": lambda op, claims: 7},
    "rubbish": {"sign": lambda op, claims: "a.b.c"},
    "another nonce": {"spoil": lambda claims: claims | {"nonce": "x"}}, "no nonce": {"spoil": without("nonce")},
    "another issuer": {"spoil": lambda claims: claims | {"iss": "https://evil.example"}}, "no issuer": {"spoil": without("iss")},
    "another audience": {"spoil": lambda claims: claims | {"aud": "other"}}, "no audience": {"spoil": without("aud")},
    "several audiences and another party": {"spoil": lambda claims: claims | {"aud": [CLIENT, "other"], "azp": "other"}},
    "over": {"spoil": lambda claims: claims | {"exp": int(time.time()) - 90}}, "no end": {"spoil": without("exp")},
    "an end in words": {"spoil": lambda claims: claims | {"exp": "tomorrow"}},
    "from the future": {"spoil": lambda claims: claims | {"iat": int(time.time()) + 600}},
    "no subject": {"spoil": without("sub")}, "an empty subject": {"spoil": lambda claims: claims | {"sub": ""}},
    "a subject that is no text": {"spoil": lambda claims: claims | {"sub": ["u-mod"]}},
    "another access token's hash": {"spoil": lambda claims: claims | {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}},
}


@pytest.mark.parametrize("name", WRONG)
def test_a_token_that_is_not_right_in_every_way_opens_nothing(shop: Shop, kind: Provider, name: str) -> None:
    kind.person = {"sub": "u-mod"}
    for attribute, value in WRONG[name].items():
        setattr(kind, attribute, value)
    page = Browser(shop)
    answer = page.through(kind)
    assert answer.status_code == 403
    assert "no ha funcionado" in answer.text
    assert not page.is_in
    assert "tradepost-session" not in page.client.cookies


def test_a_list_of_audiences_with_us_in_it_is_fine(shop: Shop, kind: Provider) -> None:
    kind.person = {"sub": "u-mod"}
    kind.spoil = lambda claims: claims | {"aud": [CLIENT, "other"], "azp": CLIENT}
    assert Browser(shop).through(kind).status_code == 303


def test_an_answer_is_for_one_browser_and_once(shop: Shop, kind: Provider) -> None:
    kind.person = {"sub": "u-mod"}
    mine, other = Browser(shop), Browser(shop)
    back = kind.authorize(mine.start())
    assert other.come_back(back).status_code == 403
    other.start()
    assert other.come_back(back).status_code == 403, "with a cookie, but of another login"
    assert mine.come_back(back).status_code == 303, "nobody else's try has used it up"
    mine.post("/logout")
    assert mine.come_back(back).status_code == 403
    assert not mine.is_in


@pytest.mark.parametrize("change", [{"state": ""}, {"state": "x"}, {"code": ""}, {"code": "x"}, {"iss": "https://evil.example"},
                                    {"error": "access_denied", "code": ""}, {"error": "<script>alert(1)</script>"}])
def test_an_answer_that_is_another_one_opens_nothing(shop: Shop, kind: Provider, change: dict[str, str]) -> None:
    kind.person = {"sub": "u-mod"}
    page = Browser(shop)
    parts = urlsplit(kind.authorize(page.start()))
    query = {name: values[0] for name, values in parse_qs(parts.query).items()} | change
    answer = page.get(f"{parts.path}?{urlencode(query)}")
    assert answer.status_code == 403
    assert "<script>alert" not in answer.text
    assert not page.is_in


def test_each_login_has_its_own_state_nonce_and_challenge(shop: Shop, kind: Provider) -> None:
    queries = [parse_qs(urlsplit(Browser(shop).start()).query) for _ in range(3)]
    for name in ("state", "nonce", "code_challenge"):
        assert len({query[name][0] for query in queries}) == 3
        assert all(len(query[name][0]) >= 43 for query in queries)
    assert "code_verifier" not in queries[0]


def test_new_keys_are_fetched_when_they_are_needed_and_no_more_often(shop: Shop, kind: Provider) -> None:
    kind.person = {"sub": "u-mod"}
    assert Browser(shop).through(kind).status_code == 303
    before = kind.asked.count("/keys")
    kind.sign = lambda op, claims: jwt.encode({"alg": "RS256", "kid": "unknown"}, claims, op.key)
    for _ in range(3):
        assert Browser(shop).through(kind).status_code == 403
    assert kind.asked.count("/keys") <= before + 1


def test_a_removed_or_unlinked_login_is_out(shop: Shop, kind: Provider) -> None:
    logins = Logins(shop.opened)
    logins.add_role("short", "operator", "x")
    logins.link("short", kind.issuer, "u-short")
    kind.person = {"sub": "u-short"}
    page = Browser(shop)
    assert page.through(kind).status_code == 303
    logins.link("short", kind.issuer, None)
    assert Browser(shop).through(kind).status_code == 403
    logins.remove("short")
    assert not page.is_in


def test_the_command_line_links_and_unlinks(shop: Shop, kind: Provider) -> None:
    assert "linked" in shop.run("login", "link", "ops", "u-ops")
    kind.person = {"sub": "u-ops"}
    assert Browser(shop).through(kind).status_code == 303
    assert "another login" in shop.run("login", "link", "sol", "u-ops", check=2)
    shop.run("login", "link", "ops")
    assert Browser(shop).through(kind).status_code == 403


SILENT: dict[str, dict[str, Any]] = {
    "it is down": {"status": 503}, "it says another name": {"metadata": {"issuer": "https://evil.example"}},
    "a token endpoint that is no address": {"metadata": {"token_endpoint": "file:///etc/passwd"}},
    "no keys": {"metadata": {"jwks_uri": None}}, "it talks without end": {"metadata": {"x": "y" * 300_000}},
}


@pytest.mark.parametrize("name", SILENT)
def test_a_provider_that_cannot_be_used_leaves_the_password(tmp_path: Any, name: str) -> None:
    """What is known of a provider is remembered: each of these is a new one."""
    with provider() as silent:
        for attribute, value in SILENT[name].items():
            setattr(silent, attribute, value)
        with pytest.raises(OidcError):
            asyncio.run(Oidc().begin(Client(silent.issuer, CLIENT, None, f"{BASE}/login/oidc/callback"), "/"))


@pytest.mark.parametrize("methods", [["client_secret_post"], ["client_secret_basic", "client_secret_post"], None])
def test_it_shows_its_secret_as_the_provider_wants_it(tmp_path: Any, methods: list[str] | None) -> None:
    (tmp_path / "secret").write_text(SECRET)
    with provider() as op:
        op.metadata = {"token_endpoint_auth_methods_supported": methods} if methods else {}
        op.redirect_uri = f"{BASE}/login/oidc/callback"
        client = Client(op.issuer, CLIENT, tmp_path / "secret", op.redirect_uri)

        async def log_in() -> str:
            oidc = Oidc()
            url, pending = await oidc.begin(client, "/")
            code = parse_qs(urlsplit(op.authorize(url)).query)["code"][0]
            with pytest.raises(OidcError, match="answers with 400"):
                await oidc.finish(replace(client, secret_file=None), pending, code)
            code = parse_qs(urlsplit(op.authorize(url)).query)["code"][0]
            with pytest.raises(OidcError, match="answers with 400"):
                await oidc.finish(client, replace(pending, verifier="x" * 43), code)
            code = parse_qs(urlsplit(op.authorize(url)).query)["code"][0]
            return (await oidc.finish(client, pending, code)).subject

        assert asyncio.run(log_in()) == "u-1"
        assert op.refused == ["client", "verifier"]


def test_when_nobody_answers_the_page_says_so(shop: Shop, kind: Provider) -> None:
    lines = len(logged(shop, "page-sso-failed"))
    kind.person = {"sub": "u-mod"}
    page = Browser(shop)
    back = kind.authorize(page.start())
    kind.status = 500
    assert page.come_back(back).status_code == 403
    assert len(logged(shop, "page-sso-failed")) == lines + 1
    assert httpx.get(f"http://{where(shop)}/login", timeout=20).status_code == 200


def test_nobody_begins_without_end(shop: Shop) -> None:
    page = Browser(shop)
    answers = [page.get("/login/oidc") for _ in range(32)]
    assert [one.status_code for one in answers[::31]] == [303, 429]
    assert 0 < int(answers[-1].headers["retry-after"]) <= 5
    assert Browser(shop).get("/login/oidc").status_code == 303


def test_without_a_provider_there_is_nothing(tmp_path: Any) -> None:
    with open_shop(tmp_path) as shop:
        page = Page(shop)
        assert "/login/oidc" not in page.get("/login").text
        assert page.get("/login/oidc").status_code == 404
        assert page.get("/login/oidc/callback?code=x&state=y").status_code == 404
        assert "no provider" in shop.run("login", "link", "sol", "x", check=2)


@pytest.mark.parametrize(("text", "said"), [
    ('issuer = "https://login.example"\nclient_id = "x"', "needs base_url"),
    ('issuer = "https://login.example"', "belong together"),
    ('issuer = "http://login.example"\nclient_id = "x"', "write it as the provider does"),
    ('issuer = "login.example"\nclient_id = "x"', "write it as the provider does")])
def test_half_a_provider_is_an_error_of_the_configuration(tmp_path: Any, text: str, said: str) -> None:
    path = tmp_path / "tradepost.toml"
    path.write_text(f"[page.oidc]\n{text}\n")
    with pytest.raises(ConfigError, match=said):
        load(path)
