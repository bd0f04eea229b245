"""A steady clock for samples whose arrival says when they were taken: late by what buses and programs made of it.

A second-order loop follows the earliest arrivals: the phase by a part of what they are off, the period by a smaller
part (F. M. Gardner, "Phaselock Techniques", 3rd ed., chapter 2). What is off by about a sample, and stays so for
`SETTLE_NS`, is no lateness: the rate is another one if all samples held lie on a straight line, or else samples are
missing or came twice, and a new segment begins. Arrivals that go back are never lateness.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec

NS = 1_000_000_000

SETTLE_NS = 2 * NS // 5
"""What is off for so long, by the arrivals' own time, will not come back: a burst that was held up comes at once."""

BURST_NS = NS // 16
"""How long ordinary programs and adapters hold samples up."""

LATE_SHARE = 0.75
"""By what part of a period even the earliest of some bursts may be late; with a sample missing all are, by a whole."""

RUN_MOST_NS = 2 * NS
"""By their number: what arrives at one and the same time is decided at last when it would take so long."""

BASE_LEAST = 8
"""Samples by which another rate can be told."""

CHANGE_MOST = 5.0
"""How many times as long, or as short, a period that is found may be as the one before."""

PHASE_SHARE, PERIOD_SHARE = 0.6, 0.2
"""Of what a packet's earliest arrival is off: how much the phase follows, and by samples the period."""

PARTS = 8
"""Into so many parts a run is cut to see whether it lies on one line: each must have one that is in time."""

DRIFT_MOST = 0.005
"""By what part the loop may stretch the period that was last found."""

ROUND_SHARE = 0.01
"""A rate found in a short run is a whole number of samples a second if it is within this part of one."""


class Segment(msgspec.Struct, frozen=True):
    """Samples that follow each other: the first of those held was taken at ``origin_ns``, others ``period_ns`` on."""

    origin_ns: float
    period_ns: float

    def at_ns(self, index: int) -> float:
        """When a sample was taken, counted from the first that is held."""
        return self.origin_ns + index * self.period_ns


