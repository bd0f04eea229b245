"""[[station]] in a configuration: what it comes to, and what is refused in which words."""

from __future__ import annotations

import copy
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from edge.configuration import read_boot, read_configuration
from edge.mistakes import Mistakes
from edge.places import format_place
from edge.schema import configuration_schema
from edge.settings import Configuration
from edge.stations.settings import CoincidenceEntry, tags_of

MANUAL = Path(__file__).parents[3] / "docs" / "operate" / "stations.md"
Document = dict[str, Any]


def channel(code: str, tag: str, azimuth: float = 0, dip: float = 0, **more: Any) -> dict[str, Any]:
    return {"code": code, "tag": tag, "sensitivity": 2048, "unit": "g", "azimuth": azimuth, "dip": dip, **more}


def station(number: int = 1, **more: Any) -> dict[str, Any]:
    acc = f"acc-0{number}"
    channels = [
        channel("HNE", f"{acc}.ax", 90),
        channel("HNN", f"{acc}.ay"),
        channel("HNZ", f"{acc}.az", dip=-90),
    ]
    return {"name": f"quake-0{number}", "network": "CQ", "station": f"YF00{number}", "channels": channels, **more}


def document(*stations: dict[str, Any], devices: int = 1) -> Document:
    numbers = range(1, devices + 1)
    return {
        "bus": [{"name": f"line-{n}", "kind": "witmotion", "url": f"serial:///dev/ttyS{n}"} for n in numbers],
        "device": [
            {"name": f"acc-0{n}", "bus": f"line-{n}", "profile": "witmotion_accelerometer", "rate_hz": 100}
            for n in numbers
        ],
        "station": list(stations),
    }


def read(document: Document) -> Configuration:
    mistakes = Mistakes()
    made = read_configuration(document, mistakes)
    assert made is not None, mistakes.found
    return made


def mistakes_of(document: Document) -> list[str]:
    mistakes = Mistakes()
    assert read_configuration(document, mistakes) is None
    return [f"{format_place(one.place)}: {one.message} ({one.hint})" for one in mistakes.found]


def test_station_is_a_device_with_one_group_of_tags() -> None:
    made = read(document(station(location="00")))
    (one,) = made.stations
    assert (one.source, one.rate_hz, one.code) == ("acc-01.motion", 100.0, "CQ.YF001")
    assert [(each.stream, each.column) for each in one.channels] == [
        ("CQ.YF001.00.HNE", 0),
        ("CQ.YF001.00.HNN", 1),
        ("CQ.YF001.00.HNZ", 2),
    ]
    assert one.channels[0].factor == 9.80665
    assert made.columns["quake-01.motion"] == one.columns
    tags = {tag.name: tag for tag in made.reported_tags()}
    assert {"quake-01.pga", "quake-01.intensity_gb", "quake-01.triggered"} <= tags.keys()
    assert (tags["quake-01.pga"].unit, tags["quake-01.pga"].group) == ("gal", "motion")
    assert "quake-01" in [device.name for device in made.devices]


def test_alarm_template_of_earthquakes_stands_on_the_intensity() -> None:
    made = read(document(station()) | {"template": [{"name": "earthquake", "of": ["quake-01.intensity_gb"]}]})
    assert [(rule.name, rule.limit) for rule in made.alarms if rule.tag == "quake-01.intensity_gb"] == [
        ("quake-01.intensity_gb:v", 4.5),
        ("quake-01.intensity_gb:vi", 5.5),
        ("quake-01.intensity_gb:vii", 6.5),
    ]
    assert all("GB/T 17742-2020" in rule.source for rule in made.alarms if rule.tag == "quake-01.intensity_gb")


def test_two_levels_of_a_building_have_drift_and_frequency_shift() -> None:
    upper = station(2, structure={"lower": "quake-01", "reference_hz": 0.4})
    made = read(document(station(), upper, devices=2))
    assert made.columns["quake-02.motion"][-2:] == ("quake-02.drift", "quake-02.frequency_shift")
    assert "quake-01.drift" not in made.columns["quake-01.motion"]


def test_coincidence_names_a_station_that_comes_later_in_the_file() -> None:
    made = read(document(station(coincidence={"station": "quake-02"}), station(2), devices=2))
    assert made.stations[0].coincidence == CoincidenceEntry(station="quake-02", within_s=3.0)


