"""Each mistake in a configuration is explained with its line, its place and what to write instead; nothing else is."""

from __future__ import annotations

import copy
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import profile as profiles
from edge import cli
from edge.alarms import Alarms
from edge.configuration import read_boot, read_configuration, read_desired
from edge.errors import ConfigurationError, EdgeError
from edge.line import Line
from edge.mistakes import Mistakes
from edge.pipeline import Pipeline
from edge.settings import BootSettings, Check, Configuration, Report

CASES = Path(__file__).parents[1] / "cases" / "edge"
VALID = tomllib.loads((CASES / "valid.toml").read_text("utf-8"))


@pytest.mark.parametrize("case", sorted(CASES.glob("*.toml")), ids=lambda case: case.stem)
def test_check_explains(case, capsys, monkeypatch) -> None:
    monkeypatch.chdir(CASES)
    status = cli.main(["check", case.name])
    said = capsys.readouterr()
    assert f"{said.out}{said.err}exit {status}\n" == case.with_suffix(".txt").read_text("utf-8")


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "gateway.toml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_file_that_is_not_utf8_is_named_with_the_line(tmp_path) -> None:
    path = write(tmp_path, '[gateway]\nid = "gw-test-0001"\ntitle = "罐区"\n'.encode("gb18030"))
    with pytest.raises(ConfigurationError, match=r"gateway.toml:3: not UTF-8\n    save the file as UTF-8"):
        cli.load(path)


def test_file_with_a_byte_order_mark_is_read(tmp_path) -> None:
    path = write(tmp_path, b"\xef\xbb\xbf" + (CASES / "valid.toml").read_bytes())
    assert cli.load(path)[0].gateway.id == "gw-test-0001"


def test_windows_line_ends_are_read_and_counted(tmp_path) -> None:
    text = (CASES / "unknown-bus.toml").read_text().replace("\n", "\r\n")
    with pytest.raises(ConfigurationError, match=r"gateway.toml:14: device\[1\].bus: there is no bus 'plk'"):
        cli.load(write(tmp_path, text))


def test_line_separators_inside_a_string_do_not_shift_the_lines(tmp_path) -> None:
    text = (CASES / "unknown-bus.toml").read_text().replace("[gateway]", '[gateway]\ntitle = "a\u2028b\u0085c"', 1)
    with pytest.raises(ConfigurationError, match=r"gateway.toml:15: device"):
        cli.load(write(tmp_path, text))


@pytest.mark.parametrize(
    "text", ["x = " + "[" * 5000 + "]" * 5000, "x = " + "{a=" * 5000 + "1" + "}" * 5000, "x = " + "9" * 5000]
)
def test_absurd_toml_is_refused_without_a_traceback(text, tmp_path) -> None:
    with pytest.raises(ConfigurationError):
        cli.load(write(tmp_path, text))


@pytest.mark.parametrize("kind", ["missing", "folder"])
def test_file_that_cannot_be_read_is_named(kind, tmp_path) -> None:
    path = tmp_path / "gateway.toml"
    if kind == "folder":
        path.mkdir()
    with pytest.raises(EdgeError, match=r"gateway.toml cannot be read: "):
        cli.load(path)


def read(document: Any) -> tuple[BootSettings | None, Configuration | None, Mistakes]:
    mistakes = Mistakes()
    boot = read_boot(document, mistakes)
    return boot, read_configuration(document, mistakes), mistakes


def test_valid_configuration_is_tied_together() -> None:
    boot, configuration, mistakes = read(VALID)
    assert mistakes.found == []
    assert boot is not None
    assert configuration is not None
    assert (boot.uplink.host, boot.uplink.port, boot.uplink.is_tls) == ("broker.test", 8883, True)
    assert boot.health.address == ("127.0.0.1", 9101)
    polled = {g.group.name: (g.group.tags, g.poll_s) for bus in configuration.buses for g in bus.groups}
    assert polled == {
        "tank.fast": (("tank.level", "tank.siren"), 0.5),
        "tank.slow": (("tank.temperature",), 10.0),
        "gd-01.fast": (("gd-01.gas", "gd-01.status"), 0.4),
        "wind.mwv": (("wind.speed",), None),
    }
    limits = {tag.name: tag.limits for tag in configuration.reported_tags()}
    assert limits["tank.level"] == {"high-high": 90.0, "low": 5.0, "high": 80.0}
    assert limits["gd-01.gas"] == {"high": 25.0, "high-high": 50.0}
    assert {rule.name for rule in configuration.alarms} >= {"tank.level:high-high", "gd-01.gas:high"}
    document = msgspec.msgpack.decode(configuration.document)
    assert document == {name: VALID[name] for name in ("bus", "device", "alarm", "output")}


