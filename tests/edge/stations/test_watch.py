"""Whether a quake counts: alone, and where two instruments have to agree."""

from __future__ import annotations

from typing import Any

from edge.stations.quake import Partner, Watch
from seismic.report import Report, State
from tests.edge.readings import at

WITHIN_S = 3.0


def report(state: State, at_s: float, onset_s: float = 0.0, **more: Any) -> Report:
    peaks: dict[str, Any] = {"pga_gal": at_s, "pgv_cm_s": 1, "pgd_cm": 1, "intensity_gb": 5, "intensity_jma": 4}
    return Report(
        state=state,
        onset_at_ns=at(onset_s),
        peak_at_ns=at(at_s),
        at_ns=at(at_s),
        duration_s=at_s - onset_s,
        grade=5,
        **{**peaks, **more},
    )


def partner(onset_s: float | None = None, *, is_triggered: bool = False, is_deaf: bool = False) -> Partner:
    onset_ns = None if onset_s is None else at(onset_s)
    return Partner(name="other", onset_ns=onset_ns, is_triggered=is_triggered, is_deaf=is_deaf)


def onset(within_s: float = WITHIN_S) -> Watch:
    watch = Watch(within_s)
    watch.take(report("onset", 0), 7)
    return watch


def told(watch: Watch) -> list[tuple[int, str, str]]:
    return [(one.number, one.report.state, one.report.reason) for one in watch.take_told()]


def test_quake_of_a_station_alone_counts_at_once() -> None:
    watch = onset(0.0)
    watch.decide(None, at(0))
    assert told(watch) == [(7, "onset", "")]
    watch.take(report("grown", 1), 0)
    assert watch.accepted is not None
    watch.take(report("closed", 20), 0)
    assert told(watch) == [(7, "grown", ""), (7, "closed", "")]
    assert watch.accepted is None
    assert not watch.is_triggered


def test_quake_waits_for_the_other_instrument_and_tells_nothing_before() -> None:
    watch = onset()
    watch.decide(partner(), at(0))
    watch.take(report("grown", 1), 0)
    watch.decide(partner(), at(1))
    assert told(watch) == []
    assert watch.accepted is None
    assert watch.decide_ns == at(WITHIN_S)


def test_quake_counts_when_the_other_triggers_and_tells_how_it_began_and_how_it_stands() -> None:
    watch = onset()
    watch.take(report("grown", 1), 0)
    watch.decide(partner(1.5, is_triggered=True), at(1.5))
    assert told(watch) == [(7, "onset", ""), (7, "grown", "")]


def test_other_instrument_that_triggered_a_moment_before_and_is_quiet_again_confirms() -> None:
    watch = onset()
    watch.decide(partner(-2.0), at(0))
    assert watch.accepted is not None


def test_other_instrument_that_triggered_long_before_and_is_quiet_again_confirms_nothing() -> None:
    watch = onset()
    watch.decide(partner(-10.0), at(0))
    assert watch.accepted is None


def test_slammed_door_at_one_instrument_is_told_once_as_rejected() -> None:
    watch = onset()
    watch.decide(partner(), at(2.9))
    watch.decide(partner(), at(3.0))
    watch.take(report("grown", 3.5), 0)
    watch.decide(partner(), at(3.5))
    watch.take(report("closed", 12), 0)
    assert told(watch) == [(7, "rejected", "station 'other' has not triggered within 3 s")]
    assert not watch.is_triggered


def test_quake_that_ends_while_it_waits_is_rejected() -> None:
    watch = onset()
    watch.take(report("closed", 2), 0)
    assert told(watch) == [(7, "rejected", "it ended before another instrument triggered")]


def test_spike_that_the_analyser_rejects_while_it_waits_has_the_analysers_reason() -> None:
    watch = onset()
    watch.take(report("rejected", 1, reason="one sample"), 0)
    assert told(watch) == [(7, "rejected", "one sample")]


def test_quake_counts_after_all_when_the_other_triggers_while_this_one_still_shakes() -> None:
    watch = onset()
    watch.decide(partner(), at(3))
    told(watch)
    watch.take(report("grown", 8), 0)
    watch.decide(partner(8.0, is_triggered=True), at(8))
    assert told(watch) == [(7, "onset", ""), (7, "grown", "")]
    assert watch.accepted is not None


def test_instrument_without_samples_is_not_waited_for() -> None:
    watch = onset()
    watch.decide(partner(is_deaf=True), at(0))
    assert told(watch) == [(7, "onset", "station 'other' gives no samples: counted without it")]


def test_quake_that_counted_stays_so_whatever_becomes_of_the_other() -> None:
    watch = onset()
    watch.decide(partner(0.5, is_triggered=True), at(0.5))
    watch.decide(partner(is_deaf=True), at(9))
    watch.take(report("closed", 20), 0)
    assert [state for _, state, _ in told(watch)] == ["onset", "closed"]


def test_report_without_an_onset_tells_nothing() -> None:
    watch = Watch()
    watch.take(report("grown", 1), 0)
    watch.decide(None, at(1))
    assert told(watch) == []
