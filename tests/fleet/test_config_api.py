"""The API of configurations and templates."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from flask.testing import FlaskClient

from fleet.accounts import service as accounts
from fleet.accounts.models import Role
from fleet.app import create_app
from fleet.bootstrap import Services
from fleet.gateways import service as gateways
from tests.fleet import edge
from tests.fleet.conftest import Clock
from tests.fleet.scene import Scene
from tests.fleet.test_api import PASSWORD, ask
from tests.fleet.test_config_diff import CONFIG
from wire.topics import Up
from wire.twin import Reported

OTHER = "gw-other-0001"
HERE = f"/api/gateways/{edge.GATEWAY}/desired"
DOCUMENT = """
[variable.host]
title = "controller's address"
[variable.limit]
kind = "number"
default = 80.0
[[bus]]
name = "plc"
kind = "modbus"
url = "tcp://${host}:502"
[[device]]
name = "tank"
bus = "plc"
unit = 1
[[device.group]]
name = "fast"
poll_s = 1.0
[[device.group.tag]]
name = "level"
function = 3
address = 0
type = "u16"
[[device.group.tag.alarm]]
level = "high"
limit = "${limit}"
priority = 2
"""


@pytest.fixture
def client(services: Services) -> FlaskClient:
    scene = Scene(services)
    with services.database.writing() as session:
        accounts.add(session, "admin", PASSWORD, Role.ADMINISTRATOR, services.clock())
        gateways.register(session, OTHER, "", None, services.clock())
    for name in (edge.GATEWAY, OTHER):
        scene.committer.commit(
            [edge.up(Up.REPORTED, Reported(version=0, release="0.1.0", config=CONFIG), gateway=name)]
        )
    return create_app(services).test_client()


def post(client: FlaskClient, path: str, body: Any, status: int = 200) -> Any:
    answer = ask(client, path, method="POST", json=body)
    assert answer.status_code == status, answer.text
    return answer.json


def put(client: FlaskClient, config: Any, version: int, status: int = 200) -> Any:
    answer = ask(client, HERE, method="PUT", json={"version": version, "config": config})
    assert answer.status_code == status, answer.text
    return answer.json


def test_preview_tells_changes_and_mistakes_and_sends_nothing(client: FlaskClient) -> None:
    config = copy.deepcopy(CONFIG)
    config["device"][0]["group"][0]["tag"][0]["alarm"][0]["limit"] = 75.0
    config["device"][1]["profil"] = "x"
    seen = post(client, f"{HERE}/preview", {"config": config})
    assert [(change["kind"], change["place"][-1], change["key"]) for change in seen["changes"]] == [
        ("changed", "alarm high", "limit"), ("added", "device gas", "profil"),
    ]  # fmt: skip
    assert [fault["place"] for fault in seen["faults"]] == ["device[gas]"]
    assert (seen["version"], seen["checked_by"]) == (0, "0.1.0")
    assert "limit = 80.0" in seen["before_toml"]
    assert "limit = 75.0" in seen["after_toml"]
    assert ask(client, HERE).status_code == 404


def test_configuration_with_a_mistake_is_refused_with_its_place(client: FlaskClient) -> None:
    wrong = put(client, {"buss": []}, 0, 422)
    assert wrong["error"].startswith("buss: there is no such table (did you mean 'bus'?)")
    assert "0.1.0" in wrong["hint"]


def test_versions_are_listed_shown_and_restored_on_top_of_the_newest_only(client: FlaskClient) -> None:
    put(client, CONFIG, 0)
    put(client, {}, 1)
    put(client, {}, 1, 409)
    post(client, f"{HERE}/restore", {"version": 1, "restore": 1}, 409)
    post(client, f"{HERE}/restore", {"version": 2, "restore": 9}, 404)
    assert post(client, f"{HERE}/restore", {"version": 2, "restore": 1})["config"] == CONFIG
    versions = ask(client, f"{HERE}/versions").json["versions"]
    assert [(row["version"], row["author"]) for row in versions] == [(3, "admin"), (2, "admin"), (1, "admin")]
    assert "config" not in versions[0]
    assert [row["version"] for row in ask(client, f"{HERE}/versions?before=3&limit=1").json["versions"]] == [2]
    assert ask(client, f"{HERE}/versions/2").json["config"] == {}
    assert ask(client, f"{HERE}/versions/7").status_code == 404


def test_drift_lists_gateways_that_run_something_else(client: FlaskClient, clock: Clock) -> None:
    put(client, CONFIG, 0)
    clock.advance(400)
    rows = ask(client, "/api/configurations/drift").json["gateways"]
    assert [(row["gateway"], row["state"], row["wants_action"]) for row in rows] == [
        (edge.GATEWAY, "late", True), (OTHER, "local", False),
    ]  # fmt: skip
    assert (rows[0]["desired"], rows[0]["reported"]) == (1, 0)


def test_template_is_previewed_and_sent_to_all_of_its_gateways_or_to_none(client: FlaskClient) -> None:
    assert post(client, "/api/templates/tank", {"document": DOCUMENT, "title": "Tank"})["version"] == 1
    wanted = [
        {"gateway": edge.GATEWAY, "variables": {"host": "10.0.0.1"}},
        {"gateway": OTHER, "variables": {"host": "10.0.0.2", "limit": 70}},
    ]
    seen = post(client, "/api/templates/tank/preview", {"gateways": wanted})
    assert [one["gateway"] for one in seen["previews"]] == [edge.GATEWAY, OTHER]
    assert all(one["changes"] and not one["faults"] for one in seen["previews"])
    assert "limit = 70.0" in seen["previews"][1]["after_toml"]
    stale = [{**wanted[0], "version": 0}, {**wanted[1], "version": 5}]
    post(client, "/api/templates/tank/apply", {"template_version": 1, "gateways": stale}, 409)
    assert ask(client, HERE).status_code == 404, "none has got it"
    right = [{**target, "version": 0} for target in wanted]
    post(client, "/api/templates/tank/apply", {"template_version": 2, "gateways": right}, 409)
    rows = post(client, "/api/templates/tank/apply", {"template_version": 1, "gateways": right})["configurations"]
    assert [(row["version"], row["template"], row["template_version"]) for row in rows] == [(1, "tank", 1)] * 2
    shown = ask(client, "/api/templates/tank").json
    assert [(run["gateway"], run["template_version"]) for run in shown["gateways"]] == [(OTHER, 1), (edge.GATEWAY, 1)]
    assert shown["gateways"][0]["variables"] == {"host": "10.0.0.2", "limit": 70}


def test_next_version_of_a_template_keeps_the_variables_that_gateways_have(client: FlaskClient) -> None:
    post(client, "/api/templates/tank", {"document": DOCUMENT})
    first = {"gateway": edge.GATEWAY, "version": 0, "variables": {"host": "10.0.0.1", "limit": 70}}
    post(client, "/api/templates/tank/apply", {"template_version": 1, "gateways": [first]})
    post(client, "/api/templates/tank", {"document": DOCUMENT.replace("poll_s = 1.0", "poll_s = 2.0")})
    (seen,) = post(client, "/api/templates/tank/preview", {"gateways": [{"gateway": edge.GATEWAY}]})["previews"]
    assert [(change["key"], change["before"], change["after"]) for change in seen["changes"]] == [
        ("poll_s", "1.0", "2.0"),
    ]
    (listed,) = ask(client, "/api/templates").json["templates"]
    assert (listed["version"], [variable["name"] for variable in listed["variables"]]) == (2, ["host", "limit"])


def test_missing_variable_is_told_with_the_gateway_that_lacks_it(client: FlaskClient) -> None:
    post(client, "/api/templates/tank", {"document": DOCUMENT})
    wrong = post(client, "/api/templates/tank/preview", {"gateways": [{"gateway": OTHER}]}, 422)
    assert wrong["error"].startswith(f"{OTHER}: variable 'host' (controller's address) is missing")
