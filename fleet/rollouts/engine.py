"""Moves rollouts and actions on: begins waves, puts on offer what is due, closes what cannot be taken or took too long,
pauses what fails. A task of upkeep.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, aliased

from fleet.audit import service as audit
from fleet.audit.service import Actor
from fleet.bootstrap import Services
from fleet.db import take_turn
from fleet.gateways.models import Gateway
from fleet.rollouts import actions, counting, service
from fleet.rollouts.counting import Reason
from fleet.rollouts.decision import Step, decide, describe
from fleet.rollouts.models import Rollout, UpdateAction
from fleet.rollouts.plan import Rules
from fleet.rollouts.settling import settle
from fleet.rollouts.states import FINISHED, OPEN, PAUSED, PLANNED, RUNNING, STOPPED, STOPPING, WAITING

log = logging.getLogger(__name__)

TURN_S = 1.0
ENGINE = Actor("fleet", "upkeep")
REASON_MOST = 2000


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
            if not actions.has_open(session) and not _list_active(session):
                return
        with self._services.database.writing() as session:
            take_turn(session)  # what a gateway says meanwhile must not be written over
            actions.close_retired(session, now_ns)
            actions.withdraw_unanswered(session, now_ns)
            actions.expire(session, now_ns)
            for rollout in _list_active(session):
                advance(session, rollout, now_ns)
            settle(session, now_ns)


def _list_active(session: Session) -> Sequence[Rollout]:
    query = sa.select(Rollout).where(Rollout.state.in_((RUNNING, STOPPING))).order_by(Rollout.id)
    return session.scalars(query.with_for_update()).all()


def advance(session: Session, rollout: Rollout, now_ns: int) -> None:
    """Have a rollout take the step that its gateways' states ask for, if any, and begin what its wave is to begin."""
    rules = msgspec.convert(rollout.rules, Rules)
    counts = counting.count_waves(session, rollout.id, rollout.waves_count)
    step = decide(rollout.state, rollout.wave, rules, counts)
    if step is not None:
        _take(session, rollout, step, now_ns)
    if rollout.state == RUNNING:
        _begin_planned(session, rollout, now_ns)


def _take(session: Session, rollout: Rollout, step: Step, now_ns: int) -> None:
    if step.cause is not None:
        reasons = counting.find_reasons(session, rollout.id, step.cause.wave)
        rollout.cause = {**msgspec.to_builtins(step.cause), "reasons": [list(reason) for reason in reasons]}
        rollout.reason = "; ".join([describe(step.cause), *map(_tell, reasons)])[:REASON_MOST]
    if step.wave != rollout.wave:
        rollout.wave, rollout.wave_ns = step.wave, now_ns
    if step.state in (FINISHED, STOPPED):
        rollout.ended_ns = now_ns
    if step.state == PAUSED:
        service.hold_offers(session, rollout)
    verb = "wave" if step.state == rollout.state else step.state
    rollout.state = step.state
    detail = {"name": rollout.name, "version": rollout.version, "wave": step.wave, "reason": rollout.reason}
    audit.append(session, now_ns, ENGINE, f"rollout.{verb}", str(rollout.id), detail)


def _tell(reason: Reason) -> str:
    more = ", ..." if reason.number > len(reason.gateways) else ""
    return f"{reason.number}x {reason.detail or 'no reason given'} ({', '.join(reason.gateways)}{more})"


def _begin_planned(session: Session, rollout: Rollout, now_ns: int) -> None:
    """Have gateways of the waves that have begun wait for their offer, but those that have another of the kind open."""
    other = aliased(UpdateAction)
    busy = sa.select(other.gateway).where(other.kind == rollout.kind, other.state.in_(OPEN))
    in_service = sa.select(Gateway.name).where(Gateway.retired_ns.is_(None))
    planned = sa.update(UpdateAction).where(
        UpdateAction.rollout_id == rollout.id,
        UpdateAction.wave <= rollout.wave,
        UpdateAction.state == PLANNED,
        UpdateAction.gateway.not_in(busy),
        UpdateAction.gateway.in_(in_service),
    )
    session.execute(planned.values(state=WAITING, changed_ns=now_ns), execution_options={"synchronize_session": False})
