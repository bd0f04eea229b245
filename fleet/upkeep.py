"""Upkeep: prunes what is old, and clears the fleet's own alarms when what raised them has ended.

Everything is done in small transactions, so that ingest never waits for long; what is left is done in the next turn.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from fleet.alarms import own
from fleet.alarms.models import Alarm
from fleet.bootstrap import Services
from fleet.gateways.models import Gateway, Tag
from fleet.readings import retention
from fleet.readings.models import Quarantined
from fleet.readings.parts import HOUR_NS
from fleet.readings.retention import DAY_NS
from fleet.relay import service as relay
from wire.record import Lane

log = logging.getLogger(__name__)
T = TypeVar("T")

EVERY_S = 60.0
BREATH_S = 0.05
"""Pause between two transactions of the same turn."""
CALM_NS = HOUR_NS
"""An alarm of the fleet's own clears when its cause was not seen again for this long."""


class Upkeep:
    """The program. `run` until cancelled."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._failing = False

    async def run(self) -> None:
        """Take a turn every minute."""
        while True:
            try:
                await self.tend()
                self._failing = False
            except SQLAlchemyError as error:
                if not self._failing:
                    log.error("the database does not answer, upkeep waits: %s", error)
                self._failing = True
            await asyncio.sleep(EVERY_S)

    async def tend(self) -> None:
        """Take one turn. Raises SQLAlchemyError if the database does not answer."""
        settings, now_ns = self._services.settings, self._services.clock()
        await self._write(lambda session: clear_calm(session, now_ns))
        raw_ns = now_ns - settings.keep_raw_days * DAY_NS
        await self._until_none(lambda session: retention.prune_records(session, raw_ns, _taken(session)))
        minutes_ns = now_ns - settings.keep_minutes_days * DAY_NS
        hours_ns = now_ns - settings.keep_hours_days * DAY_NS
        for tag_id in await self._write(lambda session: list(session.scalars(sa.select(Tag.id).order_by(Tag.id)))):
            await self._until_none(lambda session, of=tag_id: retention.prune_values(session, of, raw_ns))
            await self._until_none(lambda session, of=tag_id: retention.prune_minutes(session, of, minutes_ns))
            await self._until_none(lambda session, of=tag_id: retention.prune_hours(session, of, hours_ns))

    async def _until_none(self, work: Callable[[Session], int]) -> None:
        while await self._write(work):
            await asyncio.sleep(BREATH_S)

    async def _write(self, work: Callable[[Session], T]) -> T:
        def write() -> T:
            with self._services.database.writing() as session:
                return work(session)

        return await asyncio.to_thread(write)


def _taken(session: Session) -> int | None:
    """The position up to which every destination has the measurements."""
    positions = [relay.position(session, row.id, Lane.MEASUREMENTS) for row in relay.list_enabled(session)]
    return min(positions, default=None)


def clear_calm(session: Session, now_ns: int) -> None:
    """Clear the fleet's own alarms whose cause was not seen for `CALM_NS`."""
    up = session.execute(sa.select(Alarm.gateway, Alarm.name).where(Alarm.active, Alarm.tag == own.TAG)).all()
    for gateway, name in up:
        kind, seen = SEEN[name]
        if now_ns - (session.scalar(seen(gateway)) or 0) >= CALM_NS:
            own.clear_alarm(session, gateway, kind, now_ns)


SEEN: dict[str, tuple[own.Own, Callable[[str], sa.Select[tuple[int | None]]]]] = {
    own.CLONE.name: (
        own.CLONE,
        lambda gateway: sa.select(Gateway.alternated_ns).where(Gateway.name == gateway),
    ),
    own.UNREADABLE.name: (
        own.UNREADABLE,
        lambda gateway: sa.select(sa.func.max(Quarantined.received_ns)).where(Quarantined.gateway == gateway),
    ),
}
"""When the cause of an alarm was last seen."""
