"""The trial of a new configuration: does what was well before it get well again? Pure: no clock, no I/O.

A bus or device that was well, and that the new configuration still has in the same place, must show itself once within
the window. One that was never well is no reason to go back, nor is one that was not asked in that time. An agent that
ends unasked begins the window anew, and may do so `STARTS_MOST` times. Whether the fleet can be reached counts nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

STARTS_MOST = 5
"""After so many starts of one trial, none of which was asked for, the configuration is taken for their reason."""

ON, KEPT, RETURNED = "on", "kept", "returned"
"""How a trial stands, as `wire.twin.Reported.trial` says it."""


class Sight(msgspec.Struct, frozen=True):
    """How a bus or device looks: ``good_ns`` is when its last good scan was made, on the monotonic clock, 0 for never.

    ``is_asked`` once it could have shown itself, ``is_failing`` while something of it fails.
    """

    good_ns: int = 0
    is_asked: bool = False
    is_failing: bool = False


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a trial: who was ``well`` before it, and how often the agent has started since.

    A start after a stop that was asked for does not count: ``starts`` is one less as long as it is stopped.
    ``since_ns`` is when it began, UTC; None if the time was not known.
    """

    version: int
    since_ns: int | None = None
    well: tuple[str, ...] = ()
    starts: int = 0


class Verdict(msgspec.Struct, frozen=True):
    """What became of a trial: who was ``missing`` of those that were well, and who else has ``unanswered``."""

    is_over: bool
    missing: tuple[str, ...] = ()
    unanswered: tuple[str, ...] = ()


def bus_place(bus: str) -> str:
    """Name the place of a bus."""
    return f"bus {bus}"


def device_place(device: str, bus: str) -> str:
    """Name the place of a device: on another bus it is in another place."""
    return f"device {device} on {bus}"


def find_well(sights: Mapping[str, Sight], since_ns: int) -> tuple[str, ...]:
    """Name the places that had a good scan since a time, and do not fail."""
    return tuple(sorted(place for place, sight in sights.items() if sight.good_ns > since_ns and not sight.is_failing))


class Watch:
    """One window of a trial, on the monotonic clock."""

    def __init__(self, trial: Trial, began_ns: int, window_ns: int) -> None:
        self._well = frozenset(trial.well)
        self._began_ns = began_ns
        self._end_ns = began_ns + window_ns
        self._seen: set[str] = set()

    def look(self, sights: Mapping[str, Sight], now_ns: int) -> Verdict:
        """Take what is seen now, and judge if the window is over."""
        self._seen |= {place for place, sight in sights.items() if sight.good_ns > self._began_ns}
        if now_ns < self._end_ns:
            return Verdict(is_over=False)
        silent = {place for place, sight in sights.items() if sight.is_asked} - self._seen
        return Verdict(
            is_over=True,
            missing=tuple(sorted(silent & self._well)),
            unanswered=tuple(sorted(silent - self._well)),
        )


def say_missing(missing: tuple[str, ...], window_s: float) -> str:
    """Say why a configuration was given up for who did not get well."""
    return f"not well again within {window_s:g} s, but well before: {', '.join(missing[:5])}" + (
        f" and {len(missing) - 5} more" if len(missing) > 5 else ""
    )


def say_starts(starts: int) -> str:
    """Say why a configuration was given up for an agent that does not stay up."""
    return f"the agent ended unasked {starts} times while it was tried"
