"""Noise on real pseudo terminals, a little of what ``make fuzz`` does at length."""

from tests.fuzz import noisy_line, one_octet

SEED = 1


def test_noise_that_crc_16_detects_gives_no_false_value():
    told = noisy_line.measure(frames=200, seed=SEED)
    assert told["false_good"] == 0
    assert min(told["good"], told["faults"]) > 100
    assert set(told["by_noise"]) == {*noisy_line.NOISES, noisy_line.LATE}


def test_sum_of_one_octet_lets_through_what_theory_says_and_the_rules_catch_most_of_it():
    told = one_octet.measure("modbus-ascii", frames=10_000, seed=SEED)
    assert 0.5 < told["believed_ratio"] < 1.5
    assert told["good_after_checks"] < told["believed"] / 4
