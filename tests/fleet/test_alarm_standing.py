"""How alarms stand in the fleet, what operators ask of them, and its own alarms. On both databases."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from fleet.alarms import decision, operations, own, service
from fleet.alarms.models import Alarm, AlarmEvent
from fleet.alarms.table import write_journal
from fleet.alarms.watch import Seen, judge
from fleet.bootstrap import Services
from fleet.commands import service as commands
from fleet.commands.keys import found_key, load_key
from fleet.courier import Turns
from fleet.errors import ConflictError, FleetError, InvalidError, NotFoundError
from fleet.watcher import Watcher
from tests.fleet import edge
from tests.fleet.conftest import START_NS, Clock, both_databases
from tests.fleet.scene import Scene
from wire.alarm import AlarmRequest, Standing, State, state_of
from wire.command import DONE, REFUSED
from wire.record import AlarmRecord, AuditRecord, Lane, Record, StandingRecord
from wire.topics import Up
from wire.twin import AlarmInfo

NS = 1_000_000_000
NAME = "tank-01.level:high"
ACTIVE, UNACKNOWLEDGED, SHELVED = Standing.ACTIVE, Standing.UNACKNOWLEDGED, Standing.SHELVED


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)])
def database_url(request: pytest.FixtureRequest) -> str:
    return both_databases(request)


class Site(Scene):
    """A gateway with alarms that takes requests."""

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        found_key(services.settings.data_dir)
        rule = AlarmInfo(name=NAME, tag="tank-01.level", level="high", limit=90.0, priority=2, shelve_most_h=8.0)
        report = edge.reported(alarms=(rule,), commands=operations.NAMES)
        self.committer.commit([edge.up(Up.REPORTED, report, received_ns=services.clock())])
        self.seq = 0

    def say(self, *records: Record) -> None:
        self.send(self.seq + 1, *records, lane=Lane.ALARMS)
        self.seq += len(records)

    def alarm(self, name: str = NAME) -> Alarm:
        with self.services.database.reading() as session:
            row = session.get(Alarm, (edge.GATEWAY, name))
            assert row is not None
            return row

    def ask(self, action: str, name: str = NAME, **request: Any) -> str:
        with self.services.database.writing() as session:
            wanted = AlarmRequest(alarm=name, **request)
            return operations.operate(session, self.key, edge.GATEWAY, action, wanted, "王", self.services.clock())

    def key(self) -> Any:
        return load_key(self.services.settings.data_dir)

    def requested(self) -> tuple[str, str, str] | None:
        with self.services.database.reading() as session:
            rows = session.scalars(sa.select(Alarm)).all()
            found = operations.find_requests(session, rows, self.services.clock()).get((edge.GATEWAY, NAME))
            return (found.action, found.state, found.detail) if found else None

    def listed(self, tab: str = "") -> list[str]:
        with self.services.database.reading() as session:
            return [row.name for row in session.scalars(service.select_listed(tab))]


@pytest.fixture
def site(services: Services) -> Site:
    return Site(services)


def raised(at_s: float = 1, standing: int = ACTIVE | UNACKNOWLEDGED, name: str = NAME, **changes: Any) -> AlarmRecord:
    at_ns = int(at_s * NS)
    told: dict[str, Any] = {"change": "raised", "priority": 2, "occurrence": at_ns, **changes}
    tag, _, level = name.partition(":")
    return AlarmRecord(
        mono_ns=at_ns, wall_ns=START_NS + at_ns, alarm=name, tag=tag, level=level, value=91.0, limit=90.0,
        standing=int(standing), **told,
    )  # fmt: skip


def stands(change: str, standing: int, at_s: float = 2, **told: Any) -> StandingRecord:
    told = {"occurrence": NS, "by": "李", "where": "page", "comment": "看过", **told}
    at_ns = int(at_s * NS)
    return StandingRecord(
        mono_ns=at_ns, wall_ns=START_NS + at_ns, alarm=NAME, tag="tank-01.level", level="high", change=change,
        priority=2, standing=int(standing), **told,
    )  # fmt: skip


def test_the_row_follows_the_newest_record_and_the_journal_keeps_all(site: Site) -> None:
    site.say(raised(), stands("acknowledged", ACTIVE))
    row = site.alarm()
    assert (row.active, state_of(Standing(row.standing)), row.occurrence) == (True, State.ACKNOWLEDGED, NS)
    assert (row.change, row.by, row.where, row.comment, row.operated_ns) == (
        "acknowledged", "李", "page", "看过", START_NS + 2 * NS,
    )  # fmt: skip
    site.say(raised(3, 0, change="cleared"))
    row = site.alarm()
    assert (row.active, row.standing, row.cleared_ns) == (False, 0, START_NS + 3 * NS)
    site.say(raised(4))
    row = site.alarm()
    assert (row.change, row.by, row.operated_ns) == ("", "", None), "nobody has acknowledged this occurrence"
    lines = site.rows(sa.select(AlarmEvent.kind, AlarmEvent.standing, AlarmEvent.by).order_by(AlarmEvent.id))
    assert [tuple(line) for line in lines] == [
        ("raised", 3, ""), ("acknowledged", 1, "李"), ("cleared", 0, ""), ("raised", 3, ""),
    ]  # fmt: skip


def test_a_gateway_of_an_earlier_release_tells_no_standing(site: Site) -> None:
    site.say(edge.alarm(1, "raised"))
    assert site.alarm().standing == ACTIVE | UNACKNOWLEDGED
    site.say(edge.alarm(2, "cleared"))
    assert (site.alarm().standing, site.listed()) == (0, [])


def test_cleared_unacknowledged_stays_in_the_list(site: Site) -> None:
    site.say(raised(), raised(2, UNACKNOWLEDGED, change="cleared", occurrence=NS))
    row = site.alarm()
    assert (row.active, state_of(Standing(row.standing)), site.listed()) == (False, State.RETURNED, [NAME])


def test_unacknowledged_come_first_and_what_is_set_aside_has_its_own_list(site: Site) -> None:
    site.say(
        raised(1, ACTIVE, name="a.x:high", priority=1),
        raised(2, name="b.x:high", priority=4),
        raised(3, name="c.x:high", priority=2),
        raised(4, ACTIVE | UNACKNOWLEDGED | SHELVED, name="d.x:high"),
        raised(5, ACTIVE | Standing.SUPPRESSED, name="e.x:high"),
        raised(6, ACTIVE | Standing.OUT_OF_SERVICE, name="f.x:high"),
    )
    assert site.listed() == ["c.x:high", "b.x:high", "a.x:high"]
    assert [site.listed(tab) for tab in ("shelved", "suppressed", "out-of-service")] == [
        ["d.x:high"], ["e.x:high"], ["f.x:high"],
    ]  # fmt: skip
    with site.services.database.reading() as session:
        assert service.count_listed(session) == {"": 3, "shelved": 1, "suppressed": 1, "out-of-service": 1}


def test_request_is_pending_until_the_gateways_record(site: Site, clock: Clock) -> None:
    site.say(raised())
    command = site.ask("acknowledge", occurrence=NS, comment="去看")
    with site.services.database.reading() as session:
        order = commands.get(session, edge.GATEWAY, command)
        assert (order.name, order.arguments) == (
            "alarm-acknowledge", {"alarm": NAME, "occurrence": NS, "comment": "去看"},
        )  # fmt: skip
        assert order.expires_ns - order.issued_ns == 24 * 3600 * NS
    assert site.requested() == ("acknowledge", "pending", "")
    assert site.alarm().standing == ACTIVE | UNACKNOWLEDGED, "the gateway has not decided yet"
    clock.advance(3600)
    site.say(stands("acknowledged", ACTIVE, by="王", where="console", command=command))
    assert site.requested() is None
    assert site.alarm().standing == ACTIVE


def test_cleared_meanwhile_is_still_pending(site: Site, clock: Clock) -> None:
    site.say(raised())
    site.ask("acknowledge", occurrence=NS)
    clock.advance(5)
    site.say(raised(5, UNACKNOWLEDGED, change="cleared", occurrence=NS))
    assert site.requested() == ("acknowledge", "pending", "")


def test_refused_says_why_until_a_record_overtakes_it(site: Site, clock: Clock) -> None:
    site.say(raised())
    command = site.ask("acknowledge", occurrence=NS)
    clock.advance(5)
    site.say(AuditRecord(5 * NS, START_NS + 5 * NS, REFUSED, "raised anew meanwhile", command))
    assert site.requested() == ("acknowledge", "refused", "raised anew meanwhile")
    clock.advance(5)
    site.say(raised(9, UNACKNOWLEDGED, change="cleared", occurrence=NS))
    assert site.requested() is None


def test_request_that_nobody_answered_expires(site: Site, clock: Clock) -> None:
    site.say(raised())
    site.ask("acknowledge")
    clock.advance(24 * 3600)
    assert site.requested() == ("acknowledge", "expired", "")


def test_done_without_a_change_is_told_of_no_more(site: Site, clock: Clock) -> None:
    site.say(raised(), stands("acknowledged", ACTIVE))
    command = site.ask("acknowledge")
    clock.advance(1)
    site.say(AuditRecord(5 * NS, START_NS + 5 * NS, DONE, "", command))
    assert site.requested() is None


@pytest.mark.parametrize(
    ("asked", "error", "says"),
    [
        ({"action": "shelve", "minutes": 60}, InvalidError, "reason"),
        ({"action": "shelve", "minutes": 481, "comment": "修"}, InvalidError, "8 h"),
        ({"action": "silence"}, InvalidError, "nothing"),
        ({"action": "acknowledge", "name": "no.such:high"}, NotFoundError, "no alarm"),
    ],
)
def test_what_cannot_be_asked_for_says_why(
    site: Site, asked: dict[str, Any], error: type[FleetError], says: str
) -> None:
    site.say(raised())
    with pytest.raises(error, match=says):
        site.ask(**asked)
    assert site.requested() is None


def test_gateway_of_an_earlier_release_takes_no_request(site: Site) -> None:
    site.say(raised())
    site.committer.commit([edge.up(Up.REPORTED, edge.reported(commands=("report",)))])
    with pytest.raises(ConflictError, match="does not carry out"):
        site.ask("acknowledge")


def test_journal_is_written_as_a_table_that_no_spreadsheet_computes(site: Site) -> None:
    site.say(raised(), stands("acknowledged", ACTIVE, comment="=1+1"))
    with site.services.database.reading() as session:
        text = write_journal(service.journal(session, service.Filter(kind="acknowledged"), None, 10))
    header, line = text.removeprefix("\ufeff").splitlines()
    assert header.startswith("id,gateway,kind,at,")
    assert "acknowledged" in line
    assert "李,page,'=1+1" in line


@pytest.mark.parametrize(
    ("chosen", "kinds"),
    [
        ({}, ["cleared", "acknowledged", "raised"]),
        ({"kind": "raised"}, ["raised"]),
        ({"alarm": "other:high"}, []),
        ({"from_ns": START_NS + 2 * NS}, ["cleared", "acknowledged"]),
        ({"to_ns": START_NS + 2 * NS}, ["raised"]),
        ({"gateway": "\0"}, []),
    ],
)
def test_journal_is_filtered(site: Site, chosen: dict[str, Any], kinds: list[str]) -> None:
    site.say(raised(), stands("acknowledged", ACTIVE), raised(3, 0, change="cleared"))
    with site.services.database.reading() as session:
        found = service.journal(session, service.Filter(**chosen), None, 10)
        assert [line.kind for line in found] == kinds


# the fleet's own


def test_silence_is_noticed_after_thirty_seconds_and_ends_with_a_word(site: Site, clock: Clock) -> None:
    watcher = Watcher(site.services)
    clock.advance(200)
    site.session = site.hello()
    clock.advance(29)
    watcher.look()
    assert site.listed() == []
    clock.advance(1)
    watcher.look()
    watcher.look()
    assert site.listed() == ["fleet:silent"]
    site.session = site.hello()
    watcher.look()
    row = site.alarm("fleet:silent")
    assert (row.active, state_of(Standing(row.standing))) == (False, State.RETURNED)
    assert site.count(AlarmEvent) == 2


def test_start_of_the_fleet_raises_no_silence_at_once(site: Site, clock: Clock) -> None:
    clock.advance(3600)
    watcher = Watcher(site.services)
    for _ in range(44):
        watcher.look()
        clock.advance(2)
    assert site.listed() == []
    clock.advance(2)
    watcher.look()
    assert site.listed() == ["fleet:silent"]


def test_own_alarm_is_acknowledged_and_shelved_at_once(site: Site, clock: Clock) -> None:
    with site.services.database.writing() as session:
        own.raise_alarm(session, edge.GATEWAY, own.CLOCK, "unset", clock())
    name = own.CLOCK.name
    seen = site.alarm(name).occurrence
    assert site.ask("acknowledge", name, occurrence=seen, comment="知道") == ""
    row = site.alarm(name)
    assert (row.standing, row.change, row.by, row.where) == (ACTIVE, "acknowledged", "王", "console")
    site.ask("acknowledge", name, occurrence=seen)
    assert site.count(AlarmEvent, AlarmEvent.kind == "acknowledged") == 1, "a second one changes nothing"
    with pytest.raises(ConflictError, match="anew"):
        site.ask("acknowledge", name, occurrence=seen + 1)
    site.ask("shelve", name, minutes=30)
    assert site.listed("shelved") == [name]
    watcher = Watcher(site.services)
    clock.advance(30 * 60 - 1)
    watcher.look()
    assert site.listed("shelved") == [name]
    clock.advance(1)
    watcher.look()
    assert site.listed("shelved") == []
    assert name in site.listed()


@pytest.mark.parametrize(
    ("seen", "up", "amiss"),
    [
        ({"seen_ns": None}, (), {}),
        ({"clock": "unset"}, (), {"silent": None, "clock-unset": "unset"}),
        ({"health": {"spool_bytes": 80, "spool_max_bytes": 100}}, (), {"spool-filling": "80%"}),
        ({"health": {"spool_bytes": 79, "spool_max_bytes": 100}}, (), {"spool-filling": None}),
        ({"health": {"spool_bytes": 71, "spool_max_bytes": 100}}, ("fleet:spool-filling",), {"spool-filling": "71%"}),
        ({"health": {"spool_bytes": "x", "spool_max_bytes": 0}}, (), {"silent": None}),
    ],
)
def test_what_of_a_gateway_is_amiss(seen: dict[str, Any], up: tuple[str, ...], amiss: dict[str, str | None]) -> None:
    told = Seen(**{"seen_ns": START_NS, "clock": "synced", "health": None, **seen})
    found = {each.level: detail for each, detail in judge(told, frozenset(up), 0, START_NS + NS).items()}
    assert found == ({} if not amiss else {"silent": None, "clock-unset": None, **amiss})


def test_one_shot_shelving_ends_with_the_alarm() -> None:
    stand = decision.raise_it(decision.Stand(), 5)
    change, stand = decision.operate(stand, "shelve", AlarmRequest(alarm="a"), 6) or ("", stand)
    assert (change, stand.standing) == ("shelved", ACTIVE | UNACKNOWLEDGED | SHELVED | Standing.ONE_SHOT)
    assert decision.clear_it(stand).standing == UNACKNOWLEDGED


def test_commands_of_a_gateway_that_came_back_go_at_once() -> None:
    turns, waiting = Turns(), [("gw-a", "1", None), ("gw-b", "2", None)]
    assert len(turns.take_due(waiting, NS)) == 2  # type: ignore[arg-type]
    assert turns.take_due(waiting, 2 * NS) == []  # type: ignore[arg-type]
    turns.forget(["gw-a"])
    assert [key for _, key, _ in turns.take_due(waiting, 3 * NS)] == ["1"]  # type: ignore[arg-type]
    assert turns.take_due(waiting, 4 * NS) == []  # type: ignore[arg-type]
