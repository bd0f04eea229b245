"""Reports of stations through the committer: one event of several, each report once, whatever order they come in."""

from __future__ import annotations

import itertools
import math
from typing import Any
from xml.etree import ElementTree

import pytest
import sqlalchemy as sa

from fleet.alarms.models import Alarm, AlarmEvent
from fleet.bootstrap import Services
from fleet.errors import NotFoundError
from fleet.quakes import service
from fleet.quakes.models import Quake, StationQuake
from fleet.readings.models import Quarantined
from fleet.upkeep import Upkeep
from fleet.waveforms import places, stationxml
from tests.fleet import edge
from tests.fleet.conftest import START_NS, Clock, both_databases
from tests.fleet.quakes.scene import BOOT_NS, BRIDGE, NS, TOWER, Quakes, report
from wire.alarm import Standing
from wire.topics import Up

BRDGE = "XX.BRDGE"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)])
def database_url(request: pytest.FixtureRequest) -> str:
    return both_databases(request)


@pytest.fixture
def scene(services: Services) -> Quakes:
    return Quakes(services)


def rows(scene: Quakes, table: Any) -> list[Any]:
    with scene.services.database.reading() as session:
        return list(session.scalars(sa.select(table)))


def alarm(scene: Quakes, number: int = 1) -> Alarm | None:
    with scene.services.database.reading() as session:
        return session.get(Alarm, ("", f"fleet:earthquake:{number}"))


def test_two_stations_are_one_event_that_grows_and_ends(scene: Quakes) -> None:
    scene.say(TOWER, report())
    (event,) = scene.list()
    assert (event.state, event.stations, event.doubts) == ("open", 1, ("single",))
    scene.say(BRIDGE, report(BRDGE, 5.0, intensity_gb=6.3, grade=6))
    scene.say(TOWER, report(after_s=8, state="grown", intensity_gb=7.1, grade=7, pga_gal=120.0))
    (event,) = scene.list()
    assert (event.id, event.stations, event.intensity_gb, event.grade, event.doubts) == (1, 2, 7.1, 7, ())
    assert (event.place, event.lat, event.onset_ns) == ("江北嘴大厦", 29.57, START_NS)
    for gateway, name, onset_s in ((TOWER, "XX.TOWER", 0), (BRIDGE, BRDGE, 5.0)):
        scene.say(gateway, report(name, onset_s, 60, state="closed", intensity_gb=7.1, grade=7, spectrum=(1.0, 2.0)))
    (event,) = scene.list()
    assert (event.state, event.duration_s) == ("closed", 60)
    assert [one.spectrum for one in scene.get(1).reports] == [[1.0, 2.0], [1.0, 2.0]]


def test_two_quakes_90_s_apart_stay_two(scene: Quakes) -> None:
    for onset_s in (0, 90):
        scene.say(TOWER, report(onset_s=onset_s))
        scene.say(BRIDGE, report(BRDGE, onset_s + 5))
    assert [(one.id, one.stations) for one in scene.list()] == [(2, 2), (1, 2)]


def test_reports_in_any_order_come_to_the_same(scene: Quakes) -> None:
    grown = [
        report(),
        report(after_s=4, state="p-wave", magnitude=6.2, magnitude_error=0.4),
        report(after_s=9, state="grown", intensity_gb=8.0, grade=8),
        report(after_s=50, state="closed", intensity_gb=8.0, grade=8),
    ]
    for number, order in enumerate(itertools.permutations(grown)):
        shift = number * 1000
        for one in order:
            scene.say(
                TOWER, report(onset_s=shift, after_s=one.duration_s, state=one.state, intensity_gb=one.intensity_gb,
                              grade=one.grade, magnitude=one.magnitude, magnitude_error=one.magnitude_error),
            )  # fmt: skip
    events = scene.list()
    assert {(one.state, one.intensity_gb, one.grade, one.stations) for one in events} == {("closed", 8.0, 8, 1)}
    assert len(events) == 24


