"""Quality rules: what a reading's own past and its neighbours say about it. Pure, streaming, in constant memory.

    range         outside check.low .. check.high            BAD_RANGE; the value stays, for people to see
    clip          above clip_high, up to check.high          becomes clip_high
    step          changed by more than step within step_s    UNCERTAIN_STEP
    stuck         moved less than stuck during stuck_s       UNCERTAIN_STUCK
    consistency   at_most, at_least, zero_with another tag   UNCERTAIN_INCONSISTENT

A rule only ever makes a reading worse: what the driver called bad stays as it is and teaches the rules nothing, what
it called uncertain keeps its reason. Texts, switches and numbers that are not finite are not judged, but a number
that is not finite is outside any range. Figures and sources: docs/understand/quality.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import msgspec

from drivers.base import Scan
from edge.extremes import Extremes
from edge.settings import Check
from wire.sample import Quality, Value, is_bad

NS = 1_000_000_000
BAD, BAD_RANGE, STEP, STUCK, INCONSISTENT = (
    int(quality)
    for quality in (
        Quality.BAD,
        Quality.BAD_RANGE,
        Quality.UNCERTAIN_STEP,
        Quality.UNCERTAIN_STUCK,
        Quality.UNCERTAIN_INCONSISTENT,
    )
)


class Step:
    """Tells a change that is too fast, and when to believe it after all.

    A reading is compared with the trusted readings of the last ``step_s``; after a longer silence with the last one,
    by rate. One that is too far off is not trusted. A new level is, once it has held within ``step`` for ``step_s``:
    a true jump is uncertain for that long and no longer, a spike leaves no trace.
    """

    __slots__ = ("_high", "_last", "_last_ns", "_low", "_since_ns", "_step", "_trusted", "_window_ns")

    def __init__(self, step: float, window_s: float) -> None:
        self._step = step
        self._window_ns = int(window_s * NS)
        self._trusted = Extremes(self._window_ns)
        self._last = 0.0
        self._last_ns: int | None = None
        self._since_ns: int | None = None
        self._low = self._high = 0.0

    def accepts(self, value: float, mono_ns: int) -> bool:
        """Take a reading; tell whether it is to be believed."""
        if not (self._is_near(value, mono_ns) or self._has_held(value, mono_ns)):
            return False
        self._trusted.put(value, mono_ns)
        self._last, self._last_ns, self._since_ns = value, mono_ns, None
        return True

    def _is_near(self, value: float, mono_ns: int) -> bool:
        if self._last_ns is None:
            return True
        elapsed_ns = mono_ns - self._last_ns
        if elapsed_ns > self._window_ns:
            return abs(value - self._last) <= self._step * elapsed_ns / self._window_ns
        trusted, step = self._trusted, self._step
        if value - trusted.low <= step and trusted.high - value <= step:
            return True
        trusted.expire(mono_ns)  # what is too old can only have been in the way
        return value - trusted.low <= step and trusted.high - value <= step

    def _has_held(self, value: float, mono_ns: int) -> bool:
        low, high = min(value, self._low), max(value, self._high)
        if self._since_ns is None or high - low > self._step:
            self._since_ns, self._low, self._high = mono_ns, value, value
            return False
        self._low, self._high = low, high
        if mono_ns - self._since_ns < self._window_ns:
            return False
        self._trusted.clear()
        return True


class Stuck:
    """Tells a value that has not moved. All of ``stuck_s`` must have been watched, without a gap of half of it."""

    __slots__ = ("_extremes", "_gap_ns", "_last_ns", "_since_ns", "_stuck", "_window_ns")

    def __init__(self, stuck: float, window_s: float) -> None:
        self._stuck = stuck
        self._window_ns = int(window_s * NS)
        self._gap_ns = self._window_ns // 2
        self._extremes = Extremes(self._window_ns)
        self._since_ns = self._last_ns = 0

    def rejects(self, value: float, mono_ns: int) -> bool:
        """Take a reading; tell whether the value has stood still."""
        extremes = self._extremes
        if not extremes or mono_ns - self._last_ns > self._gap_ns:
            extremes.clear()
            self._since_ns = mono_ns
        self._last_ns = mono_ns
        extremes.put(value, mono_ns)
        return mono_ns - self._since_ns >= self._window_ns and extremes.high - extremes.low < self._stuck

    def pardon(self) -> None:
        """Begin anew: the value is where it may stand still."""
        self._extremes.clear()


class Unwound:
    """A direction as a number that runs on past the full turn, so that 359 to 1 is a change of 2."""

    __slots__ = ("_circle", "_last")

    def __init__(self, circle: float) -> None:
        self._circle = circle
        self._last: float | None = None

    def follow(self, value: float) -> float:
        """Take a direction; return it as near to the one before as whole turns allow."""
        if self._last is None:
            self._last = value
        else:
            self._last += math.remainder(value - self._last, self._circle)
        return self._last


class TagCheck:
    """The rules of one tag that need nothing but its own past."""

    __slots__ = ("_clip", "_high", "_low", "_step", "_stuck", "_stuck_from", "_stuck_to", "_unwound")

    def __init__(self, check: Check) -> None:
        self._low = -math.inf if check.low is None else check.low
        self._high = math.inf if check.high is None else check.high
        self._clip = math.inf if check.clip_high is None else check.clip_high
        self._step = None if check.step is None else Step(check.step, check.step_s)
        self._stuck = None if check.stuck is None else Stuck(check.stuck, check.stuck_s)
        self._stuck_from = -math.inf if check.stuck_from is None else check.stuck_from
        self._stuck_to = self._clip if check.stuck_to is None else check.stuck_to
        self._unwound = None if check.circle is None else Unwound(check.circle)

    def judge(self, value: Value, quality: int, mono_ns: int) -> tuple[Value, int]:
        """Judge one reading; return it as it is to be used. What is clipped may also stand still there."""
        if quality >= BAD or not (type(value) is float or type(value) is int):  # a switch is an int, too
            return value, quality
        if not self._low <= value <= self._high:
            return value, BAD_RANGE
        if not math.isfinite(value):
            return value, quality
        if value > self._clip:
            value = self._clip
        reason = self._judge_past(value, mono_ns)
        return value, quality or reason

    def _judge_past(self, value: float, mono_ns: int) -> int:
        way = value if self._unwound is None else self._unwound.follow(value)
        reason = 0
        if self._stuck is not None:
            if not self._stuck_from <= value < self._stuck_to:
                self._stuck.pardon()
            elif self._stuck.rejects(way, mono_ns):
                reason = STUCK
        if self._step is not None and not self._step.accepts(way, mono_ns):
            reason = STEP
        return reason


HOLDS: Mapping[str, Callable[[float, float], bool]] = {
    "at_most": lambda own, other: own <= other,
    "at_least": lambda own, other: own >= other,
    "zero_with": lambda own, other: (own == 0) == (other == 0),
}
"""What must hold between a tag and its partner, by the key of the check."""


class Relation(msgspec.Struct, frozen=True):
    """A rule between column ``index`` and column ``other`` of ``group``, whose last scan may be ``age_ns`` old."""

    index: int
    holds: Callable[[float, float], bool]
    group: str
    other: int
    age_ns: int


class GroupCheck:
    """The rules of one group. ``last`` holds the last checked scan of every group that a relation looks at."""

    def __init__(self, checks: Mapping[int, Check], relations: Sequence[Relation], last: Mapping[str, Scan]) -> None:
        self._rules = [(index, TagCheck(check).judge) for index, check in checks.items()]
        self._relations = relations
        self._last = last

    def apply(self, scan: Scan) -> Scan:
        """Judge a scan; return it as it is to be used."""
        values, quality = list(scan.values), list(scan.quality)
        for index, judge in self._rules:
            values[index], quality[index] = judge(values[index], quality[index], scan.mono_ns)
        checked = Scan(scan.group, scan.mono_ns, tuple(values), tuple(quality))
        return self._relate(checked) if self._relations else checked

    def _relate(self, scan: Scan) -> Scan:
        quality = list(scan.quality)
        for relation in self._relations:
            other = scan if relation.group == scan.group else self._last.get(relation.group)
            if other is None or scan.mono_ns - other.mono_ns > relation.age_ns:
                continue
            own = finite(scan.values[relation.index], scan.quality[relation.index])
            partner = finite(other.values[relation.other], other.quality[relation.other])
            if own is not None and partner is not None and not relation.holds(own, partner):
                quality[relation.index] = quality[relation.index] or INCONSISTENT
        return Scan(scan.group, scan.mono_ns, scan.values, tuple(quality))


def finite(value: Value, quality: int) -> float | None:
    """Return the number that can be computed with, or None: bad, a text, or not finite."""
    if value is None or isinstance(value, str) or is_bad(quality) or not math.isfinite(value):
        return None
    return float(value)
