import sqlite3

import pytest

from lab.ledger import Ledger
from lab.platform import Book, RaisedAlarm, Stream
from lab.report import count_committed, find_shortfalls, gather
from lab.truth import Rule, Truth

GATEWAY = "gw-test-0001"
RULE = Rule(gateway=GATEWAY, tag="tanks.level", level="high", limit=90.0, coils=((f"{GATEWAY}/relay-1", 0),))


def scan(seq, polls, *, lane="M", values=2):
    readings = {"tanks.polls": {"value": polls, "quality": "good"}, "tanks.level": {"value": 1.0, "quality": "good"}}
    if values < 2:
        readings["tanks.level"] = {"value": None, "quality": "bad"}
    return {
        "key": f"{lane}{seq}", "gateway": GATEWAY, "epoch": "1", "lane": lane, "seq": seq, "kind": "scan",
        "values": readings,
    }  # fmt: skip


def alarm(seq):
    return {
        "key": f"a{seq}", "gateway": GATEWAY, "epoch": "1", "lane": "A", "seq": seq, "kind": "alarm",
        "alarm": "tanks.level:high", "change": "raised",
    }  # fmt: skip


class Run:
    """A run of one instrument that served 10 scans of 2 values, with one alarm."""

    def __init__(self):
        self.ledger = Ledger(GATEWAY, "tanks.fast", values=2, counter="tanks.polls")
        for _ in range(10):
            self.ledger.number_next()
        self.book = Book(":memory:", [Stream(gateway=GATEWAY, counter="tanks.polls", values=2)])
        self.truth = Truth([RULE])
        self.truth.served(GATEWAY, "tanks.level", 91.0, 1_000_000_000)

    def receive(self, *records):
        self.book.receive(records, 1_200_000_000)
        for raised in self.book.raised:
            self.truth.raised(raised)

    def switch(self, at_ns=1_020_000_000):
        self.truth.switched(f"{GATEWAY}/relay-1", 0, True, at_ns)

    def report(self, committed=20):
        figures = gather([self.ledger], self.book, self.truth, committed, [], 12.5)
        return figures, find_shortfalls(figures, [self.ledger], self.book, self.truth)


@pytest.fixture
def run():
    run = Run()
    yield run
    run.book.close()


def test_a_whole_run_has_its_figures_and_no_shortfall(run):
    run.receive(*(scan(n, n) for n in range(1, 11)), alarm(1))
    run.switch()
    figures, shortfalls = run.report()
    assert shortfalls == []
    assert (figures.gateways, figures.tags) == (1, 2)
    assert (figures.samples_acquired, figures.samples_committed, figures.samples_relayed) == (20, 20, 20)
    assert (figures.records_lost, figures.records_duplicated, figures.alarms_raised) == (0, 0, 1)
    assert (figures.alarm_to_output_ms_p99, figures.alarm_to_platform_ms_p99) == (20.0, 200.0)
    assert figures.setup_s == 12.5


def test_lost_scans_are_counted_once_and_named_with_their_counters(run):
    run.receive(*(scan(n, n) for n in range(1, 11) if n not in (4, 5)), alarm(1))
    run.switch()
    figures, shortfalls = run.report(committed=16)
    assert figures.records_lost == 2
    assert any("tanks.polls 4-5" in text for text in shortfalls)


def test_a_lost_end_is_seen_by_the_ledger_alone(run):
    run.receive(*(scan(n, n) for n in range(1, 9)), alarm(1))
    figures, _ = run.report()
    assert figures.records_lost == 2


def test_a_scan_that_lost_a_value_is_a_lost_record(run):
    run.receive(*(scan(n, n, values=1 if n == 3 else 2) for n in range(1, 11)), alarm(1))
    figures, shortfalls = run.report()
    assert figures.records_lost == 1
    assert figures.samples_relayed == 19
    assert shortfalls


def test_a_gap_in_the_alarm_lane_is_a_lost_record(run):
    run.receive(*(scan(n, n) for n in range(1, 11)), alarm(2))
    figures, shortfalls = run.report()
    assert figures.records_lost == 1
    assert any("lane A: seq 1 never came" in text for text in shortfalls)


def test_duplicates_and_scans_that_nobody_served_are_told(run):
    run.receive(*(scan(n, n) for n in range(1, 11)), scan(11, 10), scan(12, 99), alarm(1))
    figures, shortfalls = run.report()
    assert figures.records_duplicated == 2
    assert any("never served" in text for text in shortfalls)


def test_a_run_without_alarms_falls_short(run):
    run.receive(*(scan(n, n) for n in range(1, 11)))
    _, shortfalls = run.report()
    assert any("never reached the platform" in text for text in shortfalls)
    assert any("never switched" in text for text in shortfalls)
    assert "no alarm reached the platform" in shortfalls


def test_an_alarm_without_a_cause_falls_short(run):
    run.receive(*(scan(n, n) for n in range(1, 11)), alarm(1))
    run.switch()
    run.truth.raised(RaisedAlarm(GATEWAY, "tanks.level:high", 0))
    assert any("without a cause" in text for text in run.report()[1])


def test_a_slow_siren_falls_short(run):
    run.receive(*(scan(n, n) for n in range(1, 11)), alarm(1))
    run.switch(at_ns=2_200_000_000)
    assert any("alarm to output" in text for text in run.report()[1])


def test_counts_that_differ_fall_short(run):
    run.receive(*(scan(n, n) for n in range(1, 11)), alarm(1))
    run.switch()
    assert any("19 committed" in text for text in run.report(committed=19)[1])


def test_committed_are_good_readings_of_counted_groups_less_those_by_exception(tmp_path):
    database = tmp_path / "fleet.db"
    connection = sqlite3.connect(database)
    connection.execute("CREATE TABLE tag (id INTEGER, gateway TEXT, name TEXT, device TEXT, group_name TEXT)")
    connection.execute("CREATE TABLE reading (tag_id INTEGER, value REAL, quality INTEGER)")
    names = [("polls", "fast"), ("level", "fast"), ("voltage", "fast"), ("level-mean", "derived-fast")]
    rows = [(number, GATEWAY, f"tanks.{name}", "tanks", group) for number, (name, group) in enumerate(names)]
    connection.executemany("INSERT INTO tag VALUES (?, ?, ?, ?, ?)", rows)
    readings = [(number, 1.0, quality) for number in range(len(names)) for quality in (0, 1, 0x40, 0x81)]
    connection.executemany("INSERT INTO reading VALUES (?, ?, ?)", readings)
    connection.commit()
    connection.close()
    ledger = Ledger(GATEWAY, "tanks.fast", values=2, counter="tanks.polls")
    assert count_committed(database, [ledger], {(GATEWAY, "tanks.voltage")}) == 4
    assert count_committed(database, [ledger]) == 6
