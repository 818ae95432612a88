"""Logins by OpenID Connect: authorization code with PKCE (OpenID Connect Core 1.0 3.1, RFC 7636, RFC 9207).

Authlib and joserfc know the protocol; here is what is asked of whom, and what is believed of the answer.
"""

from __future__ import annotations

import base64
import json
import secrets
import ssl
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus, urlencode

import httpx
from authlib.common.errors import AuthlibBaseError
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

TIMEOUT_S = 5.0
MAX_BYTES = 256 * 1024
KNOWN_FOR_S = 3600.0
"""How long what a provider says of itself is believed."""
KEYS_AGAIN_S = 60.0
"""A token with an unknown key has its provider asked for keys anew, but not more often than that."""
PENDING_S = 600.0
MAX_PENDING = 10_000
LEEWAY_S = 60
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
"""Signatures only: with a shared secret, whoever knows that could be anybody."""


class OidcError(Exception):
    """No login came of it; the text is for the log, in our own words."""


@dataclass(frozen=True)
class Client:
    """What we are to the provider. Without a secret we are a public client."""

    issuer: str
    client_id: str
    secret_file: Path | None
    redirect_uri: str

    def secret(self) -> str:
        """Read each time, so that a new one is taken at once. Raises OidcError."""
        if self.secret_file is None:
            return ""
        try:
            return self.secret_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise OidcError("page.oidc.client_secret_file cannot be read") from None


@dataclass(frozen=True)
class Pending:
    """A login that was sent to the provider and has not come back. `then`: the path to go on to."""

    then: str
    nonce: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48), repr=False)
    browser: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    """What that browser's cookie says: nobody else's answer is taken."""
    begun: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Claims:
    """Who the provider says it is; `mailbox` only where it says that it has verified that."""

    subject: str
    mailbox: str | None


@dataclass
class _Metadata:
    values: Mapping[str, Any]
    until: float
    keys: KeySet | None = None
    keys_at: float = 0.0


