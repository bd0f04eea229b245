"""A metered link: by hand, then for any traffic at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.metering import (
    DAY_S,
    EMPTY_BYTES,
    PROBE_S,
    UNLIMITED_BYTES,
    Meter,
    Traffic,
    octets_of_answer,
    octets_of_message,
    octets_to_connect,
)

BURST = 65_536
PER_S = 100
ALARMS, RECORDS, SHOWN = Traffic


def meter(per_s: int = PER_S, least: int = 0) -> Meter:
    return Meter(budget_bytes_per_day=per_s * DAY_S, burst_bytes=BURST, alarms_only_below_bytes_per_s=least, now=0.0)


def full() -> Meter:
    made = meter()
    assert made.update(BURST / PER_S, None)
    return made


def test_link_without_a_budget_carries_everything_and_counts() -> None:
    free = Meter(budget_bytes_per_day=0, burst_bytes=BURST, alarms_only_below_bytes_per_s=0, now=0.0)
    assert not free.update(1.0, 1.0)
    assert all(free.take(10**6, traffic, 1.0) for traffic in Traffic)
    assert (free.alarms_only, free.allowance(1.0), free.sent_bytes) == ("", UNLIMITED_BYTES, 3 * 10**6)


def test_bucket_starts_empty_so_that_restarts_make_no_octets() -> None:
    started = meter()
    assert started.alarms_only == "budget"
    assert not started.take(1, RECORDS, 0.0)
    assert not started.take(1, SHOWN, 0.0)
    assert started.take(1, ALARMS, 0.0)


def test_alarms_only_ends_at_a_quarter_and_begins_again_when_empty() -> None:
    tried = meter()
    quarter_s = BURST / 4 / PER_S
    assert not tried.update(quarter_s - 1, None)
    assert tried.update(quarter_s, None)
    assert tried.alarms_only == ""
    assert tried.take(BURST // 4 - EMPTY_BYTES, RECORDS, quarter_s)
    assert not tried.update(quarter_s, None), "there is just enough for one batch more"
    assert tried.take(EMPTY_BYTES, RECORDS, quarter_s)
    assert tried.update(quarter_s, None)
    assert not tried.update(quarter_s + 60, None), "not at the first octets that come in"


def test_alarm_goes_on_an_empty_bucket_and_is_repaid_and_counted() -> None:
    tried = meter()
    assert tried.bucket is not None
    assert tried.take(1000, ALARMS, 0.0)
    assert (tried.bucket.level, tried.bucket.overdrawn_bytes) == (-1000, 1000)
    tried.update(10.0, None)
    assert tried.bucket.level == 0
    assert tried.take(10 * BURST, ALARMS, 10.0)
    assert (tried.bucket.level, tried.bucket.overdrawn_bytes) == (-BURST, 1000 + 10 * BURST)


def test_live_values_and_health_are_shed_before_measurements() -> None:
    tried = full()
    assert tried.take(BURST // 2, SHOWN, 0.0)
    assert not tried.take(1, SHOWN, 0.0)
    assert tried.take(BURST // 2, RECORDS, 0.0)
    assert not tried.take(1, RECORDS, 0.0)


def test_message_larger_than_the_bucket_goes_once_that_is_full() -> None:
    tried = full()
    assert tried.bucket is not None
    assert tried.allowance(0.0, 3 * BURST) == BURST
    assert tried.take(3 * BURST, RECORDS, 0.0)
    assert tried.bucket.level == -2 * BURST
    assert tried.take(10, ALARMS, 0.0)
    assert tried.bucket.level == -2 * BURST, "an alarm's debt adds none to a deeper one"


def test_nothing_is_read_that_there_is_no_room_for() -> None:
    tried = full()
    tried.take(BURST - 5000, RECORDS, 0.0)
    assert tried.allowance(0.0) == 5000
    assert tried.allowance(0.0, 5001) == 0


def test_slow_link_carries_only_alarms_and_one_probe_a_minute_until_it_is_well_above() -> None:
    tried = Meter(budget_bytes_per_day=0, burst_bytes=BURST, alarms_only_below_bytes_per_s=1000, now=0.0)
    assert not tried.update(0.0, None), "not measured is not slow"
    assert tried.update(0.0, 999.0)
    assert tried.alarms_only == "rate"
    assert not tried.take(10, RECORDS, 1.0)
    assert not tried.take(10, SHOWN, PROBE_S)
    assert tried.allowance(PROBE_S) == UNLIMITED_BYTES
    assert tried.take(10, RECORDS, PROBE_S)
    assert not tried.take(10, RECORDS, PROBE_S + 1)
    assert not tried.update(PROBE_S, 1499.0)
    assert tried.update(PROBE_S, 1500.0)
    assert not tried.update(PROBE_S, 1001.0)


def test_clock_that_stands_or_goes_back_fills_nothing() -> None:
    tried = meter()
    assert tried.bucket is not None
    tried.update(10.0, None)
    tried.update(5.0, None)
    tried.update(10.0, None)
    assert tried.bucket.level == 1000


@pytest.mark.parametrize(("payload", "is_tls", "octets"), [(0, False, 133), (1000, False, 1133), (2000, True, 2207)])
def test_octets_of_a_message_are_those_of_its_packets(payload: int, is_tls: bool, octets: int) -> None:
    assert octets_of_message(payload, 20, is_tls=is_tls) == octets


def test_tls_costs_more() -> None:
    assert octets_to_connect(is_tls=True) > octets_to_connect(is_tls=False) > 0
    assert octets_of_answer(is_tls=True) > octets_of_answer(is_tls=False) > 0


OFFERS = st.tuples(st.sampled_from(list(Traffic)), st.integers(1, BURST), st.sampled_from([0.0, 0.1, 5.0, 300.0]))


@given(offers=st.lists(OFFERS, max_size=120), per_s=st.integers(1, 5000))
def test_in_any_window_no_more_than_burst_and_rate_and_an_alarm_never_waits(offers, per_s) -> None:
    tried = meter(per_s)
    now, sent = 0.0, []
    for traffic, octets, pause_s in offers:
        now += pause_s
        tried.update(now, None)
        went = tried.take(octets, traffic, now)
        assert went or traffic is not ALARMS
        if went and traffic is not ALARMS:
            sent.append((now, octets))
        assert tried.bucket is not None
        assert -BURST <= tried.bucket.level <= BURST
    for first, (begin, _) in enumerate(sent):
        total = 0
        for end, octets in sent[first:]:
            total += octets
            assert total <= BURST + per_s * (end - begin) + 1e-6
