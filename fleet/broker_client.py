"""How our own programs sign in at the broker."""

from __future__ import annotations

import logging
import ssl

import aiomqtt

from fleet.settings import Settings

KEEPALIVE_S = 15
TIMEOUT_S = 10.0

# The library logs every lost connection as an error of its own; ours is the line that says what it means.
logging.getLogger("mqtt").setLevel(logging.CRITICAL)


def connect(settings: Settings, role: str, *, queued: int) -> aiomqtt.Client:
    """Make a client, not yet connected. ``role`` names the program; ``queued`` bounds messages waiting for it."""
    host, port, tls = settings.broker()
    return aiomqtt.Client(
        hostname=host,
        port=port,
        username=settings.broker_user,
        password=settings.broker_password,
        identifier=f"{settings.broker_user}:{role}",  # with a letter that no gateway's name has: none displaces us
        protocol=aiomqtt.ProtocolVersion.V311,
        clean_session=True,
        keepalive=KEEPALIVE_S,
        timeout=TIMEOUT_S,
        max_queued_incoming_messages=queued,
        tls_context=ssl.create_default_context() if tls else None,
    )
