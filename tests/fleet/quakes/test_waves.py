"""The waveforms of an event: whose, how long, in which unit, and what a drawing makes of them."""

from __future__ import annotations

from array import array
from typing import Any

import pytest

from fleet.bootstrap import Services
from fleet.console.quakedraw import MAP_HEIGHT, MAP_WIDTH, TRACE_HEIGHT, TRACE_WIDTH, draw_map, draw_waves
from fleet.quakes import service
from fleet.quakes.felt import Place, estimate_all
from fleet.quakes.models import StationQuake
from fleet.quakes.summary import measured_at
from fleet.quakes.waves import Waves, find_reach, find_waves
from seismic.packet import Packet, to_record
from tests.fleet import edge
from tests.fleet.conftest import START_NS
from tests.fleet.quakes.scene import BRIDGE, NS, TOWER, Quakes, report
from wire.record import Lane
from wire.topics import Up


@pytest.fixture
def scene(services: Services) -> Quakes:
    return Quakes(services)


def send_waves(scene: Quakes, gateway: str, station: str, seconds: range, code: str = "HNZ", rest: int = 5000) -> None:
    """One packet a second: a spike of 1000 counts up at the start of each, on a rest that is not 0."""
    packets = []
    for second in seconds:
        counts = array("i", [rest] * 100)
        counts[0] = rest + 1000
        at_ns = START_NS + second * NS
        packets.append(to_record(Packet(f"{station}.00.{code}", at_ns, at_ns, 100.0, counts, 100)))
    first = scene.waves_seq.get(gateway, 1)
    scene.waves_seq[gateway] = first + len(packets)
    batch = edge.batch(scene.opened[gateway], first, *packets, lane=Lane.WAVEFORMS)
    assert scene.committer.commit([edge.up(Up.BATCH, batch, gateway=gateway)])


def configure(scene: Quakes, gateway: str, channels: Any) -> None:
    entry = {"network": "XX", "station": "TOWER", "title": "江北嘴大厦", "channels": channels}
    told = edge.reported(tags=(), config={"station": [entry]})
    scene.committer.commit([edge.up(Up.REPORTED, told, gateway=gateway)])


def find(scene: Quakes) -> Waves:
    with scene.services.database.reading() as session:
        found = find_waves(session, service.get_quake(session, 1, START_NS).reports)
    assert found is not None
    return found


def test_every_station_is_drawn_on_one_axis_from_before_the_first_onset(scene: Quakes) -> None:
    scene.say(TOWER, report(after_s=20, state="closed"))
    scene.say(BRIDGE, report("XX.BRDGE", 5.0, 20, state="closed"))
    send_waves(scene, TOWER, "XX.TOWER", range(-30, 60))
    send_waves(scene, BRIDGE, "XX.OTHER", range(-30, 60))
    found = find(scene)
    assert ((found.start_ns - START_NS) / NS, (found.end_ns - START_NS) / NS) == (-10, 35)
    assert [len(one.traces) for one in found.stations] == [1, 0], "another station's stream is not this one's"
    sheet = draw_waves(found)
    assert [round(one.onset / TRACE_WIDTH * 45, 1) for one in sheet.stations] == [10.0, 15.0]
    assert sheet.ticks[0] == (sheet.stations[0].onset, 0)
    assert (sheet.stations[0].swing, sheet.stations[0].unit) == (1000, "")


@pytest.mark.parametrize(
    ("channel", "unit", "swing"),
    [
        ({"code": "HNZ", "unit": "m/s2", "sensitivity": 1e5}, "gal", 1.0),
        ({"code": "HNZ", "unit": "g", "sensitivity": 980665.0}, "gal", 1.0),
        ({"code": "HNZ", "unit": "gal", "sensitivity": 1000}, "gal", 1.0),
        ({"code": "HNZ", "sensitivity": 1e5}, "gal", 1.0),
        ({"code": "HNZ", "unit": "m/s", "sensitivity": 1e5}, "cm/s", 1.0),
        ({"code": "HNZ", "unit": "furlong", "sensitivity": 1.0}, "", 1000.0),
        ({"code": "HNZ", "unit": "gal", "sensitivity": 0}, "", 1000.0),
        ({"code": "HNE", "unit": "gal", "sensitivity": 1.0}, "", 1000.0),
        ("no table", "", 1000.0),
    ],
)
def test_counts_become_what_the_configuration_says(scene: Quakes, channel: Any, unit: str, swing: float) -> None:
    configure(scene, TOWER, [channel])
    scene.say(TOWER, report(after_s=20, state="closed"))
    send_waves(scene, TOWER, "XX.TOWER", range(20))
    (station,) = draw_waves(find(scene)).stations
    assert (station.unit, station.swing) == (unit, pytest.approx(swing))