def test_a_report_that_is_repeated_or_restated_after_a_resend_counts_once(scene: Quakes) -> None:
    first, second = report(), report(after_s=3, state="grown", intensity_gb=6.0, grade=6)
    scene.say(TOWER, first, second)
    scene.hello(TOWER, "e2")  # a restart that sends again what was committed
    scene.say(TOWER, first, second, first, epoch="e2")
    assert len(rows(scene, StationQuake)) == len(rows(scene, Quake)) == 1
    assert scene.list()[0].intensity_gb == 6.0
    assert [line.kind for line in rows(scene, AlarmEvent)].count("quake") == 1


def test_a_late_station_joins_what_is_over_and_one_between_two_events_joins_them(scene: Quakes) -> None:
    scene.add("gw-far-0001", "XX.FAR", "远郊台", 60.0)
    scene.add("gw-mid-0001", "XX.MID", "中间台", 45.0)
    scene.say(TOWER, report(after_s=60, state="closed"))
    scene.say(BRIDGE, report(BRDGE, 5.0, 60, state="closed"))
    assert [one.stations for one in scene.list()] == [2]
    scene.say("gw-far-0001", report("XX.FAR", 12.0, 60, state="closed"))
    assert [(one.id, one.stations, one.state) for one in scene.list()] == [(1, 3, "closed")]


def test_an_event_that_turns_out_to_be_part_of_another_leads_there(scene: Quakes) -> None:
    scene.add("gw-far-0001", "XX.FAR", "无位置", None)
    scene.say(TOWER, report())
    scene.say("gw-far-0001", report("XX.FAR", 36.0))  # 30 km are taken: a little too late for one event
    assert len(scene.list()) == 2
    with scene.services.database.writing() as session:
        row = session.get_one(StationQuake, ("gw-far-0001", "XX.FAR", START_NS + 36 * NS))
        row.lat, row.lon = 30.2, 106.57  # its position is known now: 70 km
    scene.say(BRIDGE, report(BRDGE, 5.0))
    (event,) = scene.list()
    assert (event.id, event.stations) == (1, 3)
    with scene.services.database.reading() as session:
        assert service.find_merged(session, 2) == 1
        assert service.find_merged(session, 99) is None
        with pytest.raises(NotFoundError):
            service.get_quake(session, 2, START_NS)
    assert alarm(scene, 2).standing == 0  # type: ignore[union-attr]


def test_a_rejected_report_drops_out_and_the_rest_stays(scene: Quakes) -> None:
    scene.say(TOWER, report(intensity_gb=7.0, grade=7))
    scene.say(BRIDGE, report(BRDGE, 5.0))
    scene.say(
        TOWER, report(after_s=2, state="rejected", intensity_gb=7.0, grade=7, reason="the other instrument is still")
    )
    (event,) = scene.list()
    assert (event.stations, event.rejected, event.intensity_gb, event.place) == (1, 1, 5.2, "朝天门大桥")
    assert [one.state for one in scene.get(1).reports] == ["rejected", "onset"]


def test_an_event_of_which_all_is_rejected_is_none_and_its_alarm_is_withdrawn(scene: Quakes) -> None:
    scene.say(TOWER, report())
    assert alarm(scene).standing == Standing.ACTIVE | Standing.UNACKNOWLEDGED  # type: ignore[union-attr]
    scene.say(TOWER, report(after_s=2, state="rejected", reason="a slammed door"))
    assert scene.list() == []
    (event,) = scene.list(with_rejected=True)
    assert (event.state, event.stations, event.rejected) == ("rejected", 0, 1)
    assert alarm(scene).standing == 0  # type: ignore[union-attr]


def test_what_was_rejected_before_anything_else_came_is_an_event_of_nothing(scene: Quakes) -> None:
    scene.say(TOWER, report(after_s=2, state="rejected", reason="a slammed door"))
    scene.say(TOWER, report())  # out of order
    assert scene.list() == []
    assert len(scene.list(with_rejected=True)) == 1
    assert alarm(scene) is None


