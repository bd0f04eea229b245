"""Commands in the fleet: issued by whom may, sent until answered or expired, and answered by lane A alone."""

from __future__ import annotations

import base64
from itertools import pairwise
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from fleet.accounts import service as accounts
from fleet.accounts.models import Role
from fleet.app import create_app
from fleet.backup import back_up, restore
from fleet.bootstrap import Services, bootstrap
from fleet.cli import main
from fleet.commands import service
from fleet.commands.cli import read_arguments
from fleet.commands.keys import FILE, PUBLIC_FILE, found_key, load_key, write_public
from fleet.committer import Committer
from fleet.courier import AGAIN_FIRST_NS, AGAIN_MOST_NS, Turns
from fleet.errors import ConflictError, InvalidError, NotFoundError, SetupError
from fleet.gateways import service as gateways
from fleet.metrics import IngestMetrics
from fleet.settings import load
from provisioning.signing import read_public_key, verify
from tests.fleet import edge
from tests.fleet.conftest import START_NS, Clock, both_databases
from wire.command import DONE, INTERRUPTED, REFUSED, Command
from wire.conversation import Welcome
from wire.record import AuditRecord, FoldedRecord, Lane
from wire.topics import Down, Up

OTHER = "gw-yufu-0002"
NS = 1_000_000_000


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    return both_databases(request)


class Fleet:
    """A fleet with two gateways that carry out commands, and the ingest that reads them."""

    def __init__(self, services: Services) -> None:
        self.services = services
        found_key(services.settings.data_dir)
        self.committer = Committer(services.database, IngestMetrics(CollectorRegistry()), services.clock)
        with services.database.writing() as session:
            for name in (edge.GATEWAY, OTHER):
                gateways.register(session, name, "", None, START_NS)
        report = edge.reported(commands=("log-level", "report"))
        self.committer.commit([edge.up(Up.REPORTED, report, name) for name in (edge.GATEWAY, OTHER)])
        self.seq = 0

    def key(self):
        return load_key(self.services.settings.data_dir)

    def issue(self, name: str = "report", arguments=None, gateway: str = edge.GATEWAY, lifetime_s: float = 60.0) -> str:
        with self.services.database.writing() as session:
            now_ns = self.services.clock()
            return service.issue(session, self.key, gateway, name, arguments or {}, "李", lifetime_s, now_ns).id

    def outstanding(self) -> list[tuple[str, str, Command]]:
        with self.services.database.reading() as session:
            return service.outstanding(session, self.services.clock())

    def state(self, command_id: str, gateway: str = edge.GATEWAY) -> tuple[str, str]:
        with self.services.database.reading() as session:
            row = service.get(session, gateway, command_id)
            return service.state(row, self.services.clock()), row.detail

    def answer(self, *records, gateway: str = edge.GATEWAY) -> None:
        (reply,) = self.committer.commit([edge.up(Up.HELLO, edge.hello(gateway=gateway), gateway)])
        assert isinstance(reply.message, Welcome)
        first = reply.message.cursors.get("e1", {}).get(Lane.ALARMS, 0) + 1
        batch = edge.batch(reply.message.session, first, *records, lane=Lane.ALARMS)
        (reply,) = self.committer.commit([edge.up(Up.BATCH, batch, gateway)])
        assert reply.kind is Down.ACK


@pytest.fixture
def fleet(services: Services) -> Fleet:
    return Fleet(services)


def answer(command_id: str, event: str = DONE, detail: str = "report of 李: reported") -> AuditRecord:
    return AuditRecord(1, START_NS, event, detail, command_id)


def test_issued_command_is_signed_names_everything_and_is_pending(fleet: Fleet) -> None:
    command_id = fleet.issue("log-level", {"level": "debug"})
    ((gateway, key, command),) = fleet.outstanding()
    order = verify(fleet.key().public_key(), command)
    assert order is not None
    assert (gateway, key, order.id, order.gateway) == (edge.GATEWAY, command_id, command_id, edge.GATEWAY)
    assert (order.name, order.arguments, order.author) == ("log-level", {"level": "debug"}, "李")
    assert (order.issued_ns, order.expires_ns) == (START_NS, START_NS + 60 * NS)
    assert fleet.state(command_id) == ("pending", "")


@pytest.mark.parametrize("event", [DONE, REFUSED, INTERRUPTED])
def test_answer_in_lane_a_ends_the_sending_and_says_what_came_of_it(fleet: Fleet, event: str) -> None:
    command_id = fleet.issue()
    fleet.answer(answer(command_id, event, "so it was"))
    assert fleet.outstanding() == []
    assert fleet.state(command_id) == (event.removeprefix("command-"), "so it was")


