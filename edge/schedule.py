"""When to read what: due times on a fixed grid per group, in whole nanoseconds, so that nothing ever drifts. Pure.

Every grid point ends as one reading or as one miss: it is missed if its successor comes due before it could be asked.
What is late by less than that is read late, and the next due time stays where it was.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterable

import msgspec

from edge.settings import ScanGroup

NS = 1_000_000_000
FIRST_MOST_S = 1.0
"""Within this every group is read once, whatever its period: nobody waits an hour for the first value."""
PERIOD_S = 1.0
"""Of a group that names none."""
TICK_MOST_S = 0.1
TICKS = 10
"""A grid begins on a tick, of which a period has so many at least. Lines that are due together wake the processor once:
on a machine that is otherwise idle, waking up costs more than the reading."""


class _Grid(msgspec.Struct):
    """A group's due times: ``begin_ns + index * period_ns``. ``index`` is the next one; at -1 ``first_ns`` is due."""

    scan_group: ScanGroup
    first_ns: int
    begin_ns: int
    period_ns: int
    index: int
    start: int
    """The first ``index``; less, where the grid was laid anew, by what lay behind then."""
    usual_begin_ns: int
    """``begin_ns`` by the configuration."""

    @property
    def due_ns(self) -> int:
        return self.first_ns if self.index < 0 else self.begin_ns + self.index * self.period_ns


class Schedule:
    """The due times of a bus's groups, their beginnings spread at random over their periods."""

    def __init__(self, groups: Iterable[ScanGroup], now_ns: int, jitter: random.Random) -> None:
        self._grids = [_make_grid(group, now_ns, jitter.random()) for group in groups]
        self._heap = [(grid.due_ns, order) for order, grid in enumerate(self._grids)]
        heapq.heapify(self._heap)

    @property
    def due_ns(self) -> int:
        """When the next group is due."""
        return self._heap[0][0]

    def take(self, now_ns: int) -> tuple[ScanGroup, int]:
        """Return the group to read now and how many of its due times were missed. It stays next until `done`."""
        grid = self._grids[self._heap[0][1]]
        passed = max((now_ns - grid.begin_ns) // grid.period_ns, grid.index)
        missed = passed - grid.index
        grid.index = passed
        return grid.scan_group, missed

    def done(self) -> None:
        """The group that was taken has been read: go on to its next due time."""
        order = self._heap[0][1]
        grid = self._grids[order]
        grid.index += 1
        heapq.heapreplace(self._heap, (grid.due_ns, order))

    def pace(self, name: str, period_s: float | None, now_ns: int) -> None:
        """Read a group every so often from now on, None: as configured again, on its old grid. What lay behind stays
        counted. Not between `take` and `done`.
        """
        grid = next(grid for grid in self._grids if grid.scan_group.group.name == name)
        usual_ns = _period_ns(grid.scan_group)
        period_ns = usual_ns if period_s is None else round(period_s * NS)
        if period_ns == grid.period_ns:
            return
        passed = grid.index - grid.start
        is_usual = period_ns == usual_ns
        if is_usual:
            grid.begin_ns = grid.usual_begin_ns
        elif grid.period_ns == usual_ns:
            grid.begin_ns = _on_tick(now_ns, _tick_ns(period_ns))
        else:  # the pace changes a little: what is due soon stays due then
            grid.begin_ns = min(grid.due_ns, _on_tick(now_ns + period_ns, _tick_ns(period_ns)))
        grid.period_ns = period_ns
        grid.index = max(-((grid.begin_ns - now_ns) // period_ns), 0) if is_usual else 0
        grid.start = grid.index - passed
        self._heap = [(grid.due_ns, order) for order, grid in enumerate(self._grids)]
        heapq.heapify(self._heap)

    def passed(self) -> dict[str, int]:
        """How many due times of each group lie behind, read or missed: what the grid says, whatever was counted."""
        return {grid.scan_group.group.name: grid.index - grid.start for grid in self._grids}


def _make_grid(scan_group: ScanGroup, now_ns: int, share: float) -> _Grid:
    """Begin the grid at a share of the period. If that is far away, the group is read once before, within a second."""
    period_ns = _period_ns(scan_group)
    tick_ns = _tick_ns(period_ns)
    first_ns = _on_tick(now_ns + round(share * min(period_ns, FIRST_MOST_S * NS)), tick_ns)
    begin_ns = _on_tick(now_ns + round(share * period_ns), tick_ns)
    start = -1 if first_ns < begin_ns else 0
    return _Grid(scan_group, first_ns, begin_ns, period_ns, index=start, start=start, usual_begin_ns=begin_ns)


def _period_ns(scan_group: ScanGroup) -> int:
    return round((scan_group.poll_s or PERIOD_S) * NS)


def _tick_ns(period_ns: int) -> int:
    return min(period_ns // TICKS, round(TICK_MOST_S * NS))


def _on_tick(at_ns: int, tick_ns: int) -> int:
    """The next tick from a time on. Ticks count from the clock's zero: all lines have the same."""
    return -(-at_ns // tick_ns) * tick_ns
