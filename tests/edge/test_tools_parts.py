"""The parts of the technician's tools that need no line."""

from __future__ import annotations

import tomllib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers import profile as profiles
from drivers.base import Group, Scan, find
from edge.case_file import keys_of, toml
from edge.tools.acquire import Result
from edge.tools.asking import Variant, units_of, variants
from edge.tools.match import AGAINST, ANSWERED, best, candidates, weigh
from edge.tools.ports import find_holder, stable_name
from edge.tools.registers import registers_of, with_registers
from edge.tools.terminal import UNBROKEN, cell_width, fold, format_time, make_table
from edge.tools.words import format_quality, format_value, parse_value
from wire.sample import Quality

MODBUS = find("modbus")
URL = "rtu:///dev/ttyUSB0"
VALUES = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_toml_is_read_back_as_it_was(value):
    assert tomllib.loads(f"value = {toml(value)}")["value"] == value


def test_keys_of_a_model_make_the_same_model():
    source = MODBUS.source(address=0, scale=0.1, invalid=(65535.0,))
    assert keys_of(source) == {"address": 0, "scale": 0.1, "invalid": [65535.0]}
    for name in profiles.names():
        profile = profiles.load(name)
        kind = find(profile.kind)
        for candidate in candidates([profile], kind, "serial:///dev/ttyUSB0", {}, {}):
            for group in candidate.groups:
                for model in (group.device, *group.sources):
                    assert msgspec.convert(keys_of(model), type(model)) == model


@pytest.mark.parametrize(
    ("value", "quality", "weight"),
    [
        (20.0, Quality.GOOD, 1.0),
        (200.0, Quality.GOOD, AGAINST),
        (0, Quality.GOOD, ANSWERED),
        (True, Quality.GOOD, ANSWERED),
        ("open", Quality.GOOD, ANSWERED),
        (None, Quality.BAD_SENSOR, ANSWERED),
        (None, Quality.BAD_DEVICE, 0.0),
        (None, Quality.BAD_TIMEOUT, 0.0),
    ],
)
def test_value_weighs_by_what_it_proves(value, quality, weight):
    assert weigh(value, int(quality), -40.0, 80.0) == weight


def test_value_without_a_range_proves_only_an_answer():
    assert weigh(20.0, 0, None, None) == ANSWERED


def read_as(profile: str, *values: float) -> list:
    possible = candidates([profiles.load(profile)], MODBUS, URL, {}, {"unit": 1})
    group = possible[0].groups[0]
    return [possible, [Result(group, Scan(group.name, 1, values, (0,) * len(values)))]]


def test_own_name_of_an_instrument_decides():
    possible, results = read_as("renke_rs_ws_n01", 20.0, 50.0)
    nameless, named = (best(possible, results, told)[0] for told in ({}, {"model": "rs-ws-n01"}))
    assert named.score > nameless.score
    assert (named.named, nameless.named) == (True, False)
    assert named.fitting == nameless.fitting


def test_profile_whose_values_are_out_of_range_is_no_match():
    assert best(*read_as("renke_rs_ws_n01", 300.0, 0.0), {}) == []


@pytest.mark.parametrize(
    ("text", "units"), [("3", (3,)), ("1-4", (1, 2, 3, 4)), ("1,3,8-10", (1, 3, 8, 9, 10)), ("2,1-3", (2, 1, 3))]
)
def test_units_are_read(text, units):
    assert units_of(text) == units


@pytest.mark.parametrize("text", ["", "x", "5-3", "0-256", "1,,2", "-1"])
def test_units_that_are_none_are_refused(text):
    with pytest.raises(ValueError, match=r"."):
        units_of(text)


def test_line_settings_are_tried_from_what_is_common():
    tried = variants(MODBUS.settings(url=URL), (9600, 4800), ("N", "E"), is_serial=True)
    assert [variant.format() for variant in tried] == ["9600 8N1", "4800 8N1", "9600 8E1", "4800 8E1"]
    even = variants(MODBUS.settings(url=URL, baud=19200, parity="E"), (9600, 19200), ("N", "E"), is_serial=True)
    assert even[0] == Variant(19200, "E")
    assert variants(MODBUS.settings(url="tcp://plc"), (9600,), ("N",), is_serial=False) == [Variant()]