def test_a_hole_stays_a_hole_and_nothing_leaves_the_drawing(scene: Quakes) -> None:
    scene.say(TOWER, report(after_s=20, state="closed"))
    send_waves(scene, TOWER, "XX.TOWER", range(-60, 5))
    send_waves(scene, TOWER, "XX.TOWER", range(9, 60))
    (line,) = draw_waves(find(scene)).stations[0].lines
    assert line.path.count("M") == 2
    points = [point.split() for point in line.path.replace("M", "L").replace("Z", "").split("L") if point]
    assert all(0 <= float(x) <= TRACE_WIDTH and -0.1 <= float(y) <= TRACE_HEIGHT + 0.1 for x, y in points)


def test_a_long_event_is_drawn_for_five_minutes_and_the_strongest_eight_stations(scene: Quakes) -> None:
    scene.say(TOWER, report(after_s=2000, state="grown", intensity_gb=8.0))
    for number in range(9):
        scene.add(f"gw-more-000{number}", f"XX.M{number}", f"台 {number}", 3.0)
        scene.say(f"gw-more-000{number}", report(f"XX.M{number}", 1.0, intensity_gb=6.0))
    found = find(scene)
    assert found.end_ns - found.start_ns == 300 * NS
    assert (len(found.stations), found.left_off) == (8, 2)


def test_what_has_come_is_known_without_reading_it(scene: Quakes) -> None:
    scene.say(TOWER, report(after_s=20, state="closed"))

    def reach() -> tuple[int, ...]:
        with scene.services.database.reading() as session:
            return find_reach(session, service.list_reports(session, 1))

    send_waves(scene, TOWER, "XX.TOWER", range(10))
    before = reach()
    send_waves(scene, TOWER, "XX.TOWER", range(10, 40))
    after = reach()
    assert before != after == (START_NS + 30 * NS,)
    send_waves(scene, TOWER, "XX.TOWER", range(40, 50))
    assert reach() == after, "what is not drawn is no news"
    with scene.services.database.reading() as session:
        assert find_reach(session, []) == ()
        assert find_waves(session, []) is None


def made(name: str, north: float, east: float, intensity: float = 6.0) -> StationQuake:
    return StationQuake(
        gateway=name, station=name, quake=1, title=f"{name} 强震台", lat=29.6 + north, lon=106.5 + east, state="closed",
        intensity_gb=intensity, pga_gal=1.0, onset_ns=0,
    )  # fmt: skip


def test_the_map_has_stations_on_top_and_no_label_covers_another() -> None:
    reports = [made("甲", 0, 0, 9.6), made("乙", 0.2, 0.3), made("丙", 0.01, 0.01)]
    places = [Place(f"街道{number}", 29.6 + number * 0.012, 106.5 + (number % 3) * 0.02) for number in range(14)]
    plan = draw_map(reports, estimate_all(places, measured_at(reports)))
    assert plan is not None
    assert [spot.kind for spot in plan.spots[-3:]] == ["station"] * 3
    assert max(plan.grades) == 10
    for spot in plan.spots:
        assert 0 <= spot.x <= MAP_WIDTH
        assert 0 <= spot.y <= MAP_HEIGHT
    shown = [(spot.label_y, spot.label_x, spot.anchor) for spot in plan.spots if spot.label]
    assert len(set(shown)) == len(shown) > 5


def test_there_is_no_map_without_a_place() -> None:
    lost = made("甲", 0, 0)
    lost.lat = lost.lon = None
    assert draw_map([lost], []) is None
