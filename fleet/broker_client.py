"""How our own programs sign in at the broker."""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import Any

import aiomqtt

from fleet.settings import Settings

KEEPALIVE_S = 15
TIMEOUT_S = 10.0

# The library logs every lost connection as an error of its own; ours is the line that says what it means.
logging.getLogger("mqtt").setLevel(logging.CRITICAL)


class Client(aiomqtt.Client):
    """Heeds a cancellation that comes in the same moment as the broker's answer.

    The library waits by `asyncio.wait_for`, which before Python 3.12 returns the answer then; a task group, which
    cancels but once, would wait for its task for ever.
    """

    async def publish(self, /, topic: str, *args: Any, **kwargs: Any) -> None:
        """See `aiomqtt.Client.publish`."""
        await super().publish(topic, *args, **kwargs)
        _heed_cancellation()

    async def subscribe(self, /, topic: Any, *args: Any, **kwargs: Any) -> Any:
        """See `aiomqtt.Client.subscribe`."""
        granted = await super().subscribe(topic, *args, **kwargs)
        _heed_cancellation()
        return granted


def _heed_cancellation() -> None:
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def connect(settings: Settings, role: str, *, queued: int) -> Client:
    """Make a client, not yet connected. ``role`` names the program; ``queued`` bounds messages waiting for it."""
    host, port, tls = settings.broker()
    return Client(
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
