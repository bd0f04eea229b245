"""The generated schema of a configuration and the settings page: up to date, complete, and as strict as the reader."""

from __future__ import annotations

import copy
import json
import re
import tomllib
from pathlib import Path

import jsonschema
import pytest

from drivers.base import find, kinds
from edge import schema
from edge.configuration import BOOT_TABLES, read_boot, read_configuration
from edge.mistakes import Mistakes
from wire.schema import keep

ROOT = Path(__file__).parents[2]
MODELS = [
    *BOOT_TABLES.values(),
    *schema.FLEET_MODELS.values(),
    *(model for kind in kinds() for model in (find(kind).settings, find(kind).device, find(kind).source)),
]
SITES = sorted((ROOT / "lab" / "sites").glob("*.toml"))
VALID = tomllib.loads((ROOT / "tests" / "cases" / "edge" / "valid.toml").read_text("utf-8"))


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    committed = json.loads(schema.SCHEMA_FILE.read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(committed)
    return jsonschema.Draft202012Validator(committed)


def test_committed_files_are_up_to_date(capsys) -> None:
    assert keep(schema.files(), "edge.schema", ["--check"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("model", MODELS, ids=lambda model: f"{model.__module__}.{model.__name__}")
def test_every_setting_is_explained(model) -> None:
    for row in schema.rows(model):
        assert row.meaning, f"{model.__module__}.{model.__name__}.{row.name} has no description"
        assert row.value != "...", f"{model.__module__}.{model.__name__}.{row.name} shows no example"


def test_every_setting_is_on_the_page() -> None:
    page = schema.PAGE_FILE.read_text("utf-8")
    for model in MODELS:
        for row in schema.rows(model):
            assert f"| `{row.name}` |" in page


@pytest.mark.parametrize("site", SITES, ids=lambda site: site.stem)
def test_configurations_of_the_lab_fit_the_schema(site, validator) -> None:
    document = tomllib.loads(re.sub(r"\$\{\w+\}", "1883", site.read_text("utf-8")))
    validator.validate(document)


def desired(document: dict) -> dict:
    return {name: value for name, value in document.items() if name not in BOOT_TABLES}


def test_desired_configuration_fits_its_own_part_of_the_schema(validator) -> None:
    part = validator.evolve(schema={**validator.schema, "$ref": "#/$defs/desired", "properties": {}, "required": []})
    assert not part.is_valid(VALID)
    only = jsonschema.Draft202012Validator(
        {"$schema": validator.schema["$schema"], "$defs": validator.schema["$defs"], "$ref": "#/$defs/desired"}
    )
    only.validate(desired(VALID))
    assert not only.is_valid(VALID)


def changed(*path: str | int, to: object = None, drop: bool = False) -> dict:
    document = copy.deepcopy(VALID)
    at = document
    for key in path[:-1]:
        at = at[key]
    if drop:
        del at[path[-1]]
    else:
        at[path[-1]] = to
    return document


TAG = ("device", 0, "group", 0, "tag", 0)
WRONG = {
    "unknown table": changed("devices", to=[]),
    "unknown key of the gateway": changed("gateway", "sight", to="x"),
    "missing id": changed("gateway", "id", drop=True),
    "missing uplink": changed("uplink", drop=True),
    "unknown driver": changed("bus", 0, "kind", to="modbuss"),
    "bus without url": changed("bus", 0, "url", drop=True),
    "key of another driver": changed("bus", 0, "talker", to="WI"),
    "time-out of no length": changed("bus", 0, "timeout_s", to=0),
    "unit beyond 255": changed("device", 0, "unit", to=256),
    "device without group or profile": changed("device", 0, "group", drop=True),
    "polled group without poll_s": changed("device", 0, "group", 0, "poll_s", drop=True),
    "address as text": changed(*TAG, "address", to="40001"),
    "tag without a name": changed(*TAG, "name", drop=True),
    "unknown key of a tag": changed(*TAG, "adress", to=1),
    "level that is none": changed(*TAG, "alarm", 0, "level", to="higher"),
    "alarm below a tag that names a tag": changed(*TAG, "alarm", 0, "tag", to="tank.level"),
    "check that is no table": changed(*TAG, "check", to=1),
    "unknown rule of a check": changed(*TAG, "check", "hihg", to=1),
    "step of nothing": changed(*TAG, "check", "step", to=0),
    "deadband below 0": changed(*TAG, "report", "deadband", to=-1),
    "formula that is none": changed("device", 0, "derived", 0, "formula", to="average"),
    "derived tag of nothing": changed("device", 0, "derived", 0, "of", drop=True),
    "derived tag with an address": changed("device", 0, "derived", 0, "address", to=1),
    "priority 5": changed("alarm", 0, "priority", to=5),
    "alarm apart without tag": changed("alarm", 0, "tag", drop=True),
    "output called by a space": changed("output", 0, "name", to="my siren"),
    "bus as a table": changed("bus", to={"name": "plc"}),
}


def test_valid_case_fits_the_schema(validator) -> None:
    validator.validate(VALID)


@pytest.mark.parametrize("document", WRONG.values(), ids=WRONG)
def test_schema_refuses_what_the_reader_refuses(document, validator) -> None:
    mistakes = Mistakes()
    read_boot(document, mistakes)
    read_configuration(document, mistakes)
    assert mistakes
    assert not validator.is_valid(document)