def test_a_report_that_was_taken_back_counts_again_when_the_other_instrument_triggers_after_all(scene: Quakes) -> None:
    """As `edge.stations.quake` tells it: what it has, taken back, then the same again from the onset on."""
    scene.say(TOWER, report(after_s=1, state="rejected", reason="station 'top' has not triggered within 2 s"))
    assert scene.list() == []
    scene.say(TOWER, report(), report(after_s=1, state="grown"))
    (event,) = scene.list()
    assert (event.id, event.state, event.stations) == (1, "open", 1)
    assert alarm(scene).standing == Standing.ACTIVE | Standing.UNACKNOWLEDGED  # type: ignore[union-attr]
    scene.say(TOWER, report(after_s=1, state="rejected"), report(after_s=1, state="onset"))
    assert scene.list()[0].state == "open"
    lines = [line.state for line in rows(scene, AlarmEvent) if line.kind == "quake"]
    assert lines == ["rejected", "grown", "rejected", "onset"]


def test_events_that_are_taken_back_at_once_each_end_though_others_go_on_around_them(scene: Quakes) -> None:
    scene.say(TOWER, *(report(onset_s=onset_s) for onset_s in (0, 27, 54, 81)))
    assert [one.id for one in scene.list()] == [4, 3, 2, 1]
    scene.say(TOWER, *(report(onset_s=onset_s, after_s=2, state="rejected") for onset_s in (27, 54)))
    states = {row.id: row.state for row in rows(scene, Quake)}
    assert states == {1: "open", 2: "rejected", 3: "rejected", 4: "open"}
    assert [bool(alarm(scene, number).standing) for number in (1, 2, 3, 4)] == [True, False, False, True]  # type: ignore[union-attr]


def test_a_station_that_learns_the_time_leaves_the_event_that_it_was_taken_for(scene: Quakes) -> None:
    scene.say(BRIDGE, report(BRDGE, 4.0))  # one now, which has nothing to do with
    named = START_NS - BOOT_NS
    blind = report(after_s=5, wall_ns=None, onset_ns=None, quake=named, peak_ns=None)
    scene.say(TOWER, blind, clock="unset")
    assert [(one.id, one.stations) for one in scene.list()] == [(1, 2)]
    true_ns = START_NS - 3600 * NS
    scene.say(TOWER, report(after_s=6, state="grown", onset_ns=true_ns, quake=named))
    assert [(one.id, one.stations, one.onset_ns) for one in scene.list()] == [
        (1, 1, START_NS + 4 * NS),
        (2, 1, true_ns),
    ]


def test_an_alarm_tells_of_a_lower_class_once_the_strongest_report_is_taken_back(scene: Quakes) -> None:
    scene.say(TOWER, report(intensity_gb=8.0, grade=8))
    scene.say(BRIDGE, report(BRDGE, 5.0))
    scene.say(TOWER, report(after_s=2, state="rejected", intensity_gb=8.0, grade=8))
    row = alarm(scene)
    assert row is not None
    assert (row.active, row.priority, row.value) == (True, 2, 5.2)
    scene.say(BRIDGE, report(BRDGE, 5.0, 8, state="grown", intensity_gb=7.0, grade=7))
    row = alarm(scene)
    assert row is not None
    assert (row.active, row.priority, row.value) == (True, 1, 7.0)


@pytest.mark.parametrize("quality", ["holdover", "told"])
def test_a_questionable_clock_is_told_of(scene: Quakes, quality: str) -> None:
    scene.say(TOWER, report(), clock=quality)
    scene.say(BRIDGE, report(BRDGE, 5.0))
    (event,) = scene.list()
    assert (event.stations, event.is_timed, event.doubts) == (2, True, ("clock",))


