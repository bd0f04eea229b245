"""The tokens of DDI clients: made of the fleet's secret and the gateway's name, so none has to be kept."""

from __future__ import annotations

import base64
import hashlib
import hmac

PURPOSE = b"fengsui ddi\0"


def make_token(secret_key: str, gateway: str) -> str:
    """Return a gateway's token. Another secret makes all of them others."""
    digest = hmac.new(secret_key.encode(), PURPOSE + gateway.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def is_token(secret_key: str, gateway: str, token: str) -> bool:
    """Tell whether a token is the gateway's, in a time that does not depend on how much of it is right."""
    return hmac.compare_digest(make_token(secret_key, gateway).encode(), token.encode())
