"""Alarm templates: each number of a standard where the standard has it, what is made of them, and what is refused."""

from __future__ import annotations

import copy
import tomllib
from typing import Any

import pytest

from edge import template as templates
from edge import template_page
from edge.alarm_settings import AlarmRule
from edge.configuration import read_configuration
from edge.expansion import Setting, expand_tag, expand_tags
from edge.gases import mg_to_ppm, ppm_to_mg, round_down
from edge.mistakes import Mistakes
from edge.settings import Configuration
from edge.template import Share, Template
from edge.template_words import tell_condition
from wire.twin import TagInfo

GB = "GB/T 50493-2019 5.5.2"
RULED = {
    "tank-level": {"high": 8.5, "high_high": 9.0, "low": 1.0, "low_low": 0.5},
    "tank-temperature": {"high": 40, "high_high": 45, "low": 0, "low_low": -5},
    "tank-pressure": {"high": 0.6, "high_high": 0.7, "low": 0.1, "low_low": 0.05},
    "rain-warning": {"kind": "amount"},
    "gas-toxic": {"oel": 10},
    "gauge-deviation": {"other": "unit-2.value", "apart": 0.05},
    "tank-leak": {"change": 0.1, "window_s": 600},
    "temperature-rise": {"change": 5, "window_s": 60},
    "flame-detector": {"equals": 1},
    "manual-call-point": {"equals": 0},
    "door-open": {"equals": 1},
    "detector-fault": {"bit": 3},
    "silent-device": {"silent_s": 60},
}
"""Parameters that a template must be given, and those that make all its rules."""


def tag(unit: str, low: float | None = None, high: float | None = None, name: str = "unit-1.value") -> TagInfo:
    return TagInfo(name=name, title="", unit=unit, device="unit-1", group="g", low=low, high=high)


def expand(name: str, info: TagInfo, **given: Any) -> tuple[list[dict[str, Any]], list[str]]:
    """The rules that a template makes, and its mistakes as lines: place, message, hint."""
    mistakes = Mistakes()
    setting = Setting(template=templates.load(name), given=given, place=("template",), mistakes=mistakes)
    rules = expand_tag(setting, info)
    return rules, [f"{'.'.join(map(str, one.place))}: {one.message}: {one.hint}" for one in mistakes.found]


def rules_of(name: str, info: TagInfo, **given: Any) -> dict[str, dict[str, Any]]:
    rules, mistakes = expand(name, info, **given)
    assert not mistakes
    return {rule.get("name") or rule["level"]: rule for rule in rules}


def mistake_of(name: str, info: TagInfo, **given: Any) -> str:
    rules, mistakes = expand(name, info, **given)
    assert not rules
    assert len(mistakes) == 1, mistakes
    return mistakes[0]


def wide(template: Template) -> TagInfo:
    """A tag that a template fits."""
    return tag(template.unit or "m", -1000, 10_000)


# --- every template


@pytest.mark.parametrize("name", templates.names())
def test_every_template_makes_rules_that_are_valid_and_have_their_source(name: str) -> None:
    template = templates.load(name)
    if template.tags > 1:
        setting = Setting(template=template, given={}, place=(), mistakes=Mistakes())
        rules = expand_tags(setting, ("a.x", "b.x", "c.x"), "area-1")
    else:
        rules = [{**rule, "tag": "unit-1.value"} for rule in expand(name, wide(template), **RULED.get(name, {}))[0]]
    assert len(rules) == len(template.rule)
    for rule in rules:
        read = AlarmRule(**{"label" if key == "name" else key: value for key, value in rule.items()})
        assert name in read.source
        assert len(read.source) > len(name) + len(" ()")
        assert read.title


@pytest.mark.parametrize("name", templates.names())
def test_every_template_is_told_in_both_languages(name: str) -> None:
    template = templates.load(name)
    parts = [template, *template.rule, *template.parameter.values()]
    assert all(part.title and part.title_en for part in parts)
    assert all(bool(part.note) == bool(part.note_en) for part in (template, *template.rule))


