"""Hand a request to an HTTP destination and say what came of it."""

from __future__ import annotations

import httpx
import msgspec

REASON_MAX = 300


class DeliveryError(Exception):
    """A destination did not take a request, or did not say so. Relay keeps its cursor, shows it and sends it again."""


async def deliver(client: httpx.AsyncClient, url: str, key: str, body: bytes) -> None:
    """POST a request. Returns when the destination has taken it; raises DeliveryError for anything else.

    Without an answer nobody knows whether it arrived: the same keys are sent again, and the destination drops what it
    has. Redirects are not followed: records go where the operator said and nowhere else.
    """
    headers = {"Content-Type": "application/json", "Idempotency-Key": key}
    try:
        response = await client.post(url, content=body, headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise DeliveryError(f"{type(error).__name__}: {error}"[:REASON_MAX]) from error
    if not response.is_success or not _is_confirmed(response):
        words = response.text.strip().replace("\n", " ").replace("\0", "")
        raise DeliveryError(f"answered {response.status_code}: {words}"[:REASON_MAX])


def _is_confirmed(response: httpx.Response) -> bool:
    """Tell whether a platform answers, and not something on the way that says 200 to everybody.

    A body is optional; if there is one, it is a JSON object.
    """
    if not response.content.strip():
        return True
    try:
        return isinstance(msgspec.json.decode(response.content), dict)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
