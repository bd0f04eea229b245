"""`fengsui-edge profile test`: what it tells of a profile, and profiles of an operator's own in a configuration."""

import re
from pathlib import Path

import pytest

from drivers.profile import OWN_FOLDER, Shelf
from edge.configuration import read_configuration, read_desired
from edge.errors import EdgeError
from edge.mistakes import Mistakes
from edge.profile_case import is_same
from edge.profile_report import ProfileReport, format_report
from edge.profile_test import run_profile_test

GAUGE = """
vendor = "Example"
model = "G1"
title = "裂缝计"
kind = "modbus"
source = "Example G1 manual, table 4"

[device]
max_registers = 8

[[group]]
name = "crack"
poll_s = 60.0

[[group.tag]]
name = "width"
title = "缝宽"
unit = "mm"
low = 0
high = 50
address = 0
scale = 0.01
invalid = [65535]
"""

CASE = """
about = "3.14 mm, and a broken wire"
profile = "my_gauge"

[settings]
url = "rtu:///dev/ttyS0"

[[reading]]
group = "crack"
values = { width = 3.14 }

[[reading]]
group = "crack"
values = { width = "none" }
quality = { width = "BAD_SENSOR" }
"""

LINE = """
> 01 03 00 00 00 01 84 0a
< 01 03 02 01 3a 39 c7
> 01 03 00 00 00 01 84 0a
< 01 03 02 ff ff b9 f4
"""


@pytest.fixture
def gauge(tmp_path) -> Path:
    """A profile with one case beside it."""
    file = tmp_path / OWN_FOLDER / "my_gauge.toml"
    case = file.with_name("my_gauge") / "broken_wire"
    case.mkdir(parents=True)
    file.write_text(GAUGE, "utf-8")
    (case / "case.toml").write_text(CASE, "utf-8")
    (case / "line.txt").write_text(LINE, "utf-8")
    return file


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text("utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), "utf-8")


def fault_of(report: ProfileReport) -> str:
    (case,) = report.cases
    assert not report.ok
    return case.fault


def test_profile_that_holds_is_told_with_what_was_read(gauge):
    report = run_profile_test(gauge)
    assert report.ok
    text = format_report(report)
    assert "fine" in text
    assert "width = 3.14 mm (GOOD)" in text
    assert "width = none mm (BAD_SENSOR)" in text


def test_profile_without_a_case_is_only_checked(tmp_path):
    alone = tmp_path / "alone.toml"
    alone.write_text(GAUGE, "utf-8")
    report = run_profile_test(alone)
    assert report.ok
    assert "No case was run" in format_report(report)


def test_case_may_lie_elsewhere(gauge, tmp_path):
    case = gauge.with_name("my_gauge") / "broken_wire"
    moved = case.rename(tmp_path / "moved")
    assert [one.name for one in run_profile_test(gauge, moved).cases] == ["moved"]
    assert run_profile_test(gauge, moved).ok


def test_wrong_scale_shows_what_was_read_and_what_is_expected(gauge):
    change(gauge, "scale = 0.01", "scale = 0.1")
    report = run_profile_test(gauge)
    assert not report.ok
    assert "width = 31.4 mm (GOOD), expected 3.14 (GOOD)" in format_report(report)


def test_missing_sentinel_shows(gauge):
    change(gauge, "invalid = [65535]", "")
    report = run_profile_test(gauge)
    assert not report.ok
    assert "expected none (BAD_SENSOR)" in format_report(report)


@pytest.mark.parametrize(
    ("old", "new", "line", "place", "words"),
    [
        ("scale = 0.01", "scael = 0.01", 22, "group[1].tag[1].scael", "did you mean 'scale'?"),
        ("address = 0", "address = -1", 21, "group[1].tag[1].address", "'address' is wrong"),
        ("max_registers = 8", "max_registers = 800", 9, "device.max_registers", "'max_registers' is wrong"),
        ("poll_s = 60.0", "", 11, "group[1]", "add: poll_s = 1.0"),
        ('title = "裂缝计"', "", 1, "the file", "'title' is missing"),
        ('kind = "modbus"', 'kind = "modbuss"', 5, "kind", "there is no driver 'modbuss'"),
        ("low = 0", "low = 60", 15, "group[1].tag[1]", "range of tag 'width' is empty"),
        ("vendor =", "colour = 1\nvendor =", 2, "colour", "unknown key 'colour'"),
        ("invalid = [65535]", "bit = 3\nmask = 7", 1, "the file", "bit and mask exclude each other"),
        ("[device]", "[device", 1, "the file", "not TOML"),
    ],
)
def test_mistake_is_told_with_its_line_and_place(gauge, old, new, line, place, words):
    change(gauge, old, new)
    report = run_profile_test(gauge)
    assert not report.ok
    assert not report.cases
    (mistake,) = report.mistakes
    assert mistake.startswith(f"{gauge}:{line}: {place}: ")
    assert words in mistake


def test_every_mistake_is_told_at_once(gauge):
    change(gauge, "scale = 0.01", "scael = 0.01")
    change(gauge, "poll_s = 60.0", "poll_s = 0")
    assert len(run_profile_test(gauge).mistakes) == 2


def test_alarm_outside_the_range_is_told_where_it_stands(gauge):
    gauge.write_text(GAUGE + '\n[[group.tag.alarm]]\nlevel = "high"\nlimit = 80.0\n', "utf-8")
    (mistake,) = run_profile_test(gauge).mistakes
    assert f"{gauge}:27: group[1].tag[1].alarm[1].limit: limit 80 is outside the range" in mistake


def test_name_of_an_installed_profile_is_taken(gauge):
    taken = gauge.rename(gauge.with_name("generic_sht20.toml"))
    (mistake,) = run_profile_test(taken).mistakes
    assert "would be used instead" in mistake


def test_case_of_another_profile_is_told(gauge):
    change(gauge.with_name("my_gauge") / "broken_wire" / "case.toml", '"my_gauge"', '"your_gauge"')
    assert "your_gauge" in fault_of(run_profile_test(gauge))


def test_capture_that_answers_other_requests_is_told(gauge):
    change(gauge, "address = 0", "address = 1")
    fault = fault_of(run_profile_test(gauge))
    assert fault.startswith("sent 01 03 00 01")
    assert "where the capture has 01 03 00 00" in fault


def test_capture_that_ends_early_is_told_after_what_was_read(gauge):
    file = gauge.with_name("my_gauge") / "broken_wire" / "line.txt"
    file.write_text("\n".join(LINE.splitlines()[:3]), "utf-8")
    report = run_profile_test(gauge)
    assert not report.ok
    assert [found.value for found in report.cases[0].comparisons] == [3.14]


def test_capture_that_holds_more_is_told(gauge):
    file = gauge.with_name("my_gauge") / "broken_wire" / "line.txt"
    file.write_text(LINE + LINE, "utf-8")
    assert "holds more" in fault_of(run_profile_test(gauge))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('group = "crack"', 'group = "crevice"', "no group 'crevice'"),
        ("width = 3.14", "depth = 3.14", "'depth' is not both"),
        ("about =", "about", "Expected"),
        ('url = "rtu:///dev/ttyS0"', 'url = "gopher://x"', "line"),
    ],
)
def test_mistake_in_a_case_is_told(gauge, old, new, words):
    change(gauge.with_name("my_gauge") / "broken_wire" / "case.toml", old, new)
    assert words.lower() in fault_of(run_profile_test(gauge)).lower()