def test_one_component_makes_a_station() -> None:
    assert len(read(document(station(channels=[channel("HNE", "acc-01.ax", 90)]))).stations[0].analysed) == 1


def test_velocity_beside_three_accelerations_is_recorded_and_not_analysed() -> None:
    one = document(station())
    tags = [{"name": n, "unit": "m/s²", "channel": c} for n, c in (("z", "ENZ"), ("n", "ENN"), ("e", "ENE"))]
    one["bus"] = [{"name": "line-1", "kind": "raspberry_shake", "url": "udp://0.0.0.0:8888"}]
    group = {"name": "all", "tag": [{"name": "v", "unit": "m/s", "channel": "EHZ"}, *tags]}
    one["device"] = [{"name": "acc-01", "bus": "line-1", "group": [group]}]
    accelerations = [channel(f"EN{n.upper()}", f"acc-01.{n}", unit="m/s2") for n in "zne"]
    one["station"][0]["channels"] = [channel("EHZ", "acc-01.v", dip=-90, unit="m/s"), *accelerations]
    assert read(one).stations[0].analysed == (1, 2, 3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda s: s["channels"][0].update(tag="acc-01.aw"),
            "station[1].channels[1].tag: there is no tag 'acc-01.aw' (did you mean 'acc-01.az'?)",
        ),
        (
            lambda s: s["channels"][0].update(unit="m/s2"),
            "'acc-01.ax' is in g, not in m/s2 (write the tag's unit, and counts in one of it as sensitivity)",
        ),
        (lambda s: s["channels"].pop(), "2 channels of acceleration: a motion is judged by 1 or by 3"),
        (lambda s: s["channels"][1].update(code="HNE"), "two channels have the code 'HNE'"),
        (lambda s: s["channels"][1].update(tag="acc-01.ax"), "two channels have the tag 'acc-01.ax'"),
        (lambda s: s["channels"][1].update(tag="quake-01.pga"), "'quake-01.pga' is computed"),
        (lambda s: s["channels"][1].pop("azimuth"), "'azimuth' is missing (add: azimuth = a number"),
        (lambda s: s["channels"][1].update(dip=91), "'dip' is wrong: Expected `float` <= 90.0"),
        (lambda s: s["channels"][1].update(sensitivity=0), "'sensitivity' is wrong"),
        (
            lambda s: s["channels"][1].update(sensitivity=2047),
            "sensitivity = 2047, but a count of 'acc-01.ay' is 1/2048 of its unit (write: sensitivity = 2048;",
        ),
        (lambda s: s["channels"][1].update(code="hnz"), "'code' is wrong"),
        (lambda s: s.update(station="YF-001"), "'station' is wrong"),
        (lambda s: s.update(channels=[]), "'channels' is wrong"),
        (lambda s: s.update(rate_hz=200), "rate_hz = 200 is not that of device 'acc-01', which is 100"),
        (lambda s: s.update(latitude=29.6), "latitude and longitude go together: write both, or neither"),
        (lambda s: s.update(name="acc-01"), "'acc-01' is the name of a device or another station, too"),
        (lambda s: s.update(analyser={"settle": 3}), "unknown key 'settle' (did you mean 'settle_s'?)"),
        (lambda s: s.update(analyser={"trigger": {"on_ratio": 0.5}}), "'trigger' is wrong"),
        (lambda s: s.update(analyser={"trigger": {"off_ratio": 5}}), "off_ratio must be less than on_ratio"),
        (lambda s: s.update(analyser={"trigger": {"sta_s": 8, "lta_s": 5}}), "sta_s must be less than lta_s"),
        (lambda s: s.update(analyser={"full_scale_m_s2": 0}), "'full_scale_m_s2' is wrong: Expected `float` > 0.0"),
        (lambda s: s.update(coincidence={"station": "quake-01"}), "'coincidence' names the station itself"),
        (lambda s: s.update(coincidence={"station": "quake-02"}), "there is no station 'quake-02'"),
        (lambda s: s.update(structure={"lower": "quake-02", "reference_hz": 0.4}), "there is no station 'quake-02'"),
    ],
)
def test_mistake_of_a_station_is_told_with_its_place(change: Any, words: str) -> None:
    one = copy.deepcopy(station())
    change(one)
    found = mistakes_of(document(one))
    assert len(found) == 1, found
    assert found[0].startswith("station[1]")
    assert words in found[0]


