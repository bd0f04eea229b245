"""Sends messages to gateways, again and again with growing pauses, for as long as they are outstanding."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence

import aiomqtt
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from fleet.bootstrap import Services
from wire.codec import Message, encode
from wire.topics import Down, format_topic

log = logging.getLogger(__name__)

POLL_S = 1.0
AGAIN_FIRST_NS = 10_000_000_000
AGAIN_MOST_NS = 300_000_000_000
Entry = tuple[str, str, Message]
"""Gateway, what tells a message apart from others, and the message."""
Find = Callable[[Session, int], Sequence[Entry]]
"""Finds what is outstanding at a time."""
InThread = Callable[[Callable[[], Sequence[Entry]]], Awaitable[Sequence[Entry]]]


class Turns:
    """When each message to a gateway is due again. Pure; forgets those that are no longer outstanding."""

    def __init__(self) -> None:
        self._sent: dict[str, tuple[int, int]] = {}
        self._returned: set[str] = set()

    def take_due(self, outstanding: Sequence[Entry], now_ns: int) -> list[Entry]:
        """Return those to send now, and note that they are sent."""
        self._sent = {
            key: self._sent[key]
            for gateway, key, _ in outstanding
            if key in self._sent and gateway not in self._returned
        }
        self._returned.clear()
        due = [entry for entry in outstanding if self._is_due(entry[1], now_ns)]
        for _, key, _ in due:
            _, pause_ns = self._sent.get(key, (0, AGAIN_FIRST_NS // 2))
            self._sent[key] = (now_ns, min(pause_ns * 2, AGAIN_MOST_NS))
        return due

    def forget(self, gateways: Collection[str]) -> None:
        """Have everything of these gateways sent again at once: they have just come back."""
        self._returned.update(gateways)

    def _is_due(self, key: str, now_ns: int) -> bool:
        if key not in self._sent:
            return True
        sent_ns, pause_ns = self._sent[key]
        return not 0 <= now_ns - sent_ns < pause_ns  # below 0: the clock was put back


class Courier:
    """A task of ingest: sends what ``find`` finds at a time, by messages of a kind.

    ``in_thread`` runs a database transaction where it holds nobody up.
    """

    def __init__(self, services: Services, in_thread: InThread, find: Find, kind: Down) -> None:
        self._services = services
        self._in_thread = in_thread
        self._find = find
        self.kind = kind
        self._turns = Turns()
        self._database_up = True

    def greet(self, gateways: Collection[str]) -> None:
        """Send what waits for these gateways: they were just welcomed."""
        self._turns.forget(gateways)

    async def run(self, client: aiomqtt.Client) -> None:
        """Send what is due, until cancelled."""
        while True:
            for gateway, _, message in self._turns.take_due(await self._outstanding(), self._services.clock()):
                await client.publish(format_topic(gateway, self.kind), encode(message), qos=1)
            await asyncio.sleep(POLL_S)

    async def _outstanding(self) -> Sequence[Entry]:
        def read() -> Sequence[Entry]:
            with self._services.database.reading() as session:
                return self._find(session, self._services.clock())

        try:
            found = await self._in_thread(read)
            self._database_up = True
            return found
        except SQLAlchemyError as error:
            if self._database_up:
                log.error("no %s is sent, for the database cannot be read: %s", self.kind, error)
            self._database_up = False
            return []
