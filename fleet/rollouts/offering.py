"""Tells gateways which release they shall take, again and again with growing pauses, until the action is closed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection

import aiomqtt
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from fleet.bootstrap import Services
from fleet.commands.courier import Turns
from fleet.rollouts import actions
from fleet.rollouts.models import UpdateAction
from fleet.rollouts.states import CANCELLING
from wire.codec import encode
from wire.topics import Down, format_topic
from wire.update import Progress, Target

log = logging.getLogger(__name__)

POLL_S = 1.0
ID_DIGITS_MOST = 18
"""Digits of a number that every database takes for a key."""
Offers = list[tuple[str, str, Target]]
"""Gateway, what tells an offer apart, and what is sent."""
InThread = Callable[[Callable[[], Offers]], Awaitable[Offers]]


class Offerer:
    """A task of ingest. ``in_thread`` runs a database transaction where it holds nobody up."""

    def __init__(self, services: Services, in_thread: InThread) -> None:
        self._services = services
        self._in_thread = in_thread
        self._turns: Turns[Target] = Turns()
        self._database_up = True

    def greet(self, gateways: Collection[str]) -> None:
        """Tell these gateways at once: they were just welcomed."""
        self._turns.forget(gateways)

    async def run(self, client: aiomqtt.Client) -> None:
        """Send what is due, until cancelled."""
        while True:
            for gateway, _, target in self._turns.take_due(await self._offers(), self._services.clock()):
                await client.publish(format_topic(gateway, Down.TARGET), encode(target), qos=1)
            await asyncio.sleep(POLL_S)

    async def _offers(self) -> Offers:
        def read() -> Offers:
            with self._services.database.reading() as session:
                return find_offers(session)

        try:
            found = await self._in_thread(read)
            self._database_up = True
            return found
        except SQLAlchemyError as error:
            if self._database_up:
                log.error("actions cannot be read, so no release is offered: %s", error)
            self._database_up = False
            return []


def find_offers(session: Session) -> Offers:
    """Return what gateways shall hear of: every open action that has been put on offer."""
    return [
        (action.gateway, f"{action.id} {action.attempt} {action.state == CANCELLING}", _make_target(action))
        for action in actions.list_offered(session)
    ]


def note_progress(session: Session, gateway: str, told: Progress, now_ns: int) -> None:
    """Take what a gateway says of one of its actions; what it says of others' is not heard."""
    if not told.action.isdecimal() or len(told.action) > ID_DIGITS_MOST:
        return
    action = session.get(UpdateAction, int(told.action))
    if action is not None and action.gateway == gateway:
        actions.note(session, action, told.step, told.detail, now_ns, attempt=told.attempt, done=told.done, of=told.of)


def _make_target(action: UpdateAction) -> Target:
    return Target(
        action=str(action.id),
        kind=action.kind,  # type: ignore[arg-type]  # images are not on offer here
        version=action.version,
        attempt=action.attempt,
        until_ns=action.until_ns,
        budget_bytes_per_s=action.budget_bytes_per_s,
        is_cancelled=action.state == CANCELLING,
    )
