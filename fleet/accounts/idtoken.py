"""What an OpenID provider's ID token says, once it is proved: who somebody is, and what they may do.

OpenID Connect Core 1.0, section 3.1.3.7. Pure: keys, time and what is expected are given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import ExpiredTokenError, InvalidClaimError, JoseError, MissingClaimError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from fleet.accounts.models import Role
from fleet.errors import DeniedError

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA"]
"""Signatures by a key of the provider's. None by a secret that we share, and never "none"."""
LEEWAY_S = 120
"""How far the clocks of the provider and of this machine may be apart."""
NAME_CLAIMS = ("preferred_username", "email", "sub")
TIME_CLAIMS = frozenset({"exp", "iat", "nbf"})
REASONS = {"aud": "audience", "azp": "audience", "iss": "issuer", "nonce": "nonce"}
"""{claim that is wrong: why the token was refused}."""


class OpenIdError(DeniedError):
    """Nobody is signed in by the provider. ``reason`` is one word that the console has a sentence for."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Claims(msgspec.Struct, frozen=True):
    """Which claims speak of rights. Of roles that apply, the first of ``roles`` counts; ``sites`` is "" for none."""

    roles: Mapping[str, Role]
    role: str
    sites: str = ""


class Person(msgspec.Struct, frozen=True):
    """Who a token speaks of. ``role`` is None if it gives none, ``sites`` if they are not the provider's to say."""

    subject: str
    name: str
    role: Role | None
    sites: tuple[str, ...] | None


def verify(text: str, keys: KeySet, issuer: str, client_id: str, nonce: str, now_s: int) -> dict[str, Any]:
    """Return the claims of a token that the provider signed for us and for this sign-in. Raises OpenIdError."""
    options = {
        "iss": {"essential": True, "value": issuer},
        "aud": {"essential": True, "value": client_id},
    }
    try:
        token = jwt.decode(text, keys, registry=JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False))
        claims = CodeIDToken(token.claims, token.header, options, {"nonce": nonce, "client_id": client_id})
        claims.validate(now=now_s, leeway=LEEWAY_S)
    except ExpiredTokenError as error:
        raise OpenIdError("clock", f"the ID token has expired: {error}") from error
    except (InvalidClaimError, MissingClaimError) as error:
        reason = "clock" if error.claim in TIME_CLAIMS else REASONS.get(error.claim, "token")
        raise OpenIdError(reason, f"the ID token's claim '{error.claim}' is wrong or missing") from error
    except (JoseError, ValueError) as error:
        raise OpenIdError("token", f"the ID token does not prove itself: {error}") from error
    return dict(claims)


def read_person(claims: Mapping[str, Any], wanted: Claims) -> Person:
    """Say who a proved token speaks of."""
    given = find_words(claims, wanted.role)
    role = next((role for word, role in wanted.roles.items() if word in given), None)
    name = next((text for key in NAME_CLAIMS if isinstance(text := claims.get(key), str) and text.strip()), "")
    return Person(
        subject=f"{claims['iss']} {claims['sub']}",
        name=name.strip(),
        role=role,
        sites=find_words(claims, wanted.sites) if wanted.sites else None,
    )


def find_words(claims: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Return the words of a claim: one, or a list. Where none has that name, its dots lead into claims."""
    found: Any = claims.get(name)
    if found is None:
        found = claims
        for part in name.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
    listed = found if isinstance(found, list) else [found]
    return tuple(word for word in listed if isinstance(word, str))
