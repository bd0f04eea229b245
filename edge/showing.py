"""Live values and health: what is shown and never counted. They are shed first, and leave room for records."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from edge.conversation import Conversation
from edge.live import Newest, Pace, split
from edge.metering import Traffic
from edge.outlet import Outlet
from wire import codec
from wire.checklist import Check, Checklist
from wire.health import Health
from wire.sample import Live
from wire.topics import Up

log = logging.getLogger(__name__)

BACKLOG_BYTES = 32 * 1024
"""Live values are shed while more than this is in flight on a link that is not thin."""
LIVE_SHARE = 0.25
"""Part of a thin link that live values may take."""
HEALTH_SHARE = 0.1
"""Part of any link that health may take."""
CHECK_S = 1.0
"""Between two looks at what a technician waits for."""
WELCOME_WAIT_S = 2.0
"""So long the first of them wait for a welcome, which tells the first of the link. They need none to be shown."""


class Showing:
    """Two tasks of the uplink, for one connection after the other."""

    def __init__(
        self,
        outlet: Outlet,
        talk: Conversation,
        newest: Newest,
        health: Callable[[], Health],
        checks: Callable[[], tuple[Check, ...]],
        *,
        live_s: float,
        health_s: float,
    ) -> None:
        self._outlet = outlet
        self._talk = talk
        self._newest = newest
        self._health = health
        self._checks = checks
        self._live_s = live_s
        self._health_s = health_s

    async def send_live(self) -> None:
        """Send every tag, then what changes, until cancelled."""
        await self._wait_for_welcome()
        live, pace = self._newest.snapshot(), Pace()
        while True:
            if self._outlet.is_thin:
                await self._send_thin(live)
            elif live.tags and self._talk.octets_in_flight < BACKLOG_BYTES:
                await self._offer(live, qos=0)
            await asyncio.sleep(pace.pause_s(len(live.tags), time.monotonic()))
            await self._newest.changed.wait()
            await asyncio.sleep(self._live_s)
            live = self._newest.take()

    async def _send_thin(self, live: Live) -> None:
        """Send some tags at a time, each time until the broker has them; newer values gather meanwhile."""
        for some in split(live, self._outlet.part_bytes):
            octets = await self._offer(some, qos=1)
            await asyncio.sleep(octets / (self._talk.rate * LIVE_SHARE))

    async def _offer(self, live: Live, qos: int) -> int:
        payload = codec.encode(live)
        if not self._outlet.may_send(Up.LIVE, payload, Traffic.SHOWN):
            return 0
        await self._outlet.send(Up.LIVE, payload, qos)
        return len(payload)

    async def _wait_for_welcome(self) -> None:
        try:
            async with asyncio.timeout(WELCOME_WAIT_S):
                await self._outlet.welcomed.wait()
        except TimeoutError:
            log.debug("no welcome yet: what is shown goes all the same")

    async def send_health(self) -> None:
        """Send health again and again, until cancelled."""
        await self._wait_for_welcome()
        while True:
            payload = codec.encode(self._health())
            if self._outlet.may_send(Up.HEALTH, payload, Traffic.SHOWN):
                await self._outlet.send(Up.HEALTH, payload, qos=int(self._outlet.is_thin))
            await asyncio.sleep(max(self._health_s, len(payload) / (self._talk.rate * HEALTH_SHARE)))

    async def tell_health(self) -> None:
        """Send health now, whatever the link: it tells why no more will come for a while."""
        payload = codec.encode(self._health())
        self._outlet.may_send(Up.HEALTH, payload, Traffic.ALARMS)
        await self._outlet.send(Up.HEALTH, payload, qos=int(self._outlet.is_thin))

    async def send_checklist(self) -> None:
        """Send all checks when one has changed and in each new session, until cancelled."""
        await self._wait_for_welcome()
        told: tuple[object, ...] = ()
        while True:
            checks, session = self._checks(), self._talk.session
            if told != (session, checks):
                payload = codec.encode(Checklist(checks=checks))
                if self._outlet.may_send(Up.CHECKLIST, payload, Traffic.SHOWN):
                    await self._outlet.send(Up.CHECKLIST, payload, qos=int(self._outlet.is_thin))
                    told = (session, checks)
            await asyncio.sleep(CHECK_S)
