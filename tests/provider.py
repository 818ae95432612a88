"""A small OpenID Connect provider on loopback: discovery, keys, consent without questions, and codes that work once."""

from __future__ import annotations

import base64
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

CLIENT, SECRET = "tradepost", "geheim:ñ"
Claims = dict[str, Any]


@dataclass
class Provider:
    """What it says of whoever comes is `person`; the hooks make it misbehave."""

    issuer: str = ""
    person: Claims = field(default_factory=lambda: {"sub": "u-1"})
    spoil: Callable[[Claims], Claims] = lambda claims: claims
    """What it does to an ID token's claims before signing."""
    sign: Callable[[Provider, Claims], str] | None = None
    metadata: Claims = field(default_factory=dict)
    delay_s: float = 0.0
    status: int = 200
    codes: dict[str, Claims] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    """Why the token endpoint said no."""
    asked: list[str] = field(default_factory=list)
    key: Any = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"}))
    redirect_uri: str = ""

    def rotate(self) -> None:
        self.key = ECKey.generate_key("P-256", {"kid": secrets.token_hex(4), "use": "sig", "alg": "ES256"})

    def authorize(self, url: str) -> str:
        """What the browser is sent back to, after a person has agreed."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert query["response_type"] == "code"
        assert query["client_id"] == CLIENT
        assert query["code_challenge_method"] == "S256"
        assert set(query["scope"].split()) == {"openid", "email"}
        assert query["redirect_uri"] == self.redirect_uri
        code = secrets.token_urlsafe(16)
        self.codes[code] = query
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state'], 'iss': self.issuer})}"

    def token(self, form: dict[str, str], authorization: str) -> Claims | None:
        """RFC 6749 4.1.3 and RFC 7636 4.6, as strict as they are."""
        query = self.codes.pop(form.get("code", ""), None)
        basic = base64.b64decode(authorization.removeprefix("Basic ")).decode() if authorization else ""
        name, _, secret = basic.partition(":")
        if "client_secret" in form:
            name, secret = form["client_id"], form["client_secret"]
        challenge = base64.urlsafe_b64encode(sha256(form.get("code_verifier", "").encode()).digest()).rstrip(b"=").decode()
        for problem, is_so in (("code", query is None), ("client", (unquote_plus(name), unquote_plus(secret)) != (CLIENT, SECRET)),
                               ("verifier", query is not None and challenge != query["code_challenge"]),
                               ("redirect_uri", query is not None and form.get("redirect_uri") != query["redirect_uri"]),
                               ("grant", form.get("grant_type") != "authorization_code")):
            if is_so:
                self.refused.append(problem)
                return None
        assert query is not None
        now = int(time.time())
        claims = self.spoil({"iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": query["nonce"], **self.person})
        return {"access_token": "a", "token_type": "Bearer", "id_token": self._signed(claims)}

    def _signed(self, claims: Claims) -> str:
        if self.sign:
            return self.sign(self, claims)
        return jwt.encode({"alg": self.key.alg, "kid": self.key.kid}, claims, self.key)

    def answer(self, path: str) -> Claims | None:
        if path == "/.well-known/openid-configuration":
            return {"issuer": self.issuer, "authorization_endpoint": f"{self.issuer}/authorize", "token_endpoint": f"{self.issuer}/token",
                    "jwks_uri": f"{self.issuer}/keys", **self.metadata}
        return dict(KeySet([self.key]).as_dict(private=False)) if path == "/keys" else None


@contextmanager
def provider() -> Iterator[Provider]:
    found = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append(self.path)
            self._say(found.answer(self.path))

        def do_POST(self) -> None:
            found.asked.append(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            form = {name: values[0] for name, values in parse_qs(body).items()}
            self._say(found.token(form, self.headers.get("Authorization", "")), 400)

        def _say(self, said: Claims | None, missing: int = 404) -> None:
            time.sleep(found.delay_s)
            data = json.dumps(said or {"error": "invalid_grant"}).encode()
            self.send_response(found.status if said is not None else missing)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.issuer = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