def test_a_station_without_a_clock_is_placed_by_when_its_report_came_and_gives_no_onset(
    scene: Quakes, clock: Clock
) -> None:
    clock.advance(14)
    blind = report(after_s=4, state="grown", wall_ns=None, onset_ns=None, quake=START_NS - BOOT_NS, peak_ns=None)
    scene.say(TOWER, blind, clock="unset")
    (event,) = scene.list()
    assert (event.is_timed, event.onset_ns) == (False, START_NS + 10 * NS)
    assert set(event.doubts) == {"single", "untimed", "clock"}
    scene.say(BRIDGE, report(BRDGE, 5.0))
    (event,) = scene.list()
    assert (event.stations, event.is_timed, event.onset_ns) == (2, True, START_NS + 5 * NS)
    assert event.doubts == ("clock",)


def test_a_station_that_learned_the_time_later_is_placed_by_it(scene: Quakes) -> None:
    blind = report(after_s=4, state="grown", wall_ns=None, onset_ns=None, quake=START_NS - BOOT_NS, peak_ns=None)
    scene.say(TOWER, blind, clock="synced")
    assert scene.list()[0].onset_ns == START_NS


def test_a_title_that_no_database_takes_costs_no_report(scene: Quakes) -> None:
    entry = {"network": "XX", "station": "TOWER", "title": "台\0站\x0b", "latitude": 29.5, "longitude": 106.5}
    told = edge.reported(tags=(), config={"station": [{**entry, "channels": [{"code": "HNZ", "sensitivity": 1.0}]}]})
    scene.committer.commit([edge.up(Up.REPORTED, told, gateway=TOWER)])
    scene.say(TOWER, report())
    assert [one.place for one in scene.list()] == ["台站"]
    with scene.services.database.reading() as session:
        octets = stationxml.write_xml(places.list_stations(session), "response", "渝富区应急局", START_NS)
    assert "台站" in "".join(ElementTree.fromstring(octets).itertext())


def test_a_station_without_a_position_stands_where_its_site_is(scene: Quakes) -> None:
    scene.add("gw-none-0001", "XX.NONE", "", None)
    with scene.services.database.writing() as session:
        session.execute(sa.text("UPDATE site SET lat = 29.7, lon = 106.6 WHERE key = 'site-none-0001'"))
    scene.say("gw-none-0001", report("XX.NONE"))
    scene.say("gw-none-0001", report("XX.OTHER", 200))
    assert [(one.place, one.lat) for one in scene.list()] == [("场所 ", 29.7), ("场所 ", 29.7)]


def test_each_class_raises_the_alarm_anew_and_more_urgent(scene: Quakes, clock: Clock) -> None:
    seen = []
    for after_s, grade in ((0, 2), (1, 3), (2, 3), (3, 5), (4, 7), (5, 8)):
        clock.advance(1)
        scene.say(TOWER, report(after_s=after_s, state="grown", grade=grade, intensity_gb=float(grade)))
        row = alarm(scene)
        seen.append((row.priority, row.value) if row else None)
    assert seen == [None, (3, 3.0), (3, 3.0), (2, 5.0), (1, 7.0), (1, 8.0)]
    raised = [line for line in rows(scene, AlarmEvent) if line.kind == "raised"]
    assert len({line.occurrence for line in raised}) == len(raised) == 4
    scene.say(TOWER, report(after_s=60, state="closed", grade=8, intensity_gb=8.0))
    row = alarm(scene)
    assert row is not None
    assert (row.active, row.standing) == (False, Standing.UNACKNOWLEDGED)


async def test_an_event_whose_stations_fell_silent_ends_and_says_so(scene: Quakes, clock: Clock) -> None:
    scene.say(TOWER, report())
    clock.advance(500)
    await Upkeep(scene.services).tend()
    assert scene.list()[0].state == "open"
    clock.advance(101)
    await Upkeep(scene.services).tend()
    (event,) = scene.list()
    assert (event.state, event.doubts) == ("closed", ("single", "cut"))
    row = alarm(scene)
    assert row is not None
    assert not row.active


