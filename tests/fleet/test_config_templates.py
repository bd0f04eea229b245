"""Configuration templates: variables, versions, and the first configuration of a gateway that gets in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fleet.app import create_app
from fleet.bootstrap import Services
from fleet.claims import service as claims
from fleet.claims.service import Intended
from fleet.cli import main
from fleet.configs import service as configs
from fleet.configs import templates
from fleet.errors import InvalidError, NotFoundError
from fleet.gateways import service as gateways
from provisioning.codes import hash_code, make_code
from tests.fleet.conftest import Clock
from tests.fleet.identity import GATEWAY, enrol, found_authority, write

DOCUMENT = """
[variable.plc]
title = "controller's address"
[variable.port]
kind = "integer"
default = 502
[variable.limit]
kind = "number"
default = 90.0

[[bus]]
name = "plc"
kind = "modbus"
url = "tcp://${plc}:${port}"

[[alarm]]
tag = "tanks.level"
level = "high"
limit = "${limit}"
title = "costs 5 $$"
"""


def add(services: Services, document: str = DOCUMENT, key: str = "tank-farm") -> int:
    with services.database.writing() as session:
        return templates.add(session, key, document, "罐区", "chemical", "admin", services.clock()).version


def render(services: Services, given: dict[str, Any]) -> dict[str, Any]:
    with services.database.reading() as session:
        return templates.render(templates.get(session, "tank-farm"), given)


def test_variables_are_filled_in_and_keep_their_kind(services: Services) -> None:
    add(services)
    made = render(services, {"plc": "10.0.0.7", "limit": "85.5"})
    assert made["bus"] == [{"name": "plc", "kind": "modbus", "url": "tcp://10.0.0.7:502"}]
    assert made["alarm"][0]["limit"] == 85.5
    assert made["alarm"][0]["title"] == "costs 5 $"
    assert "variable" not in made


def test_a_value_that_looks_like_toml_stays_a_text(services: Services) -> None:
    add(services)
    hostile = '"\n[[output]]\nname = "${port}" $x'
    assert render(services, {"plc": hostile})["bus"][0]["url"] == f"tcp://{hostile}:502"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "variable 'plc' (controller's address) is missing"),
        ({"plc": "a", "colour": 1}, "there is no variable 'colour'"),
        ({"plc": "a", "port": "x"}, "variable 'port': 'x' is no integer"),
        ({"plc": "a", "port": 1.5}, "variable 'port': '1.5' is no integer"),
        ({"plc": "a", "port": True}, "variable 'port' is no integer"),
        ({"plc": "a", "limit": "nan"}, "variable 'limit': 'nan' is no number"),
        ({"plc": "a", "limit": 1e999}, "variable 'limit': 'inf' is no number"),
        ({"plc": ["a"]}, "variable 'plc' is no text"),
    ],
)
def test_each_wrong_variable_is_named(services: Services, given: dict[str, Any], words: str) -> None:
    add(services)
    with pytest.raises(InvalidError, match=r".*") as caught:
        render(services, given)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("[[bus]\n", "not TOML"),
        ('[[bus]]\nurl = "tcp://${plc}"\n', "bus[0].url: nothing declares ${plc}"),
        ('[[bus]]\nurl = "5 $ here"\n', "a '$' that names no variable"),
        ("[variable.x]\nkind = 'colour'\n", "[variable]"),
        ("[variable.x]\nkind = 'integer'\ndefault = 'a'\n", "[variable.x] default"),
        ("[variable.'x y']\n", "no variable's name"),
    ],
)
def test_a_wrong_document_is_refused_with_its_place(services: Services, document: str, words: str) -> None:
    with pytest.raises(InvalidError) as caught:
        add(services, document)
    assert words in str(caught.value)


def test_versions_count_and_the_newest_is_listed(services: Services) -> None:
    assert [add(services), add(services), add(services, key="weather")] == [1, 2, 1]
    with services.database.reading() as session:
        assert [(row.key, row.version) for row in templates.list_newest(session)] == [("tank-farm", 2), ("weather", 1)]
        with pytest.raises(NotFoundError, match="no configuration template 'quake'"):
            templates.get(session, "quake")


def admit(services: Services, intended: Intended) -> None:
    code = make_code()
    with services.database.writing() as session:
        claims.add(session, hash_code(code), intended, "admin", services.clock())
    client = create_app(services).test_client()
    assert enrol(client, code).gateway == GATEWAY  # type: ignore[union-attr]


def test_a_gateway_gets_position_and_first_configuration_of_its_claim(services: Services) -> None:
    found_authority(services)
    add(services)
    admit(services, Intended(gateway=GATEWAY, template="tank-farm", variables={"plc": "10.0.0.7"}, lat=29.7, lon=106.6))
    with services.database.reading() as session:
        desired = configs.latest(session, GATEWAY)
        gateway = gateways.get(session, GATEWAY)
        assert desired is not None
        assert (desired.version, desired.config["bus"][0]["url"]) == (1, "tcp://10.0.0.7:502")
        assert (gateway.template, gateway.variables) == ("tank-farm", {"plc": "10.0.0.7"})
        assert (gateway.lat, gateway.lon) == (29.7, 106.6)


def test_a_claim_with_wrong_variables_is_refused_at_once(services: Services) -> None:
    add(services)
    wrong = Intended(gateway=GATEWAY, template="tank-farm", variables={"port": "1"})
    with services.database.writing() as session, pytest.raises(InvalidError, match=r"'plc'.*is missing"):
        claims.add(session, "0" * 64, wrong, "admin", services.clock())


def test_the_command_line_keeps_templates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ["--data", str(tmp_path / "fleet")]
    assert main(["init", *data]) == 0
    file = write(tmp_path / "tank-farm.toml", DOCUMENT)
    assert main(["template", "add", "tank-farm", str(file), "--title", "罐区", *data]) == 0
    assert main(["template", "list", *data]) == 0
    assert main(["claim", "add", "--gateway", GATEWAY, "--template", "tank-farm", "--set", "plc=10.0.0.7", *data]) == 0
    assert main(["claim", "add", "--template", "tank-farm", "--set", "plc", *data]) == 1
    said = capsys.readouterr()
    assert "variables: plc, port, limit" in said.out
    assert "--set plc: there is no '='" in said.err


def test_a_template_that_changed_since_keeps_nobody_out(services: Services, clock: Clock) -> None:
    found_authority(services)
    add(services)
    code = make_code()
    with services.database.writing() as session:
        intended = Intended(gateway=GATEWAY, template="tank-farm", variables={"plc": "10.0.0.7"})
        claims.add(session, hash_code(code), intended, "admin", clock())
    add(services, "[variable.other]\n")
    assert enrol(create_app(services).test_client(), code).gateway == GATEWAY  # type: ignore[union-attr]
    with services.database.reading() as session:
        assert configs.latest(session, GATEWAY) is None
