"""Every profile that is installed could be read by the driver it names."""

import itertools

import msgspec
import pytest

from drivers import profile
from drivers.base import Group, find
from drivers.errors import SettingsError
from edge.configuration import read_configuration
from edge.mistakes import Mistakes

LEVELS = ["low-low", "low", "high", "high-high"]
URLS = {"modbus": "rtu:///dev/ttyS0"}


class Alarm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The alarm keys of docs/understand/configuration.md; outputs belong to a site, not to a kind of instrument."""

    level: str
    limit: float
    deadband: float = 0.0
    priority: int = 2
    on_delay_s: float = 0.0
    off_delay_s: float = 0.0
    title: str = ""


class Tag(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    title: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    alarm: list[Alarm] = []
    check: dict = {}
    report: dict = {}


class GroupTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    tag: list[dict]
    poll_s: float | None = None


@pytest.fixture(params=profile.names())
def installed(request) -> profile.Profile:
    return profile.load(request.param)


def source_fields(tag: dict) -> dict:
    return {key: value for key, value in tag.items() if key not in Tag.__struct_fields__}


def tags_of(one: profile.Profile) -> list[Tag]:
    return [msgspec.convert(tag, Tag) for table in one.group for tag in table["tag"]]


def test_there_are_profiles_for_each_driver():
    assert {profile.load(name).kind for name in profile.names()} == {"modbus", "nmea", "witmotion"}


def test_profile_builds_its_driver(installed):
    kind = find(installed.kind)
    device = msgspec.convert(installed.device, kind.device)
    groups = []
    for table in installed.group:
        group = msgspec.convert(table, GroupTable)
        polls = hasattr(kind.build, "read")
        assert (group.poll_s is not None) == polls, "poll_s is for drivers that ask, and only for them"
        groups.append(
            Group(
                name=f"d.{group.name}",
                device_name="d",
                device=device,
                tags=tuple(f"d.{tag['name']}" for tag in group.tag),
                sources=tuple(msgspec.convert(source_fields(tag), kind.source) for tag in group.tag),
            )
        )
    url = URLS.get(installed.kind, "serial:///dev/ttyS0")
    kind.build(kind.settings(url=url), groups)


def test_profile_has_titles_and_names_its_source(installed):
    assert installed.vendor
    assert installed.model
    assert installed.title
    assert len(installed.source) > 10
    assert all(tag.title for tag in tags_of(installed))


def test_tag_names_are_unique_in_a_profile(installed):
    names = [tag.name for tag in tags_of(installed)]
    assert len(set(names)) == len(names)


def test_measured_tags_have_a_range_and_alarms_lie_within_it_in_order(installed):
    for tag in tags_of(installed):
        if tag.unit:
            assert tag.low is not None, tag.name
            assert tag.high is not None, tag.name
            assert tag.low < tag.high
        limits = sorted(tag.alarm, key=lambda alarm: LEVELS.index(alarm.level))
        for alarm in limits:
            assert tag.low < alarm.limit < tag.high
            assert 1 <= alarm.priority <= 4
            assert alarm.deadband > 0, "without a deadband an alarm chatters"
        for lower, upper in itertools.pairwise(limits):
            assert lower.limit < upper.limit


def test_gas_alarms_have_no_on_delay():
    for tag in tags_of(profile.load("pemtech_pt495")):
        assert all(alarm.on_delay_s == 0 for alarm in tag.alarm)


def test_unknown_profile_is_named_with_the_known_ones():
    with pytest.raises(SettingsError, match="no profile 'nonsense'") as caught:
        profile.load("nonsense")
    assert "pemtech_pt495" in caught.value.hint


@pytest.mark.parametrize("text", ["vendor =", "vendor = 'x'", "colour = 'red'"])
def test_malformed_profile_is_a_settings_error(text):
    with pytest.raises(SettingsError, match="profile 'mine'"):
        profile.parse(text, "mine")


def test_profile_is_accepted_in_a_configuration(installed):
    document = {
        "bus": [{"name": "line", "kind": installed.kind, "url": URLS.get(installed.kind, "serial:///dev/ttyS0")}],
        "device": [{"name": "d", "bus": "line", "profile": installed.name}],
    }
    mistakes = Mistakes()
    configuration = read_configuration(document, mistakes)
    assert mistakes.found == []
    assert [tag.name for tag in configuration.tags] == [f"d.{tag.name}" for tag in tags_of(installed)]
