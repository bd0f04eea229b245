"""How good the times of samples are, by what the kernel and chrony say."""

from __future__ import annotations

import asyncio
import stat

import pytest

from edge import timing
from edge.clock import SET_FLOOR_NS, STA_PPSSIGNAL, STA_PPSTIME, STA_UNSYNC, Kernel, SystemClock, read_kernel
from edge.timing import Source, Timekeeper, Tracking, judge, parse_tracking, percent
from seismic.packet import TimeQuality
from wire.record import WaveFlag

LOCKED, DOUBTED = int(WaveFlag.CLOCK_LOCKED), int(WaveFlag.TIME_QUESTIONABLE)
HELD = Kernel(0, 0, 20_000, 500)
PULSES = Kernel(0, STA_PPSTIME | STA_PPSSIGNAL, 1000, 3)
OFFSET_NS = 7

PPS = "50505300,PPS,1,1732675000.1,-0.000000213,0.0000001,0.0000003,-12.1,0.001,0.01,0.000000001,0.000012,16.0,Normal\n"
NTP = "C0A80001,10.0.0.1,3,1732675000.1,0.000213,0.0001,0.0003,-12.1,0.001,0.01,0.023,0.0042,64.2,Normal\n"
LOST = "00000000,,0,0.0,0.000000000,0.0,0.0,-12.1,0.0,0.0,1.0,1.0,0.0,Not synchronised\n"


@pytest.mark.parametrize(
    ("answer", "source", "error_s"),
    [
        (PPS, Source.PPS, 0.0000122),
        (PPS.replace("PPS", "PHC0"), Source.PTP, 0.0000122),
        (PPS.replace("PPS", "BDS"), Source.GNSS, 0.0000122),
        (NTP, Source.NTP, 0.0159),
        (LOST, Source.NONE, float("inf")),
    ],
)
def test_chrony_says_who_holds_the_clock(answer, source, error_s):
    tracking = parse_tracking(answer)
    assert tracking is not None
    assert tracking.source == source
    assert tracking.error_s == pytest.approx(error_s, rel=0.02)


@pytest.mark.parametrize("answer", ["", "506 Cannot talk to daemon\n", "a,b,c", "," * 13, PPS.replace(",1,", ",one,")])
def test_an_answer_that_is_none_tells_nothing(answer):
    assert parse_tracking(answer) is None


@pytest.mark.parametrize(
    ("kernel", "tracking", "quality", "expected"),
    [
        (HELD, Tracking(Source.PPS, 1e-5), "synced", (90, LOCKED)),
        (HELD, Tracking(Source.GNSS, 1e-3), "synced", (70, LOCKED)),
        (HELD, Tracking(Source.GNSS, 2e-3), "synced", (67, DOUBTED)),
        (HELD, Tracking(Source.NTP, 1e-5), "synced", (60, DOUBTED)),
        (HELD, Tracking(Source.NTP, 0.1), "synced", (50, DOUBTED)),
        (HELD, Tracking(Source.NONE, float("inf")), "synced", (0, DOUBTED)),
        (PULSES, None, "synced", (95, LOCKED)),
        (HELD, None, "synced", (57, DOUBTED)),
        (Kernel(0, 0, 0, 0), None, "synced", (60, DOUBTED)),
        (Kernel(5, STA_UNSYNC), Tracking(Source.PPS, 1e-5), "synced", (0, DOUBTED)),
        (PULSES, None, "holdover", (0, DOUBTED)),
        (PULSES, None, "told", (0, DOUBTED)),
    ],
)
def test_times_are_locked_within_a_millisecond_of_a_clock_on_site_only(kernel, tracking, quality, expected):
    assert judge(kernel, tracking, quality, OFFSET_NS) == TimeQuality(OFFSET_NS, *expected)


def test_without_utc_nobody_knows_how_good_it_is():
    assert judge(HELD, None, "unset", None) == TimeQuality(None, -1, DOUBTED)


def test_the_scale_loses_ten_for_each_power_of_ten():
    assert [percent(10.0**power) for power in range(-7, 6)] == [100, 100, 90, 80, 70, 60, 50, 40, 30, 20, 10, 0, 0]


def test_this_machines_kernel_says_how_its_clock_stands():
    kernel = read_kernel()
    assert kernel.max_error_us >= 0
    assert kernel.estimated_error_us >= 0


def _clock() -> SystemClock:
    return SystemClock(lambda: 5, lambda: SET_FLOOR_NS + 5, lambda: True)


async def test_the_timekeeper_follows_chrony(caplog):
    answers = [PPS, PPS, "", LOST]
    keeper = Timekeeper(_clock(), lambda: HELD, lambda: asyncio.sleep(0, answers.pop(0)))
    caplog.set_level("INFO")
    found = []
    for _ in range(4):
        await keeper.look()
        found.append((keeper.source, keeper.quality().flags))
    assert found == [
        (Source.PPS, LOCKED),
        (Source.PPS, LOCKED),
        (Source.NTP, DOUBTED),
        (Source.NONE, DOUBTED),
    ]
    assert keeper.quality().offset_ns == SET_FLOOR_NS
    assert len(caplog.records) == 3


@pytest.mark.parametrize(
    ("script", "expected"),
    [("printf 'a,b\\n'", "a,b\n"), ("printf 'no\\n'; exit 1", ""), ("exec sleep 60", "")],
    ids=["answers", "fails", "hangs"],
)
async def test_chronyc_is_asked_and_not_waited_for(tmp_path, monkeypatch, script, expected):
    program = tmp_path / "chronyc"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(timing, "CHRONYC", (str(program), "-c", "tracking"))
    monkeypatch.setattr(timing, "CHRONYC_S", 0.5)
    assert await timing.ask_chrony() == expected


async def test_a_machine_without_chrony_is_no_mistake(monkeypatch):
    monkeypatch.setattr(timing, "CHRONYC", ("/nowhere/chronyc",))
    assert await timing.ask_chrony() == ""
