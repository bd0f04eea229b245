"""The task of upkeep that holds noted quakes against the rules, and sees who has done what was asked."""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from sqlalchemy.exc import SQLAlchemyError

from fleet.bootstrap import Services
from fleet.chains import answers, service
from fleet.commands.keys import load_key

log = logging.getLogger(__name__)

TURN_S = 0.25
"""Between two looks for what was noted: a valve waits for it."""
WATCH_TURNS = 20
PRUNE_TURNS = 14_400


class Chains:
    """`run` until cancelled, or `turn` once."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._key = partial(load_key, services.settings.data_dir)
        self._database_up = True

    async def run(self) -> None:
        """Take turns."""
        number = 0
        while True:
            try:
                await asyncio.to_thread(self.turn)
                if number % WATCH_TURNS == 0:
                    await asyncio.to_thread(self.watch)
                if number % PRUNE_TURNS == 0:
                    await asyncio.to_thread(self.prune)
                number += 1
                self._database_up = True
            except SQLAlchemyError as error:
                if self._database_up:
                    log.error("the database does not answer, no chain fires: %s", error)
                self._database_up = False
            await asyncio.sleep(TURN_S)

    def turn(self) -> None:
        """Fire what is to be fired. Raises SQLAlchemyError if the database does not answer."""
        with self._services.database.reading() as session:
            if not service.is_waiting(session):
                return
        with self._services.database.writing() as session:
            made = service.settle(session, self._key, self._services.clock())
        if made:
            log.warning("chains were fired: %s", ", ".join(map(str, made)))

    def watch(self) -> None:
        """Look at the answers. Raises SQLAlchemyError if the database does not answer."""
        with self._services.database.writing() as session:
            answers.watch(session, self._services.clock())

    def prune(self) -> None:
        """Forget what is long over. Raises SQLAlchemyError if the database does not answer."""
        with self._services.database.writing() as session:
            service.prune(session, self._services.clock())
