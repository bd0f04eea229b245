"""What each page of the console is made of. `fleet.overview.service` fills these; templates only read them."""

from __future__ import annotations

import msgspec

from fleet.alarms.service import Filter
from fleet.alarms.statistics import Statistics
from fleet.overview.commands import CommandLine
from fleet.overview.figures import Access, Alarm, Change, Label, Point, Reading, TagRow
from wire.health import LinkHealth
from wire.record import Lane


class RelayLine(msgspec.Struct, frozen=True, kw_only=True):
    """One destination: how many records wait, how old the oldest of them is, and what went wrong last."""

    name: str
    url: str = ""
    behind: int = 0
    lag_s: float | None = None
    cursors: tuple[tuple[Lane, int], ...] = ()
    delivered_ns: int | None = None
    last_error: str = ""
    error_ns: int | None = None


class GatewayLine(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway in a list. ``worst`` is the most urgent priority among its active alarms, 0 without any."""

    name: str
    title: str = ""
    site: str = ""
    sector: str = ""
    release: str = ""
    online: bool = False
    seen_ns: int | None = None
    alarms: int = 0
    worst: int = 0
    access: Access
    pending: int = 0
    retired_ns: int | None = None


class NowPage(msgspec.Struct, frozen=True, kw_only=True):
    """What needs action. ``alarms`` are the most urgent of the ``active`` ones."""

    gateways_total: int
    gateways_online: int
    silent: tuple[GatewayLine, ...]
    silent_longest_ns: int | None
    access: Access
    access_by_sector: tuple[Access, ...]
    lag_p99_s: float | None
    pending: int
    lost: int
    quarantined: int
    relay: tuple[RelayLine, ...]
    relay_lag_s: float | None
    drifting: int
    active: int
    alarms: tuple[Alarm, ...]
    recent: tuple[Alarm, ...]


class GatewaysPage(msgspec.Struct, frozen=True, kw_only=True):
    """The list of gateways, filtered, sorted and cut into pages. ``states``: (key, how many).

    ``total`` are those in service.
    """

    rows: tuple[GatewayLine, ...]
    total: int
    states: tuple[tuple[str, int], ...]
    sectors: tuple[str, ...]
    state: str
    sector: str
    q: str
    sort: str
    descending: bool
    number: int
    pages: int

    @property
    def sort_text(self) -> str:
        """The order as it is written in an address."""
        return f"-{self.sort}" if self.descending else self.sort


class LaneLine(msgspec.Struct, frozen=True, kw_only=True):
    """What a gateway says of one of its lanes."""

    lane: Lane
    pending: int
    delivered: int
    tombstoned: int


class BusLine(msgspec.Struct, frozen=True, kw_only=True):
    """One bus of a gateway."""

    name: str
    kind: str
    up: bool
    devices: int
    devices_bad: int
    busy: float
    error: str


class OutputLine(msgspec.Struct, frozen=True, kw_only=True):
    """One local output of a gateway."""

    name: str
    title: str
    state: str
    since_ns: int | None
    error: str


class GatewayPage(msgspec.Struct, frozen=True, kw_only=True):
    """One gateway. ``rows`` are the tags shown, ``tags`` all of them; ``states``: (key, how many).

    ``command_names`` are the commands that it carries out, ``commands`` the newest that it was sent.
    ``sites`` are where it could stand instead: (key, title).
    It took the place of those that it ``replaced``.
    """

    name: str
    title: str
    site: str
    sector: str
    online: bool
    seen_ns: int | None
    up_since_ns: int | None
    version: int | None
    refused: int | None
    reason: str
    release: str
    clock: str
    tags: tuple[TagRow, ...]
    show: str
    lanes: tuple[LaneLine, ...]
    spool_bytes: int
    spool_max_bytes: int
    buses: tuple[BusLine, ...]
    outputs: tuple[OutputLine, ...]
    recent: tuple[Alarm, ...]
    link: LinkHealth | None = None
    command_names: tuple[str, ...] = ()
    commands: tuple[CommandLine, ...] = ()
    retired_ns: int | None = None
    sites: tuple[tuple[str, str], ...] = ()
    replaced_by: str = ""
    replaced: tuple[str, ...] = ()

    @property
    def states(self) -> tuple[tuple[str, int], ...]:
        """How many tags there are in each state that can be shown alone."""
        return tuple((key, sum(shows(key, row) for row in self.tags)) for key in TAG_STATES)

    @property
    def rows(self) -> tuple[TagRow, ...]:
        """The tags in the state asked for."""
        return tuple(row for row in self.tags if shows(self.show, row))

    @property
    def groups(self) -> tuple[tuple[str, tuple[TagRow, ...]], ...]:
        """The rows by device, in the order in which the gateway reports them."""
        found: dict[str, list[TagRow]] = {}
        for row in self.rows:
            found.setdefault(row.label.device, []).append(row)
        return tuple((device, tuple(rows)) for device, rows in found.items())


TAG_STATES = ("", "alarm", "good", "uncertain", "bad")
"""What the tags of a gateway can be filtered by; empty for all."""


def shows(state: str, row: TagRow) -> bool:
    """Tell whether a tag is shown under a filter."""
    if state == "alarm":
        return row.alarm is not None
    return state in ("", row.quality_class)


class TagPage(msgspec.Struct, frozen=True, kw_only=True):
    """One tag and its history from ``begin_ns`` to ``end_ns``."""

    label: Label
    gateway_title: str
    reading: Reading | None
    alarm: Alarm | None
    span: str
    begin_ns: int
    end_ns: int
    points: tuple[Point, ...]

    @property
    def smallest(self) -> float | None:
        """The smallest value in the range."""
        return min((point.low for point in self.points), default=None)

    @property
    def largest(self) -> float | None:
        """The largest value in the range."""
        return max((point.high for point in self.points), default=None)

    @property
    def mean(self) -> float | None:
        """The mean of the means, each stretch of time counting the same."""
        return sum(point.mean for point in self.points) / len(self.points) if self.points else None


class StatisticsPage(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of the last ``days``. ``names``: {(gateway, alarm): (how it is called, where)}; ``stale`` alarms."""

    days: int
    gateway: str
    figures: Statistics
    stale: tuple[Alarm, ...]
    names: dict[tuple[str, str], tuple[Label, str, str]]


class AlarmsPage(msgspec.Struct, frozen=True, kw_only=True):
    """Alarms that are not normal, by how they stand (``state`` is a tab), or the journal.

    ``tabs``: (tab, how many). ``first`` are those that were raised first in the flood that goes on, of ``flood``
    alarms since ``flood_ns``. ``older`` is the last number on a full page of the journal: the next page is what came
    before.
    """

    rows: tuple[Alarm, ...] = ()
    lines: tuple[Change, ...] = ()
    tabs: tuple[tuple[str, int], ...]
    state: str
    priority: int
    gateway: str
    gateway_title: str
    gateways: tuple[tuple[str, str], ...]
    number: int = 1
    pages: int = 1
    total: int = 0
    flood: int = 0
    flood_ns: int | None = None
    first: tuple[Change, ...] = ()
    chosen: Filter | None = None
    older: int | None = None
