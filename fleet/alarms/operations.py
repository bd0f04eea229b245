"""What operators ask of alarms: a signed request to the gateway that decides, or at once where the fleet does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.alarms import own
from fleet.alarms.models import Alarm
from fleet.commands import service as commands
from fleet.commands.models import GatewayCommand
from fleet.commands.service import KeyLoader
from fleet.errors import ConflictError, InvalidError, NotFoundError
from fleet.gateways import service as gateways
from wire.alarm import ACTIONS, AlarmRequest

LIFETIME_S = 24 * 3600.0
"""How long a request waits for its gateway."""
LIFETIME_NS = int(LIFETIME_S * 1e9)
PREFIX = "alarm-"
NAMES = tuple(f"{PREFIX}{action}" for action in ACTIONS)


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What a gateway was last asked of an alarm. ``state``: as in `fleet.commands.service.state`."""

    id: str
    action: str
    state: str
    detail: str
    author: str
    issued_ns: int


def operate(
    session: Session, load_key: KeyLoader, gateway: str, action: str, request: AlarmRequest, author: str, now_ns: int
) -> str:
    """Ask for a change of an alarm. Returns the id of the command, "" where the fleet decided at once.

    Raises NotFoundError if there is no such alarm, InvalidError if it may not be shelved that long, ConflictError if
    it does not take this.
    """
    if action not in ACTIONS:
        raise InvalidError(f"'{action}' is nothing that can be done with an alarm", hint=f"use {', '.join(ACTIONS)}")
    alarm = session.get(Alarm, (gateway, request.alarm))
    if alarm is None:
        whose = f"gateway '{gateway}'" if gateway else "the fleet"
        raise NotFoundError(f"{whose} has no alarm '{request.alarm}'")
    if own.find(alarm.name) is not None:
        own.operate(session, alarm, action, request, author, now_ns)
        return ""
    if action == "shelve":
        _check_shelving(session, gateway, request)
    arguments = {key: value for key, value in msgspec.to_builtins(request).items() if value}
    row = commands.issue(session, load_key, gateway, PREFIX + action, arguments, author, LIFETIME_S, now_ns)
    return row.id


def _check_shelving(session: Session, gateway: str, request: AlarmRequest) -> None:
    if not request.comment.strip():
        raise InvalidError("shelving wants a reason", hint="say why the alarm is set aside")
    for rule in (gateways.get(session, gateway).reported or {}).get("alarms", ()):
        most_h = rule.get("shelve_most_h")
        if rule.get("name") != request.alarm or not isinstance(most_h, int | float):
            continue
        if most_h == 0:
            raise ConflictError(f"alarm '{request.alarm}' may not be shelved")
        if request.minutes > most_h * 60:
            raise InvalidError(f"alarm '{request.alarm}' may be shelved for {most_h:g} h at once")


def find_requests(session: Session, alarms: Sequence[Alarm], now_ns: int) -> dict[tuple[str, str], Request]:
    """{(gateway, alarm): the newest request that is still to be told of}: one that waits, or one that came to nothing
    and that no record has overtaken."""
    newest: dict[tuple[str, str], GatewayCommand] = {}
    for row in _list_commands(session, {alarm.gateway for alarm in alarms}, now_ns):
        newest[row.gateway, str(row.arguments.get("alarm"))] = row
    found = {}
    for alarm in alarms:
        asked = newest.get((alarm.gateway, alarm.name))
        if asked is not None and _is_open(asked, alarm, now_ns):
            found[alarm.gateway, alarm.name] = Request(
                id=asked.id,
                action=asked.name.removeprefix(PREFIX),
                state=commands.state(asked, now_ns),
                detail=asked.detail,
                author=asked.author,
                issued_ns=asked.issued_ns,
            )
    return found


def _list_commands(session: Session, names: Iterable[str], now_ns: int) -> Sequence[GatewayCommand]:
    """Requests of the last two days, the oldest first."""
    query = sa.select(GatewayCommand).where(
        GatewayCommand.gateway.in_(sorted(names)),
        GatewayCommand.name.in_(NAMES),
        GatewayCommand.issued_ns > now_ns - 2 * LIFETIME_NS,
    )
    return session.scalars(query.order_by(GatewayCommand.issued_ns, GatewayCommand.id)).all()


def _is_open(row: GatewayCommand, alarm: Alarm, now_ns: int) -> bool:
    if alarm.command == row.id:
        return False  # its record is here, the answer follows
    state = commands.state(row, now_ns)
    if state == "pending":
        return True
    ended_ns = row.answered_ns if row.answered_ns is not None else row.expires_ns
    return state != "done" and ended_ns >= (alarm.changed_ns or 0)


def takers(session: Session, names: Iterable[str]) -> Mapping[str, frozenset[str]]:
    """{gateway: the actions that it carries out}. An early release carries out none from here."""
    return {
        name: frozenset(each.removeprefix(PREFIX) for each in commands.names(session, name) if each in NAMES)
        for name in names
    }
