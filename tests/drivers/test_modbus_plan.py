"""Which requests read a group: property tests, and a search of all ways as the judge of what is fewest."""

import itertools

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from drivers.errors import SettingsError
from drivers.modbus.model import Device, Forbidden, Source
from drivers.modbus.place import Span, column
from drivers.modbus.plan import BITS_PER_REGISTER, Limits, limits, plan

LAST = 65_535


def spans_below(top: int, longest: int = 4):
    bit = st.builds(Span, function=st.sampled_from([1, 2]), address=st.integers(0, top), count=st.just(1))
    word = st.builds(Span, function=st.sampled_from([3, 4]), address=st.integers(0, top), count=st.integers(1, longest))
    return bit | word


limitses = st.builds(
    Limits,
    max_registers=st.integers(4, 125),
    max_bits=st.integers(1, 2000),
    max_hole=st.integers(0, 30),
    one_by_one=st.booleans(),
    forbidden=st.lists(spans_below(300, longest=9), max_size=4).map(tuple),
)


@st.composite
def groups(draw, top: int = 300, most: int = 40, kinds=limitses):
    """Spans that an instrument lets be read at all, and its limits."""
    limits = draw(kinds)
    spans = draw(st.lists(spans_below(top).filter(limits.allows), min_size=1, max_size=most))
    return spans, limits


def touches(one: Span, other: Span) -> bool:
    return one.function == other.function and one.address < other.end and other.address < one.end


@given(groups())
def test_every_span_lies_whole_in_a_block(group):
    spans, limits = group
    blocks = plan(spans, limits)
    assert all(any(block.holds(span) for block in blocks) for span in spans)


@given(groups())
def test_blocks_begin_and_end_with_what_is_used(group):
    spans, limits = group
    for block in plan(spans, limits):
        inside = [span for span in spans if block.holds(span)]
        assert min(span.address for span in inside) == block.address
        assert max(span.end for span in inside) == block.end


@given(groups())
def test_blocks_keep_the_limits_of_the_instrument(group):
    spans, limits = group
    for block in plan(spans, limits):
        assert block.count <= (limits.max_bits if block.is_bits else limits.max_registers)
        used = sorted({at for span in spans if block.holds(span) for at in range(span.address, span.end)})
        hole = limits.max_hole * (BITS_PER_REGISTER if block.is_bits else 1)
        assert all(after - before - 1 <= hole for before, after in itertools.pairwise(used))


@given(groups())
def test_no_block_touches_a_forbidden_range(group):
    spans, limits = group
    assert not any(touches(block, closed) for block in plan(spans, limits) for closed in limits.forbidden)


@given(st.lists(st.integers(65_400, LAST), min_size=1, max_size=30))
def test_no_block_reaches_past_the_last_address(addresses):
    assert all(block.end <= LAST + 1 for block in plan([Span(3, at, 1) for at in addresses], Limits()))


small = st.builds(
    Limits,
    max_registers=st.integers(4, 9),
    max_bits=st.integers(1, 12),
    max_hole=st.integers(0, 3),
    forbidden=st.lists(spans_below(20, longest=2), max_size=2).map(tuple),
)


def is_block(spans: tuple[Span, ...], limits: Limits) -> bool:
    """Tell whether one request may read all of these."""
    first, end = min(span.address for span in spans), max(span.end for span in spans)
    block = Span(spans[0].function, first, end - first)
    used = sorted({at for span in spans for at in range(span.address, span.end)})
    holes = [after - before - 1 for before, after in itertools.pairwise(used)]
    return (
        len({span.function for span in spans}) == 1
        and limits.allows(block)
        and max(holes, default=0) <= limits.hole(block)
    )


def fewest(spans: tuple[Span, ...], limits: Limits) -> int:
    """Try every way to share spans out among requests."""
    if not spans:
        return 0
    first, rest = spans[0], spans[1:]
    best = len(spans)
    for size in range(len(rest) + 1):
        for others in itertools.combinations(rest, size):
            if is_block((first, *others), limits):
                left = tuple(span for span in rest if span not in others)
                best = min(best, 1 + fewest(left, limits))
    return best


@given(groups(top=20, most=6, kinds=small))
def test_there_are_as_few_blocks_as_can_be(group):
    spans, limits = group
    assert len(plan(spans, limits)) == fewest(tuple(set(spans)), limits)


@given(groups(), st.randoms())
def test_plan_does_not_depend_on_the_order_of_tags(group, random):
    spans, limits = group
    shuffled = list(spans)
    random.shuffle(shuffled)
    assert plan(spans, limits) == plan(shuffled, limits)


@given(groups())
def test_instrument_that_wants_single_requests_gets_one_for_each_value(group):
    spans, limits = group
    assume(limits.one_by_one)
    assert set(plan(spans, limits)) == set(spans)


def test_tank_controller_is_one_request():
    tank = [Source(address=0), Source(address=1), Source(address=2, type="f32"), Source(address=8)]
    spans = [column(source, Device()).span for source in tank]
    assert plan(spans, limits(Device())) == (Span(3, 0, 9),)


def test_instrument_without_holes_gets_a_request_for_each_island():
    assert [block.count for block in plan([Span(3, 0, 1), Span(3, 2, 1)], limits(Device(max_hole=0)))] == [1, 1]


def test_forbidden_range_counts_like_the_tags_of_its_device():
    device = Device(base=1, forbidden=(Forbidden(function=3, first=3, last=3),))
    spans = [column(Source(address=at), device).span for at in (1, 2, 4)]
    assert plan(spans, limits(device)) == (Span(3, 0, 2), Span(3, 3, 1))


@pytest.mark.parametrize(("first", "last"), [(5, 4), (0, 3), (1, 65_537)])
def test_forbidden_range_that_is_none_is_refused(first, last):
    with pytest.raises((SettingsError, ValueError)):
        limits(Device(base=1, forbidden=(Forbidden(first=first, last=last),)))
