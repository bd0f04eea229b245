"""A gateway that says absurd things of itself spoils no page and no answer for anybody."""

from __future__ import annotations

import json
import math

import pytest
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client import CollectorRegistry

from fleet.accounts import service as accounts
from fleet.accounts.models import Role
from fleet.app import create_app
from fleet.bootstrap import Services
from fleet.committer import Committer
from fleet.gateways import service as gateways
from fleet.live import LiveHealth, LiveValue
from fleet.metrics import IngestMetrics
from tests.fleet import edge
from tests.fleet.conftest import START_NS
from tests.fleet.console.test_pages import PASSWORD, csrf, sign_in
from tests.fleet.identity import found_authority
from wire.record import AlarmRecord, AuditRecord, Lane, Layout, layout_id
from wire.topics import Up
from wire.twin import AlarmInfo, DeviceInfo, TagInfo

SCRIPT = "<script>alert(1)</script>"
LONG = "烽" * 20_000
CONTROL = "a\x01\x1b[31m\r\n\u202e\ufffd'\">"
RANGES = [
    (-1e308, 1e308), (-math.inf, math.inf), (math.nan, 1.0), (0.0, math.nan), (0.0, 5e-324), (1e308, None),
    (None, -math.inf), (5.0, 5.0), (9.0, 1.0), (1e15, 1e15 + 0.125), (-1e15, 1e15),
]  # fmt: skip
VALUES = [math.nan, math.inf, -math.inf, 1e308, -1e308, 5e-324, 2**64 - 1, -(2**63), LONG, SCRIPT, CONTROL, True, None]
TAGS = [f"a.t{n}" for n in range(len(VALUES))]


def describe(n: int, name: str) -> TagInfo:
    low, high = RANGES[n % len(RANGES)]
    limits = {"high": 1e308, "high-high": math.inf, "low": math.nan, "low-low": -1e300, SCRIPT: 1.0, "rate": 5e-324}
    text = (SCRIPT, LONG, CONTROL)[n % 3]
    return TagInfo(name=name, title=text, unit=text[:300], device="a", group=text, low=low, high=high, limits=limits)


@pytest.fixture
def client(services: Services) -> FlaskClient:
    with services.database.writing() as session:
        accounts.add(session, "wang", PASSWORD, Role.OPERATOR, services.clock())
        gateways.register(session, edge.GATEWAY, "", None, services.clock())
    committer = Committer(services.database, IngestMetrics(CollectorRegistry()), services.clock)
    tags = tuple(describe(n, name) for n, name in enumerate(TAGS))
    alarms = tuple(AlarmInfo(name=f"{tag}:high", tag=tag, level="high", limit=math.inf, priority=-9) for tag in TAGS)
    devices = (DeviceInfo(name="a", title=SCRIPT + CONTROL),)
    told = edge.reported(version=7, title=SCRIPT + LONG, tags=tags, alarms=alarms, devices=devices, reason=CONTROL)
    committer.commit([edge.up(Up.REPORTED, told)])
    opened = committer.commit([edge.up(Up.HELLO, edge.hello())])[0].message.session  # type: ignore[union-attr]
    layout = Layout(SCRIPT, tuple(TAGS))
    scans = [edge.scan(-n, *VALUES[n:], *VALUES[:n], layout=layout) for n in range(len(VALUES))]
    raised = [
        AlarmRecord(0, START_NS, f"{tag}:{SCRIPT}", tag, SCRIPT, "raised", 10**15, value, math.inf)
        for tag, value in zip(TAGS, VALUES, strict=True)
    ]
    audit = AuditRecord(0, 2**63 - 1, SCRIPT, LONG)
    wide = layout_id(layout)
    committer.commit(
        [
            edge.up(Up.BATCH, edge.batch(opened, 1, *scans, SCRIPT.encode(), layouts={wide: layout})),
            edge.up(Up.BATCH, edge.batch(opened, 1, *raised, audit, lane=Lane.ALARMS)),
        ]
    )
    live = {tag: LiveValue(value, 2**40, 2**64 - 1) for tag, value in zip(TAGS[::2], VALUES[::2], strict=True)}
    services.live.put_values(edge.GATEWAY, live)
    health = {
        "release": SCRIPT, "uptime_s": 1e308, "clock": SCRIPT, "spool_bytes": -(2**63), "spool_max_bytes": 2**64 - 1,
        "lanes": {"A": {"pending": 2**64 - 1, "tombstoned": -(2**63)}}, "groups": {},
        "buses": {CONTROL: {"kind": SCRIPT, "up": False, "busy": 1e308, "error": LONG}},
        "outputs": {SCRIPT: {"state": SCRIPT, "since_ns": 2**64 - 1, "error": CONTROL}},
    }  # fmt: skip
    services.live.put_health(edge.GATEWAY, LiveHealth(health, services.clock()))
    found_authority(services)
    client = create_app(services).test_client()
    assert sign_in(client) == (302, "/")
    return client


