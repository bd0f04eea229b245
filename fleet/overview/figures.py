"""The figures and rows that a page shows, as typed values apart from tables and templates."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from fleet.alarms.operations import Request
from wire.alarm import Standing, State, state_of
from wire.sample import Quality, Value, quality_class


class Rule(msgspec.Struct, frozen=True):
    """An alarm rule as it is drawn on a range."""

    level: str
    limit: float
    priority: int


class Point(msgspec.Struct, frozen=True):
    """A stretch of time of a tag: the smallest, the largest and the mean value from ``time_ns`` on."""

    time_ns: int
    low: float
    mean: float
    high: float


class Label(msgspec.Struct, frozen=True):
    """How a tag is called and drawn, from the gateway's reported configuration.

    ``kinds`` are the titles of the gateway's alarms that their level does not tell apart, by the alarm's name.
    """

    gateway: str
    tag: str
    title: str = ""
    device: str = ""
    unit: str = ""
    low: float | None = None
    high: float | None = None
    rules: tuple[Rule, ...] = ()
    kinds: Mapping[str, str] = {}


class Reading(msgspec.Struct, frozen=True):
    """The newest value of a tag that the fleet knows of. ``time_ns`` is None while the gateway's clock is unset."""

    value: Value = None
    quality: int = 0
    time_ns: int | None = None


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm and where it stands. ``reading`` is the newest value, ``value`` the one that raised it.

    ``number`` is its place in the journal, 0 outside of it. ``name`` and ``occurrence`` are what a request names;
    ``change`` is what was last done with it, by whom and where; ``request`` what its gateway was asked and has not
    done yet; ``takes`` are the actions that may be asked for from here.
    """

    label: Label
    level: str
    priority: int
    value: Value
    limit: float | None
    raised_ns: int
    cleared_ns: int | None = None
    number: int = 0
    place: str = ""
    site: str = ""
    reading: Reading | None = None
    trend: tuple[Point, ...] = ()
    name: str = ""
    occurrence: int = 0
    standing: Standing = Standing.ACTIVE
    until_ns: int | None = None
    change: str = ""
    operated_ns: int | None = None
    by: str = ""
    where: str = ""
    comment: str = ""
    request: Request | None = None
    takes: frozenset[str] = frozenset()

    @property
    def state(self) -> State:
        """The state of ISA-18.2."""
        return state_of(self.standing)

    @property
    def unacknowledged(self) -> bool:
        """Whether somebody is still to acknowledge it."""
        return Standing.UNACKNOWLEDGED in self.standing


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the journal. ``kind`` as in `fleet.alarms.models.AlarmEvent`; ``state`` is that of ISA-18.2."""

    number: int
    kind: str
    label: Label
    level: str
    alarm: str
    priority: int
    value: float | None
    limit: float | None
    at_ns: int
    state: str
    by: str
    where: str
    comment: str
    detail: str
    output: str
    place: str
    site: str


class TagRow(msgspec.Struct, frozen=True, kw_only=True):
    """A tag on the page of its gateway."""

    label: Label
    reading: Reading | None
    alarm: Alarm | None
    trend: tuple[Point, ...] = ()

    @property
    def quality_class(self) -> str:
        """How far its value can be trusted; bad where there is none."""
        return quality_class(self.reading.quality if self.reading else Quality.BAD)


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """接入率: registered tags that deliver good data, of all registered tags. ``sector`` is empty for the whole."""

    sector: str
    good: int
    registered: int

    @property
    def rate(self) -> float | None:
        """The share, 0..1; None where nothing is registered."""
        return self.good / self.registered if self.registered else None
