"""What a configuration says of a seismic station, and what it comes to once its tags are found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from edge.names import Name, TagName
from edge.stations.recording import Span
from seismic.report import Component, Quantity
from seismic.settings import AnalyserSettings
from seismic.structure import StructureSettings

Unit = Literal["m/s2", "g", "gal", "m/s"]

ACCELERATIONS: Mapping[str, float] = {"m/s2": 1.0, "g": 9.80665, "gal": 0.01}
"""Units of acceleration, and how many m/s2 one of each is (standard gravity: CGPM 1901)."""

NS = 1_000_000_000
GROUP = "motion"
"""The group of a station's own tags."""


class RingSettings(msgspec.Struct, frozen=True, kw_only=True):
    """[ring]: where stations keep all their waveforms, the oldest giving way. It leaves to the spool what is the
    spool's."""

    max_bytes: Annotated[
        int, Meta(ge=1_000_000, description="octets on disk, as far as spool and min_free_bytes of it leave room")
    ] = 20_000_000_000


class ChannelEntry(msgspec.Struct, frozen=True, kw_only=True):
    """[[station.channels]]: one component that is recorded. counts = value of the tag * sensitivity."""

    code: Annotated[
        str,
        Meta(
            pattern=r"^[A-Z0-9]{3}$(?!\n)",
            examples=["HNZ"],
            description="its SEED code: HNZ, HNN, HNE of an accelerometer with 80 samples a second or more",
        ),
    ]
    tag: Annotated[TagName, Meta(description="full name of the tag with its samples; all of a station in one group")]
    sensitivity: Annotated[
        float, Meta(gt=0, description="counts in one `unit`: one over the scale that makes the tag's value of a count")
    ]
    unit: Annotated[Unit, Meta(description="unit of the tag's values")] = "m/s2"
    azimuth: Annotated[float, Meta(ge=0, lt=360, description="where it points, in degrees clockwise from north")]
    dip: Annotated[float, Meta(ge=-90, le=90, description="degrees down from the horizontal; -90 points up")]

    @property
    def quantity(self) -> Quantity:
        """What it measures."""
        return "acceleration" if self.unit in ACCELERATIONS else "velocity"


class CoincidenceEntry(msgspec.Struct, frozen=True, kw_only=True):
    """[station.coincidence]: a quake here counts once another station of this gateway has triggered, too."""

    station: Annotated[Name, Meta(description="name of the other station")]
    within_s: Annotated[
        float, Meta(gt=0, le=60, description="most time between the two triggers; so long the alarm waits at most")
    ] = 3.0


class StructureEntry(StructureSettings, frozen=True, kw_only=True):
    """[station.structure]: this station is an upper level of a building or bridge, the other one a lower level.

    What is compared is one horizontal acceleration of both.
    """

    lower: Annotated[Name, Meta(description="name of the station on the lower level")]
    component: Annotated[
        str, Meta(description="code of the channel that is compared; the first horizontal one if empty")
    ] = ""


