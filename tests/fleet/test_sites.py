"""Sites: pages and API, the access rate, and devices that are to be there."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_login.utils import _create_identifier
from prometheus_client import CollectorRegistry

from fleet.accounts import service as accounts
from fleet.accounts.models import Role
from fleet.app import create_app
from fleet.bootstrap import Services
from fleet.committer import Committer
from fleet.console.drawing import draw_plan
from fleet.errors import InvalidError
from fleet.gateways import service as gateways
from fleet.gateways.models import Device
from fleet.live import LiveValue
from fleet.metrics import IngestMetrics
from fleet.overview import service as overview
from fleet.overview import sites as overview_sites
from fleet.overview.sources import Sources
from fleet.overview.trends import Trends
from fleet.sites import service as sites
from tests.fleet import edge
from tests.fleet.conftest import Clock
from wire.topics import Up
from wire.twin import DeviceInfo

SITE = "yufu-chem"
EXPECTED = "device,title,tags,note\ngd-99,西门探测器,3,cabinet 4\ntank-01,1 号罐,2,\n"


@pytest.fixture
def app(services: Services) -> Flask:
    with services.database.writing() as session:
        sites.add(session, SITE, "鱼复化工", "chemical", 29.7, 106.65)
        sites.add(session, "elsewhere", "龙兴", "weather")
        gateways.register(session, edge.GATEWAY, "罐区", SITE, services.clock())
        accounts.add(session, "op", None, Role.OPERATOR, services.clock())
        accounts.add(session, "mine", None, Role.ENTERPRISE, services.clock())
        accounts.set_sites(session, "mine", [SITE])
    app = create_app(services)
    app.config["WTF_CSRF_METHODS"] = set()
    return app


def report(services: Services, *devices: str) -> None:
    committer = Committer(services.database, IngestMetrics(CollectorRegistry()), services.clock)
    told = edge.reported(site=SITE, devices=tuple(DeviceInfo(name=name, title=f"{name}!") for name in devices))
    committer.commit([edge.up(Up.REPORTED, told)])


def browser(app: Flask, name: str) -> FlaskClient:
    client = app.test_client()
    with app.extensions["fengsui-services"].database.reading() as session:
        identity = accounts.identify(accounts.get(session, name))
    with app.test_request_context("/", environ_base=client.environ_base), client.session_transaction() as kept:
        kept.update(_user_id=identity.get_id(), _fresh=True, _id=_create_identifier())
    return client


def look(services: Services, session: Any) -> Sources:
    return Sources(session, services.live, Trends(), services.clock())


def test_devices_are_registered_as_they_are_reported_and_marked_when_gone(
    app: Flask, services: Services, clock: Clock
) -> None:
    _ = app
    report(services, "tank-01", "gd-01")
    clock.advance(60)
    report(services, "tank-01")
    with services.database.reading() as session:
        rows = {name: session.get(Device, (edge.GATEWAY, name)) for name in ("tank-01", "gd-01")}
    assert rows["tank-01"].title == "tank-01!"  # type: ignore[union-attr]
    assert rows["tank-01"].gone_ns is None  # type: ignore[union-attr]
    assert rows["gd-01"].gone_ns is not None  # type: ignore[union-attr]


def test_access_rate_counts_what_delivers_and_what_was_never_connected(app: Flask, services: Services) -> None:
    _ = app
    report(services, "tank-01")
    services.live.put_values(edge.GATEWAY, {"tank-01.level": LiveValue(50.0, 0, services.clock())})
    with services.database.writing() as session:
        sites.set_expected(session, SITE, EXPECTED, services.clock())
    with services.database.reading() as session:
        page = overview_sites.find_site(look(services, session), SITE)
        now = overview.find_now(look(services, session))
    reported = len(edge.reported().tags)
    assert (page.line.access.good, page.line.access.registered) == (1, reported + 3)
    assert [(line.name, line.is_connected) for line in page.devices] == [("gd-99", False), ("tank-01", True)]
    (chemical,) = [part for part in now.access_by_sector if part.sector == "chemical"]
    assert (chemical.good, chemical.registered) == (1, reported + 3)
    assert now.access.registered == reported + 3


def test_a_silent_gateway_delivers_nothing(app: Flask, services: Services, clock: Clock) -> None:
    _ = app
    report(services, "tank-01")
    services.live.put_values(edge.GATEWAY, {"tank-01.level": LiveValue(50.0, 0, services.clock())})
    clock.advance(60)
    with services.database.reading() as session:
        assert overview_sites.find_site(look(services, session), SITE).line.access.good == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("title\nx\n", "line 1: there is no column device"),
        ("device,colour\na,b\n", "line 1: unknown column 'colour'"),
        ("device,title\na\n", "line 2: it has not as many fields"),
        ("device,title\na,b\na,c\n", "line 3: device 'a' stands there twice"),
        ("device,tags\na,0\n,1\n", "line 2: '0' is no number of tags; line 3: a device has a name"),
        ("device,tags\na,²\n", "'²' is no number of tags"),
    ],
)
def test_every_wrong_line_is_named_and_nothing_is_changed(
    app: Flask, services: Services, text: str, words: str
) -> None:
    _ = app
    with services.database.writing() as session:
        sites.set_expected(session, SITE, EXPECTED, services.clock())
    with services.database.writing() as session, pytest.raises(InvalidError) as caught:
        sites.set_expected(session, SITE, text, services.clock())
    assert words in str(caught.value)
    with services.database.reading() as session:
        assert sites.write_expected(sites.list_expected(session, SITE)) == EXPECTED


def test_an_operator_adds_and_changes_sites_on_the_pages(app: Flask) -> None:
    client = browser(app, "op")
    added = client.post("/sites", data={"key": "tunnel-1", "title": "一号隧道", "sector": "lifeline"})
    assert added.location == "/sites/tunnel-1"
    assert client.post("/sites", data={"key": "tunnel-1"}).status_code == 409
    assert client.post("/sites", data={"key": "No!"}).status_code == 422
    about = {"change": "about", "title": "隧道", "sector": "", "lat": "29.5", "lon": "106.5"}
    assert client.post("/sites/tunnel-1", data=about).status_code == 302
    assert "隧道" in client.get("/sites").text
    wrong = client.post("/sites/tunnel-1", data={"change": "about", "lat": "x", "lon": "1"})
    assert "x" in wrong.text
    assert wrong.status_code == 422
    assert client.post("/sites/tunnel-1", data={"change": "devices", "devices": EXPECTED}).status_code == 302
    assert "西门探测器" in client.get("/sites/tunnel-1").text
    assert client.post("/sites/tunnel-1", data={"change": "devices", "devices": "x"}).status_code == 422
    assert client.post("/sites/nowhere", data=about).status_code == 404


def test_an_enterprise_sees_its_own_site_and_changes_nothing(app: Flask) -> None:
    client = browser(app, "mine")
    listed = client.get("/sites").text
    assert "鱼复化工" in listed
    assert "龙兴" not in listed
    assert client.get(f"/sites/{SITE}").status_code == 200
    assert client.get("/sites/elsewhere").status_code == 404
    assert client.post(f"/sites/{SITE}", data={"change": "about"}).status_code == 403
    assert [site["key"] for site in client.get("/api/sites").json["sites"]] == [SITE]  # type: ignore[index]


def test_the_api_tells_and_takes_the_same(app: Flask) -> None:
    client = browser(app, "op")
    made = client.post("/api/sites", json={"key": "tunnel-1", "title": "一号隧道", "lat": 29.5, "lon": 106.5})
    assert made.status_code == 201
    assert client.post("/api/sites", json={"key": "tunnel-1"}).status_code == 409
    assert client.post("/api/sites", json={"key": "tunnel-2", "lat": 29.5}).status_code == 422
    assert client.put("/api/sites/tunnel-1/expected", json={"csv": EXPECTED}).json == {"csv": EXPECTED}
    shown = client.get("/api/sites/tunnel-1").json
    assert shown is not None
    assert (shown["devices"], shown["connected"], shown["registered"], shown["access_rate"]) == (2, 0, 5, 0.0)
    assert [row["name"] for row in shown["device_list"]] == ["gd-99", "tank-01"]
    assert client.put("/api/sites/tunnel-1", json={"title": "隧道"}).json["title"] == "隧道"  # type: ignore[index]


def test_a_plan_is_true_to_scale_north_up() -> None:
    plan = draw_plan([(29.70, 106.60, 0, "south", "s"), (29.79, 106.60, 2, "north", "n"), (None, None, 1, "", "")])
    assert plan is not None
    marks = {mark.key: mark for mark in plan.marks}
    assert set(marks) == {"s", "n"}
    apart = marks["s"].y - marks["n"].y
    assert apart > 0
    assert apart / plan.bar * plan.bar_km == pytest.approx(0.09 * 111.195, rel=0.01)
    assert draw_plan([(None, 1.0, 0, "", "")]) is None
