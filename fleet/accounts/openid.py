"""The conversation with an OpenID provider: authorization code flow with PKCE, state and nonce.

OpenID Connect Core 1.0 and Discovery 1.0, RFC 7636. The provider is first asked when somebody signs in.
"""

from __future__ import annotations

import secrets
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from fleet.accounts.idtoken import OpenIdError, verify

SCOPE = "openid profile email"
DISCOVERY = "/.well-known/openid-configuration"
WITHIN_S = 5.0
"""How long the provider may take to answer."""
SECRET_OCTETS = 32


class Journey(msgspec.Struct, frozen=True):
    """What the browser's session keeps while its owner is at the provider. ``began_ns`` is UTC."""

    state: str
    nonce: str
    verifier: str
    target: str
    began_ns: int


class Metadata(msgspec.Struct, frozen=True):
    """What we use of a provider's description of itself."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str


class Provider:
    """An OpenID provider that we are a client of. What it says of itself is kept once it was read; safe for threads."""

    def __init__(self, issuer: str, client_id: str, secret: str) -> None:
        self._issuer = issuer
        self._client_id = client_id
        self._secret = secret
        self._metadata: Metadata | None = None

    def begin(self, redirect_uri: str, target: str, now_ns: int) -> tuple[str, Journey]:
        """Return the address at the provider to go to, and what to keep meanwhile. Raises OpenIdError."""
        state, nonce, verifier = (secrets.token_urlsafe(SECRET_OCTETS) for _ in range(3))
        address: str = prepare_grant_uri(
            self._describe().authorization_endpoint,
            self._client_id,
            "code",
            redirect_uri=redirect_uri,
            scope=SCOPE,
            state=state,
            nonce=nonce,
            code_challenge=create_s256_code_challenge(verifier),
            code_challenge_method="S256",
        )
        return address, Journey(state=state, nonce=nonce, verifier=verifier, target=target, began_ns=now_ns)

    def finish(self, journey: Journey, code: str, redirect_uri: str, now_s: int) -> dict[str, Any]:
        """Return the claims of who comes back with ``code``. Raises OpenIdError."""
        token = self._fetch_token(journey, code, redirect_uri)
        return verify(token, self._fetch_keys(), self._issuer, self._client_id, journey.nonce, now_s)

    def _describe(self) -> Metadata:
        if self._metadata is None:
            document = self._ask("GET", self._issuer.rstrip("/") + DISCOVERY)
            try:
                metadata = msgspec.convert(document, Metadata)
            except msgspec.ValidationError as error:
                raise OpenIdError("unreachable", f"{self._issuer} does not describe a provider: {error}") from error
            if metadata.issuer != self._issuer:
                raise OpenIdError("issuer", f"the provider calls itself '{metadata.issuer}', not '{self._issuer}'")
            self._metadata = metadata
        return self._metadata

    def _fetch_keys(self) -> KeySet:
        """Read the provider's keys, at each sign-in: it may have changed them."""
        document = self._ask("GET", self._describe().jwks_uri)
        try:
            return KeySet.import_key_set(document)  # type: ignore[arg-type]  # (checked there)
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise OpenIdError("token", f"the provider's keys cannot be read: {error}") from error

    def _fetch_token(self, journey: Journey, code: str, redirect_uri: str) -> str:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": journey.verifier,
        }
        answer = self._ask("POST", self._describe().token_endpoint, form)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise OpenIdError("refused", f"the provider gives no ID token: {str(answer.get('error', ''))[:100]}")
        return token

    def _ask(self, method: str, address: str, form: dict[str, str] | None = None) -> dict[str, Any]:
        """Ask for a JSON document. One that says ``error`` comes back as it is."""
        # RFC 6749, 2.3.1: a client proves itself by HTTP Basic, both parts encoded first.
        auth = (quote(self._client_id, ""), quote(self._secret, "")) if form else None
        try:
            answer = httpx.request(method, address, data=form, auth=auth, timeout=WITHIN_S)
            document = answer.json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise OpenIdError("unreachable", f"{address} cannot be reached or gives no JSON: {error}") from error
        if not isinstance(document, dict) or answer.is_server_error:
            raise OpenIdError("unreachable", f"{address} answers {answer.status_code}")
        return document
