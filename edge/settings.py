"""What a configuration file says, as frozen models. `edge.configuration` reads them and ties them together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from drivers.base import DriverKind, Group
from edge.alarm_settings import LIMITS, AlarmRule
from edge.listening import read_listen
from edge.local.settings import LocalSettings
from edge.names import Hours, Name, Period, Seconds, Sibling
from edge.output_settings import OutputEntry, OutputSettings
from edge.stations.settings import RingSettings, Station
from provisioning.client import read_url
from wire.topics import is_gateway
from wire.twin import TagInfo

Formula = Literal["dew_point", "mean", "gust", "vector_speed", "vector_direction", "rain_sum"]

MQTT_PORTS = {"mqtt": 1883, "mqtts": 8883}


def _is_broker(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in MQTT_PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none, half an IPv6 address
        return False


class GatewaySettings(msgspec.Struct, frozen=True, kw_only=True):
    """[gateway]: who this is. ``id`` is the name on the wire, ``site`` the key of the place it stands at."""

    id: Annotated[str, Meta(description="name on the wire, user name at the broker: 7 to 63 of a-z, 0-9 and '-'")]
    title: Annotated[str, Meta(description="name for people")] = ""
    site: Annotated[str, Meta(description="key of the place it stands at")] = ""
    sector: Annotated[str, Meta(description="chemical, weather, earthquake, ...")] = ""

    def __post_init__(self) -> None:
        if not is_gateway(self.id):
            raise ValueError(f"id '{self.id}' is not a gateway name: use 7 to 63 of a-z, 0-9 and '-'")


class UplinkSettings(msgspec.Struct, frozen=True, kw_only=True):
    """[uplink]: the fleet's broker. ``url`` is mqtt://host[:port] or mqtts://host[:port].

    ``token_file`` holds the gateway's password, relative to the configuration file; ``ca_file`` the CA of an mqtts
    broker; ``cert_file`` and ``key_file`` are what the gateway shows to it. Enrolment fills these in
    (`edge.identity`). ``live_s`` is how long new values gather into one live message. ``budget_bytes_per_day`` is what
    a metered link may carry up, alarms excepted (`edge.metering`).
    """

    url: Annotated[str, Meta(description="mqtt://host[:port] or mqtts://host[:port]")]
    token_file: Annotated[
        str, Meta(description="file with the gateway's password, relative to the configuration file; none if empty")
    ] = ""
    ca_file: Annotated[
        str, Meta(description="CA of an mqtts broker, relative to the configuration file; the system's if empty")
    ] = ""
    cert_file: Annotated[
        str,
        Meta(description="the gateway's certificate, then its issuer's, for an mqtts broker; none if empty"),
    ] = ""
    key_file: Annotated[str, Meta(description="the key of that certificate, which only the agent reads")] = ""
    command_key_file: Annotated[
        str,
        Meta(
            description="the fleet's public key, relative to the configuration file: commands signed with it are"
            " carried out; none are if empty"
        ),
    ] = ""
    keepalive_s: Annotated[int, Meta(ge=5, le=3600, description="silence after which the broker is asked")] = 20
    live_s: Annotated[Seconds, Meta(description="time in which new values gather into one live message")] = 0.002
    health_s: Annotated[
        Period, Meta(description="time between two health messages; longer where that would take a tenth of the link")
    ] = 5.0
    budget_bytes_per_day: Annotated[
        int,
        Meta(
            ge=0,
            description="octets up in a day on a metered link, its overhead included; alarms go beyond; 0 for no limit",
        ),
    ] = 0
    burst_bytes: Annotated[
        int, Meta(ge=65_536, description="of the budget, what may be sent at once after a quiet time")
    ] = 262_144
    alarms_only_below_bytes_per_s: Annotated[
        int, Meta(ge=0, description="measured rate of the link below which only alarms are sent; 0 for never")
    ] = 0

    def __post_init__(self) -> None:
        if bool(self.cert_file) != bool(self.key_file):
            raise ValueError("cert_file and key_file go together: write both, or neither")
        if not _is_broker(self.url):
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
    """[spool]: ``commit_s`` between group commits of measurements, ``max_bytes`` on disk as long as that leaves
    ``min_free_bytes`` to others, ``keep_h`` hours that delivered records stay so that a restored fleet can be refilled.
    They are hours of running: what the machine's clock says does not matter.
    """

    commit_s: Annotated[float, Meta(ge=0.01, le=60, description="time between group commits of measurements")] = 1.0
    max_bytes: Annotated[int, Meta(ge=1_000_000, description="octets on disk")] = 1_000_000_000
    min_free_bytes: Annotated[int, Meta(ge=0, description="octets of the disk that stay free for others")] = 50_000_000
    keep_h: Annotated[
        Hours,
        Meta(description="how long delivered records stay while it runs, so that a restored fleet can be refilled"),
    ] = 72.0


class HealthSettings(msgspec.Struct, frozen=True, kw_only=True):
    """[health]: where /healthz and /metrics are served; empty for nowhere."""

    listen: Annotated[str, Meta(description="host:port; nowhere if empty")] = "127.0.0.1:9101"

    def __post_init__(self) -> None:
        read_listen(self.listen)

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port, or None."""
        return read_listen(self.listen)


