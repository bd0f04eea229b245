import tomllib
from urllib.parse import urlsplit

import pytest

from drivers.base import kinds
from edge.cli import main
from lab.errors import LabError
from lab.site_file import read_exceptions, read_identity, read_rules, read_text, render
from lab.stations import STATIONS
from lab.truth import Truth

UPLINK = {"broker": "127.0.0.1:1", "health_port": 2, "page_port": 3}


@pytest.fixture
def station_files():
    return [tomllib.loads(read_text(make.gateway)) for make in STATIONS]


@pytest.fixture(params=STATIONS, ids=lambda station: station.gateway)
async def station(request):
    station = request.param(Truth([]))
    await station.open()
    yield station
    await station.close()


async def test_a_station_offers_all_that_its_configuration_asks_for(station):
    text = render(station.gateway, {**station.places, **UPLINK})
    assert read_identity(text).id == station.gateway
    assert "$" not in text


async def test_the_agents_check_finds_no_mistake_in_a_sites_file(station, tmp_path, capsys):
    file = tmp_path / "gateway.toml"
    file.write_text(render(station.gateway, {**station.places, **UPLINK}), "utf-8")
    assert main(["check", str(file)]) == 0, capsys.readouterr().err


async def test_every_alarm_of_a_site_switches_a_coil_and_names_a_served_tag(station):
    rules = read_rules(render(station.gateway, {**station.places, **UPLINK}))
    assert rules
    assert all(rule.coils for rule in rules)
    assert len({rule.alarm for rule in rules}) == len(rules)


def test_rules_of_templates_are_read_with_the_coils_they_switch_whether_ports_are_filled_in_or_not():
    rules = {rule.alarm: rule for rule in read_rules(read_text("gw-yufu-0001"))}
    assert rules["gd-01.gas:high-high"].limit == 50
    assert rules["tanks.t112-level:high"].limit == 90
    assert rules["gd-01.gas:high"].coils == (("gw-yufu-0001/relay-1", 1),)


async def test_every_kind_of_driver_runs_in_the_lab(station_files):
    used = {bus["kind"] for document in station_files for bus in document["bus"]}
    assert used == set(kinds())


async def test_modbus_runs_in_every_framing(station_files):
    schemes = {
        urlsplit(bus["url"]).scheme for document in station_files for bus in document["bus"] if bus["kind"] == "modbus"
    }
    assert schemes == {"tcp", "rtu", "ascii", "rtu+tcp"}


async def test_profiles_checks_derived_tags_and_exceptions_run_in_the_lab(station_files):
    devices = [device for document in station_files for device in document["device"]]
    tags = [tag for device in devices for group in device["group"] for tag in group.get("tag", ())]
    assert len({device["profile"] for device in devices if "profile" in device}) >= 10
    assert any("derived" in device for device in devices)
    assert any("check" in tag for tag in tags)
    assert any("report" in tag for tag in tags)


def test_a_place_that_nobody_offers_is_named():
    with pytest.raises(LabError, match="broker"):
        render("gw-shuitu-0001", {})


def test_tags_that_come_by_exception_are_read_from_the_file():
    assert read_exceptions(read_text("gw-longxing-0001")) == {("gw-longxing-0001", "mast.supply-voltage")}
