"""Checks, derived tags and reports together, as a configuration names them."""

from __future__ import annotations

import asyncio
import copy
import random
from typing import Any

import pytest

from drivers.base import Scan
from edge.acquisition import Acquisition
from edge.configuration import read_configuration
from edge.mistakes import Mistakes
from edge.pipeline import Kept, Pipeline
from edge.settings import Configuration
from tests.edge.readings import at
from wire.record import AlarmRecord, Layout, ScanRecord, columns_of
from wire.sample import Quality, Value

MAST: dict[str, Any] = {
    "bus": [{"name": "line", "kind": "modbus", "url": "tcp://127.0.0.1:1502"}],
    "device": [
        {
            "name": "mast",
            "bus": "line",
            "group": [
                {
                    "name": "air",
                    "poll_s": 1,
                    "tag": [
                        {
                            "name": "temperature",
                            "address": 0,
                            "low": -40,
                            "high": 60,
                            "check": {"low": -80, "high": 60, "step": 3},
                            "alarm": [{"level": "high", "limit": 40}],
                        },
                        {"name": "humidity", "address": 1, "check": {"low": 0, "high": 104, "clip_high": 100}},
                        {"name": "rain", "address": 2},
                    ],
                },
                {
                    "name": "wind",
                    "poll_s": 1,
                    "tag": [
                        {"name": "speed", "address": 3, "low": 0, "high": 60, "report": {"deadband_pct": 1}},
                        {"name": "direction", "address": 4, "check": {"zero_with": "speed"}},
                    ],
                },
                {"name": "plain", "poll_s": 1, "tag": [{"name": "battery", "address": 5}]},
            ],
            "derived": [
                {
                    "name": "dew-point",
                    "formula": "dew_point",
                    "of": ["temperature", "humidity"],
                    "check": {"at_most": "temperature"},
                    "report": {"deadband": 0.2},
                },
                {"name": "rain-1h", "formula": "rain_sum", "of": ["rain"], "kind": "counter", "window_s": 3600},
                {"name": "gust", "formula": "gust", "of": ["speed"], "window_s": 600, "low": 0, "high": 60},
            ],
        }
    ],
    "alarm": [{"tag": "mast.gust", "level": "high", "limit": 17.2, "deadband": 1}],
}


def configuration(document: dict[str, Any] = MAST) -> Configuration:
    mistakes = Mistakes()
    read = read_configuration(document, mistakes)
    assert read is not None, mistakes.found
    return read


def scan(group: str, seconds: float, *values: Value, quality: tuple[int, ...] = ()) -> Scan:
    return Scan(group, at(seconds), values, quality or (0,) * len(values))


def test_derived_tags_have_a_place_among_tags_and_columns() -> None:
    read = configuration()
    assert read.columns["mast.derived-air"] == ("mast.dew-point", "mast.rain-1h")
    assert read.columns["mast.derived-wind"] == ("mast.gust",)
    infos = {info.name: info for info in read.reported_tags()}
    assert (infos["mast.gust"].group, infos["mast.gust"].limits) == ("derived-wind", {"high": 17.2})
    assert infos["mast.dew-point"].title == "dew-point"


def test_scan_of_a_group_without_rules_passes_untouched() -> None:
    pipeline = Pipeline(configuration())
    plain = scan("mast.plain", 0, 12.5)
    (made,) = pipeline.process(plain)
    assert made is plain
    assert pipeline.thin(plain) == Kept((12.5,), b"", b"")


def test_bad_scan_of_a_group_without_rules_keeps_its_qualities() -> None:
    assert Pipeline(configuration()).thin(scan("mast.plain", 0, None, quality=(0x81,))) == Kept((None,), b"\x81", b"")


