"""Signs of life to whoever started the agent, as sd_notify(3) has them: systemd, or the launcher."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from typing import Any, TypeVar

PER_WATCHDOG = 3
"""Signs of life in the time after which an agent without one is taken for hung."""

T = TypeVar("T")


async def watched(work: Coroutine[Any, Any, T], environment: Mapping[str, str] = os.environ) -> T:
    """Say READY, then WATCHDOG for as long as ``work`` takes. An event loop that stands still says nothing."""
    tell("READY=1", environment)
    beating = asyncio.create_task(_beat(environment), name="watchdog")
    try:
        return await work
    finally:
        beating.cancel()


async def _beat(environment: Mapping[str, str]) -> None:
    period_s = find_watchdog_s(environment) / PER_WATCHDOG
    while period_s:
        tell("WATCHDOG=1", environment)
        await asyncio.sleep(period_s)


def find_watchdog_s(environment: Mapping[str, str]) -> float:
    """Seconds after which a silent agent is ended, 0 if nobody watches."""
    text = environment.get("WATCHDOG_USEC", "")
    return int(text) / 1e6 if text.isdecimal() else 0.0


def tell(message: str, environment: Mapping[str, str] = os.environ) -> None:
    """Send one message, if somebody wants it. That nobody hears it is no reason to stop."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaks:
        speaks.setblocking(False)
        speaks.sendto(message.encode(), "\0" + address[1:] if address.startswith("@") else address)


__all__ = ("find_watchdog_s", "tell", "watched")
