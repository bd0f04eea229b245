"""The trial of a configuration: who is a reason to go back, and who is not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.trial import Sight, Trial, Verdict, Watch, find_well, say_missing

S = 1_000_000_000
WINDOW = 120 * S
PLACES = ("bus plc", "device tank on plc", "device gas on plc")


def look(well: tuple[str, ...], sights: dict[str, Sight], now_ns: int = WINDOW + 5 * S) -> Verdict:
    return Watch(Trial(version=2, well=well), 5 * S, WINDOW).look(sights, now_ns)


def test_device_that_was_well_and_does_not_answer_any_more_is_the_reason() -> None:
    seen = {"device tank on plc": Sight(is_asked=True, is_failing=True), "device gas on plc": Sight(9 * S, True)}
    assert look(("device tank on plc", "device gas on plc"), seen) == Verdict(True, ("device tank on plc",))


def test_device_that_was_never_well_is_named_and_is_no_reason() -> None:
    assert look((), {"device new on plc": Sight(is_asked=True)}) == Verdict(True, (), ("device new on plc",))


def test_device_that_is_gone_or_on_another_bus_is_no_reason() -> None:
    seen = {"device tank on rtu": Sight(is_asked=True)}
    assert look(("device tank on plc",), seen) == Verdict(True, (), ("device tank on rtu",))


def test_device_that_was_not_asked_in_the_window_is_no_reason() -> None:
    assert look(("device hourly on plc",), {"device hourly on plc": Sight()}) == Verdict(True)


def test_device_that_answered_before_the_window_only_is_still_owed() -> None:
    assert look(("bus plc",), {"bus plc": Sight(5 * S, True)}).missing == ("bus plc",)


def test_nothing_is_judged_before_the_window_is_over() -> None:
    assert look(("bus plc",), {"bus plc": Sight(is_asked=True)}, WINDOW + 5 * S - 1) == Verdict(False)


def test_one_good_scan_in_the_window_is_enough_though_it_fails_at_its_end() -> None:
    watch = Watch(Trial(version=2, well=PLACES), 0, WINDOW)
    watch.look({place: Sight(S, True) for place in PLACES}, 2 * S)
    assert watch.look({place: Sight(S, True, True) for place in PLACES}, WINDOW) == Verdict(True)


def test_well_before_is_who_answered_of_late_and_does_not_fail() -> None:
    sights = {"late": Sight(S), "well": Sight(9 * S), "failing": Sight(9 * S, True, True), "never": Sight(0, True)}
    assert find_well(sights, S) == ("well",)


def test_reason_names_five_places_and_counts_the_others() -> None:
    text = say_missing(tuple(f"device d{n} on plc" for n in range(7)), 120.0)
    assert text.startswith("not well again within 120 s, but well before: device d0 on plc, ")
    assert text.endswith("device d4 on plc and 2 more")


looks = st.lists(
    st.tuples(
        st.integers(1, 30),
        st.dictionaries(st.sampled_from(PLACES), st.tuples(st.booleans(), st.booleans())),
    ),
    max_size=20,
)


@given(well=st.sets(st.sampled_from(PLACES)), steps=looks)
def test_it_goes_back_exactly_for_those_that_were_well_were_asked_and_never_showed_themselves(well, steps) -> None:
    """``steps``: seconds that pass, and for each place that is configured whether it answers and whether it fails."""
    watch = Watch(Trial(version=2, well=tuple(well)), S, WINDOW)
    now, seen = S, set()
    for passed, state in [*steps, (150, dict.fromkeys(PLACES, (False, True)))]:
        now += passed * S
        seen |= {place for place, (answers, _) in state.items() if answers}
        sights = {place: Sight(now if answers else 0, True, fails) for place, (answers, fails) in state.items()}
        verdict = watch.look(sights, now)
        assert verdict.is_over is (now >= S + WINDOW)
        if not verdict.is_over:
            assert verdict == Verdict(False)
            continue
        assert set(verdict.missing) == (sights.keys() - seen) & well
        assert set(verdict.unanswered) == sights.keys() - seen - well
