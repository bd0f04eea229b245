"""What a configuration file says, as frozen models. `edge.configuration` reads them and ties them together."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from drivers.base import DriverKind, Group
from wire.topics import is_gateway
from wire.twin import TagInfo

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=64)]
TagName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*\.[A-Za-z0-9][A-Za-z0-9_-]*$")]
Seconds = Annotated[float, Meta(ge=0)]
Period = Annotated[float, Meta(ge=0.01, le=86400)]
Level = Literal["high-high", "high", "low", "low-low"]

MQTT_PORTS = {"mqtt": 1883, "mqtts": 8883}


class GatewaySettings(msgspec.Struct, frozen=True, kw_only=True):
    """[gateway]: who this is. ``id`` is the name on the wire, ``site`` the key of the place it stands at."""

    id: str
    title: str = ""
    site: str = ""
    sector: str = ""

    def __post_init__(self) -> None:
        if not is_gateway(self.id):
            raise ValueError(f"id '{self.id}' is not a gateway name: use 7 to 63 of a-z, 0-9 and '-'")


class UplinkSettings(msgspec.Struct, frozen=True, kw_only=True):
    """[uplink]: the fleet's broker. ``url`` is mqtt://host[:port] or mqtts://host[:port].

    ``token_file`` holds the gateway's password, relative to the configuration file; ``ca_file`` the CA of an mqtts
    broker; ``live_s`` is the shortest time between two live messages.
    """

    url: str
    token_file: str = ""
    ca_file: str = ""
    keepalive_s: Annotated[int, Meta(ge=5, le=3600)] = 20
    live_s: Seconds = 0.1
    health_s: Period = 5.0

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in MQTT_PORTS or not parts.hostname:
            raise ValueError(f"url '{self.url}' is not a broker's address: write mqtt://host:1883 or mqtts://host:8883")

    @property
    def host(self) -> str:
        """The broker's host."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The broker's port, or the scheme's usual one."""
        parts = urlsplit(self.url)
        return parts.port or MQTT_PORTS[parts.scheme]

    @property
    def is_tls(self) -> bool:
        """Whether the link is encrypted."""
        return urlsplit(self.url).scheme == "mqtts"


class SpoolSettings(msgspec.Struct, frozen=True, kw_only=True):
    """[spool]: ``commit_s`` between group commits of measurements, ``max_bytes`` on disk, ``keep_h`` hours that
    delivered records stay so that a restored fleet can be refilled."""

    commit_s: Annotated[float, Meta(ge=0.01, le=60)] = 1.0
    max_bytes: Annotated[int, Meta(ge=1_000_000)] = 1_000_000_000
    keep_h: Seconds = 72.0


class HealthSettings(msgspec.Struct, frozen=True, kw_only=True):
    """[health]: where /healthz and /metrics are served; empty for nowhere."""

    listen: str = "127.0.0.1:9101"

    def __post_init__(self) -> None:
        host, colon, port = self.listen.rpartition(":")
        if self.listen and not (host and colon and port.isdigit()):
            raise ValueError(f'listen \'{self.listen}\' is not host:port: write "127.0.0.1:9101", or "" for none')

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port, or None."""
        host, _, port = self.listen.rpartition(":")
        return (host, int(port)) if self.listen else None


class BootSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the fleet never changes: identity, paths and addresses of this one gateway."""

    gateway: GatewaySettings
    uplink: UplinkSettings
    spool: SpoolSettings = SpoolSettings()
    health: HealthSettings = HealthSettings()


class BusEntry(msgspec.Struct, frozen=True, kw_only=True):
    """[[bus]] less what belongs to the driver."""

    name: Name
    kind: str


class DeviceEntry(msgspec.Struct, frozen=True, kw_only=True):
    """[[device]] less what belongs to the driver. ``group`` extends the profile's groups."""

    name: Name
    bus: str
    title: str = ""
    profile: str = ""
    group: list[dict[str, Any]] = []


class GroupEntry(msgspec.Struct, frozen=True, kw_only=True):
    """[[device.group]]. ``poll_s`` is required of polled drivers and meaningless to streaming ones."""

    name: Name
    poll_s: Period | None = None
    tag: list[dict[str, Any]] = []


class TagEntry(msgspec.Struct, frozen=True, kw_only=True):
    """[[device.group.tag]] less what belongs to the driver. ``low`` and ``high`` are the instrument's range."""

    name: Name
    title: str = ""
    unit: str = ""
    low: float | None = None
    high: float | None = None
    alarm: list[dict[str, Any]] = []

    def __post_init__(self) -> None:
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(
                f"range of tag '{self.name}' is empty: low = {self.low:g} must be below high = {self.high:g}"
            )


class AlarmRule(msgspec.Struct, frozen=True, kw_only=True):
    """[[alarm]]: raise when ``tag`` is at or beyond ``limit`` for ``on_delay_s``; clear when it has been back by
    ``deadband`` for ``off_delay_s``. Limit and deadband are in the tag's unit; priority 1 is the most urgent."""

    tag: TagName
    level: Level
    limit: float
    deadband: Annotated[float, Meta(ge=0)] = 0.0
    priority: Annotated[int, Meta(ge=1, le=4)] = 2
    on_delay_s: Seconds = 0.0
    off_delay_s: Seconds = 0.0
    outputs: tuple[Name, ...] = ()
    title: str = ""

    @property
    def name(self) -> str:
        """The alarm's name on the gateway: tag and level."""
        return f"{self.tag}:{self.level}"

    @property
    def is_upper(self) -> bool:
        """Whether the alarm is on the high side."""
        return self.level in ("high-high", "high")


class OutputEntry(msgspec.Struct, frozen=True, kw_only=True):
    """[[output]]: a writable tag that alarms switch, and the values that mean on and off."""

    name: Name
    tag: TagName
    title: str = ""
    on: bool | int | float = 1
    off: bool | int | float = 0


class Bus(msgspec.Struct, frozen=True, kw_only=True):
    """A line, its driver and what is read over it."""

    name: str
    kind: DriverKind
    settings: msgspec.Struct
    groups: tuple[ScanGroup, ...]


class ScanGroup(msgspec.Struct, frozen=True, kw_only=True):
    """A scan group with its cadence. ``poll_s`` is None when the instrument speaks by itself."""

    group: Group
    poll_s: float | None


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """An instrument, as the console shows it."""

    name: str
    title: str
    bus: str
    profile: str


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """A whole configuration that can run. ``document`` is what it was read from."""

    document: dict[str, Any]
    buses: tuple[Bus, ...]
    devices: tuple[Device, ...]
    tags: tuple[TagInfo, ...]
    alarms: tuple[AlarmRule, ...]
    outputs: tuple[OutputEntry, ...]
