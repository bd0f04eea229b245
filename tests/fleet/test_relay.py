from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import msgspec
import pytest
from prometheus_client import CollectorRegistry

from fleet.bootstrap import Services
from fleet.committer import Committer
from fleet.gateways import service as gateways
from fleet.metrics import IngestMetrics
from fleet.relay import program, service
from fleet.relay.delivery import DeliveryError, deliver
from fleet.relay.program import Relay
from fleet.sites import service as sites
from tests.fleet import edge
from tests.fleet.broker_fixtures import until
from wire.conversation import Clock as WireClock
from wire.conversation import Welcome
from wire.record import ActionRecord, AuditRecord, Lane
from wire.topics import Up

URL = "http://platform.test/records"


class Platform:
    """A destination in memory that counts by key and can misbehave."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.headers: list[str] = []
        self.records: dict[str, dict[str, Any]] = {}
        self.answer: Callable[[dict[str, Any]], httpx.Response] = lambda _: httpx.Response(200)

    async def handle(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        self.requests.append(body)
        self.headers.append(request.headers["Idempotency-Key"])
        response = self.answer(body)
        if response.is_success:
            self.keep(body)
        return response

    def keep(self, body: dict[str, Any]) -> None:
        for record in body["records"]:
            assert self.records.setdefault(record["key"], record) == record

    def of(self, lane: Lane) -> list[int]:
        return [record["seq"] for record in self.records.values() if record["lane"] == lane]


class Source:
    """Commits records as ingest would."""

    def __init__(self, services: Services) -> None:
        self.committer = Committer(services.database, IngestMetrics(CollectorRegistry()), services.clock)
        with services.database.writing() as session:
            sites.add(session, "yufu-chem", "鱼复化工", "chemical")
            gateways.register(session, edge.GATEWAY, "", "yufu-chem", services.clock())
            service.add(session, "district", "http-json", URL, services.clock())
        self.committer.commit([edge.up(Up.REPORTED, edge.reported())])
        (reply,) = self.committer.commit([edge.up(Up.HELLO, edge.hello())])
        assert isinstance(reply.message, Welcome)
        self.session = reply.message.session

    def add(self, first: int, *records: Any, **changes: Any) -> None:
        assert self.committer.commit([edge.up(Up.BATCH, edge.batch(self.session, first, *records, **changes))])


@pytest.fixture
def platform() -> Platform:
    return Platform()


@pytest.fixture
def source(services: Services) -> Source:
    return Source(services)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "BACKOFF_MIN_S", 0.01)
    monkeypatch.setattr(program, "POLL_S", {Lane.ALARMS: 0.01, Lane.MEASUREMENTS: 0.01})


@asynccontextmanager
async def relaying(services: Services, platform: Platform) -> AsyncIterator[Relay]:
    relay = Relay(services, transport=httpx.MockTransport(platform.handle))
    running = asyncio.create_task(relay.run())
    try:
        yield relay
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_records_arrive_with_key_site_times_and_values(
    services: Services, source: Source, platform: Platform
) -> None:
    source.add(1, edge.scan(1.5, 50.0, 20.5), edge.scan(2, 51.0, 7.0, quality=b"\x41\x81"))
    source.add(1, edge.alarm(3, "raised"), ActionRecord(1, None, "siren", "on", "x", 3_500_000), lane=Lane.ALARMS)
    source.add(3, AuditRecord(1, None, "started", "0.1.0"), lane=Lane.ALARMS, clock=WireClock())
    async with relaying(services, platform):
        await until(lambda: len(platform.records) == 5)
    scans = [record for record in platform.records.values() if record["kind"] == "scan"]
    level = {"value": 50.0, "quality": "good", "unit": "%"}
    assert scans[0]["values"] == {
        "tank-01.level": level,
        "tank-01.temperature": {"value": 20.5, "quality": "good", "unit": "°C"},
    }
    assert [scans[0][key] for key in ("gateway", "site", "epoch", "lane", "seq", "group")] == [
        edge.GATEWAY, "yufu-chem", "e1", "M", 1, "tank-01:fast",
    ]  # fmt: skip
    assert scans[0]["captured_at"] == "2026-09-21T14:13:21.500Z"
    assert scans[1]["values"]["tank-01.level"]["quality"] == "uncertain"
    assert scans[1]["values"]["tank-01.temperature"] == {"value": None, "quality": "bad", "unit": "°C"}
    alarm, action, audit = (record for record in platform.records.values() if record["lane"] == "A")
    assert (alarm["kind"], alarm["change"], alarm["level"], alarm["limit"]) == ("alarm", "raised", "high", 90.0)
    assert (action["kind"], action["delay_ms"]) == ("action", 3.5)
    assert (audit["kind"], audit["captured_at"]) == ("audit", None)
    assert all(request["destination"] == "district" for request in platform.requests)


async def test_of_a_scan_reported_in_part_only_those_values_go_on(
    services: Services, source: Source, platform: Platform
) -> None:
    source.add(1, msgspec.structs.replace(edge.scan(1, 20.5), columns=b"\x02"))
    async with relaying(services, platform):
        await until(lambda: len(platform.records) == 1)
    (scan,) = platform.records.values()
    assert scan["values"] == {"tank-01.temperature": {"value": 20.5, "quality": "good", "unit": "°C"}}


@pytest.mark.parametrize("trouble", ["time-out", "500", "400", "garbage"])
async def test_the_same_keys_come_again_until_the_destination_takes_them(
    services: Services, source: Source, platform: Platform, trouble: str
) -> None:
    source.add(1, edge.scan(1, 1.0, 1.0), edge.scan(2, 2.0, 2.0))

    def fail(body: dict[str, Any]) -> httpx.Response:
        if len(platform.requests) > 3:
            return httpx.Response(200)
        if trouble == "time-out":
            platform.keep(body)  # it arrived, but nobody heard
            raise httpx.ReadTimeout("too slow")
        if trouble == "garbage":
            raise httpx.RemoteProtocolError("not HTTP")
        return httpx.Response(int(trouble), text="no\nthanks")

    platform.answer = fail
    async with relaying(services, platform):
        await until(lambda: _status(services, Lane.MEASUREMENTS).relayed == 2)
    assert len(set(platform.headers)) == 1
    assert platform.of(Lane.MEASUREMENTS) == [1, 2]
    state = _status(services, Lane.MEASUREMENTS)
    assert (state.failures, state.behind) == (0, 0)
    assert state.last_error


async def test_alarms_pass_while_measurements_are_refused(
    services: Services, source: Source, platform: Platform
) -> None:
    platform.answer = lambda body: httpx.Response(503 if body["records"][0]["lane"] == "M" else 200)
    source.add(1, *(edge.scan(n, 1.0, 1.0) for n in range(1, 50)))
    async with relaying(services, platform) as relay:
        await until(lambda: _status(services, Lane.MEASUREMENTS).failures > 0)
        source.add(1, edge.alarm(1, "raised"), lane=Lane.ALARMS)
        await until(lambda: platform.of(Lane.ALARMS) == [1])
        assert relay.health() == {"ok": True, "database": True, "failing": 1}
    refused = _status(services, Lane.MEASUREMENTS)
    assert (refused.position, refused.behind) == (0, 49)
    assert "503" in refused.last_error


async def test_a_restarted_relay_goes_on_where_it_stood(services: Services, source: Source, platform: Platform) -> None:
    source.add(1, *(edge.scan(n, 1.0, 1.0) for n in range(1, 1201)))
    async with relaying(services, platform):
        await until(lambda: len(platform.requests) >= 1)
    async with relaying(services, platform):
        await until(lambda: _status(services, Lane.MEASUREMENTS).behind == 0)
    assert platform.of(Lane.MEASUREMENTS) == list(range(1, 1201))
    assert _status(services, Lane.MEASUREMENTS).relayed == 1200


async def test_a_destination_added_while_running_gets_every_record(
    services: Services, source: Source, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "DESTINATIONS_POLL_S", 0.02)
    source.add(1, edge.scan(1, 1.0, 1.0))
    async with relaying(services, platform):
        await until(lambda: len(platform.records) == 1)
        with services.database.writing() as session:
            service.add(session, "bureau", "http-json", URL, services.clock())
        await until(lambda: len(platform.records) == 2)
    assert {request["destination"] for request in platform.requests} == {"district", "bureau"}


def test_keys_differ_by_every_part_of_a_records_identity() -> None:
    def key(**changes: Any) -> str:
        row = {"gateway": "g", "epoch": "e", "lane": "M", "seq": 1, **changes}
        destination = row.pop("destination", "d")
        return program.document.record_key(
            destination,
            service.OutboxRow(position=1, site=None, received_ns=0, captured_ns=None, body=b"", **row),
        )

    keys = {key(), key(gateway="x"), key(epoch="x"), key(lane="A"), key(seq=2), key(destination="x")}
    assert len(keys) == 6
    assert key(gateway="ge", epoch="") != key(gateway="g", epoch="e")
    assert key() == key()


def _status(services: Services, lane: Lane) -> service.LaneStatus:
    with services.database.reading() as session:
        return next(state for state in service.status(session) if state.lane is lane)


@pytest.mark.parametrize("body", ["<html>It works!</html>", "[]", '"ok"', "accepted"])
async def test_success_without_a_platform_behind_it_is_none(body: str) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, text=body))
    async with httpx.AsyncClient(transport=transport) as client:
        with pytest.raises(DeliveryError, match="answered 200"):
            await deliver(client, "http://platform.example/records", "k", b"{}")


@pytest.mark.parametrize("body", ["", "  ", "{}", '{"accepted": 3}'])
async def test_success_may_say_nothing_or_an_object(body: str) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, text=body))
    async with httpx.AsyncClient(transport=transport) as client:
        await deliver(client, "http://platform.example/records", "k", b"{}")
