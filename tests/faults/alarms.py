"""Causes of alarms, started one after the other while other things break, so that a missed alarm means something.

Only causes that last are used: a value beyond its limit for many seconds, without a delay. An agent that is killed sees
it again when it is back. A peak that passes while nobody looks is no alarm that anybody could have told.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

from lab.district import District

PARK, RIVER = "gw-yufu-0001", "gw-yulin-0001"
TANKS, DETECTORS = 12, 8
PASSED_S = 60.0
"""After this time a cause and its alarms are gone, delays and noise included."""

Cause = Callable[[], Awaitable[str]]


class Alarms:
    """The district's causes of alarms: every tank, every gas detector, the river."""

    def __init__(self, district: District, source: random.Random) -> None:
        self._source = source
        self._causes: list[tuple[str, Cause]] = [
            *((PARK, lambda tank=tank: district.overfill(tank)) for tank in range(TANKS)),  # type: ignore[misc]
            *((PARK, lambda unit=unit: district.leak(unit)) for unit in range(DETECTORS)),  # type: ignore[misc]
            (RIVER, district.flood),
        ]
        self._started: dict[int, float] = {}

    async def start(self, gateway: str | None = None) -> bool:
        """Start a cause that is at rest, at one gateway or anywhere. False if there is none."""
        now = time.monotonic()
        resting = [
            number
            for number, (where, _) in enumerate(self._causes)
            if gateway in (None, where) and self._is_over(number, now)
        ]
        if not resting:
            return False
        chosen = self._source.choice(resting)
        self._started[chosen] = now
        await self._causes[chosen][1]()
        return True

    def is_quiet(self, gateway: str) -> bool:
        """Tell whether no alarm is up or under way at a gateway."""
        now = time.monotonic()
        return all(self._is_over(number, now) for number, (where, _) in enumerate(self._causes) if where == gateway)

    def _is_over(self, number: int, now: float) -> bool:
        return now - self._started.get(number, -PASSED_S) >= PASSED_S

    async def go_on(self, least_s: float, most_s: float) -> None:
        """Start one after the other until cancelled."""
        while True:
            await self.start()
            await asyncio.sleep(self._source.uniform(least_s, most_s))