class Oidc:
    """One a process: logins under way, and what is known of the provider."""

    def __init__(self) -> None:
        self._pending: OrderedDict[str, Pending] = OrderedDict()
        self._known: dict[str, _Metadata] = {}
        self._context = ssl.create_default_context()

    async def begin(self, client: Client, then: str) -> tuple[str, Pending]:
        """(where to send the browser, what to remember in its cookie). Raises OidcError."""
        metadata = await self._metadata(client.issuer)
        pending, state = Pending(then), secrets.token_urlsafe(32)
        self._pending[sha256(state.encode()).hexdigest()] = pending
        while len(self._pending) > MAX_PENDING:
            self._pending.popitem(last=False)
        url: str = prepare_grant_uri(
            metadata.values["authorization_endpoint"], client.client_id, "code", client.redirect_uri, "openid email",
            state, nonce=pending.nonce, code_challenge=create_s256_code_challenge(pending.verifier),
            code_challenge_method="S256")
        return url, pending

    def take(self, state: str, browser: str) -> Pending | None:
        """The login that this answer belongs to: once, in time, and in the browser that it was begun in."""
        key = sha256(state.encode()).hexdigest()
        pending = self._pending.get(key)
        if pending is None or not secrets.compare_digest(pending.browser.encode(), browser.encode()):
            return None
        del self._pending[key]
        return pending if time.monotonic() - pending.begun < PENDING_S else None

    async def finish(self, client: Client, pending: Pending, code: str) -> Claims:
        """Exchange the code, and look at the ID token closely. Raises OidcError."""
        metadata = await self._metadata(client.issuer)
        answer = await self._exchange(metadata, client, pending, code)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise OidcError("the provider gave no ID token")
        decoded = await self._decode(metadata, token)
        claims = CodeIDToken(
            decoded.claims, decoded.header,
            {"iss": {"essential": True, "value": client.issuer}, "aud": {"essential": True, "value": client.client_id},
             "sub": {"essential": True}},
            {"nonce": pending.nonce, "client_id": client.client_id, "access_token": answer.get("access_token")})
        try:
            claims.validate(leeway=LEEWAY_S)
        except (AuthlibBaseError, JoseError, TypeError, ValueError) as error:
            raise OidcError(f"the ID token is not for us or not valid now ({type(error).__name__})") from None
        subject, mailbox = claims["sub"], claims.get("email")
        if not isinstance(subject, str) or not subject:
            raise OidcError("the ID token has no subject")
        is_verified = claims.get("email_verified") is True and isinstance(mailbox, str)
        return Claims(subject, mailbox if is_verified else None)

    # -- what is asked -----------------------------------------------------------------------------------------

    async def _metadata(self, issuer: str) -> _Metadata:
        """OpenID Connect Discovery 1.0 4."""
        known = self._known.get(issuer)
        if known is not None and time.monotonic() < known.until:
            return known
        found = await self._fetch("GET", issuer.rstrip("/") + "/.well-known/openid-configuration")
        if found.get("issuer") != issuer:
            raise OidcError("the provider calls itself by another name than page.oidc.issuer")
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            if not _is_safe(found.get(name), issuer):
                raise OidcError(f"the provider's {name} is no HTTPS address")
        known = self._known[issuer] = _Metadata(found, time.monotonic() + KNOWN_FOR_S)
        return known

    async def _keys(self, metadata: _Metadata, *, anew: bool = False) -> KeySet:
        age = time.monotonic() - metadata.keys_at
        if metadata.keys is None or age > KNOWN_FOR_S or (anew and age > KEYS_AGAIN_S):
            found: Any = await self._fetch("GET", metadata.values["jwks_uri"])
            try:
                metadata.keys = KeySet.import_key_set(found)
            except (JoseError, KeyError, TypeError, ValueError):
                raise OidcError("the provider's keys cannot be read") from None
            metadata.keys_at = time.monotonic()
        return metadata.keys

    async def _decode(self, metadata: _Metadata, token: str) -> jwt.Token:
        for anew in (False, True):
            keys = await self._keys(metadata, anew=anew)
            try:
                return jwt.decode(token, keys, algorithms=ALGORITHMS)
            except InvalidKeyIdError:
                continue  # it may have turned its keys since
            except (JoseError, ValueError, TypeError, KeyError) as error:
                raise OidcError(f"the ID token's signature does not hold ({type(error).__name__})") from None
        raise OidcError("the ID token is signed with a key that the provider does not have")

    async def _exchange(self, metadata: _Metadata, client: Client, pending: Pending, code: str) -> Mapping[str, Any]:
        """RFC 6749 4.1.3, with RFC 7636's verifier."""
        secret = client.secret()
        supported = metadata.values.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        form = {"grant_type": "authorization_code", "code": code, "code_verifier": pending.verifier,
                "redirect_uri": client.redirect_uri}
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        if secret and "client_secret_basic" in supported:
            # RFC 6749 2.3.1: encoded first; Authlib's own leaves that out
            pair = f"{quote_plus(client.client_id)}:{quote_plus(secret)}"
            headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        else:
            form |= {"client_id": client.client_id} | ({"client_secret": secret} if secret else {})
        return await self._fetch("POST", metadata.values["token_endpoint"], headers, urlencode(form))

    async def _fetch(self, method: str, url: str, headers: Mapping[str, str] | None = None,
                     content: str | None = None) -> Mapping[str, Any]:
        """One JSON object, in time and not too big; no redirect is followed. Raises OidcError."""
        body = b""
        try:
            async with httpx.AsyncClient(verify=self._context, timeout=TIMEOUT_S, follow_redirects=False,
                                         trust_env=False) as client, \
                    client.stream(method, url, headers=headers, content=content) as answer:
                async for chunk in answer.aiter_bytes():
                    body += chunk
                    if len(body) > MAX_BYTES:
                        raise OidcError("the provider says too much")
                if answer.status_code != httpx.codes.OK:
                    raise OidcError(f"the provider answers with {answer.status_code}")
            found = json.loads(body)
        except (httpx.HTTPError, httpx.InvalidURL, OSError):
            raise OidcError("the provider does not answer") from None
        except (ValueError, RecursionError):
            raise OidcError("the provider's answer is no JSON") from None
        if not isinstance(found, dict):
            raise OidcError("the provider's answer is no JSON object")
        return found


def _is_safe(url: object, issuer: str) -> bool:
    """HTTPS; plain HTTP only where the issuer itself is on this machine."""
    if not isinstance(url, str):
        return False
    return url.startswith("https://" if issuer.startswith("https:") else ("https://", "http://"))
