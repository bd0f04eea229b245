from __future__ import annotations

import re
from base64 import b64encode
from typing import Any

import pytest
from flask.testing import FlaskClient

from fleet.accounts import service as accounts
from fleet.accounts.models import Role
from fleet.app import create_app
from fleet.bootstrap import Services
from fleet.committer import Committer
from fleet.gateways import service as gateways
from fleet.live import LiveValue
from fleet.metrics import IngestMetrics
from fleet.relay import service as destinations
from tests.fleet import edge
from tests.fleet.conftest import START_NS, both_databases
from wire.record import Lane
from wire.topics import Up


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)])
def database_url(request: pytest.FixtureRequest) -> str:
    return both_databases(request)


PASSWORD = "correct horse"


@pytest.fixture
def client(services: Services) -> FlaskClient:
    from prometheus_client import CollectorRegistry

    with services.database.writing() as session:
        for name, role in (("admin", Role.ADMINISTRATOR), ("reader", Role.AUDITOR)):
            accounts.add(session, name, PASSWORD, role, services.clock())
        gateways.register(session, edge.GATEWAY, "", None, services.clock())
        destinations.add(session, "district", "http-json", "http://platform.test/", services.clock())
    committer = Committer(services.database, IngestMetrics(CollectorRegistry()), services.clock)
    committer.commit([edge.up(Up.REPORTED, edge.reported())])
    session_id = committer.commit([edge.up(Up.HELLO, edge.hello())])[0].message.session  # type: ignore[union-attr]
    committer.commit(
        [
            edge.up(Up.BATCH, edge.batch(session_id, 1, edge.scan(1, 50.0, 20.5), b"garbled")),
            edge.up(Up.BATCH, edge.batch(session_id, 1, edge.alarm(2, "raised"), lane=Lane.ALARMS)),
        ]
    )
    return create_app(services).test_client()


def ask(client: FlaskClient, path: str, name: str = "admin", password: str = PASSWORD, **kwargs: Any) -> Any:
    basic = b64encode(f"{name}:{password}".encode()).decode()
    return client.open(path, headers={"Authorization": f"Basic {basic}"}, **kwargs)


def test_every_route_of_the_api_wants_an_account(client: FlaskClient) -> None:
    rules = [rule for rule in client.application.url_map.iter_rules() if rule.rule.startswith("/api/")]
    tried = 0
    for rule in rules:
        if rule.rule == "/api/openapi.json":
            continue
        path = rule.rule.replace("<name>", edge.GATEWAY).replace("<int:number>", "1")
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            assert client.open(path, method=method).status_code == 401, path
            tried += 1
    assert tried >= 10


def test_a_wrong_password_is_refused_and_guessing_is_slowed_down(client: FlaskClient) -> None:
    for _ in range(5):
        assert ask(client, "/api/gateways", password="wrong").status_code == 401
    assert ask(client, "/api/gateways").status_code == 401  # right, but it has to wait


def test_a_password_of_the_api_opens_no_page(client: FlaskClient) -> None:
    assert ask(client, "/gateways").status_code in (302, 401)


def test_gateways_are_listed_and_shown(client: FlaskClient) -> None:
    (gateway,) = ask(client, "/api/gateways").json["gateways"]
    assert (gateway["name"], gateway["title"], gateway["reported_version"]) == (edge.GATEWAY, "罐区", 0)
    detail = ask(client, f"/api/gateways/{edge.GATEWAY}").json
    assert detail["reported"]["site"] == "yufu-chem"
    assert detail["machine"] == "m-1"
    missing = ask(client, "/api/gateways/gw-stranger")
    assert (missing.status_code, missing.json["error"]) == (404, "there is no gateway 'gw-stranger'")


def test_tags_and_live_values(client: FlaskClient, services: Services) -> None:
    tags = ask(client, f"/api/gateways/{edge.GATEWAY}/tags").json["tags"]
    assert [tag["name"] for tag in tags] == ["tank-01.level", "tank-01.temperature"]
    assert tags[0]["limits"] == {"high": 90.0}
    services.live.put_values(edge.GATEWAY, {"tank-01.level": LiveValue(float("nan"), 0x41, 5)})
    live = ask(client, f"/api/gateways/{edge.GATEWAY}/live").json
    assert live["values"] == [{"tag": "tank-01.level", "value": None, "quality": "uncertain", "at_ns": 5}]