class StationEntry(msgspec.Struct, frozen=True, kw_only=True):
    """[[station]]: an accelerometer that is recorded and analysed for earthquakes.

    Its results are tags of a device of this name: `<name>.intensity_gb` and others, for alarms as any tag.
    """

    name: Annotated[Name, Meta(description="unique among devices and stations")]
    title: Annotated[str, Meta(description="name for people")] = ""
    network: Annotated[
        str, Meta(pattern=r"^[A-Z0-9]{1,2}$(?!\n)", examples=["CQ"], description="network code, FDSN or agreed")
    ]
    station: Annotated[
        str, Meta(pattern=r"^[A-Z0-9]{1,5}$(?!\n)", examples=["YF001"], description="station code in the network")
    ]
    location: Annotated[
        str, Meta(pattern=r"^([A-Z0-9]{2})?$(?!\n)", examples=["00"], description="location code, two letters or none")
    ] = ""
    latitude: Annotated[Annotated[float, Meta(ge=-90, le=90)] | None, Meta(description="degrees north, WGS 84")] = None
    longitude: Annotated[Annotated[float, Meta(ge=-180, le=180)] | None, Meta(description="degrees east, WGS 84")] = (
        None
    )
    elevation_m: Annotated[
        Annotated[float, Meta(ge=-1000, le=9000)] | None, Meta(description="height above the sea")
    ] = None
    rate_hz: Annotated[
        Annotated[float, Meta(ge=40, le=1000)] | None,
        Meta(description="samples a second; that of the device if not given"),
    ] = None
    channels: Annotated[list[dict[str, Any]], Meta(min_length=1, description="what is recorded")]
    analyser: Annotated[dict[str, Any], Meta(description="when it triggers and how it is analysed")] = {}
    keep_days: Annotated[
        int, Meta(ge=0, le=3650, description="days of all waveforms that stay on the gateway's disk; 0 for none")
    ] = 7
    pre_s: Annotated[float, Meta(ge=0, le=120, description="waveform sent from before the trigger")] = 30.0
    post_s: Annotated[float, Meta(ge=0, le=600, description="waveform sent from after the end")] = 60.0
    continuous: Annotated[bool, Meta(description="whether all waveforms are sent, or those of quakes only")] = False
    coincidence: Annotated[dict[str, Any], Meta(description="what another station must say; none if empty")] = {}
    structure: Annotated[dict[str, Any], Meta(description="the level below; none if empty")] = {}

    def __post_init__(self) -> None:
        if (self.latitude is None) != (self.longitude is None):
            raise ValueError("latitude and longitude go together: write both, or neither")

    @property
    def code(self) -> str:
        """What the world calls it: NET.STA."""
        return f"{self.network}.{self.station}"


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """One component ready to be recorded: counts = value of ``column`` * ``sensitivity``.

    ``factor`` makes m/s2, or m/s of a velocity, of the value.
    """

    stream: str
    column: int
    sensitivity: float
    factor: float
    component: Component
    clips_at: int | None = None
    """The count, of either sign, at which the digitiser ends."""


class Station(msgspec.Struct, frozen=True, kw_only=True):
    """A station that can run. ``group`` is the one of its own tags, ``source`` the one that its samples come in.

    ``code`` is NET.STA. ``analysed`` are the channels that make the vector, by their places in ``channels``.
    """

    name: str
    code: str
    source: str
    rate_hz: float
    channels: tuple[Channel, ...]
    analysed: tuple[int, ...]
    analyser: AnalyserSettings
    keep_days: int
    pre_s: float
    post_s: float
    continuous: bool
    coincidence: CoincidenceEntry | None
    structure: StructureEntry | None
    compared: int | None
    """Which of the analysed channels is compared with the level below."""

    @property
    def within_s(self) -> float:
        """How long it waits for another station; 0 for none."""
        return self.coincidence.within_s if self.coincidence else 0.0

    @property
    def span(self) -> Span:
        """What of the time around a quake is sent."""
        return Span(int(self.pre_s * NS), int(self.post_s * NS), int(self.within_s * NS))

    @property
    def of_instrument(self) -> tuple[object, ...]:
        """What samples mean and how they are judged."""
        return self.code, self.source, self.rate_hz, self.channels, self.analysed, self.analyser

    @property
    def group(self) -> str:
        """The group of its own tags."""
        return f"{self.name}.{GROUP}"

    @property
    def columns(self) -> tuple[str, ...]:
        """Its own tags, in the order of their values."""
        return tuple(f"{self.name}.{tag.name}" for tag in tags_of(has_structure=self.structure is not None))


class StationTag(msgspec.Struct, frozen=True):
    """One of the tags that a station brings."""

    name: str
    title: str
    unit: str = ""
    low: float | None = None
    high: float | None = None


TAGS = (
    StationTag("pga", "峰值加速度 PGA", "gal"),
    StationTag("pgv", "峰值速度 PGV", "cm/s"),
    StationTag("pgd", "峰值位移 PGD", "cm"),
    StationTag("intensity_gb", "仪器烈度 GB/T 17742", low=0, high=12),
    StationTag("intensity_jma", "仪器震度 JMA"),
    StationTag("grade", "烈度等级", low=0, high=12),
    StationTag("triggered", "触发", low=0, high=1),
    StationTag("noise", "背景噪声", "gal"),
)
STRUCTURE_TAGS = (StationTag("drift", "层间位移", "mm"), StationTag("frequency_shift", "基频变化", "%"))


def tags_of(*, has_structure: bool) -> tuple[StationTag, ...]:
    """List the tags of a station, in the order of their values."""
    return TAGS + STRUCTURE_TAGS if has_structure else TAGS