class TwinSettings(msgspec.Struct, frozen=True, kw_only=True):
    """[twin]: how a configuration that the fleet sends is tried."""

    trial_s: Annotated[
        Period,
        Meta(
            description="how long a new configuration is on trial: if what was well is not well again by then, the last"
            " good one runs again"
        ),
    ] = 120.0


class UpdateSettings(msgspec.Struct, frozen=True, kw_only=True):
    """[update]: how releases come to this gateway. Without ``root_file`` none does.

    ``root_file`` is the first root of the releases' signatures. It comes with the installation, never from the fleet.
    """

    url: Annotated[
        str, Meta(description="where releases are, https://host[:port]; the fleet of enrol.toml if empty")
    ] = ""
    ca_file: Annotated[
        str, Meta(description="CA of that address, relative to the configuration file; that of enrol.toml if empty")
    ] = ""
    root_file: Annotated[
        str,
        Meta(description="first root of the releases' signatures, relative to the configuration file; none if empty"),
    ] = ""
    confirm_s: Annotated[
        Period,
        Meta(
            description="how long a new agent may take until it is connected, all is as well as before and the fleet"
            " has acknowledged a record; then the one before runs again"
        ),
    ] = 600.0
    soak_s: Annotated[
        Seconds,
        Meta(
            description="how long all must have been well without a break before a new agent is confirmed, at most"
            " half of confirm_s"
        ),
    ] = 60.0
    tries: Annotated[int, Meta(ge=1, le=10, description="how often a new agent may start within its trial")] = 2
    min_free_bytes: Annotated[int, Meta(ge=0, description="octets of the disk that an update leaves free")] = 50_000_000

    def __post_init__(self) -> None:
        if self.url:
            read_url(self.url)

    @property
    def proving_s(self) -> float:
        """How long a new agent has to be well: it must fit into its trial, or none would ever be confirmed."""
        return min(self.soak_s, self.confirm_s / 2)


class BootSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the fleet never changes: identity, paths and addresses of this one gateway."""

    gateway: GatewaySettings
    uplink: UplinkSettings
    spool: SpoolSettings = SpoolSettings()
    ring: RingSettings = RingSettings()
    health: HealthSettings = HealthSettings()
    outputs: OutputSettings = OutputSettings()
    local: LocalSettings = LocalSettings()
    twin: TwinSettings = TwinSettings()
    update: UpdateSettings = UpdateSettings()


class BusEntry(msgspec.Struct, frozen=True, kw_only=True):
    """[[bus]] less what belongs to the driver."""

    name: Annotated[Name, Meta(description="unique on the gateway")]
    kind: Annotated[str, Meta(description="the driver; its settings follow")]


class DeviceEntry(msgspec.Struct, frozen=True, kw_only=True):
    """[[device]] less what belongs to the driver. ``group`` extends the profile's groups."""

    name: Annotated[Name, Meta(description="unique on the gateway")]
    bus: Annotated[str, Meta(description="name of the line it is on")]
    title: Annotated[str, Meta(description="name for people")] = ""
    profile: Annotated[str, Meta(description="what is known of its kind: brings groups, tags and alarms")] = ""
    group: Annotated[
        list[dict[str, Any]], Meta(description="scan groups; one of a profile's names changes or extends that group")
    ] = []
    derived: Annotated[
        list[dict[str, Any]], Meta(description="tags computed from others; one of a profile's names changes that tag")
    ] = []


class GroupEntry(msgspec.Struct, frozen=True, kw_only=True):
    """[[device.group]]. ``poll_s`` is required of polled drivers and meaningless to streaming ones."""

    name: Annotated[Name, Meta(description="unique in the device")]
    poll_s: Annotated[
        Period | None, Meta(description="time between two readings; instruments that speak by themselves have none")
    ] = None
    tag: Annotated[list[dict[str, Any]], Meta(description="what is read together, at one time")] = []