def test_the_journal_has_where_it_begins_and_ends(scene: Quakes) -> None:
    scene.say(TOWER, report(), *(report(after_s=n / 4, state="grown") for n in range(1, 20)))
    scene.say(TOWER, report(after_s=60, state="closed"))
    lines = [line for line in rows(scene, AlarmEvent) if line.kind == "quake"]
    assert [(line.state, line.detail) for line in lines] == [
        ("onset", "XX.TOWER onset 5.2"),
        ("closed", "XX.TOWER closed 5.2"),
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"pga_gal": math.nan}, {"magnitude": math.inf}, {"spectrum": (math.nan,)}, {"spectrum": (0.0,) * 300},
        {"state": "unheard-of"}, {"station": "X" * 21}, {"station": ""}, {"station": "XX.\x1b"}, {"reason": "x" * 501},
        {"quake": 2**63}, {"grade": 13}, {"grade": -1}, {"pga_gal": 1e7}, {"duration_s": -1.0},
    ],
)  # fmt: skip
def test_a_report_that_cannot_be_is_quarantined_alone(scene: Quakes, changes: dict[str, Any]) -> None:
    scene.say(TOWER, report(**changes), report(onset_s=1))
    assert len(rows(scene, Quarantined)) == 1
    assert len(scene.list()) == 1


@pytest.mark.parametrize("onset_ns", [-1, 0, 2**63 - 1])
def test_a_time_that_cannot_be_harms_nobody(scene: Quakes, onset_ns: int) -> None:
    scene.say(TOWER, report(onset_ns=onset_ns, magnitude=5.0, magnitude_error=1e-300), report(onset_s=1))
    assert len(scene.list()) == 2
    assert not rows(scene, Quarantined)


def test_a_flood_of_triggers_of_one_gateway_is_taken_in_bounded_time(scene: Quakes) -> None:
    scene.say(TOWER, *(report(onset_s=number / 1000) for number in range(600)))
    scene.say(BRIDGE, report("XX.BRDGE", 5.0))
    assert sum(len(scene.get(one.id).reports) for one in scene.list(limit=10_000)) == 601


def test_several_stations_in_one_transaction_are_put_together(scene: Quakes) -> None:
    batches = [report(), report(after_s=1, state="grown", intensity_gb=6.0, grade=6), report(onset_s=90)]
    scene.say(TOWER, *batches, report(onset_s=90, after_s=2, state="rejected"), report(onset_s=95))
    assert [(one.stations, one.rejected) for one in scene.list()] == [(1, 0), (1, 0)]
    assert len(scene.list(with_rejected=True)) == 3


def test_pages_of_the_list_leave_nothing_out(scene: Quakes) -> None:
    for number in range(5):
        scene.say(TOWER, report(onset_s=number * 100))
    seen, before_ns = [], None
    while page := scene.list(before_ns=before_ns, limit=2):
        seen += [one.id for one in page]
        before_ns = page[-1].onset_ns
    assert seen == [5, 4, 3, 2, 1]


def test_pages_of_the_list_go_by_the_onset_that_an_event_tells(scene: Quakes, clock: Clock) -> None:
    clock.advance(14)
    blind = report(after_s=4, wall_ns=None, onset_ns=None, quake=START_NS - BOOT_NS, peak_ns=None)
    scene.say(TOWER, blind, clock="unset")  # 10 s, which nobody believes once another has a clock
    scene.say(BRIDGE, report(BRDGE, 20.0), report(BRDGE, 15.0, 1, state="rejected"))
    scene.say(BRIDGE, report(BRDGE, -100.0), report(BRDGE, -300.0))
    seen, before_ns = [], None
    while page := scene.list(before_ns=before_ns, limit=1, with_rejected=True):
        seen += [one.onset_ns for one in page]
        before_ns = page[-1].onset_ns
    assert seen == [START_NS + onset_s * NS for onset_s in (20, 15, -100, -300)]


def test_a_look_finds_another_thing_after_each_report(scene: Quakes) -> None:
    looks = []
    for after_s in (0, 1, 2):
        scene.say(TOWER, report(after_s=after_s, state="grown"))
        with scene.services.database.reading() as session:
            looks.append((service.look_at(session), service.look_at(session, 1)))
    assert len(set(looks)) == 3