def test_case_without_its_capture_is_told(gauge):
    (gauge.with_name("my_gauge") / "broken_wire" / "line.txt").unlink()
    assert "line.txt" in fault_of(run_profile_test(gauge))


def test_file_that_is_not_there_and_folder_without_cases_are_errors(gauge, tmp_path):
    with pytest.raises(EdgeError, match="cannot be read"):
        run_profile_test(tmp_path / "nothing.toml")
    with pytest.raises(EdgeError, match="holds no case"):
        run_profile_test(gauge, tmp_path / "empty")


@pytest.mark.parametrize(("value", "expected"), [(True, 1), (1, True), (None, 0), ("1", 1), (1.0, 1.001), (0.0, 1e-6)])
def test_values_that_differ_are_not_the_same(value, expected):
    assert not is_same(value, expected)


def configuration_with(profile: str) -> dict:
    return {
        "bus": [{"name": "line", "kind": "modbus", "url": "rtu:///dev/ttyS0"}],
        "device": [{"name": "wall", "bus": "line", "profile": profile}],
    }


@pytest.mark.parametrize("read", [read_configuration, read_desired])
def test_a_device_may_name_a_profile_of_the_operators_own(gauge, read):
    mistakes = Mistakes()
    configuration = read(configuration_with("my_gauge"), mistakes, Shelf(gauge.parent))
    assert mistakes.found == []
    assert [tag.name for tag in configuration.tags] == ["wall.width"]


@pytest.mark.parametrize("profile", ["../my_gauge", "./my_gauge.toml", "my_gauge.toml", "profiles/my_gauge"])
def test_a_configuration_never_reads_a_profile_by_its_path(gauge, profile):
    mistakes = Mistakes()
    assert read_desired(configuration_with(profile), mistakes, Shelf(gauge.parent)) is None
    assert [mistake.message for mistake in mistakes.found] == [f"there is no profile '{profile}'"]


def test_mistake_in_an_own_profile_tells_how_to_find_it(gauge):
    change(gauge, "vendor =", "colour =")
    mistakes = Mistakes()
    assert read_configuration(configuration_with("my_gauge"), mistakes, Shelf(gauge.parent)) is None
    (mistake,) = mistakes.found
    assert "profile 'my_gauge'" in mistake.message
    assert "fengsui-edge profile test my_gauge.toml" in mistake.hint


def test_example_of_the_manual_holds(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "extend" / "profile.md").read_text("utf-8")
    profile, line, case = re.findall(r"^```(?:toml|text)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    folder = tmp_path / "example_g1" / "broken_sensor"
    folder.mkdir(parents=True)
    (tmp_path / "example_g1.toml").write_text(profile, "utf-8")
    (folder / "line.txt").write_text(line, "utf-8")
    (folder / "case.toml").write_text(case, "utf-8")
    report = run_profile_test(tmp_path / "example_g1.toml")
    assert report.ok, format_report(report)
    assert report.cases
