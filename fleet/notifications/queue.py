"""From the alarms to the queue: which notices are due by now, and what is to be remembered of them.

`plan` reads and decides, `carry_out` writes it down. Only one program does this, and what it wrote down is known by its
key: whatever happens in between, the next turn finds out what is still missing.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.alarms import own
from fleet.alarms.kinds import read_kinds
from fleet.alarms.models import Alarm, AlarmEvent
from fleet.gateways.models import Gateway, Tag
from fleet.notifications.decide import RETURNED, AlarmNow, Asked, Due, decide
from fleet.notifications.message import LEVELS_ZH
from fleet.notifications.models import NoticeRow, NotifyCursor, Watch
from fleet.notifications.rules import Rules
from fleet.quakes import service as quakes
from fleet.sites.models import Site
from wire.alarm import Standing

CURSOR = 1
FLEET_PLACE = "烽燧平台"
"""Where an alarm is that is about no gateway: the name of the fleet manager itself."""
EARTHQUAKE_SECTOR = "earthquake"
TOLD = (own.INSPECTION, own.CHAIN)
"""Alarms of the fleet's own whose detail is told, too."""
Name = tuple[str, str]
"""Gateway and alarm."""


class Plan(msgspec.Struct, frozen=True):
    """What a turn has to write down. ``position`` is how far the journal was read, if that has changed; ``watch`` what
    is seen first, ``unwatch`` what is over."""

    position: int | None
    watch: tuple[AlarmNow, ...] = ()
    unwatch: tuple[Name, ...] = ()
    due: tuple[tuple[AlarmNow, Due], ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return self.position is None and not (self.watch or self.unwatch or self.due)


def plan(session: Session, rules: Rules, now_ns: int) -> Plan:
    """Read the alarms that are not normal or have changed, and decide who is to be told."""
    position, raised = _read_journal(session)
    watched = {(row.gateway, row.alarm): row for row in session.scalars(sa.select(Watch))}
    alarms = read_alarms(session, raised | watched.keys(), with_others=True)
    noted = _read_noted(session)
    watch, unwatch, due = [], [], []
    for name, alarm in alarms.items():
        row = watched.get(name)
        is_seen = row is not None and row.occurrence == alarm.occurrence
        known = noted.get(name, frozenset())
        have = known if is_seen else frozenset()
        since_ns = min(row.since_ns, now_ns) if row is not None and is_seen else now_ns
        ended = frozenset() if is_seen else frozenset(each.contact for each in known if each.step == RETURNED)
        asked = Asked(since_ns, now_ns, name in raised, frozenset(each.contact for each in known) - ended)
        new = sorted(decide(rules, alarm, asked) - have)
        due += [(alarm, each) for each in new]
        is_ahead = row is not None and row.since_ns > now_ns  # the clock has gone back: delays count from now
        if (not is_seen or is_ahead) and (new or alarm.standing):
            watch.append(alarm)  # also if it is over already: those who are told of it may want to hear that
        elif row is not None and not alarm.standing:
            unwatch.append(name)
    return Plan(position, tuple(watch), tuple(unwatch), tuple(due))


def carry_out(session: Session, found: Plan, now_ns: int) -> None:
    """Write a plan down."""
    if found.position is not None:
        session.merge(NotifyCursor(id=CURSOR, position=found.position))
    for gateway, name in found.unwatch:
        session.execute(sa.delete(Watch).where(Watch.gateway == gateway, Watch.alarm == name))
    for alarm in found.watch:
        session.merge(Watch(gateway=alarm.gateway, alarm=alarm.name, occurrence=alarm.occurrence, since_ns=now_ns))
    for alarm, due in found.due:
        if _exists(session, alarm, due):
            continue  # a record that was committed again after a restore: they were told of it before
        session.add(
            NoticeRow(
                gateway=alarm.gateway,
                alarm=alarm.name,
                occurrence=alarm.occurrence,
                contact=due.contact,
                step=due.step,
                content=msgspec.to_builtins(alarm),
                decided_ns=now_ns,
            )
        )


def _exists(session: Session, alarm: AlarmNow, due: Due) -> bool:
    query = sa.select(NoticeRow.id).where(NoticeRow.gateway == alarm.gateway, NoticeRow.alarm == alarm.name)
    query = query.where(NoticeRow.occurrence == alarm.occurrence)
    query = query.where(NoticeRow.contact == due.contact, NoticeRow.step == due.step)
    return session.scalar(query) is not None


def _read_journal(session: Session) -> tuple[int | None, set[Name]]:
    """How far the journal goes, if it goes further than was read, and which alarms were raised since."""
    newest = session.scalar(sa.select(sa.func.max(AlarmEvent.id))) or 0
    position = session.scalar(sa.select(NotifyCursor.position).where(NotifyCursor.id == CURSOR))
    if position is None:
        return newest, set()  # what happened before there were rules is nobody's news
    if newest == position:
        return None, set()
    query = sa.select(AlarmEvent.gateway, AlarmEvent.alarm).distinct()
    query = query.where(AlarmEvent.id > position, AlarmEvent.id <= newest, AlarmEvent.kind == "raised")
    return newest, {(gateway, alarm) for gateway, alarm in session.execute(query)}


def read_alarms(session: Session, names: Iterable[Name], *, with_others: bool = False) -> dict[Name, AlarmNow]:
    """Return the alarms of these names, and ``with_others`` all that are not normal, the most urgent first."""
    query = (
        sa.select(Alarm, Gateway, Site, Tag.title, Tag.unit)
        .outerjoin(Gateway, Gateway.name == Alarm.gateway)
        .outerjoin(Site, Site.key == Gateway.site_key)
        .outerjoin(Tag, sa.and_(Tag.gateway == Alarm.gateway, Tag.name == Alarm.tag))
    )
    wanted = set(names)
    of_gateways = Alarm.gateway.in_({gateway for gateway, _ in wanted})
    query = query.where(Alarm.active | (Alarm.standing != 0) | of_gateways if with_others else of_gateways)
    found, kinds = {}, {"": read_kinds(None)}
    for alarm, gateway, site, title, unit in session.execute(query.order_by(Alarm.priority, Alarm.raised_ns)):
        name = (alarm.gateway, alarm.name)
        if name in wanted or (with_others and (alarm.active or alarm.standing)):
            if alarm.gateway not in kinds:
                kinds[alarm.gateway] = read_kinds(gateway.reported if gateway else None)
            kind = kinds[alarm.gateway].get(alarm.name, "") or _read_told(session, alarm)
            found[name] = _describe(alarm, gateway, site, kind, title or "", unit or "")
    return {name: _describe_quake(session, alarm) for name, alarm in found.items()}


def _read_told(session: Session, alarm: Alarm) -> str:
    """What an alarm of the fleet's own says beyond its name, where people cannot do without: what is to be inspected,
    and who has not done what was asked."""
    found = own.find(alarm.name)
    if found is None or found[0] not in TOLD:
        return ""
    query = sa.select(AlarmEvent.detail).where(AlarmEvent.gateway == alarm.gateway, AlarmEvent.alarm == alarm.name)
    newest = query.where(AlarmEvent.kind == "raised").order_by(AlarmEvent.id.desc()).limit(1)
    return f"{LEVELS_ZH[alarm.level]}: {session.scalar(newest) or ''}"


def _describe(alarm: Alarm, gateway: Gateway | None, site: Site | None, kind: str, title: str, unit: str) -> AlarmNow:
    standing = Standing(alarm.standing)
    if alarm.active and Standing.ACTIVE not in standing:
        # A gateway of an earlier release, and the fleet's own: nobody can acknowledge, so nobody has.
        standing |= Standing.ACTIVE | Standing.UNACKNOWLEDGED
    return AlarmNow(
        gateway=alarm.gateway,
        name=alarm.name,
        site=site.key if site else "",
        sector=site.sector if site else "",
        place=_place(gateway, site),
        priority=alarm.priority,
        standing=int(standing),
        occurrence=alarm.occurrence or alarm.raised_ns or 0,
        raised_ns=alarm.raised_ns,
        level=alarm.level,
        title=title or (found[1] if (found := own.find(alarm.name)) else "") or alarm.tag,
        value=alarm.value,
        limit=alarm.limit,
        unit=unit,
        lat=site.lat if site else None,
        lon=site.lon if site else None,
        kind=kind,
    )


def _describe_quake(session: Session, alarm: AlarmNow) -> AlarmNow:
    """Say of the alarm of an earthquake how strong it was and where; any other alarm stays as it is."""
    about = own.find(alarm.name)
    if about is None or about[0] is not own.EARTHQUAKE:
        return alarm
    summary = quakes.find_summary(session, int(about[1]))
    if summary is None:  # it is part of another
        return msgspec.structs.replace(alarm, title="", sector=EARTHQUAKE_SECTOR)
    return msgspec.structs.replace(
        alarm,
        title="",
        place=summary.place,
        sector=EARTHQUAKE_SECTOR,
        raised_ns=summary.onset_ns,
        intensity=summary.intensity_gb,
        stations=summary.stations,
        lat=summary.lat,
        lon=summary.lon,
    )


def _place(gateway: Gateway | None, site: Site | None) -> str:
    if gateway is None:
        return FLEET_PLACE
    return (site.title if site else "") or gateway.title or gateway.name


def _read_noted(session: Session) -> dict[Name, frozenset[Due]]:
    """The notices that exist of the occurrences that are watched."""
    query = sa.select(NoticeRow.gateway, NoticeRow.alarm, NoticeRow.contact, NoticeRow.step).join(
        Watch,
        sa.and_(
            Watch.gateway == NoticeRow.gateway,
            Watch.alarm == NoticeRow.alarm,
            Watch.occurrence == NoticeRow.occurrence,
        ),
    )
    found: dict[Name, set[Due]] = {}
    for gateway, alarm, contact, step in session.execute(query):
        found.setdefault((gateway, alarm), set()).add(Due(contact, step))
    return {name: frozenset(dues) for name, dues in found.items()}
