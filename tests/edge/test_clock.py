"""The machine's clock as it really behaves: unset, set late, stepped, a year off, corrected by a leap second."""

from __future__ import annotations

import pytest

from edge.clock import SET_FLOOR_NS, STA_UNSYNC, SystemClock, is_held, is_kernel_synced
from wire.conversation import Clock

S = 10**9
YEAR = 365 * 86_400 * S
NOW = SET_FLOOR_NS + YEAR


class Machine:
    """A monotonic clock, and a wall clock that can be set to anything."""

    def __init__(self, wall_ns: int) -> None:
        self.mono_ns = 5 * S
        self.offset_ns = wall_ns - self.mono_ns
        self.is_synced = False
        self.clock = SystemClock(lambda: self.mono_ns, lambda: self.mono_ns + self.offset_ns, lambda: self.is_synced)

    def pass_s(self, seconds: float) -> None:
        self.mono_ns += int(seconds * S)

    def jump(self, ns: int) -> None:
        self.offset_ns += ns


@pytest.mark.parametrize(
    ("answer", "status", "held"),
    [
        (0, 0, True),
        (0, STA_UNSYNC, False),
        (1, 0x0010, True),  # a leap second is to be inserted
        (3, 0x0010, True),  # it is being inserted
        (4, 0, True),
        (5, STA_UNSYNC, False),
        (5, 0x2001, True),  # the error concerns a pulse signal that nobody connected
        (-1, 0, False),
    ],
)
def test_kernel_says_whether_a_time_source_holds_its_clock(answer: int, status: int, held: bool) -> None:
    assert is_held(answer, status) is held


def test_the_kernel_of_this_machine_answers() -> None:
    assert is_kernel_synced() in (True, False)


def test_clock_at_1970_is_unset_and_dates_nothing() -> None:
    machine = Machine(0)
    assert machine.clock.state() == Clock(offset_ns=None, quality="unset")
    assert machine.clock.wall_at(machine.mono_ns) is None


def test_clock_that_is_set_later_dates_what_came_before() -> None:
    machine = Machine(0)
    before = machine.mono_ns
    machine.pass_s(100)
    machine.jump(NOW)
    assert machine.clock.state().quality == "holdover"
    assert machine.clock.wall_at(before) == before + NOW - 5 * S
    machine.is_synced = True
    assert machine.clock.state().quality == "synced"


def test_fleet_tells_the_time_where_there_is_none() -> None:
    machine = Machine(0)
    machine.clock.tell(NOW)
    assert machine.clock.state() == Clock(offset_ns=NOW - 5 * S, quality="told")
    machine.pass_s(60)
    assert machine.clock.wall_at(machine.mono_ns) == NOW + 60 * S
    machine.clock.tell(NOW + 61 * S)  # a later welcome is believed
    assert machine.clock.wall_at(machine.mono_ns) == NOW + 61 * S


def test_fleet_that_has_no_time_itself_is_not_believed() -> None:
    machine = Machine(0)
    machine.clock.tell(7 * S)
    assert machine.clock.state().quality == "unset"


@pytest.mark.parametrize("is_synced", [True, False])
def test_clock_of_ones_own_goes_before_what_the_fleet_tells(is_synced: bool) -> None:
    machine = Machine(NOW)
    machine.is_synced = is_synced
    machine.clock.tell(NOW + YEAR)
    assert machine.clock.state() == Clock(offset_ns=NOW - 5 * S, quality="synced" if is_synced else "holdover")
    assert machine.clock.wall_at(machine.mono_ns) == NOW


def test_told_time_ends_when_the_machine_learns_its_own() -> None:
    machine = Machine(0)
    machine.clock.tell(NOW + 3 * S)
    machine.jump(NOW)
    assert machine.clock.wall_at(machine.mono_ns) == NOW
    machine.clock.tell(NOW + 3 * S)
    assert machine.clock.state().quality == "holdover"


def test_clock_that_falls_back_to_1970_goes_on_from_what_it_was() -> None:
    machine = Machine(NOW)
    machine.is_synced = True
    assert machine.clock.state().quality == "synced"
    machine.clock.tell(NOW + YEAR)
    machine.jump(-NOW)
    machine.pass_s(60)
    assert machine.clock.state() == Clock(offset_ns=NOW - 5 * S, quality="holdover")
    assert machine.clock.wall_at(machine.mono_ns) == NOW + 60 * S


@pytest.mark.parametrize("jump_ns", [-YEAR // 2, YEAR, -3600 * S, 3600 * S, -S, S])
def test_jump_of_the_machines_clock_is_followed_and_undone(jump_ns: int) -> None:
    machine = Machine(NOW)
    machine.clock.tell(NOW)
    machine.jump(jump_ns)
    assert machine.clock.wall_at(machine.mono_ns) == NOW + jump_ns
    assert machine.clock.state().offset_ns == NOW + jump_ns - 5 * S
    machine.jump(-jump_ns)
    assert machine.clock.wall_at(machine.mono_ns) == NOW
