"""Remote diagnosis in the fleet: asked by whom may, files only of what was asked, every request and download told."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry

from fleet.accounts import service as accounts
from fleet.accounts.models import Role
from fleet.app import create_app
from fleet.audit.models import AuditLine
from fleet.bootstrap import Services
from fleet.commands.keys import found_key
from fleet.commands.models import GatewayCommand
from fleet.committer import Committer
from fleet.diagnosis import service
from fleet.gateways import service as gateways
from fleet.metrics import IngestMetrics
from fleet.readings.models import Quarantined
from fleet.upkeep import Upkeep
from tests.fleet import edge
from tests.fleet.conftest import START_NS, Clock, both_databases
from wire.command import CAPTURE_MOST_S, DONE
from wire.record import FILE_PART_OCTETS, FILE_PARTS_MOST, AuditRecord, FileRecord, Lane
from wire.topics import Up

OTHER = "gw-yufu-0002"
PASSWORD = "correct horse"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)])
def database_url(request: pytest.FixtureRequest) -> str:
    return both_databases(request)


class Fleet:
    """A fleet with two gateways that can be asked, and the API of an operator."""

    def __init__(self, services: Services) -> None:
        self.services = services
        found_key(services.settings.data_dir)
        self.committer = Committer(services.database, IngestMetrics(CollectorRegistry()), services.clock)
        with services.database.writing() as session:
            for name in (edge.GATEWAY, OTHER):
                gateways.register(session, name, "", None, START_NS)
            for role in (Role.OPERATOR, Role.TECHNICIAN):
                accounts.add(session, role.value, PASSWORD, role, START_NS)
        told = edge.reported(commands=("logs", "support-bundle", "read-device", "capture-bus"))
        self.committer.commit([edge.up(Up.REPORTED, told, name) for name in (edge.GATEWAY, OTHER)])
        self.client = create_app(services).test_client()

    def call(self, method: str, path: str, role: Role = Role.OPERATOR, **keywords: Any) -> Any:
        word = base64.b64encode(f"{role.value}:{PASSWORD}".encode()).decode()
        return self.client.open(
            f"/api/gateways{path}", method=method, headers={"Authorization": f"Basic {word}"}, **keywords
        )

    def ask(self, what: str = "logs", **given: Any) -> str:
        answer = self.call("POST", f"/{edge.GATEWAY}/diagnosis", json={"what": what, **given})
        assert answer.status_code == 201, answer.text
        return str(answer.json["id"])

    def bring(self, *records: Any, gateway: str = edge.GATEWAY, lane: Lane = Lane.WAVEFORMS) -> None:
        (reply,) = self.committer.commit([edge.up(Up.HELLO, edge.hello(gateway=gateway), gateway)])
        first = reply.message.cursors.get("e1", {}).get(lane, 0) + 1  # type: ignore[union-attr]
        batch = edge.batch(reply.message.session, first, *records, lane=lane)  # type: ignore[union-attr]
        self.committer.commit([edge.up(Up.BATCH, batch, gateway)])

    def download(self, asked: str, role: Role = Role.OPERATOR, gateway: str = edge.GATEWAY) -> Any:
        return self.call("GET", f"/{gateway}/diagnosis/{asked}/file", role)

    def state(self, asked: str) -> service.Request:
        with self.services.database.reading() as session:
            return service.get(session, edge.GATEWAY, asked, self.services.clock())

    def audited(self) -> list[tuple[str, str]]:
        with self.services.database.reading() as session:
            lines = session.scalars(sa.select(AuditLine).order_by(AuditLine.id)).all()
            return [(line.actor, line.action) for line in lines if line.action.startswith("diagnosis.")]


@pytest.fixture
def fleet(services: Services) -> Fleet:
    return Fleet(services)


def part(asked: str, number: int = 1, of: int = 1, payload: bytes = b"log") -> FileRecord:
    return FileRecord(1, START_NS, asked, number, of, payload)


def done(asked: str) -> AuditRecord:
    return AuditRecord(1, START_NS, DONE, "logs of operator: 6 octets follow in 2 parts", asked)


def test_a_file_is_there_once_all_its_parts_are(fleet: Fleet) -> None:
    asked = fleet.ask()
    assert fleet.state(asked).state == "pending"
    fleet.bring(done(asked), lane=Lane.ALARMS)
    fleet.bring(part(asked, 2, 2, b"def"))
    assert (fleet.state(asked).state, fleet.state(asked).parts, fleet.state(asked).of) == ("arriving", 1, 2)
    assert fleet.download(asked).status_code == 409
    fleet.bring(part(asked, 1, 2, b"abc"))
    answer = fleet.download(asked)
    assert (answer.status_code, answer.data) == (200, b"abcdef")
    assert answer.headers["Content-Disposition"] == f"attachment; filename={edge.GATEWAY}-logs-{asked[:8]}.log.gz"
    assert fleet.state(asked).state == "done"


def test_every_request_and_every_download_that_was_given_is_in_the_audit_log(fleet: Fleet) -> None:
    asked = fleet.ask()
    fleet.download(asked)
    fleet.bring(part(asked))
    fleet.download(asked)
    fleet.download(asked)
    assert fleet.audited() == [("operator", "diagnosis.ask"), *[("operator", "diagnosis.download")] * 2]


def test_a_recording_of_a_bus_is_asked_for_with_its_seconds_and_its_file_is_an_archive(fleet: Fleet) -> None:
    asked = fleet.ask("capture", bus="plc", seconds=30)
    assert (fleet.state(asked).bus, fleet.state(asked).device) == ("plc", "")
    with fleet.services.database.reading() as session:
        row = session.get_one(GatewayCommand, asked)
        assert (row.name, row.arguments) == ("capture-bus", {"bus": "plc", "seconds": 30})
        (line,) = session.scalars(sa.select(AuditLine).where(AuditLine.action == "diagnosis.ask"))
        assert json.loads(line.detail) == {"what": "capture", "device": "", "bus": "plc", "seconds": 30}
    fleet.bring(part(asked, payload=b"PK"))
    answer = fleet.download(asked)
    assert (answer.data, answer.mimetype) == (b"PK", "application/zip")
    assert answer.headers["Content-Disposition"].endswith(f"{edge.GATEWAY}-capture-{asked[:8]}.zip")


def test_a_recording_lasts_some_seconds_unless_it_is_said(fleet: Fleet) -> None:
    asked = fleet.ask("capture", bus="plc")
    with fleet.services.database.reading() as session:
        assert session.get_one(GatewayCommand, asked).arguments["seconds"] == service.SECONDS


def test_a_gateway_of_an_earlier_release_is_not_asked_for_what_it_does_not_know(fleet: Fleet) -> None:
    fleet.committer.commit([edge.up(Up.REPORTED, edge.reported(commands=("logs", "report")))])
    answer = fleet.call("POST", f"/{edge.GATEWAY}/diagnosis", json={"what": "capture", "bus": "plc"})
    assert answer.status_code == 409
    assert "does not carry out 'capture-bus'" in answer.text


def test_a_technician_neither_asks_nor_downloads(fleet: Fleet) -> None:
    asked = fleet.ask()
    fleet.bring(part(asked))
    assert fleet.download(asked, Role.TECHNICIAN).status_code == 403
    answer = fleet.call("POST", f"/{edge.GATEWAY}/diagnosis", Role.TECHNICIAN, json={"what": "logs"})
    assert answer.status_code == 403


@pytest.mark.parametrize(
    "hostile",
    [
        {"number": 0},
        {"number": 3, "of": 2},
        {"of": FILE_PARTS_MOST + 1},
        {"payload": bytes(FILE_PART_OCTETS + 1)},
    ],
)
def test_a_part_past_its_bounds_is_quarantined(fleet: Fleet, hostile: dict[str, Any]) -> None:
    asked = fleet.ask()
    fleet.bring(part(asked, **hostile))
    assert fleet.state(asked).parts == 0
    with fleet.services.database.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Quarantined)) == 1


def test_another_gateways_part_is_none_of_the_file(fleet: Fleet) -> None:
    asked = fleet.ask()
    fleet.bring(part(asked, payload=b"forged"), gateway=OTHER)
    assert fleet.state(asked).parts == 0
    assert fleet.download(asked, gateway=OTHER).status_code == 404


def test_the_first_of_a_part_counts_and_so_does_the_number_of_parts_it_tells(fleet: Fleet) -> None:
    asked = fleet.ask()
    fleet.bring(part(asked, 1, 2, b"abc"), part(asked, 1, 2, b"xyz"))
    fleet.bring(part(asked, 2, 3, b"xyz"), part(asked, 2, 2, b"d"))
    assert fleet.download(asked).data == b"abcd"


@pytest.mark.parametrize("command", ["f" * 32, "../../etc/passwd", ""])
def test_what_nobody_asked_for_is_no_file_anywhere(fleet: Fleet, command: str) -> None:
    fleet.bring(part(command))
    with fleet.services.database.reading() as session:
        assert service.list_requests(session, edge.GATEWAY, START_NS) == []


def test_a_command_that_asks_for_no_file_takes_none(fleet: Fleet) -> None:
    fleet.committer.commit([edge.up(Up.REPORTED, edge.reported(commands=("report",)))])
    answer = fleet.call("POST", f"/{edge.GATEWAY}/commands", json={"name": "report"})
    fleet.bring(part(answer.json["id"]))
    assert fleet.download(answer.json["id"]).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {"what": "shell"},
        {"what": "read"},
        {"what": "logs", "device": "tank"},
        {"what": "capture"},
        {"what": "capture", "device": "tank"},
        {"what": "capture", "bus": "plc", "seconds": 0},
        {"what": "capture", "bus": "plc", "seconds": CAPTURE_MOST_S + 1},
        {"what": "read", "device": "tank", "bus": "plc"},
        {"what": "logs", "seconds": 5},
    ],
)
def test_what_cannot_be_asked_is_refused_with_a_reason(fleet: Fleet, body: dict[str, Any]) -> None:
    answer = fleet.call("POST", f"/{edge.GATEWAY}/diagnosis", json=body)
    assert answer.status_code in {400, 422}
    assert answer.json.get("error") or answer.json["detail"]


def test_a_gateway_is_not_buried_in_requests(fleet: Fleet) -> None:
    for _ in range(service.PENDING_MOST):
        fleet.ask()
    assert fleet.call("POST", f"/{edge.GATEWAY}/diagnosis", json={"what": "logs"}).status_code == 409


async def test_files_go_after_a_week(fleet: Fleet, clock: Clock) -> None:
    asked = fleet.ask()
    fleet.bring(part(asked))
    await Upkeep(fleet.services).tend()
    assert fleet.state(asked).is_complete
    clock.advance(8 * 86_400)
    await Upkeep(fleet.services).tend()
    assert not fleet.state(asked).is_complete
    assert fleet.download(asked).status_code == 409
