"""Tokens by which a gateway signs in at the broker: made once, shown once, kept as a hash."""

from __future__ import annotations

import hashlib
import hmac
import secrets

TOKEN_OCTETS = 32
"""256 random bits: nobody guesses them, so that a slow hash would add nothing."""


def mint_token() -> str:
    """Make a token: URL-safe text, so that it can be copied, printed and typed."""
    return secrets.token_urlsafe(TOKEN_OCTETS)


def hash_token(token: str) -> str:
    """Return what is stored of a token: the SHA-256 in hexadecimal."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def is_token(token: str, stored: str) -> bool:
    """Tell whether a token is the one whose hash is stored, in the same time whatever the answer."""
    return hmac.compare_digest(stored.encode(), hash_token(token).encode())