def test_first_answer_counts_also_after_the_expiry(fleet: Fleet, clock: Clock) -> None:
    command_id = fleet.issue()
    clock.advance(61)
    assert fleet.outstanding() == []
    assert fleet.state(command_id) == ("expired", "")
    fleet.answer(answer(command_id), answer(command_id, INTERRUPTED, "later"))
    assert fleet.state(command_id) == ("done", "report of 李: reported")


def test_answer_of_another_gateway_of_no_command_or_of_another_word_changes_nothing(fleet: Fleet) -> None:
    command_id = fleet.issue()
    fleet.answer(answer(command_id), gateway=OTHER)
    odd = ("", "f" * 32, "a\0b", "../x", command_id.upper())
    fleet.answer(*(answer(name) for name in odd), answer(command_id, "started"), FoldedRecord(1, None, "r", 2, 0, None))
    assert fleet.state(command_id) == ("pending", "")


def test_commands_that_a_gateway_has_not_reported_are_not_issued(fleet: Fleet) -> None:
    with pytest.raises(ConflictError, match="explode") as caught:
        fleet.issue("explode")
    assert "log-level, report" in caught.value.hint
    fleet.committer.commit([edge.up(Up.REPORTED, edge.reported())])
    with pytest.raises(ConflictError) as caught:
        fleet.issue()
    assert "no key" in caught.value.hint
    with pytest.raises(NotFoundError):
        fleet.issue(gateway="gw-nowhere-1")


@pytest.mark.parametrize(
    ("arguments", "lifetime_s"),
    [({}, 0.0), ({}, 8 * 86_400.0), ({"n": 2**70}, 60.0), ({"text": "x" * 20_000}, 60.0)],
    ids=["no time", "a week and a day", "endless number", "too large"],
)
def test_command_that_cannot_be_is_refused(fleet: Fleet, arguments, lifetime_s: float) -> None:
    with pytest.raises(InvalidError):
        fleet.issue(arguments=arguments, lifetime_s=lifetime_s)
    assert fleet.outstanding() == []


def test_commands_of_another_gateway_are_not_shown(fleet: Fleet) -> None:
    command_id = fleet.issue()
    with fleet.services.database.reading() as session, pytest.raises(NotFoundError):
        service.get(session, OTHER, command_id)


def test_command_is_sent_again_with_growing_pauses_until_it_is_no_longer_outstanding() -> None:
    turns = Turns()
    outstanding = [(edge.GATEWAY, "c1", Command(order=b"", signature=bytes(64)))]
    sent_s = [now_s for now_s in range(2000) if turns.take_due(outstanding, now_s * NS)]
    pauses = [(b - a) * NS for a, b in pairwise(sent_s)]
    assert pauses[:3] == [AGAIN_FIRST_NS, 2 * AGAIN_FIRST_NS, 4 * AGAIN_FIRST_NS]
    assert max(pauses) == AGAIN_MOST_NS
    assert turns.take_due([], 0) == []
    assert turns._sent == {}


def test_a_clock_that_is_put_back_holds_up_no_command() -> None:
    turns = Turns()
    outstanding = [(edge.GATEWAY, "c1", Command(order=b"", signature=bytes(64)))]
    assert turns.take_due(outstanding, 86_400 * NS) == outstanding
    assert turns.take_due(outstanding, 0) == outstanding
    assert turns.take_due(outstanding, NS) == []


def test_welcome_says_which_hello_it_answers_and_that_parts_are_joined(fleet: Fleet) -> None:
    import msgspec

    hello = msgspec.structs.replace(edge.hello(), id="h-7")
    (reply,) = fleet.committer.commit([edge.up(Up.HELLO, hello)])
    assert isinstance(reply.message, Welcome)
    assert (reply.message.hello, reply.message.joins_parts) == ("h-7", True)


# the API


def call(fleet: Fleet, method: str, path: str, role: Role = Role.OPERATOR, **options):
    with fleet.services.database.writing() as session:
        if accounts.find_credential(session, role.value).owner is None:
            accounts.add(session, role.value, "geheim-42", role, START_NS)
    given = base64.b64encode(f"{role.value}:geheim-42".encode()).decode()
    client = create_app(fleet.services).test_client()
    return client.open(f"/api{path}", method=method, headers={"Authorization": f"Basic {given}"}, **options)


