"""What may be believed of the values of one component: spikes, values that stand still, values that cannot be."""

from __future__ import annotations

SPIKE_LEAST = 0.05
SPIKE_RATIO = 15.0
"""A jump is one that exceeds 5 gal (or mm/s, of a geophone: see `Conditioner`) and fifteen times the usual step."""

RETURNED = 0.3
"""A jump of which less than this share is left within two samples was a spike."""

STEADY = 0.12
"""A jump behind which two values stay within this share of it is an offset: about its crest a sine still turns by a
third of the step that led there."""

USUAL_S = 0.25
"""Time in which the usual step is forgotten: a train of spikes soon passes for motion, lest motion pass for spikes."""

CLIPPED = 0.99
AHEAD = 2
"""Samples that are looked ahead: what comes out is that much late."""


class Conditioner:
    """Gives each value once the two behind it are known, or None if there is none to be believed.

    A spike of one or two samples is replaced by the value before it. A jump to a level that stays is taken off: what
    comes out goes on as before. A jump to a value that then repeats exactly is a
    component that has failed: None until it moves again, and so is one that has not moved for ``dead_n`` samples. A
    jump whose sequel is missing is not believed either: it may be the last word of an instrument that was turned off.
    ``most`` is the largest value that can be at all. ``held_n`` counts how often the newest value was repeated, and
    ``entered`` is the step that led to it. ``spikes``, ``offsets`` and ``clipped`` only grow.
    """

    __slots__ = (
        "_by",
        "_dead_n",
        "_full_scale",
        "_held",
        "_last",
        "_least",
        "_most",
        "_newest",
        "_next",
        "_shift",
        "_usual",
        "clipped",
        "entered",
        "held_n",
        "is_dead",
        "offsets",
        "spikes",
    )

    def __init__(self, rate_hz: float, most: float, least_jump: float, full_scale: float | None, dead_n: int) -> None:
        self._by = 1 / max(1.0, USUAL_S * rate_hz)
        self._most, self._least, self._dead_n = most, least_jump, dead_n
        self._full_scale = full_scale * CLIPPED if full_scale else None
        self.spikes = self.offsets = self.clipped = 0
        self.reset()

    def reset(self) -> None:
        """Forget the samples, not the counts."""
        self._last: float | None = None
        self._next: float | None = None
        self._newest: float | None = None
        self._held: float | None = None
        self._usual = self._shift = 0.0
        self.held_n = 0
        self.entered = 0.0
        self.is_dead = False

    def take(self, raw: float | None) -> float | None:
        """Take a value, give the one of two samples ago."""
        if raw is None or not -self._most < raw < self._most:  # not a number compares as false
            raw = None
        value, after = self._next, self._newest
        self._next, self._newest = after, raw
        if value is None:
            return None
        if self.is_dead:
            if value == self._held:
                return None
            self.is_dead = False
            self._last, self._held, self.held_n = value, value, 0
            return value - self._shift
        last = self._last
        if last is None:
            self._last = self._held = value
            return value
        size = abs(value - last)
        if size > self._least and size > SPIKE_RATIO * self._usual and not self._is_believed(value, last, after, raw):
            self._usual += self._by * (size - self._usual)
            return None if self.is_dead or after is None or raw is None else last - self._shift
        self._usual += self._by * (size - self._usual)
        self._watch_hold(value, size)
        self._last = value
        return None if self.is_dead else value - self._shift

    def _is_believed(self, value: float, last: float, after: float | None, then: float | None) -> bool:
        """Judge a jump by the two values behind it, and note what it was."""
        if after is None or then is None:
            return False
        left = RETURNED * abs(value - last)
        if abs(after - last) < left or abs(then - last) < left:
            self.spikes += 1
            return False
        if value == after == then and not self._is_clipped(value):
            self.is_dead, self._held = True, value
            return False
        room = STEADY * abs(value - last)
        if abs(after - value) < room and abs(then - value) < room and not self._is_clipped(value):
            self.offsets += 1
            self._shift += value - last
        return True

    def _is_clipped(self, value: float) -> bool:
        return self._full_scale is not None and abs(value) >= self._full_scale

    def _watch_hold(self, value: float, size: float) -> None:
        if self._is_clipped(value):
            self.clipped += 1
        elif value == self._held:
            self.held_n += 1
            self.is_dead = self.held_n >= self._dead_n
            return
        self._held, self.held_n, self.entered = value, 0, size
