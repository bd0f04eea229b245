"""What a new configuration changes, and what a release's schema finds wrong with it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.configs.checking import check, find_schema
from fleet.configs.diff import Change, compare
from fleet.configs.digest import digest
from fleet.configs.sending import read_toml, write_toml
from fleet.errors import InvalidError

TAG = {
    "name": "level",
    "unit": "%",
    "function": 3,
    "address": 0,
    "type": "u16",
    "alarm": [{"level": "high", "limit": 80.0, "priority": 2}, {"level": "high-high", "limit": 90.0, "priority": 1}],
}
CONFIG: dict[str, Any] = {
    "bus": [{"name": "plc", "kind": "modbus", "url": "tcp://127.0.0.1:502"}],
    "device": [
        {"name": "tank", "bus": "plc", "unit": 1, "group": [{"name": "fast", "poll_s": 1.0, "tag": [TAG]}]},
        {"name": "gas", "bus": "plc", "unit": 2, "profile": "pemtech_pt495"},
    ],
}


def changed() -> dict[str, Any]:
    return copy.deepcopy(CONFIG)


def test_same_configuration_changes_nothing() -> None:
    assert compare(CONFIG, copy.deepcopy(CONFIG)) == ()


def test_changed_limit_is_told_with_its_tag_and_both_values() -> None:
    new = changed()
    new["device"][0]["group"][0]["tag"][0]["alarm"][0]["limit"] = 75.0
    place = ("device tank", "group fast", "tag level", "alarm high")
    assert compare(CONFIG, new) == (Change(kind="changed", place=place, key="limit", before="80.0", after="75.0"),)


def test_device_put_before_others_is_one_addition() -> None:
    new = changed()
    new["device"].insert(0, {"name": "wind", "bus": "plc", "unit": 3, "group": [{"name": "a"}, {"name": "b"}]})
    assert compare(CONFIG, new) == (
        Change(kind="added", place=("device wind",), after='bus = "plc", unit = 3, 2 group'),
    )
    (removed,) = compare(new, CONFIG)
    assert (removed.kind, removed.place, removed.table) == ("removed", ("device wind",), "device")


def test_setting_that_is_new_or_gone_is_told() -> None:
    new = changed()
    new["bus"][0]["timeout_s"] = 2.0
    del new["device"][1]["profile"]
    assert [(change.kind, change.place, change.key) for change in compare(CONFIG, new)] == [
        ("added", ("bus plc",), "timeout_s"),
        ("removed", ("device gas",), "profile"),
    ]


def test_table_that_is_new_or_gone_is_told_thing_by_thing() -> None:
    rule = {"tag": "gas.gas", "level": "high", "limit": 25.0}
    (change,) = compare(CONFIG, {**CONFIG, "alarm": [rule]})
    assert (change.kind, change.place) == ("added", ("alarm gas.gas:high",))
    assert len(compare({}, CONFIG)) == 3


def test_rows_of_one_name_are_told_apart() -> None:
    twice = {"alarm": [{"tag": "a.b", "level": "high", "limit": 1}, {"tag": "a.b", "level": "high", "limit": 2}]}
    (change,) = compare({"alarm": twice["alarm"][:1]}, twice)
    assert change.place == ("alarm a.b:high (2)",)


def test_truth_is_not_one() -> None:
    assert compare({"a": True}, {"a": 1})[0].kind == "changed"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)
configs = st.dictionaries(st.sampled_from(["bus", "device", "name"]), json_values, max_size=3)


@given(before=configs, after=configs)
def test_there_are_changes_exactly_where_configurations_differ(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert not compare(before, before)
    if digest(before) != digest(after) and not compare(before, after):
        # A name that is absent, and one that is null or an empty list of things, are the same to a gateway.
        assert "null" in str(before).replace("None", "null") + str(after).replace("None", "null") or [] in (
            *before.values(), *after.values(),
        )  # fmt: skip


def test_digest_is_the_same_in_any_order_and_for_whole_numbers_of_either_kind() -> None:
    assert digest({"a": 1, "b": [2.0]}) == digest({"b": [2], "a": 1.0})
    assert digest({"a": 1}) != digest({"a": 2})
    assert digest({"a": True}) != digest({"a": 1})


# the schema of a release

PATHS: dict[str, tuple[Any, str, str]] = {
    "unknown table": (lambda c: c.update(buss=[]), "buss", "did you mean 'bus'?"),
    "table that is no list": (lambda c: c.update(alarm={}), "alarm", "write [[alarm]]"),
    "unknown driver": (lambda c: c["bus"][0].update(kind="modbuss"), "bus[plc].kind", "did you mean 'modbus'?"),
    "unknown bus": (lambda c: c["device"][0].update(bus="plx"), "device[tank].bus", "did you mean 'plc'?"),
    "misspelt key": (lambda c: c["device"][1].update(profil="x"), "device[gas]", "did you mean 'profile'?"),
    "wrong kind of value": (
        lambda c: c["device"][0]["group"][0].update(poll_s="fast"),
        "device[tank].group[fast].poll_s",
        "",
    ),
    "missing key": (
        lambda c: c["device"][0]["group"][0].pop("poll_s"),
        "device[tank].group[fast]",
        "missing: poll_s",
    ),
    "number out of range": (
        lambda c: c["device"][0]["group"][0].update(poll_s=-1),
        "device[tank].group[fast].poll_s",
        "",
    ),
    "alarm of no level": (
        lambda c: c["device"][0]["group"][0]["tag"][0]["alarm"][0].update(level="hi"),
        "device[tank].group[fast].tag[level].alarm[1].level",
        "",
    ),
    "row that is no table": (lambda c: c["device"].append(5), "device[3]", ""),
}


@pytest.fixture(scope="module")
def schema() -> Any:
    found = find_schema("0.1.0", Path("/nonexistent"))
    assert found is not None
    return found


def test_configuration_that_the_agent_takes_has_no_faults(schema: Any) -> None:
    assert check(CONFIG, schema) == []


@pytest.mark.parametrize("case", PATHS)
def test_mistake_is_told_once_with_its_place_and_what_to_write(case: str, schema: Any) -> None:
    spoil, place, hint = PATHS[case]
    config = changed()
    spoil(config)
    (fault,) = check(config, schema)
    assert fault.place == place
    assert hint in fault.hint + fault.message


def test_mistakes_are_told_up_to_a_number(schema: Any) -> None:
    assert len(check({"device": [{"name": f"d{n}"} for n in range(200)]}, schema)) == 50


@given(config=configs)
def test_no_configuration_breaks_the_check(config: dict[str, Any]) -> None:
    found = find_schema("0.1.0", Path("/nonexistent"))
    assert found is not None
    assert isinstance(check(config, found), list)


def test_schema_of_a_foreign_release_comes_from_the_data_directory_and_of_an_unknown_one_from_nowhere(
    tmp_path: Path,
) -> None:
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "9.9.9.json").write_text('{"$defs": {"desired": {"properties": {"bus": {"items": {}}}}}}')
    (tmp_path / "schemas" / "9.9.8.json").write_text("[]")
    found = find_schema("9.9.9", tmp_path)
    assert found is not None
    assert [fault.place for fault in check({"device": []}, found)] == ["device"]
    for release in ("", "9.9.8", "9.9.7", "../../etc/passwd", "0.1.0/.."):
        assert find_schema(release, tmp_path) is None


# texts


def test_configuration_comes_back_from_its_text_as_it_was() -> None:
    assert read_toml(write_toml(CONFIG)) == CONFIG


def test_what_is_no_toml_is_told_with_its_line() -> None:
    with pytest.raises(InvalidError, match="line 2"):
        read_toml("a = 1\r\nb = = 2")