class Component(msgspec.Struct, frozen=True, kw_only=True):
    """[device.group.tag.motion]: how a tag's values stand for counts of a digitiser, and which way it is turned.

    counts = value * ``sensitivity``. The channel of a [[station]] says how it stands at its site; a sensitivity other
    than this one is refused there, and ``clips_at`` is taken from here. Codes, azimuth and dip are as in SEED 2.4,
    appendix A and blockette 52: a positive value is a motion that way.
    """

    code: Annotated[
        str, Meta(pattern="^[A-Z0-9]{3}$", description="channel code of SEED: HNZ, HNN, HNE; HN1, HN2 if turned")
    ]
    sensitivity: Annotated[
        float, Meta(gt=0, description="counts of the digitiser in one of the tag's unit: one over its scale")
    ]
    azimuth: Annotated[float, Meta(ge=0, lt=360, description="degrees from north, clockwise")] = 0.0
    dip: Annotated[float, Meta(ge=-90, le=90, description="degrees down from the horizontal; -90 is up")] = 0.0
    clips_at: Annotated[int | None, Meta(description="counts, of either sign, at which the digitiser ends")] = None


class TagEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What all tags have. ``low`` and ``high`` are the instrument's range."""

    name: Annotated[Name, Meta(description="unique in the device; the full name is <device>.<tag>")]
    title: Annotated[str, Meta(description="name for people")] = ""
    unit: Annotated[str, Meta(description="unit of its values, limits and deadbands")] = ""
    low: Annotated[float | None, Meta(description="where the instrument's range begins")] = None
    high: Annotated[float | None, Meta(description="where the instrument's range ends")] = None
    alarm: Annotated[list[dict[str, Any]], Meta(description="alarm rules of this tag, as [[alarm]] less `tag`")] = []
    template: Annotated[
        str | dict[str, Any],
        Meta(description="alarm template, by its name or as a table of its `name` and parameters; `alarm` goes before"),
    ] = ""
    check: Annotated[dict[str, Any], Meta(description="quality rules; none if empty")] = {}
    report: Annotated[dict[str, Any], Meta(description="report by exception; every reading if empty")] = {}

    def __post_init__(self) -> None:
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(
                f"range of tag '{self.name}' is empty: low = {self.low:g} must be below high = {self.high:g}"
            )


class MeasuredEntry(TagEntry, frozen=True, kw_only=True):
    """[[device.group.tag]]: a tag that is read, less what belongs to the driver."""

    motion: Annotated[dict[str, Any], Meta(description="which component of ground motion it is; none if empty")] = {}


class DerivedEntry(TagEntry, frozen=True, kw_only=True):
    """[[device.derived]]: a tag computed from readings of the same device, by a formula of `edge.derive`.

    It has alarms, checks and reports as any other tag, and the time of the reading that completed it.
    """

    formula: Annotated[Formula, Meta(description="how it is computed")]
    of: Annotated[tuple[Sibling, ...], Meta(description="names of the device's tags that go into it, in order")]
    window_s: Annotated[
        Annotated[float, Meta(ge=1, le=31 * 86400)] | None, Meta(description="how far back it looks")
    ] = None
    kind: Annotated[
        Literal["counter", "amount"] | None,
        Meta(description="of rain_sum: the tag is a total that grows, or the rain since the reading before"),
    ] = None
    wrap: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        Meta(description="of a counter: the total at which it begins again at 0; it never does if not given"),
    ] = None


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """[device.group.tag.check]: what makes a reading bad or uncertain. Other tags are those of the same device.

    ``low`` and ``high`` are what can be at all, which is more than what the instrument is made for: a value beyond
    them is bad, and a bad value raises no alarm.
    """

    low: Annotated[float | None, Meta(description="below it a value is bad: it cannot be")] = None
    high: Annotated[float | None, Meta(description="above it a value is bad: it cannot be")] = None
    clip_high: Annotated[
        float | None, Meta(description="from here up to `high` the value becomes this: 100 for a humidity up to 104")
    ] = None
    step: Annotated[
        Annotated[float, Meta(gt=0)] | None, Meta(description="largest change within `step_s`; beyond it: uncertain")
    ] = None
    step_s: Annotated[Period, Meta(description="time of the largest change")] = 60.0
    stuck: Annotated[
        Annotated[float, Meta(gt=0)] | None, Meta(description="smallest change within `stuck_s`; below it: uncertain")
    ] = None
    stuck_s: Annotated[Period, Meta(description="time of the smallest change")] = 3600.0
    stuck_from: Annotated[float | None, Meta(description="below it a value may stand still: 0.1 for a wind speed")] = (
        None
    )
    stuck_to: Annotated[float | None, Meta(description="above it a value may stand still: 95 for a humidity")] = None
    circle: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        Meta(description="a full turn of a direction, 360 for degrees: changes are measured the short way round"),
    ] = None
    at_most: Annotated[Sibling | None, Meta(description="tag that this one never exceeds; else uncertain")] = None
    at_least: Annotated[Sibling | None, Meta(description="tag that this one is never below; else uncertain")] = None
    zero_with: Annotated[Sibling | None, Meta(description="tag that is 0 whenever this one is; else uncertain")] = None

    def __post_init__(self) -> None:
        low, high, clip = self.low, self.high, self.clip_high
        if low is not None and high is not None and low >= high:
            raise ValueError(f"low = {low:g} must be below high = {high:g}")
        if clip is not None and (high is None or clip >= high or (low is not None and clip <= low)):
            raise ValueError(f"clip_high = {clip:g} must lie between low and high: write high = what is just possible")
        if self.stuck_from is not None and self.stuck_to is not None and self.stuck_from >= self.stuck_to:
            raise ValueError(f"stuck_from = {self.stuck_from:g} must be below stuck_to = {self.stuck_to:g}")


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """[device.group.tag.report]: which readings are kept and sent; alarms and the live view see every one.

    A reading is reported if it is further than the deadband from the last one reported, and always if its quality
    or a text changed. With both deadbands the narrower counts; with none, any change.
    """

    deadband: Annotated[
        Annotated[float, Meta(ge=0)] | None, Meta(description="largest change not reported, in the tag's unit")
    ] = None
    deadband_pct: Annotated[
        Annotated[float, Meta(gt=0, le=100)] | None,
        Meta(description="largest change not reported, in per cent of the tag's range `low` to `high`"),
    ] = None
    heartbeat_s: Annotated[Period, Meta(description="after this time the next reading is reported anyhow")] = 600.0
    min_s: Annotated[Seconds, Meta(description="least time between two reports of a changed number")] = 0.0

    def __post_init__(self) -> None:
        if self.min_s > self.heartbeat_s:
            raise ValueError(f"min_s = {self.min_s:g} must not be above heartbeat_s = {self.heartbeat_s:g}")


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


