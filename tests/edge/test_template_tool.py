"""``fengsui-edge template``: what it shows and what it adds to a file."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from edge import cli
from edge import template as templates
from edge.template_words import tell_bounds, tell_condition, tell_number, tell_value

CASE = Path(__file__).parents[1] / "cases" / "edge" / "valid.toml"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.toml"
    path.write_bytes(CASE.read_bytes())
    return path


def apply(config: Path, *words: str) -> int:
    return cli.main(["template", "apply", *words, "--config", str(config)])


def test_list_keeps_to_a_sector(capsys) -> None:
    assert cli.main(["template", "list", "--sector", "fireworks", "--json"]) == 0
    names = [each["name"] for each in json.loads(capsys.readouterr().out)]
    assert names == ["fireworks-humidity", "fireworks-temperature"]
    assert cli.main(["template", "list", "--sector", "none"]) == 1


@pytest.mark.parametrize(("lang", "word"), [("zh", "硫化氢"), ("en", "Hydrogen sulphide")])
def test_show_tells_numbers_and_source_in_the_language(lang: str, word: str, capsys) -> None:
    assert cli.main(["template", "show", "gas-h2s", "--lang", lang]) == 0
    out = capsys.readouterr().out
    assert word in out
    assert ">= 20 mg/m3 (oel x 2)" in out
    assert "GB/T 50493-2019 5.5.2" in out


def test_apply_adds_the_template_and_keeps_what_was_there(config: Path, capsys) -> None:
    before = config.read_bytes()
    assert apply(config, "wind-mean", "--tag", "wind.speed", "--param", "deadband=2", "--yes") == 0
    assert config.read_bytes().startswith(before)
    assert "wind.speed:red" in capsys.readouterr().out
    assert {rule.deadband for rule in cli.load(config)[1].alarms if rule.tag == "wind.speed"} == {2}
    assert list(config.parent.iterdir()) == [config]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("bad-quality",), "wind.speed:bad "),
        (("silent-device", "--param", "silent_s=60"), "silent: silent_s 60 s"),
        (("temperature-rise", "--tag", "wind.speed", "--param", "change=5", "--param", "window_s=60"), "is for °C"),
        (("gauge-deviation", "--param", "other=wind.none", "--param", "apart=1"), "wind.none"),
    ],
)
def test_apply_tells_rules_that_have_no_limit_and_what_is_wrong(words, said: str, config: Path, capsys) -> None:
    apply(config, *words, "--tag", "wind.speed", "--yes")
    told = capsys.readouterr()
    assert said in told.out + told.err


def test_apply_that_does_not_fit_changes_nothing(config: Path, capsys) -> None:
    before = config.read_bytes()
    assert apply(config, "gas-h2s", "--tag", "wind.speed", "--yes") == 2
    assert "is for mg/m3 or ppm" in capsys.readouterr().err
    assert config.read_bytes() == before


def test_apply_asks_and_no_changes_nothing(config: Path, monkeypatch) -> None:
    before = config.read_bytes()
    assert apply(config, "wind-mean", "--tag", "wind.speed") == 2, "nobody can be asked"
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda _question: "n")
    assert apply(config, "wind-mean", "--tag", "wind.speed") == 1
    assert config.read_bytes() == before


def test_mistake_names_the_file_that_is_to_be_changed(config: Path, capsys) -> None:
    assert apply(config, "wind-mean", "--tag", "wind.speeed", "--yes") == 2
    said = capsys.readouterr().err
    assert f"{config}:" in said
    assert ".new" not in said
    assert list(config.parent.iterdir()) == [config]


@pytest.mark.parametrize("name", templates.names())
def test_chinese_has_no_english_words_but_names(name: str) -> None:
    template = templates.load(name)
    told = [tell_condition(rule, template, "zh") for rule in template.rule]
    told += [tell_number(rule.deadband, template, language="zh") for rule in template.rule]
    for each in template.parameter.values():
        told += [tell_value(each, "zh"), tell_bounds(each, "zh")]
    units = {template.unit, *(each.unit for each in template.parameter.values())}
    choices = {choice for each in template.parameter.values() for choice in each.choices}
    names = {"x", "s", *template.parameter, *choices, *re.findall(r"[A-Za-z_]+", " ".join(units))}
    assert set(re.findall(r"[a-z_]{2,}", " ".join(told))) <= names | {
        part for each in names for part in re.findall(r"[a-z_]+", each)
    }


def test_list_says_the_sector_in_words_and_as_it_is_asked_for(capsys) -> None:
    assert cli.main(["template", "list", "--sector", "weather", "--lang", "zh"]) == 0
    assert "气象 weather" in capsys.readouterr().out


@pytest.mark.parametrize("pair", ["deadband", "=2", '[local]\nlisten="0.0.0.0:80"', "回差=2"])
def test_parameter_that_is_no_key_and_value_adds_nothing(pair: str, config: Path, capsys) -> None:
    before = config.read_bytes()
    assert apply(config, "wind-mean", "--tag", "wind.speed", "--param", pair, "--yes") == 2
    assert "is no KEY=VALUE" in capsys.readouterr().err
    assert config.read_bytes() == before


def test_template_applied_twice_is_refused_and_adds_nothing(config: Path, capsys) -> None:
    words = ("wind-mean", "--tag", "wind.speed", "--yes")
    assert apply(config, *words) == 0
    once = config.read_bytes()
    assert apply(config, *words) == 2
    assert "a second alarm is called 'wind.speed:blue'" in capsys.readouterr().err
    assert config.read_bytes() == once