class SampleClock:
    """Follows the arrivals of the samples that its user holds, and dates them.

    `take` is called for each sample; it returns how many of those held, this one included, belong to a new segment: 0
    as a rule. The user then gives out those before (`segment`, `drop`) and calls `step`.
    """

    def __init__(self, rate_hz: float) -> None:
        self._segment = Segment(0.0, NS / rate_hz)
        self._found_ns = NS / rate_hz
        self._arrivals: list[int] = []
        self._deviant: int | None = None
        self._is_settling = True

    @property
    def held(self) -> int:
        """How many samples are held."""
        return len(self._arrivals)

    @property
    def settled(self) -> int:
        """How many of the samples held surely belong to the segment."""
        return len(self._arrivals) if self._deviant is None else self._deviant

    def take(self, arrival_ns: int) -> int:
        """Take the arrival of the next sample."""
        arrivals = self._arrivals
        if not arrivals and self._is_settling:
            self._segment = Segment(arrival_ns, self._segment.period_ns)
        half_ns = self._segment.period_ns / 2
        arrivals.append(arrival_ns)
        if len(arrivals) > 1 and arrival_ns < arrivals[-2] - half_ns:
            return len(arrivals) - self.settled if self._deviant is not None else 1
        off_ns = arrival_ns - self._segment.at_ns(len(arrivals) - 1)
        if self._is_settling and -SETTLE_NS < off_ns < 0:
            self._segment = Segment(self._segment.origin_ns + off_ns, self._segment.period_ns)
            off_ns = 0.0
        if -half_ns <= off_ns <= LATE_SHARE * self._segment.period_ns:
            self._deviant = None
        elif self._deviant is None:
            self._deviant = len(arrivals) - 1
        return self._judge()

    def settle(self) -> int:
        """Decide now what is open, as no more samples come: how many of those held belong to a new segment.

        What is off by little is taken as held up, by a burst whose last one did not come.
        """
        run = range(self.settled, len(self._arrivals))
        off_ns = [self._arrivals[at] - self._segment.at_ns(at) for at in run]
        return 0 if off_ns and 0 < min(off_ns) < BURST_NS else len(off_ns)

    def segment(self, count: int) -> Segment:
        """Date the first ``count`` of the samples held."""
        if self._is_settling:
            self._fit(self._arrivals[:count])
        return self._segment

    def drop(self, count: int) -> None:
        """Forget the first ``count`` of the samples held, of one segment all, and follow what they were off."""
        segment = self._segment
        off_ns = min((arrival - segment.at_ns(at) for at, arrival in enumerate(self._arrivals[:count])), default=0.0)
        origin_ns, period_ns = segment.at_ns(count), segment.period_ns
        if count and not self._is_settling:
            origin_ns += PHASE_SHARE * off_ns
            period_ns += PERIOD_SHARE * off_ns / count
        least_ns, most_ns = self._found_ns * (1 - DRIFT_MOST), self._found_ns * (1 + DRIFT_MOST)
        self._segment = Segment(origin_ns, min(max(period_ns, least_ns), most_ns))
        self._is_settling = False
        del self._arrivals[:count]
        if self._deviant is not None:
            self._deviant = max(0, self._deviant - count)

    def step(self) -> list[int]:
        """Begin a new segment with the samples held: another phase, and another period if their spacing says so.

        Returns arrivals to be taken again, one by one, if those held do not lie on one line: more than one thing
        happened among them. None are held then.
        """
        self._deviant, run, found_ns, before = None, self._arrivals, self._found_ns, self._segment
        self._is_settling = True
        self._fit(run)
        segment, part = self._segment, max(1, len(run) // PARTS)
        off_ns = [arrival - segment.at_ns(at) for at, arrival in enumerate(run)]
        parts = (off_ns[at : at + part] for at in range(0, len(run), part))
        is_back = any(later < before - segment.period_ns / 2 for before, later in pairwise(run))
        if not is_back and all(min(each) <= LATE_SHARE * segment.period_ns for each in parts):
            return []
        self._found_ns, self._segment = found_ns, before
        self.restart()
        return run

    def restart(self) -> None:
        """Begin anew with the next sample, at the present period: nothing is held."""
        self._arrivals = []
        self._deviant = None
        self._is_settling = True

    def _judge(self) -> int:
        """Look at what is off: how many samples begin a new segment."""
        if self._deviant is None:
            return 0
        count = len(self._arrivals) - self._deviant
        spell_ns = self._arrivals[-1] - self._arrivals[self._deviant]
        if spell_ns < SETTLE_NS and count * self._segment.period_ns < RUN_MOST_NS:
            return 0
        return 0 if self._is_straight(self._deviant) else count

    def _is_straight(self, deviant: int) -> bool:
        """See whether another period puts the samples before and behind on one line; if so, it is that from now on."""
        period_ns, count = self._segment.period_ns, len(self._arrivals)
        if deviant < BASE_LEAST:
            return False
        slope_ns = _slope([arrival - self._segment.at_ns(at) for at, arrival in enumerate(self._arrivals)])
        if not _is_possible(slope_ns, period_ns):
            return False
        segment = _earliest(self._arrivals, period_ns + slope_ns)
        off_ns = [arrival - segment.at_ns(at) for at, arrival in enumerate(self._arrivals)]
        bounds = (0, deviant // 2, deviant, (deviant + count) // 2, count)
        if any(min(off_ns[start:end]) > period_ns / 4 for start, end in pairwise(bounds)):
            return False
        self._segment, self._found_ns, self._deviant = segment, segment.period_ns, None
        return True

    def _fit(self, run: Sequence[int]) -> None:
        """Lay the segment under a run of arrivals, at the present period unless their spacing is clearly another."""
        period_ns = self._segment.period_ns
        slope_ns = _slope([arrival - at * period_ns for at, arrival in enumerate(run)])
        is_other = abs(slope_ns) * len(run) > period_ns and _is_possible(slope_ns, period_ns)
        if is_other and len(run) >= BASE_LEAST:
            period_ns = self._found_ns = _rounded(period_ns + slope_ns)
        if run:
            self._segment = _earliest(run, period_ns)


def _earliest(run: Sequence[int], period_ns: float) -> Segment:
    return Segment(min(arrival - at * period_ns for at, arrival in enumerate(run)), period_ns)


def _slope(off_ns: Sequence[float]) -> float:
    """Tell by how much each sample is later than the one before, by the earliest of either half of them."""
    middle = len(off_ns) // 2
    if not middle:
        return 0.0
    one = min(range(middle), key=off_ns.__getitem__)
    other = min(range(middle, len(off_ns)), key=off_ns.__getitem__)
    return (off_ns[other] - off_ns[one]) / (other - one)


def _is_possible(slope_ns: float, period_ns: float) -> bool:
    """Tell whether a slope can be another rate: a burst that was held up, all at one time, is none."""
    return 1 / CHANGE_MOST <= (period_ns + slope_ns) / period_ns <= CHANGE_MOST


def _rounded(period_ns: float) -> float:
    rate_hz = NS / period_ns
    whole = round(rate_hz)
    return NS / whole if whole and abs(rate_hz / whole - 1) < ROUND_SHARE else period_ns