class DerivedTag(msgspec.Struct, frozen=True, kw_only=True):
    """A tag that is computed. ``name`` and ``of`` are full tag names; the rest is as in `DerivedEntry`."""

    name: str
    formula: Formula
    of: tuple[str, ...]
    window_s: float | None
    kind: Literal["counter", "amount"] | None
    wrap: float | None


class DerivedGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Derived tags of one device that are completed by readings of the same scan groups, ``inputs``."""

    name: str
    inputs: tuple[str, ...]
    tags: tuple[DerivedTag, ...]


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """A whole configuration that can run. ``document`` is what it was read from, as msgpack: in memory it would be
    larger than all the rest, and it is rarely asked for.

    ``checks`` and ``reports`` hold the rules of the tags that have any, by full tag name.
    """

    document: bytes
    buses: tuple[Bus, ...]
    devices: tuple[Device, ...]
    tags: tuple[TagInfo, ...]
    alarms: tuple[AlarmRule, ...]
    outputs: tuple[OutputEntry, ...]
    derived: tuple[DerivedGroup, ...] = ()
    stations: tuple[Station, ...] = ()
    checks: Mapping[str, Check] = {}
    reports: Mapping[str, Report] = {}

    def reported_tags(self) -> tuple[TagInfo, ...]:
        """The tags with the limits of their alarms, as the fleet hears of them: of a level the one reached first.

        All of them are in the list of alarms.
        """
        limits = self.limiting()
        return tuple(msgspec.structs.replace(tag, limits=_reached_first(limits.get(tag.name, ()))) for tag in self.tags)

    def limiting(self) -> dict[str, list[AlarmRule]]:
        """The rules that limit a value itself, by the full name of its tag."""
        found: dict[str, list[AlarmRule]] = {}
        for rule in self.alarms:
            if rule.level in LIMITS:
                found.setdefault(rule.tag, []).append(rule)
        return found

    @property
    def columns(self) -> dict[str, tuple[str, ...]]:
        """The tags of every group that makes scans, read, derived or of a station, in the order of their values."""
        read = {group.group.name: group.group.tags for bus in self.buses for group in bus.groups}
        derived = {group.name: tuple(tag.name for tag in group.tags) for group in self.derived}
        return read | derived | {station.group: station.columns for station in self.stations}


def _reached_first(rules: Iterable[AlarmRule]) -> dict[str, float]:
    """The limit of each level that a value reaches before the others of this level."""
    found: dict[str, float] = {}
    for rule in rules:
        if rule.limit is not None:
            nearest = min if rule.is_upper else max
            found[rule.level] = nearest(rule.limit, found.get(rule.level, rule.limit))
    return found
