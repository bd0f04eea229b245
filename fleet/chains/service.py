"""Chains: note quakes, and fire each rule once per quake.

`consider` only notes, in whatever transaction the quake is written in; it needs no key and fails for no rule. `settle`,
a task of upkeep, holds what is noted against the rules: the firing and its commands are one transaction, so a restart
in between finds either none of it or all of it, and a rule fires once for a quake whoever asks how often.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from fleet.audit import service as audit
from fleet.audit.service import Actor
from fleet.chains import inspections
from fleet.chains.answers import get_firing
from fleet.chains.asking import Asking, find_gateways
from fleet.chains.decision import LATE as TOO_LATE
from fleet.chains.decision import Quake, Reading, Verdict, judge
from fleet.chains.models import FIRED, LATE, ChainAction, ChainFiring, ChainQuake
from fleet.chains.rulebook import find_place, get_rule, list_rules, read_content
from fleet.chains.rules import Rule
from fleet.commands.models import GatewayCommand
from fleet.commands.service import KeyLoader
from fleet.db import take_turn
from fleet.errors import ConflictError
from wire.mandate import HURRY, RAISE, HurryRequest, RaiseRequest

NS = 1_000_000_000
ENGINE = Actor("fleet", "upkeep")
KEEP_NS = 90 * 86_400 * NS
DRILL = "drill-"
TAKE_BACK_S = 24 * 3600.0
"""How long a command that takes something back is sent."""


def consider(
    session: Session,
    quake_id: int | str,
    intensity: float,
    latitude: float | None,
    longitude: float | None,
    at_ns: int,
    now_ns: int,
    *,
    readings: Sequence[Reading] | None = None,
    is_rejected: bool = False,
) -> None:
    """Note what is known of a quake, to be held against the rules. Call it whenever it has grown, as often as you like.

    ``readings`` are all stations that count; None is one station at the given position. ``at_ns`` is the onset in UTC.
    Of a station the highest intensity counts, with the quality it was measured with, until the station counts no more.
    """
    name = str(quake_id)
    found = (Reading("", intensity, latitude, longitude),) if readings is None else readings
    take_turn(session)  # as `settle` does, before any row: neither waits for the other in a circle
    _ensure(session, name, at_ns, now_ns)
    row = session.get_one(ChainQuake, name, with_for_update=True, populate_existing=True)
    merged: dict[str, Any] = {}
    for reading in found:  # a station may stand there twice: of the gateway before and of the one in its place
        known = merged.get(reading.station) or row.readings.get(reading.station)
        is_higher = known is None or known["intensity"] < reading.intensity
        merged[reading.station] = msgspec.to_builtins(reading) if is_higher else known
    if merged != row.readings or is_rejected != row.is_rejected:
        row.readings, row.is_rejected, row.is_settled = merged, is_rejected, False
        session.flush()


def hand_on(session: Session, had: int | str, has: int | str, at_ns: int, now_ns: int) -> None:
    """Note that reports of the quake ``had`` are of the quake ``has`` now, whose onset is ``at_ns``: two are one, or
    one was two. A rule that ``had`` has fired does not fire again for the same shaking under another number."""
    take_turn(session)
    fired = set(
        session.scalars(sa.select(ChainFiring.rule).where(ChainFiring.quake == str(had), ChainFiring.state == FIRED))
    )
    row = session.get(ChainQuake, str(had), populate_existing=True)
    fired |= set(row.fired) if row is not None else set()
    if not fired:
        return
    _ensure(session, str(has), at_ns, now_ns)
    row = session.get_one(ChainQuake, str(has), with_for_update=True, populate_existing=True)
    row.fired = sorted(fired.union(row.fired))
    session.flush()


def forget(session: Session, quake_id: int | str) -> None:
    """Forget a quake that turned out to be part of another, which goes on in its place (`hand_on`)."""
    take_turn(session)
    session.execute(sa.delete(ChainQuake).where(ChainQuake.quake == str(quake_id)))


def _ensure(session: Session, quake: str, at_ns: int, now_ns: int) -> None:
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    values = {"quake": quake, "at_ns": at_ns, "readings": {}, "fired": [], "is_rejected": False}
    session.execute(
        insert(ChainQuake).values(**values, is_settled=False, noted_ns=now_ns).on_conflict_do_nothing(),
    )


def is_waiting(session: Session) -> bool:
    """Whether a quake is noted that was not held against the rules since."""
    return session.scalar(sa.select(ChainQuake.quake).where(sa.not_(ChainQuake.is_settled)).limit(1)) is not None


def settle(session: Session, load_key: KeyLoader, now_ns: int) -> list[int]:
    """Hold what was noted against the rules. Returns the ids of the firings that this made, in one transaction with
    the commands that belong to them."""
    take_turn(session)
    query = sa.select(ChainQuake).where(sa.not_(ChainQuake.is_settled)).order_by(ChainQuake.noted_ns)
    made = []
    for row in session.scalars(query.with_for_update()).all():
        quake = read_quake(row)
        for rule_row, rule in list_rules(session):
            if not rule_row.is_on or rule.name in row.fired or _has_fired(session, rule.name, row.quake):
                continue
            verdict = judge(rule, find_place(session, rule), quake, now_ns)
            if verdict.fires or verdict.reason == TOO_LATE:
                made.append(_fire(session, load_key, rule, row, verdict, now_ns))
        row.is_settled = True
    session.flush()
    return made


def read_quake(row: ChainQuake) -> Quake:
    """What is known of a quake that was noted."""
    readings = tuple(msgspec.convert(reading, Reading) for reading in row.readings.values())
    return Quake(readings, row.at_ns, row.is_rejected)


def _has_fired(session: Session, rule: str, quake: str) -> bool:
    query = sa.select(ChainFiring.id).where(ChainFiring.rule == rule, ChainFiring.quake == quake)
    return session.scalar(query) is not None


def _fire(session: Session, load_key: KeyLoader, rule: Rule, row: ChainQuake, verdict: Verdict, now_ns: int) -> int:
    firing = ChainFiring(
        rule=rule.name,
        quake=row.quake,
        state=FIRED if verdict.fires else LATE,
        is_drill=False,
        intensity=verdict.intensity,
        at_ns=row.at_ns,
        fired_ns=now_ns,
        by="",
        content=msgspec.to_builtins(rule),
    )
    session.add(firing)
    session.flush()
    if verdict.fires:
        _carry_out(session, load_key, firing, rule, f"chain {rule.name}", now_ns)
    detail = {"quake": row.quake, "intensity": verdict.intensity, "state": firing.state, "firing": firing.id}
    audit.append(session, now_ns, ENGINE, "chain.fire", rule.name, detail)
    return firing.id


def drill(session: Session, load_key: KeyLoader, name: str, by: str, now_ns: int) -> int:
    """Try a rule: gateways answer what they would do, and do nothing. Returns the id of the firing."""
    rule = read_content(get_rule(session, name).content)
    if rule is None:
        raise ConflictError(f"chain '{name}' cannot be read by this release", hint="import the rules anew")
    firing = ChainFiring(
        rule=name,
        quake=DRILL + secrets.token_hex(8),
        state=FIRED,
        is_drill=True,
        intensity=rule.intensity,
        at_ns=now_ns,
        fired_ns=now_ns,
        by=by,
        content=msgspec.to_builtins(rule),
    )
    session.add(firing)
    session.flush()
    _carry_out(session, load_key, firing, rule, by, now_ns)
    return firing.id


def _carry_out(
    session: Session, load_key: KeyLoader, firing: ChainFiring, rule: Rule, author: str, now_ns: int
) -> None:
    asked = Asking(session, load_key, firing, author, rule.send_min * 60, now_ns)
    why = f"{'drill of ' if firing.is_drill else ''}{rule.title or rule.name}: {firing.intensity:g}"[:200]
    for one in rule.raises:
        request = RaiseRequest(alarm=one.alarm, why=why, drill=firing.is_drill)
        for gateway, trouble in find_gateways(session, one):
            asked.ask(RAISE, gateway, one.alarm, request, trouble)
    for hurry in rule.hurries:
        wanted = HurryRequest(
            groups=hurry.groups,
            every_s=hurry.every_s,
            lasts_s=hurry.lasts_min * 60,
            why=why,
            drill=firing.is_drill,
        )
        for gateway, trouble in find_gateways(session, hurry):
            asked.ask(HURRY, gateway, ", ".join(hurry.groups), wanted, trouble)
    for inspect in rule.inspects:
        inspections.note_places(session, firing, inspect)
    session.flush()
    inspections.tell(session, firing, now_ns)


def take_back(session: Session, load_key: KeyLoader, firing_id: int, by: str, now_ns: int) -> int:
    """Ask the gateways of a firing to clear what it raised and to read as configured again. Returns how many.

    Raises NotFoundError, or ConflictError for a drill: it changed nothing.
    """
    firing = get_firing(session, firing_id)
    if firing.is_drill:
        raise ConflictError("a drill has changed nothing that could be taken back")
    query = sa.select(ChainAction).where(ChainAction.firing_id == firing_id, ChainAction.command_id.is_not(None))
    asked = Asking(session, load_key, firing, by, TAKE_BACK_S, now_ns)
    rows = session.scalars(query.where(ChainAction.holds).order_by(ChainAction.id)).all()
    for row in rows:
        command = session.get_one(GatewayCommand, row.command_id)
        request: RaiseRequest | HurryRequest
        if row.kind == RAISE:
            request = RaiseRequest(alarm=row.what, holds=False)
        else:
            made = msgspec.convert(command.arguments, HurryRequest)
            request = msgspec.structs.replace(made, lasts_s=0, why="")
        asked.ask(row.kind, row.gateway, row.what, request, "", holds=False)
    session.flush()
    return len(rows)


def prune(session: Session, now_ns: int) -> None:
    """Forget quakes that were noted long ago. What fired stays."""
    gone = ChainQuake.noted_ns < now_ns - KEEP_NS
    session.execute(sa.delete(ChainQuake).where(gone, ChainQuake.is_settled))