def test_reading_leaves_the_document_as_it_was() -> None:
    document = copy.deepcopy(VALID)
    read(document)
    assert document == VALID


def test_alarm_apart_replaces_that_of_the_profile() -> None:
    document = copy.deepcopy(VALID)
    document["alarm"].append({"tag": "gd-01.gas", "level": "high", "limit": 20.0, "outputs": ["siren"]})
    _, configuration, _ = read(document)
    assert configuration is not None
    (rule,) = (rule for rule in configuration.alarms if rule.name == "gd-01.gas:high")
    assert (rule.limit, rule.outputs) == (20.0, ("siren",))


def test_rules_of_a_tag_are_read_however_they_are_written() -> None:
    _, configuration, _ = read(VALID)
    assert configuration is not None
    assert configuration.checks == {
        "tank.level": Check(low=-5, high=120, step=20, step_s=2, at_most="level-1min"),
        "tank.temperature": Check(stuck=0.1, stuck_from=-5, stuck_to=50),
        "tank.level-1min": Check(step=10),
        "gd-01.gas": Check(low=-10, high=120, step=60),
    }
    assert configuration.reports == {
        "tank.level": Report(deadband_pct=0.5, heartbeat_s=60, min_s=1),
        "tank.level-1min": Report(deadband=1),
    }
    assert configuration.columns["tank.derived-fast"] == ("tank.level-1min",)


PROFILE = """
vendor = "Example"
model = "M1"
title = "气象仪"
kind = "modbus"
source = "its manual"

[[group]]
name = "air"
poll_s = 1

[[group.tag]]
name = "temperature"
address = 0
check = { low = -80, high = 60, step = 3 }
report = { deadband = 0.1 }

[[derived]]
name = "mean"
unit = "°C"
formula = "mean"
of = ["temperature"]
window_s = 600
"""


def test_site_that_changes_one_rule_of_a_profile_keeps_the_others(monkeypatch) -> None:
    example = profiles.parse(PROFILE, "example_m1")
    monkeypatch.setattr(profiles, "load", lambda *_: example)
    document = {
        "bus": [{"name": "line", "kind": "modbus", "url": "tcp://127.0.0.1:1502"}],
        "device": [
            {
                "name": "mast",
                "bus": "line",
                "profile": "example_m1",
                "group": [{"name": "air", "tag": [{"name": "temperature", "check": {"step": 5, "high": 70}}]}],
                "derived": [
                    {"name": "mean", "window_s": 120, "report": {"deadband": 1}},
                    {"name": "mean-1h", "formula": "mean", "of": ["temperature"], "window_s": 3600},
                ],
            }
        ],
    }
    mistakes = Mistakes()
    configuration = read_configuration(document, mistakes)
    assert configuration is not None, mistakes.found
    assert configuration.checks == {"mast.temperature": Check(low=-80, high=70, step=5)}
    assert configuration.reports == {"mast.temperature": Report(deadband=0.1), "mast.mean": Report(deadband=1)}
    (group,) = configuration.derived
    assert [(tag.name, tag.window_s) for tag in group.tags] == [("mast.mean", 120), ("mast.mean-1h", 3600)]


def test_fleet_cannot_set_boot_settings_or_unknown_tables() -> None:
    for name in ("uplink", "devices"):
        mistakes = Mistakes()
        assert read_desired({"bus": [], name: {}}, mistakes) is None
        assert [m.place for m in mistakes.found] == [(name,)]


def test_empty_configuration_from_the_fleet_is_one_that_acquires_nothing() -> None:
    mistakes = Mistakes()
    configuration = read_desired({}, mistakes)
    assert configuration is not None
    assert configuration.buses == ()


@pytest.mark.parametrize("kind", ["__init__", "base", "transport", "modbus.driver", "../x", "", "os", "模"])
def test_name_that_is_no_driver_is_a_mistake(kind) -> None:
    document = copy.deepcopy(VALID)
    document["bus"][0]["kind"] = kind
    *_, mistakes = read(document)
    assert [m.place for m in mistakes.found] == [("bus", 0, "kind")]


