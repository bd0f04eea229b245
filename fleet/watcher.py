"""Watcher: looks every two seconds at how the gateways are, and raises and clears the fleet's own alarms.

What changes slowly is looked at every half minute. Beside upkeep in one process, because pruning may take minutes and
silence must be noticed within seconds.
"""

from __future__ import annotations

import asyncio
import logging

from sqlalchemy.exc import SQLAlchemyError

from fleet.alarms import certificates, destinations, own, rates
from fleet.alarms.watch import watch
from fleet.bootstrap import Services
from fleet.relay import service as relay
from fleet.releases.repository import utc_now
from fleet.releases.service import find_repository
from fleet.rollouts import service as rollouts

log = logging.getLogger(__name__)

EVERY_S = 2.0
SLOWLY = 15
"""Looks between two at what changes slowly."""


class Watcher:
    """`run` until cancelled, or `look` and `look_further` once."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._since_ns = self._looked_ns = services.clock()
        self._database_up = True
        self._releases = find_repository(services)

    async def run(self) -> None:
        """Look every two seconds."""
        turn = 0
        while True:
            try:
                await asyncio.to_thread(self.look)
                if turn % SLOWLY == 0:
                    await asyncio.to_thread(self.look_further)
                turn += 1
                self._database_up = True
            except SQLAlchemyError as error:
                if self._database_up:
                    log.error("the database does not answer, gateways are not watched: %s", error)
                self._database_up = False
                self._since_ns = self._services.clock()  # nobody could be heard meanwhile
            await asyncio.sleep(EVERY_S)

    def look(self) -> None:
        """Look once at how gateways and rollouts are. Raises SQLAlchemyError if the database does not answer."""
        now_ns = self._services.clock()
        if now_ns < self._looked_ns:
            self._since_ns = now_ns  # the clock has gone back: who spoke when is not known any more
        self._looked_ns = now_ns
        with self._services.database.writing() as session:
            watch(session, self._since_ns, now_ns)
            own.settle(session, own.FLEET, own.ROLLOUT, rollouts.find_paused(session), now_ns)

    def look_further(self) -> None:
        """Look once at rates, certificates and destinations. Raises SQLAlchemyError if the database does not answer."""
        settings, now_ns = self._services.settings, self._services.clock()
        ending = certificates.judge(certificates.read(settings.data_dir, settings.certificates), now_ns)
        ending |= {f"releases-{role}": end for role, end in self._releases.ending(utc_now(now_ns)).items()}
        with self._services.database.writing() as session:
            rates.watch(session, now_ns)
            own.settle(session, own.FLEET, own.CERTIFICATE, ending, now_ns)
            up = own.find_up(session, own.FLEET, own.BEHIND)
            behind = destinations.judge(relay.waiting_since(session), up, now_ns)
            own.settle(session, own.FLEET, own.BEHIND, behind, now_ns)