@pytest.mark.parametrize("name", templates.names())
def test_every_share_is_of_something_that_the_template_has(name: str) -> None:
    template = templates.load(name)
    shares = {
        part.of
        for rule in template.rule
        for part in (getattr(rule, key) for key in rule.__struct_fields__)
        if isinstance(part, Share)
    }
    assert shares <= {*template.parameter, templates.RANGE}


@pytest.mark.parametrize("name", [name for name in templates.names() if name.startswith("tank-")])
def test_design_values_of_a_tank_are_never_constants(name: str) -> None:
    template = templates.load(name)
    assert all(isinstance(rule.limit, Share) and rule.limit.of in template.parameter for rule in template.rule)
    assert all(parameter.value is None for parameter in template.parameter.values())


# --- the numbers, from the standards and not from the files: template, unit, rule, number, what its source begins with

NUMBERS = [
    *[(f"gas-{gas}", "%LEL", "high", 25, GB) for gas in ("combustible", "methane", "hydrogen", "propane", "methanol")],
    *[(f"gas-{gas}", "%LEL", "high-high", 50, GB) for gas in ("combustible", "methane", "hydrogen", "propane")],
    ("gas-h2s", "mg/m3", "high", 10, GB),
    ("gas-h2s", "mg/m³", "high-high", 20, GB),
    ("gas-co", "mg/m3", "high", 20, GB),
    ("gas-co", "mg/m3", "high-high", 40, GB),
    ("gas-cl2", "mg/m3", "high", 1, GB),
    ("gas-cl2", "mg/m3", "high-high", 2, GB),
    ("gas-nh3", "mg/m3", "high", 20, GB),
    ("gas-nh3", "mg/m3", "high-high", 40, GB),
    ("gas-hcn", "mg/m3", "high", 1, GB),
    ("gas-hcn", "mg/m3", "high-high", 2, GB),
    ("gas-cocl2", "mg/m3", "high", 0.5, GB),
    ("gas-cocl2", "mg/m3", "high-high", 1, GB),
    ("gas-benzene", "mg/m3", "high", 6, GB),
    ("gas-benzene", "mg/m3", "high-high", 12, GB),
    ("oxygen", "%VOL", "high", 23.5, GB),
    ("oxygen", "%vol", "low", 19.5, GB),
    ("gas-methane-chamber", "%LEL", "high", 20, "燃气管网"),
    ("rain-warning", "mm", "blue", 50, "暴雨预警信号标准"),
    ("rain-warning", "mm", "yellow", 50, "暴雨预警信号标准"),
    ("rain-warning", "mm", "orange", 50, "暴雨预警信号标准"),
    ("rain-warning", "mm", "red", 100, "暴雨预警信号标准"),
    ("wind-mean", "m/s", "blue", 10.8, "大风预警信号标准: 6 级"),
    ("wind-mean", "m/s", "yellow", 17.2, "大风预警信号标准: 8 级"),
    ("wind-mean", "m/s", "orange", 24.5, "大风预警信号标准: 10 级"),
    ("wind-mean", "m/s", "red", 32.7, "大风预警信号标准: 12 级"),
    ("wind-gust", "m/s", "blue", 13.9, "大风预警信号标准: 7 级"),
    ("wind-gust", "m/s", "yellow", 20.8, "大风预警信号标准: 9 级"),
    ("wind-gust", "m/s", "orange", 28.5, "大风预警信号标准: 11 级"),
    ("wind-gust", "m/s", "red", 37.0, "大风预警信号标准: 13 级"),
    ("heat", "℃", "yellow", 35, "高温预警信号标准"),
    ("heat", "°C", "orange", 37, "高温预警信号标准"),
    ("heat", "degC", "red", 40, "高温预警信号标准"),
    ("waterlogging", "cm", "slight", 3, "城市内涝"),
    ("waterlogging", "m", "medium", 0.1, "城市内涝"),
    ("waterlogging", "mm", "deep", 250, "城市内涝"),
    ("waterlogging-underpass", "cm", "caution", 15, "城市内涝"),
    ("waterlogging-underpass", "m", "close", 0.27, "城市内涝"),
    ("fireworks-temperature", "°C", "high", 35, "烟花爆竹"),
    ("fireworks-humidity", "%RH", "high", 85, "烟花爆竹"),
]


