"""What a rollout does next: every state of a wave that there can be, for small waves."""

from __future__ import annotations

import itertools

import pytest

from fleet.rollouts.decision import Step, WaveCount, decide, describe, has_failed, has_succeeded
from fleet.rollouts.plan import Rules
from fleet.rollouts.states import FINISHED, PAUSED, ROLLOUT_MOVES, RUNNING, STOPPED, STOPPING

RULES = Rules(error_percent=20, executed_least=3, success_percent=80)
SMALL = [
    WaveCount(pending=pending, finished=finished, errors=errors)
    for pending, finished, errors in itertools.product(range(5), range(5), range(4))
]
DONE = WaveCount(finished=10)


@pytest.mark.parametrize("count", SMALL)
@pytest.mark.parametrize("is_last", [True, False])
def test_every_small_wave_waits_goes_on_pauses_or_ends(count: WaveCount, is_last: bool) -> None:
    counts = [count] if is_last else [count, WaveCount(pending=4)]
    step = decide(RUNNING, 0, RULES, counts)
    share = count.errors / count.executed if count.executed else 0
    judged = count.executed >= 3 or count.pending == 0
    is_bad, is_good = judged and share > 0.2, count.finished >= 0.8 * count.size
    if is_bad:
        assert step is not None
        assert (step.state, step.wave) == (PAUSED, 0)
        assert step.cause is not None
        assert step.cause.kind == "errors"
        assert f"{count.errors} of {count.executed}" in describe(step.cause)
    elif is_good and not is_last:
        assert step == Step(state=RUNNING, wave=1)
    elif is_good:
        assert step == (None if count.pending else Step(state=FINISHED, wave=0))
    elif count.pending == 0:
        assert step is not None
        assert step.cause is not None
        assert (step.state, step.cause.kind) == (PAUSED, "few")
    else:
        assert step is None


@pytest.mark.parametrize("state", sorted(ROLLOUT_MOVES))
@pytest.mark.parametrize("count", SMALL)
def test_each_step_is_a_move_that_there_is_and_only_what_runs_or_stops_takes_one(state: str, count: WaveCount) -> None:
    step = decide(state, 0, RULES, [count, WaveCount(pending=1)])
    if state not in (RUNNING, STOPPING):
        assert step is None
    elif step is not None and step.state != state:
        assert step.state in ROLLOUT_MOVES[state]


def test_stopping_waits_for_the_last_gateway() -> None:
    assert decide(STOPPING, 1, RULES, [DONE, WaveCount(pending=1)]) is None
    assert decide(STOPPING, 1, RULES, [WaveCount(errors=9), DONE]) == Step(state=STOPPED, wave=1)


def test_errors_below_the_minimum_do_not_pause_but_at_the_minimum_they_do() -> None:
    assert not has_failed(WaveCount(pending=8, errors=2), RULES)
    assert has_failed(WaveCount(pending=7, errors=3), RULES)


def test_threshold_itself_is_no_excess() -> None:
    assert not has_failed(WaveCount(finished=4, errors=1), RULES)
    assert has_failed(WaveCount(finished=3, errors=1), RULES)


def test_canary_that_is_smaller_than_the_minimum_is_judged_when_it_is_over() -> None:
    assert not has_failed(WaveCount(pending=1, errors=1), RULES)
    assert has_failed(WaveCount(finished=1, errors=1), RULES)
    assert has_failed(WaveCount(errors=1), RULES)


def test_late_error_of_an_earlier_wave_pauses_too() -> None:
    step = decide(RUNNING, 1, RULES, [WaveCount(finished=7, errors=3), WaveCount(pending=5)])
    assert step is not None
    assert step.cause is not None
    assert (step.state, step.wave, step.cause.wave) == (PAUSED, 1, 0)


def test_last_wave_waits_for_stragglers_of_earlier_ones() -> None:
    straggler = WaveCount(finished=9, pending=1)
    assert decide(RUNNING, 1, RULES, [straggler, DONE]) is None
    assert decide(RUNNING, 1, RULES, [DONE, DONE]) == Step(state=FINISHED, wave=1)


def test_wave_in_which_nobody_counts_any_more_is_passed_over() -> None:
    assert has_succeeded(WaveCount(), RULES)
    assert decide(RUNNING, 0, RULES, [WaveCount(), DONE]) == Step(state=RUNNING, wave=1)


def test_success_threshold_of_all_waits_for_all() -> None:
    rules = Rules(success_percent=100, error_percent=50)
    assert decide(RUNNING, 0, rules, [WaveCount(finished=9, pending=1), DONE]) is None
    step = decide(RUNNING, 0, rules, [WaveCount(finished=9, errors=1), DONE])
    assert step is not None
    assert step.cause is not None
    assert describe(step.cause) == "wave 1 is over: 9 of 10 gateways run the release, 100 % are wanted"
