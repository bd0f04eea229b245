import random

import pytest

from lab.ledger import COUNTER_MODULUS, Ledger, Numbers, Unwrapped, wire_counter


def test_numbers_added_in_any_order_are_one_dense_range():
    numbers = Numbers()
    order = list(range(1, 200))
    random.Random(1).shuffle(order)
    assert all(numbers.add(number) for number in order)
    assert numbers.count == 199
    assert list(numbers.missing(1, 199)) == []
    assert list(numbers.missing(1, 201)) == [(200, 201)]


def test_a_number_that_is_there_is_not_added_again():
    numbers = Numbers()
    assert numbers.add(5)
    assert not numbers.add(5)
    assert numbers.count == 1


def test_missing_ranges_are_found_at_the_front_in_the_middle_and_at_the_end():
    numbers = Numbers()
    for number in (3, 4, 7):
        numbers.add(number)
    assert list(numbers.missing(1, 9)) == [(1, 2), (5, 6), (8, 9)]
    assert list(numbers.missing(4, 5)) == [(5, 5)]
    assert 4 in numbers
    assert 5 not in numbers


def test_numbers_agree_with_a_plain_set_on_random_input():
    chance = random.Random(2)
    numbers, plain = Numbers(), set()
    for _ in range(2000):
        number = chance.randint(1, 400)
        assert numbers.add(number) is (number not in plain)
        plain.add(number)
    absent = {n for first, last in numbers.missing(1, 400) for n in range(first, last + 1)}
    assert absent == set(range(1, 401)) - plain


def test_a_counter_is_followed_over_its_wrap():
    unwrapped = Unwrapped()
    for number in range(1, 3 * COUNTER_MODULUS, 97):
        assert unwrapped.add(wire_counter(number))
    assert unwrapped.numbers.highest > 2 * COUNTER_MODULUS
    assert not unwrapped.add(wire_counter(unwrapped.numbers.highest))


def test_a_signed_counter_counts_like_an_unsigned_one():
    unwrapped = Unwrapped()
    for number in range(1, 40_000):
        raw = wire_counter(number)
        unwrapped.add(raw - COUNTER_MODULUS if raw >= 32768 else raw)
    assert unwrapped.numbers.count == 39_999
    assert list(unwrapped.numbers.missing(1, 39_999)) == []


def test_a_counter_that_comes_late_fills_its_place():
    unwrapped = Unwrapped()
    for counter in (1, 2, 5, 3, 4):
        assert unwrapped.add(counter)
    assert list(unwrapped.numbers.missing(1, 5)) == []


@pytest.fixture
def ledger():
    ledger = Ledger("gw-test-1", "tanks.fast", values=37, counter="tanks.polls")
    for _ in range(10):
        ledger.number_next()
    return ledger


def test_samples_served_are_scans_times_values(ledger):
    assert ledger.samples == 370


def test_a_withdrawn_number_counts_neither_as_served_nor_as_lost(ledger):
    ledger.withdraw(4)
    arrived = Numbers()
    for number in (1, 2, 3, 5, 6, 8, 9):
        arrived.add(number)
    assert ledger.samples == 9 * 37
    assert ledger.lost(arrived) == [(7, 7), (10, 10)]
    assert ledger.unexpected(arrived) == 0


def test_a_number_that_nobody_served_is_told(ledger):
    arrived = Numbers()
    for number in (1, 2, 11):
        arrived.add(number)
    assert ledger.lost(arrived) == [(3, 10)]
    assert ledger.unexpected(arrived) == 1
