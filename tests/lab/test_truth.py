import pytest

from lab.platform import RaisedAlarm
from lab.truth import Rule, Truth, percentile

GATEWAY = "gw-test-0001"
SIREN, BEACON = (f"{GATEWAY}/relay-1", 0), (f"{GATEWAY}/relay-1", 1)
HIGH = Rule(gateway=GATEWAY, tag="gd.gas", level="high", limit=25.0, deadband=2.0, coils=(BEACON,))
HIGH_HIGH = Rule(gateway=GATEWAY, tag="gd.gas", level="high-high", limit=50.0, deadband=2.0, coils=(SIREN,))
MS = 1_000_000


def serve(truth, *readings):
    for at_ms, value in readings:
        truth.served(GATEWAY, "gd.gas", value, at_ms * MS)


def test_delay_to_the_output_runs_from_the_first_value_beyond_the_limit():
    truth = Truth([HIGH, HIGH_HIGH])
    serve(truth, (0, 10.0), (500, 30.0), (1000, 40.0), (1500, 55.0))
    truth.switched(*BEACON, True, 520 * MS)
    truth.switched(*SIREN, True, 1545 * MS)
    assert truth.output_ms == [20.0, 45.0]
    assert truth.unswitched == []


def test_a_coil_that_never_switches_is_told():
    truth = Truth([HIGH])
    serve(truth, (0, 30.0))
    assert truth.unswitched == [BEACON]


def test_a_coil_that_is_on_already_is_not_due_again():
    truth = Truth([HIGH])
    truth.switched(*BEACON, True, 0)
    serve(truth, (100, 30.0))
    assert truth.unswitched == []
    assert truth.output_ms == []


def test_switching_off_delivers_nothing():
    truth = Truth([HIGH])
    serve(truth, (100, 30.0))
    truth.switched(*BEACON, False, 110 * MS)
    assert truth.unswitched == [BEACON]


def test_the_limit_itself_is_beyond_and_the_deadband_itself_is_back():
    truth = Truth([HIGH])
    serve(truth, (0, 25.0), (1, 23.1), (2, 25.0))
    assert len(truth.crossings) == 1
    serve(truth, (3, 23.0), (4, 25.0))
    assert len(truth.crossings) == 2


def test_shaking_within_the_off_delay_is_one_alarm():
    truth = Truth([Rule(gateway=GATEWAY, tag="gd.gas", level="high-high", limit=1.0, off_delay_s=10.0)])
    serve(truth, *((second * 1000, 2.0 if second % 3 == 0 else 0.0) for second in range(30)))
    assert len(truth.crossings) == 1
    serve(truth, *((second * 1000, 0.0) for second in range(30, 45)), (45_000, 2.0))
    assert len(truth.crossings) == 2


def test_low_alarms_look_downwards():
    truth = Truth([Rule(gateway=GATEWAY, tag="gd.gas", level="low-low", limit=5.0, deadband=1.0)])
    serve(truth, (0, 6.0), (1, 5.0), (2, 5.5), (3, 4.0), (4, 6.0), (5, 4.9))
    assert len(truth.crossings) == 2


def test_platform_delays_match_alarms_to_their_crossings_in_order():
    truth = Truth([HIGH])
    serve(truth, (0, 30.0), (1000, 10.0), (2000, 30.0))
    assert truth.unreported == ["gd.gas:high", "gd.gas:high"]
    truth.raised(RaisedAlarm(GATEWAY, "gd.gas:high", 40 * MS))
    truth.raised(RaisedAlarm(GATEWAY, "gd.gas:high", 2100 * MS))
    assert truth.platform_ms == [40.0, 100.0]
    assert truth.unreported == []


@pytest.mark.parametrize("gateway", [GATEWAY, "gw-other-001"])
def test_an_alarm_without_a_crossing_is_unexplained(gateway):
    truth = Truth([HIGH])
    truth.raised(RaisedAlarm(gateway, "gd.gas:high", 0))
    assert len(truth.unexplained) == 1


def test_percentile_is_the_nearest_rank():
    assert percentile([], 0.99) is None
    assert percentile([3.0], 0.99) == 3.0
    assert percentile([float(n) for n in range(1, 201)], 0.99) == 198.0
    assert percentile([2.0, 1.0, 3.0], 0.5) == 2.0
