"""Every profile that is installed is right as far as bytes can tell, and could be read by the driver it names."""

import itertools
import json
import os
import re
import tomllib
from pathlib import Path
from typing import get_args

import jsonschema
import msgspec
import pytest

from drivers import profile
from drivers.base import kinds
from drivers.errors import SettingsError
from edge import devices
from edge.mistakes import Mistakes
from edge.profile_case import case_folders
from edge.profile_report import CaseReport
from edge.profile_test import explain, read_profile, run_profile_test
from edge.schema import SCHEMA_FILE

FILES = Path(profile.__file__).with_name("profiles")
CASES = Path(__file__).parent.parent / "cases" / "profiles"
LEVELS = ["low-low", "low", "high", "high-high"]
SENTINELS = {"invalid", "status"}


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


@pytest.fixture(params=profile.installed())
def installed(request) -> profile.Profile:
    return profile.load(request.param)


def tags_of(one: profile.Profile) -> list[Tag]:
    tables = [*(tag for group in one.group for tag in group["tag"]), *one.derived]
    return [msgspec.convert(tag, Tag) for tag in tables]


def cases_of(name: str) -> tuple[CaseReport, ...]:
    return run_profile_test(FILES / f"{name}.toml", CASES / name).cases


def test_profile_has_no_mistake(installed):
    path = FILES / f"{installed.name}.toml"
    mistakes = Mistakes()
    text = path.read_text("utf-8")
    read_profile(text, installed.name, mistakes)
    assert explain(path, text, mistakes) == ()


def test_profile_reads_its_cases(installed):
    report = run_profile_test(FILES / f"{installed.name}.toml", CASES / installed.name)
    assert report.cases
    assert report.mistakes == ()
    for case in report.cases:
        assert case.fault == ""
        assert [found for found in case.comparisons if not found.same] == []


def test_every_tag_is_read_by_a_case(installed):
    read = {found.tag for case in cases_of(installed.name) for found in case.comparisons if found.quality == "GOOD"}
    assert read == {tag["name"] for group in installed.group for tag in group["tag"]}


def test_a_tag_that_an_instrument_can_spoil_is_spoilt_by_a_case(installed):
    may = {tag["name"] for group in installed.group for tag in group["tag"] if SENTINELS & tag.keys()}
    cases = cases_of(installed.name)
    spoilt = {found.tag for case in cases for found in case.comparisons if found.quality != "GOOD"}
    assert bool(may) <= bool(may & spoilt)


def test_every_case_belongs_to_a_profile():
    folders = {folder.name for folder in CASES.iterdir()}
    assert folders == set(profile.installed())


def test_every_capture_names_its_source(installed):
    for folder in case_folders(CASES / installed.name):
        assert (folder / "line.txt").read_text("utf-8").startswith("# ")


def test_profile_has_titles_and_a_chapter_and_names_its_source(installed):
    assert installed.title_en
    assert installed.category != "other"
    assert len(installed.source) > 10
    assert all(tag.title for tag in tags_of(installed))


def test_profile_is_named_after_vendor_or_model(installed):
    words = f"{installed.vendor} {installed.model}".lower()
    plain = "".join(letter for letter in words if letter.isalnum())
    assert any(part in plain for part in installed.name.split("_"))


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


def test_gas_alarms_have_no_on_delay(installed):
    for tag in tags_of(installed):
        if installed.category == "gas" and tag.name in {"gas", "oxygen", "co2"}:
            assert tag.alarm
            assert all(alarm.on_delay_s == 0 for alarm in tag.alarm)


@pytest.mark.parametrize("name", [name for name in profile.installed() if profile.load(name).category == "gas"])
def test_combustible_gas_has_the_levels_of_the_standard(name):
    for tag in tags_of(profile.load(name)):
        if tag.unit == "%LEL":
            assert {alarm.level: alarm.limit for alarm in tag.alarm} == {"high": 25.0, "high-high": 50.0}


def test_unknown_profile_is_named_with_the_known_ones():
    with pytest.raises(SettingsError, match="no profile 'nonsense'") as caught:
        profile.load("nonsense")
    assert "pemtech_pt495" in caught.value.hint


@pytest.mark.parametrize("text", ["vendor =", "vendor = 'x'", "colour = 'red'"])
def test_malformed_profile_is_a_settings_error(text):
    with pytest.raises(SettingsError, match="profile 'mine'"):
        profile.parse(text, "mine")