@pytest.mark.parametrize(("name", "unit", "rule", "number", "source"), NUMBERS)
def test_number_is_that_of_the_standard(name: str, unit: str, rule: str, number: float, source: str) -> None:
    made = rules_of(name, tag(unit), **RULED.get(name, {}))[rule]
    assert made["limit"] == number
    assert made["source"].startswith(source)


HOURS = {"blue": 12, "yellow": 6, "orange": 3, "red": 3}


def test_rain_is_summed_over_the_hours_of_its_warning() -> None:
    made = rules_of("rain-warning", tag("mm", 0, 40), kind="counter", wrap=1000)
    assert {name: rule["window_s"] for name, rule in made.items()} == {name: h * 3600 for name, h in HOURS.items()}
    assert all(
        rule["level"] == "total" and rule["kind"] == "counter" and rule["wrap"] == 1000 for rule in made.values()
    )
    assert "wrap" not in rules_of("rain-warning", tag("mm"), kind="amount")["red"]


@pytest.mark.parametrize(
    ("name", "unit", "share", "delay_s"),
    [("tank-level", "m", 5, 60), ("tank-pressure", "MPa", 2, 15), ("tank-temperature", "°C", 1, 60)],
)
def test_tank_starts_with_the_deadband_and_delays_of_its_quantity(
    name: str, unit: str, share: int, delay_s: int
) -> None:
    made = rules_of(name, tag(unit, -100, 100), **RULED[name])
    assert {rule["deadband"] for rule in made.values()} == {200 * share / 100}
    assert {(rule["on_delay_s"], rule["off_delay_s"]) for rule in made.values()} == {(delay_s, delay_s)}
    assert {key: rule["limit"] for key, rule in made.items()} == {
        key.replace("_", "-"): value for key, value in RULED[name].items()
    }
    assert all("(m)" in rule.note for rule in templates.load(name).rule)


@pytest.mark.parametrize("name", [name for name in templates.names() if name.startswith("gas-") or name == "oxygen"])
def test_gas_alarms_have_no_on_delay(name: str) -> None:
    info = wide(templates.load(name))
    assert all("on_delay_s" not in rule for rule in rules_of(name, info, **RULED.get(name, {})).values())
    assert "leaves 'on_delay_s' to nobody" in mistake_of(name, info, on_delay_s=5, **RULED.get(name, {}))


def test_priority_rises_with_the_warning() -> None:
    made = rules_of("wind-gust", tag("m/s"))
    assert [made[name]["priority"] for name in ("blue", "yellow", "orange", "red")] == [4, 3, 2, 1]


# --- kinds whose numbers no standard has


OF_KINDS = [
    ("gauge-deviation", {"level": "deviation", "setpoint": "unit-2.value", "limit": 0.05, "deadband": 0.005}),
    ("tank-leak", {"level": "rate", "direction": "falling", "limit": 0.1, "window_s": 600}),
    ("flame-detector", {"level": "discrete", "equals": 1}),
    ("manual-call-point", {"level": "discrete", "equals": 0}),
    ("detector-fault", {"level": "bit", "name": "fault", "bit": 3}),
    ("bad-quality", {"level": "bad", "on_delay_s": 60}),
    ("silent-device", {"level": "silent", "silent_s": 60}),
]


@pytest.mark.parametrize(("name", "wanted"), OF_KINDS)
def test_every_kind_of_rule_can_come_from_a_template(name: str, wanted: dict[str, Any]) -> None:
    (rule,), mistakes = expand(name, tag("m", 0, 10), **RULED.get(name, {}))
    assert not mistakes
    assert {key: rule[key] for key in wanted} == wanted


@pytest.mark.parametrize("name", [name for name, _ in OF_KINDS if name in RULED])
def test_number_that_no_standard_has_must_be_given(name: str) -> None:
    for key in RULED[name]:
        given = {each: value for each, value in RULED[name].items() if each != key}
        assert f"'{key}' is missing" in mistake_of(name, tag("m", 0, 10), **given)