def test_a_series_is_read_and_its_range_checked(client: FlaskClient) -> None:
    path = f"/api/gateways/{edge.GATEWAY}/readings?tag=tank-01.level&from={START_NS}&to={START_NS + 10**10}"
    series = ask(client, f"{path}&buckets=10").json
    assert series["unit"] == "%"
    assert series["points"] == [{"at_ns": START_NS + 10**9, "min": 50.0, "max": 50.0, "mean": 50.0, "last": 50.0}]
    assert ask(client, f"{path}&buckets=0").status_code == 422
    assert ask(client, f"/api/gateways/{edge.GATEWAY}/readings?tag=tank-01.level&from=9&to=5").status_code == 422
    assert ask(client, f"/api/gateways/{edge.GATEWAY}/readings").status_code == 422
    assert ask(client, f"/api/gateways/{edge.GATEWAY}/readings?tag=none.such").status_code == 404


def test_alarms_journal_quarantine_and_relay(client: FlaskClient) -> None:
    alarm, unreadable = ask(client, "/api/alarms").json["alarms"]
    assert (alarm["name"], alarm["priority"], alarm["limit"]) == ("tank-01.level:high", 2, 90.0)
    assert (unreadable["name"], unreadable["priority"], unreadable["tag"]) == ("fleet:unreadable", 3, "fleet")
    assert [event["kind"] for event in ask(client, "/api/alarms/journal").json["events"]] == ["raised"] * 2
    assert ask(client, "/api/alarms/journal?before=1").json["events"] == []
    (kept,) = ask(client, "/api/quarantine").json["quarantine"]
    assert (kept["seq"], kept["octets"]) == (2, 7)
    octets = ask(client, f"/api/quarantine/{kept['id']}/octets")
    assert (octets.data, octets.mimetype) == (b"garbled", "application/octet-stream")
    assert ask(client, f"/api/quarantine/{kept['id'] + 1}/octets").status_code == 404
    assert ask(client, f"/api/quarantine/{10**30}/octets").status_code == 404
    lanes = ask(client, "/api/relay").json["relay"]
    assert [(lane["lane"], lane["behind"]) for lane in lanes] == [("A", 1), ("M", 1)]


def test_desired_configuration_is_written_only_on_top_of_the_newest(client: FlaskClient) -> None:
    path = f"/api/gateways/{edge.GATEWAY}/desired"
    assert ask(client, path).status_code == 404
    first = ask(client, path, method="PUT", json={"version": 0, "config": {"bus": []}})
    assert (first.status_code, first.json["version"], first.json["author"]) == (200, 1, "admin")
    stale = ask(client, path, method="PUT", json={"version": 0, "config": {}})
    assert stale.status_code == 409
    assert "version 1" in stale.json["error"]
    assert ask(client, path).json["config"] == {"bus": []}
    assert ask(client, path, method="PUT", json={"config": {}}).status_code == 422
    assert ask(client, path, "reader", method="PUT", json={"version": 1, "config": {}}).status_code == 403
    gone = ask(client, "/api/gateways/gw-stranger/desired", method="PUT", json={"version": 0, "config": {}})
    assert gone.status_code == 404


def test_the_openapi_document_describes_every_route(client: FlaskClient) -> None:
    document = client.get("/api/openapi.json").json
    assert document is not None
    assert document["openapi"] == "3.1.0"
    rules = {rule.rule for rule in client.application.url_map.iter_rules() if rule.rule.startswith("/api/")}
    expected = {re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule) for rule in rules} - {"/api/openapi.json"}
    assert set(document["paths"]) == expected


def test_health_and_metrics(client: FlaskClient) -> None:
    assert client.get("/healthz").json == {"ok": True, "database": True, "broker": None}
    metrics = client.get("/metrics").text
    assert 'fengsui_alarms_active{priority="2"} 1.0' in metrics
    assert "fengsui_gateways 1.0" in metrics


def test_health_tells_of_a_database_that_is_gone(client: FlaskClient, services: Services, database_url: str) -> None:
    if database_url:
        pytest.skip("takes the file away")
    services.database.close()
    (services.settings.data_dir / "fleet.db").unlink()
    (services.settings.data_dir / "fleet.db").mkdir()
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json["database"]) == (503, False)  # type: ignore[index]
    assert ask(client, "/api/gateways").status_code == 503
