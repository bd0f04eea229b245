import pytest

from lab.errors import LabError
from lab.site_file import read_identity, read_rules, render
from lab.stations import Bridge, ChemicalPark, WeatherSite
from lab.truth import Truth

STATIONS = (ChemicalPark, WeatherSite, Bridge)
UPLINK = {"broker_port": 1, "health_port": 2}


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


async def test_every_alarm_of_a_site_switches_a_coil_and_names_a_served_tag(station):
    rules = read_rules(render(station.gateway, {**station.places, **UPLINK}))
    assert rules
    assert all(rule.coils for rule in rules)
    assert len({(rule.tag, rule.level) for rule in rules}) == len(rules)


async def test_the_district_has_three_gateways_and_more_than_50_tags():
    tags = 0
    for make in STATIONS:
        station = make(Truth([]))
        await station.open()
        tags += sum(ledger.values for ledger in station.ledgers)
        await station.close()
    assert tags >= 50


def test_a_place_that_nobody_offers_is_named():
    with pytest.raises(LabError, match="broker_port"):
        render("gw-shuitu-0001", {})