def test_change_of_a_value_may_be_small_where_the_range_begins_far_from_zero() -> None:
    assert rules_of("tank-leak", tag("m", 2, 10), change=0.1, window_s=600)["rate"]["limit"] == 0.1


# --- ppm: by hand with Vm = 24.055 l/mol at 20 °C and 101.325 kPa


@pytest.mark.parametrize(
    ("mg", "molar_mass", "ppm"),
    [(10, 34.08, 7.0584), (20, 28.01, 17.176), (1, 70.90, 0.33928), (20, 17.03, 28.250), (6, 78.11, 1.8478)],
)
def test_mass_becomes_parts_of_the_volume_and_back(mg: float, molar_mass: float, ppm: float) -> None:
    assert mg_to_ppm(mg, molar_mass) == pytest.approx(ppm, rel=1e-4)
    assert ppm_to_mg(ppm, molar_mass) == pytest.approx(mg, rel=1e-4)


@pytest.mark.parametrize(
    ("number", "cut"), [(7.0584, 7.05), (0.33928, 0.339), (28.25, 28.2), (1.8478, 1.84), (12345.0, 12300.0), (0, 0)]
)
def test_limit_that_was_converted_is_cut_and_never_rounded_up(number: float, cut: float) -> None:
    assert round_down(number) == cut


@pytest.mark.parametrize(
    ("gas", "first", "second"),
    [("h2s", 7.05, 14.1), ("co", 17.1, 34.3), ("cl2", 0.339, 0.678), ("nh3", 28.2, 56.5), ("benzene", 1.84, 3.69)],
)
def test_toxic_gas_in_ppm_has_its_limits_converted(gas: str, first: float, second: float) -> None:
    made = rules_of(f"gas-{gas}", tag("ppm", 0, 100))
    assert (made["high"]["limit"], made["high-high"]["limit"]) == (first, second)
    assert f"(gas-{gas}: oel" in made["high"]["source"]


def test_gas_of_no_file_is_told_by_its_limit_and_molar_mass() -> None:
    made = rules_of("gas-toxic", tag("ppm", 0, 100), oel=5, molar_mass=64.06)
    assert made["high"]["limit"] == 1.87
    assert made["high-high"]["source"] == f"{GB} (gas-toxic: oel 5 mg/m3 x 2)"


# --- the range of the instrument


def test_range_that_is_too_small_is_told_with_the_way_out() -> None:
    _, mistakes = expand("gas-h2s", tag("mg/m3", 0, 15))
    (said,) = mistakes
    assert "the range 0 to 15 of 'unit-1.value' does not suit high-high at 20 mg/m3" in said
    assert "add: idlh = a number in mg/m3" in said


def test_range_that_does_not_suit_has_the_limits_by_idlh() -> None:
    made = rules_of("gas-h2s", tag("mg/m3", 12, 100), idlh=400)
    assert (made["high"]["limit"], made["high-high"]["limit"]) == (20, 40)
    assert made["high"]["source"] == f"{GB} (gas-h2s: idlh 400 mg/m3 x 0.05)"


def test_limits_by_idlh_are_refused_where_the_range_suits_the_usual_ones() -> None:
    _, mistakes = expand("gas-h2s", tag("mg/m3", 0, 100), idlh=400)
    assert all("suits the usual limits" in said and said.endswith("remove: idlh") for said in mistakes)
    assert mistakes


def test_range_that_suits_neither_limit_asks_for_another_detector() -> None:
    _, mistakes = expand("gas-h2s", tag("mg/m3", 0, 15), idlh=400)
    assert all(said.endswith("take a detector of another range") for said in mistakes)
    assert len(mistakes) == 2


def test_limits_by_idlh_need_to_know_the_range() -> None:
    assert "needs the range of 'unit-1.value'" in mistake_of("gas-h2s", tag("mg/m3"), idlh=400)


# --- what is refused