def pages(app: Flask) -> list[str]:
    found = []
    for rule in app.url_map.iter_rules():
        if "GET" not in (rule.methods or ()) or "<path:" in rule.rule or "<filename" in rule.rule:
            continue
        if rule.rule.endswith("/events"):
            continue  # a stream: it would not end
        path = rule.rule.replace("<name>", edge.GATEWAY)
        found += [path.replace("<tag>", tag) for tag in (TAGS if "<tag>" in path else [""])]
    return [*found, "/alarms?state=journal", "/gateways?sort=-seen", f"/gateways/{edge.GATEWAY}?show=bad"]


def test_every_page_and_route_answers_whatever_a_gateway_says(client: FlaskClient) -> None:
    paths = pages(client.application)
    assert len(paths) > 40
    for path in paths:
        answer = client.get(path, query_string={"tag": TAGS[0]} if path.endswith("/readings") else None)
        assert answer.status_code < 500, path
        assert SCRIPT not in answer.text or answer.is_json or answer.mimetype == "text/csv" or path == "/metrics", path
        if answer.is_json:
            json.loads(answer.text, parse_constant=lambda word, path=path: pytest.fail(f"{path}: {word}"))


def test_what_an_event_stream_sends_first_is_drawn(client: FlaskClient) -> None:
    answer = client.get(f"/gateways/{edge.GATEWAY}/events", buffered=False)
    parts = answer.iter_encoded()
    assert next(parts) == b"retry: 1000\n\n"
    assert b"event: tags" in next(parts)
    answer.close()


@pytest.mark.parametrize("value", ["9" * 23, "-1", str(2**63), "1e9", "x", "", "\0", "٣"])
def test_no_number_of_an_address_is_an_error(client: FlaskClient, value: str) -> None:
    for path, names in {
        "/alarms": ("before", "priority"), "/gateways": ("page",), "/api/alarms/journal": ("before", "limit"),
        "/api/quarantine": ("before", "limit"),
        f"/api/gateways/{edge.GATEWAY}/readings?tag={TAGS[0]}": ("from", "to", "buckets"),
    }.items():  # fmt: skip
        for name in names:
            query = {name: value, "state": "journal"} if path == "/alarms" else {name: value}
            answer = client.get(path.partition("?")[0], query_string={"tag": TAGS[0], **query})
            assert answer.status_code in ((200, 400, 422) if "/api/" in path else (200,)), (path, name)


def test_a_version_too_large_to_store_is_refused(client: FlaskClient) -> None:
    path, body = f"/api/gateways/{edge.GATEWAY}/desired", {"version": 10**22, "config": {}}
    assert client.put(path, json=body).status_code == 400, "a cookie alone changes nothing"
    assert client.put(path, json=body, headers={"X-CSRFToken": csrf(client)}).status_code == 422


@pytest.mark.parametrize(("low", "high"), RANGES[:-1])
def test_an_absurd_range_is_not_stored(low: float | None, high: float | None) -> None:
    kept = gateways.read_range(low, high)
    assert None in kept
    assert all(end is None or math.isfinite(end) for end in kept)
