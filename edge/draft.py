"""A configuration while it is being read: its tables refer to each other by name, so all are gathered first."""

from __future__ import annotations

import msgspec

from drivers.base import DriverKind, Group
from drivers.profile import INSTALLED_ONLY, Shelf
from edge.alarm_settings import AlarmRule
from edge.mistakes import Mistakes
from edge.output_settings import OutputEntry
from edge.places import Place
from edge.settings import Check, Component, DerivedEntry, Device, Report, ScanGroup
from edge.stations.settings import ChannelEntry, CoincidenceEntry, StationEntry, StructureEntry
from seismic.settings import AnalyserSettings
from wire.twin import TagInfo


class BusDraft(msgspec.Struct):
    """A bus, and the groups that are read over it so far."""

    place: Place
    kind: DriverKind
    settings: msgspec.Struct | None
    groups: list[ScanGroup] = []
    has_device: bool = False


class TagDraft(msgspec.Struct, kw_only=True):
    """A tag. One that is read has the ``bus`` it comes from, a derived one has the ``entry`` that tells its formula.

    ``poll_s`` is that of its group, None where nothing is polled.
    """

    place: Place
    info: TagInfo
    check: Check | None
    report: Report | None
    component: Component | None = None
    poll_s: float | None = None
    bus: BusDraft | None = None
    entry: DerivedEntry | None = None


class StationDraft(msgspec.Struct, kw_only=True, eq=False):
    """A seismic station, its parts with their places. ``rate_hz`` and ``source`` are known once its tags are found."""

    place: Place
    entry: StationEntry
    channels: list[tuple[Place, ChannelEntry]]
    analyser: AnalyserSettings | None
    coincidence: CoincidenceEntry | None
    structure: StructureEntry | None
    rate_hz: float = 0.0
    source: Group | None = None


class Draft:
    """What was read so far, and what was wrong with it. ``shelf`` is where profiles lie."""

    def __init__(self, mistakes: Mistakes, shelf: Shelf = INSTALLED_ONLY) -> None:
        self.mistakes = mistakes
        self.shelf = shelf
        self.buses: dict[str, BusDraft] = {}
        self.broken_buses: set[str] = set()
        self.has_lost_device = False
        self.devices: dict[str, Device] = {}
        self.groups: set[str] = set()
        self.broken: set[str] = set()
        """Devices with mistakes: that one of their tags is missing follows from those."""
        self.tags: dict[str, TagDraft] = {}
        self.stations: dict[str, StationDraft] = {}
        self.alarms: dict[str, tuple[Place, AlarmRule]] = {}
        self.outputs: dict[str, tuple[Place, OutputEntry]] = {}