WRONG = [
    ("gas-h2s", tag("%LEL"), {}, "has the unit '%LEL', template 'gas-h2s' is for mg/m3 or ppm"),
    ("gas-h2s", tag(""), {}, "has no unit"),
    ("gas-toxic", tag("ppm"), {"oel": 5}, "add: molar_mass"),
    ("gas-toxic", tag("mg/m3"), {}, "'oel' is missing"),
    ("gas-h2s", tag("mg/m3"), {"oel": 11}, f"template.oel: oel = 11 is more than 10 mg/m3 ({GB})"),
    ("gas-h2s", tag("mg/m3"), {"oel": 0}, "is less than 0.001"),
    ("gas-h2s", tag("mg/m3"), {"oel": "10"}, "'oel' is no number"),
    ("gas-h2s", tag("mg/m3"), {"oel": True}, "'oel' is no number"),
    ("gas-h2s", tag("mg/m3"), {"oel": float("nan")}, "'oel' is no number"),
    ("gas-h2s", tag("mg/m3"), {"oell": 10}, "has no parameter 'oell': did you mean 'oel'?"),
    ("gas-h2s", tag("mg/m3"), {"molar_mass": 1}, "leaves 'molar_mass' to nobody"),
    ("gas-combustible", tag("%LEL"), {"level_1": 30}, f"level_1 = 30 is more than 25 %LEL ({GB})"),
    ("tank-level", tag("m", 0, 10), {"high": 8}, "'high_high' is missing"),
    ("tank-level", tag("m"), {"high": 8, "high_high": 9}, "needs the range of 'unit-1.value'"),
    ("tank-level", tag("m", 0, 8.5), {"high": 8, "high_high": 9}, "does not suit high-high at 9 m"),
    ("rain-warning", tag("mm"), {}, "'kind' is missing: template 'rain-warning' needs the meaning of the tag"),
    ("rain-warning", tag("mm"), {"kind": "sum"}, "'kind' is wrong: 'sum': write: kind = \"amount\" or \"counter\""),
    ("gauge-deviation", tag("m"), {"other": 3, "apart": 1}, "'other' is no tag's name: 3"),
    ("detector-fault", tag(""), {"bit": 64}, "bit = 64 is more than 63"),
    ("bad-quality", tag(""), {"deadband": 1}, "leaves 'deadband' to nobody"),
    ("heat", tag("°C"), {"orange": 41}, "orange = 41 is more than 40 °C"),
    ("oxygen", tag("%VOL"), {"outputs": {"hihg": ["siren"]}}, "makes no rule 'hihg': did you mean 'high'?"),
]


@pytest.mark.parametrize(("name", "info", "given", "said"), WRONG)
def test_what_does_not_fit_is_refused(name: str, info: TagInfo, given: dict[str, Any], said: str) -> None:
    assert said in mistake_of(name, info, **given)


def test_limits_may_be_stricter_than_the_standard_and_the_source_says_so() -> None:
    made = rules_of("gas-combustible", tag("%LEL", 0, 100), level_1=10, level_2=20)
    assert (made["high"]["limit"], made["high-high"]["limit"]) == (10, 20)
    assert made["high"]["source"] == f"{GB} (gas-combustible: level_1 10 %LEL)"


# --- the page and the words of the tool


@pytest.mark.parametrize("name", templates.names())
def test_page_has_each_template_with_its_limits_and_sources(name: str) -> None:
    template = templates.load(name)
    chapter = template_page.page().partition(f"### `{name}`\n")[2].partition("\n### ")[0]
    assert template.title in chapter
    assert template.title_en in chapter
    assert all(f"| `{rule.key}` | {rule.title} {rule.title_en} |" in chapter for rule in template.rule)
    assert all(rule.source in chapter for rule in template.rule)
    assert all(f"| `{key}` | {each.title} " in chapter for key, each in template.parameter.items())


