"""Gathers what `fleet.commissioning.steps` makes a checklist of."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.commands import service as commands
from fleet.commands.models import GatewayCommand
from fleet.commissioning import checks
from fleet.commissioning.models import Commissioning, OutputTrial, ReportedChecks
from fleet.commissioning.service import TRIAL
from fleet.commissioning.steps import Destination, Findings, Trial
from fleet.configs import service as configs
from fleet.gateways.models import Cursor, Gateway
from fleet.readings.models import Record
from fleet.relay import service as relay
from wire.record import Lane

LANES = (Lane.MEASUREMENTS, Lane.ALARMS)
"""The first record is a measurement where the gateway measures."""
TRIALS_MOST = 500


def find(session: Session, row: Commissioning, now_ns: int) -> Findings:
    """Return what is known now. What the session's account does not see is left out."""
    gateway = session.get(Gateway, row.gateway)
    is_heard = gateway is not None and (gateway.last_seen_ns or 0) >= row.begun_ns
    told = session.get(ReportedChecks, row.gateway)
    reported = (gateway.reported if gateway is not None and is_heard else None) or {}
    wanted = configs.latest(session, row.gateway) if gateway is not None else None
    measures = bool(reported.get("devices")) or bool(wanted and wanted.config.get("device"))
    record = find_first(session, row, needs_values=measures) if is_heard else None
    return Findings(
        now_ns=now_ns,
        begun_ns=row.begun_ns,
        asked_ns=row.asked_ns,
        waits=row.waits,
        not_after_ns=row.not_after_ns,
        heard_ns=gateway.last_seen_ns if gateway is not None and is_heard else None,
        wanted_version=wanted.version if wanted else None,
        reported_version=reported.get("version"),
        refused=str(reported.get("reason") or "") if wanted and reported.get("refused") == wanted.version else "",
        door=checks.read(row.checks),
        checks=checks.read(told.checks) if told is not None and told.at_ns >= row.begun_ns else (),
        record=record.id if record else None,
        record_ns=record.received_ns if record else None,
        destinations=_find_destinations(session, record),
        trials=_find_trials(session, row, now_ns),
        knows_trials=TRIAL in (reported.get("commands") or ()) and row.signed_ns is None,
        is_signed=row.signed_ns is not None,
    )


def find_first(session: Session, row: Commissioning, *, needs_values: bool) -> Record | None:
    """Return the first record since the gateway was scanned: of its newest epoch, for which an index answers."""
    epoch = session.scalar(
        sa.select(Cursor.epoch).where(Cursor.gateway == row.gateway).order_by(Cursor.epoch.desc()).limit(1)
    )
    if epoch is None:
        return None
    for lane in LANES[: 1 if needs_values else 2]:
        query = sa.select(Record).where(
            Record.gateway == row.gateway,
            Record.epoch == epoch,
            Record.lane == lane.value,
            Record.received_ns >= row.begun_ns,
        )
        found = session.scalar(query.order_by(Record.seq).limit(1))
        if found is not None:
            return found
    return None


def _find_destinations(session: Session, record: Record | None) -> list[Destination]:
    lane = record.lane if record else Lane.MEASUREMENTS.value
    return [
        Destination(
            name=status.destination, position=status.position, error=status.last_error if status.failures else ""
        )
        for status in relay.status(session)
        if status.lane == lane
    ]


def _find_trials(session: Session, row: Commissioning, now_ns: int) -> dict[str, Trial]:
    """The newest trial of each output since the gateway was scanned."""
    query = sa.select(OutputTrial).where(OutputTrial.gateway == row.gateway, OutputTrial.asked_ns >= row.begun_ns)
    found: dict[str, Trial] = {}
    for trial in session.scalars(query.order_by(OutputTrial.id).limit(TRIALS_MOST)):
        command = session.get(GatewayCommand, trial.command_id)
        found[trial.output] = Trial(
            number=trial.id,
            output=trial.output,
            was_seen=trial.was_seen,
            state=commands.state(command, now_ns) if command else "",
            detail=command.detail if command else "",
        )
    return found
