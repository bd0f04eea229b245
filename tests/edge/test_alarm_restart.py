"""How alarms stand over a power cut, another configuration and a full spool: with the real spool."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from drivers.base import Scan
from edge.acquisition import Acquisition
from edge.clock import SystemClock
from edge.configuration import read_configuration
from edge.live import Newest
from edge.mistakes import Mistakes
from edge.operating import Operation
from edge.settings import Configuration, SpoolSettings
from edge.spool import Fold, Remembered, Spool
from edge.store import Store
from tests.edge.records import CLOCK
from wire.alarm import AlarmRequest, Standing
from wire.record import AlarmRecord, AuditRecord, FoldedRecord, Lane, Record, StandingRecord, decode_record
from wire.sample import Quality

S = 1_000_000_000
NOON = 1_790_000_000 * S
NAME = "tank.level:high"
ACTIVE, UNACKNOWLEDGED, LATCHED = Standing.ACTIVE, Standing.UNACKNOWLEDGED, Standing.LATCHED
SHELVED, OUT = Standing.SHELVED, Standing.OUT_OF_SERVICE


def configuration(*alarms: Mapping[str, Any]) -> Configuration:
    tags = [{"name": "level", "address": 0}, {"name": "siren", "address": 5, "function": 1}]
    mistakes = Mistakes()
    made = read_configuration(
        {
            "bus": [{"name": "line", "kind": "modbus", "url": "tcp://127.0.0.1:1502"}],
            "device": [{"name": "tank", "bus": "line", "group": [{"name": "fast", "poll_s": 1, "tag": tags}]}],
            "output": [{"name": "siren", "tag": "tank.siren", "on": True, "off": False}],
            "alarm": list(alarms),
        },
        mistakes,
    )
    assert made is not None, mistakes.found
    return made


def limit(**more: Any) -> dict[str, Any]:
    return {"tag": "tank.level", "level": "high", "limit": 80.0, "outputs": ["siren"], **more}


class Clocks(SystemClock):
    """Both clocks move when a test says so."""

    def __init__(self, mono_s: float = 1000.0, wall_ns: int = NOON) -> None:
        self.now_ns, self.utc_ns = int(mono_s * S), wall_ns
        super().__init__(mono_ns=lambda: self.now_ns, wall_ns=lambda: self.utc_ns, is_synced=lambda: True)

    def pass_s(self, seconds: float) -> None:
        self.now_ns += int(seconds * S)
        self.utc_ns += int(seconds * S)


class Site:
    """One start of a gateway: what it acquires, without its lines, and its spool."""

    def __init__(self, clock: Clocks, store: Store, before: Mapping[str, Remembered], running: Configuration) -> None:
        self.clock, self.store = clock, store
        self.acquisition = self.begin(running, before)

    def begin(self, running: Configuration, before: Mapping[str, Remembered]) -> Acquisition:
        newest = Newest(self.clock.wall_at)
        self.acquisition = Acquisition(running, self.store, newest, self.clock, before, random.Random(1))
        return self.acquisition

    def reads(self, value: float) -> None:
        self.clock.pass_s(1)
        self.acquisition.take(Scan("tank.fast", self.clock.now_ns, (value, False), (0, 0)))

    def asks(self, action: str, **more: Any) -> str:
        self.clock.pass_s(1)
        request = AlarmRequest(alarm=NAME, **more)
        return self.acquisition.operate(Operation(action=action, request=request, by="Li", where="page"))

    def stands(self) -> Standing:
        return next((view.standing for view in self.acquisition.alarms() if view.name == NAME), Standing(0))

    @property
    def is_siren_on(self) -> bool:
        return self.acquisition._outputs["siren"].wants_on


@asynccontextmanager
async def start(folder: Path, clock: Clocks, *alarms: Mapping[str, Any]) -> AsyncIterator[Site]:
    """Start on a copy of what is on disk, as after a power cut: what was not committed is gone."""
    store = await Store.open(folder / "spool.sqlite3", SpoolSettings(), clock)
    site = Site(clock, store, await store.standings(), configuration(*alarms))
    yield site
    await store.commit()
    cut = folder.with_name(f"{folder.name}-cut")
    shutil.copytree(folder, cut)
    await store.close()
    shutil.rmtree(folder)
    cut.rename(folder)


def told(folder: Path) -> list[AlarmRecord | StandingRecord]:
    """All that the spool tells of alarms, oldest first."""
    spool, _ = Spool.open(folder / "spool.sqlite3", max_bytes=10**8, boot="late", clock=CLOCK)
    found: list[Record] = []
    for mark in spool.marks():
        part = spool.read(mark.epoch, Lane.ALARMS, 0, 10**9) if mark.lane is Lane.ALARMS and mark.head else None
        found += [decode_record(item) for item in part.items] if part else []
    spool.close()
    return [record for record in found if isinstance(record, AlarmRecord | StandingRecord)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


async def test_alarm_that_was_active_and_acknowledged_is_so_after_a_power_cut_without_a_second_raise(folder) -> None:
    async with start(folder, Clocks(), limit()) as site:
        site.reads(90)
        site.asks("acknowledge")
    async with start(folder, Clocks(5, NOON + 60 * S), limit()) as site:
        (view,) = site.acquisition.alarms()
        assert (view.standing, view.value, view.raised_ns) == (ACTIVE, 90.0, NOON + S)
        assert site.is_siren_on
        site.reads(91)
        assert site.stands() == ACTIVE
        site.reads(10)
        assert (site.stands(), site.is_siren_on) == (Standing(0), False)
    assert [record.change for record in told(folder)] == ["raised", "acknowledged", "cleared"]
    assert len({record.occurrence for record in told(folder)}) == 1


@pytest.mark.parametrize(
    ("deeds", "standing"),
    [
        (["high"], ACTIVE | UNACKNOWLEDGED | LATCHED),
        (["high", "back"], UNACKNOWLEDGED | LATCHED),
        (["high", "back", "acknowledge"], LATCHED),
        (["high", "back", "acknowledge", "reset"], Standing(0)),
        (["remove"], OUT),
        (["shelve"], SHELVED),
        (["high", "remove", "shelve"], ACTIVE | UNACKNOWLEDGED | LATCHED | OUT | SHELVED),
    ],
)
async def test_every_standing_is_kept_over_restarts(folder, deeds, standing) -> None:
    async with start(folder, Clocks(), limit(latch=True)) as site:
        for deed in deeds:
            if deed in ("high", "back"):
                site.reads(90 if deed == "high" else 10)
            else:
                site.asks(deed, minutes=60 if deed == "shelve" else 0)
    for late_s in (10, 20):
        async with start(folder, Clocks(5, NOON + late_s * S), limit(latch=True)) as site:
            assert site.stands() == standing
            assert site.is_siren_on == bool(standing & (ACTIVE | LATCHED) and not standing & (OUT | SHELVED))


async def test_shelving_goes_on_over_a_restart_until_its_end(folder) -> None:
    async with start(folder, Clocks(), limit()) as site:
        site.reads(90)
        site.asks("shelve", minutes=10)
    async with start(folder, Clocks(5, NOON + 300 * S), limit()) as site:
        (view,) = site.acquisition.alarms()
        assert (view.standing, view.until_ns) == (ACTIVE | UNACKNOWLEDGED | SHELVED, NOON + 602 * S)
        site.clock.pass_s(303)
        for change in site.acquisition._alarms.tick(site.clock.now_ns):
            site.acquisition._announce(change)
        assert (site.stands(), site.is_siren_on) == (ACTIVE | UNACKNOWLEDGED, True)


@pytest.mark.parametrize("wall_ns", [NOON + 700 * S, 0], ids=["its end has passed", "the clock is unset"])
async def test_shelving_that_is_over_or_cannot_be_told_ends_at_the_start(folder, wall_ns) -> None:
    async with start(folder, Clocks(), limit()) as site:
        site.reads(90)
        site.asks("shelve", minutes=10)
        assert not site.is_siren_on
    async with start(folder, Clocks(5, wall_ns), limit()) as site:
        assert (site.stands(), site.is_siren_on) == (ACTIVE | UNACKNOWLEDGED, True)
    assert told(folder)[-1].change == "unshelved"


async def test_clock_that_was_set_back_does_not_lengthen_a_shelving(folder) -> None:
    async with start(folder, Clocks(), limit(shelve_most_h=2)) as site:
        site.asks("shelve", minutes=10)
    async with start(folder, Clocks(5, NOON - 10**6 * S), limit(shelve_most_h=2)) as site:
        (view,) = site.acquisition.alarms()
        assert view.until_ns == NOON - 10**6 * S + 2 * 3600 * S


@pytest.mark.parametrize(
    ("deeds", "standing"),
    [(["high"], ACTIVE), (["high", "back"], UNACKNOWLEDGED), (["remove"], OUT), (["shelve"], SHELVED)],
)
async def test_alarm_whose_rule_is_gone_is_cleared_however_it_stood(folder, deeds, standing) -> None:
    async with start(folder, Clocks(), limit(latch=True)) as site:
        for deed in deeds:
            if deed in ("high", "back"):
                site.reads(90 if deed == "high" else 10)
            else:
                site.asks(deed)
        assert standing in site.stands()
    async with start(folder, Clocks(5, NOON + 60 * S)) as site:
        assert site.acquisition.alarms() == ()
    last = told(folder)[-1]
    assert isinstance(last, AlarmRecord)
    assert (last.alarm, last.change, last.standing, last.quality) == (NAME, "cleared", 0, Quality.BAD_CONFIG)
    async with start(folder, Clocks(5, NOON + 90 * S), limit(latch=True)) as site:
        assert site.stands() == Standing(0), "it begins anew when its rule returns"


async def test_another_configuration_keeps_standings_and_drops_those_without_a_rule(folder) -> None:
    async with start(folder, Clocks(), limit(), limit(name="second")) as site:
        site.reads(90)
        site.asks("acknowledge")
        site.begin(configuration(limit(deadband=2.0)), site.acquisition.remembered())
        assert [(view.name, view.standing) for view in site.acquisition.alarms()] == [(NAME, ACTIVE)]
        site.reads(90)
    changes = [(record.alarm, record.change) for record in told(folder)]
    assert changes[-2:] == [(NAME, "acknowledged"), ("tank.level:second", "cleared")]


async def test_silence_of_a_rule_that_suppresses_ends_with_the_rule(folder) -> None:
    low = {"tag": "tank.level", "level": "low", "limit": 95.0}
    suppressed = limit(name="overfill", suppressed_by=["tank.level:low"])
    async with start(folder, Clocks(), low, suppressed) as site:
        site.reads(90)
        assert not site.is_siren_on
    async with start(folder, Clocks(5, NOON + 60 * S), limit(name="overfill")) as site:
        assert site.is_siren_on


async def test_what_an_operator_did_is_in_the_journal_with_who_where_and_why(folder) -> None:
    async with start(folder, Clocks(), limit()) as site:
        site.reads(90)
        assert site.asks("acknowledge", comment="on my way") == f"{NAME} acknowledged"
        assert site.asks("acknowledge") == f"{NAME} stands so already"
    acknowledged = told(folder)[-1]
    assert isinstance(acknowledged, StandingRecord)
    assert (acknowledged.by, acknowledged.where, acknowledged.comment) == ("Li", "page", "on my way")
    assert (acknowledged.standing, acknowledged.occurrence) == (ACTIVE, NOON + S)


def chatter(n: int) -> AlarmRecord:
    change = "raised" if n % 2 else "cleared"
    standing = int(ACTIVE | UNACKNOWLEDGED) if n % 2 else int(UNACKNOWLEDGED)
    return AlarmRecord(n, None, NAME, "tank.level", "high", change, 2, 1.0, standing=standing, occurrence=n + 1)


def acknowledged(n: int, by: str = "Li") -> StandingRecord:
    return StandingRecord(n, None, NAME, "tank.level", "high", "acknowledged", 2, 0, occurrence=n, by=by)


def fill(spool: Spool) -> int:
    """Fill the quota with events; return how many are stored."""
    while not spool._folds():
        stored = spool.accounts()[Lane.ALARMS].assigned
        noise = random.Random(stored).randbytes(8_000).hex()
        spool.append([(Lane.ALARMS, AuditRecord(stored, None, "noise", noise))], {})
    return spool.accounts()[Lane.ALARMS].assigned


def reopen(path: Path, boot: str) -> Spool:
    return Spool.open(path, max_bytes=1_000_000, boot=boot, clock=CLOCK)[0]


def after(spool: Spool, epoch: str, seq: int) -> list[Record]:
    part = spool.read(epoch, Lane.ALARMS, seq, 10**9)
    records = [decode_record(item) for item in part.items] if part else []
    return [record for record in records if not isinstance(record, AuditRecord)]


def test_acknowledgement_is_told_whole_though_lane_a_is_full(tmp_path: Path) -> None:
    spool = reopen(tmp_path / "spool.sqlite3", "one")
    stored = fill(spool)
    for n in range(100):
        spool.append([(Lane.ALARMS, chatter(n))], {})
        if n % 10 == 0:
            spool.append([(Lane.ALARMS, acknowledged(n))], {})
    spool.set_committed([(spool.epoch, Lane.ALARMS, stored)])
    spool.append([(Lane.ALARMS, chatter(100))], {})
    records = after(spool, spool.epoch, stored)
    assert [record.mono_ns for record in records if isinstance(record, StandingRecord)] == list(range(0, 100, 10))
    assert [record.count for record in records if isinstance(record, FoldedRecord) and record.rule == NAME] == [99]
    assert records[-1] == chatter(100)
    spool.close()


def test_what_was_folded_before_a_reboot_is_told_before_what_was_folded_after_it(tmp_path: Path) -> None:
    path = tmp_path / "spool.sqlite3"
    spool = reopen(path, "one")
    before, stored = spool.epoch, fill(spool)
    spool.append([(Lane.ALARMS, chatter(900_001)), (Lane.ALARMS, acknowledged(900_002))], {})
    spool.close()
    spool = reopen(path, "two")
    spool.append([(Lane.ALARMS, chatter(5))], {})
    assert spool.standings()[NAME].standing == ACTIVE | UNACKNOWLEDGED
    spool.set_committed([(before, Lane.ALARMS, stored)])
    spool.append([(Lane.ALARMS, AuditRecord(6, None, "room"))], {})
    records = after(spool, spool.epoch, 0)
    assert [type(record) for record in records][-2:] == [FoldedRecord, AlarmRecord]
    assert records[-1] == chatter(5)
    assert spool.standings()[NAME].standing == ACTIVE | UNACKNOWLEDGED
    spool.close()


RAISED_BY_OLD = AlarmRecord(9, NOON, NAME, "tank.level", "high", "raised", 2, 95.0, 80.0)
"""As a release writes it that knows of no standing."""


@pytest.mark.parametrize(
    ("old", "standing"), [(RAISED_BY_OLD, ACTIVE | UNACKNOWLEDGED), (None, Standing(0))], ids=["raised anew", "cleared"]
)
async def test_what_an_earlier_release_did_in_between_is_not_taken_for_acknowledged_or_active(
    folder, old, standing
) -> None:
    async with start(folder, Clocks(), limit()) as site:
        site.reads(90)
        site.asks("acknowledge")
    with closing(sqlite3.connect(folder / "spool.sqlite3")) as spool, spool:
        spool.execute("DELETE FROM raised")
        if old is not None:
            spool.execute("INSERT INTO raised VALUES (?, ?)", (NAME, msgspec.msgpack.encode(old)))
    async with start(folder, Clocks(5, NOON + 60 * S), limit()) as site:
        assert site.stands() == standing
        site.reads(91)
        assert site.stands() == ACTIVE | UNACKNOWLEDGED


@pytest.mark.parametrize(
    ("last", "standing"),
    [
        (StandingRecord(4, NOON, NAME, "tank.level", "high", "suppressed", 2, 35, None, 8), Standing(35)),
        (AlarmRecord(4, NOON, NAME, "tank.level", "high", "cleared", 2, 10.0, 80.0, 0, 2, None, 8), UNACKNOWLEDGED),
    ],
    ids=["active", "returned"],
)
def test_alarm_whose_raise_was_folded_stands_as_its_last_record_says(folder, last, standing) -> None:
    path = folder / "spool.sqlite3"
    spool, _ = Spool.open(path, max_bytes=10**8, boot="a", clock=CLOCK)
    before = AlarmRecord(1, NOON, NAME, "tank.level", "high", "raised", 2, 90.0, 80.0, 0, 3, None, 7)
    spool.append([(Lane.ALARMS, before)], {})
    spool.append([(Lane.ALARMS, Fold(2, 3, NOON, last))], {})
    spool.close()
    again, _ = Spool.open(path, max_bytes=10**8, boot="b", clock=CLOCK)
    stood = again.standings()[NAME]
    assert (stood.standing, stood.occurrence) == (standing, 8)
    assert stood.raised is None or stood.raised.occurrence == 8
    again.close()


async def test_alarms_of_before_a_power_cut_came_before_those_after_it(folder) -> None:
    low = {"tag": "tank.level", "level": "low", "limit": 5.0}
    async with start(folder, Clocks(10**7), limit(latch=True), low) as site:
        site.reads(90)
    async with start(folder, Clocks(5, NOON + 60 * S), limit(latch=True), low) as site:
        site.reads(1)
        first, second = sorted(site.acquisition.alarms(), key=lambda view: view.raised_mono_ns)
        assert (first.name, second.name) == (NAME, "tank.level:low")
        assert second.raised_mono_ns - first.raised_mono_ns == 60 * S
        assert first.raised_ns == NOON + S