@pytest.mark.parametrize(
    ("name", "condition"),
    [
        ("gas-combustible", ">= 25 %LEL (level_1)"),
        ("gas-h2s", ">= 10 mg/m3 (oel), small range: idlh x 0.05"),
        ("tank-leak", "rate: limit change, direction falling, window_s"),
        ("silent-device", "silent: silent_s"),
        ("bad-quality", "bad"),
    ],
)
def test_condition_is_told_with_its_number(name: str, condition: str) -> None:
    template = templates.load(name)
    assert tell_condition(template.rule[0], template) == condition


# --- in a configuration

DOCUMENT = tomllib.loads("""
[[bus]]
name = "line"
kind = "modbus"
url = "tcp://127.0.0.1:1502"
[[device]]
name = "gd"
bus = "line"
[[device.group]]
name = "fast"
poll_s = 1
tag = [
    { name = "a", unit = "%LEL", low = 0, high = 100, address = 0 },
    { name = "b", unit = "%LEL", low = 0, high = 100, address = 1 },
    { name = "c", unit = "%LEL", low = 0, high = 100, address = 2 },
    { name = "siren", function = 1, address = 0 },
]
[[device]]
name = "known"
bus = "line"
profile = "pemtech_pt495"
unit = 2
[[output]]
name = "siren"
tag = "gd.siren"
""")


def read(change: str = "", **of_a: Any) -> tuple[Configuration | None, list[str]]:
    document = copy.deepcopy(DOCUMENT) | tomllib.loads(change)
    document["device"][0]["group"][0]["tag"][0] |= of_a
    mistakes = Mistakes()
    configuration = read_configuration(document, mistakes)
    return configuration, [f"{'.'.join(map(str, one.place))}: {one.message}: {one.hint}" for one in mistakes.found]


def alarms(change: str = "", **of_a: Any) -> dict[str, AlarmRule]:
    configuration, mistakes = read(change, **of_a)
    assert configuration is not None, mistakes
    return {rule.name: rule for rule in configuration.alarms if rule.tag.startswith("gd.") or rule.level == "combined"}


def test_template_of_a_tag_makes_its_alarms() -> None:
    made = alarms(template="gas-methane")
    assert {name: rule.limit for name, rule in made.items()} == {"gd.a:high": 25, "gd.a:high-high": 50}
    assert made["gd.a:high"].source == f"{GB} (gas-methane: level_1 25 %LEL)"
    assert made["gd.a:high"].title == "甲烷 一级报警"


def test_template_of_a_tag_has_parameters_deadband_and_outputs() -> None:
    given = {"name": "gas-methane", "level_1": 20, "deadband": 1, "off_delay_s": 9, "outputs": {"high-high": ["siren"]}}
    made = alarms(template=given)
    assert made["gd.a:high"].limit == 20
    assert {(rule.deadband, rule.off_delay_s) for rule in made.values()} == {(1, 9)}
    assert (made["gd.a:high"].outputs, made["gd.a:high-high"].outputs) == ((), ("siren",))


def test_outputs_of_a_template_may_be_those_of_all_its_rules() -> None:
    made = alarms(template={"name": "gas-methane", "outputs": ["siren"]})
    assert {rule.outputs for rule in made.values()} == {("siren",)}


def test_alarm_of_the_tag_goes_before_that_of_its_template() -> None:
    made = alarms(template="gas-methane", alarm=[{"level": "high", "limit": 15}])
    assert made["gd.a:high"].limit == 15
    assert made["gd.a:high"].source == "", "the standard has nothing to do with it any more"
    assert made["gd.a:high-high"].limit == 50


def test_alarm_apart_goes_before_that_of_a_template() -> None:
    made = alarms('[[alarm]]\ntag = "gd.a"\nlevel = "high"\nlimit = 15', template="gas-methane")
    assert (made["gd.a:high"].limit, made["gd.a:high-high"].limit) == (15, 50)


def test_template_apart_makes_the_alarms_of_each_of_its_tags() -> None:
    made = alarms('[[template]]\nname = "gas-methane"\nof = ["gd.a", "gd.b"]\nlevel_1 = 20')
    assert {name: rule.limit for name, rule in made.items()} == {
        "gd.a:high": 20, "gd.a:high-high": 50, "gd.b:high": 20, "gd.b:high-high": 50,
    }  # fmt: skip