def test_channels_of_different_groups_are_refused() -> None:
    mixed = station()
    mixed["channels"][2]["tag"] = "acc-02.az"
    (found,) = mistakes_of(document(mixed, devices=2))
    assert "channels of different groups: acc-01.motion, acc-02.motion" in found


def test_two_stations_of_one_code_are_refused() -> None:
    (found,) = mistakes_of(document(station(), station(2, station="YF001"), devices=2))
    assert "station 'quake-01' is called CQ.YF001, too" in found


def test_levels_whose_rates_differ_are_refused() -> None:
    one = document(station(), station(2, structure={"lower": "quake-01", "reference_hz": 0.4}), devices=2)
    one["device"][1]["rate_hz"] = 200
    (found,) = mistakes_of(one)
    assert "rates that differ: 200 Hz here, 100 Hz at 'quake-01'" in found


def test_levels_that_point_elsewhere_are_refused() -> None:
    upper = station(2, structure={"lower": "quake-01", "reference_hz": 0.4})
    upper["channels"][0]["azimuth"] = 80
    (found,) = mistakes_of(document(station(), upper, devices=2))
    assert "channels that point elsewhere than those of 'quake-01'" in found


def polled(poll_s: float) -> Document:
    one = document(station(channels=[channel("HNE", "acc-01.ax", 90)]))
    one["bus"] = [{"name": "line-1", "kind": "modbus", "url": "tcp://127.0.0.1:1502"}]
    tag = {"name": "ax", "unit": "g", "address": 52}
    one["device"] = [{"name": "acc-01", "bus": "line-1", "group": [{"name": "motion", "poll_s": poll_s, "tag": [tag]}]}]
    return one


def test_polled_instrument_has_the_rate_of_its_polls() -> None:
    assert read(polled(0.02)).stations[0].rate_hz == 50


def test_too_few_samples_for_an_intensity_are_refused() -> None:
    (found,) = mistakes_of(polled(1.0))
    assert "1 samples a second are too few: intensity takes frequencies up to 10 Hz" in found


def test_instrument_of_which_nobody_knows_the_rate_is_refused() -> None:
    one = document(station(channels=[channel("HNE", "acc-01.ax", 90)]))
    one["bus"] = [{"name": "line-1", "kind": "nmea", "url": "tcp://127.0.0.1:1502"}]
    tag = {"name": "ax", "unit": "g", "sentence": "XDR", "field": 2}
    one["device"] = [{"name": "acc-01", "bus": "line-1", "group": [{"name": "motion", "tag": [tag]}]}]
    (found,) = mistakes_of(one)
    assert "'rate_hz' is missing: nothing says how many samples a second 'acc-01' gives (add: rate_hz = 100)" in found


def test_station_on_a_device_with_mistakes_tells_these_only() -> None:
    one = document(station())
    one["device"][0]["rate_hz"] = -1
    assert all(found.startswith("device[1]") for found in mistakes_of(one))


def test_example_of_the_manual_is_a_configuration_that_runs() -> None:
    blocks = MANUAL.read_text("utf-8").split("```toml\n")[1:]
    (example,) = [tomllib.loads(block.partition("```")[0]) for block in blocks]
    mistakes = Mistakes()
    boot = read_boot(example, mistakes)
    assert boot is not None, mistakes.found
    made = read(example)
    assert [one.code for one in made.stations] == ["CQ.SHT1", "CQ.SHT2"]
    assert made.stations[0].channels[0].sensitivity * 2.600780234070221e-06 == pytest.approx(1, abs=1e-9)
    jsonschema.validate(example, configuration_schema())


def test_every_tag_of_a_station_is_in_the_manual() -> None:
    manual = MANUAL.read_text("utf-8")
    assert all(f"`{tag.name}`" in manual for tag in tags_of(has_structure=True))


def test_schema_takes_what_the_gateway_takes_and_refuses_a_misspelt_key() -> None:
    schema = configuration_schema()
    desired = {"$ref": "#/$defs/desired", "$defs": schema["$defs"]}
    good = document(
        station(analyser={"trigger": {"on_ratio": 5.0}}, coincidence={"station": "quake-02"}, structure={}), station(2)
    )
    jsonschema.validate(good, desired)
    good["station"][0]["analyser"]["trigger"] = {"on_ration": 5.0}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(good, desired)
