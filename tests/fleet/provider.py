"""An OpenID provider that we did not write, oidc-provider-mock, on a free port of this machine."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import msgspec

from tests.servers import free_port, running


class Client(msgspec.Struct):
    """What the provider gave the console."""

    client_id: str
    client_secret: str


@contextmanager
def providing() -> Iterator[str]:
    """Run the provider. It takes only registered clients, and wants a nonce. Yields its issuer."""
    port = free_port()
    command = [sys.executable, "-m", "oidc_provider_mock", "--port", str(port), "-n", "true", "-r", "true"]
    with running(command, port):
        yield f"http://localhost:{port}"


def register(issuer: str, console: str) -> Client:
    """Register a console that stands at that address."""
    body = {"redirect_uris": [f"{console}/sign-in/provider/return"]}
    return msgspec.json.decode(httpx.post(f"{issuer}/oauth2/clients", json=body).content, type=Client)