def test_template_stands_in_the_place_of_a_profiles_alarms() -> None:
    document = copy.deepcopy(DOCUMENT)
    tag_of_profile = {"name": "gas", "template": {"name": "gas-methane-chamber"}}
    document["device"][1]["group"] = [{"name": "fast", "tag": [tag_of_profile]}]
    mistakes = Mistakes()
    configuration = read_configuration(document, mistakes)
    assert configuration is not None, mistakes.found
    assert [(rule.name, rule.limit) for rule in configuration.alarms if rule.tag] == [("known.gas:high", 20)]


VOTING = """
[[template]]
name = "gas-methane"
of = ["gd.a", "gd.b", "gd.c"]
[[template]]
name = "voting-2oo3"
of = ["gd.a", "gd.b", "gd.c"]
called = "area-1"
outputs = ["siren"]
"""


def test_two_of_three_detectors_make_an_alarm_of_their_own() -> None:
    rule = alarms(VOTING)["area-1:combined"]
    assert (rule.level, rule.tag, rule.need) == ("combined", "", 2)
    assert rule.of == ("gd.a:high-high", "gd.b:high-high", "gd.c:high-high")
    assert rule.outputs == ("siren",)
    assert rule.source == "设计值 design value (voting-2oo3)"


def test_voting_may_count_another_alarm() -> None:
    rule = alarms(VOTING.replace('called = "area-1"', 'called = "area-1"\nmember = "high"'))["area-1:combined"]
    assert rule.of == ("gd.a:high", "gd.b:high", "gd.c:high")


WRONG_IN_PLACE = [
    ("", {"template": "gas-metane"}, "device.0.group.0.tag.0.template: there is no template 'gas-metane'"),
    ("", {"template": "gas-metane"}, "did you mean 'gas-methane'?"),
    ("", {"template": {"level_1": 20}}, "'name' is missing: it names the template"),
    ("", {"template": 5}, "device.0.group.0.tag.0.template: 'template' is wrong"),
    ("", {"template": "voting-2oo3"}, "takes 3 tags, not one: write a [[template]] of its own"),
    ("", {"template": {"name": "gas-methane", "outputs": ["horn"]}}, "there is no output 'horn'"),
    ("", {"template": {"name": "gas-methane", "deadband": "wide"}}, "'deadband' is wrong"),
    ('[[template]]\nof = ["gd.a"]', {}, "template.0: 'name' is missing"),
    ('[[template]]\nname = "gas-methane"', {}, "template.0: 'of' is missing"),
    ('[[template]]\nname = "gas-methane"\nof = ["gd.z"]', {}, "template.0.of: there is no tag 'gd.z'"),
    (
        '[[template]]\nname = "gas-methane"\nof = ["gd.a"]\nlevel_3 = 1',
        {},
        "template.0.level_3: template 'gas-methane'",
    ),
    ('[[template]]\nname = "gas-methane"\nof = ["gd.a"]\ncalled = "x"', {}, "template.0.called: "),
    ('[[template]]\nname = "gas-methane"\nof = ["gd.a", "gd.a"]', {}, "a second alarm is called 'gd.a:high'"),
    (VOTING.replace('called = "area-1"\n', ""), {}, "template.1: 'called' is missing"),
    (VOTING.replace('"gd.c"]\ncalled', '"gd.a"]\ncalled'), {}, "takes 3 different tags, here are 2"),
    (VOTING.replace('of = ["gd.a", "gd.b", "gd.c"]\n[[', 'of = ["gd.a", "gd.b"]\n[['), {}, "no alarm 'gd.c:high-high'"),
]


@pytest.mark.parametrize(("change", "of_a", "said"), WRONG_IN_PLACE)
def test_mistake_is_told_at_its_place(change: str, of_a: dict[str, Any], said: str) -> None:
    configuration, mistakes = read(change, **of_a)
    assert configuration is None
    assert any(said in mistake for mistake in mistakes), mistakes