keys = st.sampled_from(
    ["name", "kind", "bus", "device", "group", "tag", "alarm", "output", "gateway", "uplink", "id", "url", "profile"]
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["plc", "modbus", "nmea", "tank", "tank.level", "siren", "pemtech_pt495", "high", "fast", b"plc"])
)
documents = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(keys | st.text(max_size=3), inner, max_size=5)
        | st.dictionaries(st.integers() | st.binary(max_size=2) | st.booleans(), inner, max_size=1)
    ),
    max_leaves=15,
)


def explain_or_run(document: Any) -> None:
    boot, configuration, mistakes = read(document)
    assert (boot is None or configuration is None) == bool(mistakes)
    assert all(mistake.message for mistake in mistakes.found)
    cli.explain(Path("gateway.toml"), "", mistakes)
    if boot is not None and configuration is not None:
        msgspec.msgpack.encode(boot.spool.max_bytes)
        msgspec.json.decode(msgspec.json.encode(msgspec.msgpack.decode(configuration.document)))
        Alarms(configuration.alarms, {})
        Pipeline(configuration)
        for bus in configuration.buses:
            Line(bus)
        assert boot.health.address is None or boot.health.address[1] < 65536
        assert 0 < boot.uplink.port < 65536


@given(st.dictionaries(keys, documents, max_size=6))
def test_any_document_is_read_or_explained(document) -> None:
    explain_or_run(document)


def places(part: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    return [place, *(found for key, value in inner for found in places(value, (*place, key)))]


PLACES = [place for place in places(VALID) if place]


@settings(max_examples=300)
@given(st.data())
def test_valid_document_with_a_part_exchanged_is_read_or_explained(data) -> None:
    document = copy.deepcopy(VALID)
    for _ in range(data.draw(st.integers(1, 2))):
        *path, last = data.draw(st.sampled_from(PLACES))
        at: Any = document
        try:
            for key in path:
                at = at[key]
            if data.draw(st.booleans()):
                at[last] = data.draw(documents)
            else:
                del at[last]
        except (KeyError, IndexError, TypeError):
            continue
    explain_or_run(document)


fragments = st.sampled_from(
    [
        "[gateway]\n",
        "[[device]]\n",
        "[[device.group]]\n",
        "[bus]\n",
        'name = "x"\n',
        "id = 1\n",
        '"a.b" = [',
        "]\n",
        '"""',
        "\n",
    ]
)


@given(st.lists(fragments | st.text(max_size=4)).map("".join) | st.binary(max_size=40))
def test_any_file_is_read_or_refused_in_words(tmp_path_factory, content) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "replace"))
    with pytest.raises(ConfigurationError, match=r"any\.toml"):
        cli.load(path)


def test_fleet_hears_of_several_limits_of_a_level_the_one_reached_first() -> None:
    steps = [("high", 85, "a"), ("high", 70, "b"), ("high", 80, "c"), ("low", 2, "d"), ("low", 6, "e")]
    rules = [{"tag": "tank.temperature", "level": level, "limit": at, "name": name} for level, at, name in steps]
    _, configuration, mistakes = read({**VALID, "alarm": [*VALID["alarm"], *rules]})
    assert mistakes.found == []
    assert configuration is not None
    limits = {tag.name: tag.limits for tag in configuration.reported_tags()}
    assert (limits["tank.temperature"]["high"], limits["tank.temperature"]["low"]) == (70, 6)
    assert [rule.label for rule in configuration.limiting()["tank.temperature"] if rule.label] == list("abcde")


SAME = [
    {"tag": "tank.siren"},
    {"gpio_chip": "/dev/gpiochip0", "gpio_line": 3},
    {"program": "call", "arguments": ["{state}"]},
]


@pytest.mark.parametrize("target", SAME, ids=["tag", "line", "program"])
def test_two_outputs_that_switch_the_same_are_refused(target) -> None:
    outputs = [{"name": "siren", **target}, {"name": "horn", **target, "hold": "acknowledged"}]
    _, configuration, mistakes = read({**VALID, "output": outputs})
    assert configuration is None
    assert [mistake.message for mistake in mistakes.found] == [
        "'horn' switches the same as output 'siren': one would silence the other"
    ]
