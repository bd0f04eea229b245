"""When a rule's condition holds: one class per kind, fed with readings. Pure; time is that of the readings.

`judge` takes a reading and says whether it speaks for a change: for an alarm that is not up, whether it is beyond; for
one that is, whether it is back. None: it says nothing, and a delay that runs goes on. docs/understand/alarms.md has the
kinds, and what becomes of bad input.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Protocol

from edge.alarm_settings import LIMITS, AlarmRule
from edge.derive import WHOLE_SHARE
from edge.extremes import Extremes
from edge.rain import Amounts, Counter, no_most, rain_most
from edge.window import Window
from wire.sample import Quality, Value, is_bad

NS = 1_000_000_000
PARTIAL = int(Quality.UNCERTAIN_PARTIAL)
NOTHING = (math.inf, -math.inf)
Band = tuple[float, float]
"""The open interval of numbers that change nothing."""
NewestValue = Callable[[], tuple[Value, int] | None]
"""Value and quality of another tag, None while there was none."""


def usable(value: Value, quality: int) -> float | None:
    """Return the number that a rule may judge, or None."""
    if value is None or isinstance(value, str) or is_bad(quality):
        return None
    return None if math.isnan(value) else float(value)


class Condition(Protocol):
    """What one rule watches."""

    def judge(self, value: Value, quality: int, mono_ns: int, *, is_up: bool) -> bool | None:
        """Take a reading; tell whether it is beyond, or back if the alarm is up, None if it does not say."""
        ...


class Threshold:
    """At or beyond a limit on one side; back when short of it by the deadband."""

    def __init__(self, limit: float, deadband: float, *, is_upper: bool) -> None:
        self._limit = limit
        self._deadband = deadband
        self._is_upper = is_upper
        self._clear_at = limit - deadband if is_upper else limit + deadband

    def judge(self, number: float, *, is_up: bool) -> bool:
        """Tell whether a number is beyond, or back."""
        if not is_up:
            return number >= self._limit if self._is_upper else number <= self._limit
        is_past = number < self._clear_at if self._is_upper else number > self._clear_at
        return is_past or (number == self._clear_at and self._deadband > 0)

    def band(self, *, is_up: bool) -> Band:
        """Between which numbers it says no."""
        edge = self._clear_at if is_up else self._limit
        return (-math.inf, edge) if self._is_upper != is_up else (edge, math.inf)


class Limit:
    """high-high, high, low, low-low: the value against a limit."""

    def __init__(self, rule: AlarmRule) -> None:
        assert rule.limit is not None
        self._threshold = Threshold(rule.limit, rule.deadband, is_upper=rule.is_upper)

    def judge(self, value: Value, quality: int, _mono_ns: int, *, is_up: bool) -> bool | None:
        """An infinite value is an instrument beyond its range, a partial one may be higher: neither clears."""
        number = usable(value, quality)
        if number is None:
            return None
        if is_up and (math.isinf(number) or quality == PARTIAL):
            return False
        return self._threshold.judge(number, is_up=is_up)

    def band(self, *, is_up: bool) -> Band:
        """Up to the limit, or back from where it clears."""
        return self._threshold.band(is_up=is_up)


class Deviation:
    """The distance from a setpoint, a number or the newest value of another tag."""

    def __init__(self, rule: AlarmRule, newest: NewestValue | None) -> None:
        assert rule.limit is not None
        self._threshold = Threshold(rule.limit, rule.deadband, is_upper=True)
        self._setpoint = rule.setpoint if isinstance(rule.setpoint, float | int) else None
        self._newest = newest

    def judge(self, value: Value, quality: int, _mono_ns: int, *, is_up: bool) -> bool | None:
        """Without a setpoint nothing deviates from it."""
        number, setpoint = usable(value, quality), self._find_setpoint()
        if number is None or setpoint is None:
            return None
        distance = abs(number - setpoint)
        if math.isnan(distance):  # both are beyond their ranges
            return None
        if is_up and math.isinf(distance):
            return False
        return self._threshold.judge(distance, is_up=is_up)

    def _find_setpoint(self) -> float | None:
        if self._newest is None:
            return self._setpoint
        found = self._newest()
        return None if found is None else usable(*found)


class Span:
    """A window that is known whole once readings have come for so long, without a gap that is longer than it."""

    def __init__(self, window_ns: int) -> None:
        self._window_ns = window_ns
        self._began_ns: int | None = None
        self._last_ns = 0

    def is_whole(self, mono_ns: int) -> bool:
        """Take the time of a reading; tell whether the window before it is known."""
        if self._began_ns is None or mono_ns - self._last_ns > self._window_ns:
            self._began_ns = mono_ns
        self._last_ns = mono_ns
        return mono_ns - self._began_ns >= self._window_ns


class Rate:
    """The change within a window: up from the lowest of it, down from the highest."""

    def __init__(self, rule: AlarmRule) -> None:
        assert rule.limit is not None
        assert rule.window_s is not None
        self._threshold = Threshold(rule.limit, rule.deadband, is_upper=True)
        self._direction = rule.direction
        self._window = Extremes(int(rule.window_s * NS))
        self._span = Span(int(rule.window_s * NS))

    def judge(self, value: Value, quality: int, mono_ns: int, *, is_up: bool) -> bool | None:
        """An infinite value tells nothing of how fast; where the window is not known whole it may have been faster."""
        number = usable(value, quality)
        if number is None or math.isinf(number):
            return None
        self._window.put(number, mono_ns)
        if not self._span.is_whole(mono_ns) and is_up:
            return False
        risen, fallen = number - self._window.low, self._window.high - number
        change = {"rising": risen, "falling": fallen, "either": max(risen, fallen)}[self._direction]
        return self._threshold.judge(change, is_up=is_up)


class Discrete:
    """A value that is an alarm: a number, a state, a word."""

    def __init__(self, rule: AlarmRule) -> None:
        self._equals = rule.equals

    def judge(self, value: Value, quality: int, _mono_ns: int, *, is_up: bool) -> bool | None:
        """A value of another kind, a text for a number, tells nothing."""
        if value is None or is_bad(quality) or isinstance(value, str) != isinstance(self._equals, str):
            return None
        if isinstance(value, float) and not math.isfinite(value):
            return False if is_up and math.isinf(value) else None
        return (value == self._equals) != is_up


class Bit:
    """One bit of an integer."""

    def __init__(self, rule: AlarmRule) -> None:
        assert rule.bit is not None
        self._bit = rule.bit
        self._is_set = rule.is_set

    def judge(self, value: Value, quality: int, _mono_ns: int, *, is_up: bool) -> bool | None:
        """What is no whole number has no bits."""
        number = usable(value, quality)
        if number is None or math.isinf(number) or number != math.floor(number):
            return False if is_up and number is not None else None
        whole = int(value) if isinstance(value, int) else int(number)
        return (bool(whole >> self._bit & 1) == self._is_set) != is_up


class Bad:
    """No good value: whatever the reason."""

    def judge(self, value: Value, quality: int, _mono_ns: int, *, is_up: bool) -> bool | None:
        """An uncertain or infinite value is one; NaN and nothing are none."""
        return is_missing(value, quality) != is_up


class Silent:
    """No good value for a while. `edge.alarms.watched` counts the while, from the newest good value on."""

    def judge(self, value: Value, quality: int, _mono_ns: int, *, is_up: bool) -> bool | None:
        """A good value ends the silence; what is no value is part of it."""
        if is_missing(value, quality):
            return False if is_up else None
        return is_up


class Total:
    """The sum over a window, of amounts or of what a counter has grown by. Of rain, what cannot fall does not count."""

    def __init__(self, rule: AlarmRule, *, is_rain: bool) -> None:
        assert rule.limit is not None
        assert rule.window_s is not None
        self._threshold = Threshold(rule.limit, rule.deadband, is_upper=True)
        most = rain_most if is_rain else no_most
        self._source = Counter(rule.wrap, most) if rule.kind == "counter" else Amounts(most)
        self._bridges = rule.kind == "counter"
        self._window = Window(rule.window_s, 1)

    def judge(self, value: Value, quality: int, mono_ns: int, *, is_up: bool) -> bool | None:
        """Add what has come; what lies before the window goes. A sum that is not of all of it may be higher.

        A counter tells also what came while it was not read; amounts that were not read are not known.
        """
        number = usable(value, quality)
        amount = None if number is None or math.isinf(number) else self._source.take(number, mono_ns)
        self._window.put(mono_ns, None if amount is None else (amount,), bridges=self._bridges)
        if amount is None:
            return None
        if is_up and self._window.known < WHOLE_SHARE:
            return False
        return self._threshold.judge(self._window.sums[0], is_up=is_up)


def is_missing(value: Value, quality: int) -> bool:
    """Tell whether there is no good value: none, a bad one, or NaN."""
    return value is None or is_bad(quality) or (isinstance(value, float) and math.isnan(value))


def make_condition(rule: AlarmRule, newest: NewestValue | None, *, is_rain: bool) -> Condition:
    """Make what a rule watches. ``newest`` gives the setpoint where that is another tag."""
    if rule.level in LIMITS:
        return Limit(rule)
    if rule.level == "deviation":
        return Deviation(rule, newest)
    simple: dict[str, Callable[[AlarmRule], Condition]] = {
        "rate": Rate,
        "discrete": Discrete,
        "bit": Bit,
        "bad": lambda _: Bad(),
        "silent": lambda _: Silent(),
        "total": partial(Total, is_rain=is_rain),
    }
    return simple[rule.level](rule)