def test_registers_are_read_along_and_shown_in_hex():
    group = Group(
        name="plc.all",
        device_name="plc",
        device=MODBUS.device(base=1),
        tags=("plc.flow", "plc.pump"),
        sources=(MODBUS.source(address=5, type="f32"), MODBUS.source(function=1, address=4)),
    )
    wide = with_registers(group)
    assert wide.tags[:2] == group.tags
    MODBUS.build(MODBUS.settings(url=URL), (wide,))
    scan = Scan("plc.all", 1, (12.5, True, 0x4148, 0, True), (0,) * 5)
    assert registers_of(wide, scan) == {"plc.flow": "4148 0000", "plc.pump": "1"}
    assert registers_of(group, Scan("plc.all", 1, (12.5, True), (0, 0))) == {}


@pytest.mark.parametrize(
    ("text", "value"), [("on", True), ("False", False), ("5", 5), ("0x1F", 31), ("-2.5", -2.5), ("open", "open")]
)
def test_typed_value_is_read(text, value):
    assert parse_value(text) == value
    assert type(parse_value(text)) is type(value)


def test_value_and_quality_in_words():
    assert format_value(None, "m") == "-"
    assert format_value(True) == "true"
    assert format_value(1003.25, "hPa") == "1003.25 hPa"
    assert format_quality(Quality.BAD_TIMEOUT) == "bad: no answer"
    assert format_quality(Quality.GOOD) == "good"
    assert format_quality(0x4F) == "uncertain"
    assert format_time(125.4) == "2 min 5 s"


def test_stable_name_is_found_behind_its_link(tmp_path):
    device = tmp_path / "ttyUSB0"
    device.touch()
    folder = tmp_path / "by-id"
    folder.mkdir()
    (folder / "usb-FTDI_1").symlink_to(device)
    assert stable_name(str(device), [tmp_path / "none", folder]) == str(folder / "usb-FTDI_1")
    assert stable_name(str(tmp_path / "ttyUSB1"), [folder]) == ""


def test_port_that_nobody_holds_has_no_holder(tmp_path):
    file = tmp_path / "port"
    file.touch()
    assert find_holder(str(file)) is None
    assert find_holder("") is None


def test_text_is_folded_between_words_and_a_path_or_a_value_with_its_unit_never_broken():
    text = f"look at /etc/fengsui/gateway.toml where the limit is 12.5{UNBROKEN}m"
    assert fold(text, 24, 2).splitlines() == [
        "  look at",
        "  /etc/fengsui/gateway.toml",
        "  where the limit is",
        "  12.5 m",
    ]
    assert fold(text, None) == "look at /etc/fengsui/gateway.toml where the limit is 12.5 m"


@given(st.lists(st.text("ab中文", min_size=1, max_size=8), min_size=1), st.integers(16, 60))
def test_no_folded_line_is_wider_than_the_terminal_and_no_word_is_lost(words, width):
    lines = fold(" ".join(words), width).splitlines()
    assert all(cell_width(line) <= width for line in lines)
    assert " ".join(lines).split(" ") == words


def test_chinese_character_takes_two_cells():
    assert cell_width("库温 T1") == 7


def test_table_folds_the_columns_it_may_before_the_others():
    rows = [("plc.setpoint", "a long explanation of what is wrong here"), ("plc.level", "")]
    table = make_table(("tag", "", "note"), [(tag, "", note) for tag, note in rows], 40, {"note"})
    assert [(column.header, column.no_wrap) for column in table.columns] == [("tag", True), ("note", False)]
    squeezed = make_table(("tag", "note"), rows, 16, {"note"})
    assert [column.no_wrap for column in squeezed.columns] == [False, False], "no room even so"
