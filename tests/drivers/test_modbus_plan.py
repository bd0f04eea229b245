import itertools

from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus.model import Device, Source
from drivers.modbus.plan import BITS_PER_REGISTER, Block, plan, span

sources = st.lists(
    st.builds(
        Source,
        function=st.sampled_from([1, 2, 3, 4]),
        address=st.integers(0, 300),
        type=st.none(),
    )
    | st.builds(
        Source,
        function=st.sampled_from([3, 4]),
        address=st.integers(0, 300),
        type=st.sampled_from(["i16", "u32", "f32", "f64"]),
    ),
    min_size=1,
    max_size=40,
)
devices = st.builds(
    Device,
    max_registers=st.integers(4, 125),
    max_bits=st.integers(1, 2000),
    max_hole=st.integers(0, 30),
)


def places(source: Source) -> set[int]:
    return set(range(source.address, source.address + span(source)))


@given(sources, devices)
def test_each_tag_lies_whole_in_exactly_one_block(sources, device):
    blocks = plan(sources, device)
    assert sorted(item for block in blocks for item in block.items) == list(range(len(sources)))
    for block in blocks:
        held = set(range(block.address, block.address + block.count))
        assert all(sources[item].function == block.function for item in block.items)
        assert all(places(sources[item]) <= held for item in block.items)


@given(sources, devices)
def test_blocks_keep_the_limits_of_the_instrument(sources, device):
    for block in plan(sources, device):
        used = set().union(*(places(sources[item]) for item in block.items))
        most, hole = device.max_registers, device.max_hole
        if block.function in {1, 2}:
            most, hole = device.max_bits, device.max_hole * BITS_PER_REGISTER
        assert block.count <= most
        assert {block.address, block.address + block.count - 1} <= used, "a block ends where its tags end"
        ordered = sorted(used)
        assert all(after - before - 1 <= hole for before, after in itertools.pairwise(ordered))


@given(sources, devices)
def test_neighbouring_blocks_could_not_have_been_one(sources, device):
    blocks = plan(sources, device)
    for one, other in itertools.pairwise(blocks):
        if one.function != other.function:
            continue
        factor = BITS_PER_REGISTER if one.function in {1, 2} else 1
        most = device.max_bits if one.function in {1, 2} else device.max_registers
        first = sources[other.items[0]]
        hole = first.address - (one.address + one.count)
        joined = max(one.address + one.count, first.address + span(first)) - one.address
        assert hole > device.max_hole * factor or joined > most


@given(sources, devices, st.randoms())
def test_plan_does_not_depend_on_the_order_of_tags(sources, device, random):
    shuffled = list(sources)
    random.shuffle(shuffled)

    def shape(blocks):
        return [(block.function, block.address, block.count) for block in blocks]

    assert shape(plan(sources, device)) == shape(plan(shuffled, device))


def test_tank_controller_is_one_request():
    tank = [Source(address=0), Source(address=1), Source(address=2, type="f32"), Source(address=8)]
    assert plan(tank, Device()) == (Block(3, 0, 9, (0, 1, 2, 3)),)


def test_instrument_without_holes_gets_a_request_for_each_island():
    assert [block.count for block in plan([Source(address=0), Source(address=2)], Device(max_hole=0))] == [1, 1]