def test_scan_is_checked_before_anything_is_derived_from_it() -> None:
    pipeline = Pipeline(configuration())
    checked, derived = pipeline.process(scan("mast.air", 0, 20.0, 103.0, 5.0))
    assert checked.values == (20.0, 100, 5.0)
    assert derived.group == "mast.derived-air"
    assert derived.mono_ns == checked.mono_ns
    assert derived.values == (pytest.approx(20.0), 0.0)
    _, spoiled = pipeline.process(scan("mast.air", 1, 999.0, 50.0, 5.0))
    assert spoiled.quality[0] == Quality.BAD_INPUT
    _, doubtful = pipeline.process(scan("mast.air", 2, 30.0, 50.0, 5.0))
    assert doubtful.quality[0] == Quality.UNCERTAIN_INPUT


def test_group_of_derived_tags_accounts_for_what_its_inputs_completed() -> None:
    pipeline = Pipeline(configuration())
    for second in range(3):
        pipeline.process(scan("mast.wind", second, 5.0, 90.0))
    pipeline.process(scan("mast.wind", 3, None, None, quality=(0x81, 0x81)))
    health = pipeline.groups()["mast.derived-wind"]
    assert (health.due, health.good, health.bad, health.missed) == (4, 2, 2, 0)


def test_tag_of_another_group_is_compared_with_while_it_is_new() -> None:
    document = copy.deepcopy(MAST)
    document["device"][0]["group"][1]["tag"][1]["check"] = {"at_most": "battery"}
    pipeline = Pipeline(configuration(document))
    pipeline.process(scan("mast.plain", 0, 12.0))
    assert pipeline.process(scan("mast.wind", 1, 5.0, 90.0))[0].quality == (0, Quality.UNCERTAIN_INCONSISTENT)
    assert pipeline.process(scan("mast.wind", 5, 5.0, 90.0))[0].quality == (0, 0)


def test_only_what_changed_is_kept_and_its_columns_are_named() -> None:
    pipeline = Pipeline(configuration())
    kept = [pipeline.thin(scan("mast.wind", second, speed, 90.0)) for second, speed in enumerate([5.0, 5.3, 6.0])]
    assert kept == [Kept((5.0, 90.0), b"", b""), Kept((90.0,), b"", b"\x02"), Kept((6.0, 90.0), b"", b"")]
    bad = pipeline.thin(scan("mast.wind", 3, 6.1, None, quality=(0, 0x81)))
    assert bad == Kept((None,), b"\x81", b"\x02")


def test_scan_with_nothing_to_report_makes_no_record() -> None:
    document = copy.deepcopy(MAST)
    document["device"][0]["group"][2]["tag"][0]["report"] = {"deadband": 1}
    pipeline = Pipeline(configuration(document))
    assert pipeline.thin(scan("mast.plain", 0, 12.0)) is not None
    assert pipeline.thin(scan("mast.plain", 1, 12.5)) is None


class Kit:
    """Stands in for store, live view and clock of an acquisition, and keeps what it was given."""

    boot = "boot"

    def __init__(self) -> None:
        self.records: list[tuple[ScanRecord, Layout]] = []
        self.alarms: list[AlarmRecord] = []
        self.live: list[Scan] = []

    def put_scan(self, record: ScanRecord, layout: Layout) -> None:
        self.records.append((record, layout))

    def put_event(self, record: AlarmRecord) -> None:
        self.alarms.append(record)

    def put_audit(self, event: str, detail: str) -> None:
        raise AssertionError(f"{event}: {detail}")

    def put(self, tags: tuple[str, ...], made: Scan) -> None:
        assert len(tags) == len(made.values)
        self.live.append(made)

    async def commit(self) -> bool:
        return True

    def mono_ns(self) -> int:
        return at(1e5)

    def wall_at(self, mono_ns: int) -> int:
        return mono_ns


def acquire(document: dict[str, Any] = MAST) -> tuple[Acquisition, Kit]:
    kit = Kit()
    return Acquisition(configuration(document), kit, kit, kit, {}, random.Random(1)), kit  # type: ignore[arg-type]