@pytest.fixture
def own(tmp_path) -> Path:
    """A folder of an operator's own profiles that holds one."""
    folder = tmp_path / "profiles"
    folder.mkdir()
    (folder / "my_gauge.toml").write_text((FILES / "generic_sht20.toml").read_text("utf-8"), "utf-8")
    return folder


def test_own_profile_is_found_by_its_name(own):
    assert "my_gauge" in profile.names(profile.Shelf(own))
    assert profile.load("my_gauge", profile.Shelf(own)).model == "SHT20 RS-485"


def test_installed_profile_wins_over_an_own_one_of_the_same_name(own):
    (own / "vaisala_wxt530.toml").write_text((own / "my_gauge.toml").read_text("utf-8"), "utf-8")
    assert profile.load("vaisala_wxt530", profile.Shelf(own)).model == "WXT530"


@pytest.mark.parametrize("name", ["../secret", "profiles/my_gauge", "my_gauge.toml", "", ".", "/etc/hostname"])
def test_a_profile_is_a_name_and_never_a_path(own, name):
    (own.parent / "secret.toml").write_text((own / "my_gauge.toml").read_text("utf-8"), "utf-8")
    with pytest.raises(SettingsError, match="no profile"):
        profile.load(name, profile.Shelf(own))


def test_folder_that_is_not_there_has_no_profiles(tmp_path):
    assert profile.names(profile.Shelf(tmp_path / "nowhere", tmp_path / "neither")) == profile.installed()


def test_own_profile_that_is_no_text_is_a_settings_error(own):
    (own / "my_gauge.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="cannot be read"):
        profile.load("my_gauge", profile.Shelf(own))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_folder_that_may_not_be_read_has_no_profiles(own):
    own.chmod(0)
    try:
        assert profile.names(profile.Shelf(own)) == profile.installed()
    finally:
        own.chmod(0o700)


def test_installed_profiles_fit_the_schema(installed):
    schema = json.loads(devices.SCHEMA_FILE.read_text("utf-8"))
    document = tomllib.loads((FILES / f"{installed.name}.toml").read_text("utf-8"))
    assert list(jsonschema.Draft202012Validator(schema).iter_errors(document)) == []


@pytest.mark.parametrize(("old", "new"), [("scale", "scael"), ("poll_s = 5.0", ""), ("kind = ", "kinds = ")])
def test_schema_refuses_a_mistake(old, new):
    schema = json.loads(devices.SCHEMA_FILE.read_text("utf-8"))
    text = (FILES / "generic_sht20.toml").read_text("utf-8").replace(old, new)
    assert list(jsonschema.Draft202012Validator(schema).iter_errors(tomllib.loads(text)))


def test_page_and_schema_are_up_to_date():
    for path, text in devices.files().items():
        assert path.read_text("utf-8") == text, "run: python -m edge.devices"


def test_page_tells_of_every_driver_and_every_profile():
    page = devices.PAGE_FILE.read_text("utf-8")
    assert set(devices.SPOKEN) >= set(kinds())
    assert set(devices.CHAPTERS) == set(get_args(profile.Category))
    for kind in kinds():
        assert f"| [`{kind}`](settings.md#{kind}) |" in page
    for name in profile.installed():
        assert f"- profile: `{name}`" in page


def test_cases_on_the_page_are_there():
    page = devices.PAGE_FILE.read_text("utf-8")
    links = re.findall(r"\]\((\.\./[^)]+)\)", page)
    assert len(links) > len(profile.installed())
    assert [link for link in links if not (devices.PAGE_FILE.parent / link).is_file()] == []


def test_a_device_written_out_as_the_profile_has_it_fits_the_schema_of_a_configuration(installed):
    schema = json.loads(SCHEMA_FILE.read_text("utf-8"))
    desired = {"$ref": "#/$defs/desired", "$defs": schema["$defs"]}
    own = {**installed.device, **installed.site, "group": installed.group, "derived": installed.derived}
    document = {"device": [{"name": "d", "bus": "line", **own}]}
    assert list(jsonschema.Draft202012Validator(desired).iter_errors(document)) == []


def test_released_profile_goes_before_the_installed_one_and_that_before_the_operators(tmp_path):
    text = (FILES / "generic_sht20.toml").read_text("utf-8")
    for folder in ("own", "released"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "vaisala_wxt530.toml").write_text(text, "utf-8")
    shelf = profile.Shelf(tmp_path / "own", tmp_path / "released")
    assert profile.load("vaisala_wxt530", shelf).model == "SHT20 RS-485"
    assert profile.load("vaisala_wxt530", profile.Shelf(tmp_path / "own")).model == "WXT530"
