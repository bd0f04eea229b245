"""Watcher: looks every two seconds at how the gateways are, and raises and clears the fleet's own alarms.

Beside upkeep in one process, because pruning may take minutes and silence must be noticed within seconds.
"""

from __future__ import annotations

import asyncio
import logging

from sqlalchemy.exc import SQLAlchemyError

from fleet.alarms.watch import watch
from fleet.bootstrap import Services

log = logging.getLogger(__name__)

EVERY_S = 2.0


class Watcher:
    """`run` until cancelled, or `look` once."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._since_ns = services.clock()
        self._database_up = True

    async def run(self) -> None:
        """Look every two seconds."""
        while True:
            try:
                await asyncio.to_thread(self.look)
                self._database_up = True
            except SQLAlchemyError as error:
                if self._database_up:
                    log.error("the database does not answer, gateways are not watched: %s", error)
                self._database_up = False
                self._since_ns = self._services.clock()  # nobody could be heard meanwhile
            await asyncio.sleep(EVERY_S)

    def look(self) -> None:
        """Look once. Raises SQLAlchemyError if the database does not answer."""
        with self._services.database.writing() as session:
            watch(session, self._since_ns, self._services.clock())
