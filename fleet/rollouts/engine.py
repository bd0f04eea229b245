"""Moves actions on: puts on offer what is due, closes what cannot be taken or took too long. A task of upkeep."""

from __future__ import annotations

import asyncio
import logging

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from fleet.bootstrap import Services
from fleet.gateways.models import Gateway
from fleet.rollouts import actions
from fleet.rollouts.models import UpdateAction
from fleet.rollouts.states import CANCELLING, WAITING

log = logging.getLogger(__name__)

TURN_S = 1.0


class Engine:
    """The task. `run` until cancelled."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._database_up = True

    async def run(self) -> None:
        """Take a turn every second."""
        while True:
            try:
                await asyncio.to_thread(self.turn)
                self._database_up = True
            except SQLAlchemyError as error:
                if self._database_up:
                    log.error("the database does not answer, rollouts wait: %s", error)
                self._database_up = False
            await asyncio.sleep(TURN_S)

    def turn(self) -> None:
        """Do what is due now. Raises SQLAlchemyError if the database does not answer."""
        now_ns = self._services.clock()
        with self._services.database.reading() as session:
            if not actions.has_work(session):
                return
        with self._services.database.writing() as session:
            actions.expire(session, now_ns)
            settle(session, now_ns)


def settle(session: Session, now_ns: int) -> None:
    """Put on offer every waiting action whose gateway can take it, and close those whose gateway cannot."""
    for action, gateway in actions.list_open(session):
        reason = find_obstacle(session, action, gateway)
        if reason:
            actions.note(session, action, "refused", reason, now_ns)
        elif action.state == WAITING and gateway.reported is not None:
            actions.offer(action, None, now_ns)


def find_obstacle(session: Session, action: UpdateAction, gateway: Gateway) -> str:
    """Say why a gateway cannot take what an action offers; "" if it can, or if nothing is known of it yet."""
    reported = gateway.reported
    if reported is None or action.state == CANCELLING:
        return ""
    if action.kind not in reported.get("installs", ()):
        return f"release {gateway.release} of this gateway does not install {action.kind} by itself"
    hardware = str(reported.get("hardware", ""))
    if actions.find_artifact(session, action.kind, action.version, hardware) is None:
        return f"{action.kind} {action.version} is not made for {hardware}"
    return ""
