"""Earthquakes: take what stations tell, put it together to events, raise the alarm, and say what there is.

A station's newest report stands in one row, so one that comes again, late or out of order counts once. After any change
of what triggers there are, all reports around it are put together anew (`association`); what was one event keeps its
number as far as it can.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.alarms import own
from fleet.chains import service as chains
from fleet.chains.decision import Reading
from fleet.db import take_turn
from fleet.errors import NotFoundError
from fleet.quakes import streets
from fleet.quakes.association import CLOCK_S, NS, Group, Trigger, associate, gather
from fleet.quakes.felt import Estimate, estimate_all
from fleet.quakes.models import CLOSED, MERGED, OPEN, REJECTED, Quake, StationQuake
from fleet.quakes.positions import find_position
from fleet.quakes.summary import SILENT_NS, Summary, counts, measured_at, strongest_of_stations, summarise
from fleet.readings.items import INT_MAX
from wire.record import QuakeRecord
from wire.sample import is_good

AROUND_NS = 600 * NS
"""No chain of reports that is looked at together reaches further than that."""
AROUND_MOST = 256
"""Reports that are looked at together, the nearest in time: a broken gateway must not make ingest wait."""
ALARM_FROM = 3
"""The class from which an event is an alarm: people indoors begin to feel it (GB/T 17742-2020, III)."""
PRIORITY_FROM: Mapping[int, int] = {7: 1, 5: 2, ALARM_FROM: 3}
"""{class: the alarm's priority from there on}: VII damages houses, V is felt by most and wakes sleepers."""
COPIED = (
    "state", "peak_ns", "mono_ns", "duration_s", "pga_gal", "pgv_cm_s", "pgd_cm", "intensity_gb", "intensity_jma",
    "grade", "quality", "reason",
)  # fmt: skip
KEPT = ("pd_cm", "tau_c_s", "magnitude", "magnitude_error")
"""What comes once, from the first seconds: a later report without it takes nothing back."""
LISTED = 50
TURNS = (CLOSED, REJECTED)
"""States that the journal tells of, whether a station's quake comes into them or leaves them."""
Key = tuple[str, str, int]
"""Of a report: gateway, station, and how it names the quake."""


class Taking:
    """Takes the reports of one transaction: `note` each, then `settle` once what follows from them."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._rows: dict[Key, StationQuake] = {}
        self._unplaced: dict[Key, StationQuake] = {}
        self._touched: set[int] = set()

    def note(
        self,
        gateway: str,
        record_id: int,
        record: QuakeRecord,
        captured_ns: int | None,
        received_ns: int,
        clock: str,
    ) -> bool:
        """Take a report. ``clock`` is the quality of the gateway's. Returns whether the station's quake begins, ends,
        is taken back or counts again by it, which the journal tells; False also for one older than what is known.

        Of one moment the last to come counts: a quake that was taken back and counts after all is told as it was.
        """
        row = self._find(gateway, record)
        if row is not None and record.mono_ns < row.mono_ns:
            return False
        before = (row.state, row.onset_ns, row.clock) if row is not None else None
        if row is None:
            row = StationQuake(gateway=gateway, station=record.station, quake=record.quake, first_ns=received_ns)
            row.quake_id, row.spectrum = None, []
        _take(self._session, row, record, captured_ns, received_ns, clock)
        row.record_id = record_id
        self._session.add(row)
        self._rows[_key_of(row)] = row
        if row.quake_id is None or before is None or _is_other_trigger(row, *before):
            self._unplaced[_key_of(row)] = row
        if row.quake_id is not None:
            self._touched.add(row.quake_id)
        return before is None or (row.state != before[0] and not {row.state, before[0]}.isdisjoint(TURNS))

    def _find(self, gateway: str, record: QuakeRecord) -> StationQuake | None:
        key = (gateway, record.station, record.quake)
        return self._rows.get(key) or self._session.get(StationQuake, key)

    def settle(self, now_ns: int) -> None:
        """Put what is new together to events, and have all that was touched follow their reports, and their alarms."""
        if not (self._unplaced or self._touched):
            return
        self._session.flush()
        self._place(now_ns)
        query = sa.select(Quake).where(Quake.id.in_(self._touched)).order_by(Quake.id)
        for quake in self._session.scalars(query).all():
            _settle(self._session, quake, now_ns)

    def _place(self, now_ns: int) -> None:
        """Find the event of each report that has none or lost its own: one look around does for all that it covers."""
        looks: list[Look] = []
        for row in self._unplaced.values():
            if row.quake_id is None and row.state == REJECTED:  # never part of anything: an event of nothing
                row.quake_id = _add(self._session, row.onset_ns, now_ns)
                self._touched.add(row.quake_id)
            elif row.quake_id is None or not any(look.covers(row) for look in looks):
                looks.append(_associate(self._session, row, now_ns))
                self._touched |= looks[-1].numbers


class Look(msgspec.Struct, frozen=True):
    """Reports that were put together anew: all that count from ``first_ns`` to ``last_ns``; the events concerned."""

    first_ns: int
    last_ns: int
    numbers: frozenset[int]

    def covers(self, row: StationQuake) -> bool:
        """Tell whether it has seen to a report."""
        return self.first_ns <= row.onset_ns <= self.last_ns


def _is_other_trigger(row: StationQuake, state: str, onset_ns: int, clock: str) -> bool:
    """Tell whether association would see another report than before: it counts or no longer does, or another time."""
    moved_s = abs(row.onset_ns - onset_ns) / NS
    return (row.state == REJECTED) != (state == REJECTED) or row.clock != clock or moved_s > CLOCK_S["synced"]


def _take(
    session: Session, row: StationQuake, record: QuakeRecord, captured_ns: int | None, received_ns: int, clock: str
) -> None:
    for name in COPIED:
        setattr(row, name, getattr(record, name))
    for name in KEPT:
        if getattr(record, name) is not None:
            setattr(row, name, getattr(record, name))
    row.spectrum = list(record.spectrum) or row.spectrum
    row.at_ns, row.received_ns = captured_ns, received_ns
    row.onset_ns, row.clock = _find_onset(record, captured_ns, received_ns, clock)
    if row.lat is None:
        found = find_position(session, row.gateway, row.station)
        row.title, row.lat, row.lon = found.title, found.lat, found.lon


def _find_onset(record: QuakeRecord, captured_ns: int | None, received_ns: int, clock: str) -> tuple[int, str]:
    """The time of the onset and how good it is. Without UTC the quake is named by its onset in the boot, which was as
    long before this report as the two are apart; the report was made when it came at the latest."""
    held = clock if clock in CLOCK_S and clock != "unset" else "told"
    if record.onset_ns is not None:
        return _bound(record.onset_ns), held
    ago_ns = max(record.mono_ns - record.quake, 0)
    if captured_ns is not None:
        return _bound(captured_ns - ago_ns), held
    return _bound(received_ns - ago_ns), "unset"


def _bound(at_ns: int) -> int:
    """A time that can be reckoned with."""
    return min(max(at_ns, 0), INT_MAX - AROUND_NS)


# events


def _associate(session: Session, row: StationQuake, now_ns: int) -> Look:
    """Put the reports around one together anew."""
    reports = {_key_of(one): one for one in _read_around(session, row)}
    before = {key: one.quake_id for key, one in reports.items()}
    if _has_left(session, row, before):
        before[_key_of(row)] = None
    groups = associate(_trigger_of(one) for one in reports.values())
    for group, number in zip(groups, _keep_numbers(groups, before), strict=True):
        number_or_new = number if number is not None else _add(session, group[0].onset_ns, now_ns)
        for trigger in group:
            reports[trigger.key].quake_id = number_or_new
    session.flush()
    after = {key: one.quake_id for key, one in reports.items()}
    _hand_on(session, before, after, now_ns)
    _merge(session, before, after, now_ns)
    onsets = [row.onset_ns, *(one.onset_ns for one in reports.values())]
    numbers = {number for number in (row.quake_id, *before.values(), *after.values()) if number is not None}
    return Look(min(onsets), max(onsets), frozenset(numbers))


def _has_left(session: Session, row: StationQuake, before: Mapping[Key, int | None]) -> bool:
    """Tell whether a report has moved in time away from all others of its event, which keep the number then."""
    if row.quake_id is None or list(before.values()).count(row.quake_id) > 1:
        return False
    query = sa.select(sa.func.count()).where(StationQuake.quake_id == row.quake_id, StationQuake.state != REJECTED)
    return session.scalars(query).one() > 1


def _hand_on(session: Session, before: Mapping[Key, int | None], after: Mapping[Key, int | None], now_ns: int) -> None:
    """Have events know by which of their reports rules have fired already, in the event that these were in."""
    moves = {(had, has) for key, had in before.items() if had is not None and (has := after[key]) not in (None, had)}
    for had, has in sorted(moves, key=str):
        quake = session.get_one(Quake, has)
        chains.hand_on(session, had, quake.id, quake.onset_ns, now_ns)


def _add(session: Session, onset_ns: int, now_ns: int) -> int:
    made = Quake(state=OPEN, onset_ns=onset_ns, changed_ns=now_ns, told_grade=0)
    session.add(made)
    session.flush()
    return made.id


def _read_around(session: Session, row: StationQuake) -> Sequence[StationQuake]:
    """The reports that count and are looked at together with one, in the order of their onsets."""
    query = sa.select(StationQuake).where(
        StationQuake.state != REJECTED,
        StationQuake.onset_ns.between(row.onset_ns - AROUND_NS, row.onset_ns + AROUND_NS),
    )
    nearest = sa.func.abs(StationQuake.onset_ns - row.onset_ns)
    found = session.scalars(
        query.order_by(nearest, StationQuake.gateway, StationQuake.station).limit(AROUND_MOST)
    ).all()
    found = sorted(found, key=lambda one: one.onset_ns)
    first_ns, last_ns = gather([one.onset_ns for one in found], row.onset_ns)
    return [one for one in found if first_ns <= one.onset_ns <= last_ns]


def _key_of(row: StationQuake) -> Key:
    return row.gateway, row.station, row.quake


def _trigger_of(row: StationQuake) -> Trigger:
    return Trigger(key=_key_of(row), onset_ns=row.onset_ns, lat=row.lat, lon=row.lon, clock=row.clock)


def _keep_numbers(groups: Sequence[Group], numbers: Mapping[Key, int | None]) -> list[int | None]:
    """The number of each group: that of the event which most of its reports were in, the lowest among equals, unless
    another group has more of that event. None for a group that is new."""
    wishes = []
    for index, group in enumerate(groups):
        had = Counter(number for trigger in group if (number := numbers[trigger.key]) is not None)
        wishes += [(-count, number, index) for number, count in had.items()]
    kept: list[int | None] = [None] * len(groups)
    for _, number, index in sorted(wishes):
        if kept[index] is None and number not in kept:
            kept[index] = number
    return kept


def _merge(session: Session, before: Mapping[Key, int | None], after: Mapping[Key, int | None], now_ns: int) -> None:
    """Have events of which no report is left lead to where theirs went, and take along what was rejected of them."""
    for number in {one for one in before.values() if one is not None} - set(after.values()):
        went = Counter(after[key] for key, had in before.items() if had == number)
        into, _ = min(went.items(), key=lambda item: (-item[1], item[0] or 0))
        quake = session.get_one(Quake, number)
        quake.state, quake.into, quake.changed_ns = MERGED, into, now_ns
        session.execute(sa.update(StationQuake).where(StationQuake.quake_id == number).values(quake_id=into))
        own.withdraw_alarm(session, own.FLEET, own.EARTHQUAKE, now_ns, str(number))
        chains.forget(session, number)


def _settle(session: Session, quake: Quake, now_ns: int) -> None:
    """Have an event and its alarm follow its reports."""
    reports = _read_reports(session, [quake.id])
    found = summarise(quake.id, reports, now_ns)
    if quake.state == MERGED or found is None:
        return
    quake.state, quake.onset_ns, quake.changed_ns = found.state, found.onset_ns, now_ns
    _tell_chains(session, found, reports, now_ns)
    subject = str(quake.id)
    if found.state == REJECTED or found.grade < ALARM_FROM:
        quake.told_grade = 0
        own.withdraw_alarm(session, own.FLEET, own.EARTHQUAKE, now_ns, subject)
        return
    if found.grade != quake.told_grade:  # lower: the strongest report was taken back, or is of another event
        quake.told_grade = found.grade
        detail = write_detail(found.place, found.stations)
        figures = own.Figures(_find_priority(found.grade), found.intensity_gb)
        own.raise_anew(session, own.FLEET, own.EARTHQUAKE, detail, now_ns, subject, figures)
    if found.state == CLOSED:
        own.clear_alarm(session, own.FLEET, own.EARTHQUAKE, now_ns, subject)


def _tell_chains(session: Session, found: Summary, reports: Sequence[StationQuake], now_ns: int) -> None:
    """Have the rules that follow from earthquakes know of this one, as it stands now."""
    readings = [
        Reading(one.station, one.intensity_gb, one.lat, one.lon, is_good(one.quality) and one.clock != "unset")
        for one in strongest_of_stations(report for report in reports if counts(report))
    ]
    is_rejected = found.state == REJECTED
    place = found.intensity_gb, found.lat, found.lon
    chains.consider(session, found.id, *place, found.onset_ns, now_ns, readings=readings, is_rejected=is_rejected)


def write_detail(place: str, stations: int) -> str:
    """What the journal keeps of an event when its alarm is raised: where it is strongest, and at how many stations."""
    return f"{place} ({stations})"


def read_detail(text: str) -> tuple[str, int]:
    """Read what `write_detail` wrote."""
    place, _, stations = text.rpartition(" (")
    return place, int(stations.removesuffix(")"))


def _find_priority(grade: int) -> int:
    return PRIORITY_FROM[max(least for least in PRIORITY_FROM if least <= grade)]


def settle_silent(session: Session, now_ns: int) -> int:
    """End the events of which nothing more came. Returns how many."""
    take_turn(session)  # before anything is read: ingest may be about to say more of them
    query = sa.select(Quake).where(Quake.state == OPEN, Quake.changed_ns < now_ns - SILENT_NS)
    found = session.scalars(query.order_by(Quake.id)).all()
    for quake in found:
        _settle(session, quake, now_ns)
    return len(found)


# what there is


class Found(msgspec.Struct, frozen=True):
    """An event, all its reports in the order of their onsets, and what the streets are estimated to have felt."""

    summary: Summary
    reports: tuple[StationQuake, ...]
    streets: tuple[Estimate, ...]


def list_quakes(
    session: Session, now_ns: int, before_ns: int | None = None, limit: int = LISTED, *, with_rejected: bool = False
) -> list[Summary]:
    """Return events by their onset, the newest first, as far as the session sees their reports; ``before_ns`` is the
    onset of the last one seen."""
    live, timed = StationQuake.state != REJECTED, StationQuake.clock != "unset"
    # As `summarise` tells it: a page begins where the one before has ended.
    onset = sa.func.coalesce(
        *(sa.func.min(sa.case((told, StationQuake.onset_ns))) for told in (live & timed, live, timed, sa.true()))
    )
    query = sa.select(StationQuake.quake_id).where(StationQuake.quake_id.is_not(None)).group_by(StationQuake.quake_id)
    if not with_rejected:
        query = query.where(live)
    if before_ns is not None:
        query = query.having(onset < before_ns)
    numbers = session.scalars(query.order_by(onset.desc(), StationQuake.quake_id.desc()).limit(limit)).all()
    reports: dict[int, list[StationQuake]] = {number: [] for number in numbers if number is not None}
    for report in _read_reports(session, list(reports)):
        if report.quake_id is not None:
            reports[report.quake_id].append(report)
    found = (summarise(number, rows, now_ns) for number, rows in reports.items())
    return [summary for summary in found if summary is not None]


def get_quake(session: Session, number: int, now_ns: int) -> Found:
    """Return an event as far as the session sees its reports. Raises NotFoundError if it sees none."""
    reports = _read_reports(session, [number])
    summary = summarise(number, reports, now_ns)
    if summary is None:
        raise NotFoundError(f"there is no earthquake {number}")
    return Found(summary, tuple(reports), estimate_all(streets.list_places(session), measured_at(reports)))


def find_summary(session: Session, number: int) -> Summary | None:
    """Sum an event up; None without a report. Whether it is over is of no interest here."""
    reports = _read_reports(session, [number])
    return summarise(number, reports, max((report.received_ns for report in reports), default=0))


def find_merged(session: Session, number: int) -> int | None:
    """Return the event that another was found to be part of, None if it was not, or the session does not see that."""
    quake = session.get(Quake, number)
    while quake is not None and quake.into is not None:
        number = quake.into
        quake = session.get(Quake, number)
    return number if quake is not None and quake.state != MERGED else None


def list_reports(session: Session, number: int) -> list[StationQuake]:
    """Return the reports of an event that the session sees, in the order of their onsets."""
    return _read_reports(session, [number])


def look_at(session: Session, number: int | None = None) -> tuple[object, ...]:
    """Return what is another as soon as an event has changed, or any: by the records that its reports came from."""
    query = sa.select(sa.func.max(StationQuake.record_id), sa.func.count())
    if number is not None:
        query = query.where(StationQuake.quake_id == number)
    return tuple(session.execute(query).one())


def _read_reports(session: Session, numbers: Sequence[int]) -> list[StationQuake]:
    query = sa.select(StationQuake).where(StationQuake.quake_id.in_(numbers))
    order = (StationQuake.onset_ns, StationQuake.station, StationQuake.gateway, StationQuake.quake)
    return list(session.scalars(query.order_by(*order)))