def test_api_issues_lists_and_shows(fleet: Fleet) -> None:
    path = f"/gateways/{edge.GATEWAY}/commands"
    made = call(fleet, "POST", path, json={"name": "report", "expires_s": 30})
    assert (made.status_code, made.json["state"], made.json["author"]) == (201, "pending", "operator")
    fleet.answer(answer(made.json["id"]))
    shown = call(fleet, "GET", f"{path}/{made.json['id']}")
    assert (shown.json["state"], shown.json["detail"]) == ("done", "report of 李: reported")
    listed = call(fleet, "GET", path).json
    assert (listed["names"], [row["id"] for row in listed["commands"]]) == (["log-level", "report"], [made.json["id"]])
    assert call(fleet, "POST", path, json={"name": "explode"}).status_code == 409
    assert call(fleet, "POST", path, json={"name": ""}).status_code == 422


def test_who_may_only_read_issues_nothing(fleet: Fleet) -> None:
    path = f"/gateways/{edge.GATEWAY}/commands"
    assert call(fleet, "POST", path, Role.AUDITOR, json={"name": "report"}).status_code == 403
    assert call(fleet, "GET", path, Role.AUDITOR).json["commands"] == []


# keys and the command line


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "fleet"
    assert main(["init", "--data", str(folder)]) == 0
    return folder


def test_init_makes_the_key_once_closed_to_others_and_the_backup_holds_it(data: Path, tmp_path: Path) -> None:
    made = (data / FILE).read_bytes()
    assert (data / FILE).stat().st_mode & 0o777 == 0o600
    (data / FILE).chmod(0o644)
    assert main(["init", "--data", str(data)]) == 0
    assert (data / FILE).read_bytes() == made
    assert (data / FILE).stat().st_mode & 0o777 == 0o600
    back_up(load(data), tmp_path / "backup.tgz")
    restore(tmp_path / "backup.tgz", tmp_path / "restored", "")
    assert (tmp_path / "restored" / FILE).read_bytes() == made
    assert (tmp_path / "restored" / FILE).stat().st_mode & 0o777 == 0o600


def test_gateway_add_writes_the_public_key_beside_the_token_the_same_for_all(
    data: Path, tmp_path: Path, capsys
) -> None:
    for name in ("gw-test-0001", "gw-test-0002"):
        token = tmp_path / f"{name}.token"
        assert main(["gateway", "add", name, "--token-file", str(token), "--data", str(data)]) == 0
        assert token.exists()
    key = read_public_key((tmp_path / PUBLIC_FILE).read_bytes())
    assert key.public_bytes_raw() == load_key(data).public_key().public_bytes_raw()
    (tmp_path / PUBLIC_FILE).write_text("another key")
    capsys.readouterr()
    command = ["gateway", "add", "gw-test-0003", "--token-file", str(tmp_path / "3.token"), "--data", str(data)]
    assert main(command) == 1
    assert "is another key" in capsys.readouterr().err
    assert not (tmp_path / "3.token").exists()


def test_missing_or_spoiled_key_is_told_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(SetupError) as caught:
        load_key(tmp_path)
    assert "init" in caught.value.hint
    (tmp_path / FILE).write_text("no key")
    with pytest.raises(SetupError, match="cannot be used"):
        load_key(tmp_path)
    (tmp_path / FILE).unlink()
    found_key(tmp_path)
    with pytest.raises(SetupError, match="cannot write"):
        write_public(tmp_path, tmp_path / "nowhere" / "key.pub")


def test_command_line_sends_lists_and_waits(data: Path, capsys) -> None:
    assert main(["gateway", "add", edge.GATEWAY, "--data", str(data)]) == 0
    services = bootstrap(load(data))
    committer = Committer(services.database, IngestMetrics(CollectorRegistry()), services.clock)
    send = ["command", "send", edge.GATEWAY, "report", "--data", str(data)]
    assert main(send) == 1
    assert "does not carry out 'report'" in capsys.readouterr().err
    committer.commit([edge.up(Up.REPORTED, edge.reported(commands=("report",)))])
    assert main([*send, "--expires-s", "0.01", "--wait-s", "5"]) == 1
    assert "is expired" in capsys.readouterr().err
    assert main(send) == 0
    with services.database.writing() as session:
        row = service.list_newest(session, edge.GATEWAY, 1)[0]
        service.note_answer(session, edge.GATEWAY, 1, answer(row.id), START_NS)
    assert main(["command", "list", edge.GATEWAY, "--data", str(data)]) == 0
    told = capsys.readouterr().out
    assert "carries out: report" in told
    assert "done" in told
    assert "expired" in told
    services.close()


def test_arguments_on_the_command_line_are_json_or_text() -> None:
    words = ["level=debug", "minutes=10", "deep=true", "list=[1]", "text=a=b"]
    assert read_arguments(words) == {"level": "debug", "minutes": 10, "deep": True, "list": [1], "text": "a=b"}
    for word in ("level", "=5"):
        with pytest.raises(InvalidError, match="no argument"):
            read_arguments([word])
