"""The figures of the pages, over what a scripted gateway handed to ingest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from fleet.bootstrap import Services
from fleet.committer import Committer
from fleet.errors import NotFoundError
from fleet.gateways import service as gateways
from fleet.live import LiveValue
from fleet.metrics import IngestMetrics
from fleet.overview import service as overview
from fleet.overview.alarms import list_journal
from fleet.overview.labels import read_labels
from fleet.overview.relay import list_relay
from fleet.overview.sources import Sources
from fleet.overview.trends import Trends
from fleet.relay import service as relay
from fleet.sites import service as sites
from tests.fleet.conftest import START_NS, Clock
from tests.fleet.edge import GATEWAY, alarm, batch, hello, reported, scan, up
from wire.conversation import Welcome
from wire.record import Lane
from wire.sample import Quality
from wire.topics import Up
from wire.twin import AlarmInfo

Ask = Callable[..., Any]


class Fleet:
    def __init__(self, services: Services, clock: Clock) -> None:
        self.services, self.clock, self.trends = services, clock, Trends()
        with services.database.writing() as session:
            sites.add(session, "yufu-chem", "鱼复化工", "chemical", None, None)
            gateways.register(session, GATEWAY, "罐区", "yufu-chem", START_NS)
        self.committer = Committer(services.database, IngestMetrics(CollectorRegistry()), clock)
        replies = self.committer.commit([up(Up.HELLO, hello()), up(Up.REPORTED, reported())])
        assert isinstance(replies[0].message, Welcome)
        self.session = replies[0].message.session
        self.next = {Lane.ALARMS: 1, Lane.MEASUREMENTS: 1}

    def send(self, *records: Any, lane: Lane = Lane.MEASUREMENTS, late_s: float = 0.5) -> None:
        first = self.next[lane]
        self.next[lane] += len(records)
        received = START_NS + records[-1].mono_ns + int(late_s * 1e9)
        self.committer.commit([up(Up.BATCH, batch(self.session, first, *records, lane=lane), received_ns=received)])

    def ask(self, question: Ask, *arguments: Any, **options: Any) -> Any:
        with self.services.database.reading() as session:
            sources = Sources(session, self.services.live, self.trends, self.clock())
            return question(sources, *arguments, **options)


@pytest.fixture
def fleet(services: Services, clock: Clock) -> Fleet:
    return Fleet(services, clock)


def test_tag_has_every_limit_of_a_level_and_what_an_early_gateway_told(fleet: Fleet) -> None:
    steps = ((80.0, 3), (95.0, 1), (90.0, 2))
    rules = [
        AlarmInfo(name=f"tank-01.level:{priority}", tag="tank-01.level", level="high", limit=limit, priority=priority)
        for limit, priority in steps
    ]
    rules.append(AlarmInfo(name="tank-01.level:rate", tag="tank-01.level", level="rate", limit=2.0, priority=1))
    fleet.committer.commit([up(Up.REPORTED, reported(alarms=tuple(rules)))])
    (_, told), (_, other) = fleet.ask(lambda sources: list(read_labels(sources.session, GATEWAY).values()))
    assert [(rule.limit, rule.priority) for rule in told.rules] == list(steps)
    assert other.rules == ()
    fleet.committer.commit([up(Up.REPORTED, reported())])
    (_, guessed), _ = fleet.ask(lambda sources: list(read_labels(sources.session, GATEWAY).values()))
    assert [(rule.level, rule.limit, rule.priority) for rule in guessed.rules] == [("high", 90.0, 2)]


def test_good_tag_counts_until_its_gateway_is_silent(fleet: Fleet, clock: Clock) -> None:
    fleet.send(scan(1, 50.0, 20.0))
    clock.advance(2)
    page = fleet.ask(overview.find_now)
    assert (page.access.good, page.access.registered, page.gateways_online) == (2, 2, 1)
    assert [(part.sector, part.good) for part in page.access_by_sector] == [("chemical", 2)]
    clock.advance(60)
    page = fleet.ask(overview.find_now)
    assert (page.access.good, page.gateways_online) == (0, 0)
    assert [line.name for line in page.silent] == [GATEWAY]


def test_bad_and_uncertain_values_do_not_count_as_access(fleet: Fleet, clock: Clock) -> None:
    fleet.send(scan(1, None, 20.0, quality=bytes((Quality.BAD_TIMEOUT, Quality.UNCERTAIN_STUCK))))
    clock.advance(2)
    assert fleet.ask(overview.find_now).access.good == 0


def test_value_from_memory_goes_before_the_committed_one(fleet: Fleet, clock: Clock) -> None:
    fleet.send(scan(1, 50.0, 20.0))
    clock.advance(2)
    fleet.services.live.put_values(GATEWAY, {"tank-01.level": LiveValue(77.7, 0, clock())})
    rows = {row.label.tag: row.reading for row in fleet.ask(overview.find_gateway, GATEWAY).tags}
    assert rows["tank-01.level"].value == 77.7
    assert rows["tank-01.temperature"].value == 20.0


def test_delivery_lag_is_the_99th_percentile(fleet: Fleet, clock: Clock) -> None:
    assert fleet.ask(overview.find_now).lag_p99_s is None
    for second in range(1, 100):
        fleet.send(scan(second, 1.0, 2.0), late_s=0.25)
    fleet.send(scan(100, 1.0, 2.0), late_s=9.0)
    clock.advance(110)
    assert fleet.ask(overview.find_now).lag_p99_s == pytest.approx(0.25)


def test_active_alarm_has_its_limit_its_place_and_the_newest_value(fleet: Fleet, clock: Clock) -> None:
    fleet.send(scan(1, 91.0, 20.0))
    fleet.send(alarm(2, "raised"), lane=Lane.ALARMS)
    fleet.send(scan(3, 95.5, 20.0))
    clock.advance(5)
    (found,) = fleet.ask(overview.find_now).alarms
    assert (found.level, found.priority, found.limit, found.value) == ("high", 2, 90.0, 91.0)
    assert found.reading.value == 95.5
    assert (found.place, found.site, found.label.unit) == ("罐区", "鱼复化工", "%")
    assert [rule.limit for rule in found.label.rules] == [90.0]
    fleet.send(alarm(6, "cleared"), lane=Lane.ALARMS)
    page = fleet.ask(overview.find_now)
    assert page.alarms == ()
    assert [alarm.cleared_ns - alarm.raised_ns for alarm in page.recent] == [4_000_000_000]


def test_journal_pairs_each_raise_with_the_next_clear(fleet: Fleet) -> None:
    for second, change in ((1, "raised"), (2, "cleared"), (5, "raised"), (9, "cleared"), (12, "raised")):
        fleet.send(alarm(second, change), lane=Lane.ALARMS)
    lasted = [(a.cleared_ns - a.raised_ns) // 10**9 if a.cleared_ns else None for a in fleet.ask(list_journal)]
    assert lasted == [None, 4, 1]
    newest, *_ = fleet.ask(list_journal)
    assert len(fleet.ask(list_journal, before=newest.number)) == 2
    assert fleet.ask(list_journal, priority=1) == ()


def test_filter_shows_the_tags_of_one_state_only(fleet: Fleet, clock: Clock) -> None:
    fleet.send(scan(1, 91.0, None, quality=bytes((0, Quality.BAD_LINK))))
    fleet.send(alarm(2, "raised"), lane=Lane.ALARMS)
    clock.advance(3)
    page = fleet.ask(overview.find_gateway, GATEWAY, "bad")
    assert page.states == (("", 2), ("alarm", 1), ("good", 1), ("uncertain", 0), ("bad", 1))
    assert [row.label.tag for row in page.rows] == ["tank-01.temperature"]


def test_history_keeps_the_peak(fleet: Fleet, clock: Clock) -> None:
    fleet.send(*(scan(second, 99.0 if second == 77 else 50.0, 20.0) for second in range(120)))
    clock.advance(130)
    page = fleet.ask(overview.find_tag, GATEWAY, "tank-01.level", "24h")
    assert (page.smallest, page.largest) == (50.0, 99.0)
    assert fleet.ask(overview.find_tag, GATEWAY, "tank-01.level", "nonsense").span == "1h"


def test_unknown_gateway_and_tag_are_not_found(fleet: Fleet) -> None:
    with pytest.raises(NotFoundError):
        fleet.ask(overview.find_gateway, "gw-nowhere-1")
    with pytest.raises(NotFoundError):
        fleet.ask(overview.find_tag, GATEWAY, "none.such")
    with pytest.raises(NotFoundError):
        fleet.ask(overview.find_tag, "gw-nowhere-1", "none.such")


def test_relay_counts_what_waits_and_since_when(fleet: Fleet, clock: Clock) -> None:
    with fleet.services.database.writing() as session:
        relay.add(session, "district", "http-json", "http://127.0.0.1:9/x", START_NS)
    fleet.send(scan(1, 1.0, 2.0), late_s=0)
    fleet.send(scan(2, 1.0, 2.0), late_s=0)
    clock.advance(11)
    (line,) = fleet.ask(list_relay)
    assert (line.behind, line.lag_s, line.last_error) == (2, 10.0, "")
    with fleet.services.database.writing() as session:
        destination = relay.list_enabled(session)[0].id
        relay.note_delivered(session, destination, Lane.MEASUREMENTS, 10**6, 2, clock())
        relay.note_failed(session, destination, Lane.ALARMS, "HTTP 503", clock())
    (line,) = fleet.ask(list_relay)
    assert (line.behind, line.lag_s, line.last_error) == (0, 0.0, "HTTP 503")


def test_trend_reads_only_what_is_new_and_sees_a_backlog_later(fleet: Fleet, clock: Clock) -> None:
    fleet.send(scan(1, 10.0, 20.0))
    clock.advance(200)

    def trend() -> list[float]:
        with fleet.services.database.reading() as session:
            ids = gateways.tag_ids(session, GATEWAY, ["tank-01.level"])
            found = fleet.trends.read(session, ids.values(), clock())
        return [point.mean for point in found[ids["tank-01.level"]]]

    assert trend() == [10.0]
    fleet.send(scan(199, 30.0, 20.0))
    assert trend() == [10.0, 30.0]
    fleet.send(scan(61, 5.0, 20.0))
    clock.advance(60)
    assert trend() == [10.0, 30.0]
    clock.advance(600)
    assert trend() == [10.0, 5.0, 30.0]
    clock.advance(3600)
    assert trend() == []
