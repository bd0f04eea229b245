"""What can be seen wrong with the samples of one channel: clipped, spikes, dead."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from wire.record import WaveFlag

DEAD_S = 10.0
"""A component that gives one and the same count for so long is dead: even a coarse one shows its own noise."""

NEIGHBOURS = 4
SPIKE_RATIO = 5
SPIKE_LEAST = 16
"""A spike is one sample that sticks out from its neighbours, by so many counts at least, and so many times as far as
any of the `NEIGHBOURS` on either side differs from the next. A quake's onset goes on; a spike does not."""


class Watch:
    """Looks at the samples of one channel as they pass; ``clips_at`` is the count at which its digitiser ends."""

    def __init__(self, rate_hz: float, clips_at: int | None = None) -> None:
        self._clips_at = clips_at
        self._dead_samples = round(DEAD_S * rate_hz)
        self._before: list[int] = []
        self._same = 0
        self._last: int | None = None

    def look(self, counts: Sequence[int]) -> WaveFlag:
        """Take the next samples and tell what is wrong with them."""
        flags = WaveFlag(0)
        if self._clips_at is not None and max(max(counts), -min(counts)) >= self._clips_at:
            flags |= WaveFlag.CLIPPED
        if self._has_spike(counts):
            flags |= WaveFlag.SPIKES
        if self._longest_run(counts) >= self._dead_samples:
            flags |= WaveFlag.DEAD
        return flags

    def interrupt(self) -> None:
        """Know that samples are missing before the next."""
        self._before, self._same, self._last = [], 0, None

    def _has_spike(self, counts: Sequence[int]) -> bool:
        """Look for a spike, also among the last samples of those before; the very last is looked at next time."""
        row = [*self._before, *counts]
        self._before = row[-(2 * NEIGHBOURS + 1) :]
        steps = [after - before for before, after in pairwise(row)]
        least = max(SPIKE_LEAST, max(map(abs, steps), default=0) / SPIKE_RATIO)
        return any(
            abs(rise) >= least and abs(fall) >= least and (rise > 0) != (fall > 0) and _stands_alone(steps, at)
            for at, (rise, fall) in enumerate(pairwise(steps))
        )

    def _longest_run(self, counts: Sequence[int]) -> int:
        longest = 0
        for count in counts:
            self._same = self._same + 1 if count == self._last else 1
            self._last = count
            longest = max(longest, self._same)
        return longest


def _stands_alone(steps: Sequence[int], at: int) -> bool:
    """Tell whether the steps up and down at an index are far larger than those around, of which there must be some."""
    around = [*steps[max(0, at - NEIGHBOURS) : at], *steps[at + 2 : at + 2 + NEIGHBOURS]]
    height = min(abs(steps[at]), abs(steps[at + 1]))
    is_back = abs(steps[at] + steps[at + 1]) * SPIKE_RATIO <= height
    return is_back and len(around) >= NEIGHBOURS and max(map(abs, around)) * SPIKE_RATIO <= height