def test_alarms_and_the_live_view_see_what_is_not_reported() -> None:
    document = copy.deepcopy(MAST)
    document["device"][0]["group"][0]["tag"][0]["report"] = {"deadband": 50}
    acquisition, kit = acquire(document)
    for second, value in enumerate([39.0, 41.0, 39.0]):
        acquisition.take(scan("mast.air", second, value, 50.0, 0.0))
    assert [(alarm.change, alarm.value) for alarm in kit.alarms] == [("raised", 41.0), ("cleared", 39.0)]
    assert [made.values[0] for made in kit.live if made.group == "mast.air"] == [39.0, 41.0, 39.0]
    kept = [columns_of(record, 3) for record, layout in kit.records if layout.group == "mast.air"]
    assert [list(columns) for columns in kept] == [[0, 1, 2], [1, 2], [1, 2]]


def test_value_that_cannot_be_raises_no_alarm_and_ends_none() -> None:
    acquisition, kit = acquire()
    for second, value in enumerate([20.0, 999.0, 39.0, 41.0, -999.0]):
        acquisition.take(scan("mast.air", 60 * second, value, 50.0, 0.0))
    assert [(alarm.change, alarm.value) for alarm in kit.alarms] == [("raised", 41.0)]
    shown = [made.values[0] for made in kit.live if made.group == "mast.air"]
    assert shown == [20.0, 999.0, 39.0, 41.0, -999.0], "people see it all the same"


def test_doubtful_value_raises_an_alarm_and_the_alarm_says_that_it_is() -> None:
    acquisition, kit = acquire()
    acquisition.take(scan("mast.air", 0, 20.0, 50.0, 0.0))
    acquisition.take(scan("mast.air", 1, 45.0, 50.0, 0.0))
    assert [(alarm.change, alarm.quality) for alarm in kit.alarms] == [("raised", Quality.UNCERTAIN_STEP)]


def test_derived_tag_raises_an_alarm_at_the_time_of_its_reading_and_a_new_window_does_not_end_it() -> None:
    acquisition, kit = acquire()
    for second in range(3):
        acquisition.take(scan("mast.wind", second, 20.0, 90.0))
    assert [(alarm.alarm, alarm.change, alarm.mono_ns) for alarm in kit.alarms] == [("mast.gust:high", "raised", at(2))]
    again = Acquisition(
        configuration(),
        kit,  # type: ignore[arg-type]
        kit,  # type: ignore[arg-type]
        kit,  # type: ignore[arg-type]
        acquisition.remembered(),
        random.Random(1),
    )
    for second in range(3, 700):
        again.take(scan("mast.wind", second, 5.0, 90.0))
    assert [alarm.change for alarm in kit.alarms] == ["raised", "cleared"]
    assert kit.alarms[-1].mono_ns > at(3 + 0.9 * 600), "5 m/s is the gust only once the window is known"
    assert "mast.derived-wind" in again.groups()


async def test_scans_that_no_account_explains_are_told_once_and_a_balance_is_not(monkeypatch, caplog) -> None:
    monkeypatch.setattr("edge.acquisition.ACCOUNTS_S", 0.001)
    acquisition, kit = acquire()
    told: list[tuple[str, str]] = []
    monkeypatch.setattr(kit, "put_audit", lambda event, detail: told.append((event, detail)))
    watching = asyncio.create_task(acquisition._watch_accounts())
    acquisition.take(scan("mast.wind", 0, 5.0, 90.0))
    await asyncio.sleep(0.02)
    assert told == []
    acquisition._pipeline._good["mast.derived-wind"] += 1
    await asyncio.sleep(0.05)
    watching.cancel()
    assert [event for event, _ in told] == ["accounts-unbalanced"]
    assert "mast.derived-wind: GroupHealth(due=1, good=1, bad=1, missed=0)" in told[0][1]
    assert caplog.text.count("not accounted for") == 1


async def test_acquisition_of_nothing_waits_until_it_is_ended() -> None:
    acquisition, _ = acquire({"gateway": {"id": "gw-test-0001"}})
    running = asyncio.create_task(acquisition.run())
    done, _ = await asyncio.wait([running], timeout=0.05)
    assert not done
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
